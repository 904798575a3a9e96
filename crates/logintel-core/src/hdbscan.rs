//! HDBSCAN*: rows that are dense together, at whatever distance suits each cluster (Campello, Moulavi and Sander,
//! PAKDD 2013; Campello, Moulavi, Zimek and Sander, TKDD 2015).
//!
//! Exact, on cosine distance, over distinct rows with multiplicities. It follows scikit-learn's `HDBSCAN`: the core
//! distance of a row reaches its `min_samples`-th neighbour, itself counted; two rows are as far apart as the
//! largest of their distance and their core distances; the hierarchy of the minimum spanning tree over these is
//! condensed by `min_cluster_size`, and clusters are chosen by excess of mass, never the whole.
//!
//! No matrix of distances is kept: the tree grows by Borůvka's rounds (Borůvka 1926; March, Ram and Gray, *Fast
//! Euclidean minimum spanning tree*, KDD 2010), each of which asks the index of [`crate::neighbors`] for the
//! nearest row of another part. Most rows need not ask at first: an edge is no shorter than the core distances of its
//! ends, and the rows within a core distance were seen when it was found.
//!
//! # Ties
//!
//! Where several edges have the same weight there is more than one tree, and what becomes of the rows at a split
//! depends on the order in which equal edges join. On logs, where ties are the rule, that decides the labels:
//! scikit-learn agrees with itself on permutations of the same rows to an adjusted Rand index of 0.4 to 1, and on the
//! same rows in the same order, between processors with and without AVX-512, to one of 0.55 to 1, because its sort is
//! not stable and differs from one to the other. Here the order is fixed:
//!
//! - Distances are rounded as scikit-learn's are, those between copies of a row included.
//! - Of equal edges the one with the lower rows is in the tree.
//! - Prim's algorithm, begun at row 0 and going to the lowest of several rows equally near, puts the edges in line.
//! - They join in ascending weight, equal ones in the order in which `NumPy`'s sort with AVX-512 leaves them (`argsort`).
//! - Copies of a row that part at a tie go where most of them go, so that equal rows have one label. So a cluster
//!   may end up with a few rows less than the least.
//!
//! But for the last rule that is what scikit-learn does on such a processor, so on the same rows the labels are its
//! labels, up to those copies.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use crate::control::{Control, in_parts};
use crate::dbscan::Labels;
use crate::error::{Error, Result};
use crate::neighbors::{Collect, Index, Rows, Scratch};
use crate::pool::{Pace, Pool};
use crate::sets::Sets;
use crate::sparse::CsrMatrix;

mod argsort;
mod condense;
#[cfg(test)]
mod tests;

/// Rows within a row's core distance that are remembered.
const SOME: usize = 8;
/// No row.
const NONE: u32 = u32::MAX;

/// How large and how dense a cluster is at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hdbscan {
    /// Rows that make a cluster.
    pub min_cluster_size: u32,
    /// Rows, the row itself counted, within a row's core distance.
    pub min_samples: u32,
}

/// Rows within a row's core distance.
#[derive(Debug, Clone, Copy)]
struct Near {
    /// The rest is `NONE`.
    rows: [u32; SOME],
    /// Whether these are all.
    all: bool,
}

impl Near {
    const UNKNOWN: Near = Near { rows: [NONE; SOME], all: false };
}

/// An edge of a tree over rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edge {
    /// Mutual reachability distance.
    pub weight: f64,
    /// The lower row.
    pub low: u32,
    /// The higher row.
    pub high: u32,
}

impl Edge {
    fn new(weight: f64, one: u32, other: u32) -> Self {
        Edge { weight, low: one.min(other), high: one.max(other) }
    }

    /// Whether this edge comes before the other: by weight, then by its rows.
    fn before(&self, other: &Edge) -> bool {
        (self.weight, self.low, self.high) < (other.weight, other.low, other.high)
    }
}

/// The minimum spanning tree of mutual reachability over distinct rows.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanningTree {
    /// Core distance of each row.
    pub core: Vec<f64>,
    /// Weight of an edge between copies of each row.
    pub copies: Vec<f64>,
    /// One edge fewer than rows, in no particular order.
    pub edges: Vec<Edge>,
}

