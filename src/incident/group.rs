//! Which anomalies are one incident: the engine decides; here is read what it needs, and written what it said.
use std::collections::{BTreeSet, HashMap, VecDeque};

use logintel_core::config::{Micros, Window};
use logintel_core::incident::{self, Anchor, Event, Grouping};
use logintel_core::recurrence::{self, Fate, Stored};
use pgrx::prelude::*;

use super::count::{Counting, parameters};
use super::describe::{Anomalies, COLUMNS, Description};
use super::growth::{add_to_large, to_count};
use super::life::{self, TIMES_BACK};
use crate::detector::Detector;
use crate::lock::lock_detector;
use crate::security::ByIndex;
use crate::spi::{Connection, Rows, arg, text_arg};
use crate::step::Done;
use crate::text::Text;
use crate::time::{micros, now_micros, timestamp};
use crate::views::mark_views_stale;

/// New anomalies that one step takes in.
const BATCH: i64 = 20_000;
/// Incidents that are founded together: so many descriptions are in memory at once.
const TOGETHER: usize = 1000;

/// Groups a batch of a detector's new anomalies into incidents.
pub fn group(name: &str) -> Done {
    lock_detector(name);
    let Some(detector) = Detector::find(name) else { return Done::default() };
    let _author = life::author(life::MAINTENANCE, "");
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
    let more = fresh.len() == BATCH as u64;
    let mut touched = join(&spi, &grouping.joins);
    let joined: Vec<i64> = grouping.joins.iter().map(|&(event, _)| event).collect();
    let counted = add_to_large(&spi, name, &joined, more);
    touched.retain(|incident| !counted.contains(incident));
    let mut is_changed = !counted.is_empty();
    if !more {
        touched.extend(to_count(&spi, name));
        // What was replaced has all come by now.
        let (gone, stale) = settle_stale(&spi, &detector);
        is_changed |= !gone.is_empty();
        touched.extend(stale);
        touched.sort_unstable();
        touched.dedup();
        touched.retain(|incident| !gone.contains(incident));
    }
    if !touched.is_empty() || !grouping.founds.is_empty() {
        let counting = Counting::of(&spi, &detector);
        // Before others of their kind are founded.
        for &incident in &touched {
            counting.recount(incident);
        }
        let mut joined = BTreeSet::new();
        for groups in grouping.founds.chunks(TOGETHER) {
            joined.extend(counting.settle(groups));
        }
        for incident in joined {
            counting.recount(incident);
        }
        is_changed = true;
    }
    if !batch.is_empty() {
        spi.write(
            "UPDATE logintel.anomalies SET is_grouped = true WHERE anomaly_id = ANY ($1) AND NOT is_grouped",
            &[arg(batch)],
        );
    }
    if is_changed {
        mark_views_stale(&spi);
    }
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
    // A burst is wherever it lasts.
    let bursts = spi.repeat(
        "SELECT incident_id, component, least(at, burst_end), least(at, burst_end) \
         FROM make_interval(secs => $4) AS step CROSS JOIN logintel.anomalies \
         CROSS JOIN LATERAL generate_series(greatest(ts, $2), least(burst_end, $3) + step, step) AS at \
         WHERE detector = $1 AND burst_end >= $2 AND ts <= $3 AND burst_end > ts AND isfinite(ts) AND incident_id IS NOT NULL",
        &bounds,
    );
    add_anchors(&bursts, anchors);
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

/// Stores what joins which incident; returns those.
fn join(spi: &Connection, joins: &[(i64, i64)]) -> Vec<i64> {
    let (events, mut incidents): (Vec<i64>, Vec<i64>) = joins.iter().copied().unzip();
    if !events.is_empty() {
        spi.write(
            "UPDATE logintel.anomalies AS a SET incident_id = g.incident_id, is_grouped = true \
             FROM unnest($1, $2) AS g (anomaly_id, incident_id) WHERE a.anomaly_id = g.anomaly_id",
            &[arg(events), arg(incidents.clone())],
        );
    }
    incidents.sort_unstable();
    incidents.dedup();
    incidents
}

/// Incidents whose anomalies were replaced: removes those that have too few left, whose anomalies wait for others again, and
/// returns them, and those that have to be counted anew.
fn settle_stale(spi: &Connection, detector: &Detector) -> (Vec<i64>, Vec<i64>) {
    let rows = spi.write(
        "SELECT incident_id FROM logintel.incidents AS i WHERE i.detector = $1 AND i.is_stale AND ( \
             SELECT coalesce(sum(weight), 0) FROM logintel.anomalies AS a WHERE a.incident_id = i.incident_id) < $2",
        &[text_arg(&detector.name), arg(i64::from(detector.options.min_events))],
    );
    let gone: Vec<i64> = (0..rows.len()).map(|row| rows.must(row, 1)).collect();
    if !gone.is_empty() {
        life::end(spi, &gone, "its lines are no longer flagged");
    }
    let left = spi.write(
        "UPDATE logintel.incidents SET is_stale = false WHERE detector = $1 AND is_stale RETURNING incident_id",
        &[text_arg(&detector.name)],
    );
    let left = (0..left.len()).map(|row| left.must(row, 1)).collect();
    (gone, left)
}

impl Counting<'_> {
    /// Makes incidents of groups of new anomalies, in the order of time, or adds them to those of their kind that are near:
    /// returns these, which have to be counted.
    fn settle(&self, groups: &[Vec<i64>]) -> Vec<i64> {
        let mut kinds: HashMap<String, Kind> = HashMap::new();
        let mut described = Vec::with_capacity(groups.len());
        for group in groups {
            pgrx::check_for_interrupts!();
            let description = self.describe(Anomalies::These(group));
            let fingerprint = fingerprint(self.spi, self.detector, &description);
            let kind = kinds.entry(fingerprint.clone()).or_insert_with(|| Kind {
                stored: of_kind(self.spi, self.detector, &fingerprint, description.start),
                to_come: VecDeque::new(),
            });
            kind.to_come.push_back(micros(description.start));
            described.push((description, fingerprint));
        }
        let mut joined = Vec::new();
        for (group, (description, fingerprint)) in groups.iter().zip(described) {
            pgrx::check_for_interrupts!();
            let kind = kinds.get_mut(&fingerprint).expect("each has a kind");
            kind.to_come.pop_front();
            joined.extend(self.settle_one(group, &description, &fingerprint, kind));
        }
        joined
    }

    /// The same of one group; the incident that it has joined.
    fn settle_one(
        &self,
        group: &[i64],
        description: &Description,
        fingerprint: &str,
        kind: &mut Kind,
    ) -> Option<i64> {
        let (spi, detector) = (self.spi, self.detector);
        let (start, end) = (micros(description.start), micros(description.end));
        let members = |incident: i64| {
            spi.repeat(
                "UPDATE logintel.anomalies SET incident_id = $1, is_grouped = true WHERE anomaly_id = ANY ($2)",
                &[arg(incident), arg(group.to_vec())],
            );
        };
        let quiet = recurrence::quiet(detector.options.resolve_after, 0);
        let over_before = now_micros().saturating_sub(quiet);
        let (resolves, is_over) = match recurrence::fate(start, end, over_before, &kind.stored) {
            Fate::Joins(incident) => {
                members(incident);
                kind.widen(incident, start, end);
                return Some(incident);
            }
            Fate::Founds { resolves, is_over } => (resolves, is_over),
        };
        // The next of its kind is known, and would resolve it: nobody has to be told of it.
        let is_over = is_over
            || end < over_before
                && kind.next().is_some_and(|next| {
                    next.saturating_sub(end) > quiet.saturating_add(recurrence::COMES_BACK)
                });
        if let Some(quiet) = resolves.filter(|_| !is_over) {
            life::resolve(spi, &[quiet], "quiet until another incident of its kind began");
            kind.resolve(quiet);
        }
        let mut args = vec![
            text_arg(&detector.name),
            text_arg(fingerprint),
            arg(if is_over { "resolved" } else { "open" }),
        ];
        args.extend(self.values(description, Anomalies::These(group)));
        let rows = spi.repeat(
            &format!(
                "INSERT INTO logintel.incidents (detector, fingerprint, status, {}) VALUES ($1, $2, $3, {}) RETURNING incident_id",
                COLUMNS.join(", "),
                parameters(4)
            ),
            &args,
        );
        let incident = rows.must(0, 1);
        members(incident);
        kind.stored.push(Stored { incident, start, end, quiet, is_resolved: is_over });
        None
    }
}

