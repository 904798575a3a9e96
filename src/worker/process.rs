//! What launcher and worker have in common as processes.
use super::schedule::Micros;
use crate::settings;
use pgrx::bgworkers::{BackgroundWorker, SignalWakeFlags};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::ffi::{CStr, CString, c_int};

/// Takes the signal handlers of an ordinary session, and lets signals in.
///
/// With PostgreSQL's `die` for SIGTERM every wait and every query ends at the next check for interrupts, so that a
/// fast shutdown is fast; a handler that only sets a flag of our own would let a long query run to its end.
/// `die` ends the process with exit code 1, after which the postmaster starts a launcher again.
pub fn accept_signals() {
    unsafe extern "C-unwind" {
        // The raw symbol: as a handler, PostgreSQL needs the function itself and not a guarded wrapper.
        #[link_name = "die"]
        fn postgres_die(signal: c_int);
    }
    // SAFETY: PostgreSQL's own handler for its own signal.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        pg_sys::pqsignal(pg_sys::SIGTERM as c_int, Some(postgres_die));
        #[cfg(feature = "pg18")]
        pg_sys::pqsignal_be(pg_sys::SIGTERM as c_int, Some(postgres_die));
    }
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP);
}

/// Runs `body` in a transaction of its own. An error leaves the transaction open: whoever catches it ends it.
pub fn transaction<R>(body: impl FnOnce() -> R) -> R {
    // SAFETY: these processes run one transaction at a time.
    unsafe {
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::StartTransactionCommand();
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        let result = body();
        pg_sys::PopActiveSnapshot();
        pg_sys::CommitTransactionCommand();
        result
    }
}

/// Sets a setting for the rest of this process, as the superuser that it is.
pub fn set(name: &CStr, value: &CStr) {
    // SAFETY: C strings; PostgreSQL copies them.
    unsafe {
        pg_sys::SetConfigOption(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_SUSET,
            pg_sys::GucSource::PGC_S_SESSION,
        );
    }
}

/// Shows in `pg_stat_activity` what this process is and does; `None` when it does nothing.
pub fn report(activity: Option<&CStr>) {
    use pg_sys::BackendState::{STATE_IDLE, STATE_RUNNING};
    let (state, text) = match activity {
        Some(text) => (STATE_RUNNING, text.as_ptr()),
        None => (STATE_IDLE, c"".as_ptr()),
    };
    // SAFETY: PostgreSQL copies the text.
    unsafe { pg_sys::pgstat_report_activity(state, text) };
}

/// Names this process in `pg_stat_activity` and in log lines.
pub fn name(name: &str) {
    if let Ok(name) = CString::new(name) {
        set(c"application_name", &name);
    }
}

/// Writes to the server log.
pub fn log(level: PgLogLevel, message: String, detail: &str, hint: &str) {
    let mut report = ErrorReport::new(PgSqlErrorCode::ERRCODE_WARNING, message, "logintel");
    if !detail.is_empty() {
        report = report.set_detail(detail);
    }
    if !hint.is_empty() {
        report = report.set_hint(hint);
    }
    report.report(level);
}

/// Now.
pub fn now() -> Micros {
    // SAFETY: reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }
}

/// `logintel.interval` in the schedule's unit.
pub fn interval() -> Micros {
    settings::interval().as_micros() as Micros
}

/// Whether a session or worker with this process id is there.
pub fn is_alive(pid: i32) -> bool {
    // SAFETY: a look-up by number under PostgreSQL's own lock; the result is only compared with NULL.
    pid != 0 && unsafe { !pg_sys::BackendPidGetProc(pid).is_null() }
}
