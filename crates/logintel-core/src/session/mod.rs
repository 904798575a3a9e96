//! Whole sessions: an HDFS block, a request, a job, judged by which templates occur in them and how often.
//!
//! A session is a multiset of templates and its length. Training keeps the *kinds* of sessions it saw, equal
//! ones once. A session is as strange as the difference from the nearest kind tells, in nats (the module
//! `counts` says how; a template that no session had, one missing that all had, a count that never was): the
//! detector by nearest count vector of Landauer, Skopik and Wurzenberger (*A critical review of common log data
//! sets*, FSE 2024), with weights learnt from the data. What is no different from a kind that training saw is told
//! apart by density alone, which adds less than half a nat: the rarer the sessions around it, the stranger.
//!
//! Calibration leaves one out (the jackknife+, Barber, Candès, Ramdas and Tibshirani 2021): each session of
//! training is measured against the kinds of all others, and so it is when it is judged again
//! ([`Origin::Training`]); no result depends on the order of rows. The threshold is a quantile of
//! these measures, as near to ln 50 as history's standard error allows.
//!
//! History is not always clean, and anomalies recur, so that each is a kind of its own that training saw. So, first,
//! sessions that lie apart are set aside: those that less than [`APART`] of history can be reached from by changing
//! which templates occur, except through something as rare as that share (laws that hold for 98 % of
//! sessions are those that Lou, Fu, Yang, Xu and Li mine, *Mining invariants from console logs*, USENIX ATC 2010).
//! That is done only where such sessions are truly apart, with few half-way, and are more than 1 % of history, by more
//! than a standard error, and less than 10 %. Fewer are what any history holds, and the rate that was asked for decides;
//! more are no exception: sessions differ, and apart is how they are.

use crate::calibration::{Calibration, share};
use crate::config::{DetectorOptions, Micros};
use crate::control::{Control, Steps};
use crate::distinct::Distinct;
use crate::error::{Error, Result};
use crate::limits::MAX_DIM;
use crate::reason::Reason;
use crate::sort::sort_watched;
use crate::sparse::{CsrMatrix, SparseRef, SparseVec};

mod counts;
mod log;
#[cfg(test)]
mod tests;

use counts::{CountTable, Kinds, MAX_COUNT, Scratch as Comparison, counts};
pub use log::SessionLog;

/// A template that nobody knows. Any number that training did not see says the same.
pub const UNKNOWN_TEMPLATE: u32 = LENGTH - 1;
/// Most templates that are told apart in one session; events of further ones make it longer only.
pub const MAX_SESSION_TEMPLATES: usize = 100_000;
/// Most kinds of sessions that are kept and compared with.
pub const MAX_KINDS: usize = 4096;
/// Most counts of all kinds together.
const MAX_ENTRIES: usize = 1 << 20;
/// Most steps of comparing what training saw with what is kept: seconds.
const MAX_WORK: u64 = 1 << 31;
/// The column of a session's length.
const LENGTH: u32 = MAX_DIM - 1;
/// Share of history, and the rarity that sets something apart from it.
pub const APART: f64 = 0.02;
/// The rarity that nearly does.
const NEARLY_APART: f64 = 0.05;
/// What more than this part of the sessions has is no contamination of history, nor what less than the other has.
const CONTAMINATION: (f64, f64) = (0.01, 0.1);
/// Weight of density beside difference, in nats.
const DENSITY: f64 = 0.5;

/// What happened in a session: how often each template occurred.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionCounts {
    /// Templates with their counts, ascending.
    counts: Vec<(u32, u32)>,
    events: u64,
}

impl SessionCounts {
    /// One more event, of a template by its number.
    pub fn add(&mut self, template: u32) {
        self.add_many(template, 1);
    }

    fn add_many(&mut self, template: u32, count: u32) {
        self.events += u64::from(count);
        let template = template.min(UNKNOWN_TEMPLATE);
        match self.counts.binary_search_by_key(&template, |&(other, _)| other) {
            Ok(at) => self.counts[at].1 = (self.counts[at].1 + count).min(MAX_COUNT),
            Err(at) if self.counts.len() < MAX_SESSION_TEMPLATES => {
                self.counts.insert(at, (template, count));
            }
            Err(_) => {}
        }
    }

