//! Short ways to ask a session something.
use crate::cluster::text;
use postgres::{Client, SimpleQueryMessage, Transaction};

/// What tests ask of a session, everything as text.
pub trait Ask {
    /// Sends statements as they are.
    ///
    /// # Errors
    /// The server refuses one.
    fn send(&mut self, sql: &str) -> Result<Vec<SimpleQueryMessage>, postgres::Error>;

    /// Rows as psql would show them unaligned: columns parted by `|`, rows by newlines, NULL as nothing.
    ///
    /// # Panics
    /// When the server refuses.
    fn ask(&mut self, sql: &str) -> String {
        let messages = self.send(sql).unwrap_or_else(|error| panic!("{sql}: {}", text(&error)));
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|i| row.get(i).unwrap_or_default()).collect::<Vec<_>>().join("|"))
            }
            _ => None,
        });
        rows.collect::<Vec<_>>().join("\n")
    }

    /// A number.
    ///
    /// # Panics
    /// When the server refuses, or the answer is none.
    fn count(&mut self, sql: &str) -> i64 {
        let answer = self.ask(sql);
        answer.parse().unwrap_or_else(|_| panic!("{sql}: \"{answer}\" is no number"))
    }

    /// SQLSTATE and message of the refusal.
    ///
    /// # Panics
    /// When the server does not refuse, or the connection breaks.
    fn refusal(&mut self, sql: &str) -> (String, String) {
        match self.send(sql) {
            Ok(_) => panic!("was not refused: {sql}"),
            Err(error) => {
                let db = error.as_db_error().unwrap_or_else(|| panic!("{sql}: {error}"));
                (db.code().code().to_owned(), db.message().to_owned())
            }
        }
    }

    /// SQLSTATE of the refusal.
    fn refused(&mut self, sql: &str) -> String {
        self.refusal(sql).0
    }
}

impl Ask for Client {
    fn send(&mut self, sql: &str) -> Result<Vec<SimpleQueryMessage>, postgres::Error> {
        self.simple_query(sql)
    }
}

impl Ask for Transaction<'_> {
    fn send(&mut self, sql: &str) -> Result<Vec<SimpleQueryMessage>, postgres::Error> {
        self.simple_query(sql)
    }
}

/// A statement that fills a table (`ts`, `level`, `component`, `source`, `message`) with `rows` ordinary lines of an
/// hour, in six templates.
pub fn fill(table: &str, rows: u32) -> String {
    format!(
        "INSERT INTO {table} (ts, level, component, source, message)
         SELECT '2026-01-01 00:00:00Z'::timestamptz + i * interval '1 hour' / {rows}, 'INFO', 'app.' || i % 3, 'host' || i % 2,
                CASE i % 6 WHEN 0 THEN 'connection accepted from 10.0.0.' || i % 200
                           WHEN 1 THEN 'request ' || i || ' served in ' || i % 90 || ' ms'
                           WHEN 2 THEN 'cache refreshed with ' || i || ' entries'
                           WHEN 3 THEN 'user ' || i || ' logged in'
                           WHEN 4 THEN 'job ' || i || ' finished without complaint'
                           ELSE 'checkpoint complete after ' || i || ' buffers' END
         FROM generate_series(1, {rows}) AS i"
    )
}
