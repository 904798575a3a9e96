//! The lines of a detector's relation, read by SQL with the rights of who reads it.
use std::borrow::Cow;
use std::panic::AssertUnwindSafe;

use pgrx::pg_sys::panic::CaughtError;
use pgrx::prelude::*;

use super::Detector;
use super::columns::{Columns, Part};
use super::extract::Line;
use super::train::qualified;
use crate::error::fail;
use crate::range::{range_args, range_sql};
use crate::spi::{Connection, Rows};
use crate::subtransaction::report_of;

/// SQL for the parts of every line of a detector: judged text, message, time, level, component, source.
pub(super) fn lines_sql(detector: &Detector) -> String {
    let relation = detector.open_relation();
    let columns = Columns::of(&relation);
    let text = |part| detector.text_sql(&columns, part);
    let (judged, message) = (text(detector.judged()), text(Part::Message));
    format!(
        "SELECT {judged} AS j, {message} AS m, {} AS t, {} AS v, {} AS c, {} AS s FROM {} AS l",
        detector.time_sql(&columns),
        text(Part::Level),
        text(Part::Component),
        text(Part::Source),
        qualified(&relation),
    )
}

/// The line of a row whose first columns are those of [`lines_sql`].
pub(super) fn line_of(detector: &Detector, rows: &Rows<'_>, row: u64) -> Line<'static> {
    let text = |column| rows.text(row, column).map(Cow::Owned);
    Line {
        template: if detector.judged() == Part::Template { text(1) } else { None },
        message: text(2),
        ts: rows.get(row, 3),
        level: detector.readings.level(rows.text(row, 4)),
        component: detector.readings.component(rows.text(row, 5)),
        source: text(6),
    }
}

/// Calls `each` with every row of a time range in the order of time, or with the first so many and those of the same time
/// as the last of them. Rows are read with the rights of the detector's owner.
pub(super) fn for_each_line(
    detector: &Detector,
    since: Option<TimestampWithTimeZone>,
    until: Option<TimestampWithTimeZone>,
    limit: Option<u32>,
    mut each: impl FnMut(Line<'static>),
) {
    let sql = format!(
        "SELECT * FROM ({}) AS r WHERE {} ORDER BY t {}",
        lines_sql(detector),
        range_sql("t"),
        limit.map_or_else(String::new, |rows| format!("FETCH FIRST {rows} ROWS WITH TIES")),
    );
    let args = range_args(since, until);
    detector.read(|spi| {
        spi.for_each_shown("scoring", &sql, &args, |rows, row| each(line_of(detector, rows, row)));
    });
}

impl Detector {
    /// Runs `work`, which reads the detector's relation, with the rights of who reads it. Where times are read from text,
    /// an error about a text that is no time says where it stands.
    pub(super) fn read<T>(&self, work: impl FnOnce(&Connection) -> T) -> T {
        let ts = self.time_as_text();
        let work = AssertUnwindSafe(|| {
            let _owner = self.run_as_reader();
            work(&Connection::open())
        });
        let Some(ts) = ts else { return work() };
        let what = format!("detector \"{}\" cannot read times from ts => '{ts}'", self.name);
        let named = |code| {
            let what = what.clone();
            move |error: CaughtError| -> T { fail_at_time(&what, code, &error) }
        };
        let (no_time, out_of_range) = (
            PgSqlErrorCode::ERRCODE_INVALID_DATETIME_FORMAT,
            PgSqlErrorCode::ERRCODE_DATETIME_FIELD_OVERFLOW,
        );
        PgTryBuilder::new(work)
            .catch_when(no_time, named(no_time))
            .catch_when(out_of_range, named(out_of_range))
            .execute()
    }

    /// What it takes for its time, if that is text.
    fn time_as_text(&self) -> Option<&str> {
        let columns = Columns::of(&self.open_relation());
        let path = self.path(&columns, Part::Ts)?;
        if path.is_time_as_text() { self.part(Part::Ts) } else { None }
    }
}

/// Raises PostgreSQL's error about a time with what was being read.
fn fail_at_time(what: &str, code: PgSqlErrorCode, error: &CaughtError) -> ! {
    fail(
        code,
        format!("{what}: {}", report_of(error).message()),
        "Every text there must be a time, or NULL. Name another column as ts, or make the detector for a view that casts what is a time and leaves out what is none.",
    )
}
