//! How far what comes in has moved from what training saw: `measure_drift`, and the table `drift`, to which maintenance
//! adds a row for each finished hour of a watched detector.
//!
//! Triggers count nothing, so that an ordinary row costs no write. What an hour held is read from the relation once it
//! is over: its rows are counted, and [`SAMPLE`] of them judged.
use std::time::{Duration, Instant};

use logintel_core::detect::Scratch;
use logintel_core::drift::{Drift, percent};
use pgrx::pg_sys;
use pgrx::prelude::*;

use super::Detector;
use super::columns::quote_literal;
use super::extract::Line;
use super::history::require_model;
use super::lines::{line_of, lines_sql};
use super::resolve::{Resolved, resolve};
use crate::call::{Raw, argument, text_argument, time_argument};
use crate::control::Session;
use crate::deadline::{CANCELED, attempt_within};
use crate::error::{OrRaise, fail, warn};
use crate::lock::lock_detector;
use crate::progress::Progress;
use crate::range::{range_args, range_sql, require_range};
use crate::security::RunAs;
use crate::spi::{Connection, arg, text_arg};
use crate::step::{Done, Step, list, with_snapshot};
use crate::subtransaction::Failure;
use crate::text::Text;
use crate::tuples::ResultSet;

/// Most rows of a bucket that are judged, evenly spaced in the order of time.
const SAMPLE: i64 = 10_000;
/// Longest that maintenance may take to measure one hour of one detector.
const LIMIT: Duration = Duration::from_mins(1);

type Time = Option<TimestampWithTimeZone>;

/// Rows of a bucket, and what a model says of a sample of them.
#[derive(Debug, Default)]
struct Bucket {
    start: Time,
    rows: i64,
    drift: Drift,
}

