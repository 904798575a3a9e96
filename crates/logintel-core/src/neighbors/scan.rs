//! One search through some lists of postings, and the buffers that it needs.

use std::ops::ControlFlow;

use super::{Collect, NONE, Posting, Postings, Rows};
use crate::error::{Error, Result};
use crate::sparse::SparseRef;

/// Added to a partial product so that zero means "not met".
const MET: f32 = 2.0;
/// Verified, and out of the way: no product lifts it.
const VERIFIED: f32 = f32::NEG_INFINITY;
/// Verifying a row costs about as much as passing so many postings.
pub(super) const VERIFY_COST: usize = 4;

/// Rows that are verified before the rest is winnowed.
const PROMISING: usize = 8;

/// Buffers that a caller keeps between searches.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    /// The query's value for each term.
    dense: Vec<f64>,
    /// Terms and normalised weights of the query, rarest first.
    pub(super) query: Vec<(u32, f32)>,
    norm: f64,
    slack: f64,
    /// Lists to go through, in this order.
    pub(super) lists: Vec<List>,
    /// What the lists from here on can add at most.
    rest: Vec<f64>,
    partial: Vec<Partial>,
    /// Rows whose `partial` is not zero.
    met: Vec<u32>,
    /// Rows met that may reach the floor.
    alive: Vec<u32>,
    /// Bound of each group, and the groups that may matter with theirs.
    pub(super) group_bound: Vec<f32>,
    pub(super) groups: Vec<(u32, f32)>,
}

/// What is known of a row's product with the query.
#[derive(Debug, Clone, Copy, Default)]
struct Partial {
    /// Zero if the row was not met.
    sum: f32,
    /// Length of what the row has of terms that are yet to come.
    after: f32,
}

impl Partial {
    fn add(&mut self, weight: f32, posting: &Posting) {
        self.sum += weight * posting.weight;
        self.after = posting.after;
    }
}

/// Postings to go through.
#[derive(Debug, Clone, Copy)]
pub(super) struct List {
    pub start: usize,
    pub end: usize,
    /// The query's normalised weight.
    pub weight: f32,
    /// What the list can add to a row at most.
    pub bound: f32,
    /// Length of what the query has in the lists after this one.
    pub after: f32,
}

impl List {
    /// What this list and those after it can add at most to a row of which they are all: the product of one term,
    /// and by Cauchy and Schwarz that of the others.
    fn reach(&self, posting: &Posting, after: f32) -> f32 {
        self.weight * posting.weight + self.after * after
    }
}

impl Scratch {
    /// Makes `vector` the query, scaled to length 1 where rows are.
    pub(crate) fn load(&mut self, rows: &Rows<'_>, vector: SparseRef<'_>) -> Result<()> {
        if vector.dim != rows.matrix.dim {
            return Err(Error::VectorMismatch(rows.matrix.dim, vector.dim));
        }
        self.resize(rows);
        self.norm = vector.norm_squared();
        let length = self.norm.sqrt();
        let scale = if rows.units.is_some() { length } else { 1.0 };
        for (&column, &value) in vector.indices.iter().zip(vector.values) {
            let term = rows.columns.get(column);
            if term != NONE {
                self.dense[term as usize] = f64::from(value) / scale;
                self.query.push((term, (f64::from(value) / length) as f32));
            }
        }
        self.ready(rows);
        Ok(())
    }

    /// Makes row `i` the query.
    pub(crate) fn load_row(&mut self, rows: &Rows<'_>, i: usize) {
        self.resize(rows);
        self.norm = rows.norms[i];
        let range = rows.matrix.indptr[i]..rows.matrix.indptr[i + 1];
        let terms = &rows.terms[range.clone()];
        if let Some(units) = &rows.units {
            terms.iter().zip(&units[range]).for_each(|(&term, &value)| self.dense[term as usize] = value);
        } else {
            let values = &rows.matrix.values[range];
            terms.iter().zip(values).for_each(|(&term, &v)| self.dense[term as usize] = f64::from(v));
        }
        self.query.extend(rows.weights(i).map(|(t, w)| (t, w as f32)));
        self.ready(rows);
    }

    fn ready(&mut self, rows: &Rows<'_>) {
        self.query.sort_unstable_by_key(|&(term, _)| term);
        // Per shared term: two weights rounded to float32, a product and a sum below 4 rounded once each.
        let shared = self.query.len().min(rows.longest);
        self.slack = 1e-6 + shared as f64 * 6e-7;
    }

    /// Forgets the query.
    pub(crate) fn unload(&mut self) {
        for (term, _) in self.query.drain(..) {
            self.dense[term as usize] = 0.0;
        }
    }

