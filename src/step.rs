//! Steps of maintenance: each in a transaction of its own where that is possible, and each may fail without the others.
//!
//! A step writes what became of it into `worker_steps`, in the transaction of its work. One that fails again and again is
//! not tried at each tick: the worker lets it rest, longer after each failure, and says an error once. Whoever runs
//! maintenance in a session of his own wants it done now: there every step is tried, and every error is said.
use std::time::{Duration, Instant};

use pgrx::pg_sys;

use crate::backoff::{Micros, backoff};
use crate::deadline::attempt_within;
use crate::error::warn;
use crate::lock::is_detector_free;
use crate::security::RunAs;
use crate::settings;
use crate::spi::{ActiveSnapshot, Arg, Connection, arg, text_arg};
use crate::subtransaction::{Failure, attempt};

/// After work that takes long, and after a failure, this many times as long passes before the next.
const REST: f64 = 20.0;
/// Seconds of work that are never waited for.
const SHORT: f64 = 0.5;
/// Seconds after which a failed step is tried again, however long it took.
const LONGEST: f64 = 600.0;
/// Most bytes kept of an error message.
const MAX_ERROR: usize = 1000;

/// Runs work under a snapshot of its own: after a commit none is active, and what only reads looks through the active one.
pub fn with_snapshot<T>(work: impl FnOnce() -> T) -> T {
    let snapshot = ActiveSnapshot::push();
    let value = work();
    drop(snapshot);
    value
}

/// Seconds to wait after work that took so long, so that it takes no more than a small share of the time: where what it
/// costs depends on what is there and not on what is new.
pub fn rest_after(work: Duration) -> f64 {
    (REST * (work.as_secs_f64() - SHORT)).max(0.0)
}

/// What one go at a step has done.
#[derive(Debug, Default)]
pub struct Done {
    /// Rows of whatever the step works on.
    pub rows: u64,
    /// Whether there is more to do now.
    pub more: bool,
    /// Seconds that the worker waits before the next.
    pub rest: f64,
    /// An error that the step has dealt with itself.
    pub error: Option<String>,
    /// Whether it only prepared the step, and is not told of.
    pub is_preparation: bool,
}

impl Done {
    /// So many rows.
    pub fn rows(rows: u64) -> Self {
        Done { rows, ..Done::default() }
    }

    /// What only prepares the step, and is not told of.
    pub fn preparation() -> Self {
        Done { is_preparation: true, ..Done::default() }
    }
}

/// A step of maintenance, for one detector or for the database.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    name: &'static str,
    detector: Option<&'a str>,
    limit: Option<Duration>,
    begun: Instant,
}

/// What is known of a step.
#[derive(Debug, Default)]
struct State {
    failures: i32,
    error: Option<String>,
    rests: bool,
    /// Whether it was written a moment ago.
    is_fresh: bool,
}

impl<'a> Step<'a> {
    /// A step for the whole database.
    pub fn of_database(name: &'static str) -> Self {
        Step { name, detector: None, limit: None, begun: Instant::now() }
    }

    /// A step for a detector.
    pub fn of(name: &'static str, detector: &'a str) -> Self {
        Step { detector: Some(detector), ..Step::of_database(name) }
    }

    /// What takes longer than this fails.
    pub fn within(self, limit: Duration) -> Self {
        Step { limit: Some(limit), ..self }
    }

    /// It began earlier.
    pub fn since(self, begun: Instant) -> Self {
        Step { begun, ..self }
    }

