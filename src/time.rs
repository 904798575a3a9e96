//! Times of PostgreSQL, counted from the year 2000, and of the engine, counted from the Unix epoch; microseconds both.
use pgrx::prelude::*;

/// From the one to the other.
const UNIX_TO_2000: i64 = 946_684_800_000_000;

/// Microseconds since the Unix epoch, in which windows are counted.
pub fn micros(ts: TimestampWithTimeZone) -> i64 {
    let since_2000: i64 = ts.into();
    since_2000.saturating_add(UNIX_TO_2000)
}

/// Microseconds since the Unix epoch; `None` for an infinite time, which is none.
pub fn finite_micros(ts: TimestampWithTimeZone) -> Option<i64> {
    let since_2000: i64 = ts.into();
    (since_2000 != i64::MIN && since_2000 != i64::MAX).then(|| micros(ts))
}

/// A time of so many microseconds since the Unix epoch.
pub fn timestamp(micros: i64) -> TimestampWithTimeZone {
    let since_2000 = micros.saturating_sub(UNIX_TO_2000);
    // Times outside PostgreSQL's range come from saturated arithmetic only.
    TimestampWithTimeZone::try_from(since_2000).unwrap_or_else(|_| {
        if micros < 0 {
            TimestampWithTimeZone::negative_infinity()
        } else {
            TimestampWithTimeZone::positive_infinity()
        }
    })
}

/// The time now, microseconds since the Unix epoch.
pub fn now_micros() -> i64 {
    // SAFETY: reads the clock.
    let now = unsafe { pgrx::pg_sys::GetCurrentTimestamp() };
    now.saturating_add(UNIX_TO_2000)
}