    /// Whether no product with a row without negative values is negative.
    pub(super) fn is_nonnegative(&self) -> bool {
        self.query.iter().all(|&(_, weight)| weight >= 0.0)
    }

    /// How far a bound may be off.
    pub(crate) fn slack(&self) -> f64 {
        self.slack
    }

    fn resize(&mut self, rows: &Rows<'_>) {
        if self.dense.len() < rows.frequencies.len() {
            self.dense.resize(rows.frequencies.len(), 0.0);
        }
        if self.partial.len() < rows.len() {
            self.partial.resize(rows.len(), Partial::default());
        }
    }

    /// Forgets which rows were met, but for the first `keep`.
    pub(super) fn clear_from(&mut self, keep: usize) {
        for row in self.met.drain(keep..) {
            self.partial[row as usize] = Partial::default();
        }
    }

    /// Cosine distance of the query to a row; the same bits as [`SparseRef::cosine_distance`], because a term
    /// that is not shared adds a zero to a sum in the same order. Of units, where rows have them.
    pub(super) fn distance(&self, rows: &Rows<'_>, row: u32) -> f64 {
        let range = rows.matrix.indptr[row as usize]..rows.matrix.indptr[row as usize + 1];
        if let Some(units) = &rows.units {
            let shared = rows.terms[range.clone()].iter().zip(&units[range]);
            let product: f64 = shared.map(|(&term, &value)| self.dense[term as usize] * value).sum();
            return 1.0 - product.clamp(-1.0, 1.0);
        }
        let norms = self.norm * rows.norms[row as usize];
        if norms == 0.0 {
            return 1.0;
        }
        let product: f64 = rows.terms[range.clone()]
            .iter()
            .zip(&rows.matrix.values[range])
            .map(|(&term, &value)| self.dense[term as usize] * f64::from(value))
            .sum();
        1.0 - (product / norms.sqrt()).clamp(-1.0, 1.0)
    }

    /// Offers every row.
    pub(super) fn all(&self, rows: &Rows<'_>, collect: &mut impl Collect) -> ControlFlow<()> {
        let mut wanted = 0..rows.len() as u32;
        wanted.try_for_each(|row| {
            if collect.wants(row) {
                collect.offer(row, self.distance(rows, row))
            } else {
                ControlFlow::Continue(())
            }
        })
    }

    /// Postings of the lists in which a row first met can reach `floor`.
    pub(super) fn to_see(&self, floor: f64) -> usize {
        let lists = self.lists.iter().zip(&self.rest);
        lists
            .take_while(|&(_, &rest)| rest >= floor - self.slack)
            .map(|(list, _)| list.end - list.start)
            .sum()
    }

    /// Bounds of products when the lists before `next` are added up.
    fn bound(&self, next: usize) -> Bound {
        let after = next.checked_sub(1).map_or(1.0, |last| self.lists[last].after);
        Bound { rest: self.rest[next] as f32, after }
    }

    /// Bounds of what the lists from each one on can add: by Cauchy and Schwarz over the query's weights, as no
    /// row is longer than 1, and by the largest product of each list.
    pub(super) fn bound_rest(&mut self) {
        self.rest.clear();
        self.rest.resize(self.lists.len() + 1, 0.0);
        let (mut squares, mut products) = (0.0, 0.0);
        for (i, list) in self.lists.iter_mut().enumerate().rev() {
            list.after = f64::sqrt(squares) as f32;
            squares += f64::from(list.weight) * f64::from(list.weight);
            products += f64::from(list.bound);
            self.rest[i] = f64::min(f64::sqrt(squares), products);
        }
    }
}

/// What the lists that are left can add.
#[derive(Clone, Copy)]
struct Bound {
    /// To any row.
    rest: f32,
    /// To a row that is of length 1 in the terms to come.
    after: f32,
}

impl Bound {
    /// The largest that the product with a row can be.
    fn of(self, partial: Partial) -> f32 {
        partial.sum - MET + self.rest.min(self.after * partial.after)
    }
}

/// What a search runs over.
pub(super) struct Search<'a> {
    pub rows: &'a Rows<'a>,
    pub postings: &'a Postings,
}

