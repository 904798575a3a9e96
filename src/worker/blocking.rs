//! Whom a worker keeps waiting.
//!
//! A tick reads and writes as any session does, so that a command that wants a table for itself waits until the step is over: for a training
//! that may be long. PostgreSQL's own autovacuum gives way in this case; so does a tick.
use super::process::{self, transaction};
use super::schedule::{Micros, SECOND};
use pgrx::prelude::*;

/// How long a command waits at least before a tick gives way to it: a step is mostly over sooner.
const PATIENCE: Micros = SECOND;

/// Whether a command that wants a relation for itself (DROP, ALTER, TRUNCATE, LOCK) waits for the process `pid`.
pub fn keeps_somebody_waiting(pid: i32) -> bool {
    let now = process::now();
    transaction(|| {
        // SAFETY: a copy of the lock table, in memory that goes with the transaction.
        let locks = unsafe {
            let data = &*pg_sys::GetLockStatusData();
            std::slice::from_raw_parts(data.locks, usize::try_from(data.nelements).unwrap_or_default())
        };
        let is_ours = |wanted: &pg_sys::LockInstanceData| {
            locks
                .iter()
                .any(|lock| lock.pid == pid && lock.holdMask != 0 && is_same(&lock.locktag, &wanted.locktag))
        };
        locks.iter().any(|lock| {
            lock.pid != pid
                && lock.waitLockMode == pg_sys::AccessExclusiveLock as i32
                && lock.waitStart != 0
                && now >= lock.waitStart + PATIENCE
                && lock.locktag.locktag_type == pg_sys::LockTagType::LOCKTAG_RELATION as u8
                && is_ours(lock)
        })
    })
}

/// Whether both are locks on the same thing.
fn is_same(a: &pg_sys::LOCKTAG, b: &pg_sys::LOCKTAG) -> bool {
    let key = |tag: &pg_sys::LOCKTAG| {
        (
            tag.locktag_field1,
            tag.locktag_field2,
            tag.locktag_field3,
            tag.locktag_field4,
            tag.locktag_type,
            tag.locktag_lockmethodid,
        )
    };
    key(a) == key(b)
}