/// The incidents of one kind while groups of it are settled.
struct Kind {
    stored: Vec<Stored>,
    /// When those begin that are still to be settled.
    to_come: VecDeque<Micros>,
}

impl Kind {
    fn next(&self) -> Option<Micros> {
        self.to_come.front().copied()
    }

    fn find(&mut self, incident: i64) -> Option<&mut Stored> {
        self.stored.iter_mut().find(|one| one.incident == incident)
    }

    fn widen(&mut self, incident: i64, start: Micros, end: Micros) {
        if let Some(one) = self.find(incident) {
            (one.start, one.end) = (one.start.min(start), one.end.max(end));
        }
    }

    fn resolve(&mut self, incident: i64) {
        if let Some(one) = self.find(incident) {
            one.is_resolved = true;
        }
    }
}

/// What an incident is about, by what founded it: it stays so while it grows. Windows that tumble stay apart.
fn fingerprint(spi: &Connection, detector: &Detector, description: &Description) -> String {
    let window = match detector.options.window {
        Window::Session(_) => None,
        Window::Tumbling(length) => Some(micros(description.start).div_euclid(length).saturating_mul(length)),
    };
    let rows = spi.repeat(
        "SELECT md5(concat_ws(chr(31), detector_id, coalesce($2, chr(30)), $3, $4)) FROM logintel.detectors WHERE name = $1",
        &[
            text_arg(&detector.name),
            arg(description.origin.clone().map(Text)),
            text_arg(&description.first_template),
            arg(window),
        ],
    );
    rows.must(0, 1)
}

