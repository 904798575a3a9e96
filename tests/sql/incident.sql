-- From anomalies to incidents: run_maintenance() groups them in event time, counts, suppresses, retires and refreshes.
SET search_path = public, logintel;
SET timezone = 'UTC';
SET datestyle = ISO;
CREATE TABLE app (ts timestamptz, level text, component text, source text, message text);
SELECT create_detector('app', 'app', options => '{"window": "10 minutes", "min_events": 2}') > 0 AS made;
SELECT watch('app');
CREATE VIEW seen AS
SELECT to_char(start_time, 'HH24:MI:SS') AS start, to_char(end_time, 'HH24:MI:SS') AS end, event_count AS events, severity_score AS score, severity, status,
       sources, components, levels, messages, title, is_suppressed, suppressed_by
FROM incidents ORDER BY start_time, incident_id;

-- Nothing is nothing; one anomaly is no incident; a second one in reach makes it. -----------------------------------
CALL run_maintenance();
SELECT count(*) FROM incidents;
INSERT INTO app VALUES ('2026-01-01 12:00', 'ERROR', 'db', 'a', 'disk full');
CALL run_maintenance();
SELECT count(*) AS incidents, (SELECT bool_and(is_grouped AND incident_id IS NULL) FROM anomalies) AS waits FROM incidents;
-- Exactly the window apart is still together, a moment more is not.
INSERT INTO app VALUES ('2026-01-01 12:10', 'ERROR', 'db', 'b', 'disk full'), ('2026-01-01 12:20:00.000001', 'FATAL', 'http', NULL, 'gone'), (NULL, 'ERROR', 'db', 'a', 'no time');
CALL run_maintenance();
SELECT * FROM seen;
SELECT count(*) FILTER (WHERE incident_id IS NULL) AS waiting, count(*) FILTER (WHERE NOT is_grouped) AS new FROM anomalies;
-- A tick with nothing new changes nothing.
CREATE TABLE before AS SELECT * FROM incidents;
CALL run_maintenance();
SELECT count(*) AS changed FROM (TABLE incidents EXCEPT TABLE before) AS x;
DROP TABLE before;
-- Another after the lone one: a second incident of its own.
INSERT INTO app VALUES ('2026-01-01 12:25', 'WARN', 'http', NULL, 'ignored: no model, no error'), ('2026-01-01 12:30:00', 'ERROR', 'http', NULL, 'gone');
CALL run_maintenance();
SELECT start, "end", events, levels, components FROM seen;

-- Late rows, in any order of arrival, join the incident of their time; it keeps its number and its status.
SELECT incident_id AS first FROM incidents ORDER BY start_time LIMIT 1 \gset
UPDATE incidents SET status = 'acknowledged' WHERE incident_id = :first;
INSERT INTO app VALUES ('2026-01-01 11:58', 'ERROR', 'cache', 'c', 'came late'), ('2026-01-01 12:05', 'CRITICAL', 'db', 'a', 'came late, too');
CALL run_maintenance();
SELECT incident_id = :first AS is_first, to_char(start_time, 'HH24:MI') AS start, event_count, severity_score, severity, status, sources, components, levels, messages FROM incidents ORDER BY start_time;
-- At most five messages, those first in time; a title for people; severity from the score.
INSERT INTO app SELECT '2026-01-01 12:06'::timestamptz + i * interval '1 s', 'ERROR', 'db', 'a', 'flood ' || i FROM generate_series(1, 50) AS i;
CALL run_maintenance();
SELECT event_count, severity_score, severity, messages, title, length(fingerprint) FROM incidents WHERE incident_id = :first;

-- The order of arrival does not matter: the same events, one at a time and shuffled, make the same incidents.
CREATE TABLE shuffled (LIKE app);
SELECT create_detector('shuffled', 'shuffled') > 0 AS made;
SELECT watch('shuffled');
DO $$
DECLARE
    r app;
BEGIN
    FOR r IN SELECT * FROM app ORDER BY md5(message || coalesce(ts::text, '')) LOOP
        INSERT INTO shuffled SELECT r.*;
        CALL logintel.run_maintenance();
    END LOOP;