impl SpanningTree {
    /// Weights of the tree over all rows, copies included, ascending.
    pub fn sorted_weights(&self, weights: &[u64]) -> Vec<f64> {
        let copies = self.copies.iter().zip(weights).flat_map(|(&weight, &w)| (1..w).map(move |_| weight));
        let mut all: Vec<f64> = self.edges.iter().map(|edge| edge.weight).chain(copies).collect();
        all.sort_unstable_by(f64::total_cmp);
        all
    }
}

impl Hdbscan {
    /// Bytes that [`Self::fit`] takes, those of `rows`, which stand for `all` rows, among them.
    pub fn memory(rows: &CsrMatrix, all: usize, threads: usize) -> u64 {
        let index = rows.bytes() + Rows::memory(rows, threads) + Rows::units_memory(rows);
        index + rows.rows() as u64 * 220 + all as u64 * 100
    }

    /// Clusters rows of which `row_of` names the distinct row. Clusters of distinct rows are numbered from 0 in the
    /// order of their first row, and every row of one counts as core. Fewer rows than `min_samples` are noise.
    ///
    /// # Errors
    /// [`Error::OptionValue`] if `min_cluster_size` is below 2 or `min_samples` below 1, [`Error::Memory`] if the
    /// work would not fit [`Control::memory`], [`Error::TooMany`] from 2³¹ rows on, [`Error::Canceled`].
    ///
    /// # Panics
    /// If `row_of` does not name each distinct row.
    pub fn fit(self, rows: &CsrMatrix, row_of: &[u32], control: &dyn Control) -> Result<Labels> {
        check_number(row_of.len())?;
        let needed = Self::memory(rows, row_of.len(), control.threads());
        if needed > control.memory() {
            return Err(Error::Memory { what: "HDBSCAN", needed, allowed: control.memory() });
        }
        let mut weights = vec![0; rows.rows()];
        in_parts(row_of, control, |part| part.iter().for_each(|&row| weights[row as usize] += 1))?;
        assert!(!weights.contains(&0), "each row is named");
        let labels = match self.spanning_tree(rows, &weights, control)? {
            Some(tree) => condense::labels(&tree, row_of, self.min_cluster_size, control)?,
            None => vec![None; rows.rows()],
        };
        let core = labels.iter().map(Option::is_some).collect();
        let clusters = labels.iter().flatten().max().map_or(0, |most| most + 1);
        Ok(Labels { labels, core, clusters })
    }

    /// The minimum spanning tree of mutual reachability; `None` for fewer rows, copies included, than
    /// `min_samples`, or none at all.
    ///
    /// # Errors
    /// As [`Self::fit`].
    ///
    /// # Panics
    /// If there are not as many weights as rows.
    pub fn spanning_tree(
        self,
        rows: &CsrMatrix,
        weights: &[u64],
        control: &dyn Control,
    ) -> Result<Option<SpanningTree>> {
        assert_eq!(rows.rows(), weights.len(), "each row has a weight");
        self.check()?;
        let needed = Self::memory(rows, 0, control.threads());
        if needed > control.memory() {
            return Err(Error::Memory { what: "HDBSCAN", needed, allowed: control.memory() });
        }
        let total = weights.iter().fold(0u64, |sum, &w| sum.saturating_add(w));
        if total < u64::from(self.min_samples) || rows.rows() == 0 {
            return Ok(None);
        }
        let index = Index::of_units(Cow::Borrowed(rows), control)?;
        let mut pool = Pool::new(control);
        let (core, near) = self.core_distances(&index, weights, &mut pool, control)?;
        let edges = Forest::new(&index, &core, &near, control)?.grow(&mut pool, control)?;
        let of_copies = |row| f64::max(core[row], index.rows().distance_of_copies(row));
        let copies = (0..core.len()).map(of_copies).collect();
        Ok(Some(SpanningTree { core, copies, edges }))
    }

    fn check(self) -> Result<()> {
        let wrong = |name: &str, why: &str| Err(Error::OptionValue { name: name.into(), why: why.into() });
        if self.min_cluster_size < 2 {
            return wrong("min_cluster_size", "a cluster has 2 rows or more");
        }
        if self.min_samples == 0 {
            return wrong("min_samples", "the row itself counts, so the least is 1");
        }
        Ok(())
    }