    /// Does it, unless it rests: as long as there is more to do, each time in a transaction of its own.
    pub fn run(self, is_atomic: bool, mut work: impl FnMut() -> Done) {
        let mut before = self.state();
        if is_worker() && (before.rests || self.is_busy()) {
            return;
        }
        let (mut rows, mut is_first) = (0, true);
        loop {
            let mut go = || {
                with_snapshot(|| {
                    let done = work();
                    rows += done.rows;
                    self.succeeded(&before, &done, rows, is_first);
                    done.more
                })
            };
            let result = match self.limit {
                None => attempt(&mut go),
                Some(limit) => attempt_within(limit, &mut go),
            };
            let more = match result {
                Ok(more) => more,
                Err(failure) => {
                    self.failed(&before, &failure);
                    false
                }
            };
            commit(is_atomic);
            if !more {
                return;
            }
            (before, is_first) = (State::default(), false);
        }
    }

    /// Whether another session is changing its detector: the worker comes back with the next tick. If it waited, whoever keeps detectors of his
    /// own locked would keep it from everybody's.
    fn is_busy(&self) -> bool {
        self.detector.is_some_and(|name| !is_detector_free(name))
    }

    /// The condition for its row, whose parameters are the first two.
    fn key(&self) -> (&'static str, [Arg; 2]) {
        let condition =
            if self.detector.is_some() { "detector = $1" } else { "$1 IS NULL AND detector IS NULL" };
        let detector = self.detector.map_or((pg_sys::TEXTOID, None), text_arg);
        (condition, [detector, arg(self.name)])
    }

    fn state(&self) -> State {
        let (condition, key) = self.key();
        let read = || {
            with_snapshot(|| {
                let _owner = RunAs::extension_owner();
                let spi = Connection::open();
                let rows = spi.read(
                    &format!(
                        "SELECT failures, last_error, coalesce(next_run > clock_timestamp(), false), \
                                last_run > clock_timestamp() - interval '1 minute' \
                         FROM logintel.worker_steps WHERE {condition} AND step = $2"
                    ),
                    &key,
                );
                if rows.len() == 0 {
                    return State::default();
                }
                State {
                    failures: rows.must(0, 1),
                    error: rows.text(0, 2),
                    rests: rows.must(0, 3),
                    is_fresh: rows.must(0, 4),
                }
            })
        };
        // What is not known keeps nothing from being done.
        attempt(read).unwrap_or_default()
    }

    /// Writes down what was done; of what found nothing to do the worker, once a minute, that it looked.
    fn succeeded(&self, before: &State, done: &Done, rows: u64, is_first: bool) {
        let is_idle = done.rows == 0 && done.rest == 0.0 && done.error.is_none();
        let is_news = before.failures > 0 || before.rests;
        if is_idle && !is_news && (before.is_fresh && is_worker() || done.is_preparation || !is_first) {
            return;
        }
        let failed = i64::from(done.error.is_some());
        self.write(
            "last_rows = excluded.last_rows, failures = 0, next_run = excluded.next_run",
            &[
                arg(rows as i64),
                arg(done.rows as i64),
                arg(i64::from(is_first && !done.is_preparation)),
                arg(failed),
                arg(0),
                arg(done.error.as_deref().map(cut)),
                arg(Some(done.rest).filter(|&rest| rest > 0.0)),
            ],
        );
    }

    /// Writes a failure down, and when to try again.
    fn failed(&self, before: &State, failure: &Failure) {
        let failures = before.failures.saturating_add(1);
        let pause = self.pause(failures);
        let message = cut(&failure.in_full());
        let written = attempt(|| {
            with_snapshot(|| {
                self.write(
                    "failures = excluded.failures, next_run = excluded.next_run",
                    &[
                        arg(0_i64),
                        arg(0_i64),
                        arg(1_i64),
                        arg(1_i64),
                        arg(failures),
                        arg(Some(message.clone())),
                        arg(Some(pause)),
                    ],
                );
            });
        });
        if is_worker()
            && before.failures > 0
            && before.error.as_deref() == Some(&message.0)
            && written.is_ok()
        {
            return;
        }
        let of = self.detector.map_or_else(String::new, |name| format!(" of detector \"{name}\""));
        tell(
            &format!("{}{of}", self.name),
            failure,
            "The other steps go on. The worker tries this one again after a growing pause, and says the same error once; logintel.worker_stats tells of it.",
        );
    }

