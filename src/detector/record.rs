//! Writing anomalies.
use std::borrow::Cow;

use logintel_core::detect::{Detector as Model, Judgement, Reason};
use logintel_core::rates::{Alarm, Growth, Key};
use pgrx::prelude::*;

use super::Detector;
use super::extract::Line;
use crate::range::{range_args, range_sql};
use crate::security::RunAs;
use crate::spi::{Connection, arg, text_arg};
use crate::subtransaction::Failure;
use crate::text::Text;
use crate::time::timestamp;

/// Longest message or template that is copied, bytes.
pub const MAX_MESSAGE: usize = 8 << 10;
/// Longest source, component and level that are copied, bytes: they are keys of the views, whose indexes take 2704.
pub const MAX_LABEL: usize = 256;
/// Anomalies written by one statement.
const BATCH: usize = 1000;

/// Collects anomalies and writes them many at a time.
#[derive(Debug)]
pub struct Recorder<'a> {
    detector: &'a Detector,
    batch: Batch,
    grown: Grown,
    has_written: bool,
}

/// Bytes that a burst's message has for what the burst comes to.
const GROWN: usize = 100;

/// Columns of what has become of bursts.
#[derive(Debug, Default)]
struct Grown {
    ts: Vec<TimestampWithTimeZone>,
    template: Vec<Text>,
    since: Vec<TimestampWithTimeZone>,
    until: Vec<TimestampWithTimeZone>,
    weight: Vec<i32>,
    says: Vec<String>,
}

/// Columns of the anomalies that wait.
#[derive(Debug, Default)]
struct Batch {
    ts: Vec<Option<TimestampWithTimeZone>>,
    source: Vec<Option<Text>>,
    component: Vec<Option<Text>>,
    level: Vec<Option<Text>>,
    message: Vec<Option<Text>>,
    template: Vec<Text>,
    cluster: Vec<Option<i32>>,
    score: Vec<f64>,
    reason: Vec<String>,
    weight: Vec<i32>,
    /// Of bursts.
    since: Vec<Option<TimestampWithTimeZone>>,
    until: Vec<Option<TimestampWithTimeZone>>,
    /// Whether some are of rates.
    has_rates: bool,
}

impl<'a> Recorder<'a> {
    /// For a detector's anomalies.
    pub fn new(detector: &'a Detector) -> Self {
        Recorder { detector, batch: Batch::default(), grown: Grown::default(), has_written: false }
    }

    /// Takes in a flagged line.
    pub fn add(&mut self, line: &Line<'_>, judgement: Judgement) {
        // A routine line at a level that is flagged founds no incident.
        let weight = i32::from(!judgement.is_routine);
        self.push(line, judgement, weight, None);
    }