    /// The same session, its templates by other numbers, of which several may become one.
    fn renumbered(&self, number_of: impl Fn(u32) -> u32) -> Self {
        let mut renumbered = SessionCounts::default();
        for &(template, count) in &self.counts {
            renumbered.add_many(number_of(template), count);
        }
        renumbered.events = self.events;
        renumbered
    }

    /// Bytes held beside the value itself.
    fn bytes(&self) -> u64 {
        (self.counts.capacity() * size_of::<(u32, u32)>()) as u64
    }

    /// Events.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// As a row: the length comes last.
    fn row(&self) -> SparseVec {
        let length = (LENGTH, self.events.min(u64::from(MAX_COUNT)) as u32);
        let entries = self.counts.iter().copied().chain((self.events > 0).then_some(length));
        let (indices, values) = entries.map(|(index, count)| (index, count as f32)).unzip();
        SparseVec { dim: MAX_DIM, indices, values }
    }
}

impl FromIterator<u32> for SessionCounts {
    fn from_iter<T: IntoIterator<Item = u32>>(templates: T) -> Self {
        let mut session = SessionCounts::default();
        templates.into_iter().for_each(|template| session.add(template));
        session
    }
}

/// Figures of a training.
#[derive(Debug, Clone, Default, PartialEq, bincode::Encode, bincode::Decode)]
pub struct SessionSummary {
    /// Sessions learnt from.
    pub training_sessions: u64,
    /// Sessions that lie apart from the rest of history and were set aside.
    pub set_aside_sessions: u64,
    /// Share of the sessions that lies apart, set aside or not.
    pub apart_share: f64,
    /// Kinds of ordinary sessions, before [`MAX_KINDS`] of them were kept.
    pub kinds: u64,
    /// Share of the training sessions that the model itself would flag.
    pub flagged_share: f64,
}

/// What sessions are ordinary.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub struct SessionModel {
    table: CountTable,
    kinds: CsrMatrix,
    weights: Vec<u64>,
    /// Templates that only sessions have that were set aside, ascending.
    set_aside: Vec<u32>,
    /// When the sessions learnt from had their last events: the earliest and the latest. One whose events have no
    /// time comes before all others.
    ended: (Option<Micros>, Option<Micros>),
    /// How strange ordinary sessions are to the others.
    pub calibration: Calibration,
    /// Figures.
    pub summary: SessionSummary,
}

impl SessionModel {
    /// What the rest of the code relies on; else what is wrong.
    pub(crate) fn check(&self) -> std::result::Result<(), &'static str> {
        if !self.table.is_valid() {
            return Err("the counts of sessions are out of order");
        }
        let (kinds, entries) = (self.kinds.rows(), self.kinds.indices.len());
        if !self.kinds.is_valid() || self.kinds.dim != MAX_DIM || kinds != self.weights.len() {
            return Err("kinds of sessions and their numbers differ");
        }
        if kinds > MAX_KINDS || entries > MAX_ENTRIES + MAX_SESSION_TEMPLATES {
            return Err("there are too many kinds of sessions");
        }
        let known = |(template, count): (u32, u32)| {
            let column = self.table.find(template);
            column.is_some_and(|column| self.table.column(column).0.binary_search(&count).is_ok())
        };
        if !(0..kinds).all(|kind| counts(self.kinds.row(kind)).all(known)) {
            return Err("a kind of session has counts that no session had");
        }
        if self.weights.contains(&0) || !self.set_aside.is_sorted_by(|a, b| a < b) {
            return Err("kinds of sessions or their templates are out of order");
        }
        if !self.calibration.is_valid() {
            return Err("the calibration of sessions is out of order");
        }
        Ok(())
    }
}

/// Gathers sessions.
pub struct SessionTrainer {
    rate: f64,
    distinct: Distinct,
    sessions: u64,
}

