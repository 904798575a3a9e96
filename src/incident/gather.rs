//! What is read of incidents' anomalies, of many incidents at once: each anomaly once, in the order of time, whatever is asked.
use std::collections::{HashMap, HashSet};

use logintel_core::config::{Micros, Preset};
use logintel_core::origin;
use logintel_core::reason::Kinds;
use logintel_core::suppression::Scratch;
use pgrx::prelude::*;

use crate::error::OrRaise;
use crate::spi::{Arg, Connection, Rows, arg};
use crate::step::with_snapshot;
use crate::suppression::{Anomaly, Suppressions};
use crate::text::by_name;
use crate::time::micros;

/// Most sources, components and levels that an incident lists, each: the first by name.
pub const LABELS: usize = 100;
/// Most levels that its severity is told from.
const LEVELS: usize = 10_000;
/// Most messages that it shows.
pub const MESSAGES: usize = 5;
/// Templates that are looked at for messages that tell: the first in time.
const FIRST_TEMPLATES: usize = 500;
/// Anomalies that are looked at for where it began, and, of each sort, for other messages.
const FIRST_SUSPECTS: usize = 1000;
const FIRST_MESSAGES: usize = 100;
/// Anomalies that are looked at one by one, to find that an incident is shown, before all are.
pub const FEW: usize = 100;

/// Groups of anomalies.
#[derive(Debug, Clone, Copy)]
pub enum Groups<'a> {
    /// Those of incidents.
    Of(&'a [i64]),
    /// Those of these numbers.
    These(&'a [Vec<i64>]),
}

impl<'a> Groups<'a> {
    pub fn len(self) -> usize {
        match self {
            Groups::Of(incidents) => incidents.len(),
            Groups::These(groups) => groups.len(),
        }
    }

    /// Some of them, by their places.
    pub fn some(self, places: std::ops::Range<usize>) -> Groups<'a> {
        match self {
            Groups::Of(incidents) => Groups::Of(&incidents[places]),
            Groups::These(groups) => Groups::These(&groups[places]),
        }
    }

    /// SQL for a table `a` of their anomalies, with the place `at` of each's group, those of a group in the order of time; its
    /// parameters, the first two.
    pub fn sql(self) -> (&'static str, [Arg; 2]) {
        let place = |at: usize| i32::try_from(at).unwrap_or(i32::MAX);
        match self {
            Groups::Of(incidents) => (
                "(SELECT g.at, o.* FROM unnest($1, $2) AS g (incident, at) CROSS JOIN LATERAL ( \
                      SELECT * FROM logintel.anomalies WHERE incident_id = g.incident ORDER BY ts, anomaly_id) AS o) AS a",
                [arg(incidents.to_vec()), arg((0..incidents.len()).map(place).collect::<Vec<i32>>())],
            ),
            Groups::These(groups) => {
                let places =
                    groups.iter().enumerate().flat_map(|(at, group)| group.iter().map(move |_| place(at)));
                (
                    "(SELECT g.at, o.* FROM unnest($1, $2) AS g (number, at) JOIN logintel.anomalies AS o ON o.anomaly_id = g.number \
                      ORDER BY g.at, o.ts, o.anomaly_id) AS a",
                    [arg(groups.concat()), arg(places.collect::<Vec<i32>>())],
                )
            }
        }
    }
}

/// What was found of one group.
#[derive(Debug)]
pub struct Gathered {
    pub events: i64,
    /// The same, of a burst its lines: what they weigh in the severity.
    pub gravity: i64,
    /// Lines that they stand for.
    pub lines: i64,
    /// Times of the first and the last, of those that are no routine if there are any; a burst lasts.
    pub start: TimestampWithTimeZone,
    pub end: TimestampWithTimeZone,
    /// When the first of the lines that they stand for came.
    pub since: TimestampWithTimeZone,
    bursts: Vec<Burst>,
    /// Whether there are lines that are flagged for their level alone.
    has_routine: bool,
    pub sources: Names,
    pub components: Names,
    pub levels: Names,
    pub reasons: Kinds,
    /// The first templates.
    pub templates: Vec<Counted>,
    by_text: HashMap<String, usize>,
    /// Whether there are more, which are not in the list.
    pub has_more_templates: bool,
    pub suspects: Vec<Suspect>,
    suspected: HashSet<(Option<String>, String)>,
    /// First messages of those that are no routine, and of those that are.
    pub telling: Said,
    pub routine: Said,
    /// Whether rules match the first ones that are no routine.
    pub may_be_hidden: bool,
}

/// When the lines of a template, or of a component, came in a burst.
#[derive(Debug)]
struct Burst {
    template: String,
    since: TimestampWithTimeZone,
    until: TimestampWithTimeZone,
}

/// A template.
#[derive(Debug)]
pub struct Counted {
    pub template: String,
    pub events: i64,
    /// Whether any of its anomalies is no routine.
    pub is_telling: bool,
    pub first: First,
    /// Whether it stands for a component or the whole log.
    pub is_subject: bool,
    /// Rows of training.
    pub rows: u64,
}

