//! When each database has its next tick. Pure: times come in as numbers, so that it can be tested without waiting.
//!
//! The table is a fixed array because it lives in shared memory. Its rules:
//!
//! - one tick at a time in a database;
//! - a healthy database starts a tick every interval;
//! - one without the extension is looked at again after [`RECHECK`];
//! - one that fails waits twice as long after each failure, up to [`crate::backoff::MAX_PAUSE`], a little more or less at
//!   random so that databases which failed together do not come back together;
//! - one that gave way to a command that wants the database, or a table, for itself waits [`YIELD`].
pub use crate::backoff::Micros;
use crate::backoff::backoff;

/// Most databases watched at once.
pub const MAX_DATABASES: usize = 256;
/// Most bytes kept of an error message, or of what is said about the server's log.
pub const MAX_ERROR: usize = 256;
/// A second.
pub const SECOND: Micros = 1_000_000;
/// Time after which a database without the extension is looked at again.
pub const RECHECK: Micros = 60 * SECOND;
/// Pause after giving way.
pub const YIELD: Micros = 10 * SECOND;
/// Shortest time between the end of a tick and the next, so that a database whose ticks last longer than the
/// interval still has moments without one.
const GAP: Micros = SECOND;

/// How a tick ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// All its steps are done.
    Done,
    /// The database does not have the extension.
    NoExtension,
    /// With this error.
    Failed(&'a str),
}

/// A text in shared memory, cut where it is too long.
#[derive(Debug, Clone, Copy)]
struct Short {
    bytes: [u8; MAX_ERROR],
    length: usize,
}

impl Short {
    const EMPTY: Self = Self { bytes: [0; MAX_ERROR], length: 0 };

    fn of(text: &str) -> Self {
        let mut short = Self::EMPTY;
        short.length = text.floor_char_boundary(MAX_ERROR);
        short.bytes[..short.length].copy_from_slice(&text.as_bytes()[..short.length]);
        short
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

/// What is known of one database.
#[derive(Debug, Clone, Copy)]
pub struct Database {
    /// Its OID; 0 marks a free entry.
    pub oid: u32,
    /// The process that ticks there now, or 0.
    pub pid: i32,
    /// Whether the extension was there when last looked.
    pub has_extension: Option<bool>,
    /// When the last tick began, or 0.
    pub last_start: Micros,
    /// When the last tick ended, or 0.
    pub last_end: Micros,
    /// Failures since the last success.
    pub failures: u32,
    /// Time to rest after `last_end` when it did not end well.
    pause: Micros,
    /// The tick was told to end early.
    yielding: bool,
    error: Short,
    server_log: Short,
    /// How far the server's WAL had come after lines of the server's log were last stored, or 0.
    pub wal: u64,
}

impl Database {
    const FREE: Self = Self {
        oid: 0,
        pid: 0,
        has_extension: None,
        last_start: 0,
        last_end: 0,
        failures: 0,
        pause: 0,
        yielding: false,
        error: Short::EMPTY,
        server_log: Short::EMPTY,
        wal: 0,
    };

    /// The error of the last failure; empty after a success.
    pub fn last_error(&self) -> &str {
        self.error.text()
    }

    /// How it stands with the server's own log; empty where that is not followed here.
    pub fn server_log(&self) -> &str {
        self.server_log.text()
    }

    /// When the next tick may start.
    pub fn due(&self, interval: Micros) -> Micros {
        if self.last_end == 0 {
            0
        } else if self.failures == 0 && self.pause == 0 && self.has_extension == Some(true) {
            (self.last_start + interval).max(self.last_end + GAP)
        } else {
            self.last_end + self.pause
        }
    }
}

/// Every database that the worker watches.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    databases: [Database; MAX_DATABASES],
}

impl Default for Table {
    // It is made once, in the postmaster, and moves from there into shared memory.
    #[allow(clippy::large_stack_arrays)]
    fn default() -> Self {
        Self { databases: [Database::FREE; MAX_DATABASES] }
    }
}

impl Table {
    /// The databases watched, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Database> {
        self.databases.iter().filter(|database| database.oid != 0)
    }

