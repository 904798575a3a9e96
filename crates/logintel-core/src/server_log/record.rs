//! What a record says.
//!
//! The fields of csvlog and jsonlog are described in PostgreSQL's documentation (Error Reporting and Logging). A log mixes the
//! encodings of all databases: bytes that are no UTF-8 become U+FFFD, and so does the zero byte, which no text of PostgreSQL may hold.

use std::sync::LazyLock;

use regex::bytes::Regex;
use serde::Deserialize;

use super::frame::Format;

/// Longest beginning of a record that [`starts`] looks for, bytes.
pub const MAX_START: usize = 64;
/// Fields of a csvlog record that are looked at.
const CSV_FIELDS: usize = 33;

/// The time of a line as it is written: local time, and the zone's abbreviation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogTime {
    /// Year.
    pub year: i32,
    /// 1 to 12.
    pub month: i32,
    /// 1 to 31.
    pub day: i32,
    /// 0 to 23.
    pub hour: i32,
    /// 0 to 59.
    pub minute: i32,
    /// 0 to 60.
    pub second: i32,
    /// 0 to 999.
    pub millisecond: i32,
    /// Abbreviation of the zone (the setting `log_timezone` says which zone it is).
    pub zone: String,
}

/// A line of the server's log. Texts are cut at [`super::frame::MAX_FIELD`] bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When it was written.
    pub log_time: LogTime,
    /// Role of the session.
    pub user_name: Option<String>,
    /// Database of the session.
    pub database_name: Option<String>,
    /// Process.
    pub process_id: i32,
    /// Host and port of the client, or `[local]`.
    pub connection_from: Option<String>,
    /// Session: begin and process, hexadecimal.
    pub session_id: String,
    /// Number of the line in its session.
    pub session_line_num: i64,
    /// Kind of the statement, or what the process shows of itself.
    pub command_tag: Option<String>,
    /// Level, in the language of the server's messages.
    pub error_severity: String,
    /// SQLSTATE.
    pub sql_state_code: Option<String>,
    /// Message.
    pub message: String,
    /// Detail.
    pub detail: Option<String>,
    /// Hint.
    pub hint: Option<String>,
    /// Context.
    pub context: Option<String>,
    /// The statement that failed.
    pub query: Option<String>,
    /// Name that the client gave itself.
    pub application_name: Option<String>,
    /// Kind of the process.
    pub backend_type: Option<String>,
    /// Process that leads it, where it is a parallel worker.
    pub leader_pid: Option<i32>,
    /// Number of the query; 0 where it is not computed.
    pub query_id: Option<i64>,
}