    /// Seconds before a step that has failed so often is tried again.
    fn pause(&self, failures: i32) -> f64 {
        let seed = self.name.bytes().chain(self.detector.unwrap_or_default().bytes());
        let seed =
            seed.fold(i64::from(failures), |seed, byte| seed.wrapping_mul(31).wrapping_add(i64::from(byte)));
        let interval = settings::interval().as_micros() as Micros;
        let pause = backoff(failures.unsigned_abs(), interval, seed) as f64 / 1e6;
        pause.max((REST * self.begun.elapsed().as_secs_f64()).min(LONGEST))
    }

    /// Adds to its row. The values: rows in all, rows new, runs, errors, failures in a row, error, seconds to rest.
    fn write(&self, also: &str, values: &[Arg; 7]) {
        let (_, key) = self.key();
        let _owner = RunAs::extension_owner();
        // A detector that is dropped meanwhile takes its rows along, and gets no new one; for one that somebody is renaming, or dropping,
        // nobody waits.
        Connection::open().write(
            &format!(
                "INSERT INTO logintel.worker_steps AS s (detector, step, last_run, last_duration, last_rows, rows, runs, errors, \
                     failures, last_error, last_error_at, next_run) \
                 SELECT $1, $2, clock_timestamp(), make_interval(secs => $10), $3, $4, $5, $6, $7, $8, \
                        CASE WHEN $6 > 0 THEN clock_timestamp() END, clock_timestamp() + make_interval(secs => $9) \
                 WHERE $1 IS NULL OR EXISTS (SELECT FROM logintel.detectors WHERE name = $1 FOR KEY SHARE SKIP LOCKED) \
                 ON CONFLICT (detector, step) DO UPDATE SET {also}, last_run = excluded.last_run, \
                     last_duration = excluded.last_duration, rows = s.rows + excluded.rows, runs = s.runs + excluded.runs, \
                     errors = s.errors + excluded.errors, last_error = coalesce(excluded.last_error, s.last_error), \
                     last_error_at = coalesce(excluded.last_error_at, s.last_error_at)"
            ),
            &key.into_iter()
                .chain(values.iter().copied())
                .chain([arg(self.begun.elapsed().as_secs_f64())])
                .collect::<Vec<_>>(),
        );
    }
}

/// The beginning of an error message.
fn cut(message: &str) -> crate::text::Text {
    crate::text::Text(message[..message.floor_char_boundary(MAX_ERROR)].to_owned())
}

/// Whether this process works in the background.
fn is_worker() -> bool {
    // SAFETY: set when the process starts, and only read.
    unsafe { pg_sys::MyBackendType == pg_sys::BackendType::B_BG_WORKER }
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

/// Names of detectors that a query gives; none where it fails, which is said.
pub fn list(sql: &str) -> Vec<String> {
    let read = || {
        with_snapshot(|| {
            let _owner = RunAs::extension_owner();
            let spi = Connection::open();
            let rows = spi.read(sql, &[]);
            (0..rows.len()).filter_map(|row| rows.text(row, 1)).collect()
        })
    };
    attempt(read).unwrap_or_else(|failure| {
        tell("listing the detectors", &failure, "The other steps go on.");
        Vec::new()
    })
}

/// Warns of a failure; of one of an extension that was dropped meanwhile there is nothing to say.
fn tell(what: &str, failure: &Failure, hint: &str) {
    // SAFETY: a catalog look-up by a C string, in a transaction.
    let is_dropped = unsafe { pg_sys::get_namespace_oid(c"logintel".as_ptr(), true) == pg_sys::InvalidOid };
    if !is_dropped {
        warn(
            format!("logintel maintenance, {what}: {} (SQLSTATE {})", failure.message, failure.sqlstate),
            hint,
        );
    }
}
