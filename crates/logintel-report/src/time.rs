//! Moments and lengths of time, as people read them. All in UTC: a page is sent to people elsewhere.
use chrono::{DateTime, Datelike as _, Utc};
use maud::{Markup, html};

/// A moment: microseconds since 1970, UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub i64);

/// Microseconds of a second.
pub const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// Microseconds of a day.
pub const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// Lengths that a bucket of a chart may have.
const BUCKETS: [i64; 16] = [
    SECOND,
    5 * SECOND,
    10 * SECOND,
    30 * SECOND,
    MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    30 * MINUTE,
    HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    7 * DAY,
    30 * DAY,
    YEAR,
];

/// The shortest usual bucket of which a span has no more than `most`.
///
/// ```
/// use logintel_report::time::{DAY, bucket_of};
/// assert_eq!(bucket_of(DAY, 60), 30 * 60 * 1_000_000);
/// ```
pub fn bucket_of(span: i64, most: i64) -> i64 {
    let fits = BUCKETS.into_iter().find(|bucket| span / bucket < most);
    fits.unwrap_or_else(|| (span / most.max(1)).max(1))
}

impl Time {
    /// The moment as a calendar has it; what lies beyond its end is its end.
    pub(crate) fn utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or(if self.0 < 0 {
            DateTime::<Utc>::MIN_UTC
        } else {
            DateTime::<Utc>::MAX_UTC
        })
    }

    /// For people: `2026-01-02 09:01:00`.
    pub(crate) fn show(self) -> Markup {
        let utc = self.utc();
        html! { time datetime=(utc.format("%Y-%m-%dT%H:%M:%SZ")) { (utc.format("%Y-%m-%d %H:%M:%S")) } }
    }

    /// As short as a table of a phone needs it: `2 Jan 09:01`, with the year where it is not that of `now`.
    pub(crate) fn show_short(self, now: Time) -> Markup {
        let utc = self.utc();
        let short = if utc.year() == now.utc().year() {
            "%-d\u{a0}%b\u{a0}%H:%M"
        } else {
            "%-d\u{a0}%b\u{a0}%Y\u{a0}%H:%M"
        };
        html! { time datetime=(utc.format("%Y-%m-%dT%H:%M:%SZ")) title=(utc.format("%Y-%m-%d %H:%M:%S UTC")) { (utc.format(short)) } }
    }

    /// How long before `now`: `3 min ago`.
    pub(crate) fn before(self, now: Time) -> String {
        match now.0.saturating_sub(self.0) {
            ..0 => "in the future".to_owned(),
            0..MINUTE => "just now".to_owned(),
            gone => format!("{} ago", longest(gone)),
        }
    }
}

/// A length of time in its largest unit: `2 h`.
fn longest(micros: i64) -> String {
    let shown = length(micros);
    shown.split(' ').next().unwrap_or_default().to_owned()
}

/// A length of time, in its two largest units: `2 h 5 min`.
pub fn length(micros: i64) -> String {
    let units = [(YEAR, "y"), (DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s")];
    let Some(at) = units.iter().position(|(unit, _)| micros >= *unit) else {
        return "0\u{a0}s".to_owned();
    };
    let (unit, name) = units[at];
    let first = format!("{}\u{a0}{name}", micros / unit);
    match units.get(at + 1) {
        Some((smaller, name)) if micros % unit >= *smaller && micros / unit < 10 => {
            format!("{first} {}\u{a0}{name}", micros % unit / smaller)
        }
        _ => first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_two_units() {
        assert_eq!(length(0), "0\u{a0}s");
        assert_eq!(length(59 * SECOND), "59\u{a0}s");
        assert_eq!(length(2 * HOUR + 5 * MINUTE + 1), "2\u{a0}h 5\u{a0}min");
        assert_eq!(length(40 * DAY + HOUR), "40\u{a0}d");
    }

    #[test]
    fn another_year_is_named() {
        let time = Time(DAY + 9 * HOUR);
        assert!(time.show_short(Time(300 * DAY)).into_string().contains(">2\u{a0}Jan\u{a0}09:00<"));
        assert!(time.show_short(Time(2 * YEAR)).into_string().contains(">2\u{a0}Jan\u{a0}1970\u{a0}09:00<"));
        assert_eq!(time.before(Time(3 * YEAR)), "2\u{a0}y ago");
    }

    #[test]
    fn any_moment_can_be_shown() {
        for time in [i64::MIN, -1, 0, i64::MAX] {
            assert!(Time(time).show_short(Time(0)).into_string().starts_with("<time"));
            assert!(Time(time).show().into_string().starts_with("<time"));
            assert!(!Time(time).before(Time(i64::MIN)).is_empty());
        }
    }

    #[test]
    fn buckets_fill_a_chart() {
        for span in [0, 1, SECOND, 7 * MINUTE, DAY, 90 * DAY, i64::MAX] {
            let bucket = bucket_of(span, 60);
            assert!(bucket > 0 && span / bucket < 61, "{span} in buckets of {bucket}");
        }
    }
}
