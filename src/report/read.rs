//! Figures, charts, components and detectors of the report: a query for each.
use logintel_report::limits;
use logintel_report::report::{
    AnomalyChart, Bucket, Cluster, Component, Counts, Detector, Drift, Model, Report,
};
use logintel_report::text::Text as Shown;
use logintel_report::time::{DAY, Time, bucket_of, length};
use pgrx::prelude::*;

use crate::security::RunAs;
use crate::spi::{Arg, Connection, Rows, arg, text_arg};
use crate::text::Text;
use crate::time::{finite_micros, timestamp};

/// Most days that the chart of all shows.
const DAYS: i64 = 366;
/// Least time that a chart shows: of less, a bar would fill half of it.
const LEAST: i64 = DAY / 48;
/// Most bars of a chart.
const BARS: i64 = 72;

/// What the caller asked for.
pub struct Scope {
    /// The caller's role.
    pub user: String,
    /// The detector; `None` for all that the role may read.
    pub detector: Option<String>,
}

/// The names of the detectors in scope, as SQL with the parameters of [`Scope::args`].
pub const IN_SCOPE: &str =
    "(SELECT r FROM logintel.readable_detectors($1::name) AS r WHERE $2::text IS NULL OR r = $2)";

/// Whether a detector `d` has something to tell: the two that `CREATE EXTENSION` makes have nothing before they are used, and are
/// shown where one of them is asked for. The first anomaly at or after its name in an index: a plan that expects many of each
/// detector would read all of a large table to find none.
const IS_USED: &str = "(d.name NOT IN ('logs', 'server_log') OR d.active_version IS NOT NULL OR $2 IS NOT NULL \
                        OR d.name = (SELECT a.detector FROM logintel.anomalies AS a WHERE a.detector >= d.name \
                                     ORDER BY a.detector, a.recorded_at LIMIT 1))";

impl Scope {
    /// The parameters `$1` and `$2`, and those that follow.
    pub fn args(&self, others: &[Arg]) -> Vec<Arg> {
        let mut args = vec![text_arg(&self.user), arg(self.detector.clone().map(Text))];
        args.extend_from_slice(others);
        args
    }