/// Stored incidents of a kind: the one that is not resolved, and those that end latest before `start` at the longest quiet
/// that is waited for, or later, the first so many.
fn of_kind(
    spi: &Connection,
    detector: &Detector,
    fingerprint: &str,
    start: TimestampWithTimeZone,
) -> Vec<Stored> {
    const MANY: i64 = 100;
    let resolve_after = detector.options.resolve_after;
    let reach = recurrence::quiet(resolve_after, u32::MAX).saturating_add(recurrence::COMES_BACK);
    let rows = spi.repeat(
        &format!(
            "SELECT i.incident_id, i.start_time, i.end_time, i.status = 'resolved', {TIMES_BACK} FROM ( \
                 SELECT * FROM logintel.incidents WHERE detector = $1 AND fingerprint = $2 AND status <> 'resolved' \
                 UNION ALL \
                 (SELECT * FROM logintel.incidents WHERE detector = $1 AND fingerprint = $2 AND status = 'resolved' \
                      AND end_time >= $3 ORDER BY end_time LIMIT $4)) AS i"
        ),
        &[
            text_arg(&detector.name),
            text_arg(fingerprint),
            arg(timestamp(micros(start).saturating_sub(reach))),
            arg(MANY),
        ],
    );
    (0..rows.len())
        .map(|row| Stored {
            incident: rows.must(row, 1),
            start: micros(rows.must(row, 2)),
            end: micros(rows.must(row, 3)),
            quiet: recurrence::quiet(
                resolve_after,
                u32::try_from(rows.must::<i64>(row, 5)).unwrap_or(u32::MAX),
            ),
            is_resolved: rows.must(row, 4),
        })
        .collect()
}