impl SessionTrainer {
    /// No sessions yet.
    pub fn new(options: &DetectorOptions) -> Self {
        SessionTrainer {
            rate: options.session_false_alarm_rate,
            distinct: Distinct::new(MAX_DIM),
            sessions: 0,
        }
    }

    /// Sessions taken in.
    pub fn sessions(&self) -> u64 {
        self.sessions
    }

    /// Takes in a session; one without events says nothing and does not count.
    ///
    /// # Errors
    /// [`Error::Memory`] if the distinct sessions outgrow [`Control::memory`].
    pub fn add(&mut self, session: &SessionCounts, control: &dyn Control) -> Result<()> {
        if session.events == 0 {
            return Ok(());
        }
        self.sessions += 1;
        self.distinct.push(session.row().as_ref(), control).map(|_| ())
    }

    /// Learns what is ordinary.
    ///
    /// # Errors
    /// [`Error::Memory`] if this would not fit [`Control::memory`], and what `control` returns.
    pub fn finish(self, control: &dyn Control) -> Result<SessionModel> {
        let held = self.distinct.memory();
        let distinct = self.distinct.finish();
        let entries = distinct.rows.indices.len() as u64;
        // Entries of a table while they are sorted, the table, rows in two halves, and postings of what is kept.
        let needed = held + entries * 128 + distinct.weights.len() as u64 * 64;
        if needed > control.memory() {
            return Err(Error::Memory { what: "learning sessions", needed, allowed: control.memory() });
        }
        let all = Sessions { rows: distinct.rows, weights: distinct.weights }.in_order(control)?;
        let (apart, apart_share, between) = all.apart(control)?;
        let sessions = self.sessions as f64;
        let number = apart_share * sessions;
        let contaminated = number - number.sqrt() > CONTAMINATION.0 * sessions
            && apart_share < CONTAMINATION.1
            && between < apart_share / 2.0;
        let (ordinary, aside) =
            if contaminated { all.split(&apart, control)? } else { (all, Sessions::default()) };
        let table = CountTable::new(&ordinary.rows, &ordinary.weights, control)?;
        let summary = SessionSummary {
            training_sessions: self.sessions,
            set_aside_sessions: aside.total(),
            apart_share,
            kinds: ordinary.weights.len() as u64,
            flagged_share: 0.0,
        };
        let kept = ordinary.kept(control)?;
        let mut model = SessionModel {
            set_aside: aside.templates_beside(&table, control)?,
            ended: (None, None),
            table,
            kinds: kept.rows,
            weights: kept.weights,
            calibration: Calibration::default(),
            summary,
        };
        calibrate(&mut model, &ordinary, &aside, self.rate, control)?;
        Ok(model)
    }
}

/// Distinct sessions with their multiplicities.
struct Sessions {
    rows: CsrMatrix,
    weights: Vec<u64>,
}

impl Default for Sessions {
    fn default() -> Self {
        Sessions { rows: CsrMatrix::new(MAX_DIM), weights: Vec::new() }
    }
}

impl Sessions {
    fn total(&self) -> u64 {
        self.weights.iter().sum()
    }

    fn push(&mut self, row: SparseRef<'_>, weight: u64) -> Result<()> {
        self.weights.push(weight);
        self.rows.push(row)
    }

    /// The chosen ones, in that order.
    fn choose(&self, chosen: impl IntoIterator<Item = u32>, control: &dyn Control) -> Result<Self> {
        let mut steps = Steps::new(control);
        let mut sessions = Sessions::default();
        for at in chosen {
            let row = self.rows.row(at as usize);
            steps.pass(1 + row.nnz())?;
            sessions.push(row, self.weights[at as usize])?;
        }
        Ok(sessions)
    }

    /// The same, in an order that does not tell how they came.
    fn in_order(self, control: &dyn Control) -> Result<Self> {
        let mut order: Vec<u32> = (0..self.weights.len() as u32).collect();
        let row = |&at: &u32| self.rows.row(at as usize);
        sort_watched(&mut order, |a, b| row(a).total_cmp(row(b)), control)?;
        self.choose(order, control)
    }

