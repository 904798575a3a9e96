//! DBSCAN: rows that are dense together at one distance (Ester, Kriegel, Sander and Xu, KDD 1996).
//!
//! Exact, and the same as scikit-learn's `DBSCAN(metric="cosine")` with multiplicities as `sample_weight`, but
//! without neighbourhoods: which rows are core needs no more than `min_points` neighbours of each, and which of
//! them belong together needs no more than one pair for two sets of rows that are joined. Only sets that stay
//! apart are compared in full, and there the bounds of [`crate::neighbors`] rule out almost everything.

use std::borrow::Cow;
use std::ops::ControlFlow;

use crate::control::{Control, Steps};
use crate::error::{Error, Result};
use crate::neighbors::{Collect, Groups, Index, Rows, Scratch, floor};
use crate::pool::{Pace, Pool};
use crate::sets::Sets;
use crate::sparse::{CsrMatrix, SparseRef};

/// No group, no row.
const NONE: u32 = u32::MAX;
/// Neighbours of a core row that are remembered to join it with.
const LINKS: usize = 4;
/// Rows that are looked at for the sake of such neighbours alone.
const LOOK_FOR_LINKS: usize = 64;

/// What dense means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dbscan {
    /// Rows at most so far away, in cosine distance, are neighbours.
    pub eps: f64,
    /// Rows, the row itself counted, that make a neighbourhood dense.
    pub min_points: u32,
}

/// Which cluster each row is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// Cluster of each row; noise is `None`.
    pub labels: Vec<Option<u32>>,
    /// Whether the row's neighbourhood is dense.
    pub core: Vec<bool>,
    /// Number of clusters.
    pub clusters: u32,
}

impl Dbscan {
    /// Bytes that [`Self::fit`] takes, those of the rows among them.
    pub fn memory(rows: &CsrMatrix, threads: usize) -> u64 {
        Rows::memory(rows, threads) + rows.bytes() + rows.rows() as u64 * 160
    }

    /// Clusters distinct `rows`, each as often as its weight says. Clusters are numbered from 0 in the order of
    /// their first core row; a row that is near several without being core goes to the lowest-numbered one.
    ///
    /// # Errors
    /// [`Error::OptionValue`] if `eps` is negative or NaN or `min_points` is 0, [`Error::Memory`] if the work
    /// would not fit [`Control::memory`], [`Error::Canceled`].
    ///
    /// # Panics
    /// If there are not as many weights as rows.
    pub fn fit(&self, rows: &CsrMatrix, weights: &[u64], control: &dyn Control) -> Result<Labels> {
        assert_eq!(rows.rows(), weights.len(), "each row has a weight");
        self.check()?;
        let needed = Self::memory(rows, control.threads());
        if needed > control.memory() {
            return Err(Error::Memory { what: "DBSCAN", needed, allowed: control.memory() });
        }
        let index = Index::new(Cow::Borrowed(rows), control)?;
        let mut pool = Pool::new(control);
        let (core, links) = self.core_rows(&index, weights, &mut pool, control)?;
        let rows = index.into_rows();
        let mut sets = Sets::new(rows.len());
        for (row, links) in links.iter().enumerate().filter(|&(row, _)| core[row]) {
            for &link in links.iter().filter(|&&l| l != NONE && core[l as usize]) {
                sets.join(row as u32, link);
            }
        }
        drop(links);
        while !self.join_sets(&rows, &core, &mut sets, &mut pool, control)? {}
        let (cluster_of, clusters) = number(&core, &mut sets);
        let labels = self.borders(&rows, &cluster_of, clusters, &mut pool, control)?;
        Ok(Labels { labels, core, clusters })
    }

    fn check(&self) -> Result<()> {
        let wrong = |name: &str, why: &str| Err(Error::OptionValue { name: name.into(), why: why.into() });
        if self.eps.is_nan() || self.eps < 0.0 {
            return wrong("eps", "a distance is 0 or more");
        }
        if self.min_points == 0 {
            return wrong("min_points", "the row itself counts, so the least is 1");
        }
        Ok(())
    }

    /// Which rows are core, and some neighbours of those that are.
    fn core_rows(
        &self,
        index: &Index<'_>,
        weights: &[u64],
        pool: &mut Pool<Scratch>,
        control: &dyn Control,
    ) -> Result<(Vec<bool>, Vec<[u32; LINKS]>)> {
        let count = weights.len();
        let mut core = Vec::with_capacity(count);
        let mut links = Vec::with_capacity(count);
        for range in Pace::new(count, |row| index.rows().entries(row as u32)) {
            control.poll()?;
            control.progress("core rows", range.start as u64, count as u64);
            for (is_core, near) in pool.map(range, |scratch, i| self.core_row(index, weights, scratch, i)) {
                core.push(is_core);
                links.push(near);
            }
        }
        Ok((core, links))
    }

