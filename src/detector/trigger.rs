//! Scoring inside the INSERT.
//!
//! A failure to score never fails the user's statement: everything runs in a subtransaction; if that fails, the rows
//! land, the failure is recorded and one warning is given. `logintel.on_error = error` makes it an error.
use std::cell::RefCell;
use std::panic::AssertUnwindSafe;

use logintel_core::detect::{Judgement, Mode, Scratch};
use pgrx::PgRelation;
use pgrx::pg_sys;
use pgrx::prelude::*;

use super::extract::{Extractor, Line};
use super::fill;
use super::once::records_already;
use super::record::{Recorder, record_failure};
use super::resolve::{self, Resolved, resolve};
use crate::call::Raw;
use crate::control::Session;
use crate::error::{OrRaise, fail, warn};
use crate::settings::{self, OnError};
use crate::subtransaction::{Failure, attempt};
use crate::text::from_c_string;

thread_local! {
    /// Kept for its allocations.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new(Session::watch()));
}

/// Judges a line, by the model and what people have said; a NULL message is judged by its level alone.
pub(super) fn judge(resolved: &Resolved, line: &Line<'_>, mode: Mode) -> Judgement {
    let judgement = judge_by_model(resolved, line, mode);
    if judgement.is_anomaly { resolved.after_feedback(judgement, line) } else { judgement }
}

/// What the model says, before what people have said.
pub(super) fn judge_by_model(resolved: &Resolved, line: &Line<'_>, mode: Mode) -> Judgement {
    let options = &resolved.detector.options;
    let (message, level) = (line.judged(), line.level.as_deref());
    match (&resolved.model, line.as_judged()) {
        (Some(model), Some(line)) => with_scratch(|scratch| model.judge(&line, mode, scratch)).or_raise(),
        (Some(_), None) => {
            let mut judgement = logintel_core::detect::untrained(options, level, "");
            if !judgement.is_anomaly {
                judgement.reason = logintel_core::detect::Reason::Normal(0.0);
            }
            judgement
        }
        (None, _) => logintel_core::detect::untrained(options, level, message.unwrap_or_default()),
    }
}

/// Lends the buffers that lines are judged in.
pub(super) fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with_borrow_mut(work)
}

/// `score_rows('detector')`, AFTER INSERT FOR EACH STATEMENT with a transition table: judges the rows of the
/// statement and records those that are flagged.
///
/// # Safety
/// Called by PostgreSQL.
#[pg_extern(requires = ["detector"], sql = "
CREATE FUNCTION score_rows() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';")]
unsafe fn score_rows(fcinfo: pg_sys::FunctionCallInfo) -> Raw {
    // SAFETY: checked to be a trigger call.
    unsafe {
        let call = Call::of(fcinfo, "score_rows");
        let wrong = "score_rows must be called AFTER INSERT FOR EACH STATEMENT with REFERENCING NEW TABLE";
        let hint = "SELECT logintel.watch('detector') installs it.";
        if call.is_before() || call.is_row() || (*call.data).tg_newtable.is_null() {
            fail(PgSqlErrorCode::ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED, wrong, hint);
        }
        if settings::enabled() && !records_already(call.data) && !call.is_ordinary() {
            call.guarded(|| call.score_statement());
        }
    }
    Raw(Some(pg_sys::Datum::null()))
}

/// `score_row('detector')`, FOR EACH ROW: BEFORE INSERT it fills the columns `is_anomaly`, `anomaly_score`,
/// `anomaly_reason` and `cluster_id` where the table has them; AFTER INSERT it records a flagged row.
///
/// # Safety
/// Called by PostgreSQL.
#[pg_extern(requires = ["detector"], sql = "
CREATE FUNCTION score_row() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';")]
unsafe fn score_row(fcinfo: pg_sys::FunctionCallInfo) -> Raw {
    // SAFETY: checked to be a trigger call.
    unsafe {
        let call = Call::of(fcinfo, "score_row");
        if !call.is_row() {
            fail(
                PgSqlErrorCode::ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
                "score_row must be called FOR EACH ROW",
                "SELECT logintel.watch('detector', 'row') installs it.",
            );
        }
        let tuple = (*call.data).tg_trigtuple;
        if !settings::enabled() {
            return Raw(Some(pg_sys::Datum::from(tuple)));
        }
        if call.is_before() {
            let filled = call.guarded(|| call.fill(tuple));
            Raw(Some(pg_sys::Datum::from(filled.unwrap_or(tuple))))
        } else {
            if !records_already(call.data) && !call.is_ordinary() {
                call.guarded(|| call.score_tuple());
            }
            Raw(Some(pg_sys::Datum::null()))
        }
    }
}

