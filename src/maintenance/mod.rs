//! What the worker does in one tick, and anybody may do by hand: anomalies become incidents, quiet ones are
//! resolved, what is old goes, views
//! are refreshed, drift is measured, and detectors whose time has come are trained again. Each step is a transaction of
//! its own where that is possible, and a short one but for the last two, which read users' relations.
mod retention;

use pgrx::pg_sys;
use pgrx::prelude::*;

use self::retention::{retire, retire_failures};
use crate::call::Raw;
use crate::detector::{drift, rates, retrain};
use crate::incident::{group, resolve_quiet};
use crate::step::{commit, list, step};
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
    for detector in step("listing the detectors", all_names).unwrap_or_default() {
        step(&format!("removing what is old of detector \"{detector}\""), || retire(&detector));
        commit(is_atomic);
        let what = format!("resolving quiet incidents of detector \"{detector}\"");
        while step(&what, || resolve_quiet(&detector)).unwrap_or(false) {
            commit(is_atomic);
        }
        commit(is_atomic);
    }
    step("removing old failures", retire_failures);
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

/// Detectors with something to do.
fn names() -> Vec<String> {
    list("SELECT name FROM logintel.detectors WHERE enabled ORDER BY detector_id")
}

fn all_names() -> Vec<String> {
    list("SELECT name FROM logintel.detectors ORDER BY detector_id")
}
