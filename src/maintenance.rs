//! What the worker does in one tick, and anybody may do by hand: anomalies become incidents, what is old goes, views
//! are refreshed, drift is measured, and detectors whose time has come are trained again. Each step is a transaction of
//! its own where that is possible, and a short one but for the last two, which read users' relations.
use std::collections::HashMap;

use logintel_core::config::{Preset, Window};
use logintel_core::incident::{self, Anchor, Event, Grouping};
use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::call::Raw;
use crate::detector::{Detector, drift, rates, retrain};
use crate::error::warn;
use crate::security::RunAs;
use crate::server_log;
use crate::spi::{ActiveSnapshot, Connection, arg, text_arg};
use crate::subtransaction::attempt;
use crate::text::Text;
use crate::time::{micros, timestamp};

/// New anomalies that one step takes in.
const BATCH: i64 = 20_000;
/// First number of our advisory locks.
const LOCK_CLASS: i32 = 0x6c69_6e74;
/// The same for the views.
const VIEWS_LOCK_CLASS: i32 = LOCK_CLASS + 1;
/// The same for trainings by schedule.
const TRAINING_LOCK_CLASS: i32 = LOCK_CLASS + 2;

/// Says that the materialized views no longer show what is there. A row of its own for each call: who changed one
/// shared row would wait for the transactions of others, and they perhaps for his.
pub fn mark_views_stale(spi: &Connection) {
    // Beyond a thousand there is nobody who refreshes.
    spi.write(
        "INSERT INTO logintel.view_changes SELECT \
         WHERE (SELECT count(*) FROM (SELECT FROM logintel.view_changes LIMIT 1000) AS few) < 1000",
        &[],
    );
}

/// Lets one transaction at a time refresh the views.
fn lock_views() {
    Connection::open().read("SELECT pg_catalog.pg_advisory_xact_lock($1, 0)", &[arg(VIEWS_LOCK_CLASS)]);
}

/// Lets one transaction at a time change a detector's incidents, and replace or remove its anomalies.
pub fn lock_detector(detector: &str) {
    let _owner = RunAs::extension_owner();
    Connection::open().read(
        "SELECT pg_catalog.pg_advisory_xact_lock($1, pg_catalog.hashtext($2))",
        &[arg(LOCK_CLASS), text_arg(detector)],
    );
}

/// Whether this transaction is the one that may train a detector by schedule. Nobody waits for it.
pub fn try_lock_training(detector: &str) -> bool {
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let rows = spi.read(
        "SELECT pg_catalog.pg_try_advisory_xact_lock($1, pg_catalog.hashtext($2))",
        &[arg(TRAINING_LOCK_CLASS), text_arg(detector)],
    );
    rows.must(0, 1)
}

/// One tick. Outside a transaction block each step commits.
///
/// # Safety
/// Called by PostgreSQL.
#[pg_extern(requires = ["detector"], sql = "
CREATE PROCEDURE run_maintenance() LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';")]
unsafe fn run_maintenance(fcinfo: pg_sys::FunctionCallInfo) -> Raw {
    // SAFETY: CALL gives a CallContext, which says whether a transaction block is around it.
    let is_atomic = unsafe {
        let context = (*fcinfo).context.cast::<pg_sys::CallContext>();
        context.is_null() || (*context).type_ != pg_sys::NodeTag::T_CallContext || (*context).atomic
    };
    group_all(is_atomic);
    for detector in step("listing the detectors", all_names).unwrap_or_default() {
        step(&format!("removing what is old of detector \"{detector}\""), || retire(&detector));
        commit(is_atomic);
    }
    step("removing old failures", retire_failures);
    commit(is_atomic);
    while step("removing old lines of the server log", server_log::retire).unwrap_or(false) {
        commit(is_atomic);
    }
    commit(is_atomic);
    step("refreshing the views", refresh);
    commit(is_atomic);
    drift::tick(is_atomic);
    let mut is_trained = false;
    for detector in step("listing the detectors", retrain::names).unwrap_or_default() {
        if retrain::tick(&detector, is_atomic) {
            is_trained = true;
            // Incidents wait for one training, not for all of them.
            group_all(is_atomic);
        }
    }
    if is_trained {
        step("refreshing the views", refresh);
        commit(is_atomic);
    }
    Raw(None)
}

