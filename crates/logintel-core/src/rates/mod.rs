//! How often things happen: the most and the least that history has seen.
//!
//! Logs are bursty: a template's count in a minute may have a variance hundreds of times its mean, so that no Poisson
//! or normal limit holds. What does hold is the record: of the busiest window that a template or a component had in
//! history, and of its longest silence. A rate is strange when it breaks the record twofold, at any of the
//! scales of [`WINDOWS`] that history has [`MIN_WINDOWS`] of. A burst has at least [`MIN_BURST`] lines, so that three
//! where one was is no news. Silence is a component's while others speak, or the whole log's as long as somebody waits for
//! it; templates come and go with versions of programs. A history of weeks tells more: what each hour of the day has ([`hours`]).
//!
//! [`RateLog`] gathers the records in training, [`RateModel`] keeps them, [`RateWatch`] compares what comes with them.

mod alarm;
mod hours;
mod watch;

use std::collections::HashMap;

use crate::config::{MINUTE, Micros};
use crate::control::{Control, Steps};
use crate::error::Result;

use hours::{Clock, HourRecorder};

pub use alarm::{Alarm, Growth, Key, Trouble};
pub use hours::{Timetable, Zone};
pub use watch::{Observed, RateState, RateWatch};

/// Lengths of the sliding windows in which events are counted.
pub const WINDOWS: [Micros; 4] = [MINUTE / 6, MINUTE, 10 * MINUTE, 60 * MINUTE];
/// Parts of a window, by which it slides.
const PARTS: usize = 5;
/// A count or a silence is strange from this multiple of the record on.
const FACTOR: f64 = 2.0;
/// Added to counts before they are compared: small records are broken by chance.
const SMALL: f64 = 2.0;
/// A window of which history holds fewer has no record: they do not tell what the busiest is like.
const MIN_WINDOWS: i64 = 100;
/// Fewer events than this are never a burst.
const MIN_BURST: u32 = 5;
/// Fewer events of history than this tell nothing of silences, and fewer lines of others do not tell that one is silent.
const MIN_ROWS: u64 = 20;
/// A shorter history tells nothing of silences.
const MIN_HISTORY: Micros = 12 * 60 * MINUTE;
/// What was silent for more than this part of history is not expected to speak.
const MAX_SILENCE: i64 = 4;
/// Most components whose rates are learnt, and most bytes of their names: those that come first.
const MAX_COMPONENTS: usize = 1000;
const MAX_NAME: usize = 256;
/// Most templates whose hours of the day are learnt, those with most rows, and the fewest rows that they have.
const MAX_TIMETABLES: usize = 1000;
const MIN_TIMETABLE_ROWS: u64 = 100;
/// Most entries of [`RateLog`]: 256 MB; where memory is short, the part of it that they may fill is less. Beyond them the
/// older half of history is forgotten.
const MAX_ENTRIES: usize = 16 << 20;
const MEMORY_SHARE: u64 = 8;

/// Events of one kind in one sliding window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
struct Counter {
    /// Number of the newest part, counted from the epoch.
    newest: i64,
    counts: [u32; PARTS],
}

impl Default for Counter {
    fn default() -> Self {
        Counter { newest: i64::MIN, counts: [0; PARTS] }
    }
}

impl Counter {
    /// Adds events and returns how many the window holds; late ones count as of the newest part.
    fn add(&mut self, ts: Micros, window: Micros, events: u32) -> u32 {
        let part = ts.div_euclid(window / PARTS as i64).max(self.newest);
        let slid = part.saturating_sub(self.newest).min(PARTS as i64);
        for step in 0..slid {
            self.counts[place(part - step)] = 0;
        }
        self.newest = part;
        let count = &mut self.counts[place(part)];
        *count = count.saturating_add(events);
        self.counts.iter().fold(0, |sum, &count| sum.saturating_add(count))
    }

