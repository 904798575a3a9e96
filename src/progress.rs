//! How far long calls have come, for other connections to read: the view `logintel.progress`.
//!
//! A call goes through phases. Of each is told how much is done, how much there is (counted, or where rows come from a query,
//! as the planner estimated them), and what the pace so far says of the time that is left.
//!
//! Each call that may be long holds one slot of shared memory, which is asked for where the library is preloaded, and
//! from PostgreSQL 17 on taken from its registry elsewhere. Slots are numbers that are written without a lock;
//! a reader may see a phase with the count of the one before, never a torn number. A backend that ends without
//! giving its slot back is told by its process number, which no longer lives.
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};

use pgrx::{PGRXSharedMemory, PgLwLock, pg_shmem_init, prelude::*};

/// Calls that can be shown at a time; more run all the same.
const SLOTS: usize = 256;

/// What the engine and the surface call their phases; a slot holds a position in this list.
const PHASES: [&str; 17] = [
    "starting",
    "querying",
    "reading",
    "templates",
    "vocabulary",
    "vectors",
    "calibration",
    "sessions",
    "scoring",
    "matching",
    "core rows",
    "joining core rows",
    "border rows",
    "core distances",
    "spanning tree",
    "hierarchy",
    "other",
];
/// What is called.
const COMMANDS: [&str; 12] = [
    "train",
    "score_history",
    "dbscan_cluster",
    "hdbscan_cluster",
    "log_timeline",
    "compare_models",
    "score_sessions",
    "standard_scale",
    "tfidf_fit",
    "log_template",
    "measure_drift",
    "suppression_preview",
];

/// How much there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Total {
    Unknown,
    Counted(u64),
    /// By the planner, before the first row was read.
    Estimated(u64),
}

#[derive(Default)]
struct Slot {
    /// 0 for a free slot.
    pid: AtomicU32,
    database: AtomicU32,
    command: AtomicU32,
    phase: AtomicU32,
    done: AtomicU64,
    /// 0 where it is not known.
    total: AtomicU64,
    is_estimate: AtomicBool,
    /// Microseconds since 2000.
    started: AtomicI64,
    phase_started: AtomicI64,
    /// What was done when the phase was first told of.
    first: AtomicU64,
}

impl Slot {
    /// A phase begins, with so much done.
    fn begin_phase(&self, phase: u32, done: u64) {
        // SAFETY: reads a clock.
        self.phase_started.store(unsafe { pg_sys::GetCurrentTimestamp() }, Ordering::Relaxed);
        self.first.store(done, Ordering::Relaxed);
        self.phase.store(phase, Ordering::Relaxed);
    }

