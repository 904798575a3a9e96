//! Work of a tick that may fail without ending the process: it runs transactions of its own.
use std::panic::AssertUnwindSafe;

use pgrx::prelude::*;

use crate::subtransaction::report_of;

/// What went wrong.
pub struct Failure {
    pub sqlstate: PgSqlErrorCode,
    pub message: String,
    pub detail: String,
    pub hint: String,
}

/// Runs `body`; an error becomes a value, and its transaction is over.
pub fn guarded<R>(body: impl FnOnce() -> R) -> Result<R, Failure> {
    PgTryBuilder::new(AssertUnwindSafe(|| Ok(body())))
        .catch_others(|error| {
            let report = report_of(&error);
            // SAFETY: ends whatever transaction the error left behind.
            unsafe { pg_sys::AbortOutOfAnyTransaction() };
            Err(Failure {
                sqlstate: report.sql_error_code(),
                message: report.message().to_owned(),
                detail: report.detail().unwrap_or_default().to_owned(),
                hint: report.hint().unwrap_or_default().to_owned(),
            })
        })
        .execute()
}
