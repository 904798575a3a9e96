//! What comes, compared with the records of history.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use crate::artifact::{Artifact, corrupt};
use crate::config::Micros;
use crate::control::Control;
use crate::error::Result;

use super::hours::{Hour, HourCount, is_little};
use super::{Counter, MIN_BURST, MIN_ROWS, PARTS, Rate, RateModel, Speaker, Timetable, WINDOWS, breaks};

/// Most templates that history never had and whose bursts are counted at once.
pub(super) const MAX_UNSEEN: usize = 10_000;

/// What a rate is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum Key {
    /// All rows.
    Log,
    /// A component, by its number in the model.
    Component(u32),
    /// A template of training, by its number.
    Template(u32),
    /// Another template, by the hash of its text.
    Unseen(u64),
}

/// How a record was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Too many events.
    Spike {
        /// Events in the window.
        count: u32,
        /// Its length.
        window: Micros,
        /// The most that history had in one.
        record: u32,
    },
    /// None, for too long.
    Drop {
        /// Time without an event, so far.
        silence: Micros,
        /// The longest that history had.
        record: Micros,
    },
    /// Too many events for the hour of the day.
    Busy {
        /// Events in the hour so far.
        count: u32,
        /// The hour as clocks show it, 0 to 23.
        of_day: u8,
        /// The most that history had in such an hour.
        record: u32,
    },
    /// Too few events for the hour of the day, which is over.
    Quiet {
        /// Events in the hour.
        count: u32,
        /// The hour as clocks show it, 0 to 23.
        of_day: u8,
        /// The least that history had in such an hour.
        record: u32,
    },
}

impl Trouble {
    /// Whether there were too many events, not too few.
    fn is_spike(&self) -> bool {
        matches!(self, Trouble::Spike { .. } | Trouble::Busy { .. })
    }
}

/// A broken record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alarm {
    /// What broke it.
    pub key: Key,
    /// When a burst broke the record; when a silence, or the hour that had too few, began.
    pub ts: Micros,
    /// How.
    pub trouble: Trouble,
}

impl Alarm {
    /// How many events it stands for.
    pub fn events(&self) -> u32 {
        match self.trouble {
            Trouble::Spike { count, .. } | Trouble::Busy { count, .. } => count,
            // However few they would have been: they did not come.
            Trouble::Drop { .. } | Trouble::Quiet { .. } => u32::MAX,
        }
    }

    /// Whether there were too many events, not too few.
    pub fn is_spike(&self) -> bool {
        self.trouble.is_spike()
    }

    /// Whether it is a template's.
    pub fn is_of_template(&self) -> bool {
        matches!(self.key, Key::Template(_) | Key::Unseen(_))
    }

    /// What broke its record, in place of a template; `None` where it is a template.
    pub fn subject(&self, model: &RateModel) -> Option<String> {
        let what = match self.trouble {
            Trouble::Spike { .. } | Trouble::Busy { .. } => "burst",
            Trouble::Drop { .. } => "silence",
            Trouble::Quiet { .. } => "lull",
        };
        match self.key {
            Key::Log => Some(format!("{what} of the whole log")),
            Key::Component(at) => {
                model.components.get(at as usize).map(|(name, _)| format!("{what} of component {name}"))
            }
            Key::Template(_) | Key::Unseen(_) => None,
        }
    }

    /// For people.
    pub fn describe(&self, model: &RateModel) -> String {
        let what = match self.key {
            Key::Log => "lines at all".to_owned(),
            Key::Component(at) => {
                let name = model.components.get(at as usize).map_or("", |(name, _)| name.as_str());
                format!("lines of component {name}")
            }
            Key::Template(_) | Key::Unseen(_) => "lines of this template".to_owned(),
        };
        match self.trouble {
            Trouble::Spike { count, window, record } => {
                format!("{count} {what} in {}, at most {record} in history", span(window))
            }
            Trouble::Drop { silence, record } => {
                format!("no {what} for {}, at most {} in history", span(silence), span(record))
            }
            Trouble::Busy { count, of_day, record } => {
                format!(
                    "{count} {what} since {of_day:02}:00, at most {record} in an hour at that time of day in history"
                )
            }
            Trouble::Quiet { count, of_day, record } => {
                let until = of_day + 1;
                format!(
                    "{count} {what} between {of_day:02}:00 and {until:02}:00, at least {record} in an hour at that time of day in history"
                )
            }
        }
    }
}

