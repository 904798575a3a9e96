//! The life of an incident: open, acknowledged, resolved, and back again; by hand, or by itself.
//!
//! Triggers write its events and raise its alerts (sql/incident.sql). Who changes it and why, they read from two settings
//! of the transaction, which hold for as long as the guard of [`author`] lives.
use logintel_core::recurrence;
use pgrx::prelude::*;

use crate::detector::Detector;
use crate::error::fail;
use crate::lock::lock_detector;
use crate::security::{self, RunAs};
use crate::spi::{Connection, arg, text_arg};
use crate::step::Done;
use crate::text::{Text, to_c_string};
use crate::time::{micros, now_micros};
use crate::views::mark_views_stale;

/// Who does what nobody asked for.
pub const MAINTENANCE: &str = "logintel";
/// Longest note, bytes.
const MAX_NOTE: usize = 8 << 10;
/// SQL for how often incident `i` came back by itself within a day.
pub const TIMES_BACK: &str = "(SELECT count(*) FROM logintel.incident_events AS e WHERE e.incident_id = i.incident_id \
    AND e.event = 'reopened' AND e.actor = 'logintel' AND e.at > now() - interval '1 day')";

/// Runs as the extension's owner, and says who changes incidents, and why.
pub fn author(actor: &str, note: &str) -> RunAs {
    let guard = RunAs::extension_owner();
    guard.set(c"logintel_change.actor", &to_c_string(actor).unwrap_or_default());
    guard.set(c"logintel_change.note", &to_c_string(note).unwrap_or_default());
    guard
}

/// The detector of an incident, for who owns it; its incidents are locked.
pub fn owned(incident_id: i64) -> Detector {
    let name = {
        let _owner = RunAs::extension_owner();
        let spi = Connection::open();
        let rows =
            spi.read("SELECT detector FROM logintel.incidents WHERE incident_id = $1", &[arg(incident_id)]);
        if rows.len() == 0 {
            missing(incident_id);
        }
        rows.text(0, 1).unwrap_or_default()
    };
    let detector = Detector::get(&name);
    security::require_owner(&name, detector.owner);
    // As maintenance does, which then never waits for who waits for it.
    lock_detector(&name);
    detector
}

fn missing(incident_id: i64) -> ! {
    fail(
        PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
        format!("incident {incident_id} does not exist"),
        "SELECT incident_id, title FROM logintel.incidents lists what there is.",
    )
}

/// What a person does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    Acknowledge,
    Resolve,
    Reopen,
}

impl Move {
    /// The status that it leads to.
    fn to(self) -> &'static str {
        match self {
            Move::Acknowledge => "acknowledged",
            Move::Resolve => "resolved",
            Move::Reopen => "open",
        }
    }

    /// Refuses what cannot be done to an incident of a status. An acknowledged one may be acknowledged again, by
    /// others, or with a note.
    fn check(self, incident: i64, status: &str) {
        let hint = match (self, status) {
            (Move::Acknowledge, "resolved") => "logintel.reopen_incident opens it again.",
            (Move::Resolve, "resolved") | (Move::Reopen, "open") => "Nothing is to be done.",
            _ => return,
        };
        let verb = match self {
            Move::Acknowledge => "acknowledged",
            Move::Resolve => "resolved",
            Move::Reopen => "reopened",
        };
        fail(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("incident {incident} is {status} and cannot be {verb}"),
            hint,
        )
    }
}

/// Makes a move for an owner of the detector; returns the status that it leads to.
fn make(id: Option<i64>, note: Option<Text>, what: Move) -> &'static str {
    let incident = id.unwrap_or_else(|| {
        fail(
            PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED,
            "id must not be NULL",
            "SELECT incident_id, title FROM logintel.incidents lists what there is.",
        )
    });
    let note = note.map(|note| note.0).unwrap_or_default();
    if note.len() > MAX_NOTE {
        fail(
            PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            format!("the note has {} bytes, more than {MAX_NOTE}", note.len()),
            "Say it shorter, or name the place where it stands.",
        );
    }
    let actor = security::role_name(security::current_user());
    owned(incident);
    let _author = author(&actor, &note);
    let spi = Connection::open();
    let rows = spi.write(
        "SELECT i.status, (SELECT min(o.incident_id) FROM logintel.incidents AS o WHERE o.detector = i.detector \
             AND o.fingerprint = i.fingerprint AND o.status <> 'resolved' AND o.incident_id <> i.incident_id) \
         FROM logintel.incidents AS i WHERE i.incident_id = $1 FOR UPDATE OF i",
        &[arg(incident)],
    );
    if rows.len() == 0 {
        missing(incident);
    }
    let status = rows.text(0, 1).unwrap_or_default();
    what.check(incident, &status);
    if let Some(other) = rows.get::<i64>(0, 2).filter(|_| what == Move::Reopen) {
        fail(
            PgSqlErrorCode::ERRCODE_UNIQUE_VIOLATION,
            format!(
                "incident {incident} cannot be reopened: incident {other} of the same kind is not resolved"
            ),
            "One incident of a kind is open at a time: go on with that one, or resolve it first.",
        );
    }
    if status == what.to() {
        spi.write(
            "INSERT INTO logintel.incident_events (incident_id, detector, actor, event, from_status, to_status, note) \
             SELECT incident_id, detector, $2, status, status, status, nullif($3, '') FROM logintel.incidents WHERE incident_id = $1",
            &[arg(incident), text_arg(&actor), text_arg(&note)],
        );
    } else {
        spi.write(
            "UPDATE logintel.incidents SET status = $2, is_held = is_held AND $2 <> 'resolved', updated_at = now() \
             WHERE incident_id = $1",
            &[arg(incident), arg(what.to())],
        );
        mark_views_stale(&spi);
    }
    what.to()
}