    /// The database with this OID.
    pub fn get(&self, oid: u32) -> Option<&Database> {
        self.iter().find(|database| database.oid == oid)
    }

    fn get_mut(&mut self, oid: u32) -> Option<&mut Database> {
        self.databases.iter_mut().find(|database| oid != 0 && database.oid == oid)
    }

    /// Watches exactly these. One that is ticking stays until its tick has ended. Returns how many found no room.
    pub fn watch(&mut self, oids: &[u32]) -> usize {
        for database in &mut self.databases {
            if database.oid != 0 && database.pid == 0 && !oids.contains(&database.oid) {
                *database = Database::FREE;
            }
        }
        let mut left_out = 0;
        for &oid in oids {
            if self.get(oid).is_some() {
                continue;
            }
            match self.databases.iter_mut().find(|database| database.oid == 0) {
                Some(free) => *free = Database { oid, ..Database::FREE },
                None => left_out += 1,
            }
        }
        left_out
    }

    /// Lets every database that rests because of a failure or a missing extension be looked at again at once.
    pub fn wake(&mut self) {
        for database in &mut self.databases {
            database.pause = 0;
        }
    }

    /// Begins a tick; false when the database is not watched, or when `running` says that one is under way.
    pub fn begin(&mut self, oid: u32, pid: i32, now: Micros, running: impl Fn(i32) -> bool) -> bool {
        let Some(database) = self.get_mut(oid) else { return false };
        if database.pid != 0 && running(database.pid) {
            return false;
        }
        database.pid = pid;
        database.last_start = now;
        database.yielding = false;
        true
    }

    /// Remembers how it stands with the server's own log; true when it stood otherwise before.
    pub fn note_server_log(&mut self, oid: u32, note: &str) -> bool {
        let Some(database) = self.get_mut(oid) else { return false };
        let short = Short::of(note);
        let is_new = database.server_log() != short.text();
        database.server_log = short;
        is_new
    }

    /// Remembers how far the server's WAL has come.
    pub fn note_wal(&mut self, oid: u32, wal: u64) {
        if let Some(database) = self.get_mut(oid) {
            database.wal = wal;
        }
    }

    /// Remembers that the tick was told to end early, so that this does not count as its failure.
    pub fn give_way(&mut self, oid: u32) {
        if let Some(database) = self.get_mut(oid) {
            database.yielding = true;
        }
    }

