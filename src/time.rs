//! Times of PostgreSQL, counted from the year 2000, and of the engine, counted from the Unix epoch; microseconds both.
use logintel_core::rates::Zone;
use pgrx::prelude::*;

use crate::security::LocalTimezone;
use crate::text::to_c_string;

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

/// A time as PostgreSQL reads it; one without zone is of `timezone`. `None` of a text with a NUL, of which there is none.
///
/// # Errors
/// PostgreSQL's, for what is no time.
pub fn parse(text: &str, timezone: &str) -> Option<TimestampWithTimeZone> {
    let text = to_c_string(text)?;
    let _zone = LocalTimezone::set(timezone);
    let args = [text.as_c_str().into_datum(), pgrx::pg_sys::Oid::INVALID.into_datum(), (-1i32).into_datum()];
    // SAFETY: timestamptz_in takes a C string, a type and a typmod.
    unsafe { pgrx::direct_function_call(pgrx::pg_sys::timestamptz_in, &args) }
}

/// The time now, microseconds since the Unix epoch.
pub fn now_micros() -> i64 {
    // SAFETY: reads the clock.
    let now = unsafe { pgrx::pg_sys::GetCurrentTimestamp() };
    now.saturating_add(UNIX_TO_2000)
}

/// What clocks of a time zone show from 1970 to 2100, of which PostgreSQL is asked every week: a change that lasts for
/// less is not seen.
pub fn zone(name: &str) -> Zone {
    const WEEK: i64 = 7 * 86_400_000_000;
    const SECOND: i64 = 1_000_000;
    const WEEKS: i64 = 130 * 365 / 7;
    let offset = |ts: i64| offset(name, ts);
    let mut changes = vec![(0, offset(0))];
    for week in 1..=WEEKS {
        pgrx::check_for_interrupts!();
        let (mut before, mut after) = ((week - 1) * WEEK, week * WEEK);
        let (old, new) = (offset(before), offset(after));
        if old != new {
            while after - before > SECOND {
                let middle = i64::midpoint(before, after) / SECOND * SECOND;
                if offset(middle) == old { before = middle } else { after = middle }
            }
            changes.push((after, new));
        }
    }
    Zone::new(changes)
}

/// By how much clocks of a zone are ahead of UTC at a time, microseconds.
fn offset(zone: &str, ts: i64) -> i64 {
    let at = timestamp(ts);
    // SAFETY: timezone(text, timestamptz), whose arguments these are.
    let local: Option<pgrx::datum::Timestamp> = unsafe {
        pgrx::direct_function_call(pgrx::pg_sys::timestamptz_zone, &[zone.into_datum(), at.into_datum()])
    };
    // Both count microseconds from the year 2000.
    local.map_or(0, |local| i64::from(local) - i64::from(at))
}