    /// The core distance of each row, and some rows within it.
    fn core_distances(
        self,
        index: &Index<'_>,
        weights: &[u64],
        pool: &mut Pool<Scratch>,
        control: &dyn Control,
    ) -> Result<(Vec<f64>, Vec<Near>)> {
        let enough = u64::from(self.min_samples);
        let mut core = Vec::with_capacity(weights.len());
        let mut near = Vec::with_capacity(weights.len());
        for range in Pace::new(weights.len(), |row| index.rows().entries(row as u32)) {
            control.poll()?;
            control.progress("core distances", range.start as u64, weights.len() as u64);
            let found = pool.map(range, |scratch, row| {
                let copies = index.rows().distance_of_copies(row);
                if enough == 1 || (weights[row] >= enough && copies == 0.0) {
                    return (0.0, Near::UNKNOWN);
                }
                let mut nearest = Nearest::new(row as u32, copies, enough, weights);
                scratch.load_row(index.rows(), row);
                index.search(scratch, &mut nearest);
                scratch.unload();
                (nearest.reach(), nearest.near())
            });
            for (reach, within) in found {
                core.push(reach);
                near.push(within);
            }
        }
        Ok((core, near))
    }
}

/// The nearest rows that weigh enough together.
struct Nearest<'a> {
    row: u32,
    /// Distance of the row's copies.
    copies: f64,
    enough: u64,
    weights: &'a [u64],
    /// Weight of the row and of `heap`.
    total: u64,
    /// Farthest first; distances as bits, which order like them. The row itself stands for its copies.
    heap: BinaryHeap<(u64, u32)>,
    /// The others that are no farther than the farthest of `heap`, or were when they came.
    tied: Vec<(u64, u32)>,
}

impl<'a> Nearest<'a> {
    fn new(row: u32, copies: f64, enough: u64, weights: &'a [u64]) -> Self {
        let mut nearest =
            Nearest { row, copies, enough, weights, total: 1, heap: BinaryHeap::new(), tied: Vec::new() };
        nearest.again();
        nearest
    }

    fn weight(&self, row: u32) -> u64 {
        self.weights[row as usize] - u64::from(row == self.row)
    }

    /// Distance of the farthest that is needed; 1 if there are not enough, because the rest is at 1.
    fn reach(&self) -> f64 {
        match self.heap.peek() {
            Some(&(bits, _)) if self.total >= self.enough => f64::from_bits(bits),
            _ => 1.0,
        }
    }

    /// Rows within reach, as many as are remembered. Those at distance 1 need not have been offered.
    fn near(&self) -> Near {
        let reach = self.reach();
        let tied = self.tied.iter().filter(|&&(bits, _)| f64::from_bits(bits) <= reach);
        let mut within = self.heap.iter().chain(tied);
        let mut near = Near::UNKNOWN;
        for (slot, &(_, row)) in near.rows.iter_mut().zip(&mut within) {
            *slot = row;
        }
        near.all = reach < 1.0 && within.next().is_none();
        near
    }

    /// Remembers a row that is as far as the farthest that is needed, as far as that may matter.
    fn tie(&mut self, bits: u64, row: u32) {
        if self.tied.len() > SOME {
            let reach = self.reach().to_bits();
            self.tied.retain(|&(bits, _)| bits <= reach);
        }
        if self.tied.len() <= SOME {
            self.tied.push((bits, row));
        }
    }
}

impl Collect for Nearest<'_> {
    const APART: bool = true;

    fn floor(&self) -> f64 {
        if self.total >= self.enough { 1.0 - self.reach() } else { f64::NEG_INFINITY }
    }

    fn wants(&self, row: u32) -> bool {
        row != self.row
    }

    fn offer(&mut self, row: u32, distance: f64) -> ControlFlow<()> {
        if self.total >= self.enough && distance >= self.reach() {
            if distance <= self.reach() {
                self.tie(distance.to_bits(), row);
            }
            return ControlFlow::Continue(());
        }
        self.heap.push((distance.to_bits(), row));
        self.total = self.total.saturating_add(self.weight(row));
        while let Some(&(_, farthest)) = self.heap.peek() {
            let without = self.total - self.weight(farthest);
            if without < self.enough {
                break;
            }
            self.total = without;
            if let Some((bits, row)) = self.heap.pop() {
                self.tie(bits, row);
            }
        }
        ControlFlow::Continue(())
    }

    fn again(&mut self) {
        self.heap.clear();
        self.tied.clear();
        self.total = 1;
        if self.weight(self.row) > 0 {
            let _ = self.offer(self.row, self.copies);
        }
    }
}

