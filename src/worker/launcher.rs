//! The launcher: connected to no database, it decides where the next tick is due and starts a worker for it.
use super::blocking;
use super::databases::{self, Found};
use super::schedule::{MAX_DATABASES, Micros, Outcome, SECOND};
use super::{LAUNCHER, LIBRARY, WORKER, process, state};
use crate::settings::{self, Databases};
use pgrx::bgworkers::BackgroundWorkerBuilder;
use pgrx::prelude::*;
use std::collections::BTreeSet;
use std::ptr::null;

/// Longest time between two looks at which databases there are.
const SCAN: Micros = 60 * SECOND;
/// Time to look again while ticks are under way: the end of one wakes the launcher, somebody who waits for the
/// database does not.
const WATCH: Micros = SECOND;
/// A tick that takes longer is ended. Its statements have limits of their own, but a user's function may catch the cancel that they end with.
const LONGEST_TICK: Micros = 2 * 3600 * SECOND;
/// Time to wait after no worker could be started.
const NO_SLOT: Micros = 30 * SECOND;
/// Shortest time between two complaints about the same thing.
const COMPLAIN: Micros = 600 * SECOND;

/// Entry point of the launcher process.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn logintel_launcher_main(_argument: pg_sys::Datum) {
    process::accept_signals();
    // SAFETY: called once, before anything that needs a connection. No name of a database: shared catalogs only.
    unsafe { pg_sys::BackgroundWorkerInitializeConnection(null(), null(), 0) };
    process::name(LAUNCHER);
    let mut launcher = Launcher::default();
    loop {
        process::report(Some(c"looking for databases where a tick is due"));
        let pause = launcher.round();
        process::report(None);
        if wait(pause) {
            launcher.reload();
        }
    }
}

/// Waits on the latch, at most `pause`. True when the settings have been read anew.
fn wait(pause: Micros) -> bool {
    let events = pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
    // SAFETY: our own latch. Errors and termination leave the process.
    unsafe {
        let milliseconds = (pause / 1000).max(1);
        pg_sys::WaitLatch(pg_sys::MyLatch, events as i32, milliseconds, pg_sys::PG_WAIT_EXTENSION);
        pg_sys::ResetLatch(pg_sys::MyLatch);
        pg_sys::check_for_interrupts!();
        let reload = (&raw const pg_sys::ConfigReloadPending).read_volatile() != 0;
        if reload {
            (&raw mut pg_sys::ConfigReloadPending).write_volatile(0);
            pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP);
        }
        reload
    }
}

/// A worker that was started and has not been seen to end.
struct Running {
    oid: u32,
    name: String,
    since: Micros,
    gives_way: bool,
    handle: *mut pg_sys::BackgroundWorkerHandle,
}

#[derive(Default)]
struct Launcher {
    running: Vec<Running>,
    /// When `pg_database` was last read.
    scanned: Micros,
    /// Names in `logintel.databases` that do not exist; each is told once.
    missing: BTreeSet<String>,
    /// No worker could be started; wait until then.
    blocked_until: Micros,
    /// When that was last complained about.
    complained: Micros,
    /// That there are too many databases has been told.
    told_left_out: bool,
}

impl Launcher {
    /// Does what is due and returns how long there is nothing to do.
    fn round(&mut self) -> Micros {
        self.reap();
        if self.is_due(process::now()) {
            let found = self.watch();
            self.launch(&found);
        }
        self.give_way();
        self.pause()
    }

    /// The settings have changed: who rests because of an error or a missing extension may have been helped.
    fn reload(&mut self) {
        state::change(super::schedule::Table::wake);
        self.scanned = 0;
        self.missing.clear();
        self.told_left_out = false;
    }

    fn is_due(&self, now: Micros) -> bool {
        let interval = process::interval();
        now >= self.scanned + SCAN
            || now >= self.blocked_until
                && state::look(|table| table.iter().any(|d| d.pid == 0 && d.due(interval) <= now))
    }

