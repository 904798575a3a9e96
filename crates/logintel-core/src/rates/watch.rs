//! What comes, compared with the records of history.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use crate::artifact::{Artifact, corrupt};
use crate::config::Micros;
use crate::control::Control;
use crate::error::Result;

use super::alarm::{Alarm, Growth, Key, Trouble};
use super::hours::{Hour, HourCount, MAX_EMPTY, is_little};
use super::{
    Counter, FACTOR, MIN_BURST, MIN_ROWS, PARTS, Rate, RateModel, Speaker, Timetable, WINDOWS, breaks,
};

/// Most templates that history never had and whose bursts are counted at once.
pub(super) const MAX_UNSEEN: usize = 10_000;

/// A row that comes.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// When it happened.
    pub ts: Micros,
    /// Number of its template, if training saw it.
    pub seen: Option<u32>,
    /// Its template.
    pub template: &'a str,
    /// Its component.
    pub component: Option<&'a str>,
    /// Whether it is told of by itself: no burst stands for it.
    pub is_told: bool,
}

/// A burst that was told of, while its windows hold more than ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
struct Burst {
    ts: Micros,
    since: Micros,
    until: Micros,
    events: u32,
    /// What came after `until`: of the burst only if it goes on.
    pending: u32,
    /// The shortest window whose record it broke, none where it has too many for the hour.
    window: Option<u8>,
    is_told: bool,
}

impl Burst {
    /// Takes in an event, or none where it has been told of otherwise. The burst lasts as long as the shortest window that it broke
    /// holds more than ever, or what came since breaks a record by itself: a longer window is full for long after it.
    fn add(&mut self, ts: Micros, events: u32, goes_on: bool, breaks_anew: impl FnOnce(Micros, u32) -> bool) {
        self.pending = self.pending.saturating_add(events);
        if goes_on || breaks_anew(ts.saturating_sub(self.until), self.pending) {
            self.is_told &= self.pending == 0;
            self.events = self.events.saturating_add(self.pending);
            (self.pending, self.until) = (0, self.until.max(ts));
        }
    }

    fn growth(&self, key: Key, template: Option<String>) -> Growth {
        Growth { key, template, ts: self.ts, since: self.since, until: self.until, events: self.events }
    }
}

/// What is known of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
struct State {
    counters: [Counter; WINDOWS.len()],
    hour: HourCount,
    last: Micros,
    /// How long the log had spoken by then.
    spoken: Micros,
    /// Rows of the log up to then.
    rows: u64,
    is_bursting: bool,
    burst: Option<Burst>,
    is_silent: bool,
    /// Told of as silent or as having too few in an hour, and not seen since with as many as ever in one.
    is_quiet: bool,
}

impl State {
    fn new(last: Micros, spoken: Micros, rows: u64) -> Self {
        State {
            counters: Default::default(),
            hour: HourCount::default(),
            last,
            spoken,
            rows,
            is_bursting: false,
            burst: None,
            is_silent: false,
            is_quiet: false,
        }
    }
}

/// What a watch knows, to go on later.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct RateState {
    begun: Micros,
    rows: u64,
    spoken: Micros,
    hole: Option<Hole>,
    states: Vec<(Key, State)>,
}

/// The last time that the whole log was silent for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
struct Hole {
    /// When it was over.
    until: Micros,
    /// Rows up to then.
    rows: u64,
    /// The longest since the log last spoke as it should.
    length: Micros,
}

impl Artifact for RateState {
    const WHAT: &'static str = "state of rates";
    const LETTER: u8 = b'R';
    const VERSION: u16 = 1;

    fn accept(&mut self, _: &dyn Control) -> Result<()> {
        let is_sorted = self.states.is_sorted_by(|a, b| a.0 < b.0);
        // As many as a table may have, and one more can be counted.
        let is_counted = i64::try_from(self.rows).is_ok();
        let is_counted = is_counted
            && self.hole.is_none_or(|hole| hole.rows <= self.rows)
            && self.states.iter().all(|(_, state)| state.rows <= self.rows);
        let mut bursts = self.states.iter().filter_map(|(_, state)| state.burst?.window);
        let is_counted = is_counted && bursts.all(|at| usize::from(at) < WINDOWS.len());
        if is_sorted && is_counted { Ok(()) } else { Err(corrupt::<Self>("keys or rows are out of order")) }
    }
}

