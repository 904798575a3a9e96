//! Rows of the table `detectors` that a backend keeps from one transaction to the next.
//!
//! Reading the row takes a hundred times as long as judging a line, and each INSERT of one row is a transaction of its
//! own. So a row is kept until PostgreSQL says that the table has changed: whatever changes it, or the models' table, sends an
//! invalidation of its relcache entry (`logintel.detectors_changed`), which every backend has at the latest when the
//! change's COMMIT has returned, and takes note of before each look-up.
//!
//! What is kept is what a statement's own snapshot would show it:
//!
//! - It was read under a snapshot that was taken after the last invalidation that came, so an older row is never taken for
//!   a newer one: whatever that snapshot does not show will be told of later.
//! - It is used by statements whose snapshot shows all that this one shows: not by a repeatable-read transaction, nor by a
//!   statement that began before.
//! - It is neither made nor used in a transaction that has changed the table itself.
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use pgrx::pg_sys;
use pgrx::prelude::*;

use super::snapshot::Snapshot;
use super::{Detector, cache};
use crate::call::Raw;
use crate::error::fail;
use crate::security;
use crate::spi::ActiveSnapshot;

/// Most rows that are kept.
const KEPT: usize = 8;

struct Row {
    detector: Rc<Detector>,
    snapshot: Snapshot,
    change: u64,
}

thread_local! {
    static ROWS: RefCell<Vec<Row>> = const { RefCell::new(Vec::new()) };
    /// The table `detectors`, once a row of it is kept.
    static TABLE: Cell<pg_sys::Oid> = const { Cell::new(pg_sys::Oid::INVALID) };
    /// How many changes of the table have been told of.
    static CHANGES: Cell<u64> = const { Cell::new(0) };
    /// How many changes of any relation have been told of.
    static RELATION_CHANGES: Cell<u64> = const { Cell::new(0) };
    /// Whether the transaction at hand has changed the table.
    static CHANGED_HERE: Cell<bool> = const { Cell::new(false) };
}

/// The row of a detector as it stands in the snapshot of a statement, if it is kept and so is its model: else both are
/// read under that snapshot, where they belong together.
pub fn find(name: &str, statement: &Snapshot) -> Option<Rc<Detector>> {
    if !applies() {
        return None;
    }
    listen();
    // SAFETY: what taking a lock does as well.
    unsafe { pg_sys::AcceptInvalidationMessages() };
    ROWS.with_borrow(|rows| {
        let found = rows.iter().find(|row| row.detector.name == name && row.change == CHANGES.get());
        let found = found.filter(|row| statement.shows_all_of(&row.snapshot));
        found.filter(|row| row.detector.active.is_none_or(cache::holds)).map(|row| Rc::clone(&row.detector))
    })
}

/// Keeps the row of a detector, which was read under the snapshot of a statement.
pub fn keep(detector: &Rc<Detector>, statement: &Snapshot) {
    if !applies() {
        return;
    }
    listen();
    TABLE.set(security::detectors_table());
    // SAFETY: as above.
    unsafe { pg_sys::AcceptInvalidationMessages() };
    let change = CHANGES.get();
    let _now = ActiveSnapshot::push();
    let Some(snapshot) = Snapshot::active() else { return };
    let latest = if statement.shows_all_of(&snapshot) {
        Some(Rc::clone(detector))
    } else {
        // Somebody has committed since the statement began. Waiting for one during which nobody does might take long.
        Detector::find(&detector.name).map(Rc::new)
    };
    ROWS.with_borrow_mut(|rows| {
        rows.retain(|row| row.change == change && row.detector.name != detector.name);
        if rows.len() == KEPT {
            rows.remove(0);
        }
        rows.extend(latest.map(|detector| Row { detector, snapshot, change }));
    });
}

