//! What people say about judgements: `mark_normal`, `mark_incident_normal`, `unmark_normal`.
//!
//! A mark is a row of the table `normal_templates`. The detector's row names the state of its marks (`marks_id`), as it names
//! the model, so that who resolves a detector under a statement's snapshot knows the marks of that snapshot, and keeps
//! them until others are made. They are read when a line is flagged, not before.
use std::cell::LazyCell;
use std::rc::Rc;

use logintel_core::detect::{Detector as Model, Judgement, Scratch};
use logintel_core::feedback::Feedback;
use pgrx::Uuid;
use pgrx::pg_sys;
use pgrx::prelude::*;

use super::Detector;
use super::extract::Line;
use super::record::may_be_cut;
use super::resolve::Resolved;
use super::trigger::with_scratch;
use crate::cache::{self, Key};
use crate::control::Session;
use crate::error::{OrRaise, fail, warn};
use crate::incident;
use crate::security::{self, RunAs};
use crate::spi::{Connection, Rows, arg, text_arg};
use crate::text::Text;

/// Most templates that are marked of one detector.
const MAX_MARKS: i64 = 10_000;
/// Most bytes of their text.
const MAX_MARKED_BYTES: i64 = 16 << 20;

impl Detector {
    /// Its marked templates, as the statement's snapshot shows them.
    pub(super) fn marked_templates(&self) -> Vec<String> {
        if self.marks_id.is_none() {
            return Vec::new();
        }
        let _owner = RunAs::extension_owner();
        let spi = Connection::open();
        let rows = spi.read(
            "SELECT template FROM logintel.normal_templates WHERE detector = $1",
            &[text_arg(&self.name)],
        );
        (0..rows.len()).filter_map(|row| rows.text(row, 1)).collect()
    }
}

impl Resolved {
    /// What people have said about the detector's templates; `None` where nobody has said anything.
    pub(super) fn feedback(&self) -> Option<&Feedback> {
        let marks = self.detector.marks_id?;
        Some(self.feedback.get_or_init(|| load(&self.detector, marks, self.model.as_deref())))
    }

    /// The judgement of a flagged line after what people have said. Who flags a line for something else than its text,
    /// such as how often its template occurs, asks the same.
    pub(super) fn after_feedback(&self, judgement: Judgement, line: &Line<'_>) -> Judgement {
        let Some(feedback) = self.feedback() else { return judgement };
        let (model, message) = (self.model.as_deref(), line.judged().unwrap_or_default());
        with_scratch(|scratch| feedback.apply(judgement, model, message, scratch)).or_raise()
    }

    /// The marked template that a line is of, if it is of one.
    pub(super) fn mark_of(&self, line: &Line<'_>) -> Option<&str> {
        let (model, message) = (self.model.as_deref(), line.judged().unwrap_or_default());
        let feedback = self.feedback()?;
        with_scratch(|scratch| feedback.mark_of(model, message, scratch)).or_raise()
    }
}

/// Marks in terms of a model. Before the first training they are in terms of options that may change at any time, and are not kept.
fn load(detector: &Detector, marks: Uuid, model: Option<&Model>) -> Rc<Feedback> {
    let options = model.map_or(&detector.options, Model::options);
    let make = || Rc::new(Feedback::new(options, detector.marked_templates(), Session::watch()).or_raise());
    let Some(active) = model.and(detector.active) else { return make() };
    let key = Key::Feedback { marks, model: active.model_id };
    cache::find(&key).unwrap_or_else(|| {
        let feedback = make();
        cache::keep(key, &feedback, feedback.bytes() as u64);
        feedback
    })
}

/// SQL for the template of an anomaly; NULL where it tells of lines that did not come, and a mark would let nothing pass, or
/// of a burst of a component, and is named after that (`Alarm::subject`).
const TEMPLATE: &str = "CASE WHEN reason = 'rate_drop' \
    OR reason = 'rate_spike' AND template = 'burst of component ' || component THEN NULL ELSE template END";

/// An anomaly as far as it is marked.
struct Flagged {
    template: Option<String>,
    /// Whether a model judged; else the template is the message as it came.
    by_model: bool,
    reason: String,
}

impl Flagged {
    /// From the columns `template`, `by_model` and `reason`, which begin there.
    fn read(rows: &Rows<'_>, row: u64, first: i32) -> Self {
        Flagged {
            template: rows.text(row, first),
            by_model: rows.must(row, first + 1),
            reason: rows.text(row, first + 2).unwrap_or_default(),
        }
    }
}

/// Marks the template of an anomaly: lines of it pass from the next statement on. Returns the template.
#[pg_extern(requires = ["detector"])]
fn mark_normal(anomaly_id: i64) -> Text {
    let (name, flagged) = {
        let _owner = RunAs::extension_owner();
        let spi = Connection::open();
        let rows = spi.read(
            &format!(
                "SELECT detector, {TEMPLATE}, version IS NOT NULL, reason FROM logintel.anomalies WHERE anomaly_id = $1"
            ),
            &[arg(anomaly_id)],
        );
        if rows.len() == 0 {
            fail(
                PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
                format!("anomaly {anomaly_id} does not exist"),
                "SELECT anomaly_id, message FROM logintel.anomalies lists what there is.",
            );
        }
        (rows.text(0, 1).unwrap_or_default(), Flagged::read(&rows, 0, 2))
    };
    let detector = Detector::get(&name);
    security::require_owner(&name, detector.owner);
    let templates = mark(&detector, vec![flagged], &format!("anomaly {anomaly_id}"));
    Text(templates.into_iter().next().unwrap_or_default())
}

