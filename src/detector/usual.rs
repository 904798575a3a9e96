//! Where the parts of a log line usually are, in the tables that shippers write.
//!
//! A column of a usual name is taken; `SeverityText`, `severity_text` and `severity.text` are one name. Where the
//! message is in no column of its own it is looked for in json and jsonb columns, by the keys of the first rows that are
//! there: the key that most of them have, and of equally frequent ones the most usual. The other parts are then looked
//! for in the same column. Of other json columns only those are looked into that hold what is known of a line's origin,
//! such as `kubernetes` and OpenTelemetry's attributes, for in others `level` may be the level of a game.
use std::cell::OnceCell;
use std::collections::BTreeMap;

use logintel_core::reading::plain_name;
use pgrx::PgRelation;
use pgrx::prelude::*;
use serde_json::Value;

use super::PARTS;
use super::columns::{Columns, Part, asks_for_json, quote_identifier, quote_literal, write_path};
use super::train::qualified;
use crate::error::{advise, fail, fail_in_detail};
use crate::security::{self, RunAs};
use crate::spi::Connection;
use crate::subtransaction::attempt;
use crate::text::Text;
use crate::time::parse;

/// Rows that are looked at.
const ROWS: usize = 100;
/// Values of a column that are tried as times, and how much of each is read, characters.
const VALUES: usize = 10;
const MAX_VALUE: usize = 100;
/// Longest document that is looked into, bytes as they are stored.
const MAX_DOCUMENT: usize = 64 << 10;
/// How deep keys may lie in a document.
const MAX_DEPTH: usize = 3;
/// Most different keys that are told apart.
const MAX_KEYS: usize = 10_000;

/// What a part is usually called, most usual first. A template is used only where it is asked for, because it takes
/// the message's place.
fn names(part: Part) -> &'static [&'static str] {
    match part {
        Part::Message => {
            &["message", "msg", "log_message", "body", "content", "text", "line", "log", "event_message"]
        }
        Part::Ts => &[
            "ts",
            "timestamp",
            "time",
            "log_time",
            "logged_at",
            "event_time",
            "datetime",
            "created_at",
            "devicereportedtime",
            "receivedat",
            "date",
            "observed_timestamp",
        ],
        Part::Level => &[
            "level",
            "severity",
            "log_level",
            "severity_text",
            "error_severity",
            "lvl",
            "priority",
            "syslog_severity",
            "severity_number",
        ],
        Part::Component => &[
            "component",
            "logger",
            "logger_name",
            "service",
            "service_name",
            "module",
            "program",
            "app",
            "appname",
            "syslogtag",
            "syslog_identifier",
            "backend_type",
            "category",
            "kubernetes_container_name",
            "k8s_container_name",
            "container_name",
            "systemd_unit",
            "ident",
        ],
        Part::Source => &[
            "source",
            "host",
            "hostname",
            "host_name",
            "fromhost",
            "node",
            "node_name",
            "instance",
            "kubernetes_pod_name",
            "k8s_pod_name",
            "pod_name",
        ],
        Part::Session => &["session", "session_id", "trace_id", "request_id"],
        Part::Template => &[],
    }
}

/// Columns that stand for a part where there is nothing better: Fluent Bit's tag tells where a line comes from.
fn makeshift(part: Part) -> &'static [&'static str] {
    if part == Part::Source { &["tag"] } else { &[] }
}

/// Json columns that tell of a line's origin: Vector's, OpenTelemetry's.
const ORIGINS: [&str; 5] = ["kubernetes", "resource_attributes", "resource", "log_attributes", "attributes"];

/// The place of a name among usual ones.
fn rank(usual: &[&str], name: &str) -> Option<usize> {
    usual.iter().position(|usual| plain_name(usual) == name)
}

/// What was found for each part: as given; none for `''`; by its usual names for NULL. The texts are kept with the
/// detector; an error names what is needed and was not found.
pub fn resolve(relation: &PgRelation, given: [Option<Text>; PARTS.len()]) -> [Option<String>; PARTS.len()] {
    let search = Search { columns: Columns::of(relation), relation, keys: OnceCell::new() };
    let mut given = given.into_iter();
    let mut record = None;
    PARTS.map(|part| {
        let found = match given.next().flatten().as_deref() {
            Some("") => None,
            Some(text) => {
                let text = search.columns.checked(part, text);
                search.tell_of_json(part, &text);
                Some(text)
            }
            None => search.usual(part, record.as_deref()),
        };
        if found.is_none() && part.is_needed() {
            search.not_found(part);
        }
        if let (Part::Ts, Some(text)) = (part, &found) {
            search.require_times(text);
        }
        if part == Part::Message {
            let path = found.as_ref().map(|text| search.columns.parse(part, text));
            record = path.filter(super::columns::Path::is_json).map(|path| path.column_name().to_owned());
        }
        found
    })
}