/// Calls `each` with a sample of the rows of each bucket of a range, bucket by bucket in the order of time: the bucket's
/// start, how many rows it holds, and the line. Rows without time or message do not count; without `bucket` the range is
/// one. They are read with the rights of the detector's owner.
pub(super) fn for_each_sampled(
    detector: &Detector,
    (since, until): (Time, Time),
    bucket: Option<Interval>,
    mut each: impl FnMut(Time, i64, &Line<'_>),
) {
    let lines = lines_sql(detector);
    let sql = format!(
        "SELECT j, m, t, v, c, s, b, total \
         FROM (SELECT *, pg_catalog.count(*) OVER (PARTITION BY b) AS total, \
                      pg_catalog.row_number() OVER (PARTITION BY b ORDER BY t, j COLLATE \"C\", v COLLATE \"C\") AS n \
               FROM (SELECT *, pg_catalog.date_bin($3, t, '2000-01-01 00:00:00+00'::pg_catalog.timestamptz) AS b \
                     FROM ({lines}) AS l WHERE j IS NOT NULL AND isfinite(t) AND {}) AS r) AS r \
         WHERE (n - 1) % ((total + {SAMPLE} - 1) / {SAMPLE}) = 0 ORDER BY b, n",
        range_sql("t"),
    );
    let [since, until] = range_args(since, until);
    let bucket = (pg_sys::INTERVALOID, bucket.and_then(IntoDatum::into_datum));
    detector.read(|spi| {
        spi.for_each_shown("scoring", &sql, &[since, until, bucket], |rows, row| {
            each(rows.get(row, 7), rows.must(row, 8), &line_of(detector, rows, row));
        });
    });
}

/// Calls `each` with what the active model, and what people have marked, says of each bucket of a range that holds rows;
/// not before the first training.
fn measure(resolved: &Resolved, range: (Time, Time), bucket: Option<Interval>, mut each: impl FnMut(Bucket)) {
    let Some(model) = &resolved.model else { return };
    let mut scratch = Scratch::new(Session::watch());
    let mut current: Option<Bucket> = None;
    for_each_sampled(&resolved.detector, range, bucket, |start, rows, line| {
        if let Some(last) = current.take_if(|current| current.start != start) {
            each(last);
        }
        let current = current.get_or_insert_with(|| Bucket { start, rows, ..Bucket::default() });
        if let Some(line) = line.as_judged() {
            current.drift.add(model, resolved.feedback(), &line, &mut scratch).or_raise();
        }
    });
    current.into_iter().for_each(each);
}

/// For each bucket of a range that holds rows, how much of it the active model flags, and how much training never saw.
///
/// # Safety
/// Called by PostgreSQL.
#[pg_extern(requires = ["detector"], sql = "
CREATE FUNCTION measure_drift(detector text, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
                              bucket interval DEFAULT '1 hour')
RETURNS TABLE (\"time\" timestamptz, rows bigint, flagged_share float8, unseen_template_share float8,
               unseen_term_share float8)
STABLE ROWS 1000 LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';")]
unsafe fn measure_drift(fcinfo: pg_sys::FunctionCallInfo) -> Raw {
    // SAFETY: the arguments are those of the declaration above.
    let (detector, range, bucket) = unsafe {
        let bucket = argument(fcinfo, 3).and_then(|datum| Interval::from_datum(datum, false));
        (text_argument(fcinfo, 0), (time_argument(fcinfo, 1), time_argument(fcinfo, 2)), bucket)
    };
    // SAFETY: the call is the running one.
    let mut set = unsafe { ResultSet::of_call(fcinfo) };
    if let Some(detector) = detector {
        let resolved = resolve(&detector, Detector::require_reader);
        require_model(&resolved);
        let bucket = require_bucket(bucket);
        require_range(range.0, range.1);
        let _progress = Progress::begin("measure_drift");
        measure(&resolved, range, Some(bucket), |bucket| {
            set.push(|| {
                vec![
                    bucket.start.into_datum(),
                    bucket.rows.into_datum(),
                    bucket.drift.flagged_share().into_datum(),
                    bucket.drift.unseen_template_share().into_datum(),
                    bucket.drift.unseen_term_share().into_datum(),
                ]
            });
        });
    }
    Raw(None)
}

/// Refuses lengths that time cannot be cut into.
fn require_bucket(bucket: Option<Interval>) -> Interval {
    bucket
        .filter(|length| {
            let micros =
                i64::from(length.days()).saturating_mul(86_400_000_000).saturating_add(length.micros());
            length.months() == 0 && micros > 0
        })
        .unwrap_or_else(|| {
            fail(
                PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
                "bucket must be a length of time above zero without months or years",
                "Such as '1 hour' or '7 days'.",
            )
        })
}

/// Measures the last finished hour of each watched detector that has not been measured yet.
pub fn tick(is_atomic: bool) {
    for detector in unmeasured() {
        let step = Step::of("drift", &detector);
        let mut claimed = None;
        step.run(is_atomic, || {
            claimed = claim(&detector);
            Done::preparation()
        });
        let Some(hour) = claimed else { continue };
        let begun = Instant::now();
        // What fails is not tried again: the hour's row is there.
        let result = attempt_within(LIMIT, || with_snapshot(|| measure_hour(&detector, hour)));
        step.since(begun).run(is_atomic, || {
            // Before its rows, as who drops it does.
            lock_detector(&detector);
            record(&detector, hour, &result);
            let rows = result.as_ref().map_or(0, |bucket| bucket.rows.unsigned_abs());
            Done { error: result.as_ref().err().map(|failure| failure.message.clone()), ..Done::rows(rows) }
        });
    }
}

/// The beginning of the last finished hour, in UTC, `$1` seconds ago.
const LAST_HOUR: &str =
    "date_bin('1 hour', now() - make_interval(secs => $1), '2000-01-01 00:00:00+00') - interval '1 hour'";

/// Trained detectors whose last finished hour has no row yet.
fn unmeasured() -> Vec<String> {
    list(&format!(
        "SELECT name FROM logintel.detectors AS d WHERE enabled AND active_version IS NOT NULL AND NOT EXISTS ( \
             SELECT FROM logintel.drift AS h WHERE h.detector = d.name AND h.\"time\" >= {}) ORDER BY detector_id",
        LAST_HOUR.replace("$1", "0")
    ))
}

/// Adds the row of the last finished hour, so that nobody else measures it, and nobody again if this is cut short.
/// `None` where there is nothing to do.
fn claim(name: &str) -> Time {
    let detector = Detector::find(name)?;
    if !detector.is_watched() && detector.options.retrain.is_none() {
        return None;
    }
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let rows = spi.write(
        &format!(
            "INSERT INTO logintel.drift (detector, \"time\", version) SELECT $2, {LAST_HOUR}, $3 \
             ON CONFLICT DO NOTHING RETURNING \"time\""
        ),
        &[
            arg(detector.options.lateness as f64 / 1e6),
            text_arg(name),
            arg(detector.active.map(|active| active.version)),
        ],
    );
    (rows.len() > 0).then(|| rows.must(0, 1))
}

/// What a claimed hour holds.
fn measure_hour(name: &str, hour: TimestampWithTimeZone) -> Bucket {
    let resolved = Resolved::new(Detector::get(name));
    let mut found = Bucket::default();
    let _progress = Progress::begin("measure_drift");
    let end = TimestampWithTimeZone::try_from(i64::from(hour) + 3_600_000_000).ok();
    measure(&resolved, (Some(hour), end), None, |bucket| found = bucket);
    found
}

/// Fills a claimed row, and says when the model does not fit any more, or for the first time that rows cannot be read.
fn record(name: &str, hour: TimestampWithTimeZone, result: &Result<Bucket, Failure>) {
    let retrains = Detector::find(name).is_some_and(|detector| detector.options.retrain.is_some());
    let (bucket, trouble) = match result {
        Ok(bucket) => {
            let trouble = bucket.drift.is_level_shift().then(|| level_shift(name, bucket, retrains));
            (Some(bucket), trouble)
        }
        Err(failure) => {
            let words = format!("the last hour could not be measured: {}", failure.message);
            let advice = match &failure.hint {
                Some(hint) => hint,
                None if failure.sqlstate == CANCELED => "An index on the time makes reading an hour quick.",
                None => "",
            };
            (None, Some((words, format!("The next one is tried again. {advice}").trim_end().to_owned())))
        }
    };
    let is_said = bucket.is_none() && !is_first_failure(name, hour);
    {
        let drift = bucket.map(|bucket| bucket.drift);
        let share = |of: fn(&Drift) -> Option<f64>| arg(drift.as_ref().and_then(of));
        let _owner = RunAs::extension_owner();
        Connection::open().write(
            "UPDATE logintel.drift SET rows = $3, flagged_share = $4, unseen_template_share = $5, unseen_term_share = $6, \
                 is_level_shift = $7, warning = $8 WHERE detector = $1 AND \"time\" = $2",
            &[
                text_arg(name),
                arg(hour),
                arg(bucket.map(|bucket| bucket.rows)),
                share(Drift::flagged_share),
                share(Drift::unseen_template_share),
                share(Drift::unseen_term_share),
                arg(drift.is_some_and(|drift| drift.is_level_shift())),
                arg(trouble.as_ref().map(|(words, advice)| Text(format!("{words}. {advice}")))),
            ],
        );
    }
    if let Some((words, advice)) = trouble
        && !is_said
    {
        warn(format!("detector \"{name}\": {words}"), advice);
    }
}

/// Whether the hour measured before could be read, or there is none.
fn is_first_failure(name: &str, hour: TimestampWithTimeZone) -> bool {
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let rows = spi.read(
        "SELECT rows IS NOT NULL FROM logintel.drift WHERE detector = $1 AND \"time\" < $2 ORDER BY \"time\" DESC LIMIT 1",
        &[text_arg(name), arg(hour)],
    );
    rows.len() == 0 || rows.must(0, 1)
}

/// What is wrong, and what to do.
fn level_shift(name: &str, bucket: &Bucket, retrains: bool) -> (String, String) {
    let words = format!(
        "the active model flags {} of the {} rows of the last hour; {} are of templates that training never saw",
        percent(bucket.drift.flagged_share().unwrap_or_default()),
        bucket.rows,
        percent(bucket.drift.unseen_template_share().unwrap_or_default()),
    );
    let advice = if retrains {
        "It is trained again soon; logintel.models says what came of it.".to_owned()
    } else {
        format!(
            "Where that is ordinary from now on, train it again: SELECT logintel.train({}, since => 'when it began').",
            quote_literal(name)
        )
    };
    (words, advice)
}
