//! What would change: `compare_models`.
use std::borrow::Cow;
use std::collections::HashMap;

use logintel_core::detect::{Judgement, Mode};
use pgrx::pg_sys;
use pgrx::prelude::*;

use super::columns::quote_literal;
use super::extract::Line;
use super::lines::for_each_line;
use super::record::copied;
use super::resolve::Resolved;
use super::trigger::judge;
use super::{Active, Detector};
use crate::call::{Raw, argument, text_argument, time_argument};
use crate::error::{fail, warn};
use crate::progress::Progress;
use crate::range::require_range;
use crate::security::RunAs;
use crate::spi::{Connection, text_arg};
use crate::text::Text;
use crate::tuples::ResultSet;

/// Most groups of rows that are told apart.
const MAX_GROUPS: usize = 10_000;
/// Most bytes of their texts.
const MAX_BYTES: usize = 64 << 20;

/// What is the same to both models.
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Kind {
    /// The templates that the two give it.
    templates: (String, String),
    level: Option<String>,
    component: Option<String>,
    /// Whether the first flags it; the second says the opposite.
    is_anomaly: bool,
}

/// Rows of a kind.
struct Group {
    /// The shortest, the first of equally short ones: the same in whatever order rows are read, and never longer than
    /// what was counted.
    message: Option<String>,
    /// Of that row, the lowest.
    scores: (f64, f64),
    rows: i64,
}

/// Rows that two models judge differently.
#[derive(Default)]
struct Differences {
    groups: HashMap<Kind, Group>,
    bytes: usize,
    /// Rows of further kinds.
    more_rows: i64,
}

impl Differences {
    fn add(&mut self, line: Line<'_>, a: Judgement, b: Judgement) {
        if a.is_anomaly == b.is_anomaly {
            return;
        }
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let message = line.message.as_deref().map(copied);
        let scores = (a.score, b.score);
        let kind = Kind {
            templates: (a.template, b.template),
            level: line.level.map(Cow::into_owned),
            component: line.component.map(Cow::into_owned),
            is_anomaly: a.is_anomaly,
        };
        if let Some(group) = self.groups.get_mut(&kind) {
            group.rows += 1;
            if (length(&message), &message, scores) < (length(&group.message), &group.message, group.scores) {
                (group.message, group.scores) = (message, scores);
            }
            return;
        }
        let texts =
            kind.templates.0.len() + kind.templates.1.len() + length(&kind.level) + length(&kind.component);
        let bytes = texts + length(&message);
        if self.groups.len() >= MAX_GROUPS || self.bytes + bytes > MAX_BYTES {
            self.more_rows += 1;
            return;
        }
        self.bytes += bytes;
        self.groups.insert(kind, Group { message, scores, rows: 1 });
    }

    /// Those with most rows first.
    fn sorted(self) -> Vec<(Kind, Group)> {
        let mut groups: Vec<_> = self.groups.into_iter().collect();
        groups.sort_unstable_by(|(kind, group), (other_kind, other)| {
            let by_rows = other.rows.cmp(&group.rows);
            by_rows.then_with(|| group.message.cmp(&other.message)).then_with(|| kind.cmp(other_kind))
        });
        groups
    }
}

impl Detector {
    /// The same detector with another model.
    fn with_version(&self, versions: &[Active], version: Option<i32>) -> Self {
        let active = versions.iter().find(|active| Some(active.version) == version).copied();
        if active.is_none() {
            let known: Vec<_> = versions.iter().map(|active| active.version.to_string()).collect();
            fail(
                PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
                match version {
                    Some(version) => format!("detector \"{}\" has no model version {version}", self.name),
                    None => "version_a and version_b must not be NULL".to_owned(),
                },
                &if known.is_empty() {
                    format!("It has none: SELECT logintel.train({}) first.", quote_literal(&self.name))
                } else {
                    format!("Its versions: {}.", known.join(", "))
                },
            );
        }
        Detector { active, ..self.clone() }
    }

    /// Its models, as the statement's snapshot shows them.
    fn versions(&self) -> Vec<Active> {
        let _owner = RunAs::extension_owner();
        let spi = Connection::open();
        let rows = spi.read(
            "SELECT version, model_id FROM logintel.model_versions WHERE detector = $1 ORDER BY version",
            &[text_arg(&self.name)],
        );
        (0..rows.len())
            .map(|row| Active { version: rows.must(row, 1), model_id: rows.must(row, 2) })
            .collect()
    }
}

/// Rows of a range that two versions judge differently, grouped by what is the same to both.
///
/// # Safety
/// Called by PostgreSQL.
#[pg_extern(requires = ["detector"], sql = "
CREATE FUNCTION compare_models(detector text, version_a int, version_b int, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL)
RETURNS TABLE (message text, level text, component text, rows bigint, anomaly_a bool, anomaly_b bool, score_a float8, score_b float8)
STABLE LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';")]
unsafe fn compare_models(fcinfo: pg_sys::FunctionCallInfo) -> Raw {
    // SAFETY: the arguments are those of the declaration above.
    let (detector, versions, since, until) = unsafe {
        let version = |number| argument(fcinfo, number).and_then(|datum| i32::from_datum(datum, false));
        (
            text_argument(fcinfo, 0),
            [version(1), version(2)],
            time_argument(fcinfo, 3),
            time_argument(fcinfo, 4),
        )
    };
    // SAFETY: the call is the running one.
    let mut set = unsafe { ResultSet::of_call(fcinfo) };
    let Some(detector) = detector else { return Raw(None) };
    let detector = Detector::get(&detector);
    detector.require_reader();
    let known = detector.versions();
    let [a, b] = versions.map(|version| Resolved::new(detector.with_version(&known, version)));
    require_range(since, until);
    let _progress = Progress::begin("compare_models");
    let mut differences = Differences::default();
    for_each_line(&detector, since, until, None, |line| {
        let [a, b] = [&a, &b].map(|model| judge(model, &line, Mode::History));
        differences.add(line, a, b);
    });
    if differences.more_rows > 0 {
        warn(
            format!("{} rows of further kinds are judged differently, too", differences.more_rows),
            "Compare a shorter range.",
        );
    }
    for (kind, group) in differences.sorted() {
        set.push(|| {
            vec![
                group.message.map(Text).into_datum(),
                kind.level.map(Text).into_datum(),
                kind.component.map(Text).into_datum(),
                group.rows.into_datum(),
                kind.is_anomaly.into_datum(),
                (!kind.is_anomaly).into_datum(),
                group.scores.0.into_datum(),
                group.scores.1.into_datum(),
            ]
        });
    }
    Raw(None)
}
