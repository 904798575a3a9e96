//! What an incident says of itself, counted from its anomalies.
use std::rc::Rc;

use logintel_core::config::{MINUTE, Micros, Preset};
use logintel_core::detect::Detector as Model;
use logintel_core::incident;
use logintel_core::origin::{self, Suspect};
use pgrx::prelude::*;
use serde_json::{Value, json};

use crate::detector::Detector;
use crate::spi::{Arg, Connection, Rows, arg, text_arg};
use crate::subtransaction::attempt;
use crate::text::{Jsonb, Text};
use crate::time::micros;

/// Most templates that an incident lists, most messages that it shows.
const TEMPLATES: i64 = 20;
const MESSAGES: usize = 5;
/// Most sources, components and levels that it lists, each: the first by name.
const LABELS: i64 = 100;
/// SQL for the events that an anomaly adds to the severity: a burst its lines, a silence one.
pub const GRAVITY: &str = "CASE WHEN reason = 'rate_drop' THEN 1 ELSE greatest(weight, 1) END";
/// SQL for whether a burst counts a line `a` that is flagged for its level alone.
const IN_BURST: &str = "(EXISTS (SELECT FROM bursts AS b WHERE b.template = a.template AND a.ts BETWEEN b.burst_start AND b.burst_end) \
    OR EXISTS (SELECT FROM bursts AS b WHERE b.template = 'burst of component ' || a.component AND a.ts BETWEEN b.burst_start AND b.burst_end))";
/// Most levels that its severity is told from.
const LEVELS: i64 = 10_000;

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

/// Some anomalies.
#[derive(Debug, Clone, Copy)]
pub enum Anomalies<'a> {
    /// Those of an incident.
    Of(i64),
    /// Those of these numbers.
    These(&'a [i64]),
}

impl Anomalies<'_> {
    /// SQL for the condition that they meet, and its parameter, the first.
    pub fn condition(self) -> (&'static str, Arg) {
        match self {
            Anomalies::Of(incident) => ("incident_id = $1", arg(incident)),
            Anomalies::These(ids) => ("anomaly_id = ANY ($1)", arg(ids.to_vec())),
        }
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
    events: i64,
    /// The same, of a burst its lines.
    gravity: i64,
    sources: Vec<String>,
    components: Vec<String>,
    levels: Vec<String>,
    messages: Vec<String>,
    templates: Vec<Counted>,
    rate: f64,
    baseline_rate: Option<f64>,
}

/// A template of an incident.
#[derive(Debug)]
struct Counted {
    template: String,
    events: i64,
    is_telling: bool,
    /// Time and number of its first anomaly.
    first: (Micros, i64),
    /// Whether it stands for a component or the whole log.
    is_subject: bool,
    /// Rows of training.
    rows: u64,
}

/// Columns of the table `incidents` that a description fills, as [`Description::values`] gives them.
pub const COLUMNS: [&str; 16] = [
    "start_time",
    "end_time",
    "event_count",
    "sources",
    "components",
    "levels",
    "messages",
    "severity",
    "severity_score",
    "is_suppressed",
    "suppressed_by",
    "title",
    "origin",
    "templates",
    "rate",
    "baseline_rate",
];

