//! Suppressions: rules that people write into a table. Here they are refused where they cannot be right, read for the
//! engine, and asked which lines training leaves out; `incident::suppress` asks which incidents are hidden.
use logintel_core::config::Micros;
use logintel_core::suppression::{Event, MAX_RULES, Ready, Rule, Rules, Scratch, Template};
use pgrx::WhoAllocated;
use pgrx::datum::TryFromDatumError;
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::call::Raw;
use crate::control::Session;
use crate::detector::Detector;
use crate::detector::record::{MAX_LABEL, MAX_MESSAGE, kept, label};
use crate::error::{OrRaise, fail, fail_in_detail, raise, warn};
use crate::lock::lock_suppressions;
use crate::security::{self, RunAs};
use crate::spi::{Connection, Rows, arg, text_arg};
use crate::step::Done;
use crate::text::Text;
use crate::time::finite_micros;

/// Most rules in force of one detector, and most of them for all detectors: a detector is judged by both.
const MAX_IN_FORCE: i64 = MAX_RULES as i64 / 2;
/// Most rules of one detector, with those that have expired; the same for all detectors.
const MAX_KEPT: i64 = 10_000;
/// Longest name, and longest pattern, bytes.
const MAX_NAME: usize = 200;
const MAX_PATTERN: usize = 1000;
/// Rules that an incident names; it says how many more there are.
const MAX_NAMED: usize = 10;

type Time = Option<TimestampWithTimeZone>;

// What is written ---------------------------------------------------------------------------------------------------

/// A row of the table, as far as people write it.
struct Written {
    suppression_id: Option<i64>,
    name: Option<Text>,
    detector: Option<Text>,
    component: Option<Text>,
    level: Option<Text>,
    template: Option<Text>,
    message_pattern: Option<Text>,
    min_count: Option<i64>,
    since: Time,
    until: Time,
    hide: Option<bool>,
    exclude_from_training: Option<bool>,
    expires_at: Time,
    comment: Option<Text>,
}

impl Written {
    fn read(row: &PgHeapTuple<'_, impl WhoAllocated>) -> Result<Self, TryFromDatumError> {
        Ok(Written {
            suppression_id: row.get_by_name("suppression_id")?,
            name: row.get_by_name("name")?,
            detector: row.get_by_name("detector")?,
            component: row.get_by_name("component")?,
            level: row.get_by_name("level")?,
            template: row.get_by_name("template")?,
            message_pattern: row.get_by_name("message_pattern")?,
            min_count: row.get_by_name("min_count")?,
            since: row.get_by_name("since")?,
            until: row.get_by_name("until")?,
            hide: row.get_by_name("hide")?,
            exclude_from_training: row.get_by_name("exclude_from_training")?,
            expires_at: row.get_by_name("expires_at")?,
            comment: row.get_by_name("comment")?,
        })
    }
}

/// Refuses a rule that cannot be right, or may not be written by the role at hand. A trigger in Rust: its errors have no
/// lines about a function that nobody has called.
///
/// # Safety
/// Called by PostgreSQL.
#[pg_extern(sql = "
CREATE FUNCTION check_suppression() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';")]
pub unsafe fn check_suppression(fcinfo: pg_sys::FunctionCallInfo) -> Raw {
    // SAFETY: that of the running call.
    let trigger = unsafe { fcinfo.as_ref().and_then(|call| PgTrigger::from_fcinfo(call).ok()) };
    let Some(trigger) = trigger else { not_ours() };
    let Some(row) = trigger.new() else { not_ours() };
    let mut row = row.into_owned();
    let Ok(written) = Written::read(&row) else { not_ours() };
    validate(&written, trigger.event().fired_by_insert());
    if row.set_by_name("updated_at", pgrx::datum::datetime_support::clock_timestamp()).is_err() {
        not_ours();
    }
    Raw(row.into_trigger_datum())
}

fn not_ours() -> ! {
    fail(
        PgSqlErrorCode::ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
        "check_suppression is a trigger of the table logintel.suppressions",
        "It belongs to the extension.",
    )
}

