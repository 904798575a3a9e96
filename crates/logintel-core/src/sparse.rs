//! Sparse float4 vectors: what a message becomes.
//!
//! Indices are 0-based and ascending here, 1-based in text. Zeros are never stored. Sums run in float64 over
//! the stored float4 values, in index order, so that a distance does not depend on how it was asked for.

use std::cmp::Ordering;

use bincode::Decode;
use bincode::de::Decoder;
use bincode::error::DecodeError;

use crate::artifact;
use crate::error::{Error, Result};
use crate::limits::{MAX_DIM, MAX_NNZ};

/// A borrowed sparse vector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SparseRef<'a> {
    /// Dimensions.
    pub dim: u32,
    /// 0-based, ascending, below `dim`.
    pub indices: &'a [u32],
    /// As many as `indices`; finite, non-zero.
    pub values: &'a [f32],
}

/// An owned sparse vector.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SparseVec {
    /// Dimensions.
    pub dim: u32,
    /// 0-based, ascending, below `dim`.
    pub indices: Vec<u32>,
    /// As many as `indices`; finite, non-zero.
    pub values: Vec<f32>,
}

impl SparseVec {
    /// The borrowed form.
    pub fn as_ref(&self) -> SparseRef<'_> {
        SparseRef { dim: self.dim, indices: &self.indices, values: &self.values }
    }

    /// A vector from its entries (0-based index, value) in any order. Zeros are dropped, after their index is checked.
    ///
    /// # Errors
    /// [`Error::VectorDimensions`], [`Error::VectorTooDense`], [`Error::VectorIndex`], [`Error::VectorDuplicate`] or
    /// [`Error::VectorNotFinite`].
    pub fn from_entries(dim: i64, mut entries: Vec<(u32, f32)>) -> Result<Self> {
        let dim = check_dimensions(dim)?;
        if entries.len() > MAX_NNZ {
            return Err(Error::VectorTooDense);
        }
        if !entries.is_sorted_by_key(|entry| entry.0) {
            entries.sort_unstable_by_key(|entry| entry.0);
        }
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Error::VectorDuplicate(pair[0].0 + 1));
        }
        if let Some(last) = entries.last().filter(|last| last.0 >= dim) {
            return Err(Error::VectorIndex { index: i64::from(last.0) + 1, dim });
        }
        for entry in &entries {
            check_finite(entry.1)?;
        }
        entries.retain(|entry| entry.1 != 0.0);
        let (indices, values) = entries.into_iter().unzip();
        Ok(SparseVec { dim, indices, values })
    }
}

/// A number of dimensions that a vector may have.
///
/// # Errors
/// [`Error::VectorDimensions`].
pub fn check_dimensions(dim: i64) -> Result<u32> {
    u32::try_from(dim).ok().filter(|dim| (1..=MAX_DIM).contains(dim)).ok_or(Error::VectorDimensions(dim))
}

/// A value that a vector may hold.
///
/// # Errors
/// [`Error::VectorNotFinite`].
pub fn check_finite(value: f32) -> Result<()> {
    if value.is_nan() {
        return Err(Error::VectorNotFinite("NaN"));
    }
    if value.is_infinite() {
        return Err(Error::VectorNotFinite("infinite value"));
    }
    Ok(())
}