/// Looks at the rates of what has come, and groups the new anomalies of all detectors into incidents.
fn group_all(is_atomic: bool) {
    for detector in step("listing the detectors", names).unwrap_or_default() {
        rates::tick(&detector);
        commit(is_atomic);
        while step(&format!("detector \"{detector}\""), || group(&detector)).unwrap_or(false) {
            commit(is_atomic);
        }
        commit(is_atomic);
    }
}

/// Runs work under a snapshot of its own: after a commit none is active, and what only reads looks through the active one.
pub fn with_snapshot<T>(work: impl FnOnce() -> T) -> T {
    let snapshot = ActiveSnapshot::push();
    let value = work();
    drop(snapshot);
    value
}

/// Runs a step; one that fails warns and does not stop the others.
pub fn step<T>(what: &str, work: impl FnOnce() -> T) -> Option<T> {
    match attempt(|| with_snapshot(work)) {
        Ok(value) => Some(value),
        Err(failure) => {
            warn(
                format!("logintel maintenance, {what}: {} (SQLSTATE {})", failure.message, failure.sqlstate),
                "The other steps go on; this one is tried again at the next tick.",
            );
            None
        }
    }
}

/// Ends the transaction, where that is possible.
pub fn commit(is_atomic: bool) {
    if !is_atomic {
        // SAFETY: a non-atomic connection is opened for the commit and closed after it.
        unsafe {
            pg_sys::SPI_connect_ext(pg_sys::SPI_OPT_NONATOMIC as i32);
            pg_sys::SPI_commit();
            pg_sys::SPI_finish();
        }
    }
}

/// Detectors with something to do.
fn names() -> Vec<String> {
    list("SELECT name FROM logintel.detectors WHERE enabled ORDER BY detector_id")
}

fn all_names() -> Vec<String> {
    list("SELECT name FROM logintel.detectors ORDER BY detector_id")
}

/// Names that a query gives.
pub fn list(sql: &str) -> Vec<String> {
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let rows = spi.read(sql, &[]);
    (0..rows.len()).filter_map(|row| rows.text(row, 1)).collect()
}

/// Groups a batch of a detector's new anomalies into incidents; whether there may be more.
fn group(name: &str) -> bool {
    lock_detector(name);
    let Some(detector) = Detector::find(name) else { return false };
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let fresh = spi.write(
        "WITH batch AS (SELECT anomaly_id FROM logintel.anomalies WHERE detector = $1 AND NOT is_grouped \
                        ORDER BY anomaly_id LIMIT $2) \
         UPDATE logintel.anomalies AS a SET is_grouped = true FROM batch WHERE a.anomaly_id = batch.anomaly_id \
         RETURNING CASE WHEN isfinite(a.ts) THEN a.ts END",
        &[text_arg(name), arg(BATCH)],
    );
    let times: Vec<i64> =
        (0..fresh.len()).filter_map(|row| fresh.get::<TimestampWithTimeZone>(row, 1)).map(micros).collect();
    let grouping = regroup(&spi, &detector, &times);
    let touched = apply(&spi, &detector, &grouping);
    recount(&spi, &detector, touched);
    fresh.len() == BATCH as u64
}

/// How far from an event that can be which it is grouped with. A chain of older single events is shorter than
/// `min_events`, or it would be an incident; one more gap leads from its end to an incident.
fn margin(window: Window, min_events: u32) -> i64 {
    /// Longer chains of single events are not followed to their ends.
    const MAX_CHAIN: i64 = 1000;
    match window {
        Window::Session(gap) => gap.saturating_mul(i64::from(min_events).clamp(2, MAX_CHAIN)),
        Window::Tumbling(length) => length,
    }
}

/// Groups new events with the older ones without incident around them.
fn regroup(spi: &Connection, detector: &Detector, times: &[i64]) -> Grouping {
    let options = &detector.options;
    let (mut events, mut anchors) = (HashMap::new(), Vec::new());
    for (from, to) in stretches(times, margin(options.window, options.min_events)) {
        load_events(spi, &detector.name, from, to, &mut events);
        load_anchors(spi, detector, from, to, &mut anchors);
    }
    let events: Vec<Event> = events.into_values().collect();
    incident::group(&events, &anchors, options.window, options.min_events)
}

