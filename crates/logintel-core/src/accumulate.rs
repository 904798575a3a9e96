//! Sums and means of sparse vectors, row by row.
//!
//! Each component is summed in twice the precision of float64 (Knuth's two-sum), so that the float4 result is the
//! same in whatever order rows and partial sums arrive: a parallel plan gives what a serial one gives.

use allocator_api2::alloc::{Allocator, Global};
use hashbrown::HashMap;

use crate::error::{Error, Result};
use crate::limits::MAX_NNZ;
use crate::sparse::{SparseRef, SparseVec};

/// A sum as the unevaluated sum of two float64.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    high: f64,
    low: f64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        let total = self.high + value;
        let part = total - self.high;
        self.low += (self.high - (total - part)) + (value - part);
        self.high = total;
    }

    fn merge(&mut self, other: Sum) {
        self.add(other.high);
        self.add(other.low);
    }

    fn value(self) -> f64 {
        self.high + self.low
    }
}

/// The running sum of vectors of the same dimensions. It keeps one entry for each index seen, at most
/// [`MAX_NNZ`] of them, in memory from `A`.
#[derive(Debug)]
pub struct VectorSum<A: Allocator = Global> {
    /// 0 until the first vector.
    dim: u32,
    count: u64,
    sums: HashMap<u32, Sum, foldhash::fast::FixedState, A>,
}

impl<A: Allocator> VectorSum<A> {
    /// The sum of nothing.
    pub fn new_in(memory: A) -> Self {
        VectorSum {
            dim: 0,
            count: 0,
            sums: HashMap::with_hasher_in(foldhash::fast::FixedState::default(), memory),
        }
    }

    /// Adds one vector.
    ///
    /// # Errors
    /// [`Error::VectorMismatch`], [`Error::VectorTooDense`] or [`Error::Memory`].
    pub fn add(&mut self, vector: SparseRef<'_>) -> Result<()> {
        self.expect(vector.dim)?;
        self.reserve(vector.nnz())?;
        for (&index, &value) in vector.indices.iter().zip(vector.values) {
            self.sums.entry(index).or_default().add(f64::from(value));
        }
        self.count += 1;
        self.check_density()
    }

    /// Adds all that another sum has seen.
    ///
    /// # Errors
    /// As [`VectorSum::add`].
    pub fn merge<B: Allocator>(&mut self, other: &VectorSum<B>) -> Result<()> {
        if other.count == 0 {
            return Ok(());
        }
        self.expect(other.dim)?;
        self.reserve(other.sums.len())?;
        for (&index, &sum) in &other.sums {
            self.sums.entry(index).or_default().merge(sum);
        }
        self.count += other.count;
        self.check_density()
    }

    /// The sum; `None` if there was no vector.
    ///
    /// # Errors
    /// [`Error::VectorOverflow`] if a component does not fit float4.
    pub fn sum(&self) -> Result<Option<SparseVec>> {
        self.rounded(|sum| sum)
    }

    /// The arithmetic mean; `None` if there was no vector.
    ///
    /// # Errors
    /// None for finite vectors; the result is of the same kind as [`VectorSum::sum`]'s.
    pub fn mean(&self) -> Result<Option<SparseVec>> {
        let count = self.count as f64;
        self.rounded(|sum| sum / count)
    }

    fn rounded(&self, finish: impl Fn(f64) -> f64) -> Result<Option<SparseVec>> {
        if self.count == 0 {
            return Ok(None);
        }
        let mut entries = Vec::with_capacity(self.sums.len());
        for (&index, &sum) in &self.sums {
            let value = finish(sum.value()) as f32;
            if !value.is_finite() {
                return Err(Error::VectorOverflow(index + 1));
            }
            entries.push((index, value));
        }
        SparseVec::from_entries(i64::from(self.dim), entries).map(Some)
    }

    /// The state as bytes, for another process of the same server.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER + self.sums.len() * ENTRY);
        out.extend_from_slice(&self.dim.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        for (index, sum) in &self.sums {
            out.extend_from_slice(&index.to_le_bytes());
            out.extend_from_slice(&sum.high.to_le_bytes());
            out.extend_from_slice(&sum.low.to_le_bytes());
        }
        out
    }

    /// The state that [`VectorSum::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::VectorTooDense`] or [`Error::Memory`].
    pub fn from_bytes_in(bytes: &[u8], memory: A) -> Result<Self> {
        let corrupt = || Error::Corrupt { what: "partial sum", why: "its length does not fit".to_owned() };
        let (&dim, rest) = bytes.split_first_chunk().ok_or_else(corrupt)?;
        let (&count, mut rest) = rest.split_first_chunk().ok_or_else(corrupt)?;
        let mut state = VectorSum::new_in(memory);
        state.dim = u32::from_le_bytes(dim);
        state.count = u64::from_le_bytes(count);
        if rest.len() / ENTRY > MAX_NNZ {
            return Err(Error::VectorTooDense);
        }
        state.reserve(rest.len() / ENTRY)?;
        while let Some((&index, tail)) = rest.split_first_chunk() {
            let (&high, tail) = tail.split_first_chunk().ok_or_else(corrupt)?;
            let (&low, tail) = tail.split_first_chunk().ok_or_else(corrupt)?;
            let sum = Sum { high: f64::from_le_bytes(high), low: f64::from_le_bytes(low) };
            state.sums.insert(u32::from_le_bytes(index), sum);
            rest = tail;
        }
        if rest.is_empty() { Ok(state) } else { Err(corrupt()) }
    }