/// An anomaly's message: of the first of its template, or one of the first at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct First {
    pub ts: Micros,
    pub id: i64,
    pub is_routine: bool,
    pub message: String,
}

/// An anomaly that may be what it began with: the first of its component and template.
#[derive(Debug)]
pub struct Suspect {
    pub component: Option<String>,
    pub template: String,
    pub ts: Micros,
    pub id: i64,
    pub sort: Sort,
}

impl Suspect {
    /// What a component or the whole log has too much of is named so by itself.
    pub fn is_burst_of_template(&self) -> bool {
        self.sort == Sort::Spike && !self.template.starts_with("burst of ")
    }
}

/// What an anomaly tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// One line.
    Line,
    /// Lines that come too often.
    Spike,
    /// Lines that come too seldom.
    Drop,
}

impl Sort {
    fn of(reason: &str) -> Self {
        match reason {
            "rate_spike" => Sort::Spike,
            "rate_drop" => Sort::Drop,
            _ => Sort::Line,
        }
    }
}

/// Messages of the first anomalies.
#[derive(Debug, Default)]
pub struct Said {
    pub messages: Vec<First>,
    seen: usize,
}

impl Said {
    /// Whether the next one is worth reading. With those that are chosen there are five in any case.
    fn wants(&mut self) -> bool {
        self.seen += 1;
        self.seen <= FIRST_MESSAGES && self.messages.len() < 2 * MESSAGES
    }

    fn add(&mut self, preset: Preset, said: First) {
        if preset == Preset::Seed || self.messages.iter().all(|other| other.message != said.message) {
            self.messages.push(said);
        }
    }
}

/// Names, each once: the first so many.
#[derive(Debug)]
pub struct Names {
    known: HashSet<String>,
    most: usize,
}

impl Names {
    fn new(most: usize) -> Self {
        Names { known: HashSet::new(), most }
    }

    fn add(&mut self, name: &str) {
        if !self.known.contains(name) {
            self.known.insert(name.to_owned());
            if self.known.len() > 2 * self.most {
                self.known = self.sorted().into_iter().collect();
            }
        }
    }

    fn sorted(&mut self) -> Vec<String> {
        let mut names: Vec<String> = self.known.drain().collect();
        names.sort_unstable_by(|a, b| by_name(a, b));
        names.truncate(self.most);
        names
    }

    /// In the order of the database.
    pub fn list(mut self) -> Vec<String> {
        self.sorted()
    }
}

/// Columns of what is read; those of [`Anomaly`] come first.
const AT: i32 = 6;
const ID: i32 = 7;
const WEIGHT: i32 = 8;
const SOURCE: i32 = 9;
const REASON: i32 = 10;
const BURST_START: i32 = 11;
const BURST_END: i32 = 12;

/// Reads groups; of one without anomalies nothing. What is `hiding`, if anything is, is asked of the first anomalies.
pub fn gather(
    spi: &Connection,
    preset: Preset,
    hiding: Option<&Suppressions>,
    groups: Groups<'_>,
) -> Vec<Option<Gathered>> {
    let (anomalies, args) = groups.sql();
    let mut gathered: Vec<Option<Gathered>> = (0..groups.len()).map(|_| None).collect();
    let mut scratch = Scratch::default();
    with_snapshot(|| {
        spi.for_each(
            &format!(
                "SELECT ts, component, level, template, message, at, anomaly_id, weight, source, reason, burst_start, burst_end \
                 FROM {anomalies}"
            ),
            &args,
            |rows, row| {
                let at = rows.must::<i32>(row, AT).unsigned_abs() as usize;
                let ts = rows.must(row, 1);
                gathered[at].get_or_insert_with(|| Gathered::new(ts)).add(preset, ts, rows, row);
                if let (Some(found), Some(hiding)) = (&mut gathered[at], hiding) {
                    found.ask(hiding, rows, row, &mut scratch);
                }
            },
        );
    });
    for (at, found) in gathered.iter_mut().enumerate() {
        if let Some(found) = found.as_mut().filter(|found| found.has_routine && !found.bursts.is_empty()) {
            found.lines -= in_bursts(spi, groups.some(at..at + 1), &found.bursts);
        }
    }
    gathered
}

/// How many lines of a group that are flagged for their level alone one of its bursts counts, too.
fn in_bursts(spi: &Connection, group: Groups<'_>, bursts: &[Burst]) -> i64 {
    let (mut of_templates, mut of_components) = (HashMap::<&str, Vec<&Burst>>::new(), HashMap::new());
    for burst in bursts {
        of_templates.entry(&burst.template).or_default().push(burst);
        if let Some(component) = burst.template.strip_prefix("burst of component ") {
            of_components.entry(component).or_insert_with(Vec::new).push(burst);
        }
    }
    let (anomalies, args) = group.sql();
    let mut counted = 0;
    with_snapshot(|| {
        spi.for_each(
            &format!("SELECT ts, template, component FROM {anomalies} WHERE weight = 0"),
            &args,
            |rows, row| {
                let ts: TimestampWithTimeZone = rows.must(row, 1);
                let is_in = |known: &HashMap<&str, Vec<&Burst>>, column| {
                    let bursts = rows.with_text(row, column, |text| known.get(text)).flatten();
                    bursts.is_some_and(|some| some.iter().any(|one| one.since <= ts && ts <= one.until))
                };
                counted += i64::from(is_in(&of_templates, 2) || is_in(&of_components, 3));
            },
        );
    });
    counted
}