/// What is known of a row's shortest edge to another part.
#[derive(Debug, Clone, Copy)]
struct Shortest {
    /// No edge to another part is shorter.
    weight: f64,
    /// The other end, if the edge is known; of equal edges it is the first.
    to: u32,
}

/// Parts of the spanning tree that grow together.
struct Forest<'a> {
    index: &'a Index<'a>,
    core: &'a [f64],
    /// Rows within each row's core distance.
    near: &'a [Near],
    parts: Sets,
    shortest: Vec<Shortest>,
    edges: Vec<Edge>,
    /// For each row, how many rows can be reached by steps between rows that share a term.
    within_reach: Vec<u32>,
    /// Longer edges are not looked for: without negative values nothing is farther than 1, and what is no nearer is
    /// joined without looking.
    longest: f64,
}

impl<'a> Forest<'a> {
    fn new(index: &'a Index<'a>, core: &'a [f64], near: &'a [Near], control: &dyn Control) -> Result<Self> {
        Ok(Forest {
            index,
            core,
            near,
            parts: Sets::new(core.len()),
            shortest: core.iter().map(|&core| Shortest { weight: core, to: NONE }).collect(),
            edges: Vec::with_capacity(core.len().saturating_sub(1)),
            within_reach: within_reach(index.rows(), control)?,
            longest: if index.rows().is_nonnegative() { 1f64.next_down() } else { f64::INFINITY },
        })
    }

    /// Adds the shortest edge of each part until there is one part.
    fn grow(mut self, pool: &mut Pool<Scratch>, control: &dyn Control) -> Result<Vec<Edge>> {
        let all = self.core.len() - 1;
        while self.edges.len() < all {
            control.progress("spanning tree", self.edges.len() as u64, all as u64);
            let best = self.round(pool, control)?;
            let before = self.edges.len();
            for edge in best.into_iter().flatten() {
                if self.parts.join(edge.low, edge.high) {
                    self.edges.push(edge);
                }
            }
            if self.edges.len() == before {
                self.join_apart();
            }
        }
        Ok(self.edges)
    }

    /// The shortest edge of each part, at its lowest row; but for the largest part, which the others find.
    fn round(&mut self, pool: &mut Pool<Scratch>, control: &dyn Control) -> Result<Vec<Option<Edge>>> {
        let count = self.core.len();
        let part: Vec<u32> = (0..count as u32).map(|row| self.parts.find(row)).collect();
        let size = sizes(&part);
        let largest = (0..count as u32).max_by_key(|&of| (size[of as usize], Reverse(of)));
        let mut best: Vec<Option<Edge>> = vec![None; count];
        let mut open = Vec::new();
        for row in 0..count as u32 {
            let of = part[row as usize];
            if Some(of) == largest || size[of as usize] == self.within_reach[row as usize] {
                continue;
            }
            let Shortest { weight, to } = self.shortest[row as usize];
            if to != NONE && part[to as usize] != part[row as usize] {
                improve(&mut best[part[row as usize] as usize], Edge::new(weight, row, to));
            } else {
                self.shortest[row as usize].to = NONE;
                open.push(row);
            }
        }
        open.sort_unstable_by(|&a, &b| {
            let weight = |row: u32| self.shortest[row as usize].weight;
            weight(a).total_cmp(&weight(b)).then(a.cmp(&b))
        });
        let rows = self.index.rows();
        for range in Pace::new(open.len(), |i| rows.entries(open[i])) {
            control.poll()?;
            let rows = &open[range.clone()];
            let found = pool.map(range, |scratch, i| self.shortest(open[i], &part, &best, scratch));
            for (&row, found) in rows.iter().zip(found) {
                let Some(shortest) = found else { continue };
                self.shortest[row as usize] = shortest;
                if shortest.to != NONE {
                    let edge = Edge::new(shortest.weight, row, shortest.to);
                    improve(&mut best[part[row as usize] as usize], edge);
                }
            }
        }
        Ok(best)
    }

