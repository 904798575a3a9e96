//! What launcher, workers and sessions know of each other: the schedule in shared memory, under one lock.
//!
//! The lock is held for a few array operations at a time, never over anything that can raise an error or wait.
use super::schedule::{Database, Table};
use pgrx::{PGRXSharedMemory, PgLwLock, pg_shmem_init, prelude::*};
use std::sync::atomic::{AtomicBool, Ordering};

// SAFETY: plain numbers and arrays, no pointers.
unsafe impl PGRXSharedMemory for Table {}

// SAFETY: the name is used once.
static TABLE: PgLwLock<Table> = unsafe { PgLwLock::new(c"logintel worker state") };
/// Set in the postmaster, inherited by every process that it starts.
static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Asks for the shared memory. Only while `shared_preload_libraries` is processed.
#[expect(unexpected_cfgs, reason = "the macro asks for versions of PostgreSQL that we do not build for")]
pub fn request() {
    pg_shmem_init!(TABLE);
    REQUESTED.store(true, Ordering::Relaxed);
}

/// Every database known; none without shared memory.
pub fn snapshot() -> Vec<Database> {
    if !REQUESTED.load(Ordering::Relaxed) {
        return Vec::new();
    }
    TABLE.share().iter().copied().collect()
}

/// Changes the schedule. Keep it short: every tick waits for it.
pub fn change<R>(body: impl FnOnce(&mut Table) -> R) -> R {
    body(&mut TABLE.exclusive())
}

/// Looks at the schedule. Keep it short.
pub fn look<R>(body: impl FnOnce(&Table) -> R) -> R {
    body(&TABLE.share())
}
