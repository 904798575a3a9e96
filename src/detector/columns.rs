//! Where in a relation the parts of a log line are.
//!
//! A part is a column, named as it is, or a path into a json or jsonb column (`data->'kubernetes'->>'pod'`). Paths are
//! parsed here and written anew with every name quoted: nothing that a caller gave is run as SQL.
use pgrx::PgRelation;
use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::error::fail;
use crate::text::{Text, from_name, relation_name};

/// The parts of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Message,
    Ts,
    Level,
    Component,
    Source,
    Session,
    Template,
}

impl Part {
    /// Its argument of `create_detector`.
    pub fn name(self) -> &'static str {
        match self {
            Part::Message => "message",
            Part::Ts => "ts",
            Part::Level => "level",
            Part::Component => "component",
            Part::Source => "source",
            Part::Session => "session",
            Part::Template => "template",
        }
    }

    /// Whether a detector cannot be without it.
    pub fn is_needed(self) -> bool {
        matches!(self, Part::Message | Part::Ts)
    }
}

/// A step into json.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(i64),
}

/// A column of a relation.
#[derive(Debug, Clone)]
pub struct Column {
    name: String,
    number: i16,
    oid: pg_sys::Oid,
}

impl Column {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it holds json or jsonb.
    pub fn is_json(&self) -> bool {
        matches!(self.oid, pg_sys::JSONOID | pg_sys::JSONBOID)
    }

    /// Whether times can be read from it.
    pub fn is_time(&self) -> bool {
        is_time(self.oid)
    }
}

/// A column, or a path into one.
#[derive(Debug, Clone)]
pub struct Path {
    column: Column,
    steps: Vec<Step>,
}

impl Path {
    /// Number of the column in the relation, from 1.
    pub fn attribute(&self) -> i16 {
        self.column.number
    }

    /// Name of the column.
    pub fn column_name(&self) -> &str {
        &self.column.name
    }

    /// Type of the column.
    pub fn column_type(&self) -> pg_sys::Oid {
        self.column.oid
    }

    /// Whether it leads into json.
    pub fn is_json(&self) -> bool {
        !self.steps.is_empty()
    }

    /// Keys and array positions, as `#>>` takes them.
    pub fn json_path(&self) -> Vec<String> {
        let text = |step: &Step| match step {
            Step::Key(key) => key.clone(),
            Step::Index(index) => index.to_string(),
        };
        self.steps.iter().map(text).collect()
    }

    /// SQL for its text: of json, what it says rather than how it is written.
    pub fn text_sql(&self) -> String {
        let column = quote_identifier(&self.column.name);
        if self.steps.is_empty() {
            return if self.column.is_json() {
                format!("(l.{column} OPERATOR(pg_catalog.#>>) '{{}}'::pg_catalog.text[])")
            } else {
                format!("l.{column}::pg_catalog.text")
            };
        }
        let steps: Vec<String> = self.steps.iter().map(step_sql).collect();
        let (last, before) = steps.split_last().expect("a path has a step");
        let into = std::iter::once(format!("l.{column}")).chain(before.iter().cloned()).collect::<Vec<_>>();
        format!("({} OPERATOR(pg_catalog.->>) {last})", into.join(" OPERATOR(pg_catalog.->) "))
    }

    /// Whether its times are read from text, where anything may stand.
    pub fn is_time_as_text(&self) -> bool {
        let is_time =
            matches!(self.column.oid, pg_sys::TIMESTAMPTZOID | pg_sys::TIMESTAMPOID | pg_sys::DATEOID);
        self.is_json() || !is_time
    }

    /// SQL for its time; times without zone are of `timezone`, which the session's setting must also be.
    pub fn time_sql(&self, timezone: &str) -> String {
        let column = quote_identifier(&self.column.name);
        match self.column.oid {
            pg_sys::TIMESTAMPTZOID if self.steps.is_empty() => format!("l.{column}"),
            pg_sys::TIMESTAMPOID | pg_sys::DATEOID if self.steps.is_empty() => {
                format!("pg_catalog.timezone({}, l.{column}::pg_catalog.timestamp)", quote_literal(timezone))
            }
            _ => format!("{}::pg_catalog.timestamptz", self.text_sql()),
        }
    }
}