/// A trigger call.
struct Call {
    data: *mut pg_sys::TriggerData,
    detector: String,
}

/// Detectors of which one statement warns.
const MAX_TOLD: usize = 100;

const AFTER_ROW_BITS: u32 = pg_sys::TRIGGER_EVENT_ROW;
const BEFORE_BITS: u32 = pg_sys::TRIGGER_EVENT_BEFORE;

impl Call {
    /// # Safety
    /// `fcinfo` is that of the running call.
    unsafe fn of(fcinfo: pg_sys::FunctionCallInfo, function: &str) -> Self {
        // SAFETY: the context of a call is null or a node; a trigger has as many arguments as it says.
        unsafe {
            let context = (*fcinfo).context;
            if context.is_null() || (*context).type_ != pg_sys::NodeTag::T_TriggerData {
                fail(
                    PgSqlErrorCode::ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
                    format!("{function} must be called as a trigger"),
                    "SELECT logintel.watch('detector') installs one.",
                );
            }
            let data = context.cast::<pg_sys::TriggerData>();
            let trigger = &*(*data).tg_trigger;
            let is_insert = (*data).tg_event & pg_sys::TRIGGER_EVENT_OPMASK == pg_sys::TRIGGER_EVENT_INSERT;
            if !is_insert || trigger.tgnargs != 1 {
                fail(
                    PgSqlErrorCode::ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
                    format!("{function} must be called for INSERT with one argument, the detector's name"),
                    "SELECT logintel.watch('detector') installs the trigger.",
                );
            }
            let detector = from_c_string(*trigger.tgargs);
            Call { data, detector }
        }
    }

    unsafe fn is_before(&self) -> bool {
        // SAFETY: the data are those of the running call.
        unsafe { (*self.data).tg_event & pg_sys::TRIGGER_EVENT_TIMINGMASK == BEFORE_BITS }
    }

    unsafe fn is_row(&self) -> bool {
        // SAFETY: the data are those of the running call.
        unsafe { (*self.data).tg_event & AFTER_ROW_BITS != 0 }
    }

