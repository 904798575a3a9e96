//! How often each template occurs in a session, and how much a difference between two such counts tells.
//!
//! A difference is worth as many nats as it is rare: with `p(c)` the share of sessions whose count of a template is
//! like `c`, and `p(a..b)` that of all counts from `a` to `b`, it is `2 ln p(a..b) − ln p(a) − ln p(b)`, Lin's
//! information-theoretic dissimilarity of ordered values (*An information-theoretic definition of similarity*,
//! ICML 1998; as a measure of outliers: Boriah, Chandola and Kumar, SDM 2008). A count that every session has makes
//! any other one telling; one that varies widely makes none so; no template has a scale to be set.

use crate::control::{Control, Steps};
use crate::error::Result;
use crate::sparse::{CsrMatrix, SparseRef};

/// Counts are alike when neither is larger than the other by more than this.
const ALIKE: f64 = 1.3;
/// Largest count that is told apart from larger ones: float32 has them all.
pub(super) const MAX_COUNT: u32 = 1 << 24;

/// How many sessions have which count of which template.
#[derive(Debug, Clone, Default, PartialEq, bincode::Encode, bincode::Decode)]
pub(super) struct CountTable {
    /// Ascending.
    templates: Vec<u32>,
    /// The counts of template `t` are `starts[t]..starts[t + 1]`.
    starts: Vec<u64>,
    /// Positive, ascending for each template.
    counts: Vec<u32>,
    /// Sessions with that count or a smaller positive one.
    sessions: Vec<u64>,
    /// Sessions.
    total: u64,
}

impl CountTable {
    /// Of rows of counts with their multiplicities.
    pub fn new(rows: &CsrMatrix, weights: &[u64], control: &dyn Control) -> Result<Self> {
        let mut steps = Steps::new(control);
        let mut entries = Vec::with_capacity(rows.indices.len());
        for (at, &weight) in weights.iter().enumerate() {
            for (template, count) in counts(rows.row(at)) {
                steps.pass(1)?;
                entries.push((template, count, weight));
            }
        }
        crate::sort::sort_watched(&mut entries, Ord::cmp, control)?;
        let mut table = CountTable { total: weights.iter().sum(), ..Default::default() };
        for (template, count, weight) in entries {
            steps.pass(1)?;
            table.push(template, count, weight);
        }
        table.starts.push(table.counts.len() as u64);
        Ok(table)
    }

    fn push(&mut self, template: u32, count: u32, weight: u64) {
        let fresh = self.templates.last() != Some(&template);
        if fresh {
            self.templates.push(template);
            self.starts.push(self.counts.len() as u64);
        } else if self.counts.last() == Some(&count) {
            if let Some(last) = self.sessions.last_mut() {
                *last += weight;
            }
            return;
        }
        let before = self.sessions.last().filter(|_| !fresh).copied().unwrap_or(0);
        self.counts.push(count);
        self.sessions.push(before + weight);
    }

    /// What the rest of the code relies on.
    pub fn is_valid(&self) -> bool {
        let ends = self.starts.first() == Some(&0)
            && self.starts.last() == Some(&(self.counts.len() as u64))
            && self.starts.len() == self.templates.len() + 1
            && self.sessions.len() == self.counts.len();
        ends && self.starts.is_sorted_by(|a, b| a < b)
            && self.templates.is_sorted_by(|a, b| a < b)
            && (0..self.templates.len()).all(|column| {
                let (counts, sessions) = self.column(column);
                counts[0] > 0
                    && sessions[0] > 0
                    && counts.is_sorted_by(|a, b| a < b)
                    && sessions.is_sorted_by(|a, b| a < b)
                    && sessions.last() <= Some(&self.total)
            })
    }

    /// Sessions.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Bytes in use.
    pub fn bytes(&self) -> usize {
        self.templates.len() * 4 + self.starts.len() * 8 + self.counts.len() * 4 + self.sessions.len() * 8
    }

    /// Column of a template, where any session has it.
    pub fn find(&self, template: u32) -> Option<usize> {
        self.templates.binary_search(&template).ok()
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.templates.len()
    }

    /// Counts of a column, and sessions up to each.
    pub fn column(&self, column: usize) -> (&[u32], &[u64]) {
        let range = self.starts[column] as usize..self.starts[column + 1] as usize;
        (&self.counts[range.clone()], &self.sessions[range])
    }

    /// Sessions that have the template.
    pub fn frequency(&self, column: Option<usize>) -> u64 {
        column.and_then(|column| self.column(column).1.last().copied()).unwrap_or(0)
    }

    /// Sessions whose count is within `low..=high`.
    fn within(&self, column: Option<usize>, low: u32, high: u32) -> u64 {
        let positive = column.map_or(0, |column| {
            let (counts, sessions) = self.column(column);
            let up_to = |end: usize| if end == 0 { 0 } else { sessions[end - 1] };
            let end = counts.partition_point(|&count| count <= high);
            up_to(end).saturating_sub(up_to(counts.partition_point(|&count| count < low)))
        });
        positive + if low == 0 { self.total - self.frequency(column) } else { 0 }
    }

