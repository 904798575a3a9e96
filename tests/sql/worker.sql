-- Steps of maintenance: what is told of them, what happens to one that fails, and what bounds each table.
SET search_path = public, logintel;
SET timezone = 'UTC';
SET datestyle = ISO;
CREATE TABLE app (ts timestamptz, level text, component text, source text, message text);
INSERT INTO app SELECT '2026-01-01'::timestamptz + i * interval '1 min', 'INFO', 'c' || i % 3, 's', 'ordinary line number ' || i FROM generate_series(1, 600) AS i;
SELECT create_detector('app', 'app') > 0 AS made;
SELECT train('app');
SELECT watch('app');
CREATE VIEW told AS SELECT detector, step, last_rows, runs, rows, errors, failures, last_error, last_error_at IS NOT NULL AS has_erred, next_run > now() AS rests FROM worker_stats ORDER BY detector, step;

-- One row for each step; who calls it sees that it ran, though it finds nothing to do.
INSERT INTO app VALUES ('2026-01-05 10:00', 'ERROR', 'c0', 's', 'one'), ('2026-01-05 10:01', 'ERROR', 'c1', 's', 'two'), ('2026-01-05 10:02', 'ERROR', 'c2', 's', 'three');
-- Drift is measured once an hour: not now, whatever the clock says.
INSERT INTO drift (detector, "time") VALUES ('app', now() + interval '1 day');
CALL run_maintenance();
CALL run_maintenance();
CALL run_maintenance();
SELECT step, last_rows, runs, rows, errors, failures FROM told WHERE detector = 'app' AND step <> 'drift' ORDER BY step;
SELECT step, errors FROM told WHERE detector IS NULL ORDER BY step;
SET quote_all_identifiers = on;
INSERT INTO app VALUES ('2026-01-05 10:03', 'ERROR', 'c0', 's', 'four');
CALL run_maintenance();
SELECT step, last_rows, runs, rows FROM told WHERE detector = 'app' AND step = 'grouping';
-- The views are refreshed with it, too.
SELECT step, last_rows > 0 AS had_changes, errors FROM told WHERE step = 'views';
RESET quote_all_identifiers;
SELECT count(*) AS steps, bool_and(last_run BETWEEN now() - interval '1 minute' AND clock_timestamp()) AS are_now, bool_and(last_duration >= interval '0') AS took FROM worker_steps;

-- What fails is told of, with its pause; who calls maintenance by hand tries it all the same, and a success ends it.
UPDATE detectors SET options = '{"window": "broken"}' WHERE name = 'app';
CALL run_maintenance();
SET client_min_messages = error;
CALL run_maintenance();
RESET client_min_messages;
SELECT step, errors, failures, last_error, rests FROM told WHERE detector = 'app' AND failures > 0;
UPDATE detectors SET options = '{}' WHERE name = 'app';
CALL run_maintenance();
SELECT step, errors, failures, last_error, has_erred, rests FROM told WHERE detector = 'app' AND step IN ('grouping', 'rates', 'retention');
-- In a block all is one transaction.
BEGIN;
INSERT INTO app VALUES ('2026-01-05 10:04', 'ERROR', 'c0', 's', 'five');
CALL run_maintenance();
SELECT last_rows, rows FROM told WHERE detector = 'app' AND step = 'grouping';
ROLLBACK;
SELECT last_rows, rows FROM told WHERE detector = 'app' AND step = 'grouping';
-- It follows a new name, and goes with the detector.
SELECT unwatch('app');
SELECT alter_detector('app', new_name => 'renamed');
SELECT count(*) > 0 AS told FROM told WHERE detector = 'renamed';
SELECT alter_detector('renamed', new_name => 'app');
SELECT watch('app');

-- Each table has its bound: what is old goes in batches, and all of it in one call. --------------------------------------
SELECT alter_detector('app', '{"retention": "1 hour"}');
INSERT INTO anomalies (detector, ts, recorded_at, message, anomaly_score, reason, is_grouped)
SELECT 'app', '2026-01-07', now() - interval '2 hours', 'old', 1, 'unseen_template', true FROM generate_series(1, 25000);
INSERT INTO incidents (detector, fingerprint, title, severity, severity_score, start_time, end_time, event_count, sources, components, levels, messages, updated_at, status)
SELECT 'app', 'f' || i, 't', 'LOW', 1, '2026-01-07', '2026-01-07', 1, '{}', '{}', '{}', '{}', now() - interval '2 hours', 'resolved' FROM generate_series(1, 12000) AS i;
INSERT INTO drift (detector, "time", recorded_at) SELECT 'app', '2020-01-01'::timestamptz + i * interval '1 hour', now() - interval '2 hours' FROM generate_series(1, 12000) AS i;
SET logintel.enabled = off;
INSERT INTO logintel.logs (message, recorded_at) SELECT 'old', now() - interval '91 days' FROM generate_series(1, 12000);
RESET logintel.enabled;
TRUNCATE scoring_failures;
INSERT INTO scoring_failures (detector, recorded_at, rows, sqlstate, message) SELECT 'app', now() - (i <= 55000)::int * interval '8 days', 1, 'XX000', 'f' FROM generate_series(1, 115000) AS i;
CALL run_maintenance();
SELECT (SELECT count(*) FROM anomalies WHERE message = 'old') AS anomalies, (SELECT count(*) FROM incidents WHERE title = 't') AS incidents,
       (SELECT count(*) FROM drift WHERE detector = 'app' AND "time" < '2026-01-01') AS drift, (SELECT count(*) FROM logintel.logs) AS logs, (SELECT count(*) FROM scoring_failures) AS failures;