/// The stretches of time that hold all new events and, around each of them, all that it can be grouped with.
fn stretches(times: &[i64], margin: i64) -> Vec<(i64, i64)> {
    let mut times = times.to_vec();
    times.sort_unstable();
    let mut stretches: Vec<(i64, i64)> = Vec::new();
    for time in times {
        let (from, to) = (time.saturating_sub(margin), time.saturating_add(margin));
        match stretches.last_mut() {
            Some(last) if from <= last.1 => last.1 = to,
            _ => stretches.push((from, to)),
        }
    }
    stretches
}

fn load_events(spi: &Connection, detector: &str, from: i64, to: i64, events: &mut HashMap<i64, Event>) {
    let bounds = [text_arg(detector), arg(timestamp(from)), arg(timestamp(to))];
    let rows = spi.write(
        "SELECT anomaly_id, ts, component, weight FROM logintel.anomalies \
         WHERE detector = $1 AND ts BETWEEN $2 AND $3 AND isfinite(ts) AND incident_id IS NULL AND is_grouped",
        &bounds,
    );
    for row in 0..rows.len() {
        let id = rows.must(row, 1);
        let (ts, weight): (_, i32) = (micros(rows.must(row, 2)), rows.must(row, 4));
        let component = rows.text(row, 3);
        events.insert(id, Event { id, ts, component, weight: weight.unsigned_abs() });
    }
}

/// Of what an incident holds at moments that are near, the first and the last tell as much as all. One whose anomalies were
/// replaced is wherever it was.
fn load_anchors(spi: &Connection, detector: &Detector, from: i64, to: i64, anchors: &mut Vec<Anchor>) {
    let (Window::Session(length) | Window::Tumbling(length)) = detector.options.window;
    let rows = spi.write(
        "SELECT incident_id, component, min(ts), max(ts) FROM make_interval(secs => $4) AS step CROSS JOIN LATERAL ( \
             SELECT incident_id, component, ts FROM logintel.anomalies \
             WHERE detector = $1 AND ts BETWEEN $2 AND $3 AND isfinite(ts) AND incident_id IS NOT NULL AND weight > 0 \
             UNION ALL \
             SELECT incident_id, component, least(ts, end_time) FROM logintel.incidents \
             CROSS JOIN LATERAL unnest(CASE WHEN components = '{}' THEN ARRAY[NULL] ELSE components END) AS component \
             CROSS JOIN LATERAL generate_series(greatest(start_time, $2), least(end_time, $3) + step, step) AS ts \
             WHERE detector = $1 AND is_stale AND end_time >= $2 AND start_time <= $3) AS a \
         GROUP BY incident_id, component, date_bin(step, ts, 'epoch')",
        &[
            text_arg(&detector.name),
            arg(timestamp(from)),
            arg(timestamp(to)),
            arg(incident::near(length).max(1) as f64 / 1e6),
        ],
    );
    for row in 0..rows.len() {
        let (incident, component) = (rows.must(row, 1), rows.text(row, 2));
        for ts in [rows.must(row, 3), rows.must(row, 4)] {
            anchors.push(Anchor { incident, ts: micros(ts), component: component.clone() });
        }
    }
}

/// Stores who belongs to which incident; returns the incidents touched.
fn apply(spi: &Connection, detector: &Detector, grouping: &Grouping) -> Vec<i64> {
    let (mut events, mut incidents): (Vec<i64>, Vec<i64>) = grouping.joins.iter().copied().unzip();
    for group in &grouping.founds {
        // Everything but the key is counted by `recount`.
        let rows = spi.write(
            "INSERT INTO logintel.incidents (detector, fingerprint, title, severity, severity_score, start_time, end_time, \
                 event_count, sources, components, levels, messages) \
             SELECT $1, '', '', 'LOW', 0, min(ts), max(ts), count(*), '{}', '{}', '{}', '{}' \
             FROM logintel.anomalies WHERE anomaly_id = ANY ($2) RETURNING incident_id",
            &[text_arg(&detector.name), arg(group.clone())],
        );
        let incident: i64 = rows.must(0, 1);
        events.extend(group);
        incidents.extend(std::iter::repeat_n(incident, group.len()));
    }
    let mut touched = incidents.clone();
    spi.write(
        "UPDATE logintel.anomalies AS a SET incident_id = g.incident_id \
         FROM unnest($1, $2) AS g (anomaly_id, incident_id) WHERE a.anomaly_id = g.anomaly_id",
        &[arg(events), arg(incidents)],
    );
    touched.sort_unstable();
    touched.dedup();
    touched
}

