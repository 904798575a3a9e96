//! How models are kept: bincode inside an envelope that tells damage from age.
//!
//! | bytes | what |
//! |---|---|
//! | 0–3 | `LGI` and a letter for the kind |
//! | 4–5 | format version of the kind, little endian |
//! | 6–13 | length of the body, little endian |
//! | 14–17 | CRC-32 of all other bytes |
//! | 18… | the body, bincode's standard configuration |
//!
//! bincode stays behind this one module: it is complete but no longer developed.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};

use crate::error::{Error, Result};
use crate::limits::MAX_MODEL_BYTES;

const HEADER: usize = 18;

/// What is kept.
pub trait Artifact: bincode::Encode + bincode::Decode<()> {
    /// Its name in errors.
    const WHAT: &'static str;
    /// The fourth byte.
    const LETTER: u8;
    /// The version written; all versions up to it are read.
    const VERSION: u16;

    /// Checks what the rest of the code relies on, after decoding, and makes what follows from it and is not kept.
    ///
    /// # Errors
    /// A description of what does not hold.
    fn accept(&mut self) -> std::result::Result<(), String>;
}

fn config() -> Configuration<LittleEndian, Fixint, Limit<MAX_MODEL_BYTES>> {
    // Fixed-width integers: lengths are read without branches, and a decoder's claim on memory is bounded by
    // the limit, which bincode checks before it allocates.
    bincode::config::standard().with_fixed_int_encoding().with_limit::<MAX_MODEL_BYTES>()
}

/// Decodes bytes by a configuration of bincode's. What a few bytes claim to hold must not allocate as much as the
/// largest value may, so the limit follows their length: a value takes at most 16 times its bytes.
macro_rules! decode_within {
    ($bytes:expr, $config:expr, $most:expr) => {
        match $bytes.len() {
            0..=0xfff => bincode::decode_from_slice($bytes, $config.with_limit::<{ 64 << 10 }>()),
            0x1000..=0xffff => bincode::decode_from_slice($bytes, $config.with_limit::<{ 1 << 20 }>()),
            0x1_0000..=0xf_ffff => bincode::decode_from_slice($bytes, $config.with_limit::<{ 16 << 20 }>()),
            _ => bincode::decode_from_slice($bytes, $config.with_limit::<{ $most }>()),
        }
    };
}
pub(crate) use decode_within;

/// The bytes of a value.
///
/// # Errors
/// [`Error::Memory`] if it is larger than an artifact may be.
pub fn encode<T: Artifact>(value: &T) -> Result<Vec<u8>> {
    let body = bincode::encode_to_vec(value, config()).map_err(|_| too_large::<T>())?;
    if body.len() + HEADER > MAX_MODEL_BYTES {
        return Err(too_large::<T>());
    }
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend_from_slice(&[b'L', b'G', b'I', T::LETTER]);
    bytes.extend_from_slice(&T::VERSION.to_le_bytes());
    bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&checksum(&bytes, &body).to_le_bytes());
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

fn too_large<T: Artifact>() -> Error {
    Error::ModelTooLarge { what: T::WHAT, max: MAX_MODEL_BYTES }
}

/// The value of the bytes.
///
/// # Errors
/// [`Error::Corrupt`] and [`Error::FormatVersion`].
pub fn decode<T: Artifact>(bytes: &[u8]) -> Result<T> {
    let corrupt = |why: &str| Error::Corrupt { what: T::WHAT, why: why.to_owned() };
    if bytes.len() < HEADER {
        return Err(corrupt("too short"));
    }
    let (header, body) = bytes.split_at(HEADER);
    if header[..4] != [b'L', b'G', b'I', T::LETTER] {
        return Err(corrupt("it does not begin as one"));
    }
    let number =
        |at: std::ops::Range<usize>| header[at].iter().rev().fold(0u64, |n, &byte| n << 8 | u64::from(byte));
    if number(6..14) != body.len() as u64 {
        return Err(corrupt("the length is wrong"));
    }
    if number(14..18) != u64::from(checksum(&header[..14], body)) {
        return Err(corrupt("the checksum is wrong"));
    }
    let found = number(4..6) as u16;
    if found == 0 || found > T::VERSION {
        return Err(Error::FormatVersion { what: T::WHAT, found, known: T::VERSION });
    }
    let (mut value, read): (T, usize) = decode_within!(body, config(), MAX_MODEL_BYTES)
        .map_err(|error: bincode::error::DecodeError| corrupt(&error.to_string()))?;
    if read != body.len() {
        return Err(corrupt("there are bytes after its end"));
    }
    value.accept().map_err(|why| corrupt(&why))?;
    Ok(value)
}

fn checksum(header: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(body);
    hasher.finalize()
}
