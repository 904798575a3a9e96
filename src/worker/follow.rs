//! The server's own log: which database takes it, and what has come.
//!
//! One database takes it, or each would have all lines: of a list in `logintel.databases` the first that has the extension, else
//! `postgres` if it has it, else the one made first. As long as it is not known of one of those before whether it has the extension, the
//! others wait. What keeps the log from being followed is no failure of the tick: it is said once, and `worker_state()` shows it.
use super::databases;
use super::guard::{Failure, guarded};
use super::process::{self, transaction};
use super::schedule::Database;
use super::state;
use crate::server_log::{Follower, Problem};
use crate::settings::{self, Databases};
use pgrx::prelude::*;

/// What `worker_state()` says where all is well.
const FOLLOWED: &str = "followed";
/// Bytes of WAL that the server writes before lines of the checkpointer alone are stored: checkpoints that follow are not
/// those that storing these lines brought about.
const BUSY: u64 = 1 << 20;

/// Takes in what has come, if this database is the one that takes it; whether anything was stored.
pub fn tick(oid: u32) -> bool {
    if !settings::follow_server_log() || !is_here(oid) {
        state::change(|table| table.note_server_log(oid, ""));
        return false;
    }
    process::report(Some(c"following the server's log"));
    let (has_stored, problem) = guarded(|| follow(oid))
        .unwrap_or_else(|Failure { message, hint, .. }| (false, Some(Problem { what: message, hint })));
    tell(oid, problem.as_ref());
    has_stored
}

/// Remembers how much WAL was written up to the end of a tick that has stored lines.
pub fn remember_wal(oid: u32) {
    let wal = wal();
    state::change(|table| table.note_wal(oid, wal));
}

fn wal() -> u64 {
    // SAFETY: reads a position in shared memory.
    unsafe { pg_sys::GetXLogInsertRecPtr() }
}

fn follow(oid: u32) -> (bool, Option<Problem>) {
    let wal_before = state::look(|table| table.get(oid).map_or(0, |database| database.wal));
    let is_busy = wal().saturating_sub(wal_before) >= BUSY;
    let begin = || {
        // A row that cannot be scored must not keep the lines after it out.
        process::set(c"logintel.on_error", c"warn");
        Follower::begin(is_busy)
    };
    let mut follower = match transaction(begin) {
        Ok(follower) => follower,
        Err(problem) => return (false, Some(problem)),
    };
    while transaction(|| follower.step()) {}
    follower.end()
}

/// Notes how it stands, and writes it to the server log where that is new.
fn tell(oid: u32, problem: Option<&Problem>) {
    let note = problem.map_or(FOLLOWED.to_owned(), |Problem { what, hint }| format!("{what}. {hint}"));
    let before = state::look(|table| table.get(oid).map(|database| database.server_log().to_owned()));
    let is_new = state::change(|table| table.note_server_log(oid, note.trim_end()));
    match problem {
        Some(Problem { what, hint }) if is_new => process::log(
            PgLogLevel::WARNING,
            format!("logintel does not follow the server's log: {what}"),
            "logintel.follow_server_log is on.",
            hint,
        ),
        None if is_new => {
            let again = if before.is_some_and(|before| !before.is_empty()) { "again " } else { "" };
            let name = transaction(|| databases::name(oid)).unwrap_or_default();
            let message = format!(
                "logintel {again}follows the server's log into logintel.server_log of database \"{name}\""
            );
            process::log(PgLogLevel::LOG, message, "", "");
        }
        _ => {}
    }
}

/// Whether this database takes the log.
fn is_here(oid: u32) -> bool {
    let known = state::snapshot();
    let (named, is_list) = match settings::databases() {
        Databases::Named(names) => (names, true),
        Databases::All => (vec!["postgres".to_owned()], false),
    };
    let mut order: Vec<u32> = transaction(|| named.iter().filter_map(|name| databases::oid(name)).collect());
    if !is_list {
        let mut others: Vec<u32> = known.iter().map(|database| database.oid).collect();
        others.sort_unstable();
        order.extend(others);
    }
    is_first(&order, &known, oid)
}

/// Whether of the databases that are watched, in the order of preference, this is the first with the extension; it has it
/// itself. One of which that is not known yet might be the first.
fn is_first(order: &[u32], known: &[Database], oid: u32) -> bool {
    let before = order.iter().take_while(|&&other| other != oid);
    let has_extension =
        |other: &u32| known.iter().find(|database| database.oid == *other)?.has_extension.or(Some(true));
    order.contains(&oid) && before.filter_map(has_extension).all(|has_extension| !has_extension)
}

#[cfg(test)]
mod tests {
    use super::super::schedule::{Outcome, Table};
    use super::*;

    fn known(databases: &[(u32, Option<Outcome>)]) -> Vec<Database> {
        let mut table = Table::default();
        table.watch(&databases.iter().map(|database| database.0).collect::<Vec<_>>());
        for &(oid, outcome) in databases {
            if let Some(outcome) = outcome {
                table.begin(oid, 7, 1, |_| false);
                table.end(oid, 7, outcome, 2, 3);
            }
        }
        table.iter().copied().collect()
    }

    #[test]
    fn the_first_with_the_extension_takes_the_log() {
        let known =
            known(&[(5, Some(Outcome::NoExtension)), (6, Some(Outcome::Done)), (7, Some(Outcome::Done))]);
        let takes = |order: &[u32]| [5, 6, 7].map(|oid| is_first(order, &known, oid));
        assert_eq!(takes(&[5, 6, 7]), [true, true, false], "5 is asked only when it has it");
        assert_eq!(takes(&[7, 6]), [false, false, true]);
        // One that is not there, or not watched, holds nothing up.
        assert_eq!(takes(&[99, 6]), [false, true, false]);
    }

    #[test]
    fn who_is_not_known_yet_comes_first() {
        let known = known(&[(5, None), (6, Some(Outcome::Done))]);
        assert!(!is_first(&[5, 6], &known, 6));
        assert!(is_first(&[6, 5], &known, 6));
    }
}