END $$;
SELECT detector, to_char(start_time, 'HH24:MI:SS') AS start, to_char(end_time, 'HH24:MI:SS') AS "end", event_count, severity_score, sources, components, levels FROM incidents ORDER BY start_time, detector;
SELECT drop_detector('shuffled');
DROP TABLE shuffled;

-- min_events, and a single event that founds an incident -------------------------------------------------------------
DELETE FROM anomalies; DELETE FROM incidents;
SELECT alter_detector('app', '{"min_events": 4, "window": "1 minute"}');
INSERT INTO app SELECT '2026-01-02 10:00'::timestamptz + i * interval '1 min', 'ERROR', 'db', 'a', 'chain' FROM unnest(ARRAY[0, 3, 1]) AS i;
CALL run_maintenance();
SELECT count(*) FROM incidents;
-- The missing link.
INSERT INTO app VALUES ('2026-01-02 10:02', 'ERROR', 'db', 'a', 'chain');
CALL run_maintenance();
SELECT start, "end", events FROM seen;
-- Chains on both sides of it, however long.
SELECT alter_detector('app', '{"min_events": 7, "window": "1 minute"}');
INSERT INTO app SELECT '2026-01-02 15:00'::timestamptz + i * interval '1 min', 'ERROR', 'db', 'a', 'chain' FROM unnest(ARRAY[0, 1, 2, 4, 5, 6]) AS i;
CALL run_maintenance();
INSERT INTO app VALUES ('2026-01-02 15:03', 'ERROR', 'db', 'a', 'chain');
CALL run_maintenance();
SELECT start, "end", events FROM seen;
-- A time without end is none.
SELECT alter_detector('app', '{"min_events": 1}');
INSERT INTO app VALUES ('2026-01-03', 'ERROR', NULL, NULL, NULL), ('infinity', 'ERROR', NULL, NULL, 'for ever'), ('-infinity', 'ERROR', NULL, NULL, 'since ever');
CALL run_maintenance();
SELECT start_time, end_time, event_count, sources, components, levels, messages, title FROM incidents WHERE event_count = 1 ORDER BY start_time;
SELECT message, ts FROM anomalies WHERE incident_id IS NULL ORDER BY ts;

-- Names of any length: what is copied of them fits the views' indexes.
DELETE FROM anomalies; DELETE FROM incidents;
INSERT INTO app SELECT '2026-01-04', 'ERROR' || repeat(' ', 9000), string_agg('ü' || i, '-'), string_agg('host' || i, '.'), 'long names' FROM generate_series(1, 2000) AS i;
CALL run_maintenance();
SELECT octet_length(level) AS level, octet_length(component) AS component, octet_length(source) AS source, (SELECT octet_length(title) FROM incidents) AS title FROM anomalies;
SELECT octet_length(component) AS component, anomalies FROM component_health_v;

-- Severity: events + 5 for an error, + 3 for a warning ---------------------------------------------------------------
DELETE FROM anomalies; DELETE FROM incidents;
SELECT alter_detector('app', '{}');
INSERT INTO anomalies (detector, ts, level, component, source, message, template, anomaly_score, reason)
SELECT 'app', '2026-01-01'::timestamptz + day * interval '1 day' + i * interval '1 s', level, 'c', 's', 'm', 'm', 1, 'unseen_template'
FROM (VALUES (1, 'INFO', 4), (2, 'INFO', 5), (3, 'INFO', 10), (4, 'WARN', 2), (5, 'warning', 7), (6, 'ERROR', 4), (7, 'fatal', 5), (8, NULL, 2)) AS t (day, level, events), generate_series(1, events) AS i;
CALL run_maintenance();
SELECT start_time::date, event_count, levels, severity_score, severity FROM incidents ORDER BY start_time;