/// What an hour says of a key.
struct Lull {
    is_quiet: bool,
    /// It is told of once: until an hour has no less than the least.
    is_news: bool,
    alarm: Alarm,
}

/// Compares rows with the records, in the order of time.
#[derive(Debug)]
pub struct RateWatch<'a> {
    model: &'a RateModel,
    /// `None` before the first row.
    begun: Option<Micros>,
    rows: u64,
    /// How long the log has spoken: the time in which components may be missed.
    spoken: Micros,
    hole: Option<Hole>,
    states: HashMap<Key, State>,
    unseen: usize,
    /// When it is worth while again to look for unseen templates to forget: all keys are looked at for that.
    forget_from: Option<Micros>,
    /// When components are due to be looked at for silence, by `spoken`, the earliest on top; one that spoke meanwhile goes back.
    due: BinaryHeap<Reverse<(Micros, u32)>>,
    /// The hour of the last row.
    hour: Option<Hour>,
    /// Who has hours of which history tells how few events they may have, but for the log.
    steady: Vec<Key>,
    alarms: Vec<Alarm>,
    /// Bursts that are over.
    grown: Vec<Growth>,
    /// What templates that history never had are called, of those that have grown.
    names: HashMap<Key, String>,
}

impl<'a> RateWatch<'a> {
    /// Begins with the first row, or goes on where another watch with the same model ended.
    pub fn new(model: &'a RateModel, state: Option<RateState>) -> Self {
        let mut watch = RateWatch {
            model,
            begun: None,
            rows: 0,
            spoken: 0,
            hole: None,
            states: HashMap::new(),
            unseen: 0,
            forget_from: None,
            due: BinaryHeap::new(),
            hour: None,
            steady: steady(model),
            alarms: Vec::new(),
            grown: Vec::new(),
            names: HashMap::new(),
        };
        if let Some(RateState { begun, rows, spoken, hole, states }) = state {
            (watch.rows, watch.spoken, watch.hole) = (rows, spoken, hole);
            watch.unseen = states.iter().filter(|(key, _)| matches!(key, Key::Unseen(_))).count();
            watch.states = states.into_iter().collect();
            watch.begin(begun);
            watch.hour = watch.last(Key::Log).map(|last| model.zone.hour(last));
        }
        watch
    }

    fn begin(&mut self, ts: Micros) {
        self.begun = Some(ts);
        self.due = (0..self.model.components.len() as u32)
            .filter_map(|component| {
                let key = Key::Component(component);
                let is_silent = self.states.get(&key).is_some_and(|state| state.is_silent);
                (!is_silent).then_some(Reverse((self.due_after(key)?, component)))
            })
            .collect();
    }

    /// When a component is to be looked at for silence next: once in each patience since it spoke, so that a watch that goes on
    /// from what was stored looks when the one before would have.
    fn due_after(&self, key: Key) -> Option<Micros> {
        let (spoken, patience) = (self.spoken_by(key), self.patience(key)?);
        let looks = self.spoken.saturating_sub(spoken).max(0) / patience;
        Some(spoken.saturating_add(patience.saturating_mul(looks.saturating_add(1))))
    }

    /// When a key last spoke, or the watch began.
    fn last(&self, key: Key) -> Option<Micros> {
        self.states.get(&key).map(|state| state.last).or(self.begun)
    }

    /// How long the log had spoken when a key last did.
    fn spoken_by(&self, key: Key) -> Micros {
        self.states.get(&key).map_or(0, |state| state.spoken)
    }

