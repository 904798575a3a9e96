//! What incidents say of themselves, counted from their anomalies.
use std::rc::Rc;

use logintel_core::config::{MINUTE, Preset};
use logintel_core::detect::Detector as Model;
use logintel_core::incident;
use logintel_core::origin;
use logintel_core::reason::Kinds;
use pgrx::prelude::*;
use serde_json::{Value, json};

use super::gather::{Counted, First, Gathered, Groups, LABELS, MESSAGES, Sort, Suspect, gather};
use super::hiding::tally;
use crate::detector::Detector;
use crate::spi::{Arg, Connection, arg};
use crate::step::with_snapshot;
use crate::subtransaction::attempt;
use crate::suppression::Suppressions;
use crate::text::Text;
use crate::time::micros;

/// Most templates that an incident lists.
const TEMPLATES: usize = 20;

/// What training knows of components and templates. Without a model nothing is rarer than anything else.
pub struct Training(Option<Rc<Model>>);

impl Training {
    /// That of a detector's active model. One that cannot be read keeps no incident from being made.
    pub fn of(detector: &Detector) -> Self {
        Training(attempt(|| detector.model()).unwrap_or_default())
    }

    fn component_rows(&self, name: Option<&str>) -> u64 {
        let rates = self.0.as_ref().and_then(|model| model.rates());
        name.and_then(|name| Some(rates?.component_rows(name))).unwrap_or_default()
    }

    fn template_rows(&self, text: &str) -> Option<u64> {
        self.0.as_ref().map(|model| model.template_rows(text)).filter(|&rows| rows > 0)
    }

    /// Of what a burst or silence is of that is no template's.
    fn subject_rows(&self, subject: &str) -> Option<u64> {
        self.0.as_ref()?.rates()?.subject_rows(subject)
    }

    /// Its length, minutes; `None` where it had no times.
    fn minutes(&self) -> Option<f64> {
        let history = self.0.as_ref()?.rates()?.history;
        (history > 0).then(|| history as f64 / MINUTE as f64)
    }
}

/// What anomalies say of their incident.
#[derive(Debug)]
pub struct Description {
    /// Time of the first event that is no routine.
    pub start: TimestampWithTimeZone,
    /// Time of the last one.
    pub end: TimestampWithTimeZone,
    /// Component where it most likely began, and the template that it began with there.
    pub origin: Option<String>,
    pub first_template: String,
    /// Whether it began with more lines of that template than there should be, none of which need be strange.
    began_with_burst: bool,
    events: i64,
    /// The same, of a burst its lines.
    gravity: i64,
    sources: Vec<String>,
    components: Vec<String>,
    levels: Vec<String>,
    reasons: Kinds,
    messages: Vec<String>,
    /// The most frequent.
    templates: Vec<Counted>,
    rate: f64,
    baseline_rate: Option<f64>,
    /// The rules that hide it.
    suppressed_by: Option<String>,
}

/// Describes groups; of one without anomalies nothing.
pub fn describe(
    spi: &Connection,
    detector: &Detector,
    training: &Training,
    hiding: Option<&Suppressions>,
    groups: Groups<'_>,
) -> Vec<Option<Description>> {
    let preset = detector.options.preset;
    let gathered = gather(spi, preset, hiding, groups);
    let asked: Vec<usize> = match hiding {
        Some(_) => (0..groups.len())
            .filter(|&at| gathered[at].as_ref().is_some_and(|found| found.may_be_hidden))
            .collect(),
        None => Vec::new(),
    };
    let mut described: Vec<Option<Description>> = Vec::with_capacity(groups.len());
    for (at, found) in gathered.into_iter().enumerate() {
        pgrx::check_for_interrupts!();
        let group = groups.some(at..at + 1);
        described.push(found.map(|found| Description::of(spi, preset, training, found, group)));
    }
    for at in asked {
        pgrx::check_for_interrupts!();
        if let (Some(one), Some(hiding)) = (&mut described[at], hiding) {
            let by_rule = || with_snapshot(|| tally(spi, hiding, groups.some(at..at + 1)));
            one.suppressed_by = one.suppressed_by.take().or_else(by_rule);
        }
    }
    described
}