-- The preset seed: windows of ten minutes floored in UTC, its own severity and suppression ---------------------------
DELETE FROM anomalies; DELETE FROM incidents;
SELECT alter_detector('app', '{"preset": "seed"}');
INSERT INTO anomalies (detector, ts, level, component, source, message, anomaly_score, reason)
SELECT 'app', ('2026-01-01 ' || at)::timestamptz, level, component, 'hdfs', message, 1, 'rare_template'
FROM (VALUES ('10:09:59', 'INFO', 'c', 'x'), ('10:10:00', 'INFO', 'c', 'y'), ('10:19:59', 'INFO', 'c', 'y'),
             ('11:00', 'INFO', 'dfs.FSNamesystem', 'BLOCK* one'), ('11:01', 'NOTICE', 'dfs.FSNamesystem', 'two'), ('11:02', 'NOTICE', 'other', 'three'), ('11:03', NULL, 'other', 'four'),
             ('12:00', 'NOTICE', 'c', 'few'), ('12:01', 'NOTICE', 'c', 'few'), ('13:00', 'NOTICE', 'c', 'enough'), ('13:01', 'NOTICE', 'c', 'enough'), ('13:02', 'NOTICE', 'c', 'enough'),
             ('14:00', 'WARN', 'dfs.FSNamesystem', 'ask to delete'), ('14:01', 'WARN', 'dfs.FSNamesystem', 'ask to delete'), ('14:02', 'WARN', 'dfs.FSNamesystem', 'ask to delete'),
             ('15:00', 'error', 'c', 'x'), ('15:01', 'error', 'c', 'x'), ('15:02', 'error', 'c', 'x')) AS t (at, level, component, message);
INSERT INTO anomalies (detector, ts, level, message, anomaly_score, reason) SELECT 'app', NULL, 'ERROR', 'without time', 1, 'rare_template' FROM generate_series(1, 3);
CALL run_maintenance();
SELECT start, "end", events, score, severity, levels, is_suppressed, suppressed_by FROM seen;
SELECT message, count(*) FROM anomalies WHERE incident_id IS NULL GROUP BY 1 ORDER BY 1;

-- What was flagged goes: the incident goes with too few, and counts less with enough ---------------------------------
DELETE FROM anomalies; DELETE FROM incidents;
SELECT alter_detector('app', '{}');
TRUNCATE app;
SELECT unwatch('app');
INSERT INTO app SELECT '2026-01-01'::timestamptz + i * interval '1 min', 'INFO', 'c', 's', 'ordinary line number ' || i FROM generate_series(1, 600) AS i;
SELECT train('app');
INSERT INTO app VALUES ('2026-01-05 10:00', 'ERROR', 'c', 's', 'one'), ('2026-01-05 10:01', 'ERROR', 'c', 's', 'two'), ('2026-01-05 10:02', 'ERROR', 'c', 's', 'three'), ('2026-01-06 10:00', 'ERROR', 'c', 's', 'four'), ('2026-01-06 10:01', 'ERROR', 'c', 's', 'five');
SELECT score_history('app');
CALL run_maintenance();
SELECT incident_id AS kept FROM incidents ORDER BY start_time LIMIT 1 \gset
DELETE FROM app WHERE message IN ('three', 'five');
SELECT score_history('app', '2026-01-05');
SELECT count(*) FILTER (WHERE is_stale) AS stale, sum(event_count) AS events FROM incidents;
CALL run_maintenance();
SELECT incident_id = :kept AS kept, event_count, messages, is_stale FROM incidents;
SELECT message, incident_id = :kept AS in_kept FROM anomalies ORDER BY ts;