    /// Runs the work in a subtransaction; a failure is recorded, and raised only where the setting says so.
    fn guarded<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        match attempt(work) {
            Ok(value) => Some(value),
            Err(failure) => {
                self.failed(&failure);
                None
            }
        }
    }

    fn failed(&self, failure: &Failure) {
        if settings::on_error() == OnError::Error {
            fail(
                PgSqlErrorCode::ERRCODE_TRIGGERED_ACTION_EXCEPTION,
                format!("rows were not scored by detector \"{}\": {}", self.detector, failure.message),
                "SET logintel.on_error = warn lets rows in that cannot be scored.",
            );
        }
        // A standby or a read-only transaction cannot get here; if even this fails, the row must land all the same.
        // Of the detector of somebody else nothing is recorded: its owner could do nothing about it.
        let _ = attempt(|| {
            if super::Detector::find(&self.detector).is_none_or(|detector| self.feeds(&detector)) {
                record_failure(&self.detector, self.rows(), failure);
            }
        });
        if is_first_of_statement(&self.detector) {
            warn(
                format!("rows were not scored by detector \"{}\": {}", self.detector, failure.message),
                "They are stored. The view logintel.scoring_errors tells how often this happened.",
            );
        }
    }

    /// How many rows the call is about.
    fn rows(&self) -> u64 {
        // SAFETY: the transition table, where there is one, lives as long as the call.
        unsafe {
            let table = (*self.data).tg_newtable;
            if self.is_row() || table.is_null() { 1 } else { pg_sys::tuplestore_tuple_count(table) as u64 }
        }
    }

    /// Whether the call is about one row, which is ordinary, as far as that can be told by what cannot fail: for want of memory
    /// or by a cancel alone, which end the statement in any case. So nothing needs to be guarded, and a subtransaction takes a
    /// third of all the time that scoring one row takes. What would have to be read, converted or recorded is left to the way
    /// that is guarded.
    ///
    /// # Safety
    /// The call is AFTER INSERT.
    unsafe fn is_ordinary(&self) -> bool {
        // SAFETY: relation, slot and transition table live as long as the call.
        unsafe {
            let store = (*self.data).tg_newtable;
            let is_one = self.is_row()
                || pg_sys::tuplestore_tuple_count(store) == 1 && pg_sys::tuplestore_in_memory(store);
            let Some(resolved) = is_one.then(|| resolve::known(&self.detector)).flatten() else {
                return false;
            };
            let detector = &resolved.detector;
            let relation = &*(*self.data).tg_relation;
            if relation.rd_id != detector.relation && (*relation.rd_rel).relowner != detector.owner {
                return false;
            }
            if !detector.enabled {
                return true;
            }
            let relation = PgRelation::from_pg((*self.data).tg_relation);
            let Some(extractor) = Extractor::known(detector, &relation) else { return false };
            let judge = |slot| extractor.is_plain(slot) && is_ordinary(&resolved, &extractor.untimed(slot));
            if self.is_row() {
                return judge((*self.data).tg_trigslot);
            }
            let mut ordinary = false;
            self.for_each_row(&relation, |slot| ordinary = judge(slot));
            ordinary
        }
    }

    /// Calls `each` with every row of the statement.
    ///
    /// # Safety
    /// The call has a transition table.
    unsafe fn for_each_row(&self, relation: &PgRelation, mut each: impl FnMut(*mut pg_sys::TupleTableSlot)) {
        // SAFETY: the relation and the transition table live as long as the call; a read pointer of our own leaves the
        // readers of other triggers where they are.
        unsafe {
            let store = (*self.data).tg_newtable;
            let description = (*relation.as_ptr()).rd_att;
            let slot = pg_sys::MakeSingleTupleTableSlot(description, &raw const pg_sys::TTSOpsMinimalTuple);
            pg_sys::tuplestore_select_read_pointer(store, 0);
            pg_sys::tuplestore_rescan(store);
            while pg_sys::tuplestore_gettupleslot(store, true, false, slot) {
                pgrx::check_for_interrupts!();
                each(slot);
            }
            pg_sys::ExecDropSingleTupleTableSlot(slot);
        }
    }

    /// The detector, unless it is switched off or gone.
    fn resolved(&self) -> Option<std::rc::Rc<Resolved>> {
        let resolved = resolve(&self.detector, |detector| self.require_feed(detector));
        resolved.detector.enabled.then_some(resolved)
    }

    /// Whether rows of the call's table may go to a detector.
    fn feeds(&self, detector: &super::Detector) -> bool {
        // SAFETY: the relation of the running call.
        let (relation, class) = unsafe {
            let relation = (*self.data).tg_relation;
            ((*relation).rd_id, &*(*relation).rd_rel)
        };
        detector.is_fed_by(relation, class.relowner, class.relispartition)
    }

    /// Refuses a trigger by which somebody feeds the detector of somebody else.
    fn require_feed(&self, detector: &super::Detector) {
        if !self.feeds(detector) {
            fail(
                PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!("the trigger is on a table that detector \"{}\" is not for", detector.name),
                "Its owner may feed it from another table that belongs to him.",
            );
        }
        detector.require_select();
    }

    /// # Safety
    /// The call has a transition table.
    unsafe fn score_statement(&self) {
        let Some(resolved) = self.resolved() else { return };
        // SAFETY: the relation lives as long as the call, a row as long as it is lent.
        unsafe {
            let relation = PgRelation::from_pg((*self.data).tg_relation);
            let extractor = Extractor::of(&resolved.detector, &relation);
            let mut recorder = Recorder::new(&resolved.detector);
            self.for_each_row(&relation, |slot| judge_into(&resolved, &mut recorder, &extractor, slot));
            recorder.write();
        }
    }

    /// # Safety
    /// The call is AFTER … FOR EACH ROW.
    unsafe fn score_tuple(&self) {
        let Some(resolved) = self.resolved() else { return };
        // SAFETY: the slot holds the new row.
        unsafe {
            let relation = PgRelation::from_pg((*self.data).tg_relation);
            let extractor = Extractor::of(&resolved.detector, &relation);
            let mut recorder = Recorder::new(&resolved.detector);
            judge_into(&resolved, &mut recorder, &extractor, (*self.data).tg_trigslot);
            recorder.write();
        }
    }

    /// The row with its columns filled.
    ///
    /// # Safety
    /// The call is BEFORE … FOR EACH ROW, and `tuple` its row.
    unsafe fn fill(&self, tuple: pg_sys::HeapTuple) -> pg_sys::HeapTuple {
        let Some(resolved) = self.resolved() else { return tuple };
        // SAFETY: the slot holds the new row; the arrays are as long as the number of columns to fill.
        unsafe {
            let relation = PgRelation::from_pg((*self.data).tg_relation);
            let description = relation.tuple_desc();
            let extractor = Extractor::of(&resolved.detector, &relation);
            let line = extractor.line((*self.data).tg_trigslot);
            let judgement = judge(&resolved, &line, Mode::Live);
            // As in `detect`, there is none before the first training.
            let score = resolved.model.is_some().then_some(judgement.score);
            fill::filled(tuple, &description, &judgement, score)
        }
    }
}

