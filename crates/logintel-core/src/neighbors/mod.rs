//! Exact neighbours under cosine distance, found through an inverted index.
//!
//! What is near is decided by [`SparseRef::cosine_distance`] alone, to the last bit; the index only saves
//! looking at rows that cannot be near. It does so with the bounds of exact similarity joins (Bayardo, Ma and
//! Srikant, *Scaling up all pairs similarity search*, WWW 2007; Anastasiu and Karypis, *L2AP*, ICDE 2014) and of
//! top-k retrieval (Turtle and Flood, *`MaxScore`*, 1995): terms are visited rarest first, a row first met where
//! the remaining terms cannot reach the threshold any more is never looked at, and a row whose partial product
//! plus what remains stays below it is not verified. What remains is bounded by Cauchy and Schwarz from both sides: by
//! how long the query still is in the terms to come, and the row, which each posting tells.
//!
//! Bounds run in float32 on normalised weights, so each is widened by a slack that covers every rounding.

use std::borrow::Cow;
use std::ops::ControlFlow;

use hashbrown::HashMap;

use crate::control::{Control, Steps, in_parts};
use crate::error::{Error, Result};
use crate::sets::Sets;
use crate::sparse::{CsrMatrix, SparseRef};

mod groups;
mod scan;
#[cfg(test)]
pub(crate) mod tests;

pub use groups::Groups;
pub use scan::Scratch;

/// A term that makes a group is in one of so many rows.
const COMMON: u32 = 16;
/// No term.
const NONE: u32 = u32::MAX;

/// Which term a column is: rarest first.
#[derive(Debug, Clone)]
enum Columns {
    /// Term of each column.
    Table(Vec<u32>),
    /// The columns in use, where dimensions are many more than entries.
    Map(HashMap<u32, u32, foldhash::fast::FixedState>),
}

impl Columns {
    fn new(rows: &CsrMatrix) -> Self {
        if rows.dim as usize <= 4 * rows.indices.len() + 1024 {
            Columns::Table(vec![NONE; rows.dim as usize])
        } else {
            Columns::Map(HashMap::with_hasher(foldhash::fast::FixedState::with_seed(0)))
        }
    }

    fn get(&self, column: u32) -> u32 {
        match self {
            Columns::Table(table) => table.get(column as usize).copied().unwrap_or(NONE),
            Columns::Map(map) => map.get(&column).copied().unwrap_or(NONE),
        }
    }

    fn slot(&mut self, column: u32) -> &mut u32 {
        match self {
            Columns::Table(table) => &mut table[column as usize],
            Columns::Map(map) => map.entry(column).or_insert(NONE),
        }
    }
}

/// Rows ready to be compared: norms and renumbered columns beside the matrix.
#[derive(Debug, Clone)]
pub struct Rows<'a> {
    matrix: Cow<'a, CsrMatrix>,
    columns: Columns,
    /// Term of each entry of the matrix; terms are numbered by document frequency, rarest first.
    terms: Vec<u32>,
    /// Rows of each term.
    frequencies: Vec<u32>,
    /// Sum of squares of each row.
    norms: Vec<f64>,
    /// Values of the rows scaled to length 1, where distances are those of these.
    units: Option<Vec<f64>>,
    longest: usize,
    /// Whether no value is negative, so that rows which share a term are at most 1 apart, others exactly.
    nonnegative: bool,
}

impl<'a> Rows<'a> {
    /// Bytes that a matrix and its index take, beside the matrix, with `threads` searches at a time.
    pub fn memory(matrix: &CsrMatrix, threads: usize) -> u64 {
        let (rows, nnz) = (matrix.rows() as u64, matrix.indices.len() as u64);
        let terms = nnz.min(u64::from(matrix.dim));
        let columns =
            if u64::from(matrix.dim) <= 4 * nnz + 1024 { u64::from(matrix.dim) * 4 } else { terms * 20 };
        nnz * 44 + rows * 40 + columns + terms * 40 + threads as u64 * (rows * 20 + terms * 8)
    }