    /// Calls `each` with every row of a query on our own tables, in which `{scope}` stands for [`IN_SCOPE`], `{is_used}` for
    /// [`IS_USED`].
    pub fn read<T>(&self, sql: &str, others: &[Arg], each: impl Fn(&Rows<'_>, u64) -> T) -> Vec<T> {
        let _owner = RunAs::extension_owner();
        let spi = Connection::open();
        let rows =
            spi.read(&sql.replace("{scope}", IN_SCOPE).replace("{is_used}", IS_USED), &self.args(others));
        pgrx::check_for_interrupts!();
        (0..rows.len()).map(|row| each(&rows, row)).collect()
    }
}

/// A count, which is never negative.
pub fn count(rows: &Rows<'_>, row: u64, column: i32) -> u64 {
    rows.get::<i64>(row, column).unwrap_or(0).max(0).cast_unsigned()
}

/// A finite time.
pub fn time(rows: &Rows<'_>, row: u64, column: i32) -> Option<Time> {
    rows.get::<TimestampWithTimeZone>(row, column).and_then(finite_micros).map(Time)
}

/// A line of text; empty for NULL.
pub fn line(rows: &Rows<'_>, row: u64, column: i32) -> Shown {
    Shown::line(&rows.text(row, column).unwrap_or_default())
}

/// What stands at the head of the page.
pub fn head(scope: &Scope) -> Report {
    let heads = scope.read(
        "SELECT current_database()::text, now(), i.high, i.medium, i.low, i.open, i.incidents, i.suppressed, \
                a.last_day, a.newest, d.detectors, d.trained \
         FROM (SELECT count(*) FILTER (WHERE is_open AND severity = 'HIGH') AS high, \
                      count(*) FILTER (WHERE is_open AND severity = 'MEDIUM') AS medium, \
                      count(*) FILTER (WHERE is_open AND severity = 'LOW') AS low, \
                      count(*) FILTER (WHERE is_open AND status = 'open') AS open, \
                      count(*) FILTER (WHERE NOT is_suppressed) AS incidents, \
                      count(*) FILTER (WHERE is_suppressed) AS suppressed \
               FROM (SELECT *, status <> 'resolved' AND NOT is_suppressed AS is_open FROM logintel.incidents) AS i \
               WHERE detector IN {scope}) AS i, \
              (SELECT sum(last_day)::bigint AS last_day, max(newest) AS newest \
               FROM {scope} AS s (name), \
                    LATERAL (SELECT count(*) AS last_day FROM logintel.anomalies AS a \
                             WHERE a.detector = s.name AND a.ts > now() - interval '1 day' AND isfinite(a.ts)) AS r, \
                    LATERAL (SELECT max(a.ts) AS newest FROM logintel.anomalies AS a \
                             WHERE a.detector = s.name AND isfinite(a.ts) AND a.ts < now() + interval '1 day') AS n) AS a, \
              (SELECT count(*) AS detectors, count(active_version) AS trained FROM logintel.detectors AS d \
               WHERE name IN {scope} AND {is_used}) AS d",
        &[],
        |rows, row| Report {
            database: line(rows, row, 1),
            generated_at: time(rows, row, 2).unwrap_or_default(),
            counts: Counts {
                open: [3, 4, 5].map(|column| count(rows, row, column)),
                unacknowledged: count(rows, row, 6),
                incidents: count(rows, row, 7),
                suppressed: count(rows, row, 8),
                anomalies_last_day: count(rows, row, 9),
                newest_anomaly: time(rows, row, 10),
                detectors: count(rows, row, 11),
                trained: count(rows, row, 12),
            },
            ..Report::default()
        },
    );
    heads.into_iter().next().unwrap_or_default()
}

/// Anomalies over time: of all that is kept, up to [`DAYS`] back, and of the last 24 hours where that is much less. The times of a log may be long gone.
pub fn charts(scope: &Scope, report: &Report) -> Vec<AnomalyChart> {
    let Some(newest) = report.counts.newest_anomaly else { return Vec::new() };
    let now = report.generated_at;
    let is_live = now.0 - newest.0 < DAY;
    let until = if is_live { now.max(newest) } else { newest };
    let oldest = oldest_anomaly(scope, Time(until.0 - DAYS * DAY)).unwrap_or(newest);
    let oldest = oldest.min(Time(until.0 - LEAST));
    let mut charts = Vec::new();
    if until.0 - oldest.0 > 2 * DAY {
        let title = if is_live { "The last 24 hours" } else { "The 24 hours up to the newest anomaly" };
        charts.push(chart(scope, title, Time(until.0 - DAY), until));
        charts.push(chart(scope, "Up to a year back", oldest, until));
    } else {
        let span = length(until.0 - oldest.0);
        let title =
            if is_live { format!("The last {span}") } else { format!("The {span} up to the newest anomaly") };
        charts.push(chart(scope, &title, oldest, until));
    }
    charts
}

fn oldest_anomaly(scope: &Scope, after: Time) -> Option<Time> {
    scope
        .read(
            "SELECT min(o.ts) FROM {scope} AS s (name), \
                LATERAL (SELECT min(ts) AS ts FROM logintel.anomalies AS a WHERE a.detector = s.name AND a.ts >= $3) AS o",
            &[arg(timestamp(after.0))],
            |rows, row| time(rows, row, 1),
        )
        .into_iter()
        .flatten()
        .next()
}

fn chart(scope: &Scope, title: &str, from: Time, until: Time) -> AnomalyChart {
    let bucket = bucket_of(until.0 - from.0, BARS);
    // As date_bin has them: counted from the year 2000.
    let start = |time: Time| {
        let at = timestamp(time.0);
        Time(time.0 - i64::from(at).rem_euclid(bucket))
    };
    let (from, until) = (start(from), Time(start(until).0 + bucket));
    // In no order: the planner takes a bucket for as many values as there are rows, and would sort all of these on disk.
    let mut buckets = scope.read(
        "SELECT date_bin($5 * interval '1 microsecond', a.ts, '2000-01-01 00:00:00+00'), \
                count(*) FILTER (WHERE i.severity = 'HIGH'), count(*) FILTER (WHERE i.severity = 'MEDIUM'), \
                count(*) FILTER (WHERE i.severity = 'LOW'), count(*) FILTER (WHERE i.severity IS NULL) \
         FROM logintel.anomalies AS a \
         LEFT JOIN logintel.incidents AS i ON i.incident_id = a.incident_id AND NOT i.is_suppressed \
         WHERE a.detector IN {scope} AND a.ts >= $3 AND a.ts < $4 GROUP BY 1",
        &[arg(timestamp(from.0)), arg(timestamp(until.0)), arg(bucket)],
        |rows, row| Bucket {
            start: time(rows, row, 1).unwrap_or_default(),
            counts: [2, 3, 4, 5].map(|column| count(rows, row, column)),
        },
    );
    buckets.sort_by_key(|bucket| bucket.start);
    AnomalyChart { title: Shown::line(title), from, until, bucket, buckets }
}

/// The components with most open incidents and anomalies, as maintenance last counted them.
pub fn components(scope: &Scope) -> Vec<Component> {
    let is_counted = !scope
        .read(
            "SELECT FROM pg_class WHERE oid = 'logintel.component_health'::regclass AND relispopulated \
             AND coalesce($1::text, $2::text) IS NOT NULL",
            &[],
            |_, _| (),
        )
        .is_empty();
    if !is_counted {
        return Vec::new();
    }
    scope.read(
        "SELECT detector, component, anomalies, anomalies_last_day, open_incidents, \"time\" FROM logintel.component_health \
         WHERE detector IN {scope} ORDER BY open_incidents DESC, anomalies DESC, detector, component LIMIT $3",
        &[arg(limits::COMPONENTS as i64)],
        |rows, row| Component {
            detector: line(rows, row, 1),
            component: line(rows, row, 2),
            anomalies: count(rows, row, 3),
            anomalies_last_day: count(rows, row, 4),
            open_incidents: count(rows, row, 5),
            last: time(rows, row, 6),
        },
    )
}

/// Detectors with model, clusters and drift. Built-in ones that have nothing to tell are left out, unless asked for.
pub fn detectors(scope: &Scope) -> Vec<Detector> {
    let detectors = scope.read(
        "SELECT d.name, coalesce(c.oid::regclass::text, 'a relation that is gone'), d.enabled, m.version, m.trained_at, \
                m.training_rows, m.vocabulary_size::bigint, m.templates::bigint, m.clusters::bigint, m.noise_rows, m.threshold, \
                m.flagged_share, (SELECT count(*) FROM logintel.model_versions AS v WHERE v.detector = d.name), \
                format('SELECT logintel.train(%L);', d.name) \
         FROM logintel.detectors AS d LEFT JOIN pg_class AS c ON c.oid = d.relation \
         LEFT JOIN logintel.model_versions AS m ON m.detector = d.name AND m.version = d.active_version \
         WHERE d.name IN {scope} AND {is_used} \
         ORDER BY m.version IS NULL, d.detector_id LIMIT $3",
        &[arg(limits::DETECTORS as i64)],
        |rows, row| {
            let model = rows.get(row, 4).map(|version| Model {
                version,
                trained_at: time(rows, row, 5).unwrap_or_default(),
                training_rows: count(rows, row, 6),
                vocabulary: count(rows, row, 7),
                templates: count(rows, row, 8),
                clusters: count(rows, row, 9),
                noise_rows: count(rows, row, 10),
                threshold: rows.must(row, 11),
                flagged_share: rows.must(row, 12),
                versions: count(rows, row, 13),
            });
            let detector = Detector {
                name: line(rows, row, 1),
                relation: line(rows, row, 2),
                is_enabled: rows.must(row, 3),
                model,
                next: line(rows, row, 14),
                clusters: Vec::new(),
                drift: Vec::new(),
                drift_warning: None,
            };
            (rows.text(row, 1).unwrap_or_default(), detector)
        },
    );
    detectors.into_iter().map(|(name, detector)| with_clusters_and_drift(scope, &name, detector)).collect()
}

fn with_clusters_and_drift(scope: &Scope, name: &str, mut detector: Detector) -> Detector {
    let Some(model) = &detector.model else { return detector };
    detector.clusters = scope.read(
        "SELECT cluster_id, rows, templates::bigint, template FROM logintel.model_clusters \
         WHERE detector IN {scope} AND detector = $3 AND version = $4 ORDER BY rows DESC, cluster_id LIMIT $5",
        &[text_arg(name), arg(model.version), arg(limits::CLUSTERS as i64)],
        |rows, row| Cluster {
            id: rows.must(row, 1),
            rows: count(rows, row, 2),
            templates: count(rows, row, 3),
            template: line(rows, row, 4),
        },
    );
    let hours = scope.read(
        "SELECT \"time\", flagged_share, unseen_template_share, warning FROM \
             (SELECT * FROM logintel.drift WHERE detector IN {scope} AND detector = $3 AND rows > 0 \
              AND flagged_share IS NOT NULL AND unseen_template_share IS NOT NULL ORDER BY \"time\" DESC LIMIT $4) AS d \
         ORDER BY \"time\"",
        &[text_arg(name), arg(limits::BUCKETS as i64)],
        |rows, row| {
            let hour = Drift {
                time: time(rows, row, 1).unwrap_or_default(),
                flagged: rows.must(row, 2),
                unseen: rows.must(row, 3),
            };
            (hour, rows.text(row, 4))
        },
    );
    detector.drift_warning = hours.last().and_then(|(_, warning)| warning.as_deref().map(Shown::line));
    detector.drift = hours.into_iter().map(|(hour, _)| hour).collect();
    detector
}