fn step_sql(step: &Step) -> String {
    match step {
        Step::Key(key) => format!("{}::pg_catalog.text", quote_literal(key)),
        Step::Index(index) => format!("({index})"),
    }
}

/// The columns of a relation, looked up once.
#[derive(Debug)]
pub struct Columns {
    relation: String,
    columns: Vec<Column>,
}

impl Columns {
    /// Those of the relation, dropped ones left out.
    pub fn of(relation: &PgRelation) -> Self {
        let column = |attribute: &pg_sys::FormData_pg_attribute| Column {
            name: from_name(&attribute.attname),
            number: attribute.attnum,
            oid: attribute.atttypid,
        };
        let columns =
            relation.tuple_desc().iter().filter(|attribute| !attribute.is_dropped()).map(column).collect();
        Columns { relation: relation_name(relation), columns }
    }

    /// What a caller named for a part, to keep as it is; an error where it cannot be that part.
    pub fn checked(&self, part: Part, text: &str) -> String {
        let path = self.parse(part, text);
        if part == Part::Ts && !path.is_json() && !path.column.is_time() {
            fail(
                PgSqlErrorCode::ERRCODE_DATATYPE_MISMATCH,
                format!("column \"{text}\" of \"{}\" cannot be ts: it holds no times", self.relation),
                "Name a column of type timestamptz, timestamp, date or text, or a path into jsonb.",
            );
        }
        text.to_owned()
    }

    /// All of them, in their order.
    pub fn iter(&self) -> std::slice::Iter<'_, Column> {
        self.columns.iter()
    }

    /// The name of the relation.
    pub fn relation(&self) -> &str {
        &self.relation
    }

    /// Reads a column's name or a path.
    pub fn parse(&self, part: Part, text: &str) -> Path {
        if let Some(column) = self.find(text) {
            return Path { column: column.clone(), steps: Vec::new() };
        }
        let Parsed { column: name, steps, .. } = parse_path(text).unwrap_or_else(|| self.no_such(part, text));
        let Some(column) = self.find(&name) else { self.no_such(part, &name) };
        if !steps.is_empty() && !column.is_json() {
            fail(
                PgSqlErrorCode::ERRCODE_DATATYPE_MISMATCH,
                format!("column \"{name}\" of \"{}\" is neither json nor jsonb", self.relation),
                "A path leads into a json or jsonb column.",
            );
        }
        Path { column: column.clone(), steps }
    }

    fn find(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// How a path is written, for who meant one.
    fn path_hint(&self, text: &str) -> String {
        if !text.contains("->") {
            return String::new();
        }
        let json = self.columns.iter().find(|column| column.is_json());
        let example = || write_path(json.map_or("column", Column::name), &["key".to_owned()]);
        let path = with_quotes(text).unwrap_or_else(example);
        format!(" Keys in a path stand in quotes: {path}.")
    }

    fn no_such(&self, part: Part, text: &str) -> ! {
        let names: Vec<_> = self.columns.iter().map(|column| column.name.as_str()).collect();
        fail(
            PgSqlErrorCode::ERRCODE_UNDEFINED_COLUMN,
            format!("{} => '{text}' names no column of \"{}\"", part.name(), self.relation),
            &format!("Its columns are {}.{}", names.join(", "), self.path_hint(text)),
        )
    }
}

/// A path with quotes around the keys that lack them; `None` of what is none with them either.
fn with_quotes(text: &str) -> Option<String> {
    let mut parts = text.split("->");
    let mut path = parts.next()?.to_owned();
    for part in parts {
        let (arrow, key) = part.strip_prefix('>').map_or(("->", part), |key| ("->>", key));
        let key = key.trim();
        let is_bare = !key.is_empty() && !key.starts_with('\'') && key.parse::<i32>().is_err();
        path += arrow;
        path += &if is_bare { quote_literal(key) } else { key.to_owned() };
    }
    parse_path(&path).is_some().then_some(path)
}

