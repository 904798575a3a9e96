//! What is older than it is kept goes: a batch in each transaction, for as long as maintenance can spare.
use std::time::{Duration, Instant};

use logintel_core::config::DetectorOptions;

use crate::detector::Detector;
use crate::incident::end;
use crate::lock::lock_detector;
use crate::security::RunAs;
use crate::spi::{Arg, Connection, arg, text_arg};
use crate::step::Done;
use crate::views::mark_views_stale;

/// Rows of a table that one transaction removes.
const BATCH: i64 = 10_000;
/// Longest that one tick removes what is old of one detector; the next goes on.
const BUDGET: Duration = Duration::from_secs(10);
/// Failures that are kept, of all detectors.
const FAILURES: i64 = 100_000;

/// Removes a batch of what is older than a detector keeps. The removal as a whole began at `begun`.
pub fn retire(name: &str, begun: Instant) -> Done {
    lock_detector(name);
    let Some(detector) = Detector::find(name) else { return Done::default() };
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let args = [text_arg(name), arg(detector.options.retention as f64 / 1e6), arg(BATCH)];
    // The order is that of the index, which finds at once that nothing is old.
    let old = |table: &str, column: &str| {
        format!(
            "DELETE FROM logintel.{table} WHERE ctid = ANY (ARRAY ( \
                 SELECT ctid FROM logintel.{table} WHERE detector = $1 AND {column} < now() - make_interval(secs => $2) \
                 ORDER BY {column} LIMIT $3))"
        )
    };
    let incidents = spi.write(
        "SELECT incident_id FROM logintel.incidents WHERE detector = $1 AND updated_at < now() - make_interval(secs => $2) \
         ORDER BY updated_at LIMIT $3",
        &args,
    );
    let incidents: Vec<i64> = (0..incidents.len()).map(|row| incidents.must(row, 1)).collect();
    end(&spi, &incidents, "older than it is kept");
    let shown = [delete(&spi, &old("anomalies", "recorded_at"), &args), incidents.len() as u64];
    if shown.iter().any(|&gone| gone > 0) {
        mark_views_stale(&spi);
    }
    let mut gone = shown.to_vec();
    gone.push(delete(&spi, &old("drift", "recorded_at"), &args));
    gone.push(delete(&spi, &old("alerts", "created_at"), &args));
    done(&gone, begun)
}

/// Removes a batch of lines of one of our own tables that are older than the detectors on it keep them, whatever they are
/// called: the longest time holds, and the usual one where there is none.
pub fn retire_lines(table: &str, begun: Instant) -> Done {
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let names = spi.read(
        "SELECT name FROM logintel.detectors WHERE relation = $1::regclass ORDER BY detector_id",
        &[text_arg(table)],
    );
    let kept = (0..names.len()).filter_map(|row| Detector::find(&names.text(row, 1)?));
    let longest = kept.map(|detector| detector.options.retention).max();
    let seconds = longest.unwrap_or(DetectorOptions::default().retention) as f64 / 1e6;
    let sql = format!(
        "DELETE FROM {table} WHERE ctid = ANY (ARRAY ( \
             SELECT ctid FROM {table} WHERE recorded_at < now() - make_interval(secs => $1) ORDER BY recorded_at LIMIT $2))"
    );
    done(&[delete(&spi, &sql, &[arg(seconds), arg(BATCH)])], begun)
}

/// Removes a batch of failures: those older than a week, and the oldest beyond the most that are kept.
pub fn retire_failures(begun: Instant) -> Done {
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let gone = [
        delete(
            &spi,
            "DELETE FROM logintel.scoring_failures WHERE ctid = ANY (ARRAY ( \
                 SELECT ctid FROM logintel.scoring_failures WHERE recorded_at < now() - interval '7 days' \
                 ORDER BY recorded_at LIMIT $1 FOR UPDATE SKIP LOCKED))",
            &[arg(BATCH)],
        ),
        delete(
            &spi,
            "DELETE FROM logintel.scoring_failures WHERE ctid = ANY (ARRAY ( \
                 SELECT ctid FROM logintel.scoring_failures \
                 WHERE failure_id <= (SELECT max(failure_id) FROM logintel.scoring_failures) - $2 \
                 ORDER BY failure_id LIMIT $1 FOR UPDATE SKIP LOCKED))",
            &[arg(BATCH), arg(FAILURES)],
        ),
    ];
    done(&gone, begun)
}

fn delete(spi: &Connection, sql: &str, args: &[Arg]) -> u64 {
    spi.write(sql, args).len()
}

/// A full batch may have left some.
fn done(gone: &[u64], begun: Instant) -> Done {
    let more = gone.iter().any(|&gone| gone == BATCH.unsigned_abs()) && begun.elapsed() < BUDGET;
    Done { more, ..Done::rows(gone.iter().sum()) }
}
