//! One line against the active model: `detect`, `anomaly_score`, `anomaly_explain`.
use logintel_core::detect::{Explanation, Mode, Scratch};
use pgrx::pg_sys;
use pgrx::prelude::*;

use super::columns::quote_literal;
use super::extract::Line;
use super::resolve::{Resolved, resolve};
use super::trigger::{judge, judge_by_model};
use super::{Detector, required};
use crate::call::{Raw, text_argument};
use crate::control::Session;
use crate::error::OrRaise;
use crate::text::Text;
use crate::tuples::form_composite;

/// The detector and its model, for a caller who may read its logs.
fn resolve_for_caller(detector: &str) -> std::rc::Rc<Resolved> {
    resolve(detector, Detector::require_reader)
}

/// The line that message, level, component and source make.
fn asked(resolved: &Resolved, arguments: [Option<Text>; 4]) -> Line<'static> {
    Line::asked(&resolved.detector, arguments.map(|text| text.map(|text| text.0)))
}

/// The judgement of one line. Written by hand because the result's type is looked up once for a call site, not once
/// for a row.
///
/// # Safety
/// Called by PostgreSQL.
#[pg_extern(requires = ["detector"], sql = "
CREATE FUNCTION detect(detector text, message text, level text DEFAULT NULL, component text DEFAULT NULL, source text DEFAULT NULL)
RETURNS detection STABLE PARALLEL RESTRICTED COST 500 LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';")]
unsafe fn detect(fcinfo: pg_sys::FunctionCallInfo) -> Raw {
    // SAFETY: the arguments are those of the declaration above.
    let text = |number: usize| unsafe { text_argument(fcinfo, number) };
    let Some(detector) = text(0) else { return Raw(None) };
    let resolved = resolve_for_caller(&detector);
    let line = Line::asked(&resolved.detector, [text(1), text(2), text(3), text(4)]);
    let judgement = judge(&resolved, &line, Mode::Live);
    let trained = resolved.model.is_some();
    let values = [
        judgement.is_anomaly.into_datum(),
        trained.then_some(judgement.score).into_datum(),
        judgement.reason.to_string().into_datum(),
        judgement.cluster.map(|cluster| cluster as i32).into_datum(),
        Text(judgement.template).into_datum(),
        trained.then_some(judgement.distance).into_datum(),
    ];
    // SAFETY: as many values as the type has attributes, of their types.
    Raw(Some(unsafe { form_composite(fcinfo, &values) }))
}

/// How strange a line is: 0 = ordinary, 1 = never seen; NULL before the first training.
#[pg_extern(stable, parallel_restricted, cost = 500, requires = ["detector"])]
fn anomaly_score(
    detector: Option<Text>,
    message: Option<Text>,
    level: default!(Option<Text>, "NULL"),
    component: default!(Option<Text>, "NULL"),
    source: default!(Option<Text>, "NULL"),
) -> Option<f64> {
    let resolved = resolve_for_caller(&detector?);
    resolved.model.as_ref()?;
    Some(judge(&resolved, &asked(&resolved, [message, level, component, source]), Mode::Live).score)
}

/// Why a line is judged as it is, as rows.
#[expect(clippy::type_complexity, reason = "pgrx reads the columns from the type")]
#[pg_extern(stable, parallel_restricted, requires = ["detector"])]
fn anomaly_explain(
    detector: Option<Text>,
    message: Option<Text>,
    level: default!(Option<Text>, "NULL"),
    component: default!(Option<Text>, "NULL"),
    source: default!(Option<Text>, "NULL"),
) -> TableIterator<
    'static,
    (
        name!(kind, String),
        name!(term, Text),
        name!(weight, Option<f64>),
        name!(contribution, Option<f64>),
        name!(seen_in_training, Option<bool>),
        name!(detail, Text),
    ),
> {
    let rows = explain(&required(detector), [message, level, component, source]).into_iter().map(|row| {
        (row.kind.to_owned(), Text(row.term), row.weight, row.contribution, row.seen, Text(row.detail))
    });
    TableIterator::new(rows)
}

/// The same for who else asks: refused to a role that may not read the detector's logs.
pub fn explain(detector: &str, arguments: [Option<Text>; 4]) -> Vec<Explanation> {
    let resolved = resolve_for_caller(detector);
    let line = asked(&resolved, arguments);
    let rows = match (&resolved.model, line.as_judged()) {
        (Some(model), Some(line)) => model.explain(&line, &mut Scratch::new(Session::watch())).or_raise(),
        _ => Vec::new(),
    };
    let mut rules = Vec::new();
    let reason = judge(&resolved, &line, Mode::Live).reason.to_string();
    let rule = |detail: String| Explanation {
        kind: "rule",
        term: reason.clone(),
        weight: None,
        contribution: None,
        seen: None,
        detail,
    };
    // The rules of the model that follow hold as well, and are overruled.
    if judge_by_model(&resolved, &line, Mode::Live).is_anomaly
        && let Some(mark) = resolved.mark_of(&line)
    {
        rules.push(rule(format!("marked as ordinary: {mark}")));
    }
    if rows.is_empty() {
        let detail = if resolved.model.is_none() {
            format!("no model yet: SELECT logintel.train({})", quote_literal(detector))
        } else {
            "there is no message".to_owned()
        };
        rules.push(rule(detail));
    }
    rules.extend(rows);
    rules
}