impl SparseRef<'_> {
    /// An owned copy.
    pub fn to_vec(&self) -> SparseVec {
        SparseVec { dim: self.dim, indices: self.indices.to_vec(), values: self.values.to_vec() }
    }

    /// Number of non-zeros.
    pub fn nnz(&self) -> usize {
        self.indices.len()
    }

    /// Sum of squares.
    pub fn norm_squared(&self) -> f64 {
        // `sum()` of nothing is -0.0, and the length of a zero vector is 0.
        self.values.iter().fold(0.0, |sum, &v| sum + f64::from(v) * f64::from(v))
    }

    /// Euclidean length.
    pub fn l2_norm(&self) -> f64 {
        self.norm_squared().sqrt()
    }

    /// Inner product.
    ///
    /// # Errors
    /// [`Error::VectorMismatch`] if the dimensions differ.
    pub fn inner_product(&self, other: SparseRef<'_>) -> Result<f64> {
        self.check_same_dim(other)?;
        let (mut i, mut j, mut sum) = (0, 0, 0.0);
        while i < self.indices.len() && j < other.indices.len() {
            match self.indices[i].cmp(&other.indices[j]) {
                Ordering::Less => i += 1,
                Ordering::Greater => j += 1,
                Ordering::Equal => {
                    sum += f64::from(self.values[i]) * f64::from(other.values[j]);
                    i += 1;
                    j += 1;
                }
            }
        }
        Ok(sum)
    }

    /// Euclidean distance.
    ///
    /// # Errors
    /// [`Error::VectorMismatch`] if the dimensions differ.
    pub fn l2_distance(&self, other: SparseRef<'_>) -> Result<f64> {
        self.check_same_dim(other)?;
        let (mut i, mut j, mut sum) = (0, 0, 0.0);
        while i < self.indices.len() || j < other.indices.len() {
            let left = self.indices.get(i).copied().unwrap_or(u32::MAX);
            let right = other.indices.get(j).copied().unwrap_or(u32::MAX);
            let mut difference = 0.0;
            if left <= right {
                difference += f64::from(self.values[i]);
                i += 1;
            }
            if right <= left {
                difference -= f64::from(other.values[j]);
                j += 1;
            }
            sum += difference * difference;
        }
        Ok(sum.sqrt())
    }

    fn check_same_dim(&self, other: SparseRef<'_>) -> Result<()> {
        if self.dim == other.dim { Ok(()) } else { Err(Error::VectorMismatch(self.dim, other.dim)) }
    }

    /// Total order: component by component as the dense vectors, and where one is the beginning of the other the
    /// shorter one first. That is how PostgreSQL orders arrays. Only vectors that are equal in all respects are `Equal`.
    pub fn total_cmp(&self, other: SparseRef<'_>) -> Ordering {
        let shared = self.nnz().min(other.nnz());
        for k in 0..shared {
            let (left, right) = (self.values[k], other.values[k]);
            // At the smaller index the other vector has a zero.
            let order = match self.indices[k].cmp(&other.indices[k]) {
                Ordering::Less => left.total_cmp(&0.0),
                Ordering::Greater => 0.0_f32.total_cmp(&right),
                Ordering::Equal => left.total_cmp(&right),
            };
            if order.is_ne() {
                return order;
            }
        }
        // One of the two goes on; what counts is within the dimensions of the other.
        let left = self.indices.get(shared).filter(|&&index| index < other.dim).map(|_| self.values[shared]);
        let right =
            other.indices.get(shared).filter(|&&index| index < self.dim).map(|_| other.values[shared]);
        left.unwrap_or(0.0).total_cmp(&right.unwrap_or(0.0)).then(self.dim.cmp(&other.dim))
    }

    /// Cosine distance, `1 - cos`, within `0..=2`; 1.0 when either side is all zero.
    ///
    /// # Errors
    /// [`Error::VectorMismatch`] if the dimensions differ.
    pub fn cosine_distance(&self, other: SparseRef<'_>) -> Result<f64> {
        let product = self.inner_product(other)?;
        let norms = self.norm_squared() * other.norm_squared();
        if norms == 0.0 {
            return Ok(1.0);
        }
        Ok(1.0 - (product / norms.sqrt()).clamp(-1.0, 1.0))
    }
}

/// Sparse vectors as the rows of one matrix, in compressed sparse row form.
#[derive(Debug, Clone, PartialEq, Default, bincode::Encode)]
pub struct CsrMatrix {
    /// Dimensions of every row.
    pub dim: u32,
    /// Row `i` holds the entries `indptr[i]..indptr[i + 1]`; always begins with 0.
    pub indptr: Vec<usize>,
    /// 0-based column of each entry, ascending within a row.
    pub indices: Vec<u32>,
    /// Value of each entry.
    pub values: Vec<f32>,
}

impl<Context> Decode<Context> for CsrMatrix {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> std::result::Result<Self, DecodeError> {
        Ok(CsrMatrix {
            dim: Decode::decode(decoder)?,
            indptr: Decode::decode(decoder)?,
            indices: artifact::numbers(decoder)?,
            values: artifact::numbers(decoder)?,
        })
    }
}

bincode::impl_borrow_decode!(CsrMatrix);

impl CsrMatrix {
    /// A matrix of `dim` columns without rows.
    pub fn new(dim: u32) -> Self {
        CsrMatrix { dim, indptr: vec![0], indices: Vec::new(), values: Vec::new() }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.indptr.len() - 1
    }

