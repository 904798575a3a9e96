//! Locks of our own: of what one transaction at a time may do, held to its end.
//!
//! They are advisory locks in a space that `pg_advisory_lock` does not reach: whoever may call that function could keep
//! everybody waiting.
use pgrx::pg_sys;

use crate::hash::hash;

/// What a lock is about.
#[derive(Debug, Clone, Copy)]
enum About {
    Detector = 1,
    Views = 2,
    Training = 3,
    Suppressions = 4,
}

/// What names it to PostgreSQL.
fn tag(about: About, name: &str) -> pg_sys::LOCKTAG {
    pg_sys::LOCKTAG {
        // SAFETY: set when the session begins, and only read.
        locktag_field1: unsafe { pg_sys::MyDatabaseId }.to_u32(),
        locktag_field2: about as u32,
        locktag_field3: hash(name.as_bytes()),
        // PostgreSQL's functions have 1 and 2 here.
        locktag_field4: 0x6c69,
        locktag_type: pg_sys::LockTagType::LOCKTAG_ADVISORY as u8,
        locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
    }
}

/// Takes a lock; whether it was to be had, where nobody is waited for.
fn acquire(about: About, name: &str, waits: bool) -> bool {
    let tag = tag(about, name);
    // SAFETY: a complete tag.
    let taken = unsafe { pg_sys::LockAcquire(&raw const tag, pg_sys::ExclusiveLock as i32, false, !waits) };
    taken != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
}

/// Lets one transaction at a time change a detector's incidents, and replace or remove its anomalies.
pub fn lock_detector(detector: &str) {
    acquire(About::Detector, detector, true);
}

/// Whether no other transaction holds that lock now.
pub fn is_detector_free(detector: &str) -> bool {
    let is_free = acquire(About::Detector, detector, false);
    if is_free {
        let tag = tag(About::Detector, detector);
        // SAFETY: a complete tag, of a lock that was taken above.
        unsafe { pg_sys::LockRelease(&raw const tag, pg_sys::ExclusiveLock as i32, false) };
    }
    is_free
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
