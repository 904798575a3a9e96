//! One detector records one row once, however many triggers on its table name it: of those that fire AFTER INSERT for each row the
//! first does, in the order of their names, and where there is none, the first that fires for the statement.
//!
//! A trigger with a condition, or one that is disabled, may let the row pass: beside those each records for itself.
use std::ffi::CStr;

use pgrx::pg_sys;

/// Whether an earlier trigger on the same table records what this one would.
///
/// # Safety
/// The data are those of a running AFTER INSERT trigger with one argument.
pub unsafe fn records_already(data: *const pg_sys::TriggerData) -> bool {
    // SAFETY: the relation of a running trigger has a description of its triggers, as many as it says; the arguments of each are as
    // many C strings as it says.
    unsafe {
        let (own, description) = ((*data).tg_trigger, (*(*data).tg_relation).trigdesc);
        if description.is_null() || (*description).numtriggers < 2 {
            return false;
        }
        let all = std::slice::from_raw_parts((*description).triggers, (*description).numtriggers as usize);
        let detector = CStr::from_ptr(*(*own).tgargs);
        let is_row = |trigger: &pg_sys::Trigger| {
            u32::from(trigger.tgtype.cast_unsigned()) & pg_sys::TRIGGER_TYPE_ROW != 0
        };
        let own_is_row = is_row(&*own);
        let before_own = all.iter().take_while(|trigger| trigger.tgoid != (*own).tgoid);
        let earlier = before_own.filter(|trigger| is_row(trigger) == own_is_row);
        // All that fire for rows do so before any that fires for the statement.
        let for_rows = all.iter().filter(|trigger| !own_is_row && is_row(trigger));
        earlier.chain(for_rows).any(|other| records(other, detector))
    }
}

/// Whether a trigger records all rows that come in for a detector.
///
/// # Safety
/// The trigger is one of a relation's description.
unsafe fn records(trigger: &pg_sys::Trigger, detector: &CStr) -> bool {
    const AFTER_INSERT: u32 = pg_sys::TRIGGER_TYPE_INSERT;
    const KIND: u32 =
        pg_sys::TRIGGER_TYPE_BEFORE | pg_sys::TRIGGER_TYPE_INSTEAD | pg_sys::TRIGGER_TYPE_INSERT;
    // SAFETY: the caller's.
    unsafe {
        u32::from(trigger.tgtype.cast_unsigned()) & KIND == AFTER_INSERT
            && trigger.tgqual.is_null()
            && fires(trigger)
            && trigger.tgnargs == 1
            && CStr::from_ptr(*trigger.tgargs) == detector
            && is_ours(trigger.tgfoid)
    }
}

/// As the executor decides it.
fn fires(trigger: &pg_sys::Trigger) -> bool {
    // SAFETY: reads a global.
    let is_replica =
        unsafe { pg_sys::SessionReplicationRole } == pg_sys::SESSION_REPLICATION_ROLE_REPLICA.cast_signed();
    match trigger.tgenabled.cast_unsigned() {
        b'A' => true,
        b'O' => !is_replica,
        b'R' => is_replica,
        _ => false,
    }
}

/// Whether a function is `score_row` or `score_rows` of this extension.
fn is_ours(function: pg_sys::Oid) -> bool {
    // SAFETY: both copy names, or return NULL where there is no such function.
    unsafe {
        let (name, schema) = (pg_sys::get_func_name(function), pg_sys::get_func_namespace(function));
        !name.is_null()
            && [c"score_row", c"score_rows"].contains(&CStr::from_ptr(name))
            && schema == crate::security::schema()
    }
}
