//! A piece of work that may fail without failing what is around it.
use pgrx::pg_sys;
use pgrx::pg_sys::panic::{CaughtError, ErrorReportWithLevel};
use pgrx::prelude::*;
use std::panic::AssertUnwindSafe;

/// What went wrong inside.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Five characters.
    pub sqlstate: String,
    /// The error's message.
    pub message: String,
    /// The way out, where the error tells one.
    pub hint: Option<String>,
}

impl Failure {
    /// The message, with the way out.
    pub fn in_full(&self) -> String {
        let Failure { message, hint, .. } = self;
        hint.as_ref().map_or_else(|| message.clone(), |hint| format!("{message} ({hint})"))
    }
}

/// Runs `work` in a subtransaction and rolls it back if it fails. What must not be swallowed is raised again: a
/// cancel, a timeout, a shutdown, a lack of memory, and whatever dooms the transaction as a whole.
///
/// # Errors
/// Any other error, as its SQLSTATE and message.
pub fn attempt<T>(work: impl FnOnce() -> T) -> Result<T, Failure> {
    attempt_unless(must_raise, work)
}

/// The same; `must_raise` says of an SQLSTATE whether it is raised again.
///
/// # Errors
/// Any other error, as its SQLSTATE and message.
pub fn attempt_unless<T>(must_raise: fn(&str) -> bool, work: impl FnOnce() -> T) -> Result<T, Failure> {
    // SAFETY: the subtransaction is released or rolled back on each way out, and the caller's memory context and
    // resource owner are put back, as PL/pgSQL does.
    let (context, owner) = unsafe { (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner) };
    let restore = move || unsafe {
        pg_sys::MemoryContextSwitchTo(context);
        pg_sys::CurrentResourceOwner = owner;
    };
    unsafe {
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(context);
    }
    let run = AssertUnwindSafe(|| {
        let value = work();
        unsafe { pg_sys::ReleaseCurrentSubTransaction() };
        restore();
        Ok(value)
    });
    PgTryBuilder::new(run)
        .catch_others(move |error| {
            let failure = failure_of(&error);
            unsafe {
                pg_sys::MemoryContextSwitchTo(context);
                pg_sys::RollbackAndReleaseCurrentSubTransaction();
            }
            restore();
            if must_raise(&failure.sqlstate) {
                error.rethrow();
            }
            Err(failure)
        })
        .execute()
}

/// Classes 40 (the transaction is doomed), 57 (operator intervention), and memory.
pub fn must_raise(sqlstate: &str) -> bool {
    sqlstate.starts_with("40") || sqlstate.starts_with("57") || sqlstate == "53200"
}

/// What PostgreSQL would say of an error.
pub fn report_of(error: &CaughtError) -> &ErrorReportWithLevel {
    let (CaughtError::PostgresError(report)
    | CaughtError::ErrorReport(report)
    | CaughtError::RustPanic { ereport: report, .. }) = error;
    report
}

fn failure_of(error: &CaughtError) -> Failure {
    let report = report_of(error);
    Failure {
        sqlstate: unpack(report.sql_error_code() as i32),
        message: report.message().to_owned(),
        hint: report.hint().map(str::to_owned),
    }
}

/// PostgreSQL packs the five characters of an SQLSTATE into six bits each.
fn unpack(mut code: i32) -> String {
    let mut text = String::with_capacity(5);
    for _ in 0..5 {
        text.push(char::from((code & 0x3f) as u8 + b'0'));
        code >>= 6;
    }
    text
}
