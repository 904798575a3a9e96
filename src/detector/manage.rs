//! Making, changing and dropping detectors, and choosing their models.
use logintel_core::baseline::Trainer;
use pgrx::PgRelation;
use pgrx::prelude::*;
use pgrx::{JsonB, pg_sys};

use super::columns::Columns;
use super::{Detector, PARTS, required};
use crate::error::{OrRaise, fail};
use crate::maintenance::mark_views_stale;
use crate::security::{self, RunAs};
use crate::spi::{Connection, arg};

/// Longest name of a detector, bytes.
const MAX_NAME: usize = 200;

/// Registers a table or view. See the reference for its arguments.
#[pg_extern(requires = ["detector"])]
#[allow(clippy::too_many_arguments, reason = "the contract's arguments")]
fn create_detector(
    name: Option<&str>,
    relation: Option<PgRelation>,
    message: default!(Option<&str>, "NULL"),
    ts: default!(Option<&str>, "NULL"),
    level: default!(Option<&str>, "NULL"),
    component: default!(Option<&str>, "NULL"),
    source: default!(Option<&str>, "NULL"),
    session: default!(Option<&str>, "NULL"),
    template: default!(Option<&str>, "NULL"),
    options: default!(Option<JsonB>, "NULL"),
) -> i32 {
    let name = valid_name(name);
    let Some(relation) = relation else {
        fail(
            PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED,
            "relation must not be NULL",
            "Name the table or view that holds the logs.",
        )
    };
    check_kind(&relation);
    security::require_select(relation.oid(), relation.name());
    let columns = Columns::of(&relation);
    let given = [message, ts, level, component, source, session, template];
    let parts: Vec<_> = PARTS.iter().zip(given).map(|(&part, given)| columns.resolve(part, given)).collect();
    let json = options.map_or_else(|| serde_json::json!({}), |options| options.0);
    check_options(&json);
    let owner = security::current_user();

    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let taken = spi.read("SELECT FROM logintel.detectors WHERE name = $1", &[arg(name)]);
    if taken.len() > 0 {
        fail(
            PgSqlErrorCode::ERRCODE_DUPLICATE_OBJECT,
            format!("detector \"{name}\" already exists"),
            "Choose another name, or drop it first: SELECT logintel.drop_detector(name).",
        );
    }
    let mut args = vec![arg(name), arg(relation.oid()), arg(owner), arg(JsonB(json))];
    args.extend(parts.iter().map(|part| (pg_sys::TEXTOID, part.as_deref().and_then(IntoDatum::into_datum))));
    let rows = spi.write(
        "INSERT INTO logintel.detectors \
             (name, relation, owner, options, message, ts, level, component, source, session, template) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING detector_id",
        &args,
    );
    rows.must(0, 1)
}

fn valid_name(name: Option<&str>) -> &str {
    let refuse = |why: &str| {
        let hint = format!("Give a name of up to {MAX_NAME} bytes.");
        fail(PgSqlErrorCode::ERRCODE_INVALID_NAME, format!("a detector's name must not be {why}"), &hint)
    };
    match name {
        Some(name) if name.len() > MAX_NAME => refuse("so long"),
        Some(name) if !name.trim().is_empty() => name,
        _ => refuse("empty or NULL"),
    }
}

/// Tables of any kind, views and materialized views hold rows.
fn check_kind(relation: &PgRelation) {
    // SAFETY: the relation is open.
    let kind = unsafe { (*(*relation.as_ptr()).rd_rel).relkind } as u8;
    if !matches!(kind, b'r' | b'p' | b'v' | b'm' | b'f') {
        fail(
            PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE,
            format!("\"{}\" is not a table or view", relation.name()),
            "Name the table or view that holds the logs.",
        );
    }
}

/// Refuses options that training could not use.
fn check_options(json: &serde_json::Value) {
    let options = super::check_options(json);
    check_timezone(&options.timezone);
    // Compiles the patterns.
    Trainer::new(&options, u64::MAX).or_raise();
}

/// Lets PostgreSQL say whether it knows a time zone.
fn check_timezone(timezone: &str) {
    let known = crate::subtransaction::attempt(|| {
        let spi = Connection::open();
        spi.read("SELECT pg_catalog.timezone($1, pg_catalog.now())", &[arg(timezone)]).len()
    });
    if known.is_err() {
        fail(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("invalid value for option \"timezone\": time zone \"{timezone}\" is not known"),
            "SELECT name FROM pg_timezone_names lists the names.",
        );
    }
}

/// Changes a detector's options (all of them at once) or its name; NULL leaves them.
#[pg_extern(requires = ["detector"])]
fn alter_detector(
    name: Option<&str>,
    options: default!(Option<JsonB>, "NULL"),
    new_name: default!(Option<&str>, "NULL"),
) {
    let name = required(name);
    let detector = Detector::get(name);
    security::require_owner(name, detector.owner);
    let json = options.map_or_else(|| detector.json.clone(), |options| options.0);
    check_options(&json);
    let new_name = valid_name(Some(new_name.unwrap_or(name)));
    if new_name != name && detector.is_watched() {
        fail(
            PgSqlErrorCode::ERRCODE_OBJECT_IN_USE,
            format!("detector \"{name}\" is watching its relation, whose trigger names it"),
            "SELECT logintel.unwatch(name) first, and logintel.watch(new name) afterwards.",
        );
    }
    if new_name != name && Detector::find(new_name).is_some() {
        fail(
            PgSqlErrorCode::ERRCODE_DUPLICATE_OBJECT,
            format!("detector \"{new_name}\" already exists"),
            "Choose another name.",
        );
    }
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    spi.write(
        "UPDATE logintel.detectors SET name = $2, options = $3 WHERE name = $1",
        &[arg(name), arg(new_name), arg(JsonB(json))],
    );
    mark_views_stale(&spi);
}

/// Drops a detector with its models, anomalies, incidents and triggers.
#[pg_extern(requires = ["detector"])]
fn drop_detector(name: &str) {
    let detector = Detector::get(name);
    security::require_owner(name, detector.owner);
    detector.drop_triggers();
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    spi.write("DELETE FROM logintel.detectors WHERE name = $1", &[arg(name)]);
    mark_views_stale(&spi);
}

/// Makes a version the one that judges; an older one is the rollback.
#[pg_extern(requires = ["detector"])]
fn activate_model(detector: &str, version: i32) {
    let found = Detector::get(detector);
    security::require_owner(detector, found.owner);
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let rows = spi.write(
        "UPDATE logintel.detectors AS d SET active_version = m.version \
         FROM logintel.model_versions AS m \
         WHERE d.name = $1 AND m.detector = d.name AND m.version = $2 RETURNING 1",
        &[arg(detector), arg(version)],
    );
    if rows.len() == 0 {
        fail(
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            format!("detector \"{detector}\" has no model version {version}"),
            &format!(
                "SELECT version FROM logintel.models WHERE detector = {} lists what there is.",
                pgrx::spi::quote_literal(detector)
            ),
        );
    }
    mark_views_stale(&spi);
}
