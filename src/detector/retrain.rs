//! Training by schedule (options `retrain` and `history`), as a step of maintenance.
//!
//! A training goes through four transactions, where the caller allows that: it is claimed, so that neither another
//! process nor, after a crash, the next tick begins it again at once; a model is learnt and stored beside the one in use;
//! it is tried on the newest rows, which it did not learn from, and activated or kept aside; what came of it is written
//! down. Rows are read with the rights of the detector's owner. No lock is held that a writer of the relation or
//! `score_history` waits for.
use std::time::{Duration, Instant};

use logintel_core::detect::Scratch;
use logintel_core::drift::{Drift, ENOUGH_ROWS, Trial, held_back};
use pgrx::Uuid;
use pgrx::datum::datetime_support::transaction_timestamp;
use pgrx::prelude::*;

use super::columns::quote_literal;
use super::drift::for_each_sampled;
use super::lines::lines_sql;
use super::resolve::Resolved;
use super::train::{learn, store};
use super::{Active, Detector};
use crate::control::Session;
use crate::deadline::attempt_within;
use crate::error::{OrRaise, fail, warn};
use crate::lock::{lock_detector, try_lock_training};
use crate::progress::Progress;
use crate::range::{range_args, range_sql};
use crate::security::RunAs;
use crate::server_log;
use crate::spi::{Connection, arg, text_arg};
use crate::step::{Done, Step, commit, list, with_snapshot};
use crate::subtransaction::{Failure, attempt};
use crate::suppression::Exclusions;
use crate::text::Text;
use crate::time::{micros, timestamp};
use crate::views::mark_views_stale;

/// Longest that a training may keep maintenance from other detectors.
const LIMIT: Duration = Duration::from_hours(1);
/// Seconds between trainings where the last one failed, or a level shift asks for one.
const LEAST_PAUSE: f64 = 3600.0;

/// A model that was learnt and is not in use yet.
struct Candidate {
    /// The detector as it was before.
    before: Detector,
    version: Active,
    training_rows: u64,
    flagged_by_content: f64,
    /// Where the rows begin that it did not learn from, and where they end.
    held_back: (TimestampWithTimeZone, TimestampWithTimeZone),
}

/// What came of a training.
enum Outcome {
    Activated(i32),
    KeptAside(i32, String),
    Failed(String),
}

/// Detectors that are trained by schedule, those first that have waited longest.
pub fn names() -> Vec<String> {
    list(
        "SELECT d.name FROM logintel.detectors AS d LEFT JOIN logintel.retrainings AS r ON r.detector = d.name \
         WHERE d.enabled AND jsonb_exists(d.options, 'retrain') ORDER BY r.attempted_at NULLS FIRST, d.detector_id",
    )
}

/// Trains a detector whose time has come; whether there was something to learn from.
pub fn tick(name: &str, is_atomic: bool) -> bool {
    let step = Step::of("training", name);
    let mut is_claimed = false;
    step.run(is_atomic, || {
        is_claimed = claim(name);
        Done::preparation()
    });
    if !is_claimed {
        return false;
    }
    let begun = Instant::now();
    // The trial, too.
    let progress = Progress::begin("train");
    let learnt = attempt_within(LIMIT, || with_snapshot(|| learn_aside(name)));
    commit(is_atomic);
    let rows = learnt.as_ref().map_or(0, |candidate| candidate.training_rows);
    let is_trained = learnt.is_ok();
    let outcome = match learnt {
        Ok(candidate) => {
            let version = candidate.version.version;
            let tried = attempt_within(LIMIT, || with_snapshot(|| decide(name, &candidate)));
            let objection =
                tried.unwrap_or_else(|failure| Some(format!("it could not be tried: {}", failure.message)));
            objection.map_or(Outcome::Activated(version), |objection| Outcome::KeptAside(version, objection))
        }
        Err(Failure { message, .. }) => Outcome::Failed(message),
    };
    drop(progress);
    step.since(begun).run(is_atomic, || {
        // Before its rows, as who drops it does.
        lock_detector(name);
        conclude(name, &outcome);
        let error = if let Outcome::Failed(reason) = &outcome { Some(reason.clone()) } else { None };
        Done { error, ..Done::rows(rows) }
    });
    is_trained
}

