//! Which anomalies are one incident: the engine decides; here is read what it needs, and written what it said.
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use logintel_core::config::{Micros, Window};
use logintel_core::incident::{self, Anchor, Event, Grouping};
use logintel_core::recurrence::{self, Fate, Stored};
use pgrx::prelude::*;

use super::count::{Counting, TOGETHER};
use super::describe::{Description, columns};
use super::gather::Groups;
use super::growth::{add_to_large, to_count};
use super::life::{self, TIMES_BACK};
use crate::detector::Detector;
use crate::lock::lock_detector;
use crate::security::ByIndex;
use crate::spi::{Arg, Connection, Rows, arg, text_arg};
use crate::step::Done;
use crate::text::Text;
use crate::time::{micros, now_micros, timestamp};
use crate::views::mark_views_stale;

/// New anomalies that one step takes in.
const BATCH: i64 = 20_000;
/// Stretches of time that are looked at together.
const STRETCHES: usize = 1000;
/// Numbers of incidents that are yet to be written: greater than those of all that are.
const UNWRITTEN: i64 = 1 << 62;

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
    let joined_events: Vec<i64> = grouping.joins.iter().map(|&(event, _)| event).collect();
    let counted = add_to_large(&spi, name, &joined_events, more);
    touched.retain(|incident| !counted.contains(incident));
    let mut is_changed = !counted.is_empty();
    if !more {
        touched.extend(to_count(&spi, name));
        // What was replaced has all come by now.
        let replaced = settle_stale(&spi, &detector);
        is_changed |= replaced.is_changed();
        touched.extend(replaced.founded);
        touched.sort_unstable();
        touched.dedup();
        touched.retain(|incident| !replaced.gone.contains(incident));
    }
    if !touched.is_empty() || !grouping.founds.is_empty() {
        let counting = Counting::of(&spi, &detector);
        // Before others of their kind are founded.
        counting.recount(&touched);
        let mut joined = BTreeSet::new();
        for groups in grouping.founds.chunks(TOGETHER) {
            joined.extend(counting.settle(groups));
        }
        counting.recount(&joined.into_iter().collect::<Vec<_>>());
        is_changed = true;
    }
    let single = single(batch, &joined_events, &grouping.founds);
    if !single.is_empty() {
        spi.write(
            "UPDATE logintel.anomalies SET is_grouped = true WHERE anomaly_id = ANY ($1) AND NOT is_grouped",
            &[arg(single)],
        );
    }
    if is_changed {
        mark_views_stale(&spi);
    }
    Done { more, ..Done::rows(fresh.len()) }
}

/// Those of a batch that wait: they are in no incident.
fn single(batch: Vec<i64>, joined: &[i64], founds: &[Vec<i64>]) -> Vec<i64> {
    let grouped: HashSet<i64> = joined.iter().chain(founds.iter().flatten()).copied().collect();
    batch.into_iter().filter(|event| !grouped.contains(event)).collect()
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
    // So many at once, for a cancel to be answered between them.
    for some in stretches(times, margin(options.window, options.min_events)).chunks(STRETCHES) {
        pgrx::check_for_interrupts!();
        load_events(spi, &detector.name, batch, some, &mut events);
        load_anchors(spi, detector, has_stale, some, &mut anchors);
    }
    let there = hold(spi, anchors.iter().map(|anchor| anchor.incident).collect());
    anchors.retain(|anchor| there.contains(&anchor.incident));
    let events: Vec<Event> = events.into_values().collect();
    incident::group(&events, &anchors, options.window, options.min_events)
}