/// Says that somebody looks after an incident. Returns its status.
#[pg_extern(requires = ["incident"])]
fn acknowledge_incident(id: Option<i64>, note: default!(Option<Text>, "NULL")) -> &'static str {
    make(id, note, Move::Acknowledge)
}

/// Says that an incident is over. Returns its status.
#[pg_extern(requires = ["incident"])]
fn resolve_incident(id: Option<i64>, note: default!(Option<Text>, "NULL")) -> &'static str {
    make(id, note, Move::Resolve)
}

/// Says that an incident is not over, or that nobody looks after it. Returns its status.
#[pg_extern(requires = ["incident"])]
fn reopen_incident(id: Option<i64>, note: default!(Option<Text>, "NULL")) -> &'static str {
    make(id, note, Move::Reopen)
}

/// Writes that the templates of an incident were marked as ordinary, by that role, and resolves it.
pub fn resolve_as_normal(incident: i64, marked_by: pg_sys::Oid) {
    let actor = security::role_name(marked_by);
    let _author = author(&actor, "its templates were marked as ordinary");
    let spi = Connection::open();
    spi.write(
        "INSERT INTO logintel.incident_events (incident_id, detector, actor, event, from_status, to_status) \
         SELECT incident_id, detector, $2, 'marked_normal', status, status FROM logintel.incidents WHERE incident_id = $1",
        &[arg(incident), text_arg(&actor)],
    );
    let resolved = spi.write(
        "UPDATE logintel.incidents SET status = 'resolved', is_held = false, updated_at = now() \
         WHERE incident_id = $1 AND status <> 'resolved'",
        &[arg(incident)],
    );
    if resolved.len() > 0 {
        mark_views_stale(&spi);
    }
}

/// Resolves incidents by itself.
pub fn resolve(spi: &Connection, incidents: &[i64], why: &str) {
    let _author = author(MAINTENANCE, why);
    spi.write(
        "UPDATE logintel.incidents SET status = 'resolved', is_held = false, updated_at = now() \
         WHERE incident_id = ANY ($1) AND status <> 'resolved'",
        &[arg(incidents.to_vec())],
    );
}

/// Removes incidents. Who was told that they are there is told that they are over.
pub fn end(spi: &Connection, incidents: &[i64], why: &str) {
    resolve(spi, incidents, why);
    spi.write("DELETE FROM logintel.incidents WHERE incident_id = ANY ($1)", &[arg(incidents.to_vec())]);
}

/// Tells that all incidents of a detector are over, for who drops it.
pub fn end_all(detector: &str) {
    let _author = author(&security::role_name(security::current_user()), "the detector was dropped");
    Connection::open().write(
        "UPDATE logintel.incidents SET status = 'resolved', is_held = false, updated_at = now() \
         WHERE detector = $1 AND status <> 'resolved'",
        &[text_arg(detector)],
    );
}

/// Resolves incidents of a detector that have been quiet: by the time of their last event, and also by the clock, so that
/// what was just found in old history, or reopened by hand, is there for people to see.
pub fn resolve_quiet(name: &str) -> Done {
    /// Most of one step.
    const BATCH: usize = 1000;
    lock_detector(name);
    let Some(detector) = Detector::find(name) else { return Done::default() };
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let resolve_after = detector.options.resolve_after;
    let rows = spi.write(
        &format!(
            "SELECT i.incident_id, greatest(i.end_time, i.updated_at), {TIMES_BACK} FROM logintel.incidents AS i \
             WHERE i.detector = $1 AND i.status <> 'resolved' AND NOT i.is_stale \
               AND i.updated_at < now() - make_interval(secs => $2) AND i.end_time < now() - make_interval(secs => $2) \
             ORDER BY i.incident_id"
        ),
        &[text_arg(name), arg(resolve_after as f64 / 1e6)],
    );
    let now = now_micros();
    let mut quiet: Vec<i64> = (0..rows.len())
        .filter(|&row| {
            let times_back = u32::try_from(rows.must::<i64>(row, 3)).unwrap_or(u32::MAX);
            now.saturating_sub(micros(rows.must(row, 2))) >= recurrence::quiet(resolve_after, times_back)
        })
        .map(|row| rows.must(row, 1))
        .collect();
    let is_more = quiet.len() > BATCH;
    quiet.truncate(BATCH);
    if !quiet.is_empty() {
        resolve(&spi, &quiet, "quiet");
        mark_views_stale(&spi);
    }
    Done { more: is_more, ..Done::rows(quiet.len() as u64) }
}
