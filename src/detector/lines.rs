//! The lines of a detector's relation, read by SQL with the rights of who reads it.
use std::borrow::Cow;

use pgrx::prelude::*;

use super::Detector;
use super::columns::{Columns, Part};
use super::extract::Line;
use super::train::{qualified, range_args, range_sql};
use crate::spi::{Connection, Rows};

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
    let _owner = detector.run_as_reader();
    let spi = Connection::open();
    spi.for_each_shown("scoring", &sql, &range_args(since, until), |rows, row| {
        each(line_of(detector, rows, row));
    });
}
