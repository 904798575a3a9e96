//! Rows in groups, and which groups hold a row near a query.
//!
//! For each term a group knows its heaviest weight, so that most groups are ruled out without looking at their
//! rows; in the others the search of [`super::scan`] runs through the group's share of each list.

use std::ops::ControlFlow;

use super::scan::{List, Scratch, Search, VERIFY_COST};
use super::{Collect, Lengths, NONE, Postings, Rows, Within, by_frequency};
use crate::control::{Control, Steps, in_parts};
use crate::error::Result;

/// Rows that are verified as they come, before anything is added up.
const EAGER: usize = 48;
/// The same where that cannot be all, so that bounds have to be added up anyhow: enough to raise the floor, or to find
/// dense what is dense.
const FEW: usize = 8;

/// Some rows in groups, indexed.
#[derive(Debug, Clone)]
pub struct Groups {
    postings: Postings,
    /// Term `t` holds the runs `run_starts[t]..run_starts[t + 1]`, in the order of their groups.
    run_starts: Vec<usize>,
    runs: Vec<Run>,
    /// Rows by group, ascending within each.
    members: Vec<u32>,
    member_starts: Vec<usize>,
}

/// One group's share of a term's postings; it ends where the next begins.
#[derive(Debug, Clone, Copy)]
struct Run {
    group: u32,
    heaviest: f32,
    /// The longest that a row is from this term on.
    longest: f32,
    start: u32,
}

impl Groups {
    /// Groups the rows for which `group_of` has one of `count` groups; `u32::MAX` leaves a row out.
    ///
    /// # Errors
    /// [`crate::Error::Canceled`].
    pub(crate) fn new(
        rows: &Rows<'_>,
        group_of: &[u32],
        count: usize,
        control: &dyn Control,
    ) -> Result<Self> {
        let mut member_starts = vec![0usize; count + 1];
        in_parts(group_of, control, |part| {
            for &group in part.iter().filter(|&&g| g != NONE) {
                member_starts[group as usize + 1] += 1;
            }
        })?;
        for g in 1..=count {
            member_starts[g] += member_starts[g - 1];
        }
        let mut next = member_starts.clone();
        let mut members = vec![0; member_starts[count]];
        let mut steps = Steps::new(control);
        for (row, &group) in group_of.iter().enumerate().filter(|(_, g)| **g != NONE) {
            steps.pass(1)?;
            members[next[group as usize]] = row as u32;
            next[group as usize] += 1;
        }
        let mut postings = Postings::new(rows, &members, control)?;
        let mut run_starts = Vec::with_capacity(postings.starts.len());
        let mut runs: Vec<Run> = Vec::new();
        for t in 0..rows.frequencies.len() as u32 {
            steps.pass(1)?;
            run_starts.push(runs.len());
            let mut last = NONE;
            for at in postings.of(t) {
                steps.pass(1)?;
                let posting = postings.list[at];
                let group = group_of[posting.row as usize];
                if group != last {
                    runs.push(Run { group, heaviest: 0.0, longest: 0.0, start: at as u32 });
                    last = group;
                }
                if let Some(run) = runs.last_mut() {
                    run.heaviest = run.heaviest.max(posting.weight.abs());
                    run.longest = run.longest.max(posting.weight.hypot(postings.after[at]));
                }
            }
        }
        run_starts.push(runs.len());
        tell_lengths(rows, &mut postings, &runs, control)?;
        Ok(Groups { postings, run_starts, runs, members, member_starts })
    }

    /// Number of groups.
    pub fn len(&self) -> usize {
        self.member_starts.len() - 1
    }

    /// Whether there is no group.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows of a group, ascending.
    pub(crate) fn members(&self, group: u32) -> &[u32] {
        &self.members[self.member_starts[group as usize]..self.member_starts[group as usize + 1]]
    }

    /// Calls `found` for each wanted group that has a row at most `eps` from the query that `scratch` has loaded,
    /// in ascending order, until it breaks.
    pub(crate) fn near(
        &self,
        rows: &Rows<'_>,
        scratch: &mut Scratch,
        eps: f64,
        wanted: impl Fn(u32) -> bool,
        mut found: impl FnMut(u32) -> ControlFlow<()>,
    ) {
        let floor = 1.0 - eps - scratch.slack();
        if floor <= 0.0 {
            for group in (0..self.len() as u32).filter(|&g| wanted(g)) {
                let members = self.members(group);
                let any = members.iter().any(|&row| scratch.distance(rows, row) <= eps);
                if any && found(group).is_break() {
                    return;
                }
            }
            return;
        }
        self.candidates(scratch, floor);
        let mut groups = std::mem::take(&mut scratch.groups);
        groups.retain(|&(group, _)| wanted(group));
        groups.sort_unstable_by_key(|&(group, _)| group);
        for &(group, _) in &groups {
            let near = &mut Within { eps, found: |_, _| ControlFlow::Break(()) };
            self.lists(scratch, group);
            let hit = Search { rows, postings: &self.postings }.run(scratch, EAGER, near).is_break();
            if hit && found(group).is_break() {
                break;
            }
        }
        scratch.groups = groups;
    }