/// Writes down that a detector is being trained, if its time has come: `retrain` after the last training of any kind and
/// after the last attempt, or an hour after both where the attempt failed or the active model flags most of what comes in.
/// Not before ten times as long as the last attempt took, for others wait meanwhile; and one that was cut off, perhaps
/// because it brought the server down, waits for its whole time. The detector of the server's own log, which is there from the
/// beginning, waits until there is something to learn from.
fn claim(name: &str) -> bool {
    let Some(detector) = Detector::find(name) else { return false };
    let Some(retrain) = detector.options.retrain else { return false };
    let is_early =
        name == server_log::DETECTOR && detector.active.is_none() && !server_log::is_worth_training(retrain);
    if is_early || !try_lock_training(name) {
        return false;
    }
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let rows = spi.write(
        "INSERT INTO logintel.retrainings AS r (detector, attempted_at) \
         SELECT d.name, now() FROM logintel.detectors AS d LEFT JOIN logintel.retrainings AS l ON l.detector = d.name, \
              LATERAL (SELECT greatest(l.attempted_at, (SELECT max(m.trained_at) FROM logintel.model_versions AS m \
                                                        WHERE m.detector = d.name)) AS last) AS t \
         WHERE d.name = $1 \
           AND (t.last IS NULL OR t.last <= now() - make_interval(secs => $2) \
                OR t.last <= now() - make_interval(secs => $3) AND (l.detector IS NULL OR l.ended_at IS NOT NULL) \
                   AND (l.outcome = 'failed' OR EXISTS ( \
                    SELECT FROM logintel.drift AS h WHERE h.detector = d.name AND h.is_level_shift \
                      AND h.version = d.active_version \
                      AND h.\"time\" = (SELECT max(n.\"time\") FROM logintel.drift AS n WHERE n.detector = d.name AND n.rows > 0)))) \
           AND (l.ended_at IS NULL OR l.ended_at + 10 * (l.ended_at - l.attempted_at) <= now()) \
         ON CONFLICT (detector) DO UPDATE SET attempted_at = now(), ended_at = NULL RETURNING 1",
        &[text_arg(name), arg(retrain as f64 / 1e6), arg(LEAST_PAUSE)],
    );
    rows.len() > 0
}

/// Learns from a detector's history but for its newest rows, and stores the model without activating it.
fn learn_aside(name: &str) -> Candidate {
    if !try_lock_training(name) {
        fail(PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE, "another process is training it", "");
    }
    let detector = Detector::get(name);
    let until = transaction_timestamp();
    let since = timestamp(micros(until).saturating_sub(detector.options.history));
    let split = split(&detector, since, until);
    let baseline = learn(&detector, Some(since), Some(split));
    let version = store(&detector, &baseline, Some(since), Some(split), false);
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let rows = spi.write(
        "UPDATE logintel.model_versions SET kept_aside = 'it has not been tried' WHERE detector = $1 AND version = $2 \
         RETURNING model_id",
        &[text_arg(name), arg(version)],
    );
    let model_id: Uuid = rows.must(0, 1);
    Candidate {
        before: detector,
        version: Active { version, model_id },
        training_rows: baseline.summary.training_rows,
        flagged_by_content: baseline.summary.flagged_by_content,
        held_back: (split, until),
    }
}

/// The time from which on rows are held back.
fn split(
    detector: &Detector,
    since: TimestampWithTimeZone,
    until: TimestampWithTimeZone,
) -> TimestampWithTimeZone {
    let rows = format!("({}) AS r WHERE j IS NOT NULL AND {}", lines_sql(detector), range_sql("t"));
    let [since, until] = range_args(Some(since), Some(until));
    detector.read(|spi| {
        let count: i64 =
            spi.read(&format!("SELECT pg_catalog.count(*) FROM {rows}"), &[since, until]).must(0, 1);
        let count = count.cast_unsigned();
        if count < ENOUGH_ROWS {
            fail(
                PgSqlErrorCode::ERRCODE_NO_DATA_FOUND,
                format!("its history holds {count} rows, and {ENOUGH_ROWS} are needed"),
                "The option history says how far back it reaches.",
            );
        }
        let newest = arg((held_back(count) - 1).cast_signed());
        spi.read(&format!("SELECT t FROM {rows} ORDER BY t DESC OFFSET $3 LIMIT 1"), &[since, until, newest])
            .must(0, 1)
    })
}