    /// Prepares `matrix`.
    ///
    /// # Errors
    /// [`Error::Memory`] if this and the index would not fit [`Control::memory`], [`Error::TooMany`],
    /// [`Error::Canceled`].
    pub fn new(matrix: Cow<'a, CsrMatrix>, control: &dyn Control) -> Result<Self> {
        check_numbers(matrix.rows(), matrix.indices.len())?;
        let needed = Self::memory(&matrix, control.threads());
        if needed > control.memory() {
            return Err(Error::Memory { what: "the index of vectors", needed, allowed: control.memory() });
        }
        let mut columns = Columns::new(&matrix);
        // Terms are numbered as they come first, then by frequency.
        let mut frequencies: Vec<u32> = Vec::new();
        let mut first_column: Vec<u32> = Vec::new();
        let mut terms = Vec::with_capacity(matrix.indices.len());
        let mut norms = Vec::with_capacity(matrix.rows());
        let mut longest = 0;
        let mut steps = Steps::new(control);
        for i in 0..matrix.rows() {
            steps.pass(1)?;
            let row = matrix.row(i);
            for &column in row.indices {
                steps.pass(1)?;
                let slot = columns.slot(column);
                if *slot == NONE {
                    *slot = frequencies.len() as u32;
                    frequencies.push(0);
                    first_column.push(column);
                }
                frequencies[*slot as usize] += 1;
                terms.push(*slot);
            }
            norms.push(row.norm_squared());
            longest = longest.max(row.indices.len());
        }
        control.poll()?;
        let order = by_frequency(&frequencies, control)?;
        let mut rank = vec![0; order.len()];
        for (new, &old) in order.iter().enumerate() {
            steps.pass(1)?;
            rank[old as usize] = new as u32;
            *columns.slot(first_column[old as usize]) = new as u32;
        }
        for term in &mut terms {
            steps.pass(1)?;
            *term = rank[*term as usize];
        }
        let mut by_rank = Vec::with_capacity(order.len());
        in_parts(&order, control, |part| by_rank.extend(part.iter().map(|&old| frequencies[old as usize])))?;
        let frequencies = by_rank;
        let mut nonnegative = true;
        in_parts(&matrix.values, control, |part| nonnegative &= part.iter().all(|&v| v >= 0.0))?;
        Ok(Rows { matrix, columns, terms, frequencies, norms, units: None, longest, nonnegative })
    }

    /// Bytes that [`Self::scale_to_units`] takes.
    pub(crate) fn units_memory(matrix: &CsrMatrix) -> u64 {
        matrix.indices.len() as u64 * 8
    }

    /// From now on distances are `1 - x·y` of rows scaled to length 1 beforehand, as scikit-learn computes them,
    /// which differs from [`SparseRef::cosine_distance`] in the last bits.
    fn scale_to_units(&mut self, control: &dyn Control) -> Result<()> {
        let mut steps = Steps::new(control);
        let mut units = Vec::with_capacity(self.terms.len());
        for row in 0..self.len() {
            for (_, weight) in self.weights(row) {
                steps.pass(1)?;
                units.push(weight);
            }
        }
        self.units = Some(units);
        Ok(())
    }

    /// Distance of a row to a copy of itself: 0, but for rounding.
    pub(crate) fn distance_of_copies(&self, row: usize) -> f64 {
        let Some(units) = &self.units else { return 0.0 };
        let squares = units[self.matrix.indptr[row]..self.matrix.indptr[row + 1]].iter().map(|v| v * v);
        1.0 - squares.sum::<f64>().clamp(-1.0, 1.0)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.norms.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.norms.is_empty()
    }

    /// Entries of a row.
    pub(crate) fn entries(&self, row: u32) -> usize {
        self.matrix.indptr[row as usize + 1] - self.matrix.indptr[row as usize]
    }

    /// Whether no value is negative, so that no two rows are farther apart than 1.
    pub(crate) fn is_nonnegative(&self) -> bool {
        self.nonnegative
    }

