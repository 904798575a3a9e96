//! Which incidents suppressions hide, and what one of them would have hidden.
//!
//! An incident is judged whenever its anomalies are counted, and anew when other rules are in force than those that it was
//! judged by: each detector remembers these (`applied_suppressions`), so that a rule which is written, changed, removed or
//! expires costs one tick a look at the incidents that it may concern, and no other tick anything.
use std::collections::BTreeSet;

use logintel_core::config::Preset;
use logintel_core::suppression::{Rule, Scratch};
use pgrx::pg_sys;
use pgrx::prelude::*;

use super::count::Counting;
use super::hiding::hidden_by;
use super::life;
use crate::call::{Raw, argument, time_argument};
use crate::detector::Detector;
use crate::error::OrRaise;
use crate::lock::lock_detector;
use crate::progress::Progress;
use crate::range::{range_args, range_sql, require_range};
use crate::security::{self, ByIndex, RunAs};
use crate::spi::{Connection, arg, text_arg};
use crate::step::{Done, Step, list, with_snapshot};
use crate::suppression::{self, Anomaly, Effect, Suppressions, message_sql};
use crate::text::Text;
use crate::time::timestamp;
use crate::tuples::ResultSet;
use crate::views::mark_views_stale;

/// Incidents that one step judges anew.
const BATCH: usize = 1000;

/// What changed since a detector's incidents were last judged.
struct Change {
    /// Rules in force and their states.
    in_force: Vec<(i64, TimestampWithTimeZone)>,
    /// Incidents that the change may concern.
    incidents: Vec<i64>,
}

/// Judges a detector's incidents anew if other rules are in force than they were judged by.
pub fn tick(name: &str, is_atomic: bool) {
    let mut found: Option<Change> = None;
    let mut judged = 0;
    Step::of("suppressions", name).run(is_atomic, || {
        let Some(change) = &found else {
            found = change(name);
            return Done { more: found.is_some(), ..Done::default() };
        };
        let left = &change.incidents[judged..];
        let some = &left[..left.len().min(BATCH)];
        if some.is_empty() {
            remember(name, change);
            return Done::default();
        }
        rejudge(name, some);
        judged += some.len();
        Done { more: true, ..Done::rows(some.len() as u64) }
    });
}

/// Finds out what changed; `None` where nothing did.
fn change(name: &str) -> Option<Change> {
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let rows = spi.write(
        "SELECT s.suppression_id, s.updated_at, a.suppression_id IS NULL \
         FROM (SELECT suppression_id, updated_at FROM logintel.suppressions \
               WHERE (detector = $1 OR detector IS NULL) AND hide AND expires_at > now()) AS s \
         FULL JOIN (SELECT suppression_id, updated_at FROM logintel.applied_suppressions WHERE detector = $1) AS a \
           USING (suppression_id, updated_at)",
        &[text_arg(name)],
    );
    let all = || 0..rows.len();
    let in_force: Vec<(i64, TimestampWithTimeZone)> =
        all().filter_map(|row| Some((rows.get(row, 1)?, rows.must(row, 2)))).collect();
    let new: Vec<i64> = all().filter(|&row| rows.must(row, 3)).filter_map(|row| rows.get(row, 1)).collect();
    if new.is_empty() && in_force.len() as u64 == rows.len() {
        return None;
    }
    // Those that are hidden may be shown now, or name others; of those that are shown, a new rule may hide some.
    let rows = spi.write(
        "SELECT i.incident_id FROM logintel.incidents AS i \
         WHERE i.detector = $1 AND i.status <> 'resolved' \
           AND (i.is_suppressed OR EXISTS ( \
                SELECT FROM logintel.suppressions AS s WHERE s.suppression_id = ANY ($2) \
                  AND (s.component IS NULL OR s.component = ANY (i.components)) \
                  AND (s.since IS NULL OR i.end_time >= s.since) AND (s.until IS NULL OR i.start_time < s.until))) \
         ORDER BY i.incident_id",
        &[text_arg(name), arg(new)],
    );
    let incidents = (0..rows.len()).map(|row| rows.must(row, 1)).collect();
    Some(Change { in_force, incidents })
}

/// Judges incidents by the rules in force. One that is hidden no more is as new to those who look.
fn rejudge(name: &str, incidents: &[i64]) {
    lock_detector(name);
    let Some(detector) = Detector::find(name) else { return };
    let _author = life::author(life::MAINTENANCE, "");
    let _plans = ByIndex::set();
    let spi = Connection::open();
    // Those whose anomalies are away for a moment are counted when they have come, and judged then.
    let here = spi.write(
        "SELECT incident_id FROM logintel.incidents AS i WHERE i.incident_id = ANY ($1) AND i.status <> 'resolved' AND NOT i.is_stale \
           AND EXISTS (SELECT FROM logintel.anomalies AS a WHERE a.incident_id = i.incident_id) \
         ORDER BY incident_id FOR UPDATE OF i",
        &[arg(incidents.to_vec())],
    );
    let incidents: Vec<i64> = (0..here.len()).map(|row| here.must(row, 1)).collect();
    if detector.options.preset == Preset::Seed {
        // The preset's own rules come first, and ask for what is counted.
        let counting = Counting::of(&spi, &detector);
        counting.recount(&incidents);
        mark_views_stale(&spi);
        return;
    }
    let suppressions = Suppressions::in_force(&detector, Effect::Hide);
    let mut changed = 0;
    for incident in incidents {
        pgrx::check_for_interrupts!();
        let hidden_by =
            suppressions.as_ref().and_then(|rules| with_snapshot(|| hidden_by(&spi, rules, incident)));
        changed += spi
            .repeat(
                "UPDATE logintel.incidents SET is_suppressed = $2 IS NOT NULL, suppressed_by = $2, updated_at = now() \
                 WHERE incident_id = $1 AND suppressed_by IS DISTINCT FROM $2",
                &[arg(incident), arg(hidden_by.map(Text))],
            )
            .len();
    }
    if changed > 0 {
        mark_views_stale(&spi);
    }
}

