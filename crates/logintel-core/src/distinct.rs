//! Rows that are the same vector, kept once.
//!
//! Logs repeat themselves: a hundred thousand lines may be two thousand vectors. Equal means equal bit for bit,
//! so that weighting a distinct row by its multiplicity changes no distance. Zero vectors are never merged,
//! because two of them are at distance 1 from one another.

use std::hash::BuildHasher;

use hashbrown::HashTable;

use crate::control::Control;
use crate::error::{Error, Result};
use crate::sparse::{CsrMatrix, SparseRef};

/// Distinct rows in the order of their first occurrence.
pub struct Distinct {
    rows: CsrMatrix,
    weights: Vec<u64>,
    row_of: Vec<u32>,
    table: HashTable<u32>,
    hasher: foldhash::fast::FixedState,
}

/// What [`Distinct::finish`] hands out.
#[derive(Debug, Clone, PartialEq)]
pub struct DistinctRows {
    /// The distinct rows, in the order of their first occurrence.
    pub rows: CsrMatrix,
    /// How often each of them came.
    pub weights: Vec<u64>,
    /// The distinct row of each row that was pushed.
    pub row_of: Vec<u32>,
}

impl Distinct {
    /// Nothing yet, in `dim` dimensions.
    pub fn new(dim: u32) -> Self {
        Distinct {
            rows: CsrMatrix::new(dim),
            weights: Vec::new(),
            row_of: Vec::new(),
            table: HashTable::new(),
            hasher: foldhash::fast::FixedState::with_seed(0),
        }
    }

    /// Number of distinct rows so far.
    pub fn len(&self) -> usize {
        self.rows.rows()
    }

    /// Whether no row came yet.
    pub fn is_empty(&self) -> bool {
        self.row_of.is_empty()
    }

    /// Bytes held, counting what vectors keep in reserve while they grow.
    pub fn memory(&self) -> u64 {
        let rows = &self.rows;
        (rows.indices.capacity() * 4
            + rows.values.capacity() * 4
            + rows.indptr.capacity() * 8
            + self.weights.capacity() * 8
            + self.row_of.capacity() * 4
            + self.table.capacity() * 6) as u64
    }

    /// Adds a row and returns its distinct row.
    ///
    /// # Errors
    /// [`Error::VectorMismatch`] if its dimensions differ, [`Error::Memory`] if the distinct rows outgrow
    /// [`Control::memory`].
    pub fn push(&mut self, row: SparseRef<'_>, control: &dyn Control) -> Result<u32> {
        if row.dim != self.rows.dim {
            return Err(Error::VectorMismatch(self.rows.dim, row.dim));
        }
        self.reserve(row.indices.len(), control)?;
        let fresh = self.rows.rows() as u32;
        let found = if row.indices.is_empty() { fresh } else { self.lookup(row, fresh) };
        if found == fresh {
            self.rows.push(row)?;
            self.weights.push(1);
        } else {
            self.weights[found as usize] += 1;
        }
        self.row_of.push(found);
        Ok(found)
    }

    /// The distinct rows, their weights, and which row is which.
    pub fn finish(self) -> DistinctRows {
        DistinctRows { rows: self.rows, weights: self.weights, row_of: self.row_of }
    }

    fn lookup(&mut self, row: SparseRef<'_>, fresh: u32) -> u32 {
        let (rows, hasher) = (&self.rows, &self.hasher);
        let hash = |row: SparseRef<'_>| hasher.hash_one(Bits(row));
        *self
            .table
            .entry(hash(row), |&i| Bits(rows.row(i as usize)) == Bits(row), |&i| hash(rows.row(i as usize)))
            .or_insert(fresh)
            .get()
    }

    /// Refuses a row whose growth, vectors doubling, would pass the bound.
    fn reserve(&self, nnz: usize, control: &dyn Control) -> Result<()> {
        let rows = &self.rows;
        let doubled = |capacity: usize, len: usize, more: usize, bytes: usize| {
            if len + more > capacity { (capacity * 2).max(len + more) * bytes } else { 0 }
        };
        let growth = doubled(rows.indices.capacity(), rows.indices.len(), nnz, 4)
            + doubled(rows.values.capacity(), rows.values.len(), nnz, 4)
            + doubled(rows.indptr.capacity(), rows.indptr.len(), 1, 8)
            + doubled(self.weights.capacity(), self.weights.len(), 1, 8)
            + doubled(self.row_of.capacity(), self.row_of.len(), 1, 4)
            + doubled(self.table.capacity(), self.table.len(), 1, 6);
        let needed = if growth == 0 { 0 } else { self.memory() + growth as u64 };
        if needed > control.memory() || self.rows.rows() >= u32::MAX as usize {
            return Err(Error::Memory { what: "distinct vectors", needed, allowed: control.memory() });
        }
        Ok(())
    }
}

/// Equality and hash of the stored bits.
struct Bits<'a>(SparseRef<'a>);

impl PartialEq for Bits<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.indices == other.0.indices
            && self.0.values.iter().zip(other.0.values).all(|(a, b)| a.to_bits() == b.to_bits())
    }
}

impl std::hash::Hash for Bits<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_usize(self.0.indices.len());
        for (&index, value) in self.0.indices.iter().zip(self.0.values) {
            state.write_u64(u64::from(index) << 32 | u64::from(value.to_bits()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Unattended;
    use crate::sparse::SparseVec;

    fn vector(entries: &[(u32, f32)]) -> SparseVec {
        SparseVec {
            dim: 9,
            indices: entries.iter().map(|e| e.0).collect(),
            values: entries.iter().map(|e| e.1).collect(),
        }
    }

    #[test]
    fn equal_rows_merge_and_zero_vectors_do_not() {
        let rows = [
            vector(&[(1, 0.5)]),
            vector(&[]),
            vector(&[(1, 0.5), (2, 1.0)]),
            vector(&[(1, 0.5)]),
            vector(&[]),
            vector(&[(2, 0.5)]),
            vector(&[(1, 0.500_000_06)]),
        ];
        let mut distinct = Distinct::new(9);
        for row in &rows {
            distinct.push(row.as_ref(), &Unattended).unwrap();
        }
        let distinct = distinct.finish();
        assert_eq!(distinct.row_of, [0, 1, 2, 0, 3, 4, 5]);
        assert_eq!(distinct.weights, [2, 1, 1, 1, 1, 1]);
        for (row, &i) in rows.iter().zip(&distinct.row_of) {
            assert_eq!(distinct.rows.row(i as usize), row.as_ref());
        }
    }

    #[test]
    fn memory_and_dimensions_are_bounded() {
        struct Tight;
        impl Control for Tight {
            fn memory(&self) -> u64 {
                10_000
            }
        }
        let mut distinct = Distinct::new(9);
        let wrong = SparseVec { dim: 8, ..SparseVec::default() };
        assert_eq!(distinct.push(wrong.as_ref(), &Tight), Err(Error::VectorMismatch(9, 8)));
        let error = (0..10_000u16)
            .find_map(|i| distinct.push(vector(&[(1, f32::from(i) + 1.0)]).as_ref(), &Tight).err())
            .expect("ten thousand rows do not fit ten thousand bytes");
        assert!(matches!(error, Error::Memory { needed, allowed: 10_000, .. } if needed > 10_000));
        assert!(distinct.memory() <= 10_000);
        assert!(distinct.len() > 50);
    }
}