    fn set(&self, done: u64, total: Total) {
        let (total, is_estimate) = match total {
            Total::Unknown => (0, false),
            Total::Counted(rows) => (rows, false),
            Total::Estimated(rows) => (rows, true),
        };
        self.done.store(done, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        self.is_estimate.store(is_estimate, Ordering::Relaxed);
    }

    fn total(&self) -> Total {
        match (self.total.load(Ordering::Relaxed), self.is_estimate.load(Ordering::Relaxed)) {
            (0, _) => Total::Unknown,
            (rows, false) => Total::Counted(rows),
            (rows, true) => Total::Estimated(rows),
        }
    }
}

struct Slots([Slot; SLOTS]);

impl Default for Slots {
    fn default() -> Self {
        Slots(std::array::from_fn(|_| Slot::default()))
    }
}

// SAFETY: plain numbers, no pointers.
unsafe impl PGRXSharedMemory for Slots {}

// SAFETY: the name is used once.
static SHARED: PgLwLock<Slots> = unsafe { PgLwLock::new(c"logintel progress") };
/// Set in the postmaster, inherited by every process that it starts.
static REQUESTED: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// The slot of the call at hand.
    static MINE: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Asks for the shared memory. Only while `shared_preload_libraries` is processed.
#[expect(unexpected_cfgs, reason = "the macro asks for versions of PostgreSQL that we do not build for")]
pub fn request() {
    pg_shmem_init!(SHARED);
    REQUESTED.store(true, Ordering::Relaxed);
}

/// The slots; none before PostgreSQL 17 where the library was not preloaded.
fn with_slots<T>(use_them: impl FnOnce(&[Slot]) -> T) -> Option<T> {
    if REQUESTED.load(Ordering::Relaxed) {
        return Some(use_them(&SHARED.share().0));
    }
    registered().map(|slots| use_them(&slots.0))
}

#[cfg(not(any(feature = "pg15", feature = "pg16")))]
fn registered() -> Option<&'static Slots> {
    unsafe extern "C-unwind" fn fill(place: *mut std::ffi::c_void) {
        // SAFETY: as many bytes as were asked for, aligned for anything.
        unsafe { place.cast::<Slots>().write(Slots::default()) }
    }
    thread_local! {
        static SLOTS: Cell<Option<&'static Slots>> = const { Cell::new(None) };
    }
    if SLOTS.get().is_none() {
        let mut found = false;
        // SAFETY: a segment of the registry stays where it is as long as the process lives, and is filled before
        // anybody else sees it.
        SLOTS.set(Some(unsafe {
            let size = size_of::<Slots>();
            let name = segment_name();
            &*pg_sys::GetNamedDSMSegment(name.as_ptr(), size, Some(fill), &raw mut found).cast::<Slots>()
        }));
    }
    SLOTS.get()
}

/// The registry refuses a name that it knows with another size, and a newer library may number its phases otherwise:
/// until the server is started again, either library has a segment of its own.
#[cfg(any(test, feature = "pg_test", not(any(feature = "pg15", feature = "pg16"))))]
pub fn segment_name() -> std::ffi::CString {
    let lists = PHASES.iter().chain(&COMMANDS).flat_map(|name| name.bytes().chain([0]));
    // FNV-1a.
    let layout = lists.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    std::ffi::CString::new(format!("logintel progress {} {layout:08x}", size_of::<Slots>()))
        .unwrap_or_default()
}

#[cfg(any(feature = "pg15", feature = "pg16"))]
fn registered() -> Option<&'static Slots> {
    None
}

/// A call that is shown until it is dropped.
#[derive(Debug)]
pub struct Progress {
    /// What was shown before: a call may be made from within another.
    outer: Option<usize>,
    mine: Option<usize>,
}

impl Progress {
    /// Shows a call from now on, if none is shown yet and a slot is free: for calls that do not end in turn.
    pub fn begin_alone(command: &str) -> Option<Self> {
        MINE.get().is_none().then(|| Progress::begin(command))
    }

    /// Shows a call from now on, if a slot is free.
    pub fn begin(command: &str) -> Self {
        let mine = with_slots(|slots| slots.iter().position(|slot| claim(slot, command))).flatten();
        Progress { outer: MINE.replace(mine), mine }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let is_ours = |slot: &usize| {
            with_slots(|slots| slots[*slot].pid.load(Ordering::Acquire) == std::process::id())
                .unwrap_or(false)
        };
        // Another may be at hand by now, and the outer one may have ended before.
        if MINE.get() == self.mine {
            MINE.set(self.outer.filter(is_ours));
        }
        if let Some(mine) = self.mine {
            with_slots(|slots| slots[mine].pid.store(0, Ordering::Release));
        }
    }
}

fn claim(slot: &Slot, command: &str) -> bool {
    let pid = std::process::id();
    let holder = slot.pid.load(Ordering::Acquire);
    if holder != 0 && is_alive(holder) {
        return false;
    }
    if slot.pid.compare_exchange(holder, pid, Ordering::AcqRel, Ordering::Relaxed).is_err() {
        return false;
    }
    let position = COMMANDS.iter().position(|known| *known == command).unwrap_or(0);
    slot.command.store(position as u32, Ordering::Relaxed);
    slot.begin_phase(0, 0);
    slot.set(0, Total::Unknown);
    slot.started.store(slot.phase_started.load(Ordering::Relaxed), Ordering::Relaxed);
    // SAFETY: reads a global.
    slot.database.store(unsafe { pg_sys::MyDatabaseId.to_u32() }, Ordering::Relaxed);
    true
}

