//! A step of maintenance: a transaction of its own where that is possible, which may fail without the others.
use pgrx::pg_sys;

use crate::error::warn;
use crate::security::RunAs;
use crate::spi::{ActiveSnapshot, Connection};
use crate::subtransaction::attempt;

/// Runs work under a snapshot of its own: after a commit none is active, and what only reads looks through the active one.
pub fn with_snapshot<T>(work: impl FnOnce() -> T) -> T {
    let snapshot = ActiveSnapshot::push();
    let value = work();
    drop(snapshot);
    value
}

/// Runs a step; one that fails warns and does not stop the others.
pub fn step<T>(what: &str, work: impl FnOnce() -> T) -> Option<T> {
    match attempt(|| with_snapshot(work)) {
        Ok(value) => Some(value),
        Err(failure) => {
            warn(
                format!("logintel maintenance, {what}: {} (SQLSTATE {})", failure.message, failure.sqlstate),
                "The other steps go on; this one is tried again at the next tick.",
            );
            None
        }
    }
}

/// Ends the transaction, where that is possible.
pub fn commit(is_atomic: bool) {
    if !is_atomic {
        // SAFETY: a non-atomic connection is opened for the commit and closed after it.
        unsafe {
            pg_sys::SPI_connect_ext(pg_sys::SPI_OPT_NONATOMIC as i32);
            pg_sys::SPI_commit();
            pg_sys::SPI_finish();
        }
    }
}

/// Names that a query gives.
pub fn list(sql: &str) -> Vec<String> {
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let rows = spi.read(sql, &[]);
    (0..rows.len()).filter_map(|row| rows.text(row, 1)).collect()
}
