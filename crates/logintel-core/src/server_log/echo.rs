//! Which lines of the log logintel has caused itself. If they were stored, storing them would cause the next.

use super::record::Record;

/// What a record is to who stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The server's or an application's own.
    Other,
    /// logintel's: it is left out.
    Own,
    /// Work that any write brings about after a while, storing this line too: it waits for another line, or for other writes.
    Aftermath,
}

/// The processes of logintel, as the server calls them.
const PROCESSES: [&str; 2] = ["logintel worker", "logintel launcher"];

/// How maintenance begins what it warns of, whoever has called it.
const MAINTENANCE: &str = "logintel maintenance, ";

/// Who has caused a record.
pub fn origin(record: &Record) -> Origin {
    let backend_type = record.backend_type.as_deref().unwrap_or_default();
    let is_ours = |name: Option<&str>| PROCESSES.iter().any(|&process| name == Some(process));
    let own = match backend_type {
        "parallel worker" => is_ours(record.application_name.as_deref()),
        // It starts and ends our processes, and names them in quotes whatever its language.
        "postmaster" => PROCESSES.iter().any(|process| record.message.contains(&format!("\"{process}\""))),
        // It names the table that it cleans, with database and schema.
        "autovacuum worker" => record.message.lines().next().is_some_and(|line| line.contains(".logintel.")),
        _ => is_ours(Some(backend_type)) || record.message.starts_with(MAINTENANCE),
    };
    if own {
        return Origin::Own;
    }
    // The level stands in the server's language, the SQLSTATE does not: this one is that of no complaint.
    let is_routine = record.sql_state_code.as_deref() == Some("00000");
    let is_debug = record.error_severity.starts_with("DEBUG");
    match backend_type {
        "checkpointer" if is_routine => Origin::Aftermath,
        "archiver" | "background writer" | "walwriter" if is_debug => Origin::Aftermath,
        _ => Origin::Other,
    }
}