/// Marks the templates of all anomalies of an incident and resolves it. Returns how many templates.
#[pg_extern(requires = ["detector"])]
fn mark_incident_normal(id: i64) -> i64 {
    let detector = incident::owned(id);
    let flagged = {
        let _owner = RunAs::extension_owner();
        let spi = Connection::open();
        let rows = spi.read(
            &format!(
                "SELECT template, by_model, min(reason COLLATE \"C\") \
                 FROM (SELECT {TEMPLATE} AS template, version IS NOT NULL AS by_model, reason \
                       FROM logintel.anomalies WHERE incident_id = $1) AS a \
                 GROUP BY 1, 2, starts_with(reason, 'rate_') ORDER BY template COLLATE \"C\", 2, 3 LIMIT $2"
            ),
            &[arg(id), arg(MAX_MARKS + 1)],
        );
        (0..rows.len()).map(|row| Flagged::read(&rows, row, 1)).collect()
    };
    let templates = mark(&detector, flagged, &format!("incident {id}"));
    incident::resolve_as_normal(id, security::current_user());
    templates.len() as i64
}

/// Marks templates for an owner of the detector; returns them, each once. `of` names what they are of.
fn mark(detector: &Detector, flagged: Vec<Flagged>, of: &str) -> Vec<String> {
    let marked_by = security::current_user();
    let (mut templates, mut reasons, mut cut) = (Vec::new(), Vec::new(), 0);
    let masks = LazyCell::new(|| Feedback::new(&detector.options, Vec::new(), Session::watch()).or_raise());
    let mut scratch = Scratch::new(Session::watch());
    for flagged in flagged {
        pgrx::check_for_interrupts!();
        let Some(template) = flagged.template else { continue };
        if may_be_cut(&template) {
            cut += 1;
            continue;
        }
        templates.push(if flagged.by_model {
            template
        } else {
            masks.template_of(&template, &mut scratch).or_raise()
        });
        reasons.push(flagged.reason);
    }
    if templates.is_empty() {
        fail(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("{of} has no template that can be marked"),
            if cut > 0 {
                "Its lines are longer than what is kept of them (8 kB): a mask for what is long in them, and another training, make them shorter."
            } else {
                "No template was recorded for it, its anomalies are gone, or they tell of the rate of a component or of the whole log."
            },
        );
    }
    if cut > 0 {
        warn(
            format!("templates of {of} that are longer than what is kept of them are not marked: {cut}"),
            "A mask for what is long in them, and another training, make them shorter.",
        );
    }
    store(detector, &templates, reasons, marked_by);
    templates.sort_unstable();
    templates.dedup();
    templates
}

fn store(detector: &Detector, templates: &[String], reasons: Vec<String>, marked_by: pg_sys::Oid) {
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    // Who marks at the same time is counted one after the other; rows that refer to the detector can still be written.
    spi.write(
        "SELECT FROM logintel.detectors WHERE name = $1 FOR NO KEY UPDATE",
        &[text_arg(&detector.name)],
    );
    let new = spi.write(
        "INSERT INTO logintel.normal_templates (detector, template, reason, marked_by) \
         SELECT $1, m.template, m.reason, pg_get_userbyid($4) FROM unnest($2, $3) AS m (template, reason) \
         ON CONFLICT DO NOTHING",
        &[
            text_arg(&detector.name),
            arg(templates.iter().cloned().map(Text).collect::<Vec<_>>()),
            arg(reasons),
            arg(marked_by),
        ],
    );
    if new.len() == 0 {
        return;
    }
    let all = spi.write(
        "SELECT count(*), sum(octet_length(template)) FROM logintel.normal_templates WHERE detector = $1",
        &[text_arg(&detector.name)],
    );
    if all.must::<i64>(0, 1) > MAX_MARKS || all.must::<i64>(0, 2) > MAX_MARKED_BYTES {
        fail(
            PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            format!(
                "detector \"{}\" would have more than {MAX_MARKS} marked templates, or 16 MB of them",
                detector.name
            ),
            "A mask for what differs in them, and another training, make one template of many; logintel.unmark_normal removes those that are there.",
        );
    }
    spi.write(
        "UPDATE logintel.detectors SET marks_id = gen_random_uuid() WHERE name = $1",
        &[text_arg(&detector.name)],
    );
}

/// Takes a mark away; whether there was one.
#[pg_extern(requires = ["detector"])]
fn unmark_normal(detector: Text, template: Text) -> bool {
    let detector = Detector::get(&detector);
    security::require_owner(&detector.name, detector.owner);
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    spi.write(
        "SELECT FROM logintel.detectors WHERE name = $1 FOR NO KEY UPDATE",
        &[text_arg(&detector.name)],
    );
    let gone = spi.write(
        "DELETE FROM logintel.normal_templates WHERE detector = $1 AND md5(template) = md5($2) AND template = $2",
        &[text_arg(&detector.name), arg(template)],
    );
    if gone.len() == 0 {
        return false;
    }
    spi.write(
        "UPDATE logintel.detectors SET marks_id = CASE WHEN EXISTS \
             (SELECT FROM logintel.normal_templates AS t WHERE t.detector = $1) THEN gen_random_uuid() END \
         WHERE name = $1",
        &[text_arg(&detector.name)],
    );
    true
}