    /// When the oldest part began that has any.
    fn since(&self, window: Micros) -> Micros {
        let parts = (0..PARTS as i64).rev().map(|before| self.newest.saturating_sub(before));
        let oldest = parts.into_iter().find(|&part| self.counts[place(part)] > 0).unwrap_or(self.newest);
        oldest.saturating_mul(window / PARTS as i64)
    }
}

fn place(part: i64) -> usize {
    part.rem_euclid(PARTS as i64) as usize
}

/// Whether so many events are a burst to who never saw more than the record.
fn breaks(count: u32, record: u32) -> bool {
    count >= MIN_BURST && f64::from(count) + SMALL > FACTOR * (f64::from(record) + SMALL)
}

/// The records of one kind of event.
#[derive(Debug, Clone, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Rate {
    /// Most events in each of [`WINDOWS`].
    pub peaks: [u32; WINDOWS.len()],
    /// What the hours of the day had; `None` where history does not tell.
    pub hours: Option<Box<Timetable>>,
}

impl Rate {
    /// What no one ever saw.
    const NONE: &Rate = &Rate { peaks: [0; WINDOWS.len()], hours: None };
}

/// The records of what is expected to speak: a component, or the whole log.
#[derive(Debug, Clone, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Speaker {
    /// How often.
    pub rate: Rate,
    /// Events of history.
    pub rows: u64,
    /// Longest time without one.
    pub longest_silence: Micros,
}

impl Speaker {
    /// Time without an event that breaks the record; `None` where silence is nothing strange.
    fn patience(&self, history: Micros) -> Option<Micros> {
        let patience = (self.longest_silence as f64 * FACTOR) as Micros;
        let is_regular = self.rows >= MIN_ROWS && history >= MIN_HISTORY && patience <= history / MAX_SILENCE;
        is_regular.then(|| patience.max(WINDOWS[0]))
    }
}

/// Gathers the records of one kind.
#[derive(Debug, Clone, Default)]
struct Recorder {
    peaks: [u32; WINDOWS.len()],
    counters: [Counter; WINDOWS.len()],
    /// `None` where hours are not told apart.
    hours: Option<Box<HourRecorder>>,
}

impl Recorder {
    fn add(&mut self, ts: Micros, events: u32) {
        for ((counter, peak), window) in self.counters.iter_mut().zip(&mut self.peaks).zip(WINDOWS) {
            *peak = (*peak).max(counter.add(ts, window, events));
        }
        if let Some(hours) = &mut self.hours {
            hours.add(events);
        }
    }

    fn close_hours(&mut self, over: &[u8]) {
        if let Some(hours) = &mut self.hours {
            for &of_day in over {
                hours.close(of_day);
            }
        }
    }

    /// `of_day` is the hour of the day in which history ends, where it tells of hours.
    fn finish(self, of_day: Option<u8>) -> Rate {
        let record = self.peaks[WINDOWS.len() - 1];
        let hours = of_day.and_then(|of_day| self.hours?.finish(of_day, record));
        Rate { peaks: self.peaks, hours }
    }
}

/// Gathers the records of what is expected to speak.
#[derive(Debug, Clone)]
struct SpeakerRecorder {
    recorder: Recorder,
    rows: u64,
    longest_silence: Micros,
    last: Option<Micros>,
}

impl SpeakerRecorder {
    /// Silent so far.
    fn new(hours: HourRecorder) -> Self {
        let recorder = Recorder { hours: Some(Box::new(hours)), ..Recorder::default() };
        SpeakerRecorder { recorder, rows: 0, longest_silence: 0, last: None }
    }

    fn add(&mut self, ts: Micros, since: Micros) {
        self.rows += 1;
        self.recorder.add(ts, 1);
        self.silent_until(ts, since);
        self.last = self.last.max(Some(ts));
    }

    fn silent_until(&mut self, ts: Micros, since: Micros) {
        let silence = ts.saturating_sub(self.last.unwrap_or(since));
        self.longest_silence = self.longest_silence.max(silence);
    }

