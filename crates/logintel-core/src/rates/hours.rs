//! Hours of the day: what is ordinary at two in the night may be strange in the afternoon.
//!
//! Logs have a daily rhythm: a batch runs at night, customers come by day. Where history has [`MIN_HOURS`], a
//! [`Timetable`] tells the most and the least events that each hour of the day had, as clocks show it in the [`Zone`] of the
//! log. An hour is pooled with the ones before and after: what runs at 02:59 one day runs at 03:01 another, and zones change
//! their offset. Days are not told apart, so that a holiday, which is like a Sunday, is no news.
//!
//! A timetable is kept where there is a rhythm: each day of history, had the two days most like it been all that was known,
//! would have been no news. Bursts that come at any hour fail that, for where two fall into the same hour by chance, three seldom
//! do; and so does what history had once.
//!
//! Training goes through the hours with a [`Clock`] and keeps an [`HourRecorder`] for each kind of event; [`HourCount`]
//! counts what comes.

use crate::config::{MINUTE, Micros};

use super::{FACTOR, breaks};

const HOUR: Micros = 60 * MINUTE;
/// Fewest hours of history that tell of a rhythm: each day of the week has been seen twice.
const MIN_HOURS: u64 = 14 * 24;
/// Half of so many is five standard deviations below them: chance does not explain that less came.
pub(super) const MIN_LEAST: u32 = 100;
/// Hours without any event that are gone through one by one: then all hours of the day have had none three times.
pub(super) const MAX_EMPTY: usize = 75;
/// Most hours of history that are gone through, eleven years; of a longer one nothing is told of hours.
const MAX_HOURS: u64 = 100_000;
/// Most changes of a zone's offset that are kept.
const MAX_CHANGES: usize = 10_000;

/// What clocks show: the offset from UTC, microseconds, from each of some moments on. Before the first, and without any, it
/// is UTC.
#[derive(Debug, Clone, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Zone {
    changes: Vec<(Micros, Micros)>,
}

/// An hour of some day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hour {
    /// Counted from the epoch: no two are the same, whatever clocks do.
    pub number: i64,
    /// As clocks show it, 0 to 23.
    pub of_day: u8,
    pub start: Micros,
    /// Where it ends, or the offset changes.
    end: Micros,
}

impl Hour {
    pub fn holds(&self, ts: Micros) -> bool {
        (self.start..self.end).contains(&ts)
    }

    /// Where it ends, or the offset changes.
    pub fn end(&self) -> Micros {
        self.end
    }
}

impl Zone {
    /// The moments must rise; the oldest 10,000 are kept.
    pub fn new(mut changes: Vec<(Micros, Micros)>) -> Self {
        changes.truncate(MAX_CHANGES);
        Zone { changes }
    }

    pub(super) fn hour(&self, ts: Micros) -> Hour {
        let after = self.changes.partition_point(|&(since, _)| since <= ts);
        let offset = after.checked_sub(1).map_or(0, |at| self.changes[at].1);
        // Where clocks are half an hour ahead, so are their hours.
        let part = offset.rem_euclid(HOUR);
        let number = ts.saturating_add(part).div_euclid(HOUR);
        let start = number.saturating_mul(HOUR).saturating_sub(part);
        let change = self.changes.get(after).map_or(Micros::MAX, |change| change.0);
        Hour {
            number,
            of_day: ts.saturating_add(offset).div_euclid(HOUR).rem_euclid(24) as u8,
            start,
            end: start.saturating_add(HOUR).min(change),
        }
    }

    /// The hour after another, where none is repeated.
    pub(super) fn after(&self, hour: Hour) -> Hour {
        self.hour(hour.start.saturating_add(HOUR))
    }

    pub(super) fn is_in_order(&self) -> bool {
        self.changes.is_sorted_by(|a, b| a.0 < b.0)
    }
}

/// Goes through the hours of history.
#[derive(Debug)]
pub(super) struct Clock {
    zone: Zone,
    hour: Option<Hour>,
    passed: u64,
}

impl Clock {
    pub fn new(zone: Zone) -> Self {
        Clock { zone, hour: None, passed: 0 }
    }

    /// The hours of the day that are over when time comes to `ts`.
    pub fn pass(&mut self, ts: Micros) -> Vec<u8> {
        let Some(last) = self.hour else {
            self.hour = Some(self.zone.hour(ts));
            return Vec::new();
        };
        if last.holds(ts) || self.is_over() {
            return Vec::new();
        }
        let next = self.zone.hour(ts);
        if next.number <= last.number {
            // Time goes back, or the offset changes within an hour.
            return Vec::new();
        }
        let mut over = vec![last.of_day];
        let empty = next.number.saturating_sub(last.number).saturating_sub(1);
        let hours = (1..=empty).take(MAX_EMPTY);
        over.extend(hours.map(|i| self.zone.hour(last.start.saturating_add(i * HOUR)).of_day));
        self.hour = Some(next);
        self.passed += over.len() as u64;
        over
    }

    /// The hour of the day at which it stands, having gone through a history that tells of hours.
    pub fn last_of_day(&self) -> Option<u8> {
        let is_known = self.passed >= MIN_HOURS - 1 && !self.is_over();
        self.hour.filter(|_| is_known).map(|hour| hour.of_day)
    }

    /// Whether history is too long.
    fn is_over(&self) -> bool {
        self.passed > MAX_HOURS
    }

    pub fn zone(&self) -> &Zone {
        &self.zone
    }
}

/// What an hour and the ones before and after had at most, or at least, and what it had itself.
#[derive(Debug, Clone, Copy)]
struct Seen {
    pooled: u32,
    count: u32,
}

/// The three days on which an hour of the day had most, or least, the farthest first.
type Farthest = [Seen; 3];