    /// Sets of rows that are linked by steps between rows that share a term.
    pub(crate) fn linked(&self, control: &dyn Control) -> Result<Sets> {
        let mut steps = Steps::new(control);
        let mut sets = Sets::new(self.len());
        let mut first = vec![NONE; self.frequencies.len()];
        for row in 0..self.len() {
            for &term in &self.terms[self.matrix.indptr[row]..self.matrix.indptr[row + 1]] {
                steps.pass(1)?;
                let first = &mut first[term as usize];
                if *first == NONE {
                    *first = row as u32;
                } else {
                    sets.join(*first, row as u32);
                }
            }
        }
        Ok(sets)
    }

    /// The rows as they were given.
    pub fn matrix(&self) -> &CsrMatrix {
        &self.matrix
    }

    /// Puts rows together that are likely to be alike: those that share their heaviest term, of the terms that are
    /// not too rare to say anything. How good this is decides nothing but speed.
    fn alike(&self, control: &dyn Control) -> Result<(Vec<u32>, u32)> {
        let mut steps = Steps::new(control);
        let common = self.len() as u32 / COMMON;
        let mut group_of_term = vec![NONE; self.frequencies.len()];
        let mut alone = NONE;
        let mut count = 0;
        let mut number = |slot: &mut u32| {
            if *slot == NONE {
                *slot = count;
                count += 1;
            }
            *slot
        };
        let rank = |t: u32, weight: f64| (self.frequencies[t as usize] >= common, weight.abs());
        let mut group_of = Vec::with_capacity(self.len());
        for i in 0..self.len() {
            steps.pass(1)?;
            // Of those that are equally heavy the first.
            let mut heaviest: Option<(u32, (bool, f64))> = None;
            for (t, weight) in self.weights(i) {
                steps.pass(1)?;
                let rank = rank(t, weight);
                if heaviest.is_none_or(|(_, most)| rank > most) {
                    heaviest = Some((t, rank));
                }
            }
            group_of.push(match heaviest {
                Some((t, (true, _))) => number(&mut group_of_term[t as usize]),
                _ => number(&mut alone),
            });
        }
        Ok((group_of, count))
    }

    /// Terms and normalised weights of row `i`.
    fn weights(&self, i: usize) -> impl Iterator<Item = (u32, f64)> + '_ {
        let range = self.matrix.indptr[i]..self.matrix.indptr[i + 1];
        let length = self.norms[i].sqrt();
        self.terms[range.clone()]
            .iter()
            .zip(&self.matrix.values[range])
            .map(move |(&t, &v)| (t, f64::from(v) / length))
    }
}

/// Terms by ascending frequency, those equally frequent in their order.
fn by_frequency(frequencies: &[u32], control: &dyn Control) -> Result<Vec<u32>> {
    let mut steps = Steps::new(control);
    let most = frequencies.iter().copied().max().unwrap_or(0) as usize;
    let mut next = vec![0u32; most + 2];
    for &frequency in frequencies {
        steps.pass(1)?;
        next[frequency as usize + 1] += 1;
    }
    for frequency in 1..next.len() {
        next[frequency] += next[frequency - 1];
    }
    let mut order = vec![0; frequencies.len()];
    for (term, &frequency) in (0u32..).zip(frequencies) {
        steps.pass(1)?;
        let at = &mut next[frequency as usize];
        order[*at as usize] = term;
        *at += 1;
    }
    Ok(order)
}

/// Refuses more rows or entries than have a number.
fn check_numbers(rows: usize, entries: usize) -> Result<()> {
    let max = u64::from(NONE) - 1;
    for (what, count) in [("vectors", rows), ("non-zero elements of all vectors", entries)] {
        if count as u64 > max {
            return Err(Error::TooMany { what, max });
        }
    }
    Ok(())
}