impl Gathered {
    fn new(ts: TimestampWithTimeZone) -> Self {
        Gathered {
            events: 0,
            gravity: 0,
            lines: 0,
            start: ts,
            end: ts,
            since: ts,
            bursts: Vec::new(),
            has_routine: false,
            sources: Names::new(LABELS),
            components: Names::new(LABELS),
            levels: Names::new(LEVELS),
            reasons: Kinds::default(),
            templates: Vec::new(),
            by_text: HashMap::new(),
            has_more_templates: false,
            suspects: Vec::new(),
            suspected: HashSet::new(),
            telling: Said::default(),
            routine: Said::default(),
            may_be_hidden: true,
        }
    }

    /// Takes the next one in.
    fn add(&mut self, preset: Preset, ts: TimestampWithTimeZone, rows: &Rows<'_>, row: u64) {
        let (id, weight): (i64, i32) = (rows.must(row, ID), rows.must(row, WEIGHT));
        let is_routine = weight == 0;
        let first_of_sort = if is_routine { self.routine.seen } else { self.telling.seen } == 0;
        let span = rows
            .get::<TimestampWithTimeZone>(row, BURST_START)
            .zip(rows.get::<TimestampWithTimeZone>(row, BURST_END));
        let (since, until) = span.map_or((ts, ts), |(since, until)| (since.min(ts), until.max(ts)));
        if !is_routine && first_of_sort {
            (self.start, self.since, self.end) = (ts, since, until);
        } else if !is_routine || self.telling.seen == 0 {
            self.since = self.since.min(since);
            self.end = self.end.max(until);
        }
        self.events += 1;
        self.has_routine |= is_routine;
        let sort = rows.with_text(row, REASON, |reason| {
            self.reasons.add(reason);
            Sort::of(reason)
        });
        let sort = sort.unwrap_or(Sort::Line);
        if sort == Sort::Drop {
            self.gravity += 1;
        } else {
            self.gravity += i64::from(weight.max(1));
            self.lines += i64::from(weight.max(1));
        }
        if let Some((since, until)) = span.filter(|_| self.bursts.len() < FIRST_TEMPLATES) {
            let template = rows.text(row, 4).unwrap_or_default();
            self.bursts.push(Burst { template, since, until });
        }
        rows.with_text(row, SOURCE, |name| self.sources.add(name));
        rows.with_text(row, 2, |name| self.components.add(name));
        rows.with_text(row, 3, |name| self.levels.add(name));
        let said =
            || First { ts: micros(ts), id, is_routine, message: rows.text(row, 5).unwrap_or_default() };
        let list = if is_routine { &mut self.routine } else { &mut self.telling };
        if list.wants() {
            list.add(preset, said());
        }
        let known = rows.with_text(row, 4, |text| self.by_text.get(text).copied());
        let known = known.unwrap_or_else(|| self.by_text.get("").copied());
        if let Some(known) = known {
            self.templates[known].events += 1;
            self.templates[known].is_telling |= !is_routine;
        } else if self.templates.len() < FIRST_TEMPLATES {
            let template = rows.text(row, 4).unwrap_or_default();
            self.by_text.insert(template.clone(), self.templates.len());
            self.templates.push(Counted {
                template,
                events: 1,
                is_telling: !is_routine,
                first: said(),
                is_subject: false,
                rows: 0,
            });
        } else {
            self.has_more_templates = true;
        }
        if !is_routine
            && self.telling.seen <= FIRST_SUSPECTS
            && micros(ts).saturating_sub(micros(self.start)) <= origin::FIRST
        {
            let key = (rows.text(row, 2), rows.text(row, 4).unwrap_or_default());
            if self.suspected.insert(key.clone()) {
                let (component, template) = key;
                self.suspects.push(Suspect { component, template, ts: micros(ts), id, sort });
            }
        }
    }

    /// Asks the rules, of the first anomalies, until there is one that none matches.
    fn ask(&mut self, hiding: &Suppressions, rows: &Rows<'_>, row: u64, scratch: &mut Scratch) {
        if self.may_be_hidden && self.telling.seen <= FEW && rows.must::<i32>(row, WEIGHT) > 0 {
            let anomaly = Anomaly::read(rows, row);
            self.may_be_hidden = !hiding.rules.matching(&anomaly.event(), scratch).or_raise().is_empty();
        }
    }
}
