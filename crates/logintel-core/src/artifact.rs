//! How models are kept: bincode inside an envelope that tells damage from age.
//!
//! | bytes | what |
//! |---|---|
//! | 0–3 | `LGI` and a letter for the kind |
//! | 4–5 | format version of the kind, little endian |
//! | 6–13 | length of the body, little endian |
//! | 14–17 | CRC-32 of all other bytes |
//! | 18… | the body, bincode with integers of fixed width, little endian |
//!
//! bincode stays behind this one module: it is complete but no longer developed.

use bincode::Decode;
use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use bincode::de::Decoder;
use bincode::de::read::Reader;
use bincode::error::{DecodeError, EncodeError};

use crate::control::{Control, Steps};
use crate::error::{Error, Result};
use crate::limits::MAX_MODEL_BYTES;

const HEADER: usize = 18;
/// Bytes from one poll to the next where they pass at gigabytes a second.
const PART: usize = 16 << 20;
/// Bytes of numbers that are read at once: few enough that one is not far from the next poll.
const PIECE: usize = 64 << 10;

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
    /// [`Error::Corrupt`], and what `control` returns.
    fn accept(&mut self, control: &dyn Control) -> Result<()>;
}

/// A number of fixed width.
pub(crate) trait Number: bytemuck::Pod {
    /// Of what was read as it stands in an artifact.
    fn little_endian(self) -> Self;
}

impl Number for u32 {
    fn little_endian(self) -> Self {
        u32::from_le(self)
    }
}

impl Number for f32 {
    fn little_endian(self) -> Self {
        f32::from_bits(u32::from_le(self.to_bits()))
    }
}

impl Number for [u32; 2] {
    fn little_endian(self) -> Self {
        self.map(u32::from_le)
    }
}

/// Decodes a vector of numbers as bincode writes it under [`config`], in large pieces: they are most of a model, whose 6 MB are
/// decoded in 9.5 ms instead of 15.5.
///
/// # Errors
/// Those of bincode.
pub(crate) fn numbers<T: Number, D: Decoder>(decoder: &mut D) -> std::result::Result<Vec<T>, DecodeError> {
    let len = usize::decode(decoder)?;
    decoder.claim_container_read::<T>(len)?;
    let mut numbers = vec![T::zeroed(); len];
    for piece in bytemuck::cast_slice_mut(&mut numbers).chunks_mut(PIECE) {
        decoder.reader().read(piece)?;
    }
    for number in &mut numbers {
        *number = number.little_endian();
    }
    Ok(numbers)
}

/// Vectors of numbers, one after the other; see [`numbers`].
///
/// # Errors
/// Those of bincode.
pub(crate) fn levels<T: Number, D: Decoder>(
    decoder: &mut D,
) -> std::result::Result<Vec<Vec<T>>, DecodeError> {
    let len = usize::decode(decoder)?;
    decoder.claim_container_read::<Vec<T>>(len)?;
    (0..len).map(|_| numbers(decoder)).collect()
}

/// The error of one whose bytes do not hold what they should.
pub(crate) fn corrupt<T: Artifact>(why: impl Into<String>) -> Error {
    Error::Corrupt { what: T::WHAT, why: why.into() }
}

pub(crate) fn config() -> Configuration<LittleEndian, Fixint, Limit<MAX_MODEL_BYTES>> {
    // Fixed-width integers: lengths are read without branches, and a decoder's claim on memory is bounded by
    // the limit, which bincode checks before it allocates.
    bincode::config::standard().with_fixed_int_encoding().with_limit::<MAX_MODEL_BYTES>()
}

/// Decodes bytes by a configuration of bincode's. What a few bytes claim to hold must not allocate as much as the
/// largest value may, so the limit follows their length: a value takes at most 16 times its bytes.
macro_rules! decode_within {
    ($reader:expr, $length:expr, $config:expr, $most:expr) => {
        match $length {
            0..=0xfff => bincode::decode_from_reader($reader, $config.with_limit::<{ 64 << 10 }>()),
            0x1000..=0xffff => bincode::decode_from_reader($reader, $config.with_limit::<{ 1 << 20 }>()),
            0x1_0000..=0xf_ffff => bincode::decode_from_reader($reader, $config.with_limit::<{ 16 << 20 }>()),
            _ => bincode::decode_from_reader($reader, $config.with_limit::<{ $most }>()),
        }
    };
}
pub(crate) use decode_within;

/// Polls on the way through the bytes, for an artifact of hundreds of megabytes takes hundreds of milliseconds. bincode
/// has errors of its own, so what the poll returned is kept beside.
struct Watched<'a, B> {
    bytes: B,
    steps: Steps<'a>,
    stopped: Option<Error>,
}

