//! PostgreSQL's own hash of bytes, which hash partitions and `pg_upgrade` rely on; pgrx has no binding for it.

unsafe extern "C" {
    fn hash_bytes(key: *const u8, length: i32) -> u32;
    fn hash_bytes_extended(key: *const u8, length: i32, seed: u64) -> u64;
}

/// 32 bits.
pub fn hash(bytes: &[u8]) -> u32 {
    // SAFETY: reads so many bytes; no datum has as many as i32 cannot count.
    unsafe { hash_bytes(bytes.as_ptr(), bytes.len() as i32) }
}

/// 64 bits, with a seed.
pub fn hash_extended(bytes: &[u8], seed: u64) -> u64 {
    // SAFETY: as above.
    unsafe { hash_bytes_extended(bytes.as_ptr(), bytes.len() as i32, seed) }
}
