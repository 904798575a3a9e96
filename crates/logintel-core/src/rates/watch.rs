//! What comes, compared with the records of history.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use crate::artifact::{Artifact, corrupt};
use crate::config::Micros;
use crate::control::Control;
use crate::error::Result;

use super::{Counter, MIN_BURST, Rate, RateModel, WINDOWS};

/// Most templates that history never had and whose bursts are counted at once.
const MAX_UNSEEN: usize = 10_000;

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
}

/// A broken record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alarm {
    /// What broke it.
    pub key: Key,
    /// When a burst broke the record; when a silence began.
    pub ts: Micros,
    /// How.
    pub trouble: Trouble,
}

impl Alarm {
    /// How many events it stands for.
    pub fn events(&self) -> u32 {
        match self.trouble {
            Trouble::Spike { count, .. } => count,
            // However few they would have been: none of them came.
            Trouble::Drop { .. } => u32::MAX,
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
    last: Micros,
    is_bursting: bool,
    is_silent: bool,
}

impl State {
    fn new(last: Micros) -> Self {
        State { counters: Default::default(), last, is_bursting: false, is_silent: false }
    }
}

/// What a watch knows, to go on later.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct RateState {
    /// Silences count from here on.
    begun: Micros,
    states: Vec<(Key, State)>,
}

impl Artifact for RateState {
    const WHAT: &'static str = "state of rates";
    const LETTER: u8 = b'R';
    const VERSION: u16 = 1;

    fn accept(&mut self, _: &dyn Control) -> Result<()> {
        if self.states.is_sorted_by(|a, b| a.0 < b.0) {
            Ok(())
        } else {
            Err(corrupt::<Self>("the keys are out of order"))
        }
    }
}

/// Compares rows with the records, in the order of time.
#[derive(Debug)]
pub struct RateWatch<'a> {
    model: &'a RateModel,
    /// `None` before the first row.
    begun: Option<Micros>,
    states: HashMap<Key, State>,
    unseen: usize,
    /// When keys are due to be looked at for silence, the earliest on top; a key that spoke meanwhile goes back.
    due: BinaryHeap<Reverse<(Micros, Key)>>,
    alarms: Vec<Alarm>,
}

impl<'a> RateWatch<'a> {
    /// Begins with the first row, or goes on where another watch with the same model ended.
    pub fn new(model: &'a RateModel, state: Option<RateState>) -> Self {
        let mut watch = RateWatch {
            model,
            begun: None,
            states: HashMap::new(),
            unseen: 0,
            due: BinaryHeap::new(),
            alarms: Vec::new(),
        };
        if let Some(RateState { begun, states }) = state {
            watch.unseen = states.iter().filter(|(key, _)| matches!(key, Key::Unseen(_))).count();
            watch.states = states.into_iter().collect();
            watch.begin(begun);
        }
        watch
    }

    /// Silences of what regularly speaks count from here on.
    fn begin(&mut self, ts: Micros) {
        self.begun = Some(ts);
        let components = (0..self.model.components.len() as u32).map(Key::Component);
        let templates = (0..self.model.templates.len() as u32).map(Key::Template);
        self.due = std::iter::once(Key::Log)
            .chain(components)
            .chain(templates)
            .filter(|key| self.states.get(key).is_none_or(|state| !state.is_silent))
            .filter_map(|key| Some(Reverse((self.last(key)?.saturating_add(self.patience(key)?), key))))
            .collect();
    }

    /// When a key last spoke, as far as that counts.
    fn last(&self, key: Key) -> Option<Micros> {
        let begun = self.begun?;
        Some(self.states.get(&key).map_or(begun, |state| state.last.max(begun)))
    }

    fn rate(&self, key: Key) -> Rate {
        match key {
            Key::Log => self.model.log,
            Key::Component(at) => self.model.components.get(at as usize).map_or_else(Rate::default, |c| c.1),
            Key::Template(at) => self.model.templates.get(at as usize).copied().unwrap_or_default(),
            Key::Unseen(_) => Rate::default(),
        }
    }

    fn patience(&self, key: Key) -> Option<Micros> {
        self.rate(key).patience(self.model.history)
    }

    /// Takes in a row; alarms wait to be taken.
    pub fn add(&mut self, row: &Observed<'_>) {
        if self.begun.is_none() {
            self.begin(row.ts);
        }
        self.look_for_silence(row.ts);
        self.spoke(Key::Log, row.ts);
        let template = row.seen.map_or_else(|| unseen(row.template), Key::Template);
        if self.spoke(template, row.ts) {
            self.count(template, row.ts);
        }
        if let Some(at) = row.component.and_then(|name| self.model.component(name)) {
            self.spoke(Key::Component(at), row.ts);
            self.count(Key::Component(at), row.ts);
        }
    }

