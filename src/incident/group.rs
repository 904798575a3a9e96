//! Which anomalies are one incident: the engine decides; here is read what it needs, and written what it said.
use std::collections::HashMap;

use logintel_core::config::Window;
use logintel_core::incident::{self, Anchor, Event, Grouping};
use pgrx::prelude::*;

use super::describe::recount;
use super::growth::{add_to_large, to_count};
use crate::detector::Detector;
use crate::lock::lock_detector;
use crate::security::{ByIndex, RunAs};
use crate::spi::{Connection, Rows, arg, text_arg};
use crate::step::Done;
use crate::time::{micros, timestamp};
use crate::views::mark_views_stale;

/// New anomalies that one step takes in.
const BATCH: i64 = 20_000;

/// Groups a batch of a detector's new anomalies into incidents.
pub fn group(name: &str) -> Done {
    lock_detector(name);
    let Some(detector) = Detector::find(name) else { return Done::default() };
    let _owner = RunAs::extension_owner();
    let _plans = ByIndex::set();
    let spi = Connection::open();
    // Each row is written once: when it is known where it belongs.
    let fresh = spi.write(
        "SELECT anomaly_id, CASE WHEN isfinite(ts) THEN ts END FROM logintel.anomalies \
         WHERE detector = $1 AND NOT is_grouped ORDER BY anomaly_id LIMIT $2",
        &[text_arg(name), arg(BATCH)],
    );
    let batch: Vec<i64> = (0..fresh.len()).map(|row| fresh.must(row, 1)).collect();
    let times: Vec<i64> =
        (0..fresh.len()).filter_map(|row| fresh.get::<TimestampWithTimeZone>(row, 2)).map(micros).collect();
    let grouping = regroup(&spi, &detector, &batch, &times);
    let mut touched = apply(&spi, &detector, &grouping);
    if !batch.is_empty() {
        spi.write(
            "UPDATE logintel.anomalies SET is_grouped = true WHERE anomaly_id = ANY ($1) AND NOT is_grouped",
            &[arg(batch)],
        );
    }
    let joined: Vec<i64> = grouping.joins.iter().map(|&(event, _)| event).collect();
    let more = fresh.len() == BATCH as u64;
    let counted = add_to_large(&spi, name, &joined, more);
    touched.retain(|incident| !counted.contains(incident));
    if !more {
        touched.extend(to_count(&spi, name));
    }
    if !counted.is_empty() {
        mark_views_stale(&spi);
    }
    recount(&spi, &detector, touched);
    Done { more, ..Done::rows(fresh.len()) }
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
fn regroup(spi: &Connection, detector: &Detector, batch: &[i64], times: &[i64]) -> Grouping {
    let options = &detector.options;
    let (mut events, mut anchors) = (HashMap::new(), Vec::new());
    let has_stale = has_stale(spi, &detector.name);
    for (from, to) in stretches(times, margin(options.window, options.min_events)) {
        pgrx::check_for_interrupts!();
        load_events(spi, &detector.name, batch, (from, to), &mut events);
        load_anchors(spi, detector, has_stale, (from, to), &mut anchors);
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

fn load_events(
    spi: &Connection,
    detector: &str,
    batch: &[i64],
    (from, to): (i64, i64),
    events: &mut HashMap<i64, Event>,
) {
    let last = batch.last().copied().unwrap_or(i64::MIN);
    let rows = spi.repeat(
        "SELECT anomaly_id, ts, component, weight, is_grouped FROM logintel.anomalies \
         WHERE detector = $1 AND ts BETWEEN $2 AND $3 AND isfinite(ts) AND incident_id IS NULL \
           AND (is_grouped OR anomaly_id <= $4)",
        &[text_arg(detector), arg(timestamp(from)), arg(timestamp(to)), arg(last)],
    );
    for row in 0..rows.len() {
        let id: i64 = rows.must(row, 1);
        // What has been committed since is for another batch.
        if !rows.must::<bool>(row, 5) && batch.binary_search(&id).is_err() {
            continue;
        }
        let (ts, weight): (_, i32) = (micros(rows.must(row, 2)), rows.must(row, 4));
        let component = rows.text(row, 3);
        events.insert(id, Event { id, ts, component, weight: weight.unsigned_abs() });
    }
}

/// Whether the anomalies of some incidents were replaced.
fn has_stale(spi: &Connection, detector: &str) -> bool {
    let rows = spi.write(
        "SELECT FROM logintel.incidents WHERE detector = $1 AND is_stale LIMIT 1",
        &[text_arg(detector)],
    );
    rows.len() > 0
}

/// Of what an incident holds at moments that are near, the first and the last tell as much as all. One whose anomalies were
/// replaced is wherever it was.
fn load_anchors(
    spi: &Connection,
    detector: &Detector,
    has_stale: bool,
    (from, to): (i64, i64),
    anchors: &mut Vec<Anchor>,
) {
    let (Window::Session(length) | Window::Tumbling(length)) = detector.options.window;
    let bounds = [
        text_arg(&detector.name),
        arg(timestamp(from)),
        arg(timestamp(to)),
        arg(incident::near(length).max(1) as f64 / 1e6),
    ];
    add_anchors(
        &spi.repeat(
            "SELECT incident_id, component, min(ts), max(ts) FROM logintel.anomalies \
             WHERE detector = $1 AND ts BETWEEN $2 AND $3 AND isfinite(ts) AND incident_id IS NOT NULL AND weight > 0 \
             GROUP BY incident_id, component, date_bin(make_interval(secs => $4), ts, 'epoch')",
            &bounds,
        ),
        anchors,
    );
    if has_stale {
        let stale = spi.repeat(
            "SELECT incident_id, component, least(ts, end_time), least(ts, end_time) \
             FROM make_interval(secs => $4) AS step CROSS JOIN logintel.incidents \
             CROSS JOIN LATERAL unnest(CASE WHEN components = '{}' THEN ARRAY[NULL] ELSE components END) AS component \
             CROSS JOIN LATERAL generate_series(greatest(start_time, $2), least(end_time, $3) + step, step) AS ts \
             WHERE detector = $1 AND is_stale AND end_time >= $2 AND start_time <= $3",
            &bounds,
        );
        add_anchors(&stale, anchors);
    }
}

fn add_anchors(rows: &Rows<'_>, anchors: &mut Vec<Anchor>) {
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
        let rows = spi.repeat(
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
        "UPDATE logintel.anomalies AS a SET incident_id = g.incident_id, is_grouped = true \
         FROM unnest($1, $2) AS g (anomaly_id, incident_id) WHERE a.anomaly_id = g.anomaly_id",
        &[arg(events), arg(incidents)],
    );
    touched.sort_unstable();
    touched.dedup();
    touched
}
