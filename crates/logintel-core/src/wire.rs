//! The bytes of a sparse vector between a server and a client.
//!
//! Integers and floats are big-endian, as in the rest of PostgreSQL's protocol:
//!
//! | bytes | meaning |
//! |---|---|
//! | int32 | dimensions |
//! | int32 | non-zeros `n` |
//! | int32 | format version, 0 |
//! | `n` × int32 | indices, 0-based, ascending |
//! | `n` × float4 | values, finite, non-zero |
//!
//! pgvector sends its `sparsevec` the same way (it calls the third word unused), so a client that knows that type
//! can read this one.

use crate::error::{Error, Result};
use crate::limits::MAX_NNZ;
use crate::sparse::{SparseRef, SparseVec, check_dimensions, check_finite};

/// The format version that is written, and the newest that is read.
pub const VERSION: u16 = 0;

const HEADER: usize = 12;

/// The bytes of `vector`.
pub fn encode(vector: SparseRef<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER + vector.nnz() * 8);
    for word in [vector.dim, vector.nnz() as u32, u32::from(VERSION)] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    out.extend(vector.indices.iter().flat_map(|index| index.to_be_bytes()));
    out.extend(vector.values.iter().flat_map(|value| value.to_be_bytes()));
    out
}

/// The vector that `bytes` hold.
///
/// # Errors
/// [`Error::FormatVersion`], [`Error::VectorDimensions`], [`Error::VectorTooDense`], [`Error::VectorIndex`],
/// [`Error::VectorDuplicate`], [`Error::VectorNotFinite`], and [`Error::Corrupt`] for the rest: a length that does not
/// fit, indices out of order, zeros.
pub fn decode(bytes: &[u8]) -> Result<SparseVec> {
    let (header, body) = bytes.split_at_checked(HEADER).ok_or_else(|| corrupt("the header is cut off"))?;
    let [dim, nnz, version] = [0, 4, 8].map(|at| i32::from_be_bytes(four(&header[at..])));
    if version != i32::from(VERSION) {
        let found = u16::try_from(version).unwrap_or(u16::MAX);
        return Err(Error::FormatVersion { what: "logvec", found, known: VERSION });
    }
    let dim = check_dimensions(i64::from(dim))?;
    let nnz = usize::try_from(nnz).map_err(|_| corrupt("the number of elements is negative"))?;
    if nnz > MAX_NNZ {
        return Err(Error::VectorTooDense);
    }
    if body.len() != nnz * 8 {
        return Err(corrupt("its length is not that of its elements"));
    }
    let (indices, values) = body.split_at(nnz * 4);
    let indices: Vec<u32> = indices.chunks_exact(4).map(|word| u32::from_be_bytes(four(word))).collect();
    let values: Vec<f32> = values.chunks_exact(4).map(|word| f32::from_be_bytes(four(word))).collect();
    check_elements(dim, &indices, &values)?;
    Ok(SparseVec { dim, indices, values })
}

fn check_elements(dim: u32, indices: &[u32], values: &[f32]) -> Result<()> {
    if let Some(&index) = indices.iter().find(|&&index| index >= dim) {
        return Err(Error::VectorIndex { index: i64::from(index) + 1, dim });
    }
    for pair in indices.windows(2) {
        if pair[0] == pair[1] {
            return Err(Error::VectorDuplicate(pair[0] + 1));
        }
        if pair[0] > pair[1] {
            return Err(corrupt("the indices are not ascending"));
        }
    }
    for &value in values {
        check_finite(value)?;
        if value == 0.0 {
            return Err(corrupt("a stored element is zero"));
        }
    }
    Ok(())
}

fn corrupt(why: &str) -> Error {
    Error::Corrupt { what: "logvec", why: why.to_owned() }
}

/// The first four bytes of a slice that has them.
fn four(bytes: &[u8]) -> [u8; 4] {
    [bytes[0], bytes[1], bytes[2], bytes[3]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `{1:0.5,7:-0.25}/126` as version 0 writes it; never change this.
    const FROZEN: [u8; 28] =
        [0, 0, 0, 126, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0x3f, 0, 0, 0, 0xbe, 0x80, 0, 0];

    fn with(at: usize, byte: u8) -> Result<SparseVec> {
        let mut bytes = FROZEN;
        bytes[at] = byte;
        decode(&bytes)
    }

    #[test]
    fn version_0_is_read_and_written() {
        let vector: SparseVec = "{1:0.5,7:-0.25}/126".parse().unwrap();
        assert_eq!(encode(vector.as_ref()), FROZEN);
        assert_eq!(decode(&FROZEN), Ok(vector));
    }

    #[test]
    fn each_damage_has_its_error() {
        assert_eq!(decode(&FROZEN[..11]), Err(corrupt("the header is cut off")));
        assert_eq!(decode(&FROZEN[..27]), Err(corrupt("its length is not that of its elements")));
        assert_eq!(with(11, 1), Err(Error::FormatVersion { what: "logvec", found: 1, known: 0 }));
        assert_eq!(with(3, 0), Err(Error::VectorDimensions(0)));
        assert_eq!(with(0, 0x7f), Err(Error::VectorDimensions(2_130_706_558)));
        assert_eq!(with(4, 0x80), Err(corrupt("the number of elements is negative")));
        assert_eq!(with(4, 0x7f), Err(Error::VectorTooDense));
        assert_eq!(with(7, 1), Err(corrupt("its length is not that of its elements")));
        assert_eq!(with(19, 126), Err(Error::VectorIndex { index: 127, dim: 126 }));
        assert_eq!(with(15, 7), Err(corrupt("the indices are not ascending")));
        assert_eq!(with(15, 6), Err(Error::VectorDuplicate(7)));
        assert_eq!(decode(&[&FROZEN[..20], &[0; 8]].concat()), Err(corrupt("a stored element is zero")));
        let infinite = [&FROZEN[..20], &f32::INFINITY.to_be_bytes(), &FROZEN[24..]].concat();
        assert_eq!(decode(&infinite), Err(Error::VectorNotFinite("infinite value")));
    }

    proptest! {
        #[test]
        fn damage_never_panics(at in 0_usize..28, byte in any::<u8>(), cut in 0_usize..29) {
            let mut bytes = FROZEN;
            bytes[at] = byte;
            if let Ok(vector) = decode(&bytes[..cut]) {
                prop_assert_eq!(encode(vector.as_ref()), &bytes[..cut]);
            }
        }
    }
}