    /// Ends the ticks whose worker is gone without having said so.
    fn reap(&mut self) {
        let (now, interval) = (process::now(), process::interval());
        self.running.retain(|worker| {
            if !has_stopped(worker.handle) {
                return true;
            }
            // SAFETY: the handle was allocated by PostgreSQL for us, and is not used again.
            unsafe { pg_sys::pfree(worker.handle.cast()) };
            state::change(|table| {
                if table.get(worker.oid).is_some_and(|d| d.pid == 0 && d.last_start < worker.since) {
                    let outcome =
                        Outcome::Failed("the worker ended before its tick began; the server log says why");
                    table.end(worker.oid, 0, outcome, now, interval);
                }
            });
            false
        });
        // A worker of an earlier launcher: nobody told us of its end.
        let lost: Vec<_> =
            state::snapshot().into_iter().filter(|d| d.pid != 0 && !process::is_alive(d.pid)).collect();
        for database in lost {
            let outcome = Outcome::Failed("the worker is gone");
            state::change(|table| table.end(database.oid, database.pid, outcome, now, interval));
        }
    }

    /// Reads which databases there are and watches those that the setting names.
    fn watch(&mut self) -> Vec<Found> {
        let mut found = databases::scan();
        self.scanned = process::now();
        match settings::databases() {
            Databases::All => found.retain(|database| !database.is_template),
            Databases::Named(names) => {
                self.tell_missing(&names, &found);
                found.retain(|database| names.contains(&database.name));
            }
        }
        let oids: Vec<u32> = found.iter().map(|database| database.oid).collect();
        let left_out = state::change(|table| table.watch(&oids));
        if left_out > 0 && !self.told_left_out {
            self.told_left_out = true;
            process::log(
                PgLogLevel::WARNING,
                format!("logintel does not watch {left_out} databases: it watches at most {MAX_DATABASES}"),
                "",
                "Name those that have the extension in logintel.databases.",
            );
        }
        found
    }

    fn tell_missing(&mut self, names: &[String], found: &[Found]) {
        let exists = |name: &String| found.iter().any(|database| database.name == *name);
        self.missing.retain(|name| !exists(name));
        for name in names {
            if !exists(name) && self.missing.insert(name.clone()) {
                process::log(
                    PgLogLevel::LOG,
                    format!(
                        "logintel waits for database \"{name}\", which does not exist or takes no connections"
                    ),
                    "It is named in logintel.databases.",
                    "",
                );
            }
        }
    }

    /// Starts a worker wherever a tick is due, the longest due first.
    fn launch(&mut self, found: &[Found]) {
        let (now, interval) = (process::now(), process::interval());
        if now < self.blocked_until {
            return;
        }
        let mut due: Vec<(Micros, u32)> = state::look(|table| {
            table
                .iter()
                .filter(|d| d.pid == 0)
                .map(|d| (d.due(interval), d.oid))
                .filter(|&(at, _)| at <= now)
                .collect()
        });
        due.sort_unstable();
        for (_, oid) in due {
            if self.running.len() >= max_workers() {
                return;
            }
            let Some(database) = found.iter().find(|database| database.oid == oid) else { continue };
            if self.running.iter().any(|worker| worker.oid == oid) || databases::is_wanted(oid) {
                continue;
            }
            match start_worker(oid) {
                Some(handle) => self.running.push(Running {
                    oid,
                    name: database.name.clone(),
                    since: now,
                    gives_way: false,
                    handle,
                }),
                None => return self.block(now),
            }
        }
    }

    /// There is no free worker process: wait, and say so now and then.
    fn block(&mut self, now: Micros) {
        self.blocked_until = now + NO_SLOT;
        if self.complained == 0 || now >= self.complained + COMPLAIN {
            self.complained = now;
            process::log(
                PgLogLevel::WARNING,
                "logintel could not start a background worker".into(),
                "All worker processes are in use. It is tried again every 30 seconds.",
                "Raise max_worker_processes and restart the server.",
            );
        }
    }