    /// Those that are not apart, and those that are.
    fn split(&self, apart: &[bool], control: &dyn Control) -> Result<(Self, Self)> {
        let half = |wanted: bool| {
            let chosen = (0..apart.len() as u32).filter(move |&at| apart[at as usize] == wanted);
            self.choose(chosen, control)
        };
        Ok((half(false)?, half(true)?))
    }

    /// The most frequent first, equally frequent ones by a hash of what is in them.
    fn by_frequency(&self, control: &dyn Control) -> Result<Vec<u32>> {
        let mut keyed = Vec::with_capacity(self.weights.len());
        let mut steps = Steps::new(control);
        for (at, &weight) in self.weights.iter().enumerate() {
            let row = self.rows.row(at);
            steps.pass(1 + row.nnz())?;
            keyed.push((std::cmp::Reverse(weight), hash(row), at as u32));
        }
        sort_watched(&mut keyed, Ord::cmp, control)?;
        Ok(keyed.into_iter().map(|(_, _, at)| at).collect())
    }

    /// Those that are kept to be compared with: the most frequent.
    fn kept(&self, control: &dyn Control) -> Result<Self> {
        let mut entries = 0;
        let within = |&at: &u32| {
            let before = entries;
            entries += self.rows.row(at as usize).nnz();
            before < MAX_ENTRIES
        };
        let mut kept: Vec<u32> =
            self.by_frequency(control)?.into_iter().take(MAX_KINDS).take_while(within).collect();
        kept.sort_unstable();
        self.choose(kept, control)
    }

    /// Templates that these sessions have and none of the table does.
    fn templates_beside(&self, table: &CountTable, control: &dyn Control) -> Result<Vec<u32>> {
        let mut steps = Steps::new(control);
        let mut templates = std::collections::BTreeSet::new();
        for &template in &self.rows.indices {
            steps.pass(8)?;
            if template < UNKNOWN_TEMPLATE && table.find(template).is_none() {
                templates.insert(template);
            }
        }
        Ok(templates.into_iter().collect())
    }

    /// Which of the sessions lie apart from the rest, the share of sessions that do, and of those that nearly do.
    fn apart(&self, control: &dyn Control) -> Result<(Vec<bool>, f64, f64)> {
        let (patterns, pattern_of) = self.patterns(control)?;
        let total = patterns.total();
        let (number, entries) = (patterns.weights.len(), patterns.rows.indices.len());
        let too_many =
            number > MAX_KINDS || entries > MAX_ENTRIES || (number * entries) as u64 > 2 * MAX_WORK;
        if total == 0 || too_many {
            return Ok((vec![false; self.weights.len()], 0.0, 0.0));
        }
        let table = CountTable::new(&patterns.rows, &patterns.weights, control)?;
        let kinds = kinds_of(&table, patterns.rows, patterns.weights, control)?;
        let near = (APART * total as f64).ceil() as u64;
        let (mut scratch, mut steps) = (Comparison::default(), Steps::new(control));
        let mut reach = Vec::with_capacity(kinds.weights.len());
        let mut order: Vec<u32> = Vec::new();
        for pattern in 0..kinds.weights.len() {
            kinds.compare(&table, kinds.rows.row(pattern), &mut scratch, &mut steps)?;
            order.clear();
            order.extend(0..kinds.weights.len() as u32);
            steps.pass(8 * order.len())?;
            let distance = |&at: &u32| scratch.differences[at as usize];
            order.sort_unstable_by(|a, b| distance(a).total_cmp(&distance(b)));
            let mut reached = 0;
            let last = order.iter().find(|&&at| {
                reached += kinds.weights[at as usize];
                reached >= near
            });
            reach.push(last.map_or(0.0, distance));
        }
        let beyond = |limit: f64| -> u64 {
            reach.iter().zip(&kinds.weights).filter(|(r, _)| **r > limit).map(|(_, weight)| weight).sum()
        };
        let apart = pattern_of.iter().map(|&pattern| reach[pattern as usize] > telling(APART)).collect();
        let share_apart = share(beyond(telling(APART)), total);
        Ok((apart, share_apart, share(beyond(telling(NEARLY_APART)), total) - share_apart))
    }