impl Description {
    /// Counts it.
    pub fn of(spi: &Connection, detector: &Detector, training: &Training, anomalies: Anomalies<'_>) -> Self {
        let (condition, which) = anomalies.condition();
        // One row for each element of each list: texts are converted from the server's encoding one by one.
        let rows = spi.repeat(
            &format!(
                "WITH bursts AS (SELECT template, burst_start, burst_end FROM logintel.anomalies WHERE {condition} AND burst_end IS NOT NULL), \
                 i AS ( \
                     SELECT count(*) AS events, \
                            coalesce(min(ts) FILTER (WHERE weight > 0), min(ts)) AS start, \
                            coalesce(max(greatest(ts, burst_end)) FILTER (WHERE weight > 0), max(ts)) AS end, \
                            coalesce(min(least(ts, burst_start)) FILTER (WHERE weight > 0), min(ts)) AS since, \
                            sum(CASE WHEN reason = 'rate_drop' THEN 0 WHEN weight = 0 AND {IN_BURST} THEN 0 ELSE greatest(weight, 1) END) AS lines, \
                            sum({GRAVITY})::bigint AS gravity, \
                            (array_agg(DISTINCT source ORDER BY source) FILTER (WHERE source IS NOT NULL))[1:{LABELS}] AS sources, \
                            (array_agg(DISTINCT component ORDER BY component) FILTER (WHERE component IS NOT NULL))[1:{LABELS}] AS components, \
                            (array_agg(DISTINCT level ORDER BY level) FILTER (WHERE level IS NOT NULL))[1:{LEVELS}] AS levels \
                     FROM logintel.anomalies AS a WHERE {condition}) \
                 SELECT i.events, i.start, i.end, i.lines::float8, l.list, l.element, i.since, i.gravity \
                 FROM i LEFT JOIN LATERAL ( \
                     SELECT 0, u.* FROM unnest(i.sources) WITH ORDINALITY AS u \
                     UNION ALL SELECT 1, u.* FROM unnest(i.components) WITH ORDINALITY AS u \
                     UNION ALL SELECT 2, u.* FROM unnest(i.levels) WITH ORDINALITY AS u \
                 ) AS l (list, element, at) ON true ORDER BY l.list, l.at"
            ),
            &[which],
        );
        let list = |number: i32| -> Vec<String> {
            let elements = (0..rows.len()).filter(|&row| rows.get(row, 5) == Some(number));
            elements.filter_map(|row| rows.text(row, 6)).collect()
        };
        let (start, end): (TimestampWithTimeZone, TimestampWithTimeZone) = (rows.must(0, 2), rows.must(0, 3));
        let templates = templates(spi, training, anomalies);
        let since = micros(rows.must(0, 7));
        let minutes = (micros(end).saturating_sub(since) as f64 / MINUTE as f64).max(1.0);
        // What a component had as a whole are the lines of its templates.
        let (whole, parts): (Vec<&Counted>, Vec<_>) = templates.iter().partition(|one| one.is_subject);
        let rows_of = |some: Vec<&Counted>| some.iter().map(|one| one.rows).sum::<u64>();
        let known = rows_of(whole).max(rows_of(parts));
        let (origin, first_template) = likely_origin(spi, training, anomalies, start);
        Description {
            start,
            end,
            origin,
            first_template,
            events: rows.must(0, 1),
            gravity: rows.must(0, 8),
            sources: list(0),
            components: list(1),
            levels: list(2),
            messages: match detector.options.preset {
                Preset::Seed => first_messages(spi, anomalies),
                Preset::Default => telling_messages(spi, anomalies, &templates),
            },
            templates,
            rate: rows.must::<f64>(0, 4) / minutes,
            baseline_rate: training.minutes().map(|minutes| known as f64 / minutes),
        }
    }

    /// Values for [`COLUMNS`].
    pub fn values(
        &self,
        detector: &Detector,
        training: &Training,
        hidden_by_rule: impl FnOnce() -> Option<String>,
    ) -> Vec<Arg> {
        let preset = detector.options.preset;
        let (score, severity) = incident::severity(preset, self.gravity, &self.levels);
        let suppressed = match preset {
            Preset::Seed => incident::seed_suppression(
                severity,
                self.events,
                &self.levels,
                &self.components,
                &self.messages,
            ),
            Preset::Default => None,
        };
        let suppressed = suppressed.map(str::to_owned).or_else(hidden_by_rule).map(Text);
        let title = match preset {
            Preset::Seed => {
                let most = self.templates.first().map_or("", |most| most.template.as_str());
                incident::seed_title(self.events, &self.components, most)
            }
            Preset::Default => {
                incident::title(self.events, self.origin.as_deref(), &self.components, &self.first_template)
            }
        };
        let minutes = training.minutes();
        let shown = self.templates.iter().take(TEMPLATES as usize);
        let templates: Value = shown
            .map(|one| {
                let baseline = minutes.map(|minutes| one.rows as f64 / minutes);
                json!({"template": one.template, "count": one.events, "baseline_rate": baseline})
            })
            .collect();
        vec![
            arg(self.start),
            arg(self.end),
            arg(self.events),
            arg(texts(&self.sources)),
            arg(texts(&self.components)),
            arg(texts(&self.levels[..self.levels.len().min(LABELS as usize)])),
            arg(texts(&self.messages)),
            arg(severity.as_str()),
            arg(score),
            arg(suppressed.is_some()),
            arg(suppressed),
            text_arg(&title),
            arg(self.origin.clone().map(Text)),
            arg(Jsonb(templates)),
            arg(self.rate),
            arg(self.baseline_rate),
        ]
    }
}

/// The templates of anomalies, most frequent first: the most frequent, and the first in time.
fn templates(spi: &Connection, training: &Training, anomalies: Anomalies<'_>) -> Vec<Counted> {
    /// Most that are looked at for messages that tell.
    const FIRST: i64 = 500;
    let (condition, which) = anomalies.condition();
    let rows = spi.repeat(
        &format!(
            "SELECT template, events, is_telling, first[1], first[2] FROM ( \
                 SELECT t.*, row_number() OVER (ORDER BY events DESC, first) AS by_count, row_number() OVER (ORDER BY first) AS by_time \
                 FROM (SELECT template, count(*) AS events, bool_or(weight > 0) AS is_telling, \
                              min(ARRAY[(extract(epoch FROM ts) * 1000000)::bigint, anomaly_id]) AS first \
                       FROM logintel.anomalies WHERE {condition} GROUP BY template) AS t) AS t \
             WHERE by_count <= $2 OR by_time <= $3 ORDER BY by_count"
        ),
        &[which, arg(TEMPLATES), arg(FIRST)],
    );
    let mut templates: Vec<Counted> = (0..rows.len())
        .map(|row| Counted {
            template: rows.text(row, 1).unwrap_or_default(),
            events: rows.must(row, 2),
            is_telling: rows.must(row, 3),
            first: (rows.must(row, 4), rows.must(row, 5)),
            is_subject: false,
            rows: 0,
        })
        .collect();
    for one in &mut templates {
        let (of_template, of_subject) =
            (training.template_rows(&one.template), training.subject_rows(&one.template));
        one.is_subject = of_template.is_none() && of_subject.is_some();
        one.rows = of_template.or(of_subject).unwrap_or_default();
    }
    templates
}