/// Whether the transaction may use what others have left and leave something: not where it sees with older eyes than
/// others, or sees what others do not.
fn applies() -> bool {
    // SAFETY: reads globals.
    unsafe {
        pg_sys::XactIsoLevel < pg_sys::XACT_REPEATABLE_READ as i32
            && !pg_sys::IsInParallelMode()
            && !CHANGED_HERE.get()
    }
}

/// A number that is another one after any relation's definition has changed; it must have been asked for before.
pub fn relations() -> u64 {
    listen();
    RELATION_CHANGES.get()
}

/// Hears of changes from now on.
fn listen() {
    thread_local! {
        static REGISTERED: Cell<bool> = const { Cell::new(false) };
    }
    if !REGISTERED.replace(true) {
        // SAFETY: the callbacks raise no ERROR and live as long as the process.
        unsafe {
            pg_sys::CacheRegisterRelcacheCallback(Some(at_invalidation), pg_sys::Datum::null());
            pg_sys::RegisterXactCallback(Some(at_transaction_end), std::ptr::null_mut());
        }
    }
}

/// Called for a relation, or with no OID for all of them.
unsafe extern "C-unwind" fn at_invalidation(_: pg_sys::Datum, relation: pg_sys::Oid) {
    let count = |cell: &Cell<u64>| cell.set(cell.get().wrapping_add(1));
    RELATION_CHANGES.with(count);
    if relation == pg_sys::Oid::INVALID || relation == TABLE.get() {
        CHANGES.with(count);
    }
}

unsafe extern "C-unwind" fn at_transaction_end(event: pg_sys::XactEvent::Type, _: *mut std::ffi::c_void) {
    use pg_sys::XactEvent as E;
    if !matches!(
        event,
        E::XACT_EVENT_PRE_COMMIT | E::XACT_EVENT_PRE_PREPARE | E::XACT_EVENT_PARALLEL_PRE_COMMIT
    ) {
        CHANGED_HERE.set(false);
    }
}

/// After a change of detectors or their models: tells every backend when it commits. Row by row, and always, because a
/// subscriber's apply runs no other triggers.
///
/// # Safety
/// Called by PostgreSQL.
#[pg_extern(requires = ["tables"], sql = "
CREATE FUNCTION detectors_changed() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
CREATE TRIGGER detectors_changed AFTER INSERT OR UPDATE OR DELETE ON detectors
    FOR EACH ROW EXECUTE FUNCTION detectors_changed();
CREATE TRIGGER detectors_truncated AFTER TRUNCATE ON detectors
    FOR EACH STATEMENT EXECUTE FUNCTION detectors_changed();
ALTER TABLE detectors ENABLE ALWAYS TRIGGER detectors_changed, ENABLE ALWAYS TRIGGER detectors_truncated;
CREATE TRIGGER detectors_changed AFTER INSERT OR UPDATE OR DELETE ON model_versions
    FOR EACH ROW EXECUTE FUNCTION detectors_changed();
CREATE TRIGGER detectors_truncated AFTER TRUNCATE ON model_versions
    FOR EACH STATEMENT EXECUTE FUNCTION detectors_changed();
ALTER TABLE model_versions ENABLE ALWAYS TRIGGER detectors_changed, ENABLE ALWAYS TRIGGER detectors_truncated;")]
unsafe fn detectors_changed(fcinfo: pg_sys::FunctionCallInfo) -> Raw {
    // SAFETY: the context of a call is null or a node.
    let is_trigger = unsafe {
        let context = (*fcinfo).context;
        !context.is_null() && (*context).type_ == pg_sys::NodeTag::T_TriggerData
    };
    if !is_trigger {
        fail(
            PgSqlErrorCode::ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
            "detectors_changed must be called as a trigger",
            "It belongs to the table logintel.detectors.",
        );
    }
    listen();
    CHANGED_HERE.set(true);
    // SAFETY: the table is there, for it or one that refers to it has just been changed.
    unsafe { pg_sys::CacheInvalidateRelcacheByRelid(security::detectors_table()) };
    Raw(Some(pg_sys::Datum::null()))
}