    /// Ends the ticks in databases that somebody wants for himself, that keep a command from a table, or that do not end by themselves.
    fn give_way(&mut self) {
        let now = process::now();
        for worker in &mut self.running {
            if worker.gives_way || now < worker.since + WATCH {
                continue;
            }
            let Some(why) = why_to_end(worker, now) else { continue };
            worker.gives_way = true;
            process::log(
                PgLogLevel::LOG,
                format!("logintel ends its tick in database \"{}\" early: {why}", worker.name),
                "",
                "",
            );
            state::change(|table| table.give_way(worker.oid));
            // SAFETY: the handle is ours until the worker has been seen to end.
            unsafe { pg_sys::TerminateBackgroundWorker(worker.handle) };
        }
    }

    /// How long there is nothing to do.
    fn pause(&self) -> Micros {
        let (now, interval) = (process::now(), process::interval());
        let (ticking, next) = state::look(|table| {
            let ticking = table.iter().any(|d| d.pid != 0);
            (ticking, table.iter().filter(|d| d.pid == 0).map(|d| d.due(interval)).min())
        });
        let next = next.unwrap_or(Micros::MAX).max(self.blocked_until).min(self.scanned + SCAN);
        // What is due now and was not started waits for a worker to end, or for a command to leave its database.
        let next = if next <= now { now + WATCH } else { next };
        if ticking || !self.running.is_empty() { (next - now).min(WATCH) } else { next - now }
    }
}

/// Why a tick is ended, if it is.
fn why_to_end(worker: &Running, now: Micros) -> Option<&'static str> {
    let pid = state::look(|table| table.get(worker.oid).map_or(0, |database| database.pid));
    if databases::is_wanted(worker.oid) {
        Some("another command wants the database")
    } else if pid != 0 && blocking::keeps_somebody_waiting(pid) {
        Some("another command wants a table that it uses")
    } else if now >= worker.since + LONGEST_TICK {
        Some("it has gone on for two hours")
    } else {
        None
    }
}

/// Ticks at once: half of the worker processes, so that parallel queries keep the rest.
fn max_workers() -> usize {
    // SAFETY: set at server start, only read.
    let all = unsafe { pg_sys::max_worker_processes };
    (all as usize / 2).max(1)
}

/// Starts a worker for one tick; `None` when there is no free worker process.
fn start_worker(oid: u32) -> Option<*mut pg_sys::BackgroundWorkerHandle> {
    // SAFETY: the number of this process.
    let me = unsafe { pg_sys::MyProcPid };
    let builder = BackgroundWorkerBuilder::new(WORKER)
        .set_type(WORKER)
        .set_library(LIBRARY)
        .set_function("logintel_worker_main")
        .enable_spi_access()
        .set_argument(Some(pg_sys::Datum::from(oid)))
        .set_notify_pid(me);
    let mut worker: pg_sys::BackgroundWorker = (&builder).into();
    let mut handle = std::ptr::null_mut();
    // SAFETY: PostgreSQL copies the registration; the handle must outlive transactions.
    let started = unsafe {
        let before = pg_sys::MemoryContextSwitchTo(pg_sys::TopMemoryContext);
        let started = pg_sys::RegisterDynamicBackgroundWorker(&raw mut worker, &raw mut handle);
        pg_sys::MemoryContextSwitchTo(before);
        started
    };
    started.then_some(handle)
}

/// Whether a worker has ended.
fn has_stopped(handle: *mut pg_sys::BackgroundWorkerHandle) -> bool {
    let mut pid = 0;
    // SAFETY: a handle of ours.
    let status = unsafe { pg_sys::GetBackgroundWorkerPid(handle, &raw mut pid) };
    status == pg_sys::BgwHandleStatus::BGWH_STOPPED
}
