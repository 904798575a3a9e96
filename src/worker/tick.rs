//! One tick: a process that connects to one database, runs `logintel.run_maintenance()` there, and exits.
use super::guard::{Failure, guarded};
use super::schedule::Outcome;
use super::{WORKER, databases, follow, process, state};
use pgrx::prelude::*;
use std::ffi::{CStr, c_int};
use std::ptr::null_mut;

/// What a tick runs.
const CALL: &CStr = c"CALL logintel.run_maintenance()";
/// Longest wait of a tick for one lock, where the database or its owner has not set one. Somebody who keeps a table
/// locked should find a failed tick, not a worker that holds its process for ever.
const LOCK_TIMEOUT: &CStr = c"30s";
/// Whether the extension is there, and with it the procedure. The worker is a superuser: it calls what belongs to
/// the extension, not what merely has its name.
const LOOK: &str = "
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) d.objid
    JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
    WHERE d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
      AND d.refobjid OPERATOR(pg_catalog.=) e.oid
      AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
      AND d.deptype OPERATOR(pg_catalog.=) 'e'
      AND n.nspname OPERATOR(pg_catalog.=) 'logintel'
      AND p.proname OPERATOR(pg_catalog.=) 'run_maintenance'
      AND p.prokind OPERATOR(pg_catalog.=) 'p'
      AND p.pronargs OPERATOR(pg_catalog.=) 0)
FROM pg_catalog.pg_extension e
WHERE e.extname OPERATOR(pg_catalog.=) 'logintel'";

/// Entry point of a worker process; the argument is the OID of its database.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn logintel_worker_main(argument: pg_sys::Datum) {
    let oid = argument.value() as u32;
    process::accept_signals();
    // SAFETY: called once, before anything that needs a connection. No role: the bootstrap superuser. The callback
    // is registered after the connection, so that it runs before the connection is closed.
    unsafe {
        pg_sys::BackgroundWorkerInitializeConnectionByOid(pg_sys::Oid::from_u32(oid), pg_sys::InvalidOid, 0);
        pg_sys::before_shmem_exit(Some(on_exit), argument);
    }
    process::name(WORKER);
    if !begin(oid) {
        return;
    }
    settle();
    let result = guarded(|| tick(oid));
    let outcome = match &result {
        Ok(true) => Outcome::Done,
        Ok(false) => Outcome::NoExtension,
        Err(failure) => Outcome::Failed(&failure.message),
    };
    let failed_before = state::look(|table| table.get(oid).map(|d| (d.failures, d.last_error().to_owned())));
    end(oid, outcome);
    tell(oid, &result, failed_before.unwrap_or_default());
    process::report(None);
}

/// Begins the tick; false when another one is under way or the database is no longer watched.
fn begin(oid: u32) -> bool {
    let other = state::look(|table| table.get(oid).map_or(0, |d| d.pid));
    let other_runs = process::is_alive(other);
    // SAFETY: the number of this process.
    let me = unsafe { pg_sys::MyProcPid };
    let now = process::now();
    state::change(|table| table.begin(oid, me, now, |pid| pid != other || other_runs))
}

fn end(oid: u32, outcome: Outcome) {
    // SAFETY: the number of this process.
    let me = unsafe { pg_sys::MyProcPid };
    let (now, interval) = (process::now(), process::interval());
    state::change(|table| table.end(oid, me, outcome, now, interval));
}

/// Ends a tick that did not come to its end: somebody terminated the worker. Finds nothing to do otherwise.
#[pg_guard]
unsafe extern "C-unwind" fn on_exit(_code: c_int, argument: pg_sys::Datum) {
    end(argument.value() as u32, Outcome::Failed("the worker was terminated"));
}

/// What a tick expects of the session, whatever the settings of the server, the database or its owner are.
const SETTINGS: &[(&CStr, &CStr)] = &[
    // A superuser resolves no name in a schema where others may create.
    (c"search_path", c"pg_catalog, pg_temp"),
    (c"role", c"none"),
    (c"default_transaction_isolation", c"read committed"),
    (c"default_transaction_read_only", c"off"),
    // Where policies would hide rows they hide them, rather than fail.
    (c"row_security", c"on"),
    // What depends on a row goes with it, and suppressions are validated, by triggers.
    (c"session_replication_role", c"origin"),
    // A step that fails is told of; it does not end the process.
    (c"exit_on_error", c"off"),
    // What a training may take has a bound of its own.
    #[cfg(any(feature = "pg17", feature = "pg18"))]
    (c"transaction_timeout", c"0"),
];

/// Makes the session what the tick expects.
fn settle() {
    be_superuser();
    for &(name, value) in SETTINGS {
        process::set(name, value);
    }
    // SAFETY: a setting, only read.
    if unsafe { pg_sys::LockTimeout } == 0 {
        process::set(c"lock_timeout", LOCK_TIMEOUT);
    }
}

