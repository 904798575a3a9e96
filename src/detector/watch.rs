//! Installing and removing the triggers.
use pgrx::PgRelation;
use pgrx::pg_sys;
use pgrx::prelude::*;

use super::Detector;
use super::columns::{quote_identifier, quote_literal};
use super::fill;
use super::train::qualified;
use crate::error::{fail, notice, warn};
use crate::security::{self, RunAs};
use crate::spi::{Connection, arg, text_arg};
use crate::text::{Text, relation_name};

/// Scores every row that is inserted from now on.
#[pg_extern(requires = ["detector"])]
fn watch(detector: Text, mode: default!(Text, "'statement'")) {
    let detector = Detector::get(&detector);
    security::require_owner(&detector.name, detector.owner);
    let row = match &*mode {
        "statement" => false,
        "row" => true,
        _ => fail(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("invalid mode \"{}\"", mode.0),
            "It is 'statement' (one call for each statement) or 'row' (one for each row, which can also fill columns).",
        ),
    };
    let relation = detector.open_relation();
    check_kind(&detector, &relation, row);
    if detector.drop_triggers() > 0 {
        notice(format!("detector \"{}\" was watching already: its triggers are made anew", detector.name));
    }
    super::rates::begin(&detector, &relation);
    let table = qualified(&relation);
    let argument = quote_literal(&detector.name);
    let name = |suffix: &str| quote_identifier(&trigger_name(&detector.name, suffix));
    let spi = Connection::open();
    let mut triggers = Vec::new();
    if row {
        let (has_columns, unfit) = fill::look_at(&relation.tuple_desc());
        if !unfit.is_empty() {
            warn(
                format!("columns of {table} are not filled: {}", unfit.join(", ")),
                "is_anomaly must be bool, anomaly_score real, double precision or numeric, anomaly_reason text, cluster_id int or bigint.",
            );
        }
        if has_columns {
            let name = name("fill");
            spi.write(&format!("CREATE TRIGGER {name} BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION logintel.score_row({argument})"), &[]);
            triggers.push(name);
        }
        let name = name("row");
        spi.write(&format!("CREATE TRIGGER {name} AFTER INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION logintel.score_row({argument})"), &[]);
        triggers.push(name);
    } else {
        let name = name("statement");
        spi.write(&format!("CREATE TRIGGER {name} AFTER INSERT ON {table} REFERENCING NEW TABLE AS logintel_new FOR EACH STATEMENT EXECUTE FUNCTION logintel.score_rows({argument})"), &[]);
    }
    if is_subscribed(&spi, &relation) {
        say_what_a_subscription_needs(&detector, &table, &triggers);
    }
}

/// Whether a subscription writes into the table.
fn is_subscribed(spi: &Connection, relation: &PgRelation) -> bool {
    let rows = spi.read(
        "SELECT FROM pg_catalog.pg_subscription_rel WHERE srrelid = $1 LIMIT 1",
        &[arg(relation.oid())],
    );
    rows.len() > 0
}

/// Its apply fires row triggers only, and of these only such as are enabled for a replica. That is the table owner's to
/// decide: enabled ALWAYS, a trigger also fires where rows are loaded with `session_replication_role`.
fn say_what_a_subscription_needs(detector: &Detector, table: &str, triggers: &[String]) {
    if triggers.is_empty() {
        return warn(
            format!("detector \"{}\" does not see what the subscription of {table} applies", detector.name),
            format!(
                "It fires no statement triggers: SELECT logintel.watch({}, 'row').",
                quote_literal(&detector.name)
            ),
        );
    }
    let enable: Vec<_> = triggers.iter().map(|trigger| format!("ENABLE ALWAYS TRIGGER {trigger}")).collect();
    warn(
        format!("detector \"{}\" does not yet see what the subscription of {table} applies", detector.name),
        format!("Its triggers must be enabled for that: ALTER TABLE {table} {};", enable.join(", ")),
    );
}