    /// Offers every row that may matter to the query that `scratch` has loaded.
    pub(super) fn search<C: Collect>(&self, rows: &Rows<'_>, scratch: &mut Scratch, collect: &mut C) {
        // Rows that share no term are at distance 1. Where that is near enough, or nearly, no bound says anything.
        let told = C::APART && rows.nonnegative && scratch.is_nonnegative();
        if !told && collect.floor().is_finite() && collect.floor() <= scratch.slack() {
            let _ = scratch.all(rows, collect);
            return;
        }
        let flow = match self.glance(rows, scratch, collect) {
            ControlFlow::Continue(true) => self.search_groups(rows, scratch, collect),
            ControlFlow::Continue(false) => ControlFlow::Continue(()),
            ControlFlow::Break(()) => ControlFlow::Break(()),
        };
        scratch.clear_from(0);
        if flow.is_continue() && collect.floor() <= scratch.slack() {
            if told {
                collect.apart();
            } else {
                collect.again();
                let _ = scratch.all(rows, collect);
            }
        }
    }

    /// Verifies the rows of the rarest terms, and marks them. Returns whether there is more to see.
    fn glance(
        &self,
        rows: &Rows<'_>,
        scratch: &mut Scratch,
        collect: &mut impl Collect,
    ) -> ControlFlow<(), bool> {
        scratch.lists.clear();
        for &(term, weight) in &scratch.query {
            let range = self.postings.of(term);
            scratch.lists.push(List {
                start: range.start,
                end: range.end,
                weight,
                bound: weight.abs(),
                after: 0.0,
            });
        }
        scratch.bound_rest();
        let search = Search { rows, postings: &self.postings };
        let eager = if scratch.to_see(collect.floor()) <= EAGER * VERIFY_COST { EAGER } else { FEW };
        search
            .glance(scratch, eager, |at| self.postings.after[at], collect)
            .map_continue(|stop| stop.is_some())
    }

    /// Offers the rows of each group that may matter and were not met, the most promising group first.
    fn search_groups(
        &self,
        rows: &Rows<'_>,
        scratch: &mut Scratch,
        collect: &mut impl Collect,
    ) -> ControlFlow<()> {
        self.candidates(scratch, collect.floor() - scratch.slack());
        let mut groups = std::mem::take(&mut scratch.groups);
        groups.sort_unstable_by(|(a, x), (b, y)| y.total_cmp(x).then(a.cmp(b)));
        let mut flow = ControlFlow::Continue(());
        for &(group, bound) in &groups {
            if flow.is_break() || f64::from(bound) < collect.floor() - scratch.slack() {
                break;
            }
            self.lists(scratch, group);
            flow = Search { rows, postings: &self.postings }.run(scratch, 0, collect);
        }
        scratch.groups = groups;
        flow
    }

    /// Finds the groups whose heaviest weights could make a row reach `floor`, and how far they reach.
    fn candidates(&self, scratch: &mut Scratch, floor: f64) {
        scratch.groups.clear();
        let bounds = &mut scratch.group_bound;
        if bounds.len() < self.len() {
            bounds.resize(self.len(), 0.0);
        }
        let mut squares: f64 = scratch.query.iter().map(|&(_, w)| f64::from(w) * f64::from(w)).sum();
        for &(term, weight) in &scratch.query {
            // A group first met where the remaining terms cannot reach the floor holds nothing near.
            let length = squares.max(0.0).sqrt() as f32;
            let opens = floor as f32 / length;
            squares -= f64::from(weight) * f64::from(weight);
            for run in &self.runs[self.run_starts[term as usize]..self.run_starts[term as usize + 1]] {
                let bound = &mut bounds[run.group as usize];
                if *bound == 0.0 {
                    if run.longest < opens {
                        continue;
                    }
                    scratch.groups.push((run.group, 0.0));
                    // Never zero again, and within what the slack allows.
                    *bound = 1e-7;
                }
                *bound += weight.abs() * run.heaviest;
            }
        }
        scratch.groups.retain_mut(|(group, reach)| {
            *reach = std::mem::take(&mut bounds[*group as usize]);
            f64::from(*reach) >= floor
        });
    }

    /// Makes the group's share of the query's lists what `scratch` goes through, shortest first.
    fn lists(&self, scratch: &mut Scratch, group: u32) {
        scratch.lists.clear();
        for &(term, weight) in &scratch.query {
            let (from, to) = (self.run_starts[term as usize], self.run_starts[term as usize + 1]);
            let at = from + self.runs[from..to].partition_point(|run| run.group < group);
            if at < to && self.runs[at].group == group {
                let run = self.runs[at];
                let next = self.runs.get(at + 1).map_or(self.postings.list.len(), |run| run.start as usize);
                scratch.lists.push(List {
                    start: run.start as usize,
                    end: next,
                    weight,
                    bound: weight.abs() * run.heaviest,
                    after: 0.0,
                });
            }
        }
        scratch.lists.sort_by_key(|list| list.end - list.start);
    }
}

/// Tells each posting how long its row is in the terms that come after it. A search goes through a group's lists
/// shortest first, so that is the order in which a row has terms left.
fn tell_lengths(rows: &Rows<'_>, postings: &mut Postings, runs: &[Run], control: &dyn Control) -> Result<()> {
    let mut steps = Steps::new(control);
    let mut sizes = Vec::with_capacity(runs.len());
    for (at, run) in runs.iter().enumerate() {
        steps.pass(1)?;
        let end = runs.get(at + 1).map_or(postings.list.len(), |next| next.start as usize);
        sizes.push((end - run.start as usize) as u32);
    }
    let mut lengths = Lengths::new(rows.len());
    for at in by_frequency(&sizes, control)?.into_iter().rev() {
        let start = runs[at as usize].start as usize;
        for posting in &mut postings.list[start..start + sizes[at as usize] as usize] {
            steps.pass(1)?;
            posting.after = lengths.before(posting);
        }
    }
    Ok(())
}