    fn rate(&self, key: Key) -> &'a Rate {
        match key {
            Key::Log | Key::Component(_) => self.speaker(key).map_or(Rate::NONE, |speaker| &speaker.rate),
            Key::Template(at) => self.model.templates.get(at as usize).unwrap_or(Rate::NONE),
            Key::Unseen(_) => Rate::NONE,
        }
    }

    /// What is expected to speak: the log and components.
    fn speaker(&self, key: Key) -> Option<&'a Speaker> {
        match key {
            Key::Log => Some(&self.model.log),
            Key::Component(at) => self.model.components.get(at as usize).map(|(_, speaker)| speaker),
            Key::Template(_) | Key::Unseen(_) => None,
        }
    }

    /// How long a key may be silent.
    fn patience(&self, key: Key) -> Option<Micros> {
        self.speaker(key)?.patience(self.model.history)
    }

    /// Takes in a row; alarms wait to be taken.
    pub fn add(&mut self, row: &Observed<'_>) {
        if self.begun.is_none() {
            self.begin(row.ts);
        }
        self.miss_log(row.ts);
        let hole = self.speak_until(row.ts);
        self.look_for_silence(row.ts);
        let hour = self.pass(row.ts);
        self.hole = hole.or(self.hole);
        self.rows += 1;
        self.spoke(Key::Log, row.ts);
        self.count_in_hour(Key::Log, hour);
        let template = row.seen.map_or_else(|| unseen(row.template), Key::Template);
        let is_bursting = self.spoke(template, row.ts) && self.count(template, row, hour, false);
        if let Some(at) = row.component.and_then(|name| self.model.component(name)) {
            self.spoke(Key::Component(at), row.ts);
            // One line is of one burst.
            self.count(Key::Component(at), row, hour, is_bursting);
        }
    }

    /// Nothing came until this time: tells if the whole log has been silent for too long, or for an hour that should have some.
    pub fn nothing_until(&mut self, now: Micros) {
        if self.begun.is_some() {
            self.miss_log(now);
            self.pass(now);
        }
    }

    /// The alarms since the last call, in the order in which they were noticed.
    pub fn take_alarms(&mut self) -> Vec<Alarm> {
        std::mem::take(&mut self.alarms)
    }

    /// What has become of bursts that are over, since the last call.
    pub fn take_grown(&mut self) -> Vec<Growth> {
        std::mem::take(&mut self.grown)
    }

    /// What has become of bursts that go on, as far as it is not told yet.
    pub fn take_growing(&mut self) -> Vec<Growth> {
        let mut growing: Vec<Growth> = Vec::new();
        for (&key, state) in &mut self.states {
            if let Some(burst) = state.burst.as_mut().filter(|burst| !burst.is_told) {
                burst.is_told = true;
                growing.push(burst.growth(key, self.names.get(&key).cloned()));
            }
        }
        growing.sort_unstable_by_key(|growth| (growth.ts, growth.key));
        growing
    }

    /// What is to be known to go on later. What can change no judgement any more is left out.
    pub fn into_state(self) -> Option<RateState> {
        let begun = self.begun?;
        let now = self.states.get(&Key::Log).map_or(begun, |state| state.last);
        let horizon = now.saturating_sub(2 * WINDOWS[WINDOWS.len() - 1]);
        let mut states: Vec<(Key, State)> = self
            .states
            .iter()
            .filter(|&(&key, state)| state.last >= horizon || state.is_quiet || self.patience(key).is_some())
            .map(|(&key, &state)| (key, state))
            .collect();
        states.sort_unstable_by_key(|&(key, _)| key);
        Some(RateState { begun, rows: self.rows, spoken: self.spoken, hole: self.hole, states })
    }

    /// Notes that a key spoke; false where it is one too many to be known.
    fn spoke(&mut self, key: Key, ts: Micros) -> bool {
        if let Some(state) = self.states.get_mut(&key) {
            state.last = state.last.max(ts);
            (state.spoken, state.rows) = (self.spoken, self.rows);
            if !state.is_silent {
                return true;
            }
            state.is_silent = false;
        } else {
            if matches!(key, Key::Unseen(_)) {
                if self.unseen >= MAX_UNSEEN && self.forget_from.is_none_or(|from| ts >= from) {
                    self.forget_unseen(ts);
                }
                if self.unseen >= MAX_UNSEEN {
                    return false;
                }
                self.unseen += 1;
            }
            self.states.insert(key, State::new(ts, self.spoken, self.rows));
            // Before it spoke it was due already.
            return true;
        }
        if let (Key::Component(component), Some(patience)) = (key, self.patience(key)) {
            self.due.push(Reverse((self.spoken.saturating_add(patience), component)));
        }
        true
    }

    fn forget_unseen(&mut self, now: Micros) {
        let longest = WINDOWS[WINDOWS.len() - 1];
        let horizon = now.saturating_sub(longest);
        self.forget_from = Some(now.saturating_add(longest / PARTS as i64));
        self.states.retain(|key, state| !matches!(key, Key::Unseen(_)) || state.last >= horizon);
        self.unseen = self.states.keys().filter(|key| matches!(key, Key::Unseen(_))).count();
        self.names.retain(|key, _| self.states.contains_key(key));
    }

    /// Counts an event in all windows; one that is of another's burst only for what may be missing. A burst is told of once: it is
    /// over when no window holds more than the record. True while one is on that was told of.
    fn count(&mut self, key: Key, row: &Observed<'_>, hour: Hour, is_of_other: bool) -> bool {
        let (rate, model, ts) = (self.rate(key), self.model, row.ts);
        let Some(state) = self.states.get_mut(&key) else { return false };
        let busy = rate.hours.as_deref().and_then(|hours| busy(&mut state.hour, hours, hour, is_of_other));
        if is_of_other {
            return true;
        }
        let (mut broken, mut is_full) = (None, [false; WINDOWS.len()]);
        for (at, (counter, window)) in state.counters.iter_mut().zip(WINDOWS).enumerate() {
            let count = counter.add(ts, window, 1);
            if !model.has_record(window) {
                continue;
            }
            let record = rate.peaks[at];
            is_full[at] = count > record.max(MIN_BURST - 1);
            if broken.is_none() && breaks(count, record) {
                broken = Some((at, Trouble::Spike { count, window, record }));
            }
        }
        let was_bursting = state.is_bursting;
        state.is_bursting = broken.is_some() || was_bursting && is_full.contains(&true);
        // What breaks the record of all hours breaks that of this one.
        let was_busy = (broken.is_some() || busy.is_some()) && state.hour.note_busy();
        let window = broken.map(|(at, _)| at as u8);
        let trouble = broken.map(|(_, trouble)| trouble).or(busy.filter(|_| !was_busy));
        if let Some(trouble) = trouble.filter(|_| !was_bursting) {
            let since = match window {
                Some(at) => state.counters[usize::from(at)].since(WINDOWS[usize::from(at)]),
                None => hour.start,
            };
            let since = since.max(self.begun.unwrap_or(since)).min(ts);
            let alarm = Alarm { key, ts, since, trouble };
            let burst =
                Burst { ts, since, until: ts, events: alarm.events(), pending: 0, window, is_told: true };
            let before = state.burst.replace(burst);
            self.alarms.push(alarm);
            self.over(key, before);
            return true;
        }
        let Some(mut burst) = state.burst.take() else { return false };
        if !state.is_bursting && !state.hour.is_busy() {
            self.over(key, Some(burst));
            return false;
        }
        burst.window = [burst.window, window].into_iter().flatten().min();
        let goes_on = busy.is_some() || burst.window.is_some_and(|at| is_full[usize::from(at)]);
        burst.add(ts, u32::from(!row.is_told), goes_on, |elapsed, events| {
            let fitting =
                (0..WINDOWS.len()).find(|&at| WINDOWS[at] >= elapsed && model.has_record(WINDOWS[at]));
            fitting.is_some_and(|at| breaks(events, rate.peaks[at]))
        });
        state.burst = Some(burst);
        if matches!(key, Key::Unseen(_)) && !burst.is_told && !self.names.contains_key(&key) {
            self.names.insert(key, row.template.to_owned());
        }
        true
    }

    /// A burst is over: tells what is not told of it.
    fn over(&mut self, key: Key, burst: Option<Burst>) {
        let name = self.names.remove(&key);
        if let Some(burst) = burst.filter(|burst| !burst.is_told) {
            self.grown.push(burst.growth(key, name));
        }
    }

    fn count_in_hour(&mut self, key: Key, hour: Hour) {
        if let (Some(hours), Some(state)) = (&self.rate(key).hours, self.states.get_mut(&key)) {
            state.hour.add(hour, hours, false);
        }
    }

    /// The hour to which time comes; looks for what had too few events in those that are over with that.
    fn pass(&mut self, ts: Micros) -> Hour {
        let Some(mut over) = self.hour else { return *self.hour.insert(self.model.zone.hour(ts)) };
        if over.holds(ts) {
            return over;
        }
        let hour = self.model.zone.hour(ts);
        if hour.number < over.number {
            return over;
        }
        self.hour = Some(hour);
        for _ in 0..MAX_EMPTY {
            if over.number >= hour.number {
                break;
            }
            // An hour in which it began is not known whole.
            if self.begun.is_some_and(|begun| begun <= over.start) {
                self.look_for_quiet(over);
            }
            over = self.model.zone.after(over);
        }
        hour
    }

    /// Tells who had too few events in an hour that is over: the component, and the whole log where that is more than one of
    /// them, or fell silent; templates where no component had.
    fn look_for_quiet(&mut self, over: Hour) {
        let log = self.lull(Key::Log, over);
        let steady = std::mem::take(&mut self.steady);
        let (components, templates): (Vec<_>, Vec<_>) = steady
            .iter()
            .filter_map(|&key| self.lull(key, over))
            .partition(|lull| matches!(lull.alarm.key, Key::Component(_)));
        self.steady = steady;
        let quiet = components.iter().filter(|lull| lull.is_quiet).count();
        let had_hole =
            self.log_is_silent(over.end()) || self.hole.is_some_and(|hole| hole.until > over.start);
        let is_of_log = quiet == 0 || quiet == components.len() && quiet > 1 || had_hole;
        let told = match log {
            Some(log) if log.is_quiet && is_of_log => vec![log],
            None if had_hole => vec![],
            _ if quiet > 0 => components,
            _ => templates,
        };
        self.alarms.extend(told.into_iter().filter(|lull| lull.is_news).map(|lull| lull.alarm));
    }

    /// What an hour that is over says of a key; `None` where history does not tell how little it may have.
    fn lull(&mut self, key: Key, over: Hour) -> Option<Lull> {
        let record = self.rate(key).hours.as_ref()?.least[usize::from(over.of_day)];
        if !is_little(0, record) {
            return None;
        }
        let begun = self.begun.unwrap_or(over.start);
        let state = self.states.entry(key).or_insert_with(|| State::new(begun, 0, 0));
        let count = state.hour.of(over.number);
        let is_quiet = is_little(count, record);
        let was_quiet = state.is_quiet;
        state.is_quiet = is_quiet || was_quiet && count < record;
        let trouble = Trouble::Quiet { count, of_day: over.of_day, record };
        Some(Lull {
            is_quiet,
            is_news: is_quiet && !was_quiet,
            alarm: Alarm { key, ts: over.start, since: over.start, trouble },
        })
    }

    /// Looks for components that have been silent for too long while others spoke.
    fn look_for_silence(&mut self, now: Micros) {
        while self.due.peek().is_some_and(|due| due.0.0 <= self.spoken) {
            let Some(Reverse((_, component))) = self.due.pop() else { return };
            let key = Key::Component(component);
            let (Some(last), Some(due), Some(patience)) =
                (self.last(key), self.due_after(key), self.patience(key))
            else {
                continue;
            };
            let silence = self.spoken.saturating_sub(self.spoken_by(key));
            if silence >= patience && self.others_since(key) >= MIN_ROWS {
                self.silent(key, last, now);
            } else if due > self.spoken {
                // It is not where time ends.
                self.due.push(Reverse((due, component)));
            }
        }
    }

    /// Tells if nothing at all has come for too long: once, until the log speaks again as it should, or is silent for far longer.
    fn miss_log(&mut self, now: Micros) {
        if !self.log_is_silent(now) {
            return;
        }
        let (Some(last), Some(patience)) = (self.last(Key::Log), self.patience(Key::Log)) else { return };
        // Whoever looks more often has looked at hours that were over before it was too long.
        self.pass(last.saturating_add(patience));
        let is_known = self.states.get(&Key::Log).is_some_and(|state| state.is_silent);
        let silence = now.saturating_sub(last);
        let is_like_before =
            self.near_hole().is_some_and(|hole| silence as f64 <= FACTOR * hole.length as f64);
        if !is_known && !is_like_before {
            self.silent(Key::Log, last, now);
        }
    }

    /// The last hole, where so few rows came since that it may not be over.
    fn near_hole(&self) -> Option<Hole> {
        self.hole.filter(|hole| self.rows.saturating_sub(hole.rows) < u64::from(MIN_BURST))
    }

    /// The log speaks again: the time since it last did counts for silences of components. Not so where that is a hole, which is
    /// returned, for while nothing speaks nobody is blamed. But where hole follows hole, a component that is gone may be why:
    /// then each counts as the longest gap of history.
    fn speak_until(&mut self, now: Micros) -> Option<Hole> {
        let gap = now.saturating_sub(self.last(Key::Log)?).max(0);
        if !self.log_is_silent(now) {
            self.spoken = self.spoken.saturating_add(gap);
            return None;
        }
        let before = self.near_hole();
        if before.is_some() {
            self.spoken = self.spoken.saturating_add(self.model.log.longest_silence);
        }
        let length = before.map_or(gap, |hole| hole.length.max(gap));
        Some(Hole { until: now, rows: self.rows, length })
    }

    /// Whether nothing at all has come for more than twice the longest time.
    fn log_is_silent(&self, now: Micros) -> bool {
        let patience = self.patience(Key::Log);
        self.last(Key::Log).zip(patience).is_some_and(|(last, patience)| now.saturating_sub(last) > patience)
    }

    /// Rows that came since a component spoke.
    fn others_since(&self, key: Key) -> u64 {
        self.rows - self.states.get(&key).map_or(0, |state| state.rows)
    }

    fn silent(&mut self, key: Key, last: Micros, now: Micros) {
        let begun = self.begun.unwrap_or(last);
        let state = self.states.entry(key).or_insert_with(|| State::new(begun, 0, 0));
        (state.is_silent, state.is_quiet) = (true, true);
        let record = self.speaker(key).map_or(0, |speaker| speaker.longest_silence);
        let trouble = Trouble::Drop { silence: now.saturating_sub(last), record };
        self.alarms.push(Alarm { key, ts: last, since: last, trouble });
    }
}

/// Who has hours of which history tells how few events they may have, but for the log.
fn steady(model: &RateModel) -> Vec<Key> {
    let tells = |rate: &Rate| rate.hours.as_ref().is_some_and(|hours| hours.tells_little());
    let components = (0u32..).zip(&model.components).filter(|(_, (_, speaker))| tells(&speaker.rate));
    let templates = (0u32..).zip(&model.templates).filter(|(_, rate)| tells(rate));
    components.map(|(at, _)| Key::Component(at)).chain(templates.map(|(at, _)| Key::Template(at))).collect()
}

/// Counts an event of the hour at hand; tells if those that are of no other's burst are too many.
fn busy(counter: &mut HourCount, hours: &Timetable, hour: Hour, is_of_other: bool) -> Option<Trouble> {
    let count = counter.add(hour, hours, is_of_other);
    let record = hours.most[usize::from(hour.of_day)];
    (!is_of_other && breaks(count, record)).then_some(Trouble::Busy { count, of_day: hour.of_day, record })
}

/// The key of a template that training never saw. The seed is fixed because states outlive a process; whoever writes
/// lines that meet gains only that they are counted together.
fn unseen(template: &str) -> Key {
    Key::Unseen(FixedState::with_seed(0).hash_one(template))
}