/// A length of time for people: its two largest units.
fn span(length: Micros) -> String {
    const UNITS: [(&str, i64); 4] = [("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)];
    let mut seconds = length / 1_000_000;
    let mut parts = Vec::new();
    for (unit, size) in UNITS {
        if seconds >= size {
            parts.push(format!("{} {unit}", seconds / size));
            seconds %= size;
        }
    }
    parts.truncate(2);
    if parts.is_empty() { "less than 1 s".to_owned() } else { parts.join(" ") }
}

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
}

/// What is known of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
struct State {
    counters: [Counter; WINDOWS.len()],
    hour: HourCount,
    last: Micros,
    /// Rows of the log up to then.
    rows: u64,
    is_bursting: bool,
    is_silent: bool,
    /// Told of as silent or as having too few in an hour, and not seen since with as many as ever in one.
    is_quiet: bool,
}

impl State {
    fn new(last: Micros, rows: u64) -> Self {
        State {
            counters: Default::default(),
            hour: HourCount::default(),
            last,
            rows,
            is_bursting: false,
            is_silent: false,
            is_quiet: false,
        }
    }
}

/// What a watch knows, to go on later.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct RateState {
    /// Silences count from here on, and rows of others.
    begun: Micros,
    begun_rows: u64,
    rows: u64,
    states: Vec<(Key, State)>,
}

impl Artifact for RateState {
    const WHAT: &'static str = "state of rates";
    const LETTER: u8 = b'R';
    const VERSION: u16 = 1;

    fn accept(&mut self, _: &dyn Control) -> Result<()> {
        let is_sorted = self.states.is_sorted_by(|a, b| a.0 < b.0);
        let is_counted =
            self.begun_rows <= self.rows && self.states.iter().all(|(_, state)| state.rows <= self.rows);
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
    begun_rows: u64,
    rows: u64,
    states: HashMap<Key, State>,
    unseen: usize,
    /// When it is worth while again to look for unseen templates to forget: all keys are looked at for that.
    forget_from: Option<Micros>,
    /// When components are due to be looked at for silence, the earliest on top; one that spoke meanwhile goes back.
    due: BinaryHeap<Reverse<(Micros, u32)>>,
    /// The hour of the last row.
    hour: Option<Hour>,
    /// Who has hours of which history tells how few events they may have, but for the log.
    steady: Vec<Key>,
    alarms: Vec<Alarm>,
}

impl<'a> RateWatch<'a> {
    /// Begins with the first row, or goes on where another watch with the same model ended.
    pub fn new(model: &'a RateModel, state: Option<RateState>) -> Self {
        let mut watch = RateWatch {
            model,
            begun: None,
            begun_rows: 0,
            rows: 0,
            states: HashMap::new(),
            unseen: 0,
            forget_from: None,
            due: BinaryHeap::new(),
            hour: None,
            steady: steady(model),
            alarms: Vec::new(),
        };
        if let Some(RateState { begun, begun_rows, rows, states }) = state {
            watch.rows = rows;
            watch.unseen = states.iter().filter(|(key, _)| matches!(key, Key::Unseen(_))).count();
            watch.states = states.into_iter().collect();
            watch.begin(begun);
            watch.begun_rows = begun_rows;
            watch.hour = watch.last(Key::Log).map(|last| model.zone.hour(last));
        }
        watch
    }

    /// Silences of what regularly speaks count from here on.
    fn begin(&mut self, ts: Micros) {
        self.begun = Some(ts);
        self.begun_rows = self.rows;
        self.due = (0..self.model.components.len() as u32)
            .filter_map(|component| {
                let key = Key::Component(component);
                let is_silent = self.states.get(&key).is_some_and(|state| state.is_silent);
                let due = self.due_after(key, self.last(Key::Log)?)?;
                (!is_silent).then_some(Reverse((due, component)))
            })
            .collect();
    }

    /// When a key is to be looked at for silence next: once in each patience since it spoke, so that a watch that goes on
    /// from what was stored looks when the one before would have.
    fn due_after(&self, key: Key, now: Micros) -> Option<Micros> {
        let (last, patience) = (self.last(key)?, self.patience(key)?);
        let looks = now.saturating_sub(last).max(0) / patience;
        Some(last.saturating_add(patience.saturating_mul(looks + 1)))
    }