/// Tries a candidate on the rows that were held back. It is activated, or kept aside: then the reason is returned.
fn decide(name: &str, candidate: &Candidate) -> Option<String> {
    let Candidate { before, version, .. } = candidate;
    let objection = objection(name, candidate);
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let rows = spi.write(
        "SELECT active_version, options = $2 AND enabled FROM logintel.detectors WHERE name = $1 FOR NO KEY UPDATE",
        &[text_arg(name), arg(crate::text::Jsonb(before.json.clone()))],
    );
    let is_same = rows.len() > 0
        && rows.get::<i32>(0, 1) == before.active.map(|active| active.version)
        && rows.get(0, 2) == Some(true);
    let changed = || (!is_same).then(|| "the detector was changed while it was trained".to_owned());
    let objection = objection.or_else(changed);
    spi.write(
        "UPDATE logintel.model_versions SET kept_aside = $3 WHERE detector = $1 AND version = $2",
        &[text_arg(name), arg(version.version), arg(objection.clone().map(Text))],
    );
    if objection.is_none() {
        spi.write(
            "UPDATE logintel.detectors SET active_version = $2 WHERE name = $1",
            &[text_arg(name), arg(version.version)],
        );
        mark_views_stale(&spi);
    }
    objection
}

/// What the trial says against a candidate.
fn objection(name: &str, candidate: &Candidate) -> Option<String> {
    let Candidate { before, version, held_back: (since, until), .. } = candidate;
    // What people have marked meanwhile is in force whichever model is.
    let marks_id = Detector::get(name).marks_id;
    let with = |active| Resolved::new(Detector { active, marks_id, ..before.clone() });
    let new = with(Some(*version));
    // A model that cannot be read is no better than any.
    let old = attempt(|| with(before.active)).ok();
    let (mut held_back, mut of_active) = (Drift::default(), Drift::default());
    let mut scratch = Scratch::new(Session::watch());
    // What was not learnt is not asked for.
    let mut exclusions = Exclusions::of(before);
    for_each_sampled(before, (Some(*since), Some(*until)), None, |_, _, row| {
        let Some(line) = row.as_judged() else { return };
        if exclusions.as_mut().is_some_and(|rules| rules.excludes(&line, row.message.as_deref())) {
            return;
        }
        let mut add = |drift: &mut Drift, resolved: &Resolved| {
            if let Some(model) = &resolved.model {
                drift.add(model, resolved.feedback(), &line, &mut scratch).or_raise();
            }
        };
        add(&mut held_back, &new);
        if let Some(old) = &old {
            add(&mut of_active, old);
        }
    });
    let trial = Trial {
        training_rows: candidate.training_rows,
        flagged_by_content: candidate.flagged_by_content,
        held_back,
        active: old
            .and_then(|old| old.model)
            .and_then(|_| Some((training_rows(name, before.active?.version)?, of_active))),
    };
    trial.objection(before.options.false_alarm_rate)
}

/// Rows that a version learnt from.
fn training_rows(name: &str, version: i32) -> Option<u64> {
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let rows = spi.read(
        "SELECT training_rows FROM logintel.model_versions WHERE detector = $1 AND version = $2",
        &[text_arg(name), arg(version)],
    );
    (rows.len() > 0).then(|| rows.must::<i64>(0, 1).cast_unsigned())
}

/// Writes down what came of a training, and says it where it is not as it should be; a failure once, however often it
/// comes again.
fn conclude(name: &str, outcome: &Outcome) {
    let (word, version, reason) = match outcome {
        Outcome::Activated(version) => ("activated", Some(*version), None),
        Outcome::KeptAside(version, reason) => ("kept aside", Some(*version), Some(reason)),
        Outcome::Failed(reason) => ("failed", None, Some(reason)),
    };
    let is_new = {
        let _owner = RunAs::extension_owner();
        let spi = Connection::open();
        let rows = spi.write(
            "UPDATE logintel.retrainings AS r SET ended_at = clock_timestamp(), outcome = $2, version = $3, reason = $4 \
             FROM (SELECT detector, outcome, reason FROM logintel.retrainings WHERE detector = $1) AS l \
             WHERE r.detector = l.detector RETURNING (l.outcome, l.reason) IS DISTINCT FROM ($2, $4)",
            &[text_arg(name), arg(word), arg(version), arg(reason.map(|reason| Text(reason.clone())))],
        );
        rows.len() > 0 && rows.must(0, 1)
    };
    match outcome {
        Outcome::KeptAside(version, reason) => warn(
            format!(
                "detector \"{name}\" was trained by its schedule, and version {version} is kept aside: {reason}"
            ),
            format!(
                "SELECT logintel.activate_model({}, {version}) activates it all the same.",
                quote_literal(name)
            ),
        ),
        Outcome::Failed(reason) if is_new => warn(
            format!("detector \"{name}\" was not trained by its schedule: {reason}"),
            "It is tried again after an hour at the latest, and this is not said again; logintel.retrainings tells of the last attempt.",
        ),
        _ => {}
    }
}
