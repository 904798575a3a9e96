//! Making and dropping detectors, and choosing their models.
use pgrx::PgRelation;
use pgrx::pg_sys;
use pgrx::prelude::*;

use super::columns::quote_literal;
use super::{Detector, check_options, open_relation, usual};
use crate::error::fail;
use crate::incident;
use crate::lock::lock_detector;
use crate::reg::RegClass;
use crate::security::{self, RunAs};
use crate::spi::{Connection, arg, text_arg};
use crate::text::{Jsonb, Text, relation_name};
use crate::views::mark_views_stale;

/// Longest name of a detector, bytes.
const MAX_NAME: usize = 200;
/// Most detectors that a role may own that is no administrator: maintenance goes from one to the next.
const MAX_OWNED: i64 = 200;

/// Registers a table or view. See the reference for its arguments.
#[pg_extern(requires = ["detector"])]
#[allow(clippy::too_many_arguments, reason = "the contract's arguments")]
fn create_detector(
    name: Option<Text>,
    relation: Option<RegClass>,
    message: default!(Option<Text>, "NULL"),
    ts: default!(Option<Text>, "NULL"),
    level: default!(Option<Text>, "NULL"),
    component: default!(Option<Text>, "NULL"),
    source: default!(Option<Text>, "NULL"),
    session: default!(Option<Text>, "NULL"),
    template: default!(Option<Text>, "NULL"),
    options: default!(Option<Jsonb>, "NULL"),
) -> i32 {
    let name = valid_name(name.as_deref());
    let Some(relation) = relation else {
        fail(
            PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED,
            "relation must not be NULL",
            "Name the table or view that holds the logs, with its schema where that is not in search_path; to_regclass gives NULL for one that is not there.",
        )
    };
    let relation = open_readable(relation.0);
    let parts = usual::resolve(&relation, [message, ts, level, component, source, session, template]);
    let json = options.map_or_else(|| serde_json::json!({}), |options| options.0);
    check_timezone(&check_options(&json).timezone);
    let owner = security::current_user();

    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let taken = spi.read("SELECT FROM logintel.detectors WHERE name = $1", &[text_arg(name)]);
    if taken.len() > 0 {
        fail(
            PgSqlErrorCode::ERRCODE_DUPLICATE_OBJECT,
            format!("detector \"{name}\" already exists"),
            &format!(
                "Choose another name, or drop it first, which deletes its models, anomalies and incidents: SELECT logintel.drop_detector({}).",
                quote_literal(name)
            ),
        );
    }
    check_number(&spi, owner);
    let mut args = vec![text_arg(name), arg(relation.oid()), arg(owner), arg(Jsonb(json))];
    args.extend(
        parts.into_iter().map(|part| (pg_sys::TEXTOID, part.map(Text).and_then(IntoDatum::into_datum))),
    );
    let rows = spi.write(
        "INSERT INTO logintel.detectors \
             (name, relation, owner, options, message, ts, level, component, source, session, template) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING detector_id",
        &args,
    );
    rows.must(0, 1)
}

fn check_number(spi: &Connection, owner: pg_sys::Oid) {
    let rows = spi.read("SELECT count(*) FROM logintel.detectors WHERE owner = $1", &[arg(owner)]);
    if rows.must::<i64>(0, 1) >= MAX_OWNED && !security::is_admin(owner) {
        fail(
            PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            format!("role \"{}\" has {MAX_OWNED} detectors already", security::role_name(owner)),
            "One detector can take the lines of many sources; logintel.drop_detector drops one. Members of logintel_admin may have more.",
        );
    }
}

/// Opens a table or view that the caller may read.
pub(super) fn open_readable(relation: pg_sys::Oid) -> PgRelation {
    let relation = open_relation(relation).unwrap_or_else(|| {
        fail(
            PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE,
            format!("relation with OID {} does not exist", relation.to_u32()),
            "Name the table or view that holds the logs.",
        )
    });
    check_kind(&relation);
    security::require_select(security::current_user(), relation.oid());
    relation
}

pub(super) fn valid_name(name: Option<&str>) -> &str {
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
            format!("\"{}\" is not a table or view", relation_name(relation)),
            "Name the table or view that holds the logs.",
        );
    }
    if security::is_ours(relation.oid())
        && !["logs", "server_log"].map(security::own_table).contains(&relation.oid())
    {
        fail(
            PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE,
            format!("\"{}\" holds what logintel has found, not logs", relation_name(relation)),
            "Name the table or view that holds the logs.",
        );
    }
}

/// Lets PostgreSQL say whether it knows a time zone.
pub(super) fn check_timezone(timezone: &str) {
    let known = crate::subtransaction::attempt(|| {
        let spi = Connection::open();
        spi.read("SELECT pg_catalog.timezone($1, pg_catalog.now())", &[text_arg(timezone)]).len()
    });
    if known.is_err() {
        fail(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("invalid value for option \"timezone\": time zone \"{timezone}\" is not known"),
            "SELECT name FROM pg_timezone_names lists the names.",
        );
    }
}

/// Drops a detector with its models, anomalies, incidents and triggers.
#[pg_extern(requires = ["detector"])]
fn drop_detector(name: Text) {
    let name = &*name;
    let detector = Detector::get(name);
    security::require_owner(name, detector.owner);
    // Before any row or relation: maintenance and score_history take it first, too.
    lock_detector(name);
    detector.drop_triggers();
    incident::end_all(name);
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    spi.write("DELETE FROM logintel.detectors WHERE name = $1", &[text_arg(name)]);
    mark_views_stale(&spi);
}

/// Makes a version the one that judges; an older one is the rollback.
#[pg_extern(requires = ["detector"])]
fn activate_model(detector: Text, version: i32) {
    let detector = &*detector;
    let found = Detector::get(detector);
    security::require_owner(detector, found.owner);
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    // A training that ends now may remove the version: first wait for it, then look.
    spi.write("SELECT FROM logintel.detectors WHERE name = $1 FOR NO KEY UPDATE", &[text_arg(detector)]);
    let rows = spi.write(
        "WITH chosen AS ( \
             UPDATE logintel.model_versions SET kept_aside = NULL WHERE detector = $1 AND version = $2 RETURNING version) \
         UPDATE logintel.detectors AS d SET active_version = chosen.version FROM chosen WHERE d.name = $1 RETURNING 1",
        &[text_arg(detector), arg(version)],
    );
    if rows.len() == 0 {
        fail(
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            format!("detector \"{detector}\" has no model version {version}"),
            &format!(
                "SELECT version FROM logintel.models WHERE detector = {} lists what there is.",
                quote_literal(detector)
            ),
        );
    }
    mark_views_stale(&spi);
}
