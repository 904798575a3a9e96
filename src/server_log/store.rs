//! What is in the tables `server_log` and `server_log_files`.
use std::ffi::CString;

use logintel_core::server_log::{LogTime, Record};
use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::error::warn;
use crate::security::RunAs;
use crate::spi::{Arg, Connection, arg, text_arg};
use crate::text::Text;

/// How far a file has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Path from the data directory.
    pub path: String,
    /// Bytes that are done with.
    pub position: u64,
    /// Bytes by which the file is known again.
    pub head_length: u64,
    /// Their checksum.
    pub head_checksum: u32,
    /// Whether it was read to its end after the server had gone on to another.
    pub is_finished: bool,
}

impl Known {
    /// A file of which nothing has been read.
    pub fn new(path: &str) -> Self {
        Known { path: path.to_owned(), position: 0, head_length: 0, head_checksum: 0, is_finished: false }
    }
}

const COLUMNS: &str = "file_name, position, head_length, head_checksum, is_finished";

/// The files that have been read.
pub fn known() -> Vec<Known> {
    read(&format!("SELECT {COLUMNS} FROM logintel.server_log_files ORDER BY file_name"), &[])
}

/// How far a file has been read.
pub fn find(path: &str) -> Known {
    let sql = format!("SELECT {COLUMNS} FROM logintel.server_log_files WHERE file_name = $1");
    read(&sql, &[text_arg(path)]).pop().unwrap_or_else(|| Known::new(path))
}

fn read(sql: &str, args: &[Arg]) -> Vec<Known> {
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let rows = spi.read(sql, args);
    (0..rows.len())
        .map(|row| Known {
            path: rows.text(row, 1).unwrap_or_default(),
            position: rows.must::<i64>(row, 2).cast_unsigned(),
            head_length: u64::from(rows.must::<i32>(row, 3).cast_unsigned()),
            head_checksum: rows.must::<i64>(row, 4) as u32,
            is_finished: rows.must(row, 5),
        })
        .collect()
}

/// Writes down how far a file has been read; false where another process has done so meanwhile.
pub fn advance(from: &Known, to: &Known, lines: u64, left_out: u64, broken_bytes: u64) -> bool {
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let count = |number: u64| arg(number.cast_signed());
    let rows = spi.write(
        "INSERT INTO logintel.server_log_files AS f \
             (file_name, position, head_length, head_checksum, is_finished, lines, left_out, broken_bytes) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
         ON CONFLICT (file_name) DO UPDATE SET position = $2, head_length = $3, head_checksum = $4, is_finished = $5, \
             lines = f.lines + $6, left_out = f.left_out + $7, broken_bytes = f.broken_bytes + $8, read_at = now() \
         WHERE f.position = $9 RETURNING 1",
        &[
            text_arg(&to.path),
            count(to.position),
            arg(to.head_length as i32),
            arg(i64::from(to.head_checksum)),
            arg(to.is_finished),
            count(lines),
            count(left_out),
            count(broken_bytes),
            count(from.position),
        ],
    );
    rows.len() > 0
}

/// Forgets a file that is gone, and says so where something in it may not have been read.
pub fn forget(gone: &Known) {
    let _owner = RunAs::extension_owner();
    Connection::open()
        .write("DELETE FROM logintel.server_log_files WHERE file_name = $1", &[text_arg(&gone.path)]);
    if !gone.is_finished {
        warn(
            format!(
                "\"{}\" is gone before logintel had read it to its end: it had read {} bytes",
                gone.path, gone.position
            ),
            "What came after them is not in logintel.server_log.",
        );
    }
}

/// Stores records but those that are there already; returns how many it stored.
pub fn insert(records: &[Record]) -> u64 {
    if records.is_empty() {
        return 0;
    }
    let texts = |field: fn(&Record) -> Option<&String>| {
        arg(records.iter().map(|record| field(record).cloned().map(Text)).collect::<Vec<_>>())
    };
    let numbers =
        |field: fn(&Record) -> Option<i64>| arg(records.iter().map(field).collect::<Vec<Option<i64>>>());
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let rows = spi.write(
        "INSERT INTO logintel.server_log (log_time, session_id, session_line_num, error_severity, sql_state_code, message, detail, \
             hint, context, query, user_name, database_name, application_name, connection_from, command_tag, process_id, \
             backend_type, leader_pid, query_id) \
         SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16::int[], $17, $18::int[], $19) \
         ON CONFLICT DO NOTHING",
        &[
            arg(records.iter().map(|record| time(&record.log_time)).collect::<Vec<_>>()),
            texts(|r| Some(&r.session_id)),
            numbers(|r| Some(r.session_line_num)),
            texts(|r| Some(&r.error_severity)),
            texts(|r| r.sql_state_code.as_ref()),
            texts(|r| Some(&r.message)),
            texts(|r| r.detail.as_ref()),
            texts(|r| r.hint.as_ref()),
            texts(|r| r.context.as_ref()),
            texts(|r| r.query.as_ref()),
            texts(|r| r.user_name.as_ref()),
            texts(|r| r.database_name.as_ref()),
            texts(|r| r.application_name.as_ref()),
            texts(|r| r.connection_from.as_ref()),
            texts(|r| r.command_tag.as_ref()),
            numbers(|r| Some(i64::from(r.process_id))),
            texts(|r| r.backend_type.as_ref()),
            numbers(|r| r.leader_pid.map(i64::from)),
            numbers(|r| r.query_id),
        ],
    );
    rows.len()
}

/// The moment of a line. Its abbreviation is that of the server's `log_timezone`, whatever it means elsewhere.
fn time(time: &LogTime) -> TimestampWithTimeZone {
    let zone = CString::new(time.zone.as_str()).unwrap_or_default();
    // SAFETY: a plain struct of numbers and a pointer that is not read; the zone is that of the server.
    let moment = unsafe {
        let mut parts: pg_sys::pg_tm = std::mem::zeroed();
        parts.tm_year = time.year;
        parts.tm_mon = time.month;
        parts.tm_mday = time.day;
        parts.tm_hour = time.hour;
        parts.tm_min = time.minute;
        parts.tm_sec = time.second;
        parts.tm_isdst = -1;
        let mut west =
            pg_sys::DetermineTimeZoneAbbrevOffset(&raw mut parts, zone.as_ptr(), pg_sys::log_timezone);
        let mut moment = 0;
        let code =
            pg_sys::tm2timestamp(&raw mut parts, time.millisecond * 1000, &raw mut west, &raw mut moment);
        if code == 0 { moment } else { 0 }
    };
    TimestampWithTimeZone::try_from(moment).unwrap_or_else(|_| TimestampWithTimeZone::negative_infinity())
}