fn validate(rule: &Written, is_new: bool) {
    check_writer(rule.detector.as_deref());
    for (field, value, most) in [
        ("detector", &rule.detector, usize::MAX),
        ("component", &rule.component, MAX_LABEL),
        ("level", &rule.level, MAX_LABEL),
        ("template", &rule.template, MAX_MESSAGE),
        ("message_pattern", &rule.message_pattern, MAX_PATTERN),
        ("name", &rule.name, MAX_NAME),
        ("comment", &rule.comment, MAX_MESSAGE),
    ] {
        check_length(field, value.as_deref(), most);
    }
    check_words(
        rule.name.as_deref(),
        rule.component.as_deref(),
        rule.level.as_deref(),
        rule.template.as_deref(),
    );
    if rule.min_count.is_some_and(|count| count < 2) {
        refuse(
            "min_count of a suppression must be at least 2",
            "An incident with so many matching events is shown all the same; NULL hides incidents of any size.",
        );
    }
    if rule.hide == Some(false) && rule.exclude_from_training == Some(false) {
        refuse(
            "a suppression must have an effect",
            "Set hide, which hides incidents, or exclude_from_training, or both.",
        );
    }
    check_times(rule.since, rule.until, rule.expires_at, is_new);
    let pattern = rule.message_pattern.as_deref().map(str::to_owned);
    let ready = Ready::new(Rule { message_pattern: pattern, ..Rule::default() }).or_raise();
    if ready.finds_everything() {
        refuse(
            "message_pattern of a suppression must not match every message",
            "Leave it NULL to match any.",
        );
    }
    let is_in_force =
        rule.expires_at.is_some_and(|end| end > pgrx::datum::datetime_support::transaction_timestamp());
    // One that is being ended may say what it likes.
    if is_in_force {
        check_condition(rule);
    }
    check_number(rule.suppression_id, rule.detector.as_deref(), is_in_force);
}

fn refuse(why: &str, hint: &str) -> ! {
    fail(PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE, why, hint)
}

/// The table's policies say the same, in words that help less.
fn check_writer(detector: Option<&str>) {
    match detector {
        Some(name) => security::require_owner(name, Detector::get(name).owner),
        None if security::is_admin(security::current_user()) => {}
        None => fail(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            "only members of logintel_admin may suppress for all detectors",
            "Name the detector.",
        ),
    }
}

/// Refuses to silence a detector, or all, by leaving out what is meant. Of one detector times or a number will do.
fn check_condition(rule: &Written) {
    let Written { detector, component, level, template, message_pattern, min_count, since, until, .. } = rule;
    let is_window = since.is_some() && until.is_some();
    let limits = detector.is_some() && (is_window || min_count.is_some());
    if limits || [component, level, template, message_pattern].iter().any(|field| field.is_some()) {
        return;
    }
    let of = detector.as_deref().map_or("all detectors".to_owned(), |name| format!("detector \"{name}\""));
    fail_in_detail(
        PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        "a suppression must say what it matches",
        &format!("Without a condition it would silence {of} as a whole."),
        "Give one of component, level, template and message_pattern; for one detector, since and until of a time when all is to be silent, or min_count. \
         What is sent is held back by a silence in Alertmanager (labels detector and severity), and a detector is switched off by \
         SELECT logintel.alter_detector(name, enabled => false).",
    );
}

fn check_length(name: &str, value: Option<&str>, most: usize) {
    if value.is_some_and(|value| value.len() > most) {
        fail(
            PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            format!("{name} of a suppression is longer than {most} bytes"),
            "Give a shorter one: anomalies keep 256 bytes of a component or level and 8 kB of a template, and nothing that is longer matches them.",
        );
    }
}

/// Refuses texts that say nothing.
fn check_words(name: Option<&str>, component: Option<&str>, level: Option<&str>, template: Option<&str>) {
    if name.is_some_and(|name| name.trim().is_empty()) {
        refuse("name of a suppression must not be empty", "Leave it NULL to have incidents show its number.");
    }
    for (field, value) in [("component", component), ("level", level)] {
        if value == Some("") {
            refuse(&format!("{field} of a suppression must not be empty"), "Leave it NULL to match any.");
        }
    }
    if template.is_some_and(|template| template.replace("<*>", "").trim().is_empty()) {
        refuse(
            "template of a suppression must hold a word",
            "Leave it NULL to match any; the column template of logintel.anomalies shows what there is.",
        );
    }
}