    fn core_row(
        &self,
        index: &Index<'_>,
        weights: &[u64],
        scratch: &mut Scratch,
        row: usize,
    ) -> (bool, [u32; LINKS]) {
        let mut count = Count {
            eps: self.eps,
            row: row as u32,
            enough: u64::from(self.min_points),
            weights,
            weight: weights[row],
            links: [NONE; LINKS],
            linked: 0,
            looked: 0,
        };
        scratch.load_row(index.rows(), row);
        index.search(scratch, &mut count);
        scratch.unload();
        (count.weight >= count.enough, count.links)
    }

    /// Joins sets of core rows of which one has a row near the other, the smaller set of two asking. Returns
    /// false where so many were joined early that it pays to begin again with the new ones.
    fn join_sets(
        &self,
        rows: &Rows<'_>,
        core: &[bool],
        sets: &mut Sets,
        pool: &mut Pool<Scratch>,
        control: &dyn Control,
    ) -> Result<bool> {
        let (group_of, count) = number(core, sets);
        let groups = Groups::new(rows, &group_of, count as usize, control)?;
        let size = |group: u32| (groups.members(group).len(), group);
        let mut ascending: Vec<u32> = (0..count).collect();
        ascending.sort_unstable_by_key(|&group| size(group));
        let order: Vec<u32> = ascending.iter().flat_map(|&group| groups.members(group)).copied().collect();
        let mut joined = Sets::new(count as usize);
        let mut left = count;
        for range in Pace::new(order.len(), |i| rows.entries(order[i])) {
            control.poll()?;
            control.progress("joining core rows", range.start as u64, order.len() as u64);
            let begun_anew = left <= count / 2 && range.start <= order.len() / 4;
            if left <= 1 || begun_anew {
                return Ok(left <= 1);
            }
            let set_of: Vec<u32> = (0..count).map(|group| joined.find(group)).collect();
            let near = pool.map(range, |scratch, i| {
                let row = order[i] as usize;
                let own = group_of[row];
                let mut near = Vec::new();
                scratch.load_row(rows, row);
                let wanted =
                    |other: u32| set_of[other as usize] != set_of[own as usize] && size(own) < size(other);
                groups.near(rows, scratch, self.eps, wanted, |other| {
                    near.push((own, other));
                    ControlFlow::Continue(())
                });
                scratch.unload();
                near
            });
            for (one, other) in near.into_iter().flatten() {
                left -= u32::from(joined.join(one, other));
                sets.join(groups.members(one)[0], groups.members(other)[0]);
            }
        }
        Ok(true)
    }

    /// Labels of all rows, given those of core rows.
    fn borders(
        &self,
        rows: &Rows<'_>,
        cluster_of: &[u32],
        clusters: u32,
        pool: &mut Pool<Scratch>,
        control: &dyn Control,
    ) -> Result<Vec<Option<u32>>> {
        let mut labels: Vec<Option<u32>> = cluster_of.iter().map(|&c| (c != NONE).then_some(c)).collect();
        let others: Vec<u32> =
            (0..rows.len() as u32).filter(|&row| cluster_of[row as usize] == NONE).collect();
        if clusters == 0 || others.is_empty() {
            return Ok(labels);
        }
        let groups = Groups::new(rows, cluster_of, clusters as usize, control)?;
        for range in Pace::new(others.len(), |i| rows.entries(others[i])) {
            control.poll()?;
            control.progress("border rows", range.start as u64, others.len() as u64);
            let found = pool.map(range.clone(), |scratch, i| {
                scratch.load_row(rows, others[i] as usize);
                let first = first_near(&groups, rows, scratch, self.eps);
                scratch.unload();
                first
            });
            for (&row, label) in others[range].iter().zip(found) {
                labels[row as usize] = label;
            }
        }
        Ok(labels)
    }
}

/// Counts the neighbours of a row until they are enough, and remembers some.
struct Count<'a> {
    eps: f64,
    row: u32,
    enough: u64,
    weights: &'a [u64],
    weight: u64,
    links: [u32; LINKS],
    linked: usize,
    looked: usize,
}