    /// Takes in a rate that broke its record, and the row at which that was noticed.
    pub fn add_alarm(&mut self, model: &Model, alarm: &Alarm, noticed: Option<(&Line<'_>, &Judgement)>) {
        let Some(rates) = model.rates() else { return };
        let says = alarm.describe(rates);
        let unseen = noticed.map(|(_, judgement)| judgement.template.clone());
        let template =
            alarm.subject(rates).or_else(|| template_of(model, alarm.key, unseen)).unwrap_or_default();
        let component = match alarm.key {
            Key::Component(at) => {
                rates.components.get(at as usize).map(|(name, _)| Cow::Borrowed(name.as_str()))
            }
            _ => None,
        };
        let (line, reason, span) = if alarm.is_spike() {
            let Some((line, _)) = noticed else { return };
            let message = cut(
                line.message.as_deref().unwrap_or_default(),
                MAX_MESSAGE.saturating_sub(says.len() + GROWN),
            );
            let message = Some(format!("{message} [{says}]").into());
            let line = Line { message, component: line.component.clone().or(component), ..line.clone() };
            (line, Reason::RateSpike, Some((timestamp(alarm.since), timestamp(alarm.ts))))
        } else {
            let ts = timestamp(alarm.ts);
            let line = Line { message: Some(says.into()), ts: Some(ts), component, ..Line::default() };
            (line, Reason::RateDrop, None)
        };
        let judgement = Judgement {
            is_anomaly: true,
            // History never had it.
            score: 1.0,
            reason,
            cluster: None,
            template,
            distance: 0.0,
            seen: None,
            is_routine: false,
        };
        self.batch.has_rates = true;
        self.push(&line, judgement, i32::try_from(alarm.events()).unwrap_or(i32::MAX), span);
    }

    /// Takes in what has become of a burst, whose alarm may be one that was not recorded.
    pub fn add_growth(&mut self, model: &Model, growth: &Growth) {
        let Some(rates) = model.rates() else { return };
        let subject = growth.subject(rates);
        let template =
            subject.or_else(|| template_of(model, growth.key, growth.template.clone())).unwrap_or_default();
        let grown = &mut self.grown;
        grown.ts.push(timestamp(growth.ts));
        grown.template.push(Text(copied(&template)));
        grown.since.push(timestamp(growth.since));
        grown.until.push(timestamp(growth.until));
        grown.weight.push(i32::try_from(growth.events).unwrap_or(i32::MAX));
        grown.says.push(growth.describe());
        if grown.ts.len() >= BATCH {
            self.write();
        }
    }

    fn push(
        &mut self,
        line: &Line<'_>,
        judgement: Judgement,
        weight: i32,
        span: Option<(TimestampWithTimeZone, TimestampWithTimeZone)>,
    ) {
        let label = |text: &Option<Cow<'_, str>>| text.as_deref().map(|text| Text(label(text).to_owned()));
        let batch = &mut self.batch;
        batch.ts.push(line.ts);
        batch.source.push(label(&line.source));
        batch.component.push(label(&line.component));
        batch.level.push(label(&line.level));
        batch.message.push(line.message.as_deref().map(|text| Text(copied(text))));
        batch.template.push(Text(copied(&judgement.template)));
        batch.cluster.push(judgement.cluster.map(|cluster| cluster as i32));
        batch.score.push(judgement.score);
        batch.reason.push(judgement.reason.to_string());
        batch.weight.push(weight);
        batch.since.push(span.map(|(since, _)| since));
        batch.until.push(span.map(|(_, until)| until));
        if batch.ts.len() >= BATCH {
            self.write();
        }
    }

    /// Whether anything was written so far.
    pub fn has_written(&self) -> bool {
        self.has_written
    }

    /// Writes what waits, with the rights of the extension's owner.
    pub fn write(&mut self) {
        self.write_batch();
        self.write_grown();
    }

    /// A burst's anomaly tells what it has come to, and its incident is counted anew, unless somebody has resolved it.
    fn write_grown(&mut self) {
        let grown = std::mem::take(&mut self.grown);
        if grown.ts.is_empty() {
            return;
        }
        self.has_written = true;
        let _owner = RunAs::extension_owner();
        Connection::open().write(
            "WITH grown AS ( \
                 UPDATE logintel.anomalies AS a SET weight = g.weight, burst_end = g.burst_end, \
                     message = regexp_replace(a.message, '(; [0-9]+ in [0-9a-z ]+)?[]]$', '; ' || g.says || ']') \
                 FROM unnest($2, $3, $4, $5, $6, $7) AS g (ts, template, burst_start, burst_end, weight, says) \
                 WHERE a.detector = $1 AND a.ts = g.ts AND a.template = g.template AND a.reason = 'rate_spike' \
                   AND a.burst_start = g.burst_start AND (a.weight, a.burst_end) < (g.weight, g.burst_end) \
                 RETURNING a.incident_id) \
             UPDATE logintel.incidents SET uncounted = greatest(uncounted, least(event_count, 9999) / 10 + 1) \
             WHERE status <> 'resolved' AND incident_id IN (SELECT incident_id FROM grown WHERE incident_id IS NOT NULL)",
            &[
                text_arg(&self.detector.name),
                arg(grown.ts),
                arg(grown.template),
                arg(grown.since),
                arg(grown.until),
                arg(grown.weight),
                arg(grown.says),
            ],
        );
    }

    fn write_batch(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        if batch.ts.is_empty() {
            return;
        }
        self.has_written = true;
        // What score_history and the worker both come upon is told of once.
        let is_news = if batch.has_rates {
            " WHERE NOT (starts_with(reason, 'rate_') AND EXISTS (SELECT FROM logintel.anomalies AS o \
              WHERE o.detector = $1 AND o.ts = a.ts AND o.reason = a.reason AND o.template = a.template))"
        } else {
            ""
        };
        let sql = format!(
            "INSERT INTO logintel.anomalies \
                 (detector, version, ts, source, component, level, message, template, cluster_id, anomaly_score, \
                  reason, weight, burst_start, burst_end) \
             SELECT $1, $2, * FROM unnest($3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
                 AS a (ts, source, component, level, message, template, cluster_id, anomaly_score, reason, weight, burst_start, \
                       burst_end){is_news}"
        );
        let _owner = RunAs::extension_owner();
        // Planning it takes ten times as long as writing one row, and a flagged row may be a statement of its own.
        Connection::open().repeat(
            &sql,
            &[
                text_arg(&self.detector.name),
                arg(self.detector.active.map(|active| active.version)),
                arg(batch.ts),
                arg(batch.source),
                arg(batch.component),
                arg(batch.level),
                arg(batch.message),
                arg(batch.template),
                arg(batch.cluster),
                arg(batch.score),
                arg(batch.reason),
                arg(batch.weight),
                arg(batch.since),
                arg(batch.until),
            ],
        );
    }
}

/// The template that broke its record; one that training never saw is `unseen`.
fn template_of(model: &Model, key: Key, unseen: Option<String>) -> Option<String> {
    match key {
        Key::Template(at) => model.template(at).map(str::to_owned),
        Key::Unseen(_) => unseen,
        Key::Log | Key::Component(_) => None,
    }
}

/// The beginning of a text, at most that many bytes.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// What is copied of a source, component or level.
pub fn label(text: &str) -> &str {
    cut(text, MAX_LABEL)
}

/// What is copied of a message or template.
pub fn copied(text: &str) -> String {
    kept(text).to_owned()
}

/// The same, lent.
pub fn kept(text: &str) -> &str {
    cut(text, MAX_MESSAGE)
}

/// Whether a copied text may be the beginning of a longer one, whose last character may have had no room.
pub fn may_be_cut(text: &str) -> bool {
    text.len() + char::MAX_LEN_UTF8 > MAX_MESSAGE
}

/// Records that rows landed without being scored: an insert of its own, for which no writer waits.
pub fn record_failure(detector: &str, rows: u64, failure: &Failure) {
    let _owner = RunAs::extension_owner();
    Connection::open().write(
        "INSERT INTO logintel.scoring_failures (detector, rows, sqlstate, message) VALUES ($1, $2, $3, $4)",
        &[
            text_arg(detector),
            arg(rows as i64),
            arg(failure.sqlstate.as_str()),
            text_arg(kept(&failure.message)),
        ],
    );
}

/// Forgets failures of a range by the clock, as the active snapshot shows them: the rows are judged that landed then.
pub fn forget_failures(
    detector: &str,
    since: Option<TimestampWithTimeZone>,
    until: Option<TimestampWithTimeZone>,
) {
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let [since, until] = range_args(since, until);
    let mut over: Vec<i64> = Vec::new();
    spi.for_each(
        &format!(
            "SELECT failure_id FROM logintel.scoring_failures WHERE detector = $3 AND {}",
            range_sql("recorded_at")
        ),
        &[since, until, text_arg(detector)],
        |rows, row| over.push(rows.must(row, 1)),
    );
    spi.write("DELETE FROM logintel.scoring_failures WHERE failure_id = ANY ($1)", &[arg(over)]);
}