fn is_alive(pid: u32) -> bool {
    // SAFETY: looks the process up in PostgreSQL's own table.
    unsafe { !pg_sys::BackendPidGetProc(pid as i32).is_null() }
}

/// Tells how far the call at hand has come.
pub fn report(phase: &str, done: u64, total: Total) {
    let Some(mine) = MINE.get() else { return };
    let position = PHASES.iter().position(|known| *known == phase).unwrap_or(PHASES.len() - 1) as u32;
    with_slots(|slots| {
        let slot = &slots[mine];
        let begins =
            slot.phase.load(Ordering::Relaxed) != position || done < slot.done.load(Ordering::Relaxed);
        if begins {
            slot.begin_phase(position, done);
        }
        slot.set(done, total);
    });
}

/// How much there is, and whether that is an estimate; nothing once an estimate has turned out too low.
pub fn known_total(done: u64, total: Total) -> Option<(u64, bool)> {
    match total {
        Total::Counted(rows) => Some((rows, false)),
        Total::Estimated(rows) if rows >= done => Some((rows, true)),
        Total::Estimated(_) | Total::Unknown => None,
    }
}

/// Microseconds that the rest of a phase takes at its pace so far: `done - first` in `elapsed` microseconds.
pub fn time_left(elapsed: i64, first: u64, done: u64, total: Option<u64>) -> Option<i64> {
    let (rest, pace) = (total?.checked_sub(done)?, done.checked_sub(first).filter(|&pace| pace > 0)?);
    Some((elapsed.max(0) as f64 * rest as f64 / pace as f64) as i64)
}

/// Long calls that run now, in any database.
#[pg_extern(volatile, parallel_restricted)]
#[expect(clippy::type_complexity, reason = "pgrx reads the columns from the type")]
fn progress_info() -> TableIterator<
    'static,
    (
        name!(pid, i32),
        name!(database, pg_sys::Oid),
        name!(command, &'static str),
        name!(phase, &'static str),
        name!(done, i64),
        name!(total, Option<i64>),
        name!(total_is_estimate, Option<bool>),
        name!(time_left, Option<Interval>),
        name!(started, Option<TimestampWithTimeZone>),
        name!(phase_started, Option<TimestampWithTimeZone>),
    ),
> {
    let row = |slot: &Slot| {
        let pid = slot.pid.load(Ordering::Acquire);
        (pid != 0 && is_alive(pid)).then(|| {
            let (done, began) =
                (slot.done.load(Ordering::Relaxed), slot.phase_started.load(Ordering::Relaxed));
            let total = known_total(done, slot.total());
            // SAFETY: reads a clock.
            let elapsed = unsafe { pg_sys::GetCurrentTimestamp() } - began;
            let left =
                time_left(elapsed, slot.first.load(Ordering::Relaxed), done, total.map(|(rows, _)| rows));
            (
                pid as i32,
                pg_sys::Oid::from(slot.database.load(Ordering::Relaxed)),
                COMMANDS[slot.command.load(Ordering::Relaxed) as usize % COMMANDS.len()],
                PHASES[slot.phase.load(Ordering::Relaxed) as usize % PHASES.len()],
                done as i64,
                total.map(|(rows, _)| rows as i64),
                total.map(|(_, is_estimate)| is_estimate),
                left.map(Interval::from_micros),
                TimestampWithTimeZone::try_from(slot.started.load(Ordering::Relaxed)).ok(),
                TimestampWithTimeZone::try_from(began).ok(),
            )
        })
    };
    let rows = with_slots(|slots| slots.iter().filter_map(row).collect::<Vec<_>>());
    TableIterator::new(rows.unwrap_or_default())
}