fn insert(farthest: &mut Farthest, seen: Seen, is_farther: impl Fn(u32, u32) -> bool) {
    let at = farthest.iter().position(|other| is_farther(seen.pooled, other.pooled));
    if let Some(at) = at {
        farthest[at..].rotate_right(1);
        farthest[at] = seen;
    }
}

/// Whether one of the days would have been news to the farthest of the others.
fn is_news(farthest: &Farthest, news: impl Fn(u32, u32) -> bool) -> bool {
    let [nearer @ .., last] = farthest;
    nearer.iter().any(|seen| news(seen.count, last.pooled))
}

/// Whether an hour had much less than the least that it ever had.
pub(super) fn is_little(count: u32, least: u32) -> bool {
    least >= MIN_LEAST && f64::from(count) * FACTOR < f64::from(least)
}

/// Gathers what the hours of the day had of one kind of event.
#[derive(Debug, Clone)]
pub(super) struct HourRecorder {
    /// In the hour at hand, in the one before, and in that before it.
    counts: [u32; 3],
    /// The hour of the day before.
    before: Option<u8>,
    closed: u64,
    most: [Farthest; 24],
    least: [Farthest; 24],
}

impl Default for HourRecorder {
    fn default() -> Self {
        HourRecorder {
            counts: [0; 3],
            before: None,
            closed: 0,
            most: [[Seen { pooled: 0, count: 0 }; 3]; 24],
            least: [[Seen { pooled: u32::MAX, count: u32::MAX }; 3]; 24],
        }
    }
}

impl HourRecorder {
    pub fn add(&mut self, events: u32) {
        self.counts[0] = self.counts[0].saturating_add(events);
    }

    /// The hour at hand is over. Then the one before has been seen, with those around it.
    pub fn close(&mut self, of_day: u8) {
        self.see_most();
        // History may begin in the middle of its first hour.
        if let Some(before) = self.before.filter(|_| self.closed >= 3) {
            let pooled = self.counts.into_iter().min().unwrap_or(0);
            let seen = Seen { pooled, count: self.counts[1] };
            insert(&mut self.least[usize::from(before)], seen, |a, b| a < b);
        }
        self.step(of_day);
    }

    fn see_most(&mut self) {
        if let Some(before) = self.before {
            let pooled = self.counts.into_iter().max().unwrap_or(0);
            let seen = Seen { pooled, count: self.counts[1] };
            insert(&mut self.most[usize::from(before)], seen, |a, b| a > b);
        }
    }

    fn step(&mut self, of_day: u8) {
        self.counts = [0, self.counts[0], self.counts[1]];
        self.before = Some(of_day);
        self.closed += 1;
    }

    /// What the hours had, history ending in one of this hour of the day; `None` where that tells nothing that the `record` of
    /// all hours does not.
    pub fn finish(mut self, of_day: u8, record: u32) -> Option<Box<Timetable>> {
        // The last hour is not over: it tells of the most alone.
        self.see_most();
        self.step(of_day);
        self.see_most();
        let mut table = Timetable { most: [u32::MAX; 24], least: [0; 24] };
        if !self.most.iter().any(|farthest| is_news(farthest, breaks)) {
            table.most = self.most.map(|farthest| farthest[0].pooled);
        }
        if !self.least.iter().any(|farthest| is_news(farthest, is_little)) {
            // What was not seen three times is not known.
            let known = |farthest: Farthest| (farthest[2].pooled < u32::MAX).then_some(farthest[0].pooled);
            table.least = self.least.map(|farthest| known(farthest).unwrap_or(0));
        }
        let tells = table.most.iter().any(|&most| most < record) || table.tells_little();
        tells.then(|| Box::new(table))
    }
}

/// The most and the least events that each hour of the day, pooled with the ones before and after, had in history.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Timetable {
    /// As many as may be where there is no rhythm.
    pub most: [u32; 24],
    /// None where there is no rhythm.
    pub least: [u32; 24],
}

impl Timetable {
    /// Whether less than the least can be told at some hour.
    pub(super) fn tells_little(&self) -> bool {
        self.least.iter().any(|&least| least >= MIN_LEAST)
    }
}

/// Events of one kind in the hour at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(super) struct HourCount {
    hour: i64,
    of_day: u8,
    count: u32,
    /// Those of them that are of another's burst.
    of_others: u32,
    /// Whether there were too many in it, or since the hours before.
    is_busy: bool,
}

impl Default for HourCount {
    fn default() -> Self {
        HourCount { hour: i64::MIN, of_day: 0, count: 0, of_others: 0, is_busy: false }
    }
}

impl HourCount {
    /// Adds an event and returns how many the hour has that are of no other's burst. What was too much is over after an hour with
    /// no more than the most.
    pub fn add(&mut self, hour: Hour, table: &Timetable, is_of_other: bool) -> u32 {
        if hour.number > self.hour {
            let goes_on = hour.number == self.hour.saturating_add(1)
                && table.most.get(usize::from(self.of_day)).is_some_and(|&most| self.own() > most);
            let is_busy = self.is_busy && goes_on;
            *self = HourCount { hour: hour.number, of_day: hour.of_day, count: 0, of_others: 0, is_busy };
        }
        self.count = self.count.saturating_add(1);
        self.of_others = self.of_others.saturating_add(u32::from(is_of_other));
        self.own()
    }

    fn own(&self) -> u32 {
        self.count.saturating_sub(self.of_others)
    }

    pub fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// How many an hour had that is over.
    pub fn of(&self, hour: i64) -> u32 {
        if self.hour == hour { self.count } else { 0 }
    }

    /// Notes that too many came; true where that is known.
    pub fn note_busy(&mut self) -> bool {
        std::mem::replace(&mut self.is_busy, true)
    }
}

#[cfg(test)]
mod tests;