/// Terms to rows.
#[derive(Debug, Clone)]
struct Postings {
    /// Term `t` holds the postings `starts[t]..starts[t + 1]`.
    starts: Vec<usize>,
    list: Vec<Posting>,
    /// For each posting the length of what its row has of the terms after this one, those more frequent.
    after: Vec<f32>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Posting {
    row: u32,
    /// Of the row scaled to length 1.
    weight: f32,
    /// Length of what the row has of terms that are more frequent in its group.
    after: f32,
}

impl Postings {
    /// Postings of some rows, each list in the order in which `order` names them.
    fn new(rows: &Rows<'_>, order: &[u32], control: &dyn Control) -> Result<Self> {
        let mut steps = Steps::new(control);
        let mut next = vec![0usize; rows.frequencies.len() + 1];
        for &row in order {
            let range = rows.matrix.indptr[row as usize]..rows.matrix.indptr[row as usize + 1];
            steps.pass(1 + range.len())?;
            rows.terms[range].iter().for_each(|&t| next[t as usize + 1] += 1);
        }
        for t in 1..next.len() {
            steps.pass(1)?;
            next[t] += next[t - 1];
        }
        let starts = next.clone();
        let mut list = vec![Posting::default(); starts[starts.len() - 1]];
        for &row in order {
            for (t, weight) in rows.weights(row as usize) {
                steps.pass(1)?;
                let at = &mut next[t as usize];
                list[*at] = Posting { row, weight: weight as f32, after: 0.0 };
                *at += 1;
            }
        }
        let mut lengths = Lengths::new(rows.len());
        let mut after = vec![0.0; list.len()];
        for (after, posting) in after.iter_mut().zip(&list).rev() {
            steps.pass(1)?;
            *after = lengths.before(posting);
        }
        Ok(Postings { starts, list, after })
    }

    fn of(&self, term: u32) -> std::ops::Range<usize> {
        self.starts[term as usize]..self.starts[term as usize + 1]
    }
}

/// How long rows are in the terms seen so far.
struct Lengths(Vec<f64>);

impl Lengths {
    fn new(rows: usize) -> Self {
        Lengths(vec![0.0; rows])
    }

    /// The posting's row before the posting, which is seen now.
    fn before(&mut self, posting: &Posting) -> f32 {
        let squares = &mut self.0[posting.row as usize];
        let before = squares.sqrt() as f32;
        *squares += f64::from(posting.weight) * f64::from(posting.weight);
        before
    }
}

/// What a search is for: the least cosine that matters now, and what to do with a row.
pub(crate) trait Collect {
    /// Whether rows that share no term with the query, where that means distance 1, are told of by
    /// [`Self::apart`] instead of being offered one by one.
    const APART: bool = false;
    /// Rows of a smaller cosine need not be offered. May rise while the search runs; begins at minus infinity where
    /// every row may matter until one is found.
    fn floor(&self) -> f64;
    /// Whether a row is of interest at all.
    fn wants(&self, _row: u32) -> bool {
        true
    }
    /// Takes a row and its exact distance.
    fn offer(&mut self, row: u32, distance: f64) -> ControlFlow<()>;
    /// Every row that was not offered is at distance 1, or out of interest.
    fn apart(&mut self) {}
    /// All rows will be offered from the beginning.
    fn again(&mut self) {}
}

/// The least cosine within `eps`.
pub(crate) fn floor(eps: f64) -> f64 {
    1.0 - eps.min(2.0)
}

/// Rows at most `eps` away, in no particular order.
pub(crate) struct Within<F> {
    pub eps: f64,
    pub found: F,
}

impl<F: FnMut(u32, f64) -> ControlFlow<()>> Collect for Within<F> {
    fn floor(&self) -> f64 {
        floor(self.eps)
    }

    fn offer(&mut self, row: u32, distance: f64) -> ControlFlow<()> {
        if distance <= self.eps { (self.found)(row, distance) } else { ControlFlow::Continue(()) }
    }
}

/// The nearest row, the lowest among equals.
struct Nearest(Option<Neighbor>);

impl Collect for Nearest {
    const APART: bool = true;

    fn floor(&self) -> f64 {
        self.0.map_or(f64::NEG_INFINITY, |best| 1.0 - best.distance)
    }