impl Collect for Count<'_> {
    fn floor(&self) -> f64 {
        floor(self.eps)
    }

    fn offer(&mut self, row: u32, distance: f64) -> ControlFlow<()> {
        self.looked += 1;
        if distance <= self.eps && row != self.row {
            self.weight = self.weight.saturating_add(self.weights[row as usize]);
            self.links[self.linked % LINKS] = row;
            self.linked += 1;
        }
        let linked = self.linked >= LINKS || self.looked >= LOOK_FOR_LINKS;
        if self.weight >= self.enough && linked { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// The lowest group that has a row at most `eps` from the loaded query.
fn first_near(groups: &Groups, rows: &Rows<'_>, scratch: &mut Scratch, eps: f64) -> Option<u32> {
    let mut first = None;
    groups.near(
        rows,
        scratch,
        eps,
        |_| true,
        |group| {
            first = Some(group);
            ControlFlow::Break(())
        },
    );
    first
}

/// Numbers the sets of core rows in the order of their first row; other rows get `NONE`.
fn number(core: &[bool], sets: &mut Sets) -> (Vec<u32>, u32) {
    let mut number_of = vec![NONE; core.len()];
    let mut count = 0;
    for row in 0..core.len() as u32 {
        if core[row as usize] {
            // The root is the set's lowest row, so it comes first.
            let root = sets.find(row);
            if root == row {
                number_of[row as usize] = count;
                count += 1;
            } else {
                number_of[row as usize] = number_of[root as usize];
            }
        }
    }
    (number_of, count)
}

/// The core rows of a fit: what a new row is compared with.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub struct CoreRows {
    eps: f64,
    rows: CsrMatrix,
    clusters: Vec<u32>,
}

impl CoreRows {
    /// The core rows among those that were clustered.
    ///
    /// # Errors
    /// [`Error::Memory`] if they do not fit [`Control::memory`].
    pub fn new(fit: &Dbscan, rows: &CsrMatrix, labels: &Labels, control: &dyn Control) -> Result<Self> {
        let core = || labels.core.iter().zip(&labels.labels).enumerate().filter(|(_, (core, _))| **core);
        let entries: usize = core().map(|(row, _)| rows.row(row).indices.len()).sum();
        let needed = entries as u64 * 8 + core().count() as u64 * 12;
        if needed > control.memory() {
            return Err(Error::Memory { what: "the core rows", needed, allowed: control.memory() });
        }
        let mut kept = CsrMatrix::new(rows.dim);
        kept.indices.reserve_exact(entries);
        kept.values.reserve_exact(entries);
        let mut clusters = Vec::new();
        for (row, (_, label)) in core() {
            kept.push(rows.row(row))?;
            clusters.extend(*label);
        }
        Ok(CoreRows { eps: fit.eps, rows: kept, clusters })
    }

    /// What [`CoreIndex::predict`] gives: by looking at every row, which takes less time than making an index as long as few
    /// are asked for.
    ///
    /// # Errors
    /// [`Error::VectorMismatch`] if the dimensions differ, and what `control` returns.
    pub fn predict(&self, vector: SparseRef<'_>, control: &dyn Control) -> Result<Option<u32>> {
        let mut first: Option<u32> = None;
        let mut steps = Steps::new(control);
        for (row, &cluster) in self.clusters.iter().enumerate() {
            let other = self.rows.row(row);
            steps.pass(1 + vector.indices.len() + other.indices.len())?;
            if first.is_none_or(|first| cluster < first) && vector.cosine_distance(other)? <= self.eps {
                first = Some(cluster);
            }
        }
        Ok(first)
    }

    /// Whether what was read back can be what was written, of vectors of so many dimensions.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub(crate) fn check(&self, dim: u32) -> Result<()> {
        let wrong = |why: &str| Err(Error::Corrupt { what: "core rows", why: why.into() });
        if self.eps.is_nan() || self.clusters.len() >= NONE as usize {
            return wrong("not a fit");
        }
        if self.rows.dim != dim || self.rows.indptr.len() != self.clusters.len() + 1 || !self.rows.is_valid()
        {
            return wrong("not a matrix of as many rows as labels and as many dimensions as vectors");
        }
        if self.clusters.iter().any(|&c| c as usize >= self.clusters.len()) {
            return wrong("a cluster without core row");
        }
        Ok(())
    }
}

/// Tells which cluster a new row belongs to.
#[derive(Debug, Clone)]
pub struct CoreIndex {
    eps: f64,
    rows: Rows<'static>,
    groups: Groups,
    clusters: u32,
}

impl CoreIndex {
    /// Indexes core rows.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if they are not what a fit wrote, [`Error::Memory`], [`Error::Canceled`].
    pub fn new(core: CoreRows, control: &dyn Control) -> Result<Self> {
        core.check(core.rows.dim)?;
        let clusters = core.clusters.iter().max().map_or(0, |most| most + 1);
        let rows = Rows::new(Cow::Owned(core.rows), control)?;
        let groups = Groups::new(&rows, &core.clusters, clusters as usize, control)?;
        Ok(CoreIndex { eps: core.eps, rows, groups, clusters })
    }

    /// Number of clusters.
    pub fn clusters(&self) -> u32 {
        self.clusters
    }

    /// The lowest-numbered cluster that has a core row at most `eps` from `vector`: where a fit would put it,
    /// were it there without making another row core.
    ///
    /// # Errors
    /// [`Error::VectorMismatch`] if the dimensions differ.
    pub fn predict(&self, vector: SparseRef<'_>, scratch: &mut Scratch) -> Result<Option<u32>> {
        scratch.load(&self.rows, vector)?;
        let first = first_near(&self.groups, &self.rows, scratch, self.eps);
        scratch.unload();
        Ok(first)
    }
}

#[cfg(test)]
mod tests;