fn check_times(since: Time, until: Time, expires_at: Time, is_new: bool) {
    for (name, time) in [("since", since), ("until", until), ("expires_at", expires_at)] {
        if time.is_some_and(|time| finite_micros(time).is_none()) {
            refuse(
                &format!("{name} of a suppression must be a time, not infinity"),
                "NULL leaves since and until open; expires_at is needed, for a suppression has an end, and may be moved later.",
            );
        }
    }
    if let (Some(since), Some(until)) = (since, until)
        && since >= until
    {
        refuse(
            "since of a suppression must be before until",
            "Event times from since up to until are meant.",
        );
    }
    let Some(expires_at) = expires_at else {
        fail(
            PgSqlErrorCode::ERRCODE_NOT_NULL_VIOLATION,
            "a suppression must have an end: expires_at must not be NULL",
            "Leave expires_at out for 30 days from now.",
        )
    };
    if is_new && expires_at <= pgrx::datum::datetime_support::transaction_timestamp() {
        refuse(
            "expires_at of a new suppression must be in the future",
            "It ends by the clock; for event times in the past give since and until.",
        );
    }
}

/// Refuses more rules than are kept, or are matched at a time.
fn check_number(suppression_id: Option<i64>, detector: Option<&str>, is_in_force: bool) {
    lock_suppressions(detector);
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let others = spi.write(
        "SELECT count(*), count(*) FILTER (WHERE expires_at > now()) FROM logintel.suppressions \
         WHERE detector IS NOT DISTINCT FROM $1 AND suppression_id IS DISTINCT FROM $2",
        &[arg(detector.map(|name| Text(name.to_owned()))), arg(suppression_id)],
    );
    let (kept, in_force): (i64, i64) = (others.must(0, 1), others.must(0, 2));
    if is_in_force && in_force >= MAX_IN_FORCE || kept >= MAX_KEPT {
        let of = detector.map_or("all detectors".to_owned(), |name| format!("detector \"{name}\""));
        fail(
            PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            format!("{of} would have more than {MAX_IN_FORCE} suppressions in force, or {MAX_KEPT} in all"),
            "One message_pattern can say what several rules do. UPDATE logintel.suppressions SET expires_at = now() ends a rule; members of logintel_admin may DELETE it.",
        );
    }
}

// What is read ------------------------------------------------------------------------------------------------------

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Hides incidents.
    Hide,
    /// Keeps lines from training.
    ExcludeFromTraining,
}

/// Rules of one detector.
#[derive(Debug)]
pub struct Suppressions {
    pub rules: Rules,
    names: Vec<String>,
}

/// Columns of a rule, as [`read_rule`] takes them.
const COLUMNS: &str =
    "suppression_id, name, component, level, template, message_pattern, min_count, since, until";

/// What incidents call a rule, and the rule.
fn read_rule(rows: &Rows<'_>, row: u64) -> (String, Rule) {
    let number: i64 = rows.must(row, 1);
    let time = |column| rows.get::<TimestampWithTimeZone>(row, column).and_then(finite_micros);
    let rule = Rule {
        component: rows.text(row, 3),
        level: rows.text(row, 4),
        template: rows.text(row, 5),
        message_pattern: rows.text(row, 6),
        since: time(8),
        until: time(9),
        min_count: rows.get::<i64>(row, 7).map(i64::unsigned_abs),
    };
    (rows.text(row, 2).unwrap_or_else(|| format!("suppression {number}")), rule)
}

impl Suppressions {
    /// Those of a detector that are in force and have an effect; `None` where there are none.
    pub fn in_force(detector: &Detector, effect: Effect) -> Option<Self> {
        let effect = match effect {
            Effect::Hide => "hide",
            Effect::ExcludeFromTraining => "exclude_from_training",
        };
        let found: Vec<_> = {
            let _owner = RunAs::extension_owner();
            let spi = Connection::open();
            let rows = spi.write(
                &format!(
                    "SELECT {COLUMNS} FROM logintel.suppressions \
                     WHERE (detector = $1 OR detector IS NULL) AND {effect} AND expires_at > now() \
                     ORDER BY suppression_id LIMIT $2"
                ),
                &[text_arg(&detector.name), arg(MAX_RULES as i64)],
            );
            (0..rows.len()).map(|row| read_rule(&rows, row)).collect()
        };
        let (mut names, mut ready) = (Vec::new(), Vec::new());
        for (name, rule) in found {
            // One that was written under another version of logintel must not keep the others from their work.
            match Ready::new(rule) {
                Ok(rule) => {
                    names.push(name);
                    ready.push(rule);
                }
                Err(error) => warn(
                    format!("{name} of detector \"{}\" has no effect: {error}", detector.name),
                    "Change it, or end it: UPDATE logintel.suppressions SET expires_at = now().",
                ),
            }
        }
        let rules = Rules::new(ready, &detector.options, Session::watch()).or_raise();
        (!rules.is_empty()).then_some(Suppressions { rules, names })
    }

