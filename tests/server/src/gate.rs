//! A log whose reading stops where a test wants it to, however fast the machine is.
use crate::Database;

/// Makes a view `gated` of 8,000 ordinary lines of the last days, in the order of time, and a detector of that name. Who reads
/// the line with number 1, or one with a number that 2,500 divides, waits while another session holds the advisory lock of that number.
pub fn gate(db: &Database) {
    db.execute(&format!(
        "CREATE TABLE gated_rows (id int, ts timestamptz, message text);
         INSERT INTO gated_rows SELECT i, now() - interval '2 days' + i * interval '10 seconds', 'user ' || i || ' logged in from door ' || i % 7
         FROM generate_series(1, 8000) AS i;
         CREATE INDEX ON gated_rows (ts);
         ANALYZE gated_rows;
         -- A view that calls what is volatile would be sorted as a whole before its first row is read.
         CREATE FUNCTION gate(id int, message text) RETURNS text LANGUAGE plpgsql STABLE COST 1 AS $$
         BEGIN
             IF id = 1 OR id % 2500 = 0 THEN
                 PERFORM pg_advisory_lock_shared(id);
                 PERFORM pg_advisory_unlock_shared(id);
             END IF;
             RETURN message;
         END
         $$;
         CREATE VIEW gated AS SELECT ts, gate(id, message) AS message FROM gated_rows;
         ALTER DATABASE \"{}\" SET enable_sort = off;
         SELECT logintel.create_detector('gated', 'gated')",
        db.name()
    ));
}
