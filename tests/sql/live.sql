-- The live session: what has come into logs since it began, by when a line was recorded, whatever time it tells.
SET search_path = public, logintel;
SET timezone = 'UTC';
SELECT ingest('web', 'INFO', 'api', 'before any session', '2026-01-01');
SELECT message FROM live_logs ORDER BY log_id;
SELECT started_at FROM live_session;
SELECT start_live_session() AS first \gset
SELECT started_at = :'first' AS told FROM live_session;
SELECT count(*) FROM live_logs;
SELECT ingest('web', 'ERROR', 'api', 'of an old day', '2020-01-01'), ingest('web', 'INFO', 'api', 'of a day to come', '2099-01-01');
SELECT ts, level, message, is_anomaly, anomaly_reason FROM live_logs ORDER BY log_id;
-- A new one shows what comes from then on; the table keeps all.
SELECT start_live_session() > :'first' AS is_later;
SELECT count(*) FROM live_logs;
SELECT ingest('web', 'INFO', 'api', 'in the second session');
SELECT message FROM live_logs ORDER BY log_id;
SELECT count(*) FROM logs;
-- Begun in a transaction, it begins with that; rolled back, it never began.
BEGIN;
SELECT ingest('web', 'INFO', 'api', 'earlier in the transaction');
SELECT start_live_session() = now() AS with_the_transaction;
SELECT ingest('web', 'INFO', 'api', 'later in the transaction');
SELECT message FROM live_logs ORDER BY log_id;
ROLLBACK;
SELECT message FROM live_logs ORDER BY log_id;
-- It has the columns of the table.
SELECT count(*) AS differ FROM (SELECT attname, atttypid FROM pg_attribute WHERE attrelid = 'logs'::regclass AND attnum > 0 EXCEPT ALL SELECT attname, atttypid FROM pg_attribute WHERE attrelid = 'live_logs'::regclass) AS c;
-- An index finds the lines.
SET enable_seqscan = off;
CREATE FUNCTION plan_of(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY EXECUTE 'EXPLAIN ' || query; END $$;
SELECT count(*) AS scans FROM plan_of('SELECT * FROM logintel.live_logs') AS line WHERE line LIKE '%Scan on logs_recorded%' OR line LIKE '%Index Scan using logs_recorded%';
RESET enable_seqscan;
DROP FUNCTION plan_of;
-- Who may not read the lines may not read them here.
CREATE ROLE regress_logintel_live;
GRANT USAGE ON SCHEMA logintel TO regress_logintel_live;
GRANT SELECT ON live_logs TO regress_logintel_live;
SET ROLE regress_logintel_live;
SELECT count(*) FROM logintel.live_logs;
SELECT logintel.start_live_session();
RESET ROLE;
REVOKE ALL ON live_logs FROM regress_logintel_live;
REVOKE ALL ON SCHEMA logintel FROM regress_logintel_live;
DROP ROLE regress_logintel_live;
DELETE FROM live_session;
TRUNCATE logs;
DELETE FROM anomalies;