    /// Logarithm of the share of sessions within `low..=high` and what is like its ends; half a session more than
    /// there are, for what history was too short to show.
    fn ln_share(&self, column: Option<usize>, low: u32, high: u32) -> f64 {
        let low = (f64::from(low) / ALIKE).ceil() as u32;
        let high = (f64::from(high) * ALIKE).floor() as u32;
        ((self.within(column, low, high) as f64 + 0.5) / (self.total as f64 + 1.0)).ln()
    }

    /// What the difference between two counts of a template tells, in nats.
    pub fn difference(&self, column: Option<usize>, a: u32, b: u32) -> f64 {
        if a == b {
            return 0.0;
        }
        let (at_a, at_b) = (self.ln_share(column, a, a), self.ln_share(column, b, b));
        let between = self.ln_share(column, a.min(b), a.max(b)).max(at_a).max(at_b);
        (2.0 * between - at_a - at_b).max(0.0)
    }
}

/// The counts of a row.
pub(super) fn counts(row: SparseRef<'_>) -> impl Iterator<Item = (u32, u32)> {
    row.indices.iter().zip(row.values).map(|(&template, &count)| (template, count as u32))
}

/// Kinds of sessions, ready to be compared with.
#[derive(Debug)]
pub(super) struct Kinds {
    pub rows: CsrMatrix,
    pub weights: Vec<u64>,
    /// Of each kind, what its difference from a session without any template would tell.
    from_nothing: Vec<f64>,
    /// The kinds with a column's template are `starts[column]..starts[column + 1]`.
    starts: Vec<usize>,
    /// Kind, and which of the column's counts it has.
    postings: Vec<(u32, u32)>,
}

/// Buffers of a comparison.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// What the difference from each kind tells, in nats, to nine decimals: the order of a sum shows in none of them.
    pub differences: Vec<f64>,
    by_count: Vec<f64>,
}

impl Kinds {
    /// Kinds, each of whose counts is in the table, with their multiplicities; `None` if one is not.
    pub fn new(
        table: &CountTable,
        rows: CsrMatrix,
        weights: Vec<u64>,
        control: &dyn Control,
    ) -> Result<Option<Self>> {
        let mut steps = Steps::new(control);
        let mut found = Vec::with_capacity(rows.indices.len());
        let mut starts = vec![0; table.columns() + 1];
        let mut from_nothing = Vec::with_capacity(weights.len());
        for kind in 0..weights.len() {
            let mut sum = 0.0;
            for (template, count) in counts(rows.row(kind)) {
                steps.pass(16)?;
                let Some(column) = table.find(template) else { return Ok(None) };
                let Ok(at) = table.column(column).0.binary_search(&count) else { return Ok(None) };
                found.push((kind as u32, column, at as u32));
                starts[column + 1] += 1;
                sum += table.difference(Some(column), 0, count);
            }
            from_nothing.push(sum);
        }
        for column in 0..table.columns() {
            starts[column + 1] += starts[column];
        }
        let mut next = starts.clone();
        let mut postings = vec![(0, 0); found.len()];
        for (kind, column, at) in found {
            steps.pass(1)?;
            postings[next[column]] = (kind, at);
            next[column] += 1;
        }
        Ok(Some(Kinds { rows, weights, from_nothing, starts, postings }))
    }

    /// Bytes in use.
    pub fn bytes(&self) -> usize {
        self.rows.indices.len() * 8
            + self.rows.indptr.len() * 8
            + self.weights.len() * 16
            + self.starts.len() * 8
            + self.postings.len() * 8
    }

    /// Compares a session with every kind.
    pub fn compare(
        &self,
        table: &CountTable,
        session: SparseRef<'_>,
        scratch: &mut Scratch,
        steps: &mut Steps<'_>,
    ) -> Result<()> {
        let Scratch { differences, by_count } = scratch;
        differences.clear();
        differences.extend_from_slice(&self.from_nothing);
        steps.pass(differences.len())?;
        let mut to_nothing = 0.0;
        for (template, count) in counts(session) {
            let column = table.find(template);
            let missing = table.difference(column, count, 0);
            to_nothing += missing;
            let Some(column) = column else { continue };
            let theirs = table.column(column).0;
            let postings = &self.postings[self.starts[column]..self.starts[column + 1]];
            steps.pass(16 * theirs.len() + postings.len())?;
            by_count.clear();
            by_count.extend(theirs.iter().map(|&other| {
                let both = table.difference(Some(column), count, other);
                both - table.difference(Some(column), 0, other) - missing
            }));
            for &(kind, at) in postings {
                differences[kind as usize] += by_count[at as usize];
            }
        }
        for difference in differences.iter_mut() {
            *difference = ((*difference + to_nothing).max(0.0) * 1e9).round() / 1e9;
        }
        Ok(())
    }
}