    /// Sessions by which templates occur in them, and which row is which.
    fn patterns(&self, control: &dyn Control) -> Result<(Sessions, Vec<u32>)> {
        let mut distinct = Distinct::new(MAX_DIM);
        let (mut ones, mut weights) = (Vec::new(), Vec::new());
        let mut steps = Steps::new(control);
        for (at, &weight) in self.weights.iter().enumerate() {
            let row = templates(self.rows.row(at));
            steps.pass(1 + row.nnz())?;
            ones.resize(row.nnz(), 1.0);
            let found = distinct.push(SparseRef { values: &ones, ..row }, control)? as usize;
            if weights.len() <= found {
                weights.resize(found + 1, 0);
            }
            weights[found] += weight;
        }
        let distinct = distinct.finish();
        Ok((Sessions { rows: distinct.rows, weights }, distinct.row_of))
    }
}

/// What something that is as rare as this tells, in nats.
fn telling(share: f64) -> f64 {
    -share.ln()
}

/// A row without the length.
fn templates(row: SparseRef<'_>) -> SparseRef<'_> {
    let end = row.indices.partition_point(|&index| index < LENGTH);
    SparseRef { dim: row.dim, indices: &row.indices[..end], values: &row.values[..end] }
}

/// The same for equal rows, wherever it is computed.
fn hash(row: SparseRef<'_>) -> u64 {
    counts(row).fold(0, |sum, (template, count)| {
        crate::calibration::splitmix(sum ^ (u64::from(template) << 32 | u64::from(count)))
    })
}

/// Kinds whose counts are those that the table was made of.
fn kinds_of(table: &CountTable, rows: CsrMatrix, weights: Vec<u64>, control: &dyn Control) -> Result<Kinds> {
    let corrupt = || Error::Corrupt { what: "session model", why: "a kind without counts".into() };
    Kinds::new(table, rows, weights, control)?.ok_or_else(corrupt)
}

/// Measures ordinary sessions, each against the others, and sets the threshold.
fn calibrate(
    model: &mut SessionModel,
    ordinary: &Sessions,
    aside: &Sessions,
    rate: f64,
    control: &dyn Control,
) -> Result<()> {
    let detector = SessionDetector::new(model.clone(), control)?;
    let measured = detector.measure(ordinary, control)?;
    model.calibration = Calibration::new(measured.clone(), rate, telling(APART), control)?;
    let threshold = model.calibration.threshold;
    let beyond = |measured: &[(f64, u64)]| -> u64 {
        measured.iter().filter(|(value, _)| *value > threshold).map(|(_, sessions)| sessions).sum()
    };
    let flagged = beyond(&measured) + beyond(&detector.measure(aside, control)?);
    model.summary.flagged_share = share(flagged, model.summary.training_sessions);
    Ok(())
}

/// Whether a session is one that training saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Another one.
    New,
    /// Training saw it; it is compared with the others that training saw.
    Training,
}

/// The judgement of a session.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionJudgement {
    /// Whether it is flagged.
    pub is_anomaly: bool,
    /// Share of ordinary history that is less strange, within `0..=1`.
    pub score: f64,
    /// The strongest reason.
    pub reason: Reason,
    /// Cosine distance of TF-IDF vectors of templates to the nearest kind of ordinary session.
    pub distance: f64,
    /// How strange it is, in nats; flagged above the calibration's threshold.
    pub strangeness: f64,
}

/// Buffers that a caller keeps between calls.
#[derive(Debug, Default)]
pub struct SessionScratch(Comparison);

/// A model ready to judge.
#[derive(Debug)]
pub struct SessionDetector {
    model: SessionModel,
    kinds: Kinds,
}

/// A session beside the kinds of training.
struct Measure {
    strangeness: f64,
    /// Nearest kind, and what the difference from it tells.
    nearest: Option<(usize, f64)>,
}

