//! What the worker does in one tick, and anybody may do by hand: rates are looked at, anomalies become incidents, these are
//! judged by suppressions, quiet ones are resolved, what is old goes, views are refreshed, drift is measured, and detectors
//! whose time has come are trained again. Each step is a transaction of its own where that is possible, and a short one but
//! for those that read users' relations: rates, drift and training.
mod retention;

use std::time::Instant;

use pgrx::pg_sys;
use pgrx::prelude::*;

use self::retention::{retire, retire_failures, retire_lines};
use crate::call::Raw;
use crate::detector::{drift, rates, retrain};
use crate::incident::{group, resolve_quiet, suppress};
use crate::step::{Step, list};
use crate::suppression;
use crate::views::refresh;

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
    for detector in all_names() {
        suppress::tick(&detector, is_atomic);
        let begun = Instant::now();
        Step::of("retention", &detector).run(is_atomic, || retire(&detector, begun));
        Step::of("resolving", &detector).run(is_atomic, || resolve_quiet(&detector));
    }
    let begun = Instant::now();
    Step::of_database("retention").run(is_atomic, || retire_failures(begun));
    Step::of_database("retention of suppressions").run(is_atomic, suppression::retire);
    for (step, table) in
        [("retention of logs", "logintel.logs"), ("retention of server_log", "logintel.server_log")]
    {
        let begun = Instant::now();
        Step::of_database(step).run(is_atomic, || retire_lines(table, begun));
    }
    let views = || Step::of_database("views").run(is_atomic, refresh);
    views();
    drift::tick(is_atomic);
    let mut is_trained = false;
    for detector in retrain::names() {
        if retrain::tick(&detector, is_atomic) {
            is_trained = true;
            // Incidents wait for one training, not for all of them.
            group_all(is_atomic);
        }
    }
    if is_trained {
        views();
    }
    Raw(None)
}

/// Looks at the rates of what has come, and groups the new anomalies of all detectors into incidents.
fn group_all(is_atomic: bool) {
    for detector in names() {
        rates::tick(&detector, is_atomic);
        Step::of("grouping", &detector).run(is_atomic, || group(&detector));
    }
}

/// Detectors with something to do.
fn names() -> Vec<String> {
    list("SELECT name FROM logintel.detectors WHERE enabled ORDER BY detector_id")
}

fn all_names() -> Vec<String> {
    list("SELECT name FROM logintel.detectors ORDER BY detector_id")
}