impl Search<'_> {
    /// Offers the rows of the lists that may reach the floor and were not met before; `eager` of them as they come,
    /// first list first, which is enough where few will do.
    pub fn run(&self, scratch: &mut Scratch, eager: usize, collect: &mut impl Collect) -> ControlFlow<()> {
        scratch.bound_rest();
        let before = scratch.met.len();
        let flow = match self.glance(scratch, eager, |at| self.postings.list[at].after, collect) {
            ControlFlow::Continue(Some((list, at))) => self.add_up(scratch, list, at, collect),
            ControlFlow::Continue(None) => ControlFlow::Continue(()),
            ControlFlow::Break(()) => ControlFlow::Break(()),
        };
        scratch.clear_from(before);
        flow
    }

    /// Verifies at most `left` rows as they come and marks them. Returns the list and the posting where it stopped,
    /// if there is more to see.
    pub fn glance(
        &self,
        scratch: &mut Scratch,
        mut left: usize,
        after: impl Fn(usize) -> f32,
        collect: &mut impl Collect,
    ) -> ControlFlow<(), Option<(usize, usize)>> {
        let mut steps = left * VERIFY_COST;
        for i in 0..scratch.lists.len() {
            if scratch.rest[i] < collect.floor() - scratch.slack {
                return ControlFlow::Continue(None);
            }
            let list = scratch.lists[i];
            let mut least = (collect.floor() - scratch.slack) as f32;
            for at in list.start..list.end {
                let posting = self.postings.list[at];
                let row = posting.row;
                if left == 0 || steps == 0 {
                    return ControlFlow::Continue(Some((i, at)));
                }
                steps -= 1;
                if list.reach(&posting, after(at)) < least
                    || scratch.partial[row as usize].sum != 0.0
                    || !collect.wants(row)
                {
                    continue;
                }
                left -= 1;
                scratch.partial[row as usize].sum = VERIFIED;
                scratch.met.push(row);
                collect.offer(row, scratch.distance(self.rows, row))?;
                least = (collect.floor() - scratch.slack) as f32;
            }
        }
        ControlFlow::Continue(None)
    }

    /// Adds up partial products from posting `at` of list `first` on, and offers the rows that may reach the floor.
    fn add_up(
        &self,
        scratch: &mut Scratch,
        first: usize,
        at: usize,
        collect: &mut impl Collect,
    ) -> ControlFlow<()> {
        let fresh = scratch.met.len();
        let next = self.meet(scratch, first, at, collect.floor());
        let mut alive = std::mem::take(&mut scratch.alive);
        alive.clear();
        alive.extend(scratch.met[fresh..].iter().copied().filter(|&row| collect.wants(row)));
        let flow = self.winnow(scratch, next, &mut alive, collect);
        scratch.alive = alive;
        flow
    }

    /// Meets the rows of the lists in which a row first met can reach the floor; returns the list after them.
    fn meet(&self, scratch: &mut Scratch, first: usize, at: usize, floor: f64) -> usize {
        let least = (floor - scratch.slack) as f32;
        for i in first..scratch.lists.len() {
            if scratch.rest[i] < floor - scratch.slack {
                return i;
            }
            let list = scratch.lists[i];
            for p in &self.postings.list[if i == first { at } else { list.start }..list.end] {
                let partial = &mut scratch.partial[p.row as usize];
                if partial.sum == 0.0 {
                    if list.reach(p, p.after) < least {
                        continue;
                    }
                    partial.sum = MET;
                    scratch.met.push(p.row);
                }
                partial.add(list.weight, p);
            }
        }
        scratch.lists.len()
    }

    /// Adds to the rows that are `alive` what the remaining lists hold of them, as long as that is cheaper than to
    /// verify those that may still reach the floor; then verifies these.
    fn winnow(
        &self,
        scratch: &mut Scratch,
        mut next: usize,
        alive: &mut Vec<u32>,
        collect: &mut impl Collect,
    ) -> ControlFlow<()> {
        let mut promising = PROMISING;
        loop {
            let bound = scratch.bound(next);
            let least = (collect.floor() - scratch.slack) as f32;
            alive.retain(|&row| bound.of(scratch.partial[row as usize]) >= least);
            if promising > 0 && alive.len() > promising {
                // The best so far are likely to raise the floor, or to be enough.
                alive.select_nth_unstable_by(promising, |&a, &b| {
                    scratch.partial[b as usize].sum.total_cmp(&scratch.partial[a as usize].sum)
                });
                for row in alive.drain(..promising) {
                    collect.offer(row, scratch.distance(self.rows, row))?;
                }
                promising = 0;
                continue;
            }
            let Some(&list) = scratch.lists.get(next) else { break };
            if alive.len() * VERIFY_COST < list.end - list.start {
                break;
            }
            for p in &self.postings.list[list.start..list.end] {
                let partial = &mut scratch.partial[p.row as usize];
                if partial.sum != 0.0 {
                    partial.add(list.weight, p);
                }
            }
            next += 1;
        }
        let bound = scratch.bound(next);
        for &row in &*alive {
            let least = (collect.floor() - scratch.slack) as f32;
            if bound.of(scratch.partial[row as usize]) >= least {
                collect.offer(row, scratch.distance(self.rows, row))?;
            }
        }
        ControlFlow::Continue(())
    }
}