impl SessionDetector {
    /// Builds the look-up tables.
    ///
    /// # Errors
    /// What `control` returns.
    pub fn new(mut model: SessionModel, control: &dyn Control) -> Result<Self> {
        let rows = std::mem::replace(&mut model.kinds, CsrMatrix::new(MAX_DIM));
        let weights = std::mem::take(&mut model.weights);
        let kinds = kinds_of(&model.table, rows, weights, control)?;
        Ok(SessionDetector { model, kinds })
    }

    /// Figures of the training.
    pub fn summary(&self) -> &SessionSummary {
        &self.model.summary
    }

    /// Estimated bytes in use.
    pub fn bytes(&self) -> usize {
        self.model.table.bytes()
            + self.kinds.bytes()
            + self.model.set_aside.len() * 4
            + self.model.calibration.bytes()
    }

    /// Whether training saw the session with that last event, as far as its time tells: one that comes late, or that
    /// training was not shown, passes for one that it saw.
    pub fn origin(&self, last: Option<Micros>) -> Origin {
        let (earliest, latest) = self.model.ended;
        if (earliest..=latest).contains(&last) { Origin::Training } else { Origin::New }
    }

    /// Judges a session.
    ///
    /// # Errors
    /// What `control` returns.
    pub fn judge(
        &self,
        session: &SessionCounts,
        origin: Origin,
        scratch: &mut SessionScratch,
        control: &dyn Control,
    ) -> Result<SessionJudgement> {
        let row = session.row();
        let row = row.as_ref();
        let ordinary = |reason| SessionJudgement {
            is_anomaly: false,
            score: 0.0,
            reason,
            distance: 0.0,
            strangeness: 0.0,
        };
        if self.model.summary.training_sessions == 0 {
            return Ok(ordinary(Reason::Untrained));
        }
        if session.events == 0 {
            return Ok(ordinary(Reason::Normal(0.0)));
        }
        let mut steps = Steps::new(control);
        let Measure { strangeness, nearest } = self.measure_one(row, origin, &mut scratch.0, &mut steps)?;
        let distance = nearest.map_or(1.0, |(kind, _)| self.tf_idf_distance(row, self.kinds.rows.row(kind)));
        let is_anomaly = strangeness > self.model.calibration.threshold;
        let reason = if is_anomaly { self.reason(row, nearest, distance) } else { Reason::Normal(distance) };
        let score = self.model.calibration.score(strangeness);
        Ok(SessionJudgement { is_anomaly, score, reason, distance, strangeness })
    }

    fn measure_one(
        &self,
        row: SparseRef<'_>,
        origin: Origin,
        scratch: &mut Comparison,
        steps: &mut Steps<'_>,
    ) -> Result<Measure> {
        self.kinds.compare(&self.model.table, row, scratch, steps)?;
        let total = self.model.table.total() as f64;
        let (mut nearest, mut density) = (None, 0.0);
        for (kind, &difference) in scratch.differences.iter().enumerate() {
            let itself =
                origin == Origin::Training && difference == 0.0 && is_same(self.kinds.rows.row(kind), row);
            let weight = self.kinds.weights[kind] - u64::from(itself);
            if weight == 0 {
                continue;
            }
            density += weight as f64 * (-difference).exp() / total;
            if nearest.is_none_or(|(_, least)| difference < least) {
                nearest = Some((kind, difference));
            }
        }
        // As far as can be, where there is nothing to compare with.
        let difference = nearest.map_or_else(|| (2.0 * total + 2.0).ln(), |(_, difference)| difference);
        let rarity = -density.max(0.5 / total.max(1.0)).ln() / (2.0 * total.max(1.0)).ln();
        let strangeness = ((difference + DENSITY * rarity.max(0.0)) * 1e9).round() / 1e9;
        Ok(Measure { strangeness, nearest })
    }