    /// One rule as if it were in force for a detector.
    pub fn of_rule(rule: Rule, detector: &Detector) -> Self {
        let ready = Ready::new(rule).or_raise();
        let rules = Rules::new(vec![ready], &detector.options, Session::watch()).or_raise();
        Suppressions { rules, names: vec![String::new()] }
    }

    /// What the rules at these places are called.
    pub fn names(&self, places: &[usize]) -> String {
        let first = &places[..places.len().min(MAX_NAMED)];
        let names: Vec<&str> = first.iter().map(|&at| self.names[at].as_str()).collect();
        match places.len() - first.len() {
            0 => names.join(", "),
            more => format!("{} and {more} more", names.join(", ")),
        }
    }
}

/// A rule, and the detector that it is about, whatever its times are; an error if there is none.
pub fn find(suppression_id: i64) -> (Option<String>, Rule) {
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let rows = spi.read(
        &format!("SELECT {COLUMNS}, detector FROM logintel.suppressions WHERE suppression_id = $1"),
        &[arg(suppression_id)],
    );
    if rows.len() == 0 {
        fail(
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            format!("suppression {suppression_id} does not exist"),
            "SELECT suppression_id, name FROM logintel.suppressions lists what there is.",
        );
    }
    (rows.text(0, 10), read_rule(&rows, 0).1)
}

/// Removes rules 90 days after their end.
pub fn retire() -> Done {
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let gone = spi.write(
        "DELETE FROM logintel.suppressions WHERE suppression_id IN (SELECT suppression_id FROM logintel.suppressions \
         WHERE expires_at < now() - interval '90 days' FOR UPDATE SKIP LOCKED)",
        &[],
    );
    Done::rows(gone.len())
}

// What training leaves out --------------------------------------------------------------------------------------------

/// The lines of a detector that training leaves out.
#[derive(Debug)]
pub struct Exclusions {
    suppressions: Suppressions,
    scratch: Scratch,
    excluded: u64,
}

impl Exclusions {
    /// By the rules in force; `None` where there are none.
    pub fn of(detector: &Detector) -> Option<Self> {
        let suppressions = Suppressions::in_force(detector, Effect::ExcludeFromTraining)?;
        Some(Exclusions { suppressions, scratch: Scratch::default(), excluded: 0 })
    }

    /// Whether a rule matches a line, which is then counted: as an anomaly of it would be, of which no more is kept either.
    /// `judged` is what is vectorised, `message` what is shown.
    pub fn excludes(&mut self, line: &logintel_core::line::Line<'_>, message: Option<&str>) -> bool {
        let event = Event {
            ts: line.ts,
            component: line.component.map(label),
            level: line.level.map(label),
            template: Template::Line(line.message),
            message: message.map(kept),
        };
        let matched = self.suppressions.rules.matching(&event, &mut self.scratch);
        let is_excluded = !matched.unwrap_or_else(|error| raise(&error)).is_empty();
        self.excluded += u64::from(is_excluded);
        is_excluded
    }

    /// Lines left out so far.
    pub fn excluded(&self) -> u64 {
        self.excluded
    }
}

/// An anomaly as the rules see it.
#[derive(Debug)]
pub struct Anomaly {
    ts: Option<Micros>,
    component: Option<String>,
    level: Option<String>,
    template: Option<String>,
    message: Option<String>,
}

impl Anomaly {
    /// From the first columns of a row: time, component, level, template, and message ([`message_sql`]).
    pub fn read(rows: &Rows<'_>, row: u64) -> Self {
        Anomaly {
            ts: rows.get::<TimestampWithTimeZone>(row, 1).and_then(finite_micros),
            component: rows.text(row, 2),
            level: rows.text(row, 3),
            template: rows.text(row, 4),
            message: rows.text(row, 5),
        }
    }

    /// As the engine takes it.
    pub fn event(&self) -> Event<'_> {
        Event {
            ts: self.ts,
            component: self.component.as_deref(),
            level: self.level.as_deref(),
            template: Template::Text(self.template.as_deref()),
            message: self.message.as_deref(),
        }
    }
}

/// SQL for the message of an anomaly, where rules ask for it: it is long, and makes anomalies differ.
pub fn message_sql(rules: &Rules) -> &'static str {
    if rules.has_patterns() { "message" } else { "NULL::text" }
}

/// Times as a parameter, for the bounds of rules.
pub fn times(micros: Vec<Micros>) -> (pg_sys::Oid, Option<pg_sys::Datum>) {
    arg(micros.into_iter().map(crate::time::timestamp).collect::<Vec<_>>())
}