/// Types that a time can be read from.
fn is_time(oid: pg_sys::Oid) -> bool {
    matches!(
        oid,
        pg_sys::TIMESTAMPTZOID
            | pg_sys::TIMESTAMPOID
            | pg_sys::DATEOID
            | pg_sys::TEXTOID
            | pg_sys::VARCHAROID
            | pg_sys::BPCHAROID
    )
}

/// A column's name, or a path from it.
struct Parsed {
    column: String,
    steps: Vec<Step>,
    /// Whether its last arrow is `->>`, which asks for text.
    asks_for_text: bool,
}

/// Reads `column->'key'->3->>'key'`.
fn parse_path(text: &str) -> Option<Parsed> {
    let (column, mut rest) = if let Some(quoted) = text.strip_prefix('"') {
        quoted_until(quoted, '"')?
    } else {
        let end = text.find("->").unwrap_or(text.len());
        (text[..end].trim().to_owned(), &text[end..])
    };
    let mut steps = Vec::new();
    let mut asks_for_text = false;
    while !rest.trim().is_empty() {
        let after = rest.trim_start();
        asks_for_text = after.starts_with("->>");
        let after = after.strip_prefix("->>").or_else(|| after.strip_prefix("->"))?.trim_start();
        if let Some(quoted) = after.strip_prefix('\'') {
            let (key, tail) = quoted_until(quoted, '\'')?;
            steps.push(Step::Key(key));
            rest = tail;
        } else {
            let end = after.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(after.len());
            // The minus of a following arrow is none of the number's.
            let digits = after[..end].trim_end_matches('-');
            steps.push(Step::Index(digits.parse::<i32>().ok()?.into()));
            rest = &after[digits.len()..];
        }
    }
    (!column.is_empty()).then_some(Parsed { column, steps, asks_for_text })
}

/// Whether a path says that it leads to json, not to text.
pub fn asks_for_json(path: &str) -> bool {
    parse_path(path).is_some_and(|path| !path.steps.is_empty() && !path.asks_for_text)
}

/// The column that a path leads from; NULL of what is none. For the view `status`, which asks whether it is still there.
#[pg_extern(immutable, parallel_safe, strict, requires = ["tables"])]
fn path_column(path: Text) -> Option<Text> {
    parse_path(&path).map(|path| Text(path.column))
}

/// A path as [`Columns::parse`] reads it.
pub fn write_path(column: &str, keys: &[String]) -> String {
    let is_plain = !column.starts_with('"') && !column.contains("->") && column.trim() == column;
    let mut text = if is_plain { column.to_owned() } else { quote_identifier(column) };
    for (at, key) in keys.iter().enumerate() {
        let arrow = if at + 1 == keys.len() { "->>" } else { "->" };
        text = format!("{text}{arrow}'{}'", key.replace('\'', "''"));
    }
    text
}

/// The name of what a column's name or path leads to: the column, or the last key.
pub fn last_name(text: &str) -> Option<String> {
    let Parsed { column, mut steps, .. } = parse_path(text)?;
    match steps.pop() {
        None => Some(column),
        Some(Step::Key(key)) => Some(key),
        Some(Step::Index(_)) => None,
    }
}

/// Text up to the closing quote, doubled quotes read as one, and what comes after it.
fn quoted_until(text: &str, quote: char) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            out.push(c);
        } else if chars.next_if(|&(_, next)| next == quote).is_some() {
            out.push(quote);
        } else {
            return Some((out, &text[at + c.len_utf8()..]));
        }
    }
    None
}

/// An identifier as SQL.
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A literal as SQL, whatever `standard_conforming_strings` says.
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!(" E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}
