//! How large anything that comes from outside may be.
//!
//! An allocation that fails in Rust aborts the process, and inside a PostgreSQL backend that restarts the
//! whole cluster. So every size is compared with one of these before memory is asked for.

/// Most dimensions of a vector (pgvector's `sparsevec` has the same bound).
pub const MAX_DIM: u32 = 1_000_000_000;
/// Most non-zeros of a vector.
pub const MAX_NNZ: usize = 1_000_000;
/// Most bytes of one message, before and after masking.
pub const MAX_MESSAGE_BYTES: usize = 1 << 26;
/// Most n-grams of one message: what a look-up keeps of each makes 256 MB.
pub const MAX_NGRAMS: u32 = 1 << 24;
/// Most bytes of a fitted vectoriser as a value.
pub const MAX_MODEL_BYTES: usize = 256 << 20;
/// Most bytes that a parallel worker hands over: PostgreSQL's own bound on one value is 1 GB, and options go with them.
pub const MAX_STATE_BYTES: usize = (1 << 30) - (1 << 20);