    /// Ends the tick of `pid` (0: one that never began). False when that tick is not under way.
    pub fn end(&mut self, oid: u32, pid: i32, outcome: Outcome, now: Micros, interval: Micros) -> bool {
        let Some(database) = self.get_mut(oid).filter(|database| database.pid == pid) else { return false };
        database.pid = 0;
        database.last_end = now;
        if pid == 0 {
            database.last_start = now;
        }
        match outcome {
            Outcome::Done => {
                database.has_extension = Some(true);
                database.failures = 0;
                database.pause = 0;
                database.error = Short::EMPTY;
            }
            Outcome::NoExtension => {
                database.has_extension = Some(false);
                database.failures = 0;
                database.pause = RECHECK;
                database.error = Short::EMPTY;
            }
            Outcome::Failed(_) if database.yielding => database.pause = YIELD,
            Outcome::Failed(message) => {
                database.failures = database.failures.saturating_add(1);
                database.pause = backoff(database.failures, interval, now ^ i64::from(oid));
                database.error = Short::of(message);
            }
        }
        database.yielding = false;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backoff::MAX_PAUSE;

    const INTERVAL: Micros = 10 * SECOND;
    const NOBODY: fn(i32) -> bool = |_| false;
    const EVERYBODY: fn(i32) -> bool = |_| true;

    fn table(oids: &[u32]) -> Table {
        let mut table = Table::default();
        assert_eq!(table.watch(oids), 0);
        table
    }

    fn tick(table: &mut Table, oid: u32, start: Micros, end: Micros, outcome: Outcome) {
        assert!(table.begin(oid, 7, start, NOBODY));
        assert!(table.end(oid, 7, outcome, end, INTERVAL));
    }

    #[test]
    fn a_new_database_is_due_at_once() {
        assert_eq!(table(&[5]).get(5).unwrap().due(INTERVAL), 0);
    }

    #[test]
    fn a_healthy_database_ticks_every_interval_from_start_to_start() {
        let mut table = table(&[5]);
        tick(&mut table, 5, 100 * SECOND, 103 * SECOND, Outcome::Done);
        assert_eq!(table.get(5).unwrap().due(INTERVAL), 110 * SECOND);
        assert_eq!(table.get(5).unwrap().due(20 * SECOND), 120 * SECOND);
    }

    #[test]
    fn a_tick_longer_than_the_interval_leaves_a_gap() {
        let mut table = table(&[5]);
        tick(&mut table, 5, 100 * SECOND, 150 * SECOND, Outcome::Done);
        assert_eq!(table.get(5).unwrap().due(INTERVAL), 150 * SECOND + GAP);
    }

    #[test]
    fn without_the_extension_it_waits_a_minute_and_a_reload_ends_the_wait() {
        let mut table = table(&[5]);
        tick(&mut table, 5, 100 * SECOND, 101 * SECOND, Outcome::NoExtension);
        assert_eq!(table.get(5).unwrap().due(INTERVAL), 161 * SECOND);
        table.wake();
        assert_eq!(table.get(5).unwrap().due(INTERVAL), 101 * SECOND);
    }

    #[test]
    fn failures_back_off_up_to_the_bound_and_a_success_ends_it() {
        let mut table = table(&[5]);
        for failures in 1..40_u32 {
            let end = i64::from(failures) * 1000 * SECOND;
            tick(&mut table, 5, end - SECOND, end, Outcome::Failed("no"));
            let database = table.get(5).unwrap();
            assert_eq!(database.failures, failures);
            let pause = database.due(INTERVAL) - end;
            let expected = (INTERVAL << (failures - 1).min(20)).min(MAX_PAUSE);
            assert!((expected * 4 / 5..=expected * 6 / 5).contains(&pause), "{failures} failures: {pause}");
        }
        tick(&mut table, 5, 50_000 * SECOND, 50_001 * SECOND, Outcome::Done);
        let database = table.get(5).unwrap();
        assert_eq!((database.failures, database.last_error()), (0, ""));
        assert_eq!(database.due(INTERVAL), 50_010 * SECOND);
    }

    #[test]
    fn one_tick_at_a_time() {
        let mut table = table(&[5]);
        assert!(table.begin(5, 7, SECOND, NOBODY));
        assert!(!table.begin(5, 8, SECOND, EVERYBODY));
        assert!(!table.end(5, 8, Outcome::Done, SECOND, INTERVAL), "8 does not end the tick of 7");
        assert!(table.begin(5, 9, SECOND, NOBODY), "a process that is gone holds nothing up");
    }

    #[test]
    fn giving_way_is_not_a_failure() {
        let mut table = table(&[5]);
        assert!(table.begin(5, 7, SECOND, NOBODY));
        table.give_way(5);
        assert!(table.end(5, 7, Outcome::Failed("terminated"), 2 * SECOND, INTERVAL));
        let database = table.get(5).unwrap();
        assert_eq!((database.failures, database.due(INTERVAL)), (0, 2 * SECOND + YIELD));
    }

    #[test]
    fn watching_keeps_what_ticks_and_forgets_what_is_gone() {
        let mut table = table(&[5, 6]);
        assert!(table.begin(5, 7, SECOND, NOBODY));
        table.watch(&[8]);
        let oids: Vec<_> = table.iter().map(|database| database.oid).collect();
        assert_eq!(oids, [5, 8]);
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let many: Vec<u32> = (1..=MAX_DATABASES as u32 + 3).collect();
        assert_eq!(Table::default().watch(&many), 3);
    }

    #[test]
    fn a_long_error_is_cut_between_characters() {
        let mut table = table(&[5]);
        let message = format!("x{}", "ü".repeat(MAX_ERROR));
        tick(&mut table, 5, SECOND, SECOND, Outcome::Failed(&message));
        let kept = table.get(5).unwrap().last_error();
        assert_eq!(kept.len(), MAX_ERROR - 1);
        assert!(message.starts_with(kept));
    }
}