SELECT detector, last_rows FROM worker_steps WHERE step = 'retention' AND last_rows > 0 ORDER BY 1;
-- Too many that are not old: the oldest go.
INSERT INTO scoring_failures (detector, rows, sqlstate, message) SELECT 'app', 1, 'XX000', 'f' FROM generate_series(1, 120000) AS i;
CALL run_maintenance();
SELECT count(*) AS failures FROM scoring_failures;
TRUNCATE scoring_failures;

-- A large incident is not counted whole each time; its figures are right all the same. -------------------------------------
DELETE FROM anomalies; DELETE FROM incidents;
SELECT alter_detector('app', '{}');
INSERT INTO anomalies (detector, ts, level, component, source, message, template, anomaly_score, reason)
SELECT 'app', '2026-02-01'::timestamptz + i * interval '1 ms', 'ERROR', 'c', 's', 'm', 'm', 1, 'ERROR_level' FROM generate_series(1, 10000) AS i;
CALL run_maintenance();
CREATE VIEW large AS SELECT event_count, severity_score, to_char(start_time, 'HH24:MI:SS') AS start, to_char(end_time, 'HH24:MI:SS') AS end, components, uncounted FROM incidents;
SELECT * FROM large;
INSERT INTO anomalies (detector, ts, level, component, message, template, anomaly_score, reason) VALUES
    ('app', '2026-01-31 23:59', 'ERROR', 'd', 'm', 'm', 1, 'ERROR_level'), ('app', '2026-02-01 00:01', 'ERROR', 'd', 'm', 'm', 1, 'ERROR_level');
CALL run_maintenance();
SELECT * FROM large;
CALL run_maintenance();
SELECT * FROM large;
-- When nothing has joined for a minute it is; and at once when it has grown by a tenth.
UPDATE incidents SET updated_at = now() - interval '61 s';
CALL run_maintenance();
SELECT * FROM large;
INSERT INTO anomalies (detector, ts, level, component, message, template, anomaly_score, reason)
SELECT 'app', '2026-02-01 00:02', 'ERROR', 'e', 'm', 'm', 1, 'ERROR_level' FROM generate_series(1, 1100);
CALL run_maintenance();
SELECT * FROM large;
SELECT (SELECT count(*) FROM anomalies WHERE incident_id IS NULL) AS alone, anomalies, incidents FROM component_health WHERE detector = 'app' ORDER BY component;

-- A tick reads nothing whole that grows, but for the views: what it costs depends on what is new. -----------------------
DELETE FROM anomalies; DELETE FROM incidents;
SET session_replication_role = replica;
INSERT INTO incidents (incident_id, detector, fingerprint, title, status, severity, severity_score, start_time, end_time, event_count, sources, components, levels, messages)
SELECT 9000000 + i, 'app', 'f' || i, 't', 'resolved', 'LOW', 4, t, t + interval '3 s', 4, '{}', '{c}', '{}', '{}' FROM generate_series(0, 14999) AS i, LATERAL (SELECT '2000-01-01'::timestamptz + i * interval '1 hour' AS t) AS at;
INSERT INTO anomalies (detector, ts, component, message, template, anomaly_score, reason, incident_id, is_grouped)
SELECT 'app', '2000-01-01'::timestamptz + i / 4 * interval '1 hour' + i % 4 * interval '1 s', 'c', 'old', 'old', 1, 'rare_template', 9000000 + i / 4, true FROM generate_series(0, 59999) AS i;
RESET session_replication_role;
-- As autovacuum would leave them, sooner or later.
ANALYZE anomalies, incidents;
SET max_parallel_workers_per_gather = 0;
CREATE VIEW scans AS SELECT relname, seq_scan FROM pg_stat_user_tables WHERE schemaname = 'logintel' AND relname IN ('anomalies', 'incidents', 'logs', 'drift') ORDER BY relname;
-- The views show what was put there; then something new comes.
CALL run_maintenance();
SELECT pg_stat_force_next_flush();
CREATE TABLE before AS TABLE scans;
INSERT INTO app SELECT '2026-03-01'::timestamptz + i * interval '1 s', 'ERROR', 'c', 's', 'new ' || i FROM generate_series(1, 10) AS i;
CALL run_maintenance();
SELECT pg_stat_force_next_flush();
SELECT relname, s.seq_scan - b.seq_scan AS read_whole FROM scans AS s JOIN before AS b USING (relname) ORDER BY 1;
SELECT count(*) AS incidents, sum(event_count) AS events FROM incidents WHERE start_time > '2026-01-01';

SELECT drop_detector('app');
SELECT count(*) AS left FROM worker_steps WHERE detector = 'app';
DROP TABLE app, before CASCADE;
