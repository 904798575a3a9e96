//! What is told of a rate that broke its record: what broke it, how, and in which words.

use crate::config::Micros;

use super::RateModel;

/// How [`Alarm::subject`] names what happened, and to what.
const SUBJECTS: [&str; 3] = ["burst", "silence", "lull"];
const WHOLE_LOG: &str = "the whole log";
const COMPONENT: &str = "component ";

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
    /// When the events began to come that it tells of: for a burst, at most one fifth of its window later.
    pub since: Micros,
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
        let [burst, silence, lull] = SUBJECTS;
        let what = match self.trouble {
            Trouble::Spike { .. } | Trouble::Busy { .. } => burst,
            Trouble::Drop { .. } => silence,
            Trouble::Quiet { .. } => lull,
        };
        subject(what, self.key, model)
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

/// What has become of a burst that was told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    /// What bursts.
    pub key: Key,
    /// Its template, where the key is one of [`Key::Unseen`].
    pub template: Option<String>,
    /// Time of its alarm.
    pub ts: Micros,
    /// When its events began to come.
    pub since: Micros,
    /// When the last one came, so far.
    pub until: Micros,
    /// How many came.
    pub events: u32,
}

impl Growth {
    /// What bursts, as [`Alarm::subject`] names it.
    pub fn subject(&self, model: &RateModel) -> Option<String> {
        subject(SUBJECTS[0], self.key, model)
    }

    /// For people.
    pub fn describe(&self) -> String {
        format!("{} in {}", self.events, span(self.until.saturating_sub(self.since)))
    }
}

impl RateModel {
    /// Rows in history of what [`Alarm::subject`] names; `None` where it names nothing that history had.
    pub fn subject_rows(&self, subject: &str) -> Option<u64> {
        let of = SUBJECTS.iter().find_map(|what| subject.strip_prefix(what)?.strip_prefix(" of "))?;
        if of == WHOLE_LOG {
            return Some(self.log.rows);
        }
        let at = self.component(of.strip_prefix(COMPONENT)?)?;
        Some(self.components[at as usize].1.rows)
    }
}

fn subject(what: &str, key: Key, model: &RateModel) -> Option<String> {
    match key {
        Key::Log => Some(format!("{what} of {WHOLE_LOG}")),
        Key::Component(at) => {
            model.components.get(at as usize).map(|(name, _)| format!("{what} of {COMPONENT}{name}"))
        }
        Key::Template(_) | Key::Unseen(_) => None,
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