/// What a record begins with: its time. A search for it is fast, and [`super::frame`] and [`Record::parse`] say whether it is one.
pub fn starts(format: Format) -> &'static Regex {
    static CSV: LazyLock<Regex> = LazyLock::new(|| {
        compile(r#"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3} [^\x00-\x20",]{1,30},"#)
    });
    static JSON: LazyLock<Regex> = LazyLock::new(|| compile(r#"\{"timestamp":""#));
    match format {
        Format::Csv => &CSV,
        Format::Json => &JSON,
    }
}

fn compile(pattern: &str) -> Regex {
    Regex::new(&format!("(?-u){pattern}")).expect("a pattern of ours")
}

/// The object of jsonlog.
#[derive(Deserialize)]
struct Json {
    timestamp: String,
    user: Option<String>,
    dbname: Option<String>,
    pid: i32,
    remote_host: Option<String>,
    remote_port: Option<Port>,
    session_id: String,
    line_num: i64,
    ps: Option<String>,
    error_severity: String,
    state_code: Option<String>,
    message: Option<String>,
    detail: Option<String>,
    hint: Option<String>,
    context: Option<String>,
    statement: Option<String>,
    application_name: Option<String>,
    backend_type: Option<String>,
    leader_pid: Option<i32>,
    query_id: Option<i64>,
}

/// A number, which PostgreSQL 15 writes as a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Port {
    Number(u32),
    Text(String),
}

impl Record {
    /// Reads a record; `None` where the fields are not those of a log line.
    pub fn parse(format: Format, bytes: &[u8]) -> Option<Record> {
        match format {
            Format::Csv => Self::of_csv(bytes),
            Format::Json => Self::of_json(bytes),
        }
        .filter(Record::is_plausible)
    }

    fn of_csv(bytes: &[u8]) -> Option<Record> {
        let mut text = vec![0; bytes.len()];
        let mut ends = [0; CSV_FIELDS];
        let (result, _, _, fields) = csv_core::Reader::new().read_record(bytes, &mut text, &mut ends);
        if result != csv_core::ReadRecordResult::Record || fields < 26 {
            return None;
        }
        let field = |number: usize| -> Option<String> {
            let start = if number == 0 { 0 } else { ends[number - 1] };
            let field = &text[start..ends[number]];
            (!field.is_empty()).then(|| clean(String::from_utf8_lossy(field).into_owned()))
        };
        Some(Record {
            log_time: LogTime::parse(&field(0)?)?,
            user_name: field(1),
            database_name: field(2),
            process_id: field(3)?.parse().ok()?,
            connection_from: field(4),
            session_id: field(5)?,
            session_line_num: field(6)?.parse().ok()?,
            command_tag: field(7),
            error_severity: field(11)?,
            sql_state_code: field(12),
            message: field(13).unwrap_or_default(),
            detail: field(14),
            hint: field(15),
            context: field(18),
            query: field(19),
            application_name: field(22),
            backend_type: field(23),
            leader_pid: field(24).and_then(|text| text.parse().ok()),
            query_id: field(25).and_then(|text| text.trim_end().parse().ok()),
        })
    }

    fn of_json(bytes: &[u8]) -> Option<Record> {
        let json: Json = serde_json::from_str(&String::from_utf8_lossy(bytes)).ok()?;
        let port = json.remote_port.map(|port| match port {
            Port::Number(number) => number.to_string(),
            Port::Text(text) => text,
        });
        let text = |text: Option<String>| text.filter(|text| !text.is_empty()).map(clean);
        Some(Record {
            log_time: LogTime::parse(&json.timestamp)?,
            user_name: text(json.user),
            database_name: text(json.dbname),
            process_id: json.pid,
            connection_from: text(match (json.remote_host, port) {
                (Some(host), Some(port)) => Some(format!("{host}:{port}")),
                (host, _) => host,
            }),
            session_id: json.session_id,
            session_line_num: json.line_num,
            command_tag: text(json.ps),
            error_severity: clean(json.error_severity),
            // Left out where there is no complaint.
            sql_state_code: text(json.state_code).or_else(|| Some("00000".to_owned())),
            message: clean(json.message.unwrap_or_default()),
            detail: text(json.detail),
            hint: text(json.hint),
            context: text(json.context),
            query: text(json.statement),
            application_name: text(json.application_name),
            backend_type: text(json.backend_type),
            leader_pid: json.leader_pid,
            query_id: json.query_id,
        })
    }

    /// Whether the fields that have one form have it: two records that a crash has run together do not.
    fn is_plausible(&self) -> bool {
        let hexadecimal =
            |text: &str| (1..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let session = self.session_id.split_once('.');
        let state = self.sql_state_code.as_deref().unwrap_or_default().as_bytes();
        session.is_some_and(|(begin, process)| hexadecimal(begin) && hexadecimal(process))
            && self.process_id > 0
            && self.session_line_num > 0
            && (state.is_empty() || state.len() == 5 && state.iter().all(u8::is_ascii_alphanumeric))
            && (1..=64).contains(&self.error_severity.len())
    }
}

fn clean(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

impl LogTime {
    /// Reads a time such as `2026-01-31 12:00:00.123 UTC`.
    pub fn parse(text: &str) -> Option<LogTime> {
        let (clock, zone) = text.get(..23).zip(text.get(24..))?;
        let shape = clock.bytes().zip(b"0000-00-00 00:00:00.000");
        let fits = shape.into_iter().all(
            |(byte, &model)| {
                if model == b'0' { byte.is_ascii_digit() } else { byte == model }
            },
        );
        if !fits || text.as_bytes()[23] != b' ' || !(1..=30).contains(&zone.len()) {
            return None;
        }
        let number = |from: usize, to: usize, range: std::ops::RangeInclusive<i32>| {
            clock[from..to].parse().ok().filter(|number| range.contains(number))
        };
        Some(LogTime {
            year: number(0, 4, 1..=9999)?,
            month: number(5, 7, 1..=12)?,
            day: number(8, 10, 1..=31)?,
            hour: number(11, 13, 0..=23)?,
            minute: number(14, 16, 0..=59)?,
            second: number(17, 19, 0..=60)?,
            millisecond: number(20, 23, 0..=999)?,
            zone: zone.to_owned(),
        })
    }
}