-- Views -----------------------------------------------------------------------------------------------------------
SELECT detector, severity, status, is_suppressed, incidents, events FROM incident_summary_v;
SELECT "time", end_time, detector, severity, severity_score, status, event_count, components, title FROM incident_timeline_v;
SELECT detector, version, cluster_id, rows, round(share::numeric, 2) AS share, templates, template FROM cluster_summary_v;
SELECT detector, component, "time", anomalies, anomalies_last_day, incidents, open_incidents, highest_score, health FROM component_health_v;
SELECT count(*) AS unseen_changes FROM view_changes;
-- A plain view for each, with the same columns.
SELECT c.relname, (SELECT array_agg(attname ORDER BY attnum) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0) = (SELECT array_agg(attname ORDER BY attnum) FROM pg_attribute WHERE attrelid = (c.relname || '_v')::regclass AND attnum > 0) AS same
FROM pg_class AS c WHERE relnamespace = 'logintel'::regnamespace AND relkind = 'm' ORDER BY 1;
-- Inside a transaction block it is one transaction.
BEGIN;
INSERT INTO anomalies (detector, ts, level, component, message, template, anomaly_score, reason) SELECT 'app', '2026-02-01', 'ERROR', 'new', 'in a block', 'in a block', 1, 'ERROR_level' FROM generate_series(1, 2);
CALL run_maintenance();
SELECT count(*) AS incidents, (SELECT count(*) FROM component_health_v WHERE component = 'new') AS shown FROM incidents;
ROLLBACK;
SELECT count(*) AS incidents, (SELECT count(*) FROM component_health_v WHERE component = 'new') AS shown FROM incidents;
DO $$ BEGIN CALL logintel.run_maintenance(); END $$;
CREATE FUNCTION tick() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CALL logintel.run_maintenance(); END $$;
SELECT tick();
DROP FUNCTION tick;
SELECT logintel.run_maintenance();

-- Retention: by when it was written, never by event time; the user's table stays -------------------------------------
SELECT alter_detector('app', '{"retention": "1 hour"}');
CALL run_maintenance();
SELECT (SELECT count(*) FROM anomalies) AS anomalies, (SELECT count(*) FROM incidents) AS incidents;
UPDATE anomalies SET recorded_at = now() - interval '61 min' WHERE message = 'four';
CALL run_maintenance();
SELECT message FROM anomalies ORDER BY ts;
UPDATE anomalies SET recorded_at = now() - interval '61 min';
UPDATE incidents SET updated_at = now() - interval '61 min';
INSERT INTO scoring_failures (detector, recorded_at, rows, sqlstate, message) VALUES ('app', now() - interval '8 days', 1, 'XX000', 'old'), ('app', now(), 1, 'XX000', 'new');
INSERT INTO logintel.logs (message, ts, recorded_at) VALUES ('old event, new row', '2020-01-01', DEFAULT), ('old row', now(), now() - interval '91 days');
CALL run_maintenance();
SELECT (SELECT count(*) FROM anomalies) AS anomalies, (SELECT count(*) FROM incidents) AS incidents, (SELECT count(*) FROM app) AS rows,
       (SELECT array_agg(message) FROM scoring_failures) AS failures, (SELECT array_agg(message) FROM logintel.logs) AS logs, (SELECT count(*) FROM incident_summary_v) AS summary;
DELETE FROM scoring_failures;
TRUNCATE logintel.logs;

-- Dropped, a detector leaves nothing; one that is broken does not stop the others -------------------------------------
INSERT INTO anomalies (detector, ts, level, message, anomaly_score, reason) SELECT d, '2026-02-01', 'ERROR', 'x', 1, 'ERROR_level' FROM unnest(ARRAY['app', 'logs']) AS d, generate_series(1, 2);
UPDATE detectors SET options = '{"window": "broken"}' WHERE name = 'app';
CALL run_maintenance();
SELECT detector, event_count FROM incidents;
UPDATE detectors SET options = '{}', enabled = false WHERE name = 'app';
CALL run_maintenance();
SELECT detector FROM incidents;
UPDATE detectors SET enabled = true WHERE name = 'app';
CALL run_maintenance();
SELECT detector FROM incidents ORDER BY 1;
SELECT drop_detector('app');
SELECT (SELECT count(*) FROM model_versions) AS versions, (SELECT count(*) FROM model_clusters) AS clusters, (SELECT count(*) FROM anomalies) AS anomalies, (SELECT count(*) FROM incidents WHERE detector = 'app') AS incidents;
CALL run_maintenance();
SELECT detector FROM incident_timeline_v;
DELETE FROM anomalies; DELETE FROM incidents;
CALL run_maintenance();
DROP VIEW seen;
DROP TABLE app;