    /// Row `i`.
    pub fn row(&self, i: usize) -> SparseRef<'_> {
        let range = self.indptr[i]..self.indptr[i + 1];
        SparseRef { dim: self.dim, indices: &self.indices[range.clone()], values: &self.values[range] }
    }

    /// Bytes that the entries and rows take.
    pub fn bytes(&self) -> u64 {
        (self.indices.len() * 8 + self.indptr.len() * size_of::<usize>()) as u64
    }

    /// Whether this is a matrix at all, for one that was read from bytes: offsets ascend and end where the entries
    /// do, columns ascend within each row and lie below `dim`, values are finite and not zero.
    pub fn is_valid(&self) -> bool {
        self.indptr.first() == Some(&0)
            && self.indptr.last() == Some(&self.indices.len())
            && self.indices.len() == self.values.len()
            && self.indptr.is_sorted()
            && self.values.iter().all(|v| v.is_finite() && *v != 0.0)
            && (0..self.rows()).all(|i| {
                let indices = self.row(i).indices;
                indices.is_sorted_by(|a, b| a < b) && indices.last().is_none_or(|&last| last < self.dim)
            })
    }

    /// Appends a row.
    ///
    /// # Errors
    /// [`Error::VectorMismatch`] if its dimensions differ.
    pub fn push(&mut self, row: SparseRef<'_>) -> Result<()> {
        if row.dim != self.dim {
            return Err(Error::VectorMismatch(self.dim, row.dim));
        }
        self.indices.extend_from_slice(row.indices);
        self.values.extend_from_slice(row.values);
        self.indptr.push(self.indices.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A vector of few dimensions, so that indices meet.
    pub(crate) fn small_vector() -> impl Strategy<Value = SparseVec> {
        (1_u32..12).prop_flat_map(|dim| {
            proptest::collection::btree_map(0..dim, -3_i8..4, 0..6).prop_map(move |entries| {
                let entries = entries.into_iter().map(|(i, v)| (i, f32::from(v) / 2.0)).collect();
                SparseVec::from_entries(i64::from(dim), entries).unwrap()
            })
        })
    }

    /// A pair of vectors of the same dimensions.
    fn pair() -> impl Strategy<Value = (SparseVec, SparseVec)> {
        (small_vector(), small_vector()).prop_map(|(mut a, mut b)| {
            a.dim = a.dim.max(b.dim);
            b.dim = a.dim;
            (a, b)
        })
    }

    fn dense(v: SparseRef<'_>) -> Vec<f32> {
        let mut out = vec![0.0; v.dim as usize];
        for (&i, &x) in v.indices.iter().zip(v.values) {
            out[i as usize] = x;
        }
        out
    }

    proptest! {
        #[test]
        fn order_is_that_of_dense_vectors(a in small_vector(), b in small_vector()) {
            let expected = dense(a.as_ref()).partial_cmp(&dense(b.as_ref())).unwrap();
            prop_assert_eq!(a.as_ref().total_cmp(b.as_ref()), expected);
            prop_assert_eq!(b.as_ref().total_cmp(a.as_ref()), expected.reverse());
            prop_assert_eq!(expected.is_eq(), a == b);
        }

        #[test]
        fn distances_are_those_of_dense_vectors((a, b) in pair()) {
            let (x, y) = (dense(a.as_ref()), dense(b.as_ref()));
            let sum = |f: fn(f64, f64) -> f64| x.iter().zip(&y).map(|(&x, &y)| f(x.into(), y.into())).sum::<f64>();
            let (product, squares) = (sum(|x, y| x * y), sum(|x, y| (x - y) * (x - y)));
            prop_assert!((a.as_ref().inner_product(b.as_ref()).unwrap() - product).abs() < 1e-12);
            prop_assert!((a.as_ref().l2_distance(b.as_ref()).unwrap() - squares.sqrt()).abs() < 1e-12);
            let norms = sum(|x, _| x * x).sqrt() * sum(|_, y| y * y).sqrt();
            let cosine = if norms == 0.0 { 1.0 } else { 1.0 - product / norms };
            let distance = a.as_ref().cosine_distance(b.as_ref()).unwrap();
            prop_assert!((distance - cosine).abs() < 1e-12 && (0.0..=2.0).contains(&distance));
        }
    }

    #[test]
    fn the_empty_vector_has_positive_zero_length() {
        let zero = SparseVec { dim: 3, ..SparseVec::default() };
        assert!(zero.as_ref().l2_norm().is_sign_positive());
    }

    #[test]
    fn dimensions_must_agree() {
        let (a, b) =
            (SparseVec { dim: 3, ..SparseVec::default() }, SparseVec { dim: 4, ..SparseVec::default() });
        assert_eq!(a.as_ref().l2_distance(b.as_ref()), Err(Error::VectorMismatch(3, 4)));
        assert_eq!(a.as_ref().inner_product(b.as_ref()), Err(Error::VectorMismatch(3, 4)));
    }
}