    /// Looks for the shortest edge of a row, as far as it may be its part's; `None` if it cannot be.
    fn shortest(
        &self,
        row: u32,
        part: &[u32],
        best: &[Option<Edge>],
        scratch: &mut Scratch,
    ) -> Option<Shortest> {
        let mut limit = self.longest;
        let mut known = None;
        let foreign = |to: u32| to != NONE && part[to as usize] != part[row as usize];
        let own = self.core[row as usize];
        for &to in self.near[row as usize].rows.iter().filter(|&&to| foreign(to)) {
            let edge = Edge::new(own.max(self.core[to as usize]), row, to);
            limit = limit.min(edge.weight);
            improve(&mut known, edge);
        }
        let limit = best[part[row as usize] as usize].map_or(limit, |edge| edge.weight.min(limit));
        if self.shortest[row as usize].weight > limit {
            return None;
        }
        // No edge is shorter than the core distance, and those as long lead to rows that are all known.
        if let Some(edge) = known.filter(|edge| self.near[row as usize].all && edge.weight <= own) {
            return Some(Shortest { weight: edge.weight, to: edge.low ^ edge.high ^ row });
        }
        let rows = self.index.rows();
        let mut foreign = Foreign { row, part, core: self.core, limit, found: None };
        scratch.load_row(rows, row as usize);
        self.index.search(scratch, &mut foreign);
        scratch.unload();
        Some(match foreign.found {
            Some(edge) => Shortest { weight: edge.weight, to: edge.low ^ edge.high ^ row },
            None => Shortest { weight: limit.next_up(), to: NONE },
        })
    }

    /// Joins parts that are at distance 1 of one another, each at its lowest row to row 0.
    fn join_apart(&mut self) {
        for row in 1..self.core.len() as u32 {
            if self.parts.join(0, row) {
                self.edges.push(Edge { weight: 1.0, low: 0, high: row });
            }
        }
    }
}

/// Size of each set, at its lowest element, given the lowest of each element's.
fn sizes(set_of: &[u32]) -> Vec<u32> {
    let mut sizes = vec![0; set_of.len()];
    for &set in set_of {
        sizes[set as usize] += 1;
    }
    sizes
}

/// How many rows can be reached from each. With negative values, where a shared term may part what no term would,
/// that is all.
fn within_reach(rows: &Rows<'_>, control: &dyn Control) -> Result<Vec<u32>> {
    if !rows.is_nonnegative() {
        return Ok(vec![rows.len() as u32; rows.len()]);
    }
    let mut sets = rows.linked(control)?;
    let set_of: Vec<u32> = (0..rows.len() as u32).map(|row| sets.find(row)).collect();
    let sizes = sizes(&set_of);
    Ok(set_of.iter().map(|&set| sizes[set as usize]).collect())
}

/// Refuses rows that have no number: nodes of the hierarchy are up to twice as many.
fn check_number(rows: usize) -> Result<()> {
    let max = u64::from(NONE) / 2 - 1;
    if rows as u64 > max { Err(Error::TooMany { what: "rows", max }) } else { Ok(()) }
}

fn improve(best: &mut Option<Edge>, edge: Edge) {
    if best.is_none_or(|best| edge.before(&best)) {
        *best = Some(edge);
    }
}

/// The shortest edge to a row of another part.
struct Foreign<'a> {
    row: u32,
    part: &'a [u32],
    core: &'a [f64],
    /// Longer edges are of no interest.
    limit: f64,
    found: Option<Edge>,
}

impl Collect for Foreign<'_> {
    const APART: bool = true;

    fn floor(&self) -> f64 {
        let limit = self.found.map_or(self.limit, |edge| edge.weight);
        if limit.is_finite() { 1.0 - limit } else { f64::NEG_INFINITY }
    }

    fn wants(&self, row: u32) -> bool {
        self.part[row as usize] != self.part[self.row as usize]
    }

    fn offer(&mut self, row: u32, distance: f64) -> ControlFlow<()> {
        let weight = distance.max(self.core[self.row as usize]).max(self.core[row as usize]);
        if weight <= self.limit {
            improve(&mut self.found, Edge::new(weight, self.row, row));
        }
        ControlFlow::Continue(())
    }
}
