//! Rates: how often templates and components come, compared with the records of history.
//!
//! `score_history` watches them as it reads. Of a table that is watched, the worker reads what has come since its last
//! look: an INSERT would have to write its counts somewhere that other INSERTs write too. How far it is and what it
//! counts stands in `rate_states`.
use std::time::{Duration, Instant};

use logintel_core::artifact;
use logintel_core::detect::{Detector as Model, Judgement, Mode};
use logintel_core::error::Error;
use logintel_core::rates::{Observed, RateState, RateWatch};
use pgrx::pg_sys;
use pgrx::prelude::*;
use pgrx::{PgRelation, Uuid};

use super::Detector;
use super::columns::Columns;
use super::extract::Line;
use super::lines::for_each_line;
use super::record::Recorder;
use super::resolve::{Resolved, resolve};
use super::train::qualified;
use super::trigger::judge;
use crate::control::Session;
use crate::error::{OrRaise, warn};
use crate::lock::lock_detector;
use crate::security::RunAs;
use crate::spi::{ActiveSnapshot, Connection, arg, text_arg};
use crate::step::{Done, Step, rest_after};
use crate::subtransaction::attempt;
use crate::time::{finite_micros, micros, now_micros, timestamp};

/// Rows that one look reads, and what came at the same time as the last of them; the next goes on from there.
const MAX_ROWS: u32 = 200_000;
/// Bytes of state that are written each second at most.
const BYTES_PER_SECOND: f64 = 10_000.0;
/// States of so many bytes are never waited for.
const SMALL: f64 = 100_000.0;
/// Longest that a look may keep maintenance from other detectors.
const LIMIT: Duration = Duration::from_mins(1);
/// A log whose last row is older than this is not one whose silence is news, microseconds.
const ALIVE: i64 = 86_400_000_000;

/// Watches the rates of rows that are shown in the order of time; without a model that knows rates it does nothing.
pub struct Rates<'a> {
    resolved: &'a Resolved,
    watch: Option<(&'a Model, RateWatch<'a>)>,
}

impl<'a> Rates<'a> {
    /// With a detector's active model, from the beginning or where another ended.
    pub fn of(resolved: &'a Resolved, state: Option<RateState>) -> Self {
        let model = resolved.model.as_deref();
        let watch = model.and_then(|model| Some((model, RateWatch::new(model.rates()?, state))));
        Rates { resolved, watch }
    }

    /// Takes in a row and records what it breaks.
    pub fn add(&mut self, line: &Line<'_>, judgement: &Judgement, recorder: &mut Recorder<'_>) {
        let Some((model, watch)) = &mut self.watch else { return };
        let Some(ts) = line.ts.and_then(finite_micros) else { return };
        // Training counts no rows without message either.
        if line.judged().is_none() {
            return;
        }
        // A line that is flagged for itself needs no second anomaly to found an incident.
        let is_told = judgement.is_anomaly && !judgement.is_routine;
        let row = Observed {
            ts,
            seen: judgement.seen,
            template: &judgement.template,
            component: line.component.as_deref(),
            is_told,
        };
        watch.add(&row);
        for alarm in watch.take_alarms() {
            let is_marked = || alarm.is_of_template() && self.resolved.mark_of(line).is_some();
            // What is missing is not of this line.
            if !(alarm.is_spike() && (is_told || is_marked())) {
                recorder.add_alarm(model, &alarm, Some((line, judgement)));
            }
        }
        for growth in watch.take_grown() {
            recorder.add_growth(model, &growth);
        }
    }

    /// All rows have been taken in for now: records how far bursts have come that go on.
    pub fn pause(&mut self, recorder: &mut Recorder<'_>) {
        let Some((model, watch)) = &mut self.watch else { return };
        for growth in watch.take_growing() {
            recorder.add_growth(model, &growth);
        }
    }

    /// No row came until this time.
    fn nothing_until(&mut self, now: i64, recorder: &mut Recorder<'_>) {
        let Some((model, watch)) = &mut self.watch else { return };
        watch.nothing_until(now);
        for alarm in watch.take_alarms() {
            recorder.add_alarm(model, &alarm, None);
        }
    }

    fn into_state(self) -> Option<RateState> {
        self.watch?.1.into_state()
    }
}

/// Lets the worker look at what comes from now on: rows that are there already are not news.
pub fn begin(detector: &Detector, relation: &PgRelation) {
    let columns = Columns::of(relation);
    // A time that is still to come, or infinity, would be waited for.
    let sql = format!(
        "SELECT pg_catalog.max(t) FROM (SELECT {} AS t FROM {} AS l) AS l WHERE t <= pg_catalog.statement_timestamp()",
        detector.time_sql(&columns),
        qualified(relation)
    );
    let read = || detector.read(|spi| spi.read(&sql, &[]).get(0, 1));
    // Where times cannot be read, rows are watched all the same, and the worker says why their rates are not.
    let last: Option<TimestampWithTimeZone> = attempt(read).unwrap_or_else(|_| Some(timestamp(now_micros())));
    let _owner = RunAs::extension_owner();
    Connection::open().write(
        "INSERT INTO logintel.rate_states (detector, checked_until) VALUES ($1, coalesce($2, '-infinity')) \
         ON CONFLICT (detector) DO UPDATE SET checked_until = excluded.checked_until, model_id = NULL, state = NULL, \
             next_check = now()",
        &[text_arg(&detector.name), arg(last)],
    );
}