/// Those of some incidents that are there, which stay to the end of the transaction: somebody may delete one by hand.
fn hold(spi: &Connection, named: BTreeSet<i64>) -> BTreeSet<i64> {
    if named.is_empty() {
        return named;
    }
    let rows = spi.repeat(
        "SELECT incident_id FROM logintel.incidents WHERE incident_id = ANY ($1) ORDER BY incident_id FOR KEY SHARE",
        &[arg(named.into_iter().collect::<Vec<_>>())],
    );
    (0..rows.len()).map(|row| rows.must(row, 1)).collect()
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

/// Both ends of stretches, as parameters. What is read of each stretch is read by itself (`OFFSET 0`): else the planner, which takes a
/// detector's anomalies for few, may compare each of them with each stretch.
fn ends(stretches: &[(i64, i64)]) -> [Arg; 2] {
    let (from, to): (Vec<_>, Vec<_>) =
        stretches.iter().map(|&(from, to)| (timestamp(from), timestamp(to))).unzip();
    [arg(from), arg(to)]
}

fn load_events(
    spi: &Connection,
    detector: &str,
    batch: &[i64],
    stretches: &[(i64, i64)],
    events: &mut HashMap<i64, Event>,
) {
    let last = batch.last().copied().unwrap_or(i64::MIN);
    let [from, to] = ends(stretches);
    let rows = spi.repeat(
        "SELECT a.anomaly_id, a.ts, a.component, a.weight, a.is_grouped \
         FROM unnest($2, $3) AS s (since, until) CROSS JOIN LATERAL ( \
             SELECT * FROM logintel.anomalies WHERE detector = $1 AND ts BETWEEN s.since AND s.until AND isfinite(ts) \
                 AND incident_id IS NULL AND (is_grouped OR anomaly_id <= $4) OFFSET 0) AS a",
        &[text_arg(detector), from, to, arg(last)],
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
    stretches: &[(i64, i64)],
    anchors: &mut Vec<Anchor>,
) {
    let (Window::Session(length) | Window::Tumbling(length)) = detector.options.window;
    let [from, to] = ends(stretches);
    let bounds = [text_arg(&detector.name), from, to, arg(incident::near(length).max(1) as f64 / 1e6)];
    add_anchors(
        &spi.repeat(
            "SELECT a.incident_id, a.component, min(a.ts), max(a.ts) \
             FROM unnest($2, $3) AS s (since, until) CROSS JOIN LATERAL ( \
                 SELECT * FROM logintel.anomalies WHERE detector = $1 AND ts BETWEEN s.since AND s.until AND isfinite(ts) \
                     AND incident_id IS NOT NULL AND weight > 0 OFFSET 0) AS a \
             GROUP BY a.incident_id, a.component, date_bin(make_interval(secs => $4), a.ts, 'epoch')",
            &bounds,
        ),
        anchors,
    );
    // A burst is wherever it lasts; of very many, those of the newest incidents are looked at.
    let bursts = spi.repeat(
        "SELECT a.incident_id, a.component, least(at, a.burst_end), least(at, a.burst_end) \
         FROM make_interval(secs => $4) AS step CROSS JOIN unnest($2, $3) AS s (since, until) CROSS JOIN LATERAL ( \
             SELECT * FROM logintel.anomalies WHERE detector = $1 AND burst_end >= s.since AND ts <= s.until AND burst_end > ts \
                 AND isfinite(ts) AND incident_id IS NOT NULL OFFSET 0) AS a \
         CROSS JOIN LATERAL generate_series(greatest(a.ts, s.since), least(a.burst_end, s.until) + step, step) AS at \
         ORDER BY a.incident_id DESC, at, a.anomaly_id LIMIT 100000",
        &bounds,
    );
    add_anchors(&bursts, anchors);
    if has_stale {
        let stale = spi.repeat(
            "SELECT i.incident_id, component, least(ts, i.end_time), least(ts, i.end_time) \
             FROM make_interval(secs => $4) AS step CROSS JOIN unnest($2, $3) AS s (since, until) CROSS JOIN logintel.incidents AS i \
             CROSS JOIN LATERAL unnest(CASE WHEN i.components = '{}' THEN ARRAY[NULL] ELSE i.components END) AS component \
             CROSS JOIN LATERAL generate_series(greatest(i.start_time, s.since), least(i.end_time, s.until) + step, step) AS ts \
             WHERE i.detector = $1 AND i.is_stale AND i.end_time >= s.since AND i.start_time <= s.until",
            &bounds,
        );
        add_anchors(&stale, anchors);
    }
}

fn add_anchors(rows: &Rows<'_>, anchors: &mut Vec<Anchor>) {
    for row in 0..rows.len() {
        let (incident, component) = (rows.must(row, 1), rows.text(row, 2));
        let (first, last) = (micros(rows.must(row, 3)), micros(rows.must(row, 4)));
        if last != first {
            anchors.push(Anchor { incident, ts: last, component: component.clone() });
        }
        anchors.push(Anchor { incident, ts: first, component });
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

/// Incidents whose anomalies were replaced.
struct Replaced {
    /// To be counted anew.
    founded: Vec<i64>,
    /// Those that have too few left: they are over and removed.
    gone: Vec<i64>,
    /// Over, too, and kept as they were, for people have done or said something of them.
    kept: Vec<i64>,
}

impl Replaced {
    fn is_changed(&self) -> bool {
        !self.gone.is_empty() || !self.kept.is_empty()
    }
}

/// Ends those incidents whose anomalies were replaced that have too few left; what is left of those that are removed waits for others
/// again.
fn settle_stale(spi: &Connection, detector: &Detector) -> Replaced {
    /// Why they are over.
    const UNFOUNDED: &str = "its lines are no longer flagged";
    let rows = spi.write(
        "SELECT incident_id, EXISTS ( \
             SELECT FROM logintel.incident_events AS e WHERE e.incident_id = i.incident_id AND e.actor <> $3) \
         FROM logintel.incidents AS i WHERE i.detector = $1 AND i.is_stale AND ( \
             SELECT coalesce(sum(weight), 0) FROM logintel.anomalies AS a WHERE a.incident_id = i.incident_id) < $2",
        &[
            text_arg(&detector.name),
            arg(i64::from(detector.options.min_events)),
            text_arg(life::MAINTENANCE),
        ],
    );
    let (mut kept, mut gone) = (Vec::new(), Vec::new());
    for row in 0..rows.len() {
        let is_touched: bool = rows.must(row, 2);
        if is_touched { &mut kept } else { &mut gone }.push(rows.must(row, 1));
    }
    if !gone.is_empty() {
        life::end(spi, &gone, UNFOUNDED);
    }
    if !kept.is_empty() {
        life::resolve(spi, &kept, UNFOUNDED);
    }
    let left = spi.write(
        "UPDATE logintel.incidents SET is_stale = false WHERE detector = $1 AND is_stale RETURNING incident_id",
        &[text_arg(&detector.name)],
    );
    let founded = (0..left.len()).map(|row| left.must(row, 1)).filter(|id| !kept.contains(id)).collect();
    Replaced { founded, gone, kept }
}

/// What is to be written of groups that were settled.
#[derive(Debug, Default)]
struct Settled<'a> {
    /// The place of each group, and its incident.
    groups: Vec<(usize, i64)>,
    founds: Vec<Founded<'a>>,
    /// Incidents that are resolved, for another of their kind has begun.
    resolves: Vec<i64>,
}

impl Settled<'_> {
    /// Stored incidents that groups join.
    fn joined(&self) -> BTreeSet<i64> {
        self.groups.iter().map(|&(_, incident)| incident).filter(|&incident| incident < UNWRITTEN).collect()
    }
}

/// An incident that is yet to be written.
#[derive(Debug)]
struct Founded<'a> {
    description: &'a Description,
    fingerprint: &'a str,
    is_over: bool,
}

impl Counting<'_> {
    /// Makes incidents of groups of new anomalies, in the order of time, or adds them to those of their kind that are near:
    /// returns these, which have to be counted.
    fn settle(&self, groups: &[Vec<i64>]) -> Vec<i64> {
        let sizes: Vec<usize> = groups.iter().map(Vec::len).collect();
        let described = self.describe(Groups::These(groups), &sizes);
        // What is gone by now is no group.
        let described: Vec<(usize, &Description)> =
            described.iter().enumerate().filter_map(|(at, one)| Some((at, one.as_ref()?))).collect();
        let fingerprints = fingerprints(self.spi, self.detector, &described);
        loop {
            pgrx::check_for_interrupts!();
            let kinds = kinds(self.spi, self.detector, &described, &fingerprints);
            let settled = decide(&described, &fingerprints, kinds, self.detector.options.resolve_after);
            let joined = settled.joined();
            // One that somebody has deleted meanwhile is of no kind any more.
            if hold(self.spi, joined.clone()) == joined {
                return self.write(groups, &settled);
            }
        }
    }

    /// Writes it; returns incidents that groups have joined.
    fn write(&self, groups: &[Vec<i64>], settled: &Settled<'_>) -> Vec<i64> {
        const WHY: &str = "quiet until another incident of its kind began";
        let (new, stored): (Vec<i64>, Vec<i64>) =
            settled.resolves.iter().partition(|&&incident| incident >= UNWRITTEN);
        if !stored.is_empty() {
            life::resolve(self.spi, &stored, WHY);
        }
        let numbers = self.found(&settled.founds, &new);
        let number = |incident: i64| match usize::try_from(incident - UNWRITTEN) {
            Ok(at) => numbers[at],
            Err(_) => incident,
        };
        if !new.is_empty() {
            let _author = life::author(life::MAINTENANCE, WHY);
            let fingerprints =
                new.iter().map(|incident| settled.founds[(incident - UNWRITTEN) as usize].fingerprint);
            self.spi.repeat(
                "UPDATE logintel.incidents AS i SET status = 'resolved', fingerprint = u.fingerprint, updated_at = now() \
                 FROM unnest($1, $2) AS u (incident, fingerprint) WHERE i.incident_id = u.incident",
                &[
                    arg(new.iter().map(|&incident| number(incident)).collect::<Vec<_>>()),
                    arg(fingerprints.map(|text| Text(text.to_owned())).collect::<Vec<_>>()),
                ],
            );
        }
        let mut members = Vec::new();
        for &(at, incident) in &settled.groups {
            members.extend(groups[at].iter().map(|&event| (event, number(incident))));
        }
        join(self.spi, &members);
        let mut founded = HashSet::new();
        let joins =
            settled.groups.iter().filter(|&&(_, incident)| incident < UNWRITTEN || !founded.insert(incident));
        joins.map(|&(_, incident)| number(incident)).collect()
    }

    /// Writes incidents; returns their numbers. Those that are `superseded` in the next moment have a fingerprint of their own until
    /// then, for one of a kind is open.
    fn found(&self, founds: &[Founded<'_>], superseded: &[i64]) -> Vec<i64> {
        if founds.is_empty() {
            return Vec::new();
        }
        let mut fingerprints: Vec<Text> = founds.iter().map(|one| Text(one.fingerprint.to_owned())).collect();
        for &incident in superseded {
            fingerprints[(incident - UNWRITTEN) as usize] = Text(incident.to_string());
        }
        let status = |one: &Founded<'_>| Text(if one.is_over { "resolved" } else { "open" }.to_owned());
        let described: Vec<&Description> = founds.iter().map(|one| one.description).collect();
        let mut args = vec![
            text_arg(&self.detector.name),
            arg(fingerprints),
            arg(founds.iter().map(status).collect::<Vec<_>>()),
        ];
        args.extend(self.values(&described));
        let (names, values, parameters) = columns(4);
        let rows = self.spi.repeat(
            &format!(
                "INSERT INTO logintel.incidents (detector, fingerprint, status, {names}) \
                 SELECT $1, u.fingerprint, u.status, {values} \
                 FROM unnest($2, $3, {parameters}) WITH ORDINALITY AS u (fingerprint, status, {names}, n) ORDER BY u.n \
                 RETURNING incident_id"
            ),
            &args,
        );
        (0..rows.len()).map(|row| rows.must(row, 1)).collect()
    }
}

/// Decides, in the order of time, which incident each group is.
fn decide<'a>(
    described: &[(usize, &'a Description)],
    fingerprints: &'a [String],
    mut kinds: HashMap<&str, Kind>,
    resolve_after: Micros,
) -> Settled<'a> {
    let quiet = recurrence::quiet(resolve_after, 0);
    let over_before = now_micros().saturating_sub(quiet);
    let mut settled = Settled::default();
    for (&(at, description), fingerprint) in described.iter().zip(fingerprints) {
        let (start, end) = (micros(description.start), micros(description.end));
        let kind = kinds.get_mut(fingerprint.as_str()).expect("each has a kind");
        kind.to_come.pop_front();
        let (resolves, is_over) = match recurrence::fate(start, end, over_before, &kind.stored) {
            Fate::Joins(incident) => {
                kind.widen(incident, start, end);
                settled.groups.push((at, incident));
                continue;
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
            settled.resolves.push(quiet);
            kind.resolve(quiet);
        }
        let incident = UNWRITTEN + settled.founds.len() as i64;
        settled.groups.push((at, incident));
        settled.founds.push(Founded { description, fingerprint, is_over });
        kind.stored.push(Stored { incident, start, end, quiet, is_resolved: is_over });
    }
    settled
}

/// The incidents of one kind while groups of it are settled.
#[derive(Debug, Default)]
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

/// What incidents are about, by what founded them: it stays so while they grow. Windows that tumble stay apart.
fn fingerprints(spi: &Connection, detector: &Detector, described: &[(usize, &Description)]) -> Vec<String> {
    let window = |start| match detector.options.window {
        Window::Session(_) => None,
        Window::Tumbling(length) => Some(micros(start).div_euclid(length).saturating_mul(length)),
    };
    let all = || described.iter().map(|&(_, one)| one);
    let rows = spi.repeat(
        "SELECT md5(concat_ws(chr(31), d.detector_id, coalesce(u.origin, chr(30)), u.template, u.since)) \
         FROM logintel.detectors AS d CROSS JOIN unnest($2, $3, $4) WITH ORDINALITY AS u (origin, template, since, n) \
         WHERE d.name = $1 ORDER BY u.n",
        &[
            text_arg(&detector.name),
            arg(all().map(|one| one.origin.clone().map(Text)).collect::<Vec<_>>()),
            arg(all().map(|one| Text(one.first_template.clone())).collect::<Vec<_>>()),
            arg(all().map(|one| window(one.start)).collect::<Vec<_>>()),
        ],
    );
    (0..rows.len()).map(|row| rows.must(row, 1)).collect()
}

/// Kinds of groups, with their stored incidents: the one that is not resolved, and those that end latest before the first of
/// the groups at the longest quiet that is waited for, or later, the first so many.
fn kinds<'a>(
    spi: &Connection,
    detector: &Detector,
    described: &[(usize, &Description)],
    fingerprints: &'a [String],
) -> HashMap<&'a str, Kind> {
    const MANY: i64 = 100;
    let resolve_after = detector.options.resolve_after;
    let reach = recurrence::quiet(resolve_after, u32::MAX).saturating_add(recurrence::COMES_BACK);
    let mut kinds: HashMap<&str, Kind> = HashMap::new();
    let (mut names, mut since) = (Vec::new(), Vec::new());
    for (&(_, one), fingerprint) in described.iter().zip(fingerprints) {
        let start = micros(one.start);
        kinds
            .entry(fingerprint)
            .or_insert_with(|| {
                names.push(fingerprint.as_str());
                since.push(timestamp(start.saturating_sub(reach)));
                Kind::default()
            })
            .to_come
            .push_back(start);
    }
    let rows = spi.repeat(
        &format!(
            "SELECT k.n, i.incident_id, i.start_time, i.end_time, i.status = 'resolved', {TIMES_BACK} \
             FROM unnest($2, $3) WITH ORDINALITY AS k (fingerprint, since, n) CROSS JOIN LATERAL ( \
                 SELECT * FROM logintel.incidents WHERE detector = $1 AND fingerprint = k.fingerprint AND status <> 'resolved' \
                 UNION ALL \
                 (SELECT * FROM logintel.incidents WHERE detector = $1 AND fingerprint = k.fingerprint AND status = 'resolved' \
                      AND end_time >= k.since ORDER BY end_time LIMIT $4)) AS i"
        ),
        &[
            text_arg(&detector.name),
            arg(names.iter().map(|&name| Text(name.to_owned())).collect::<Vec<_>>()),
            arg(since),
            arg(MANY),
        ],
    );
    for row in 0..rows.len() {
        let name = names[rows.must::<i64>(row, 1).unsigned_abs() as usize - 1];
        let times_back = u32::try_from(rows.must::<i64>(row, 6)).unwrap_or(u32::MAX);
        if let Some(kind) = kinds.get_mut(name) {
            kind.stored.push(Stored {
                incident: rows.must(row, 2),
                start: micros(rows.must(row, 3)),
                end: micros(rows.must(row, 4)),
                quiet: recurrence::quiet(resolve_after, times_back),
                is_resolved: rows.must(row, 5),
            });
        }
    }
    kinds
}