impl Description {
    fn of(
        spi: &Connection,
        preset: Preset,
        training: &Training,
        mut found: Gathered,
        group: Groups<'_>,
    ) -> Self {
        let (start, end) = (found.start, found.end);
        let mut templates = std::mem::take(&mut found.templates);
        if found.has_more_templates {
            add_most_frequent(spi, group, &mut templates);
        }
        for one in &mut templates {
            let (of_template, of_subject) =
                (training.template_rows(&one.template), training.subject_rows(&one.template));
            one.is_subject = of_template.is_none() && of_subject.is_some();
            one.rows = of_template.or(of_subject).unwrap_or_default();
        }
        let minutes = (micros(end).saturating_sub(micros(found.since)) as f64 / MINUTE as f64).max(1.0);
        // What a component had as a whole are the lines of its templates.
        let rows_of = |is_subject: bool| -> u64 {
            templates.iter().filter(|one| one.is_subject == is_subject).map(|one| one.rows).sum()
        };
        let known = rows_of(true).max(rows_of(false));
        let (origin, first_template, began_with_burst) = likely_origin(training, &found)
            .map_or_else(Default::default, |first| {
                (first.component.clone(), first.template.clone(), first.is_burst_of_template())
            });
        let messages = match preset {
            Preset::Seed => first_messages(found.telling.messages, found.routine.messages),
            Preset::Default => telling_messages(found.telling.messages, found.routine.messages, &templates),
        };
        templates.sort_by_key(|one| (std::cmp::Reverse(one.events), one.first.ts, one.first.id));
        templates.truncate(TEMPLATES);
        let mut one = Description {
            start,
            end,
            origin,
            first_template,
            began_with_burst,
            events: found.events,
            gravity: found.gravity,
            sources: found.sources.list(),
            components: found.components.list(),
            levels: found.levels.list(),
            reasons: found.reasons,
            messages,
            templates,
            rate: found.lines as f64 / minutes,
            baseline_rate: training.minutes().map(|minutes| known as f64 / minutes),
            suppressed_by: None,
        };
        one.suppressed_by = match preset {
            Preset::Seed => one.seed_suppression().map(str::to_owned),
            Preset::Default => None,
        };
        one
    }

    fn seed_suppression(&self) -> Option<&'static str> {
        let (_, severity) = incident::severity(Preset::Seed, self.gravity, &self.levels);
        incident::seed_suppression(severity, self.events, &self.levels, &self.components, &self.messages)
    }

    fn title(&self, preset: Preset) -> String {
        match preset {
            Preset::Seed => {
                let most = self.templates.first().map_or("", |most| most.template.as_str());
                incident::seed_title(self.events, &self.components, most)
            }
            Preset::Default => {
                let what = if self.began_with_burst { "burst of " } else { "" };
                let began_with = format!("{what}{}", self.first_template);
                incident::title(self.events, self.origin.as_deref(), &self.components, &began_with)
            }
        }
    }

    fn template_list(&self, training: &Training) -> Value {
        let minutes = training.minutes();
        let shown = self.templates.iter();
        shown
            .map(|one| {
                let baseline = minutes.map(|minutes| one.rows as f64 / minutes);
                json!({"template": one.template, "count": one.events, "baseline_rate": baseline})
            })
            .collect()
    }
}

/// Columns of the table `incidents` that a description fills, and what each is cast to: an array of arrays has one length for
/// all, and no array holds a jsonb that is made here.
const COLUMNS: [(&str, &str); 17] = [
    ("start_time", ""),
    ("end_time", ""),
    ("event_count", ""),
    ("sources", "::text[]"),
    ("components", "::text[]"),
    ("levels", "::text[]"),
    ("reasons", "::text[]"),
    ("messages", "::text[]"),
    ("severity", ""),
    ("severity_score", ""),
    ("is_suppressed", ""),
    ("suppressed_by", ""),
    ("title", ""),
    ("origin", ""),
    ("templates", "::jsonb"),
    ("rate", ""),
    ("baseline_rate", ""),
];

/// SQL of [`COLUMNS`]: their names; their values in a table `u` of which they are columns; and parameters for `unnest`, the
/// first of this number.
pub fn columns(first: usize) -> (String, String, String) {
    let list = |one: &dyn Fn(usize) -> String| (0..COLUMNS.len()).map(one).collect::<Vec<_>>().join(", ");
    (
        list(&|at| COLUMNS[at].0.to_owned()),
        list(&|at| format!("u.{}{}", COLUMNS[at].0, COLUMNS[at].1)),
        list(&|at| format!("${}", first + at)),
    )
}

/// Values of [`COLUMNS`], an array for each.
pub fn values(described: &[&Description], preset: Preset, training: &Training) -> Vec<Arg> {
    let graded: Vec<_> =
        described.iter().map(|one| incident::severity(preset, one.gravity, &one.levels)).collect();
    let levels = |one: &Description| literal(&one.levels[..one.levels.len().min(LABELS)]);
    vec![
        each(described, |one| one.start),
        each(described, |one| one.end),
        each(described, |one| one.events),
        each(described, |one| literal(&one.sources)),
        each(described, |one| literal(&one.components)),
        each(described, levels),
        each(described, |one| literal(&one.reasons.names().map(str::to_owned).collect::<Vec<_>>())),
        each(described, |one| literal(&one.messages)),
        arg(graded.iter().map(|(_, severity)| Text(severity.as_str().to_owned())).collect::<Vec<_>>()),
        arg(graded.iter().map(|&(score, _)| score).collect::<Vec<_>>()),
        each(described, |one| one.suppressed_by.is_some()),
        each(described, |one| one.suppressed_by.clone().map(Text)),
        each(described, |one| Text(one.title(preset))),
        each(described, |one| one.origin.clone().map(Text)),
        each(described, |one| Text(one.template_list(training).to_string())),
        each(described, |one| one.rate),
        each(described, |one| one.baseline_rate),
    ]
}