    /// When a key last spoke, as far as that counts.
    fn last(&self, key: Key) -> Option<Micros> {
        let begun = self.begun?;
        Some(self.states.get(&key).map_or(begun, |state| state.last.max(begun)))
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
        self.look_for_silence(row.ts);
        let hour = self.pass(row.ts);
        self.rows += 1;
        self.spoke(Key::Log, row.ts);
        self.count_in_hour(Key::Log, hour);
        let template = row.seen.map_or_else(|| unseen(row.template), Key::Template);
        if self.spoke(template, row.ts) {
            self.count(template, row.ts, hour);
        }
        if let Some(at) = row.component.and_then(|name| self.model.component(name)) {
            self.spoke(Key::Component(at), row.ts);
            self.count(Key::Component(at), row.ts, hour);
        }
    }

    /// Nothing came until this time: tells if the whole log has been silent for too long.
    pub fn nothing_until(&mut self, now: Micros) {
        let is_known = self.states.get(&Key::Log).is_some_and(|state| state.is_silent);
        if let Some(last) = self.last(Key::Log).filter(|_| !is_known && self.log_is_silent(now)) {
            self.silent(Key::Log, last, now);
        }
    }

    /// The alarms since the last call, in the order in which they were noticed.
    pub fn take_alarms(&mut self) -> Vec<Alarm> {
        std::mem::take(&mut self.alarms)
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
        Some(RateState { begun, begun_rows: self.begun_rows, rows: self.rows, states })
    }

    /// Notes that a key spoke; false where it is one too many to be known.
    fn spoke(&mut self, key: Key, ts: Micros) -> bool {
        if let Some(state) = self.states.get_mut(&key) {
            state.last = state.last.max(ts);
            state.rows = self.rows;
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
            self.states.insert(key, State::new(ts, self.rows));
            // Before it spoke it was due already.
            return true;
        }
        if let (Key::Component(component), Some(patience)) = (key, self.patience(key)) {
            self.due.push(Reverse((ts.saturating_add(patience), component)));
        }
        true
    }

    fn forget_unseen(&mut self, now: Micros) {
        let longest = WINDOWS[WINDOWS.len() - 1];
        let horizon = now.saturating_sub(longest);
        self.forget_from = Some(now.saturating_add(longest / PARTS as i64));
        self.states.retain(|key, state| !matches!(key, Key::Unseen(_)) || state.last >= horizon);
        self.unseen = self.states.keys().filter(|key| matches!(key, Key::Unseen(_))).count();
    }

    /// Counts an event in all windows. A burst is told of once: it is over when no window holds more than the record.
    fn count(&mut self, key: Key, ts: Micros, hour: Hour) {
        let (rate, model) = (self.rate(key), self.model);
        let Some(state) = self.states.get_mut(&key) else { return };
        let (mut broken, mut is_over) = (None, true);
        for (at, (counter, window)) in state.counters.iter_mut().zip(WINDOWS).enumerate() {
            let count = counter.add(ts, window, 1);
            if !model.has_record(window) {
                continue;
            }
            let record = rate.peaks[at];
            is_over &= count <= record.max(MIN_BURST - 1);
            if broken.is_none() && breaks(count, record) {
                broken = Some(Trouble::Spike { count, window, record });
            }
        }
        let busy = rate.hours.as_deref().and_then(|hours| busy(&mut state.hour, hours, hour));
        let was_bursting = state.is_bursting;
        state.is_bursting = broken.is_some() || was_bursting && !is_over;
        // What breaks the record of all hours breaks that of this one.
        let was_busy = (broken.is_some() || busy.is_some()) && state.hour.note_busy();
        let trouble = broken.or(busy.filter(|_| !was_busy)).filter(|_| !was_bursting);
        if let Some(trouble) = trouble {
            self.alarms.push(Alarm { key, ts, trouble });
        }
    }

    fn count_in_hour(&mut self, key: Key, hour: Hour) {
        if let (Some(hours), Some(state)) = (&self.rate(key).hours, self.states.get_mut(&key)) {
            state.hour.add(hour, hours);
        }
    }

    /// The hour to which time comes; if one is over with that, looks for what had too few events in it.
    fn pass(&mut self, ts: Micros) -> Hour {
        let Some(last) = self.hour else { return *self.hour.insert(self.model.zone.hour(ts)) };
        if last.holds(ts) {
            return last;
        }
        let hour = self.model.zone.hour(ts);
        if hour.number < last.number {
            return last;
        }
        self.hour = Some(hour);
        // An hour in which it began, or in which everything fell silent, is not known whole.
        if last.number < hour.number && self.begun.is_some_and(|begun| begun <= last.start) {
            self.look_for_quiet(last);
        }
        hour
    }