impl<'a, B> Watched<'a, B> {
    fn new(bytes: B, control: &'a dyn Control) -> Self {
        Watched { bytes, steps: Steps::over_bytes(control), stopped: None }
    }

    /// So many bytes more; whether work goes on. Inlined, for a call for each number doubles the time of reading.
    #[inline]
    fn passes(&mut self, bytes: usize) -> bool {
        match self.steps.pass(bytes) {
            Ok(()) => true,
            Err(error) => {
                self.stopped = Some(error);
                false
            }
        }
    }
}

impl Reader for Watched<'_, &[u8]> {
    #[inline]
    fn read(&mut self, into: &mut [u8]) -> std::result::Result<(), DecodeError> {
        let missing = || DecodeError::UnexpectedEnd { additional: into.len() - self.bytes.len() };
        let (read, rest) = self.bytes.split_at_checked(into.len()).ok_or_else(missing)?;
        into.copy_from_slice(read);
        self.bytes = rest;
        if self.passes(into.len()) { Ok(()) } else { Err(DecodeError::Other("stopped")) }
    }
}

impl bincode::enc::write::Writer for Watched<'_, Vec<u8>> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> std::result::Result<(), EncodeError> {
        if self.bytes.len() + bytes.len() > MAX_MODEL_BYTES {
            return Err(EncodeError::Other("too large"));
        }
        self.bytes.extend_from_slice(bytes);
        if self.passes(bytes.len()) { Ok(()) } else { Err(EncodeError::Other("stopped")) }
    }
}

/// The bytes of a value.
///
/// # Errors
/// [`Error::ModelTooLarge`] if it is larger than an artifact may be, and what `control` returns.
pub fn encode<T: Artifact>(value: &T, control: &dyn Control) -> Result<Vec<u8>> {
    let mut writer = Watched::new(vec![0; HEADER], control);
    let encoded = bincode::encode_into_writer(value, &mut writer, config());
    let Watched { mut bytes, stopped, .. } = writer;
    stopped.map_or(Ok(()), Err)?;
    encoded.map_err(|_| Error::ModelTooLarge { what: T::WHAT, max: MAX_MODEL_BYTES })?;
    let (header, body) = bytes.split_at_mut(HEADER);
    header[..4].copy_from_slice(&[b'L', b'G', b'I', T::LETTER]);
    header[4..6].copy_from_slice(&T::VERSION.to_le_bytes());
    header[6..14].copy_from_slice(&(body.len() as u64).to_le_bytes());
    let checksum = checksum(&header[..14], body, control)?;
    header[14..].copy_from_slice(&checksum.to_le_bytes());
    Ok(bytes)
}

/// The value of the bytes.
///
/// # Errors
/// [`Error::Corrupt`], [`Error::FormatVersion`], and what `control` returns.
pub fn decode<T: Artifact>(bytes: &[u8], control: &dyn Control) -> Result<T> {
    if bytes.len() < HEADER {
        return Err(corrupt::<T>("too short"));
    }
    let (header, body) = bytes.split_at(HEADER);
    if header[..4] != [b'L', b'G', b'I', T::LETTER] {
        return Err(corrupt::<T>("it does not begin as one"));
    }
    let number =
        |at: std::ops::Range<usize>| header[at].iter().rev().fold(0u64, |n, &byte| n << 8 | u64::from(byte));
    if number(6..14) != body.len() as u64 {
        return Err(corrupt::<T>("the length is wrong"));
    }
    if number(14..18) != u64::from(checksum(&header[..14], body, control)?) {
        return Err(corrupt::<T>("the checksum is wrong"));
    }
    let found = number(4..6) as u16;
    if found == 0 || found > T::VERSION {
        return Err(Error::FormatVersion { what: T::WHAT, found, known: T::VERSION });
    }
    let mut reader = Watched::new(body, control);
    let decoded: std::result::Result<T, DecodeError> =
        decode_within!(&mut reader, body.len(), config(), MAX_MODEL_BYTES);
    reader.stopped.map_or(Ok(()), Err)?;
    let mut value = decoded.map_err(|error| corrupt::<T>(error.to_string()))?;
    if !reader.bytes.is_empty() {
        return Err(corrupt::<T>("there are bytes after its end"));
    }
    value.accept(control)?;
    Ok(value)
}

fn checksum(header: &[u8], body: &[u8], control: &dyn Control) -> Result<u32> {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    for part in body.chunks(PART) {
        control.poll()?;
        hasher.update(part);
    }
    Ok(hasher.finalize())
}