/// Takes back a `session_authorization` that the database has set.
fn be_superuser() {
    process::transaction(|| {
        // SAFETY: in a transaction, of a role that is always there; the name lives as long as the transaction.
        let name =
            unsafe { CStr::from_ptr(pg_sys::GetUserNameFromId(pg_sys::BOOTSTRAP_SUPERUSERID.into(), false)) };
        process::set(c"session_authorization", name);
    });
}

/// One tick. False when the database does not have the extension.
fn tick(oid: u32) -> bool {
    process::report(Some(c"looking for extension logintel"));
    match look() {
        None => return false,
        Some(true) => {}
        Some(false) => crate::error::fail(
            PgSqlErrorCode::ERRCODE_UNDEFINED_FUNCTION,
            "extension logintel has no procedure run_maintenance()",
            "Run ALTER EXTENSION logintel UPDATE.",
        ),
    }
    let has_stored = follow::tick(oid);
    process::report(Some(CALL));
    // SAFETY: this process runs no other transaction, and has no portal.
    unsafe { execute(CALL) };
    if has_stored {
        follow::remember_wal(oid);
    }
    true
}

/// `None`: no extension. Otherwise whether it has the procedure.
fn look() -> Option<bool> {
    let found = process::transaction(|| {
        Spi::connect(|client| {
            let rows = client.select(LOOK, Some(1), &[])?;
            if rows.is_empty() { Ok(None) } else { rows.first().get_one::<bool>() }
        })
    });
    found.unwrap_or_else(|error: pgrx::spi::Error| {
        crate::error::fail(PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, error.to_string(), "")
    })
}

/// Runs one statement as the main loop of a session would: at the top level, in a portal, so that a procedure may
/// commit. (SPI gives a procedure no portal, and without one it cannot take a new snapshot after its first COMMIT.)
///
/// # Safety
/// Outside of a transaction, and not within another portal.
unsafe fn execute(statement: &'static CStr) {
    unsafe {
        // The parsed statement must outlive the procedure's commits.
        let context = pg_sys::AllocSetContextCreateInternal(
            pg_sys::TopMemoryContext,
            c"logintel tick".as_ptr(),
            pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
            pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
            pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
        );
        pg_sys::debug_query_string = statement.as_ptr();
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::StartTransactionCommand();
        let before = pg_sys::MemoryContextSwitchTo(context);
        let parsed =
            pg_sys::list_nth(pg_sys::pg_parse_query(statement.as_ptr()), 0).cast::<pg_sys::RawStmt>();
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        let analyzed = pg_sys::pg_analyze_and_rewrite_fixedparams(
            parsed,
            statement.as_ptr(),
            std::ptr::null(),
            0,
            null_mut(),
        );
        let planned = pg_sys::pg_plan_queries(analyzed, statement.as_ptr(), 0, null_mut());
        pg_sys::PopActiveSnapshot();

        let portal = pg_sys::CreatePortal(c"".as_ptr(), true, true);
        (*portal).visible = false;
        pg_sys::PortalDefineQuery(
            portal,
            std::ptr::null(),
            statement.as_ptr(),
            pg_sys::CommandTag::CMDTAG_CALL,
            planned,
            null_mut(),
        );
        pg_sys::PortalStart(portal, null_mut(), 0, null_mut());
        let nowhere = pg_sys::CreateDestReceiver(pg_sys::CommandDest::DestNone);
        #[cfg(not(feature = "pg18"))]
        pg_sys::PortalRun(portal, std::ffi::c_long::MAX, true, true, nowhere, nowhere, null_mut());
        #[cfg(feature = "pg18")]
        pg_sys::PortalRun(portal, std::ffi::c_long::MAX, true, nowhere, nowhere, null_mut());
        pg_sys::PortalDrop(portal, false);
        pg_sys::MemoryContextSwitchTo(before);
        pg_sys::CommitTransactionCommand();
        pg_sys::debug_query_string = std::ptr::null();
        pg_sys::MemoryContextDelete(context);
    }
}

/// Writes to the server log what is new: a failure when it is not the same as the last one, and its end.
fn tell(oid: u32, result: &Result<bool, Failure>, (failures, last_error): (u32, String)) {
    let database = || process::transaction(|| databases::name(oid)).unwrap_or_default();
    match result {
        Err(failure) if !failure.message.starts_with(&last_error) || failures == 0 => {
            let mut detail = format!("SQLSTATE {}.", failure.sqlstate);
            if !failure.detail.is_empty() {
                detail = format!("{detail} {}", failure.detail);
            }
            process::log(
                PgLogLevel::WARNING,
                format!("logintel maintenance of database \"{}\" failed: {}", database(), failure.message),
                &detail,
                &failure.hint,
            );
        }
        Ok(true) if failures > 0 => process::log(
            PgLogLevel::LOG,
            format!(
                "logintel maintenance of database \"{}\" works again after {failures} failures",
                database()
            ),
            "",
            "",
        ),
        _ => {}
    }
}