/// A relation that is searched.
struct Search<'a> {
    columns: Columns,
    relation: &'a PgRelation,
    /// Read when a column is not enough.
    keys: OnceCell<Keys>,
}

impl Search<'_> {
    /// `record` is the json column that the message was found in.
    fn usual(&self, part: Part, record: Option<&str>) -> Option<String> {
        let key = |columns: &dyn Fn(&str) -> bool| self.key(part, columns);
        let is_origin = |name: &str| rank(&ORIGINS, &plain_name(name)).is_some();
        let tells_origin = matches!(part, Part::Component | Part::Source);
        self.column(names(part), |column| match part {
            Part::Message => !column.is_json(),
            Part::Ts => column.is_time(),
            _ => true,
        })
        .or_else(|| match part {
            Part::Message => key(&|_| true),
            Part::Template => None,
            _ => key(&|name| Some(name) == record || tells_origin && is_origin(name)),
        })
        .or_else(|| self.column(if part == Part::Message { names(part) } else { makeshift(part) }, |_| true))
    }

    /// The column of the most usual of the names.
    fn column(&self, names: &[&str], fits: impl Fn(&super::columns::Column) -> bool) -> Option<String> {
        let ranked = self
            .columns
            .iter()
            .filter(|column| fits(column))
            .filter_map(|column| Some((rank(names, &plain_name(column.name()))?, column)));
        ranked.min_by_key(|&(rank, _)| rank).map(|(_, column)| write_path(column.name(), &[]))
    }

    /// The path into a json column that most rows have, of those with a usual name.
    fn key(&self, part: Part, fits: &dyn Fn(&str) -> bool) -> Option<String> {
        if !self.columns.iter().any(|column| column.is_json() && fits(column.name())) {
            return None;
        }
        let keys = self.keys.get_or_init(|| self.sample());
        let candidates = keys.found.iter().filter_map(|((column, path), seen)| {
            let rows = if part == Part::Level { seen.texts + seen.numbers } else { seen.texts };
            let name = plain_name(&path.concat());
            let whole = plain_name(column) + &name;
            let rank = rank(names(part), &name).or_else(|| rank(names(part), &whole))?;
            let is_candidate = rows > 0 && fits(column) && (part != Part::Ts || is_moment(&seen.example));
            is_candidate.then(|| ((std::cmp::Reverse(rows), rank, path.len()), write_path(column, path)))
        });
        candidates.min().map(|(_, path)| path)
    }

    /// Reads the first rows, with the rights that the detector's owner will have.
    fn sample(&self) -> Keys {
        let columns: Vec<_> = self.columns.iter().filter(|column| column.is_json()).collect();
        let documents: Vec<_> = columns
            .iter()
            .map(|column| {
                let column = quote_identifier(column.name());
                format!(
                    "CASE WHEN pg_catalog.pg_column_size(l.{column}) <= {MAX_DOCUMENT} THEN l.{column}::pg_catalog.text END"
                )
            })
            .collect();
        let sql =
            format!("SELECT {} FROM {} AS l LIMIT {ROWS}", documents.join(", "), qualified(self.relation));
        let _reader = RunAs::reader(security::current_user(), self.relation.oid(), "UTC");
        let spi = Connection::open();
        let rows = spi.read(&sql, &[]);
        let mut keys = Keys { rows: rows.len(), ..Keys::default() };
        for row in 0..rows.len() {
            for (number, column) in (1..).zip(&columns) {
                pgrx::check_for_interrupts!();
                let document = rows.text(row, number).and_then(|text| serde_json::from_str(&text).ok());
                if let Some(document) = document {
                    keys.add(column.name(), &document, &mut Vec::new());
                }
            }
        }
        keys
    }

    /// Says so where a message is json: that may be what is meant, and may be a missing `>`.
    fn tell_of_json(&self, part: Part, text: &str) {
        if part != Part::Message {
            return;
        }
        let relation = self.columns.relation();
        let path = self.columns.parse(part, text);
        if asks_for_json(text) {
            advise(
                format!("message => '{text}' of \"{relation}\" leads to json: its text is the message"),
                "Before the last key ->> asks for text, as in data->>'log'.",
            );
        } else if !path.is_json()
            && self.columns.iter().any(|c| c.is_json() && c.name() == path.column_name())
        {
            let keys = self.keys.get_or_init(|| self.sample());
            let holds = keys.found.keys().find(|(column, _)| column == path.column_name());
            let usual = self.key(part, &|name| name == path.column_name());
            let Some(example) = usual.or_else(|| holds.map(|(column, keys)| write_path(column, keys))) else {
                return;
            };
            advise(
                format!(
                    "message => '{text}' of \"{relation}\" holds json: the message is the whole document, its keys and braces included"
                ),
                &format!("Name the key that has the text, with ->>: message => {}.", quote_literal(&example)),
            );
        }
    }

    /// Refuses texts as times where none of the first can be read as one: no row could ever be judged.
    fn require_times(&self, text: &str) {
        let path = self.columns.parse(Part::Ts, text);
        if !path.is_time_as_text() {
            return;
        }
        let sql = format!(
            "SELECT pg_catalog.left({}, {MAX_VALUE}) FROM {} AS l LIMIT {ROWS}",
            path.text_sql(),
            qualified(self.relation)
        );
        let values: Vec<String> = {
            let _reader = RunAs::reader(security::current_user(), self.relation.oid(), "UTC");
            let spi = Connection::open();
            let rows = spi.read(&sql, &[]);
            (0..rows.len()).filter_map(|row| rows.text(row, 1)).take(VALUES).collect()
        };
        let Some(first) = values.first() else { return };
        if values.iter().any(|value| is_moment(value)) {
            return;
        }
        let number = if values.len() == 1 {
            "the first value".to_owned()
        } else {
            format!("the first {} values", values.len())
        };
        fail_in_detail(
            PgSqlErrorCode::ERRCODE_INVALID_DATETIME_FORMAT,
            format!("ts => '{text}' of \"{}\" holds no times that can be read", self.columns.relation()),
            &format!("Of {number} none is a time as PostgreSQL reads it, such as \"{first}\"."),
            "Name a column of times; or make a view that reads them, with to_timestamp(column, 'DD.MM.YYYY HH24:MI:SS'), \
             or to_timestamp(column::float8) of seconds since 1970, and a detector for the view.",
        );
    }

    fn not_found(&self, part: Part) -> ! {
        let name = part.name();
        let looked_in = match self.keys.get() {
            None => String::new(),
            Some(keys) if keys.rows == 0 => ", and for keys of such names, but it has no rows yet".to_owned(),
            Some(keys) => {
                format!(", and for keys of such names in json (rows looked at: {})", keys.rows)
            }
        };
        fail(
            PgSqlErrorCode::ERRCODE_UNDEFINED_COLUMN,
            format!(
                "no column of \"{}\" was found for {name}; looked for {}{looked_in}",
                self.columns.relation(),
                names(part).join(", ")
            ),
            &format!("Name it: {name} => 'column', or a path into a jsonb column such as 'data->>''log'''."),
        )
    }
}

