//! Whole sessions: `score_sessions`.
use logintel_core::detect::{Detector as Model, Scratch};
use logintel_core::session::{
    SessionCounts, SessionDetector, SessionJudgement, SessionScratch, UNKNOWN_TEMPLATE,
};
use pgrx::pg_sys;
use pgrx::prelude::*;

use super::Detector;
use super::columns::{Columns, Part, quote_literal};
use super::history::require_model;
use super::resolve::{Resolved, resolve};
use super::train::qualified;
use crate::call::{Raw, argument, text_argument, time_argument};
use crate::control::Session as Backend;
use crate::error::{OrRaise, fail};
use crate::progress::Progress;
use crate::range::{range_args, range_sql, require_range};
use crate::spi::Rows;
use crate::text::Text;
use crate::tuples::ResultSet;

/// A session while its rows are read.
struct Session {
    id: String,
    start: Option<TimestampWithTimeZone>,
    end: Option<TimestampWithTimeZone>,
    counts: SessionCounts,
}

/// Judges one session after the other.
struct Judge<'a> {
    model: &'a Model,
    sessions: &'a SessionDetector,
    scratch: Scratch,
    session_scratch: SessionScratch,
}

impl<'a> Judge<'a> {
    /// Of a detector that has learnt sessions; an error that names what is missing.
    fn of(resolved: &'a Resolved) -> Self {
        let detector = &resolved.detector;
        if detector.part(Part::Session).is_none() {
            fail(
                PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("detector \"{}\" has no session column", detector.name),
                "Make one that has: logintel.create_detector(name, relation, session => 'column'), then train it.",
            );
        }
        require_model(resolved);
        let model = resolved.model.as_deref();
        let Some((model, sessions)) = model.and_then(|model| Some((model, model.sessions()?))) else {
            fail(
                PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("the active model of detector \"{}\" has seen no sessions", detector.name),
                &format!(
                    "SELECT logintel.train({}) again once rows have a value in its session column.",
                    quote_literal(&detector.name)
                ),
            )
        };
        Judge {
            model,
            sessions,
            scratch: Scratch::new(Backend::watch()),
            session_scratch: SessionScratch::default(),
        }
    }

    fn template_of(&mut self, message: &str) -> u32 {
        self.model.template_of(message, &mut self.scratch).or_raise().unwrap_or(UNKNOWN_TEMPLATE)
    }

    fn judge(&mut self, session: &Session) -> SessionJudgement {
        let origin = self.sessions.origin(session.end.map(Into::into));
        self.sessions.judge(&session.counts, origin, &mut self.session_scratch, &Backend).or_raise()
    }
}

/// The rows of the sessions whose last event lies between $1 and $2, one session after the other: session, message,
/// and when the session began and ended. Whoever is not complete is left out unless asked for.
fn rows_sql(detector: &Detector, since_given: bool, include_open: bool) -> String {
    let relation = detector.open_relation();
    let columns = Columns::of(&relation);
    let relation = qualified(&relation);
    let text = |part| detector.text_sql(&columns, part);
    let (message, session) = (text(detector.judged()), text(Part::Session));
    let time = detector.time_sql(&columns);
    // Where only the end of a long log is asked for, an index on its time finds the sessions, and one on the session
    // their rows.
    let some = if since_given {
        format!("AND s IN (SELECT {session} FROM {relation} AS l WHERE {})", range_sql(&time))
    } else {
        String::new()
    };
    let complete = if include_open {
        String::new()
    } else {
        format!(
            "AND (last IS NULL OR last <= coalesce($2, now()) - interval '{} microseconds')",
            detector.options.session_gap
        )
    };
    format!(
        "SELECT s, m, first, last \
         FROM (SELECT s, m, min(t) OVER w AS first, max(t) OVER w AS last \
               FROM (SELECT {session} AS s, {message} AS m, {time} AS t FROM {relation} AS l) AS r \
               WHERE s <> '' AND m IS NOT NULL {some} WINDOW w AS (PARTITION BY s COLLATE \"C\")) AS r \
         WHERE {} {complete} ORDER BY first, s COLLATE \"C\"",
        range_sql("last")
    )
}

/// Calls `each` with every session of a range and its judgement, in the order of their first events. Rows are read
/// with the rights of the detector's owner, and of one session at a time.
fn for_each_session(
    resolved: &Resolved,
    (since, until): (Option<TimestampWithTimeZone>, Option<TimestampWithTimeZone>),
    include_open: bool,
    mut each: impl FnMut(Session, SessionJudgement),
) {
    let mut judge = Judge::of(resolved);
    let detector = &resolved.detector;
    let sql = rows_sql(detector, since.is_some(), include_open);
    let args = range_args(since, until);
    let mut current: Option<Session> = None;
    detector.read(|spi| {
        spi.for_each_shown("scoring", &sql, &args, |rows: &Rows<'_>, row| {
            let (id, message): (Text, Text) = (rows.must(row, 1), rows.must(row, 2));
            let template = judge.template_of(&message);
            if let Some(session) = current.take_if(|session| session.id != *id) {
                let judgement = judge.judge(&session);
                each(session, judgement);
            }
            let session = current.get_or_insert_with(|| Session {
                id: id.0,
                start: rows.get(row, 3),
                end: rows.get(row, 4),
                counts: SessionCounts::default(),
            });
            session.counts.add(template);
        });
    });
    if let Some(session) = current {
        let judgement = judge.judge(&session);
        each(session, judgement);
    }
}

/// Every whole session of a range with its judgement.
///
/// Rows without session or message do not count. A session that training saw is compared with the others that
/// training saw; which these are, the time of its last event tells. So where a detector's relation shows other rows
/// than it did to training, or rows came late, some of them pass for sessions that training saw, and a kind of session
/// that training saw once is then as strange to them as one that it never saw.
///
/// # Safety
/// Called by PostgreSQL.
#[pg_extern(requires = ["detector"], sql = "
CREATE FUNCTION score_sessions(detector text, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
                               include_open bool DEFAULT false)
RETURNS TABLE (session_id text, is_anomaly bool, anomaly_score float8, reason text, start_time timestamptz,
               end_time timestamptz, event_count bigint)
STABLE ROWS 10000 LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';")]
unsafe fn score_sessions(fcinfo: pg_sys::FunctionCallInfo) -> Raw {
    // SAFETY: the arguments are those of the declaration above.
    let (detector, range, include_open) = unsafe {
        let include_open = argument(fcinfo, 3).and_then(|datum| bool::from_datum(datum, false));
        (text_argument(fcinfo, 0), (time_argument(fcinfo, 1), time_argument(fcinfo, 2)), include_open)
    };
    // SAFETY: the call is the running one.
    let mut set = unsafe { ResultSet::of_call(fcinfo) };
    if let Some(detector) = detector {
        let resolved = resolve(&detector, Detector::require_reader);
        require_range(range.0, range.1);
        let _progress = Progress::begin("score_sessions");
        for_each_session(&resolved, range, include_open.unwrap_or(false), |session, judgement| {
            set.push(|| {
                vec![
                    Text(session.id).into_datum(),
                    judgement.is_anomaly.into_datum(),
                    judgement.score.into_datum(),
                    judgement.reason.to_string().into_datum(),
                    session.start.into_datum(),
                    session.end.into_datum(),
                    (session.counts.events() as i64).into_datum(),
                ]
            });
        });
    }
    Raw(None)
}
