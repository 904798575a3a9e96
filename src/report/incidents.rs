//! Incidents of the report: a list, and the worst of them at length.
use logintel_report::limits;
use logintel_report::report::{Details, Event, Explanation, Incident, Severity, Status, Template, Term};
use logintel_report::text::Text as Shown;
use serde_json::Value;

use super::read::{Scope, count, line, time};
use crate::detector::explain;
use crate::spi::{Rows, arg};
use crate::subtransaction::attempt;
use crate::text::{Jsonb, Text};

/// Anomalies of an incident of which reasons are counted and one is explained: the first.
const ANOMALIES: i64 = 10_000;

/// Columns that [`incident`] reads.
const INCIDENT: &str =
    "incident_id, detector, title, severity, status, is_held, start_time, end_time, event_count";

fn incident(rows: &Rows<'_>, row: u64) -> Incident {
    Incident {
        id: rows.must(row, 1),
        detector: line(rows, row, 2),
        title: line(rows, row, 3),
        severity: match rows.text(row, 4).as_deref() {
            Some("HIGH") => Severity::High,
            Some("MEDIUM") => Severity::Medium,
            _ => Severity::Low,
        },
        status: match rows.text(row, 5).as_deref() {
            Some("open") => Status::Open,
            Some("acknowledged") => Status::Acknowledged,
            _ => Status::Resolved,
        },
        is_held: rows.must(row, 6),
        start: time(rows, row, 7).unwrap_or_default(),
        end: time(rows, row, 8).unwrap_or_default(),
        events: count(rows, row, 9),
    }
}

/// Incidents that are not suppressed: those that are not resolved, then the newest.
pub fn list(scope: &Scope) -> Vec<Incident> {
    let sql = format!(
        "SELECT {INCIDENT} FROM logintel.incidents WHERE detector IN {{scope}} AND NOT is_suppressed \
         ORDER BY status = 'resolved', start_time DESC, incident_id DESC LIMIT $3"
    );
    scope.read(&sql, &[arg(limits::INCIDENTS as i64)], incident)
}

/// What one row of the details holds before each incident is looked at.
struct Found {
    details: Details,
    detector: String,
}

/// The incidents that matter most: what is not resolved first; then by severity, and of equal ones what goes on, or what is over
/// by its score.
pub fn details(scope: &Scope) -> Vec<Details> {
    let sql = format!(
        "SELECT {INCIDENT}, origin, rate, baseline_rate, \
                jsonb_build_object('components', components, 'sources', sources, 'levels', levels, 'messages', messages, \
                                   'templates', templates) \
         FROM logintel.incidents WHERE detector IN {{scope}} AND NOT is_suppressed \
         ORDER BY status = 'resolved', array_position('{{HIGH,MEDIUM,LOW}}', severity), \
                  CASE WHEN status <> 'resolved' THEN end_time END DESC, severity_score DESC, end_time DESC, incident_id DESC LIMIT $3"
    );
    let found = scope.read(&sql, &[arg(limits::DETAILS as i64)], |rows, row| {
        let lists = rows.must::<Jsonb>(row, 13).0;
        let details = Details {
            incident: incident(rows, row),
            origin: rows.text(row, 10).map(|origin| Shown::line(&origin)),
            components: texts(&lists["components"], Shown::line),
            sources: texts(&lists["sources"], Shown::line),
            levels: texts(&lists["levels"], Shown::line),
            rate: rows.get(row, 11),
            baseline_rate: rows.get(row, 12),
            reasons: Vec::new(),
            reasons_of: None,
            messages: texts(&lists["messages"], Shown::block),
            templates: templates(&lists["templates"]),
            explanation: None,
            history: Vec::new(),
        };
        Found { details, detector: rows.text(row, 2).unwrap_or_default() }
    });
    found
        .into_iter()
        .map(|Found { mut details, detector }| {
            let id = details.incident.id;
            details.reasons = reasons(scope, id);
            let counted: u64 = details.reasons.iter().map(|(_, events)| events).sum();
            details.reasons_of = (counted < details.incident.events).then_some(counted);
            details.explanation = sample(scope, id).and_then(|sample| explanation(&detector, sample));
            details.history = history(scope, id);
            details
        })
        .collect()
}

