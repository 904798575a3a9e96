//! Ranges of time that a call is about: half open, `[since, until)`; NULL is open.
use pgrx::prelude::*;

use crate::error::fail;
use crate::spi::Arg;

/// A condition on a time between the parameters $1 and $2.
pub fn range_sql(time: &str) -> String {
    format!("($1 IS NULL OR {time} >= $1) AND ($2 IS NULL OR {time} < $2)")
}

/// Refuses a range that somebody has given and that ends before it begins. Maintenance's own ranges may: what has come up to
/// now, a lateness allowed, since a time that is later.
pub fn require_range(since: Option<TimestampWithTimeZone>, until: Option<TimestampWithTimeZone>) {
    if let (Some(since), Some(until)) = (since, until)
        && since > until
    {
        fail(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "since is after until",
            "Rows from since up to until are meant: give the earlier time as since.",
        );
    }
}

/// The parameters of [`range_sql`].
pub fn range_args(since: Option<TimestampWithTimeZone>, until: Option<TimestampWithTimeZone>) -> [Arg; 2] {
    let bound = |time: Option<TimestampWithTimeZone>| {
        (pgrx::pg_sys::TIMESTAMPTZOID, time.and_then(IntoDatum::into_datum))
    };
    [bound(since), bound(until)]
}
