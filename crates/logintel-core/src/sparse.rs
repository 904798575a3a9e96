//! Sparse float4 vectors: what a message becomes.
//!
//! Indices are 0-based and ascending here, 1-based in text. Zeros are never stored. Sums run in float64 over
//! the stored float4 values, in index order, so that a distance does not depend on how it was asked for.

use crate::error::{Error, Result};

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
}

impl SparseRef<'_> {
    /// Sum of squares.
    pub fn norm_squared(&self) -> f64 {
        self.values.iter().map(|&v| f64::from(v) * f64::from(v)).sum()
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
        if self.dim != other.dim {
            return Err(Error::VectorMismatch(self.dim, other.dim));
        }
        let (mut i, mut j, mut sum) = (0, 0, 0.0);
        while i < self.indices.len() && j < other.indices.len() {
            match self.indices[i].cmp(&other.indices[j]) {
                std::cmp::Ordering::Less => i += 1,
                std::cmp::Ordering::Greater => j += 1,
                std::cmp::Ordering::Equal => {
                    sum += f64::from(self.values[i]) * f64::from(other.values[j]);
                    i += 1;
                    j += 1;
                }
            }
        }
        Ok(sum)
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
#[derive(Debug, Clone, PartialEq, Default, bincode::Encode, bincode::Decode)]
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