    fn offer(&mut self, row: u32, distance: f64) -> ControlFlow<()> {
        if self.0.is_none_or(|best| (distance, row) < (best.distance, best.row)) {
            self.0 = Some(Neighbor { row, distance });
        }
        ControlFlow::Continue(())
    }

    fn apart(&mut self) {
        // If none is nearer than 1, all are at 1.
        let _ = self.offer(0, 1.0);
    }
}

/// A row and how far away it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbor {
    /// The row.
    pub row: u32,
    /// Its cosine distance.
    pub distance: f64,
}

/// The row nearest to `vector`, the lowest among equals, as [`Index::nearest`] finds it: by looking at every row, which takes
/// less time than making an index as long as few are asked for.
///
/// # Errors
/// [`Error::VectorMismatch`] if the dimensions differ, and what `control` returns.
pub fn nearest_of_all(
    matrix: &CsrMatrix,
    vector: SparseRef<'_>,
    control: &dyn Control,
) -> Result<Option<Neighbor>> {
    let mut nearest = Nearest(None);
    let mut steps = Steps::new(control);
    for row in 0..matrix.rows() {
        let other = matrix.row(row);
        steps.pass(1 + vector.indices.len() + other.indices.len())?;
        let _ = nearest.offer(row as u32, vector.cosine_distance(other)?);
    }
    Ok(nearest.0)
}

/// All rows, indexed.
#[derive(Debug, Clone)]
pub struct Index<'a> {
    rows: Rows<'a>,
    groups: Groups,
}

impl<'a> Index<'a> {
    /// Indexes every row.
    ///
    /// # Errors
    /// [`Error::Memory`] and [`Error::Canceled`].
    pub fn new(matrix: Cow<'a, CsrMatrix>, control: &dyn Control) -> Result<Self> {
        let rows = Rows::new(matrix, control)?;
        let (group_of, count) = rows.alike(control)?;
        let groups = Groups::new(&rows, &group_of, count as usize, control)?;
        Ok(Index { rows, groups })
    }

    /// Indexes every row; distances of rows are those that scikit-learn computes, to the last bit.
    ///
    /// # Errors
    /// [`Error::Memory`] and [`Error::Canceled`].
    pub(crate) fn of_units(matrix: Cow<'a, CsrMatrix>, control: &dyn Control) -> Result<Self> {
        let mut index = Index::new(matrix, control)?;
        index.rows.scale_to_units(control)?;
        Ok(index)
    }

    /// The rows.
    pub fn rows(&self) -> &Rows<'a> {
        &self.rows
    }

    /// The rows without their index.
    pub fn into_rows(self) -> Rows<'a> {
        self.rows
    }

    /// Calls `found` with each row at most `eps` from `vector` and its distance, in no particular order.
    ///
    /// # Errors
    /// [`Error::VectorMismatch`] if the dimensions differ.
    pub fn within(
        &self,
        vector: SparseRef<'_>,
        eps: f64,
        scratch: &mut Scratch,
        mut found: impl FnMut(u32, f64),
    ) -> Result<()> {
        scratch.load(&self.rows, vector)?;
        let found = |row, distance| {
            found(row, distance);
            ControlFlow::Continue(())
        };
        self.search(scratch, &mut Within { eps, found });
        scratch.unload();
        Ok(())
    }

    /// The row nearest to `vector`, the lowest among equals; `None` if there are no rows.
    ///
    /// # Errors
    /// [`Error::VectorMismatch`] if the dimensions differ.
    pub fn nearest(&self, vector: SparseRef<'_>, scratch: &mut Scratch) -> Result<Option<Neighbor>> {
        scratch.load(&self.rows, vector)?;
        let mut nearest = Nearest(None);
        if !self.rows.is_empty() {
            self.search(scratch, &mut nearest);
        }
        scratch.unload();
        Ok(nearest.0)
    }

    /// Offers every row that may matter to the query that `scratch` has loaded.
    pub(crate) fn search(&self, scratch: &mut Scratch, collect: &mut impl Collect) {
        self.groups.search(&self.rows, scratch, collect);
    }
}