    fn expect(&mut self, dim: u32) -> Result<()> {
        if self.count > 0 && self.dim != dim {
            return Err(Error::VectorMismatch(self.dim, dim));
        }
        self.dim = dim;
        Ok(())
    }

    fn reserve(&mut self, additional: usize) -> Result<()> {
        let bytes = |entries: usize| (entries * size_of::<(u32, Sum)>()) as u64;
        let (needed, allowed) = (bytes(self.sums.len() + additional), bytes(self.sums.capacity()));
        self.sums.try_reserve(additional).map_err(|_| Error::Memory {
            what: "the sum of vectors",
            needed,
            allowed,
        })
    }

    fn check_density(&self) -> Result<()> {
        if self.sums.len() > MAX_NNZ { Err(Error::VectorTooDense) } else { Ok(()) }
    }
}

const HEADER: usize = 12;
const ENTRY: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn total(rows: &[SparseVec]) -> VectorSum {
        let mut state = VectorSum::new_in(Global);
        for row in rows {
            state.add(row.as_ref()).unwrap();
        }
        state
    }

    fn rows() -> impl Strategy<Value = Vec<SparseVec>> {
        let row = proptest::collection::btree_map(0_u32..8, -1e6_f32..1e6, 0..5)
            .prop_map(|entries| SparseVec::from_entries(8, entries.into_iter().collect()).unwrap());
        proptest::collection::vec(row, 1..40)
    }

    proptest! {
        #[test]
        fn order_and_grouping_do_not_matter(mut rows in rows(), cut in 0_usize..40) {
            let expected = total(&rows);
            let (sum, mean) = (expected.sum(), expected.mean());
            let cut = cut.min(rows.len());
            let mut parts = total(&rows[..cut]);
            let second = VectorSum::from_bytes_in(&total(&rows[cut..]).to_bytes(), Global).unwrap();
            parts.merge(&second).unwrap();
            prop_assert_eq!(parts.sum(), sum.clone());
            prop_assert_eq!(parts.mean(), mean.clone());
            rows.reverse();
            prop_assert_eq!(total(&rows).sum(), sum);
        }

        #[test]
        fn the_mean_is_that_of_each_component(rows in rows()) {
            let mean = total(&rows).mean().unwrap().unwrap();
            for index in 0..8 {
                let of = |v: &SparseVec| v.indices.iter().position(|&i| i == index).map_or(0.0, |k| f64::from(v.values[k]));
                let expected = rows.iter().map(of).sum::<f64>() / rows.len() as f64;
                prop_assert!((of(&mean) - expected).abs() <= expected.abs() * 1e-6 + 1e-6);
            }
        }
    }

    #[test]
    fn nothing_has_no_sum() {
        let mut state = VectorSum::new_in(Global);
        assert_eq!(state.sum(), Ok(None));
        state.merge(&total(&[])).unwrap();
        assert_eq!(state.mean(), Ok(None));
    }

    #[test]
    fn cancellation_is_exact_and_zeros_are_dropped() {
        let row = |text: &str| text.parse::<SparseVec>().unwrap();
        let sum = total(&[row("{1:3e38,2:1e-30}/2"), row("{1:1e-20}/2"), row("{1:-3e38,2:-1e-30}/2")]).sum();
        assert_eq!(sum.unwrap().unwrap(), row("{1:1e-20}/2"));
    }

    #[test]
    fn overflow_and_dimensions_are_errors() {
        let row = |text: &str| text.parse::<SparseVec>().unwrap();
        let mut state = total(&[row("{2:3e38}/2"), row("{2:3e38}/2")]);
        assert_eq!(state.sum(), Err(Error::VectorOverflow(2)));
        assert_eq!(state.mean(), Ok(Some(row("{2:3e38}/2"))));
        assert_eq!(state.add(row("{}/3").as_ref()), Err(Error::VectorMismatch(2, 3)));
    }

    #[test]
    fn damaged_bytes_are_errors() {
        let bytes = total(&["{1:1,2:2}/2".parse().unwrap()]).to_bytes();
        for cut in [0, 3, 4, 11, 13, 30, 51] {
            assert!(VectorSum::from_bytes_in(&bytes[..cut], Global).is_err(), "{cut}");
        }
        assert!(VectorSum::from_bytes_in(&bytes, Global).is_ok());
    }
}