/// Counts touched and stale incidents from their anomalies. One that has too few left goes, and its anomalies wait
/// for others again.
fn recount(spi: &Connection, detector: &Detector, touched: Vec<i64>) {
    let rows = spi.write(
        "WITH gone AS ( \
             DELETE FROM logintel.incidents AS i WHERE i.detector = $1 AND i.is_stale \
                AND (SELECT coalesce(sum(weight), 0) FROM logintel.anomalies AS a WHERE a.incident_id = i.incident_id) < $2 \
             RETURNING 1), \
         stale AS ( \
             UPDATE logintel.incidents AS i SET is_stale = false WHERE i.detector = $1 AND i.is_stale \
                AND (SELECT coalesce(sum(weight), 0) FROM logintel.anomalies AS a WHERE a.incident_id = i.incident_id) >= $2 \
             RETURNING incident_id) \
         SELECT incident_id, (SELECT count(*) FROM gone) FROM stale \
         UNION ALL SELECT NULL, count(*) FROM gone",
        &[text_arg(&detector.name), arg(i64::from(detector.options.min_events))],
    );
    let gone: i64 = rows.get(0, 2).unwrap_or(0);
    let mut touched = touched;
    touched.extend((0..rows.len()).filter_map(|row| rows.get::<i64>(row, 1)));
    touched.sort_unstable();
    touched.dedup();
    for &incident in &touched {
        pgrx::check_for_interrupts!();
        recount_one(spi, detector, incident);
    }
    if gone > 0 || !touched.is_empty() {
        mark_views_stale(spi);
    }
}

fn recount_one(spi: &Connection, detector: &Detector, incident: i64) {
    // One row for each element of each list: texts are converted from the server's encoding one by one.
    let rows = spi.write(
        "WITH i AS ( \
             SELECT count(*) AS events, \
                    (SELECT m.template FROM logintel.anomalies AS m WHERE m.incident_id = $1 GROUP BY m.template \
                     ORDER BY count(*) DESC, min(m.ts), min(m.anomaly_id) LIMIT 1) AS template, \
                    array_agg(DISTINCT source ORDER BY source) FILTER (WHERE source IS NOT NULL) AS sources, \
                    array_agg(DISTINCT component ORDER BY component) FILTER (WHERE component IS NOT NULL) AS components, \
                    array_agg(DISTINCT level ORDER BY level) FILTER (WHERE level IS NOT NULL) AS levels, \
                    ARRAY(SELECT coalesce(m.message, '') FROM logintel.anomalies AS m WHERE m.incident_id = $1 \
                          ORDER BY m.weight = 0, m.ts, m.anomaly_id LIMIT 5) AS messages \
             FROM logintel.anomalies WHERE incident_id = $1) \
         SELECT i.events, i.template, l.list, l.element \
         FROM i LEFT JOIN LATERAL ( \
             SELECT 0, u.* FROM unnest(i.sources) WITH ORDINALITY AS u \
             UNION ALL SELECT 1, u.* FROM unnest(i.components) WITH ORDINALITY AS u \
             UNION ALL SELECT 2, u.* FROM unnest(i.levels) WITH ORDINALITY AS u \
             UNION ALL SELECT 3, u.* FROM unnest(i.messages) WITH ORDINALITY AS u \
         ) AS l (list, element, at) ON true ORDER BY l.list, l.at",
        &[arg(incident)],
    );
    let events: i64 = rows.must(0, 1);
    let template = rows.text(0, 2).unwrap_or_default();
    let list = |number: i32| -> Vec<String> {
        let elements = (0..rows.len()).filter(|&row| rows.get(row, 3) == Some(number));
        elements.filter_map(|row| rows.text(row, 4)).collect()
    };
    let (sources, components, levels, messages) = (list(0), list(1), list(2), list(3));
    let preset = detector.options.preset;
    let (score, severity) = incident::severity(preset, events, &levels);
    let suppressed = match preset {
        Preset::Seed => incident::seed_suppression(severity, events, &levels, &components, &messages),
        Preset::Default => None,
    };
    spi.write(
        "UPDATE logintel.incidents SET (start_time, end_time, event_count) = \
                (SELECT coalesce(min(ts) FILTER (WHERE weight > 0), min(ts)), \
                        coalesce(max(ts) FILTER (WHERE weight > 0), max(ts)), count(*) \
                 FROM logintel.anomalies WHERE incident_id = $1), \
             sources = $2, components = $3, levels = $4, messages = $5, severity = $6, severity_score = $7, \
             is_suppressed = $8 IS NOT NULL, suppressed_by = $8, title = $9, \
             fingerprint = md5(detector || chr(31) || array_to_string($3, chr(30)) || chr(31) || $10), updated_at = now() \
         WHERE incident_id = $1",
        &[
            arg(incident),
            arg(texts(&sources)),
            arg(texts(&components)),
            arg(texts(&levels)),
            arg(texts(&messages)),
            arg(severity.as_str()),
            arg(score),
            arg(suppressed),
            text_arg(&incident::title(events, &components, &template)),
            text_arg(&template),
        ],
    );
}