    /// Strangeness of sessions of training, of so many as may be looked at, each for as many as it stands for.
    fn measure(&self, sessions: &Sessions, control: &dyn Control) -> Result<Vec<(f64, u64)>> {
        let cost = (self.kinds.rows.indices.len() + 8 * self.kinds.weights.len() + 1) as u64;
        let most = (MAX_WORK / cost).clamp(1, 2 * MAX_KINDS as u64) as usize;
        let order = sessions.by_frequency(control)?;
        let (mut scratch, mut steps) = (Comparison::default(), Steps::new(control));
        let mut measured = Vec::with_capacity(most.min(order.len()));
        for group in order.chunks(order.len().div_ceil(most).max(1)) {
            control.progress("sessions", measured.len() as u64, most.min(order.len()) as u64);
            let row = sessions.rows.row(group[0] as usize);
            let measure = self.measure_one(row, Origin::Training, &mut scratch, &mut steps)?;
            measured.push((measure.strangeness, group.iter().map(|&at| sessions.weights[at as usize]).sum()));
        }
        Ok(measured)
    }

    /// Cosine distance of the TF-IDF vectors of two sessions: `1 + ln` of the counts, smoothed idf.
    fn tf_idf_distance(&self, a: SparseRef<'_>, b: SparseRef<'_>) -> f64 {
        let vector = |row| -> SparseVec {
            let row = templates(row);
            let weight = |(template, count): (u32, u32)| {
                let df = self.model.table.frequency(self.model.table.find(template)) as f64;
                let idf = ((1.0 + self.model.table.total() as f64) / (1.0 + df)).ln() + 1.0;
                ((1.0 + f64::from(count).ln()) * idf) as f32
            };
            SparseVec {
                dim: row.dim,
                indices: row.indices.to_vec(),
                values: counts(row).map(weight).collect(),
            }
        };
        if is_same(a, b) {
            return 0.0;
        }
        vector(a).as_ref().cosine_distance(vector(b).as_ref()).unwrap_or(1.0)
    }

    /// The part of the difference that tells most.
    fn reason(&self, row: SparseRef<'_>, nearest: Option<(usize, f64)>, distance: f64) -> Reason {
        let unseen = |&template: &u32| {
            self.model.table.find(template).is_none()
                && self.model.set_aside.binary_search(&template).is_err()
        };
        if row.indices.iter().any(unseen) {
            return Reason::UnseenTemplate;
        }
        let Some((kind, difference)) = nearest.filter(|&(_, difference)| difference > 0.0) else {
            return Reason::RareTemplate;
        };
        let (mut rare, mut spike, mut drop) = (0.0, 0.0, 0.0);
        for (template, count, ordinary) in pairs(row, self.kinds.rows.row(kind)) {
            let told = self.model.table.difference(self.model.table.find(template), count, ordinary);
            if ordinary == 0 {
                rare += told;
            } else if count > ordinary {
                spike += told;
            } else {
                drop += told;
            }
        }
        let half = difference / 2.0;
        if spike >= half {
            Reason::RateSpike
        } else if drop >= half {
            Reason::RateDrop
        } else if rare >= half {
            Reason::RareTemplate
        } else {
            Reason::SemanticDistance(distance)
        }
    }
}

fn is_same(a: SparseRef<'_>, b: SparseRef<'_>) -> bool {
    a.indices == b.indices && a.values == b.values
}

/// The templates of two sessions with the counts of each, ascending.
fn pairs<'a>(a: SparseRef<'a>, b: SparseRef<'a>) -> impl Iterator<Item = (u32, u32, u32)> + 'a {
    let (mut left, mut right) = (counts(a).peekable(), counts(b).peekable());
    let of = |side: Option<&(u32, u32)>| side.map_or(u32::MAX, |&(template, _)| template);
    std::iter::from_fn(move || {
        let template = of(left.peek()).min(of(right.peek()));
        if template == u32::MAX {
            return None;
        }
        let ours = left.next_if(|entry| entry.0 == template).map_or(0, |entry| entry.1);
        let theirs = right.next_if(|entry| entry.0 == template).map_or(0, |entry| entry.1);
        Some((template, ours, theirs))
    })
}