    fn finish(mut self, since: Micros, until: Micros, of_day: Option<u8>) -> Speaker {
        self.silent_until(until, since);
        let rate = self.recorder.finish(of_day);
        Speaker { rate, rows: self.rows, longest_silence: self.longest_silence }
    }
}

/// The rows of history by time, gathered in one pass in the order of time. Which template a message is of is known
/// when all have been read.
#[derive(Debug)]
pub struct RateLog {
    max_entries: usize,
    entries: Vec<Entry>,
    /// Entries of the newest part, by message.
    newest: HashMap<u32, usize>,
    since: Option<Micros>,
    until: Option<Micros>,
    clock: Clock,
    log: SpeakerRecorder,
    components: HashMap<String, SpeakerRecorder>,
    /// The hours of who has not spoken yet.
    silent: HourRecorder,
}

/// Rows of one message in one part of the shortest window.
#[derive(Debug, Clone, Copy)]
struct Entry {
    ts: Micros,
    message: u32,
    rows: u32,
}

impl RateLog {
    /// No rows yet; an eighth of `max_bytes` may be used.
    pub fn new(max_bytes: u64) -> Self {
        let entries = max_bytes / MEMORY_SHARE / size_of::<Entry>() as u64;
        RateLog {
            max_entries: usize::try_from(entries).unwrap_or(usize::MAX).min(MAX_ENTRIES),
            entries: Vec::new(),
            newest: HashMap::new(),
            since: None,
            until: None,
            clock: Clock::new(Zone::default()),
            log: SpeakerRecorder::new(HourRecorder::default()),
            components: HashMap::new(),
            silent: HourRecorder::default(),
        }
    }

    /// Tells what clocks show, before the first row; else it is UTC.
    pub fn set_zone(&mut self, zone: Zone) {
        self.clock = Clock::new(zone);
    }

    /// One more row, its message by a number; rows without time do not count.
    pub fn add(&mut self, ts: Option<Micros>, message: Option<u32>, component: Option<&str>) {
        let Some(ts) = ts else { return };
        let part = WINDOWS[0] / PARTS as i64;
        // What a part holds is one entry for each message, so all times are those of parts.
        let ts = ts.div_euclid(part).saturating_mul(part);
        let since = *self.since.get_or_insert(ts);
        if self.until != Some(ts) {
            self.newest.clear();
            self.pass(ts);
        }
        self.until = self.until.max(Some(ts));
        self.log.add(ts, since);
        if let Some(component) = component.filter(|name| name.len() <= MAX_NAME) {
            if let Some(recorder) = self.components.get_mut(component) {
                recorder.add(ts, since);
            } else if self.components.len() < MAX_COMPONENTS {
                let mut recorder = SpeakerRecorder::new(self.silent.clone());
                recorder.add(ts, since);
                self.components.insert(component.to_owned(), recorder);
            }
        }
        if let Some(message) = message {
            self.count(ts, message);
        }
    }

    /// Time comes to `ts`.
    fn pass(&mut self, ts: Micros) {
        let over = self.clock.pass(ts);
        if over.is_empty() {
            return;
        }
        for speaker in self.components.values_mut().chain([&mut self.log]) {
            speaker.recorder.close_hours(&over);
        }
        for of_day in over {
            self.silent.close(of_day);
        }
    }

    fn count(&mut self, ts: Micros, message: u32) {
        if let Some(&at) = self.newest.get(&message) {
            self.entries[at].rows = self.entries[at].rows.saturating_add(1);
            return;
        }
        if self.entries.len() >= self.max_entries {
            self.entries.drain(..self.entries.len().div_ceil(2));
            self.newest.clear();
        }
        self.newest.insert(message, self.entries.len());
        self.entries.push(Entry { ts, message, rows: 1 });
    }