/// Where an incident most likely began, and with what template.
fn likely_origin(
    spi: &Connection,
    training: &Training,
    anomalies: Anomalies<'_>,
    start: TimestampWithTimeZone,
) -> (Option<String>, String) {
    let (condition, which) = anomalies.condition();
    let rows = spi.repeat(
        &format!(
            "SELECT DISTINCT ON (component, template) component, template, ts, anomaly_id, is_rate FROM ( \
                 SELECT component, template, ts, anomaly_id, starts_with(reason, 'rate_') AS is_rate FROM logintel.anomalies \
                 WHERE {condition} AND weight > 0 AND ts BETWEEN $2 AND $2 + make_interval(secs => $3) \
                 ORDER BY ts, anomaly_id LIMIT 1000) AS first \
             ORDER BY component, template, ts, anomaly_id"
        ),
        &[which, arg(start), arg(origin::FIRST as f64 / 1e6)],
    );
    let found: Vec<(Option<String>, String)> =
        (0..rows.len()).map(|row| (rows.text(row, 1), rows.text(row, 2).unwrap_or_default())).collect();
    let suspects: Vec<Suspect<'_>> = found
        .iter()
        .zip(0..)
        .map(|((component, template), row)| {
            let component_rows = training.component_rows(component.as_deref());
            // What a component does as a whole is no rare template.
            let unknown = if rows.must(row, 5) { u64::MAX } else { 0 };
            Suspect {
                component: component.as_deref(),
                template,
                ts: micros(rows.must(row, 3)),
                id: rows.must(row, 4),
                component_rows,
                template_rows: training.template_rows(template).unwrap_or(unknown),
            }
        })
        .collect();
    origin::origin(&suspects).map_or_else(Default::default, |origin| {
        (origin.component.map(str::to_owned), origin.template.to_owned())
    })
}

/// The first five messages.
fn first_messages(spi: &Connection, anomalies: Anomalies<'_>) -> Vec<String> {
    let (condition, which) = anomalies.condition();
    let rows = spi.repeat(
        &format!(
            "SELECT coalesce(message, '') FROM logintel.anomalies WHERE {condition} \
             ORDER BY weight = 0, ts, anomaly_id LIMIT $2"
        ),
        &[which, arg(MESSAGES as i64)],
    );
    column(&rows)
}

/// Five messages that differ, in time order: the first of each of the templates that tell most, those that were rarest in
/// training; where there are fewer, others of the first anomalies.
fn telling_messages(spi: &Connection, anomalies: Anomalies<'_>, templates: &[Counted]) -> Vec<String> {
    let mut telling: Vec<&Counted> = templates.iter().collect();
    telling.sort_by_key(|one| (!one.is_telling, one.rows, one.first));
    let chosen: Vec<i64> = telling.iter().take(MESSAGES).map(|one| one.first.1).collect();
    let (condition, which) = anomalies.condition();
    let rows = spi.repeat(
        &format!(
            "SELECT message FROM ( \
                 SELECT * FROM ( \
                     SELECT DISTINCT ON (message) message, anomaly_id = ANY ($2) AS is_chosen, is_routine, ts, anomaly_id FROM ( \
                         SELECT coalesce(message, '') AS message, weight = 0 AS is_routine, ts, anomaly_id \
                         FROM logintel.anomalies WHERE anomaly_id = ANY ($2) \
                         UNION ALL \
                         (SELECT coalesce(message, ''), false, ts, anomaly_id FROM logintel.anomalies WHERE {condition} AND weight > 0 \
                          ORDER BY ts, anomaly_id LIMIT 100) \
                         UNION ALL \
                         (SELECT coalesce(message, ''), true, ts, anomaly_id FROM logintel.anomalies WHERE {condition} AND weight = 0 \
                          ORDER BY ts, anomaly_id LIMIT 100)) AS a \
                     ORDER BY message, is_chosen DESC, is_routine, ts, anomaly_id) AS differing \
                 ORDER BY is_chosen DESC, is_routine, ts, anomaly_id LIMIT $3) AS five \
             ORDER BY is_routine, ts, anomaly_id"
        ),
        &[which, arg(chosen), arg(MESSAGES as i64)],
    );
    column(&rows)
}

fn column(rows: &Rows<'_>) -> Vec<String> {
    (0..rows.len()).filter_map(|row| rows.text(row, 1)).collect()
}

/// As values of the server.
fn texts(list: &[String]) -> Vec<Text> {
    list.iter().cloned().map(Text).collect()
}