    /// Tells who had too few events in an hour that is over: the component, and the whole log where that is more than one of
    /// them; templates where no component had.
    fn look_for_quiet(&mut self, over: Hour) {
        let log = self.lull(Key::Log, over);
        let steady = std::mem::take(&mut self.steady);
        let (components, templates): (Vec<_>, Vec<_>) = steady
            .iter()
            .filter_map(|&key| self.lull(key, over))
            .partition(|lull| matches!(lull.alarm.key, Key::Component(_)));
        self.steady = steady;
        let quiet = components.iter().filter(|lull| lull.is_quiet).count();
        let is_of_log = quiet == 0 || quiet == components.len() && quiet > 1;
        let told = match log {
            Some(log) if log.is_quiet && is_of_log => vec![log],
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
        let state = self.states.entry(key).or_insert_with(|| State::new(begun, 0));
        let count = state.hour.of(over.number);
        let is_quiet = is_little(count, record);
        let was_quiet = state.is_quiet;
        state.is_quiet = is_quiet || was_quiet && count < record;
        let trouble = Trouble::Quiet { count, of_day: over.of_day, record };
        Some(Lull {
            is_quiet,
            is_news: is_quiet && !was_quiet,
            alarm: Alarm { key, ts: over.start, trouble },
        })
    }

    /// Looks for components that have been silent for too long while others spoke.
    fn look_for_silence(&mut self, now: Micros) {
        if self.log_is_silent(now) {
            // While nothing spoke at all, no component is to be blamed.
            self.begin(now);
        }
        while self.due.peek().is_some_and(|due| due.0.0 <= now) {
            let Some(Reverse((_, component))) = self.due.pop() else { return };
            let key = Key::Component(component);
            let (Some(last), Some(due)) = (self.last(key), self.due_after(key, now)) else { continue };
            if self.is_overdue(key, now) && self.others_since(key) >= MIN_ROWS {
                self.silent(key, last, now);
            } else if due > now {
                // It is not where time ends.
                self.due.push(Reverse((due, component)));
            }
        }
    }

    /// Whether nothing at all has come for longer than ever.
    fn log_is_silent(&self, now: Micros) -> bool {
        self.is_overdue(Key::Log, now)
    }

    /// Whether a key has been silent for longer than it may.
    fn is_overdue(&self, key: Key, now: Micros) -> bool {
        let due =
            self.last(key).zip(self.patience(key)).map(|(last, patience)| last.saturating_add(patience));
        due.is_some_and(|due| due <= now)
    }

    /// Rows that came since a component spoke.
    fn others_since(&self, key: Key) -> u64 {
        self.rows - self.states.get(&key).map_or(self.begun_rows, |state| state.rows.max(self.begun_rows))
    }

    fn silent(&mut self, key: Key, last: Micros, now: Micros) {
        let begun = self.begun.unwrap_or(last);
        let state = self.states.entry(key).or_insert_with(|| State::new(begun, 0));
        (state.is_silent, state.is_quiet) = (true, true);
        let record = self.speaker(key).map_or(0, |speaker| speaker.longest_silence);
        let trouble = Trouble::Drop { silence: now.saturating_sub(last), record };
        self.alarms.push(Alarm { key, ts: last, trouble });
    }
}

/// Who has hours of which history tells how few events they may have, but for the log.
fn steady(model: &RateModel) -> Vec<Key> {
    let tells = |rate: &Rate| rate.hours.as_ref().is_some_and(|hours| hours.tells_little());
    let components = (0u32..).zip(&model.components).filter(|(_, (_, speaker))| tells(&speaker.rate));
    let templates = (0u32..).zip(&model.templates).filter(|(_, rate)| tells(rate));
    components.map(|(at, _)| Key::Component(at)).chain(templates.map(|(at, _)| Key::Template(at))).collect()
}

/// Counts an event of the hour at hand; tells if these are too many.
fn busy(counter: &mut HourCount, hours: &Timetable, hour: Hour) -> Option<Trouble> {
    let (count, record) = (counter.add(hour, hours), hours.most[usize::from(hour.of_day)]);
    breaks(count, record).then_some(Trouble::Busy { count, of_day: hour.of_day, record })
}

/// The key of a template that training never saw. The seed is fixed because states outlive a process; whoever writes
/// lines that meet gains only that they are counted together.
fn unseen(template: &str) -> Key {
    Key::Unseen(FixedState::with_seed(0).hash_one(template))
}