/// Writes down what a detector's incidents are judged by.
fn remember(name: &str, change: &Change) {
    let (rules, states): (Vec<i64>, Vec<TimestampWithTimeZone>) = change.in_force.iter().copied().unzip();
    lock_detector(name);
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    spi.write("DELETE FROM logintel.applied_suppressions WHERE detector = $1", &[text_arg(name)]);
    spi.write(
        "INSERT INTO logintel.applied_suppressions (detector, suppression_id, updated_at) \
         SELECT d.name, r.* FROM logintel.detectors AS d, unnest($2, $3) AS r WHERE d.name = $1",
        &[text_arg(name), arg(rules), arg(states)],
    );
}

/// What a rule hides: anomalies of a range that it matches, and unresolved incidents of these that it hides as a whole.
///
/// # Safety
/// Called by PostgreSQL.
#[pg_extern(requires = ["suppressions"], sql = "
CREATE FUNCTION suppression_preview(id bigint, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL)
RETURNS TABLE (anomalies bigint, incidents bigint)
STABLE ROWS 1 LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';")]
unsafe fn suppression_preview(fcinfo: pg_sys::FunctionCallInfo) -> Raw {
    // SAFETY: the arguments are those of the declaration above.
    let (id, range) = unsafe {
        let id = argument(fcinfo, 0).and_then(|datum| i64::from_datum(datum, false));
        (id, (time_argument(fcinfo, 1), time_argument(fcinfo, 2)))
    };
    // SAFETY: the call is the running one.
    let mut set = unsafe { ResultSet::of_call(fcinfo) };
    if let Some(id) = id {
        require_range(range.0, range.1);
        let _progress = Progress::begin("suppression_preview");
        let (mut anomalies, mut incidents) = (0, 0);
        let (detector, rule) = suppression::find(id);
        // A range that is given takes the place of the rule's own: one that is for later can be tried.
        let (rule, range) = match range {
            (None, None) => {
                let own = (rule.since.map(timestamp), rule.until.map(timestamp));
                (rule, own)
            }
            given => (Rule { since: None, until: None, ..rule }, given),
        };
        let names = match &detector {
            Some(name) => vec![name.clone()],
            None => list("SELECT name FROM logintel.detectors ORDER BY detector_id"),
        };
        for name in names {
            let found = Detector::get(&name);
            if detector.is_some() {
                found.require_reader();
            } else if !security::may_read(security::current_user(), found.owner, found.relation) {
                continue;
            }
            let counts = preview(
                &found,
                &Suppressions::of_rule(rule.clone(), &found),
                rule.component.as_deref(),
                range,
            );
            (anomalies, incidents) = (anomalies + counts.0, incidents + counts.1);
        }
        set.push(|| vec![anomalies.into_datum(), incidents.into_datum()]);
    }
    Raw(None)
}

type Range = (Option<TimestampWithTimeZone>, Option<TimestampWithTimeZone>);

/// The same of one detector, as the statement's snapshot shows it.
fn preview(detector: &Detector, rule: &Suppressions, component: Option<&str>, range: Range) -> (i64, i64) {
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let (mut anomalies, mut touched, mut scratch) = (0, BTreeSet::new(), Scratch::default());
    let [since, until] = range_args(range.0, range.1);
    spi.for_each_shown(
        "matching",
        &format!(
            "SELECT ts, component, level, template, {}, incident_id FROM logintel.anomalies \
             WHERE detector = $3 AND ($4 IS NULL OR component = $4) AND {}",
            message_sql(&rule.rules),
            range_sql("ts"),
        ),
        &[since, until, text_arg(&detector.name), arg(component.map(|text| Text(text.to_owned())))],
        |rows, row| {
            let anomaly = Anomaly::read(rows, row);
            if !rule.rules.matching(&anomaly.event(), &mut scratch).or_raise().is_empty() {
                anomalies += 1;
                touched.extend(rows.get::<i64>(row, 6));
            }
        },
    );
    // What somebody has resolved is not judged anew.
    let unresolved = spi.read(
        "SELECT incident_id FROM logintel.incidents WHERE incident_id = ANY ($1) AND status <> 'resolved'",
        &[arg(touched.into_iter().collect::<Vec<i64>>())],
    );
    let hidden =
        (0..unresolved.len()).filter(|&row| hidden_by(&spi, rule, unresolved.must(row, 1)).is_some());
    (anomalies, hidden.count() as i64)
}
