//! Rows that are there already: `score_history` and `log_timeline`.
use logintel_core::detect::Mode;
use pgrx::pg_sys;
use pgrx::prelude::*;

use super::columns::quote_literal;
use super::lines::for_each_line;
use super::rates::Rates;
use super::record::{Recorder, forget_failures};
use super::resolve::{Resolved, resolve};
use super::trigger::judge;
use super::{Detector, required};
use crate::call::{Raw, text_argument, time_argument};
use crate::error::fail;
use crate::lock::lock_detector;
use crate::progress::Progress;
use crate::range::{range_args, range_sql, require_range};
use crate::security::{self, RunAs};
use crate::spi::{ActiveSnapshot, Connection, arg, text_arg};
use crate::text::Text;
use crate::tuples::ResultSet;
use crate::views::mark_views_stale;

/// Scores rows that are there already and replaces the detector's anomalies of that range; returns the rows scored.
#[pg_extern(requires = ["detector"])]
fn score_history(
    detector: Option<Text>,
    since: default!(Option<TimestampWithTimeZone>, "NULL"),
    until: default!(Option<TimestampWithTimeZone>, "NULL"),
) -> i64 {
    let detector = required(detector);
    let resolved = resolve(&detector, |detector| security::require_owner(&detector.name, detector.owner));
    require_model(&resolved);
    require_range(since, until);
    let _progress = Progress::begin("score_history");
    lock_detector(&detector);
    // The anomalies that go are those of the rows that are read, and of no other: what commits meanwhile keeps the
    // anomalies that its trigger has written.
    let snapshot = ActiveSnapshot::push();
    // Who has dropped the detector meanwhile held the lock.
    Detector::get(&detector);
    forget(&detector, since, until);
    let mut recorder = Recorder::new(&resolved.detector);
    let mut rates = Rates::of(&resolved, None);
    let mut scored = 0;
    for_each_line(&resolved.detector, since, until, None, |line| {
        scored += 1;
        let judgement = judge(&resolved, &line, Mode::History);
        rates.add(&line, &judgement, &mut recorder);
        if judgement.is_anomaly {
            recorder.add(&line, judgement);
        }
    });
    rates.pause(&mut recorder);
    recorder.write();
    forget_failures(&detector, since, until);
    drop(snapshot);
    scored
}

/// Refuses a detector that was not trained yet.
pub(super) fn require_model(resolved: &Resolved) {
    if resolved.model.is_none() {
        fail(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("detector \"{}\" is not trained yet", resolved.detector.name),
            &format!("SELECT logintel.train({}) first.", quote_literal(&resolved.detector.name)),
        );
    }
}

/// Removes the anomalies of a range. Their incidents stay, to be counted anew at the next tick: what was
/// acknowledged stays so when the same rows are flagged again.
fn forget(detector: &str, since: Option<TimestampWithTimeZone>, until: Option<TimestampWithTimeZone>) {
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let [since, until] = range_args(since, until);
    let mut gone: Vec<i64> = Vec::new();
    spi.for_each(
        &format!("SELECT anomaly_id FROM logintel.anomalies WHERE detector = $3 AND {}", range_sql("ts")),
        &[since, until, text_arg(detector)],
        |rows, row| gone.push(rows.must(row, 1)),
    );
    for some in gone.chunks(50_000) {
        pgrx::check_for_interrupts!();
        spi.write(
            "WITH gone AS (DELETE FROM logintel.anomalies WHERE anomaly_id = ANY ($1) RETURNING incident_id) \
             UPDATE logintel.incidents SET is_stale = true \
             WHERE NOT is_stale AND incident_id IN (SELECT incident_id FROM gone WHERE incident_id IS NOT NULL)",
            &[arg(some.to_vec())],
        );
    }
    mark_views_stale(&spi);
}

/// Every row of a range with its judgement.
///
/// # Safety
/// Called by PostgreSQL.
#[pg_extern(requires = ["detector"], sql = "
CREATE FUNCTION log_timeline(detector text, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL)
RETURNS TABLE (ts timestamptz, source text, level text, component text, message text, template text, cluster_id int,
               anomaly_score float8, is_anomaly bool, reason text)
STABLE ROWS 100000 LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';")]
unsafe fn log_timeline(fcinfo: pg_sys::FunctionCallInfo) -> Raw {
    // SAFETY: the arguments are those of the declaration above.
    let (detector, since, until) =
        unsafe { (text_argument(fcinfo, 0), time_argument(fcinfo, 1), time_argument(fcinfo, 2)) };
    let mut set = unsafe { ResultSet::of_call(fcinfo) };
    if let Some(detector) = detector {
        let resolved = resolve(&detector, Detector::require_reader);
        require_model(&resolved);
        require_range(since, until);
        let _progress = Progress::begin("log_timeline");
        for_each_line(&resolved.detector, since, until, None, |line| {
            let judgement = judge(&resolved, &line, Mode::History);
            set.push(|| {
                vec![
                    line.ts.into_datum(),
                    line.source.map(Text::from).into_datum(),
                    line.level.map(Text::from).into_datum(),
                    line.component.map(Text::from).into_datum(),
                    line.message.map(Text::from).into_datum(),
                    Text(judgement.template).into_datum(),
                    judgement.cluster.map(|cluster| cluster as i32).into_datum(),
                    judgement.score.into_datum(),
                    judgement.is_anomaly.into_datum(),
                    judgement.reason.to_string().into_datum(),
                ]
            });
        });
    }
    Raw(None)
}