/// Keys of documents.
#[derive(Default)]
struct Keys {
    /// Rows that were read.
    rows: u64,
    /// By column and path.
    found: BTreeMap<(String, Vec<String>), Seen>,
}

/// What was seen below a key.
#[derive(Default)]
struct Seen {
    texts: u64,
    numbers: u64,
    /// The first text.
    example: String,
}

impl Keys {
    fn add(&mut self, column: &str, value: &Value, path: &mut Vec<String>) {
        match value {
            Value::Object(fields) if path.len() < MAX_DEPTH => {
                for (key, value) in fields {
                    path.push(key.clone());
                    self.add(column, value, path);
                    path.pop();
                }
            }
            Value::String(text) if !text.is_empty() => {
                if let Some(seen) = self.seen(column, path) {
                    if seen.texts == 0 {
                        seen.example.clone_from(text);
                    }
                    seen.texts += 1;
                }
            }
            Value::Number(_) => {
                if let Some(seen) = self.seen(column, path) {
                    seen.numbers += 1;
                }
            }
            _ => {}
        }
    }

    fn seen(&mut self, column: &str, path: &[String]) -> Option<&mut Seen> {
        let key = (column.to_owned(), path.to_vec());
        let has_room = self.found.len() < MAX_KEYS;
        if path.is_empty() || !has_room && !self.found.contains_key(&key) {
            return None;
        }
        Some(self.found.entry(key).or_default())
    }
}

/// Whether a text is a time that PostgreSQL reads.
fn is_moment(text: &str) -> bool {
    attempt(|| parse(text, "UTC")).is_ok_and(|time| time.is_some())
}
