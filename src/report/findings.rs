//! What the view `status` says: whether all is well, and what to do if not.
use logintel_report::report::{Finding, Grade, Report};

use super::read::{Scope, line};
use crate::security::RunAs;
use crate::spi::{Connection, arg};
use crate::text::Text;

/// Most findings that are read; the page shows the first and says how many there are.
const MOST: i64 = 1000;

/// What is not well, as the view orders it: that of one detector, or of all, and what concerns no detector.
const FINDINGS: &str = "SELECT state, topic, detector, summary, what_to_do FROM logintel.status \
     WHERE state <> 'ok' AND topic <> 'all' AND ($1::text IS NULL OR detector = $1 OR detector IS NULL) LIMIT $2";

/// Puts the findings on the page, and the worst of them into its state. Open incidents count for the state alone: the page
/// tells them itself.
pub fn read(scope: &Scope, report: &mut Report) {
    // The view shows a role what it may read, so it is asked as the caller; its times are as all of the page.
    let caller = RunAs::caller();
    for (name, value) in [(c"TimeZone", c"UTC"), (c"DateStyle", c"ISO"), (c"IntervalStyle", c"postgres")] {
        caller.set(name, value);
    }
    let spi = Connection::open();
    let rows = spi.read(FINDINGS, &[arg(scope.detector.clone().map(Text)), arg(MOST)]);
    for row in 0..rows.len() {
        let grade = match rows.text(row, 1).as_deref() {
            Some("critical") => Grade::Trouble,
            _ => Grade::Attention,
        };
        report.state = report.state.max(Some(grade));
        if rows.text(row, 2).as_deref() != Some("incidents") {
            let [detector, what, hint] = [3, 4, 5].map(|column| line(&rows, row, column));
            report.findings.push(Finding { grade, detector, what, hint });
        }
    }
}