fn each<T: IntoDatum>(described: &[&Description], value: impl Fn(&Description) -> T) -> Arg {
    arg(described.iter().map(|&one| value(one)).collect::<Vec<T>>())
}

/// An array of texts as PostgreSQL reads it.
fn literal(list: &[String]) -> Text {
    let quoted = |one: &String| format!("\"{}\"", one.replace('\\', "\\\\").replace('"', "\\\""));
    Text(format!("{{{}}}", list.iter().map(quoted).collect::<Vec<_>>().join(",")))
}

/// The most frequent templates of a group that has more than are looked at one by one, added where they are missing.
fn add_most_frequent(spi: &Connection, group: Groups<'_>, templates: &mut Vec<Counted>) {
    let (anomalies, [first, second]) = group.sql();
    let rows = spi.repeat(
        &format!(
            "SELECT t.template, t.events, t.is_telling, t.first[1], a.anomaly_id, a.weight = 0, coalesce(a.message, '') FROM ( \
                 SELECT template, count(*) AS events, bool_or(weight > 0) AS is_telling, \
                        min(ARRAY[(extract(epoch FROM ts) * 1000000)::bigint, anomaly_id]) AS first \
                 FROM {anomalies} GROUP BY template ORDER BY events DESC, first LIMIT $3) AS t \
             JOIN logintel.anomalies AS a ON a.anomaly_id = t.first[2]"
        ),
        &[first, second, arg(TEMPLATES as i64)],
    );
    for row in 0..rows.len() {
        let template = rows.text(row, 1).unwrap_or_default();
        if templates.iter().all(|known| known.template != template) {
            let first = First {
                ts: rows.must(row, 4),
                id: rows.must(row, 5),
                is_routine: rows.must(row, 6),
                message: rows.text(row, 7).unwrap_or_default(),
            };
            let (events, is_telling) = (rows.must(row, 2), rows.must(row, 3));
            templates.push(Counted { template, events, is_telling, first, is_subject: false, rows: 0 });
        }
    }
}

/// What an incident most likely began with.
fn likely_origin<'a>(training: &Training, found: &'a Gathered) -> Option<&'a Suspect> {
    let suspects: Vec<origin::Suspect<'_>> = found
        .suspects
        .iter()
        .map(|one| {
            // What a component does as a whole is no rare template.
            let unknown = if one.sort == Sort::Line { 0 } else { u64::MAX };
            origin::Suspect {
                component: one.component.as_deref(),
                template: &one.template,
                ts: one.ts,
                id: one.id,
                component_rows: training.component_rows(one.component.as_deref()),
                template_rows: training.template_rows(&one.template).unwrap_or(unknown),
            }
        })
        .collect();
    let origin = origin::origin(&suspects)?.id;
    found.suspects.iter().find(|one| one.id == origin)
}

/// In which messages are shown.
fn by_time(one: &First) -> (bool, i64, i64) {
    (one.is_routine, one.ts, one.id)
}

/// The first five messages.
fn first_messages(telling: Vec<First>, routine: Vec<First>) -> Vec<String> {
    telling.into_iter().chain(routine).take(MESSAGES).map(|one| one.message).collect()
}

/// Five messages that differ, in time order: the first of each of the templates that tell most, those that were rarest in
/// training; where there are fewer, others of the first anomalies.
fn telling_messages(telling: Vec<First>, routine: Vec<First>, templates: &[Counted]) -> Vec<String> {
    let mut most_telling: Vec<&Counted> = templates.iter().collect();
    most_telling.sort_by_key(|one| (!one.is_telling, one.rows, one.first.ts, one.first.id));
    let mut chosen: Vec<First> = most_telling.iter().take(MESSAGES).map(|one| one.first.clone()).collect();
    chosen.sort_by_key(by_time);
    let mut messages: Vec<First> = Vec::with_capacity(MESSAGES);
    for one in chosen.into_iter().chain(telling).chain(routine) {
        if messages.len() < MESSAGES && messages.iter().all(|other| other.message != one.message) {
            messages.push(one);
        }
    }
    messages.sort_by_key(by_time);
    messages.into_iter().map(|one| one.message).collect()
}