    /// The records, those of templates by their number; `None` where no row had a time.
    ///
    /// # Errors
    /// What `control` returns.
    pub fn learn(
        self,
        templates: usize,
        template_of: impl Fn(u32) -> Option<u32>,
        control: &dyn Control,
    ) -> Result<Option<RateModel>> {
        let (Some(since), Some(until)) = (self.since, self.until) else { return Ok(None) };
        let zone = self.clock.zone().clone();
        let of_day = self.clock.last_of_day();
        let templates = learn_templates(&self.entries, templates, template_of, &zone, control)?;
        let mut components: Vec<(String, Speaker)> = self
            .components
            .into_iter()
            .map(|(name, recorder)| (name, recorder.finish(since, until, of_day)))
            .collect();
        components.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(Some(RateModel {
            history: until.saturating_sub(since),
            until,
            zone,
            log: self.log.finish(since, until, of_day),
            components,
            templates,
        }))
    }
}

/// The records of templates, by number.
fn learn_templates(
    entries: &[Entry],
    templates: usize,
    template_of: impl Fn(u32) -> Option<u32>,
    zone: &Zone,
    control: &dyn Control,
) -> Result<Vec<Rate>> {
    let mut steps = Steps::new(control);
    let mut rows = vec![0u64; templates];
    for entry in entries {
        steps.pass(1)?;
        if let Some(template) = template_of(entry.message) {
            rows[template as usize] += u64::from(entry.rows);
        }
    }
    let mut recorders = vec![Recorder::default(); templates];
    let told = most_frequent(&rows);
    for &at in &told {
        recorders[at].hours = Some(Box::default());
    }
    let mut clock = Clock::new(zone.clone());
    for entry in entries {
        steps.pass(1)?;
        let over = clock.pass(entry.ts);
        if !over.is_empty() {
            steps.pass(told.len())?;
            for &at in &told {
                recorders[at].close_hours(&over);
            }
        }
        if let Some(template) = template_of(entry.message) {
            recorders[template as usize].add(entry.ts, entry.rows);
        }
    }
    let of_day = clock.last_of_day();
    Ok(recorders.into_iter().map(|recorder| recorder.finish(of_day)).collect())
}

/// The templates whose hours are told apart.
fn most_frequent(rows: &[u64]) -> Vec<usize> {
    let mut templates: Vec<usize> = (0..rows.len()).filter(|&at| rows[at] >= MIN_TIMETABLE_ROWS).collect();
    templates.sort_by_key(|&at| std::cmp::Reverse(rows[at]));
    templates.truncate(MAX_TIMETABLES);
    templates
}

/// The records of history.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct RateModel {
    /// Length of history.
    pub history: Micros,
    /// Its last row.
    pub until: Micros,
    /// What clocks show.
    pub zone: Zone,
    /// Of all rows.
    pub log: Speaker,
    /// Of components, by name.
    pub components: Vec<(String, Speaker)>,
    /// Of templates, by number.
    pub templates: Vec<Rate>,
}

impl RateModel {
    /// Number of a component that history had.
    fn component(&self, name: &str) -> Option<u32> {
        self.components.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok().map(|at| at as u32)
    }

    /// Rows of a component in history; 0 for one that it never had.
    pub fn component_rows(&self, name: &str) -> u64 {
        self.component(name).map_or(0, |at| self.components[at as usize].1.rows)
    }

    /// Whether history tells how many events a window may hold.
    fn has_record(&self, window: Micros) -> bool {
        self.history / MIN_WINDOWS >= window
    }

    /// Whether it fits so many templates and is in order.
    pub(crate) fn check(&self, templates: usize) -> std::result::Result<(), &'static str> {
        if self.templates.len() != templates {
            return Err("rates and templates differ in number");
        }
        if !self.components.is_sorted_by(|a, b| a.0 < b.0) {
            return Err("components are out of order");
        }
        if !self.zone.is_in_order() {
            return Err("the zone is out of order");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
