-- The prototype that logintel grows from, to the row: its logs, its clusters, its incidents (DESIGN 3.3, preset "seed").
SET search_path = public, logintel;
\getenv data LOGINTEL_DATA
\set logs :data '/seed/logs_with_clusters.csv'
\set incidents :data '/seed/incidents.json'
\set final_incidents :data '/seed/final_incidents.json'

CREATE TABLE seed_published (
    "timestamp" timestamp, source text, level text, component text, message text, event_id text, template text, params text,
    cluster_id int, is_anomaly bool
);
COPY seed_published FROM :'logs' WITH (FORMAT csv, HEADER);
ALTER TABLE seed_published ADD line serial;
-- What the detector reads holds neither labels nor their order.
CREATE TABLE seed_logs AS
SELECT line, "timestamp", source, level, component, message, template FROM seed_published ORDER BY md5(line::text);
SELECT count(*) AS rows, count(*) - count("timestamp") AS without_timestamp, count(*) FILTER (WHERE is_anomaly) AS anomalies,
       count(DISTINCT cluster_id) FILTER (WHERE cluster_id >= 0) AS clusters, count(*) FILTER (WHERE cluster_id < 0) AS noise
FROM seed_published;

-- Two partitions are the same if their labels map one to one; noise is -1 in the one and NULL in the other.
CREATE FUNCTION compare_partitions(published int[], found int[])
RETURNS TABLE (rows bigint, clusters bigint, noise bigint, pairs bigint, noise_differs bigint) LANGUAGE sql AS $$
    SELECT count(*), count(DISTINCT f), count(*) FILTER (WHERE f IS NULL), count(DISTINCT (p, f)) FILTER (WHERE f IS NOT NULL),
           count(*) FILTER (WHERE (p = -1) <> (f IS NULL))
    FROM unnest(published, found) AS u (p, f)
$$;

-- From the toolbox alone ------------------------------------------------------------------------------------------

CREATE TABLE seed_model AS
SELECT tfidf_fit(template, '{"ngram_range": [1, 2], "min_df": 5, "max_df": 0.9, "max_features": 5000}') AS model FROM seed_logs;
SELECT count(*) AS terms FROM seed_model, tfidf_terms(model);
CREATE TABLE seed_clusters AS
SELECT line, dbscan_cluster(scaled, 0.7, 10) OVER (ORDER BY line) AS cluster
FROM (SELECT line, standard_scale(log_embed(model, template)) OVER () AS scaled FROM seed_logs, seed_model) AS s;
SELECT (compare_partitions(array_agg(cluster_id), array_agg(cluster))).* FROM seed_published JOIN seed_clusters USING (line);
-- By a detector ---------------------------------------------------------------------------------------------------

SELECT create_detector('seed', 'seed_logs', message => 'message', template => 'template', options => '{"preset": "seed"}') > 0 AS made;
SELECT message, ts, level, component, source, session, template FROM detectors WHERE name = 'seed';
SELECT train('seed');
SELECT version, is_active, training_rows, vocabulary_size, clusters, noise_rows, flagged_share = 12 / 4006.0::float8 AS flags_its_noise FROM models WHERE detector = 'seed';

-- History: noise is anomalous, no level is. Identical lines have identical judgements, so a line is found by what it holds.
CREATE TABLE seed_timeline AS SELECT * FROM log_timeline('seed');
SELECT count(*) AS rows, count(*) - count(ts) AS without_timestamp, count(*) FILTER (WHERE is_anomaly) AS anomalies FROM seed_timeline;
SELECT (compare_partitions(array_agg(p.cluster_id), array_agg(t.cluster_id))).*,
       count(*) FILTER (WHERE p.is_anomaly <> t.is_anomaly) AS anomaly_differs
FROM seed_published AS p
JOIN (SELECT DISTINCT ts, source, level, component, message, cluster_id, is_anomaly FROM seed_timeline) AS t
  ON p."timestamp" IS NOT DISTINCT FROM t.ts AT TIME ZONE 'UTC'
 AND (p.source, p.level, p.component, p.message) = (t.source, t.level, t.component, t.message);
SELECT DISTINCT reason, anomaly_score, level FROM seed_timeline WHERE is_anomaly ORDER BY level;

SELECT score_history('seed');
SELECT (ts AT TIME ZONE 'UTC')::timestamp(0) AS ts_utc, source, component, level, left(message, 40) AS message, template, cluster_id, incident_id
FROM anomalies WHERE detector = 'seed' ORDER BY ts, anomaly_id;