/// Where the last look ended.
struct Progress {
    model: Option<Uuid>,
    until: TimestampWithTimeZone,
    state: Option<Vec<u8>>,
    is_due: bool,
}

impl Progress {
    fn of(detector: &str) -> Option<Self> {
        let _owner = RunAs::extension_owner();
        let spi = Connection::open();
        let rows = spi.write(
            "SELECT model_id, checked_until, state, next_check <= now() FROM logintel.rate_states WHERE detector = $1",
            &[text_arg(detector)],
        );
        (rows.len() > 0).then(|| Progress {
            model: rows.get(0, 1),
            until: rows.must(0, 2),
            state: rows.get(0, 3),
            is_due: rows.must(0, 4),
        })
    }

    fn save(detector: &str, model: Uuid, until: TimestampWithTimeZone, state: Option<Vec<u8>>, rest: f64) {
        let _owner = RunAs::extension_owner();
        Connection::open().write(
            "UPDATE logintel.rate_states SET model_id = $2, checked_until = $3, state = $4, \
                 next_check = now() + make_interval(secs => $5) WHERE detector = $1",
            &[text_arg(detector), arg(model), arg(until), arg(state), arg(rest)],
        );
    }

    /// Waits so many seconds for the next look.
    fn rest(detector: &str, seconds: f64) {
        let _owner = RunAs::extension_owner();
        Connection::open().write(
            "UPDATE logintel.rate_states SET next_check = now() + make_interval(secs => $2) WHERE detector = $1",
            &[text_arg(detector), arg(seconds)],
        );
    }
}

/// Looks at what has come to a watched table since the last time. An index on the time makes that quick; where there is none
/// the table is read whole, and the next look waits.
pub fn tick(name: &str, is_atomic: bool) {
    Step::of("rates", name).within(LIMIT).run(is_atomic, || Done::rows(check(name).unwrap_or(0)));
}

/// Rows looked at.
fn check(name: &str) -> Option<u64> {
    lock_detector(name);
    // What was committed while the lock was waited for is seen.
    let _snapshot = ActiveSnapshot::push();
    Detector::find(name)?;
    let resolved = resolve(name, |_| {});
    let detector = &resolved.detector;
    let active = detector.active.filter(|_| detector.is_watched())?;
    // Who holds the relation may wait for the detector next: then this look waits for the next tick.
    // SAFETY: kept to the end of the transaction.
    if !unsafe { pg_sys::ConditionalLockRelationOid(detector.relation, pg_sys::AccessShareLock as i32) } {
        return None;
    }
    let Some(progress) = Progress::of(name) else {
        // The trigger was made by hand.
        begin(detector, &detector.open_relation());
        return None;
    };
    if !progress.is_due {
        return None;
    }
    let rates = resolved.model.as_deref().and_then(Model::rates)?;
    let started = Instant::now();
    let now = now_micros();
    let mut from = micros(progress.until);
    let mut state = None;
    if progress.model == Some(active.model_id) {
        state = progress.state.and_then(|bytes| read_state(name, &bytes));
    } else if rates.until <= now {
        // What the new model has learnt from is not news to it. A time still to come says nothing of that.
        from = from.max(rates.until);
    }
    let mut watch = Rates::of(&resolved, state);
    let mut recorder = Recorder::new(detector);
    let (mut rows, mut last) = (0, from);
    let until = now.saturating_sub(detector.options.lateness);
    let range = (timestamp(from.saturating_add(1)), timestamp(until));
    for_each_line(detector, Some(range.0), Some(range.1), Some(MAX_ROWS), |line| {
        let judgement = judge(&resolved, &line, Mode::History);
        rows += 1;
        last = line.ts.and_then(finite_micros).unwrap_or(last);
        watch.add(&line, &judgement, &mut recorder);
    });
    if rows < MAX_ROWS && now.saturating_sub(last) < ALIVE {
        watch.nothing_until(until, &mut recorder);
    }
    watch.pause(&mut recorder);
    recorder.write();
    let slow = rest_after(started.elapsed());
    if rows == 0 && progress.model == Some(active.model_id) && !recorder.has_written() {
        // To find nothing takes as long where no index helps.
        if slow > 0.0 {
            Progress::rest(name, slow);
        }
        return None;
    }
    let state = watch.into_state().map(|state| artifact::encode(&state, &Session).or_raise());
    let bytes = state.as_ref().map_or(0, Vec::len);
    let large = (bytes as f64 - SMALL) / BYTES_PER_SECOND;
    let rest = slow.max(large);
    Progress::save(name, active.model_id, timestamp(last), state, rest);
    Some(u64::from(rows))
}

/// What was counted so far. Where it cannot be read, counting begins anew: the next look writes it again.
fn read_state(name: &str, bytes: &[u8]) -> Option<RateState> {
    match artifact::decode(bytes, &Session) {
        Err(error @ (Error::Corrupt { .. } | Error::FormatVersion { .. })) => {
            warn(
                format!("rates of detector \"{name}\" are counted anew: {error}"),
                "A burst or silence that had begun before may be missed.",
            );
            None
        }
        result => Some(result.or_raise()),
    }
}