fn texts(list: &Value, shown: fn(&str) -> Shown) -> Vec<Shown> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(shown).collect()
}

fn templates(list: &Value) -> Vec<Template> {
    let of = |template: &Value| Template {
        template: Shown::line(template["template"].as_str().unwrap_or_default()),
        count: template["count"].as_u64().unwrap_or(0),
        baseline_rate: template["baseline_rate"].as_f64(),
    };
    list.as_array().into_iter().flatten().map(of).collect()
}

/// Reasons of the first anomalies of an incident, without their figures.
fn reasons(scope: &Scope, id: i64) -> Vec<(Shown, u64)> {
    scope.read(
        "SELECT split_part(reason, '=', 1), count(*) FROM \
             (SELECT reason FROM logintel.anomalies WHERE incident_id = $3 AND detector IN {scope} ORDER BY ts, anomaly_id LIMIT $4) AS a \
         GROUP BY 1 ORDER BY 2 DESC, 1",
        &[arg(id), arg(ANOMALIES)],
        |rows, row| (line(rows, row, 1), count(rows, row, 2)),
    )
}

/// An anomaly whose line can be explained.
struct Sample {
    message: String,
    line: [Option<Text>; 4],
    judged_by: Option<i32>,
}

/// The strangest of the first lines of an incident: one that more than its level has flagged, where there is one.
fn sample(scope: &Scope, id: i64) -> Option<Sample> {
    let found = scope.read(
        "SELECT a.message, CASE WHEN d.template IS NULL THEN a.message ELSE a.template END, a.level, a.component, a.source, \
                nullif(a.version, d.active_version) \
         FROM (SELECT * FROM logintel.anomalies WHERE incident_id = $3 AND detector IN {scope} ORDER BY ts, anomaly_id LIMIT $4) AS a \
         JOIN logintel.detectors AS d ON d.name = a.detector \
         WHERE a.message IS NOT NULL AND NOT starts_with(a.reason, 'rate_') AND d.active_version IS NOT NULL \
         ORDER BY a.reason IN ('ERROR_level', 'untrained'), a.anomaly_score DESC, a.ts, a.anomaly_id LIMIT 1",
        &[arg(id), arg(ANOMALIES)],
        |rows, row| Sample {
            message: rows.text(row, 1).unwrap_or_default(),
            line: [2, 3, 4, 5].map(|column| rows.text(row, column).map(Text)),
            judged_by: rows.get(row, 6),
        },
    );
    found.into_iter().next()
}

/// Why a line is strange, as `anomaly_explain` tells it. A model that cannot be read keeps no page from being made.
fn explanation(detector: &str, sample: Sample) -> Option<Explanation> {
    let Sample { message, line, judged_by } = sample;
    let rows = attempt(|| explain(detector, line)).ok()?;
    let mut explanation = Explanation {
        message: Shown::block(&message),
        judged_by,
        rules: Vec::new(),
        nearest: None,
        limit: None,
        terms: Vec::new(),
    };
    for row in rows {
        let (term, detail) = (Shown::line(&row.term), Shown::line(&row.detail));
        match (row.kind, row.contribution) {
            ("term", Some(contribution)) => explanation.terms.push(Term { term, contribution, detail }),
            ("template", _) => explanation.nearest = Some((term, detail)),
            ("threshold", _) => explanation.limit = Some(detail),
            _ => explanation.rules.push((term, detail)),
        }
    }
    Some(explanation)
}

/// The last that happened to an incident.
fn history(scope: &Scope, id: i64) -> Vec<Event> {
    scope.read(
        "SELECT at, actor, event, note FROM logintel.incident_events \
         WHERE incident_id = $3 AND detector IN {scope} ORDER BY event_id DESC LIMIT $4",
        &[arg(id), arg(limits::NAMES as i64)],
        |rows, row| Event {
            at: time(rows, row, 1).unwrap_or_default(),
            actor: line(rows, row, 2),
            event: line(rows, row, 3),
            note: rows.text(row, 4).map(|note| Shown::line(&note)),
        },
    )
}