/// As values of the server.
fn texts(list: &[String]) -> Vec<Text> {
    list.iter().cloned().map(Text).collect()
}

/// Removes what is older than a detector keeps.
fn retire(name: &str) {
    lock_detector(name);
    let Some(detector) = Detector::find(name) else { return };
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let seconds = detector.options.retention as f64 / 1e6;
    let args = [text_arg(name), arg(seconds)];
    let limit = "now() - make_interval(secs => $2)";
    let anomalies = format!(
        "DELETE FROM logintel.anomalies WHERE anomaly_id IN (SELECT anomaly_id FROM logintel.anomalies \
         WHERE detector = $1 AND recorded_at < {limit} LIMIT 50000)"
    );
    let incidents = format!("DELETE FROM logintel.incidents WHERE detector = $1 AND updated_at < {limit}");
    let gone = spi.write(&anomalies, &args).len() + spi.write(&incidents, &args).len();
    spi.write(&format!("DELETE FROM logintel.drift WHERE detector = $1 AND recorded_at < {limit}"), &args);
    if name == "logs" {
        spi.write(
            "DELETE FROM logintel.logs WHERE recorded_at < now() - make_interval(secs => $1)",
            &[arg(seconds)],
        );
    }
    if gone > 0 {
        mark_views_stale(&spi);
    }
}

/// Removes failures after a week.
fn retire_failures() {
    let _owner = RunAs::extension_owner();
    Connection::open().write(
        "DELETE FROM logintel.scoring_failures WHERE failure_id IN (SELECT failure_id FROM logintel.scoring_failures \
         WHERE recorded_at < now() - interval '7 days' FOR UPDATE SKIP LOCKED)",
        &[],
    );
}

/// Refreshes the materialized views if something changed since, or an hour has passed.
fn refresh() {
    let _owner = RunAs::extension_owner_unrestricted();
    let spi = Connection::open();
    lock_views();
    let changes = spi.write("DELETE FROM logintel.view_changes", &[]).len();
    let stale = spi.write(
        "UPDATE logintel.maintenance SET views_refreshed_at = clock_timestamp() \
         WHERE $1 OR views_refreshed_at IS NULL OR views_refreshed_at < now() - interval '1 hour' RETURNING 1",
        &[arg(changes > 0)],
    );
    if stale.len() > 0 {
        for view in ["incident_summary", "incident_timeline", "cluster_summary", "component_health"] {
            let populated = spi.read(
                "SELECT FROM pg_matviews WHERE schemaname = 'logintel' AND matviewname = $1 AND ispopulated",
                &[arg(view)],
            );
            let concurrently = if populated.len() > 0 { "CONCURRENTLY " } else { "" };
            spi.write(&format!("REFRESH MATERIALIZED VIEW {concurrently}logintel.{view}"), &[]);
        }
    }
}