/// Whether a detector has not failed before in the client's statement, of which each row may be a call: one warning is enough.
fn is_first_of_statement(detector: &str) -> bool {
    thread_local! {
        static LAST: RefCell<(pg_sys::TimestampTz, Vec<String>)> = const { RefCell::new((0, Vec::new())) };
    }
    // SAFETY: reads a global.
    let statement = unsafe { pg_sys::GetCurrentStatementStartTimestamp() };
    LAST.with_borrow_mut(|(last, detectors)| {
        if *last != statement {
            *last = statement;
            detectors.clear();
        }
        let is_first = detectors.len() < MAX_TOLD && !detectors.iter().any(|told| told == detector);
        if is_first {
            detectors.push(detector.to_owned());
        }
        is_first
    })
}

/// Whether a line is ordinary by the model; not where the engine fails.
fn is_ordinary(resolved: &Resolved, line: &Line<'_>) -> bool {
    let (Some(model), Some(line)) = (&resolved.model, line.as_judged()) else { return false };
    let judged = || with_scratch(|scratch| matches!(model.anomaly(&line, Mode::Live, scratch), Ok(None)));
    PgTryBuilder::new(AssertUnwindSafe(judged)).catch_rust_panic(|_| false).execute()
}

/// Judges a row and takes it in where it is flagged.
///
/// # Safety
/// As [`Extractor::line`].
unsafe fn judge_into(
    resolved: &Resolved,
    recorder: &mut Recorder<'_>,
    extractor: &Extractor,
    slot: *mut pg_sys::TupleTableSlot,
) {
    // SAFETY: the caller's; the line is gone before the slot's next row comes.
    let line = unsafe { extractor.line(slot) };
    let judgement = match (&resolved.model, line.as_judged()) {
        // Most are ordinary, and nobody asks what else is to be said of them.
        (Some(model), Some(line)) => {
            with_scratch(|scratch| model.anomaly(&line, Mode::Live, scratch)).or_raise()
        }
        _ => Some(judge_by_model(resolved, &line, Mode::Live)).filter(|judgement| judgement.is_anomaly),
    };
    let Some(judgement) = judgement.map(|judgement| resolved.after_feedback(judgement, &line)) else {
        return;
    };
    if judgement.is_anomaly {
        recorder.add(&line, judgement);
    }
}
