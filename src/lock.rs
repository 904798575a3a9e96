//! Locks of our own: of what one transaction at a time may do, held to its end.
//!
//! They are advisory locks in a space that `pg_advisory_lock` does not reach: whoever may call that function could keep
//! everybody waiting.
use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::error::fail;
use crate::hash::hash;
use crate::step::is_worker;

/// What a lock is about.
#[derive(Debug, Clone, Copy)]
enum About {
    Detector = 1,
    Views = 2,
    Training = 3,
    Suppressions = 4,
}

/// Takes a lock; whether it was to be had, where nobody is waited for.
fn acquire(about: About, name: &str, waits: bool) -> bool {
    // SAFETY: a complete tag.
    unsafe {
        let tag = pg_sys::LOCKTAG {
            locktag_field1: pg_sys::MyDatabaseId.to_u32(),
            locktag_field2: about as u32,
            locktag_field3: hash(name.as_bytes()),
            // PostgreSQL's functions have 1 and 2 here.
            locktag_field4: 0x6c69,
            locktag_type: pg_sys::LockTagType::LOCKTAG_ADVISORY as u8,
            locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
        };
        let taken = pg_sys::LockAcquire(&raw const tag, pg_sys::ExclusiveLock as i32, false, !waits);
        taken != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
    }
}

/// Lets one transaction at a time change a detector's incidents, and replace or remove its anomalies. The worker waits for nobody, or who
/// keeps detectors of his own locked would keep it from everybody's.
pub fn lock_detector(detector: &str) {
    let waits = !is_worker();
    if !acquire(About::Detector, detector, waits) {
        fail(
            PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE,
            format!("another session is changing detector \"{detector}\", its incidents or its history"),
            "It is tried again by itself.",
        );
    }
}

/// Lets one transaction at a time refresh the views.
pub fn lock_views() {
    acquire(About::Views, "", true);
}

/// Whether this transaction is the one that may train a detector by schedule. Nobody waits for it.
pub fn try_lock_training(detector: &str) -> bool {
    acquire(About::Training, detector, false)
}

/// Lets one transaction at a time write a detector's suppressions, or those of all detectors, so that they can be counted.
pub fn lock_suppressions(detector: Option<&str>) {
    acquire(About::Suppressions, detector.unwrap_or_default(), true);
}
