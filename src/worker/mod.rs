//! The background worker: it runs `logintel.run_maintenance()` in every database that has the extension.
//!
//! A launcher, started with the server, is connected to no database. It starts a worker for each tick; the worker
//! connects to one database, runs one tick, and exits. So nothing stays connected between ticks, and a database
//! can be dropped, renamed or copied.
//!
//! | module | question it answers |
//! |---|---|
//! | [`schedule`] | when is whose turn (pure) |
//! | [`state`] | what do launcher, workers and sessions know of each other (shared memory) |
//! | [`process`] | what is common to both processes: signals, settings, log |
//! | [`databases`] | which databases are there, and does somebody want one for himself |
//! | [`blocking`] | does somebody wait for what a worker has locked |
//! | [`launcher`] | the launcher's rounds |
//! | [`tick`] | one tick in one database |
//! | [`follow`] | the server's own log: is it taken here, and what has come |
//!
//! Everything else in logintel works without the worker.
use pgrx::bgworkers::BackgroundWorkerBuilder;
use pgrx::prelude::*;
use std::time::Duration;

mod blocking;
mod databases;
mod follow;
mod guard;
mod launcher;
mod process;
mod schedule;
mod state;
mod tick;

/// The library that PostgreSQL loads to start our processes.
const LIBRARY: &str = "logintel";
/// `backend_type` and `application_name` of the launcher.
const LAUNCHER: &str = "logintel launcher";
/// `backend_type` and `application_name` of a worker.
const WORKER: &str = "logintel worker";
/// Time after which the launcher comes back when it was ended.
const RESTART: Duration = Duration::from_secs(5);

/// Asks for shared memory and registers the launcher, when the library is in `shared_preload_libraries`. For `_PG_init`.
pub fn register() {
    // SAFETY: both are set before libraries are loaded, and only read.
    let (preloading, upgrading) =
        unsafe { (pg_sys::process_shared_preload_libraries_in_progress, pg_sys::IsBinaryUpgrade) };
    if !preloading {
        return;
    }
    state::request();
    if upgrading {
        // pg_upgrade needs its databases undisturbed.
        return;
    }
    BackgroundWorkerBuilder::new(LAUNCHER)
        .set_type(LAUNCHER)
        .set_library(LIBRARY)
        .set_function("logintel_launcher_main")
        .enable_spi_access()
        .set_restart_time(Some(RESTART))
        .load();
}

#[pg_extern(volatile, parallel_restricted)]
#[allow(clippy::type_complexity)]
/// One row for each database that the worker knows. No rows when logintel is not in `shared_preload_libraries`.
fn worker_state() -> TableIterator<
    'static,
    (
        name!(database, Option<String>),
        name!(has_extension, Option<bool>),
        name!(last_start, Option<TimestampWithTimeZone>),
        name!(last_end, Option<TimestampWithTimeZone>),
        name!(failures, i64),
        name!(last_error, Option<String>),
        name!(next_start, Option<TimestampWithTimeZone>),
        name!(server_log, Option<String>),
    ),
> {
    let interval = process::interval();
    let rows: Vec<_> = state::snapshot()
        .into_iter()
        .map(|database| {
            let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            (
                databases::name(database.oid),
                database.has_extension,
                timestamp(database.last_start),
                timestamp(database.last_end),
                i64::from(database.failures),
                text(database.last_error()),
                (database.pid == 0).then(|| timestamp(database.due(interval))).flatten(),
                text(database.server_log()),
            )
        })
        .collect();
    TableIterator::new(rows)
}

/// A moment as PostgreSQL counts it; 0 stands for never.
fn timestamp(micros: schedule::Micros) -> Option<TimestampWithTimeZone> {
    (micros != 0).then(|| TimestampWithTimeZone::try_from(micros).ok()).flatten()
}

extension_sql!(
    r"
REVOKE ALL ON FUNCTION worker_state() FROM PUBLIC;
COMMENT ON FUNCTION worker_state() IS
'What the background worker knows of each database: when it last worked there, what went wrong, when it comes again, and in the one that takes the server''s own log, whether that is followed. No rows when logintel is not in shared_preload_libraries.';
",
    name = "worker_state_privileges",
    requires = [worker_state]
);