-- Incidents: those published, in every field, and which of them was suppressed.
CALL run_maintenance();
CREATE FUNCTION seed_time(t timestamptz) RETURNS text LANGUAGE sql AS $$
    SELECT to_char(t AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS')
$$;
CREATE VIEW seed_incidents AS
SELECT incident_id, is_suppressed, jsonb_build_object(
    'start_time', seed_time(start_time), 'end_time', seed_time(end_time), 'event_count', event_count, 'sources', sources,
    'components', components, 'levels', levels, 'messages', messages, 'severity_score', severity_score,
    'severity', severity) AS incident
FROM incidents WHERE detector = 'seed';
CREATE TABLE seed_expected AS SELECT incident FROM jsonb_array_elements(pg_read_file(:'incidents')::jsonb) AS incident;
CREATE TABLE seed_final AS SELECT incident FROM jsonb_array_elements(pg_read_file(:'final_incidents')::jsonb) AS incident;
SELECT (SELECT count(*) FROM seed_expected) AS published, (SELECT count(*) FROM seed_incidents) AS found,
       (SELECT count(*) FROM (SELECT incident FROM seed_incidents INTERSECT SELECT incident FROM seed_expected) AS x) AS equal,
       (SELECT count(*) FROM seed_final) AS published_visible,
       (SELECT count(*) FROM (SELECT incident || jsonb_build_object('is_suppressed', is_suppressed) FROM seed_incidents WHERE NOT is_suppressed
                              INTERSECT SELECT incident FROM seed_final) AS x) AS equal_visible;
SELECT (start_time AT TIME ZONE 'UTC')::timestamp(0) AS start_utc, (end_time AT TIME ZONE 'UTC')::timestamp(0) AS end_utc, event_count, severity_score, severity,
       status, is_suppressed, suppressed_by, title
FROM incidents WHERE detector = 'seed' ORDER BY start_time;

-- Scored again, nothing changes: the same incidents, with what people made of them.
CREATE TABLE seed_before AS SELECT to_jsonb(i) - 'updated_at' AS incident FROM incidents AS i WHERE detector = 'seed';
UPDATE incidents SET status = 'acknowledged' WHERE detector = 'seed' AND NOT is_suppressed;
SELECT score_history('seed');
CALL run_maintenance();
SELECT count(*) AS anomalies, count(incident_id) AS in_incidents FROM anomalies WHERE detector = 'seed';
SELECT count(*) AS incidents, count(*) FILTER (WHERE to_jsonb(i) - 'updated_at' - 'status' = incident - 'status') AS equal
FROM incidents AS i LEFT JOIN seed_before ON incident_id = (incident->>'incident_id')::bigint WHERE detector = 'seed';
SELECT status, is_suppressed FROM incidents WHERE detector = 'seed' ORDER BY start_time;
CALL run_maintenance();
SELECT count(*) FROM incidents WHERE detector = 'seed';

-- Live: the level, else the distance to the one centroid ------------------------------------------------------------

SELECT round(min((d).distance)::numeric, 4) AS smallest, count(*) FILTER (WHERE (d).is_anomaly) AS flagged, count(*) AS rows
FROM (SELECT detect('seed', message) AS d FROM seed_logs OFFSET 0) AS x;
SELECT (d).reason, count(*) FROM (SELECT detect('seed', message, level) AS d FROM seed_logs WHERE level = 'ERROR' OFFSET 0) AS x GROUP BY 1;
SELECT (detect('seed', message, level)).* FROM (VALUES
    ('Disk failure detected on DataNode', 'ERROR'), ('Disk failure detected on DataNode', 'error'), ('Disk failure detected on DataNode', 'FATAL'),
    ('Disk failure detected on DataNode', NULL), ('', 'INFO'), (NULL, 'INFO')) AS t (message, level);

-- The prototype's request.
SELECT alter_detector('logs', '{"preset": "seed"}');
SELECT ingest('hdfs', 'ERROR', 'dfs.DataNode', 'Disk failure detected on DataNode');
SELECT alter_detector('logs', '{}');

SELECT drop_detector('seed');
DELETE FROM anomalies WHERE detector = 'logs';
DELETE FROM logintel.logs;
DROP VIEW seed_incidents;
DROP TABLE seed_published, seed_logs, seed_model, seed_clusters, seed_timeline, seed_expected, seed_final, seed_before;
DROP FUNCTION compare_partitions, seed_time;