/// Removes what `watch` installed.
#[pg_extern(requires = ["detector"])]
fn unwatch(detector: Text) {
    let detector = Detector::get(&detector);
    security::require_owner(&detector.name, detector.owner);
    if detector.drop_triggers() == 0 {
        notice(format!("detector \"{}\" was not watching: there is nothing to remove", detector.name));
    }
}

fn check_kind(detector: &Detector, relation: &PgRelation, row: bool) {
    // SAFETY: the relation is open.
    let kind = unsafe { (*(*relation.as_ptr()).rd_rel).relkind } as u8;
    let refuse = |what: &str, hint: &str| {
        fail(
            PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE,
            format!("\"{}\" is {what}", relation_name(relation)),
            hint,
        )
    };
    match kind {
        b'v' | b'm' => refuse(
            "a view, which takes no rows",
            &format!(
                "Score it from time to time: SELECT logintel.score_history({}, since, until).",
                quote_literal(&detector.name)
            ),
        ),
        b'f' if !row => refuse("a foreign table, which has no transition tables", "Use mode => 'row'."),
        // PostgreSQL would refuse the INSERT.
        b'p' if !row && has_foreign_partition(relation) => {
            refuse("a table with a foreign partition, which has no transition tables", "Use mode => 'row'.");
        }
        _ => {}
    }
}

fn has_foreign_partition(relation: &PgRelation) -> bool {
    let spi = Connection::open();
    let rows = spi.read(
        "SELECT FROM pg_catalog.pg_partition_tree($1) AS p JOIN pg_catalog.pg_class AS c ON c.oid = p.relid \
         WHERE c.relkind = 'f' LIMIT 1",
        &[(pg_sys::REGCLASSOID, Some(relation.oid().into()))],
    );
    rows.len() > 0
}

/// The name of a trigger: at most 63 bytes, so that PostgreSQL does not cut it.
fn trigger_name(detector: &str, suffix: &str) -> String {
    let room = 63 - "logintel__".len() - suffix.len();
    format!("logintel_{}_{suffix}", &detector[..detector.floor_char_boundary(room)])
}

impl Detector {
    /// Triggers of this detector: those that call our functions with its name, on tables that may feed it. What others
    /// have on theirs keeps nobody waiting.
    fn triggers(&self) -> Vec<(pg_sys::Oid, String)> {
        let _owner = RunAs::extension_owner();
        let spi = Connection::open();
        // The argument is kept as bytes that end in a zero byte. Not only read: the statement may have made one itself.
        let rows = spi.write(
            "SELECT t.tgrelid, t.tgname::pg_catalog.text, c.relowner, c.relispartition \
             FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid \
             WHERE t.tgfoid = ANY (ARRAY['logintel.score_row()'::pg_catalog.regprocedure, 'logintel.score_rows()'::pg_catalog.regprocedure]::pg_catalog.oid[]) \
               AND t.tgparentid = 0 AND t.tgargs = pg_catalog.convert_to($1, pg_catalog.getdatabaseencoding()) || pg_catalog.decode('00', 'hex')",
            &[text_arg(&self.name)],
        );
        (0..rows.len())
            .filter(|&row| self.is_fed_by(rows.must(row, 1), rows.must(row, 3), rows.must(row, 4)))
            .map(|row| (rows.must(row, 1), rows.text(row, 2).unwrap_or_default()))
            .collect()
    }

    /// Whether any table has a trigger of this detector.
    pub(super) fn is_watched(&self) -> bool {
        !self.triggers().is_empty()
    }

    /// Removes them, for an owner of the detector; returns how many there were.
    pub(super) fn drop_triggers(&self) -> usize {
        let triggers = self.triggers();
        for (table, trigger) in &triggers {
            // SAFETY: the lock that DROP TRIGGER takes is held to the end of the transaction.
            let relation = unsafe { PgRelation::with_lock(*table, pg_sys::AccessExclusiveLock as i32) };
            // Who had the right to make the trigger has not always the right to drop it.
            let _owner = RunAs::table_owner(unsafe { (*relation.rd_rel).relowner });
            let sql = format!("DROP TRIGGER {} ON {}", quote_identifier(trigger), qualified(&relation));
            Connection::open().write(&sql, &[]);
        }
        triggers.len()
    }
}