    /// Whether the whole log has been silent for too long at this time, at which no row came.
    pub fn nothing_until(&mut self, now: Micros) {
        if let (Some(last), Some(patience)) = (self.last(Key::Log), self.patience(Key::Log))
            && last.saturating_add(patience) <= now
        {
            self.look_for_silence(now);
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
            .filter(|&(&key, state)| state.last >= horizon || self.patience(key).is_some())
            .map(|(&key, &state)| (key, state))
            .collect();
        states.sort_unstable_by_key(|&(key, _)| key);
        Some(RateState { begun, states })
    }

    /// Notes that a key spoke; false where it is one too many to be known.
    fn spoke(&mut self, key: Key, ts: Micros) -> bool {
        if let Some(state) = self.states.get_mut(&key) {
            state.last = state.last.max(ts);
            if !state.is_silent {
                return true;
            }
            state.is_silent = false;
        } else {
            if matches!(key, Key::Unseen(_)) {
                if self.unseen >= MAX_UNSEEN {
                    self.forget_unseen(ts);
                }
                if self.unseen >= MAX_UNSEEN {
                    return false;
                }
                self.unseen += 1;
            }
            self.states.insert(key, State::new(ts));
            // Before it spoke it was due already.
            return true;
        }
        if let Some(patience) = self.patience(key) {
            self.due.push(Reverse((ts.saturating_add(patience), key)));
        }
        true
    }

    fn forget_unseen(&mut self, now: Micros) {
        let horizon = now.saturating_sub(WINDOWS[WINDOWS.len() - 1]);
        self.states.retain(|key, state| !matches!(key, Key::Unseen(_)) || state.last >= horizon);
        self.unseen = self.states.keys().filter(|key| matches!(key, Key::Unseen(_))).count();
    }

    /// Counts an event in all windows. A burst is told of once: it is over when no window holds more than the record.
    fn count(&mut self, key: Key, ts: Micros) {
        let rate = self.rate(key);
        let Some(state) = self.states.get_mut(&key) else { return };
        let (mut broken, mut is_over) = (None, true);
        for (at, (counter, window)) in state.counters.iter_mut().zip(WINDOWS).enumerate() {
            let count = counter.add(ts, window, 1);
            is_over &= count <= rate.peaks[at].max(MIN_BURST - 1);
            if broken.is_none() && rate.is_burst(at, count) {
                broken = Some(Trouble::Spike { count, window, record: rate.peaks[at] });
            }
        }
        let was_bursting = state.is_bursting;
        state.is_bursting = broken.is_some() || was_bursting && !is_over;
        if let Some(trouble) = broken.filter(|_| !was_bursting) {
            self.alarms.push(Alarm { key, ts, trouble });
        }
    }

    /// Looks for keys that have been silent for too long while others spoke. Where nothing spoke at all, that alone is
    /// told, and everything gets its patience anew.
    fn look_for_silence(&mut self, now: Micros) {
        let is_due = |due: &BinaryHeap<Reverse<(Micros, Key)>>| due.peek().is_some_and(|due| due.0.0 <= now);
        if !is_due(&self.due) {
            return;
        }
        if let (Some(last), Some(patience)) = (self.last(Key::Log), self.patience(Key::Log))
            && last.saturating_add(patience) <= now
        {
            let is_known = self.states.get(&Key::Log).is_some_and(|state| state.is_silent);
            if !is_known {
                self.silent(Key::Log, last, now);
            }
            self.begin(now);
            return;
        }
        while is_due(&self.due) {
            let Some(Reverse((_, key))) = self.due.pop() else { return };
            let (Some(last), Some(patience)) = (self.last(key), self.patience(key)) else { continue };
            if last.saturating_add(patience) > now {
                self.due.push(Reverse((last.saturating_add(patience), key)));
            } else if key != Key::Log {
                self.silent(key, last, now);
            }
        }
    }

    fn silent(&mut self, key: Key, last: Micros, now: Micros) {
        let begun = self.begun.unwrap_or(last);
        self.states.entry(key).or_insert_with(|| State::new(begun)).is_silent = true;
        let record = self.rate(key).longest_silence;
        let trouble = Trouble::Drop { silence: now.saturating_sub(last), record };
        self.alarms.push(Alarm { key, ts: last, trouble });
    }
}

/// The key of a template that training never saw. The seed is fixed because states outlive a process; whoever writes
/// lines that meet gains only that they are counted together.
fn unseen(template: &str) -> Key {
    Key::Unseen(FixedState::with_seed(0).hash_one(template))
}
