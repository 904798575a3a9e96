-- What Grafana and Metabase read: materialized views that the worker refreshes, and a plain view on each,
-- because query builders do not list materialized ones. The plain views show a role what it may read.

CREATE MATERIALIZED VIEW logintel.incident_summary AS
SELECT detector, severity, status, is_suppressed, count(*) AS incidents, sum(event_count)::bigint AS events,
       min(start_time) AS first_time, max(end_time) AS last_time
FROM logintel.incidents
GROUP BY detector, severity, status, is_suppressed;
CREATE UNIQUE INDEX incident_summary_key ON logintel.incident_summary (detector, severity, status, is_suppressed);
COMMENT ON MATERIALIZED VIEW logintel.incident_summary IS 'Incidents by detector, severity and status';

CREATE MATERIALIZED VIEW logintel.incident_timeline AS
SELECT start_time AS "time", end_time, incident_id, detector, severity, severity_score, status, is_suppressed, event_count,
       components, title
FROM logintel.incidents;
CREATE UNIQUE INDEX incident_timeline_key ON logintel.incident_timeline (incident_id);
CREATE INDEX incident_timeline_time ON logintel.incident_timeline ("time");
COMMENT ON MATERIALIZED VIEW logintel.incident_timeline IS 'Incidents over time';

CREATE MATERIALIZED VIEW logintel.cluster_summary AS
SELECT c.detector, c.version, c.cluster_id, c.rows, c.rows::float8 / nullif(m.training_rows, 0) AS share, c.templates, c.template
FROM logintel.model_clusters AS c
JOIN logintel.detectors AS d ON d.name = c.detector AND d.active_version = c.version
JOIN logintel.model_versions AS m ON m.detector = c.detector AND m.version = c.version;
CREATE UNIQUE INDEX cluster_summary_key ON logintel.cluster_summary (detector, version, cluster_id);
COMMENT ON MATERIALIZED VIEW logintel.cluster_summary IS 'Clusters of ordinary rows in the active models';

CREATE MATERIALIZED VIEW logintel.component_health AS
SELECT a.detector, a.component, max(a."time") AS "time", sum(a.anomalies)::bigint AS anomalies,
       sum(a.anomalies_last_day)::bigint AS anomalies_last_day, count(a.incident_id) AS incidents,
       count(a.incident_id) FILTER (WHERE i.status <> 'resolved' AND NOT i.is_suppressed) AS open_incidents,
       max(a.highest_score) AS highest_score,
       CASE
           WHEN bool_or(i.status <> 'resolved' AND NOT i.is_suppressed AND i.severity = 'HIGH') THEN 'critical'
           WHEN bool_or(i.status <> 'resolved' AND NOT i.is_suppressed) THEN 'warning'
           ELSE 'ok'
       END AS health
FROM ( -- Each incident's part first: without a sort of all anomalies.
    SELECT detector, coalesce(component, '') AS component, incident_id, max(ts) AS "time", count(*) AS anomalies,
           count(*) FILTER (WHERE recorded_at > now() - interval '1 day') AS anomalies_last_day, max(anomaly_score) AS highest_score
    FROM logintel.anomalies GROUP BY detector, coalesce(component, ''), incident_id
) AS a LEFT JOIN logintel.incidents AS i USING (incident_id)
GROUP BY a.detector, a.component;
CREATE UNIQUE INDEX component_health_key ON logintel.component_health (detector, component);
COMMENT ON MATERIALIZED VIEW logintel.component_health IS 'Anomalies and open incidents by component';

CREATE VIEW logintel.incident_summary_v WITH (security_barrier) AS SELECT * FROM logintel.incident_summary
WHERE detector IN (SELECT logintel.readable_detectors(current_user));
CREATE VIEW logintel.incident_timeline_v WITH (security_barrier) AS SELECT * FROM logintel.incident_timeline
WHERE detector IN (SELECT logintel.readable_detectors(current_user));
CREATE VIEW logintel.cluster_summary_v WITH (security_barrier) AS SELECT * FROM logintel.cluster_summary
WHERE detector IN (SELECT logintel.readable_detectors(current_user));
CREATE VIEW logintel.component_health_v WITH (security_barrier) AS SELECT * FROM logintel.component_health
WHERE detector IN (SELECT logintel.readable_detectors(current_user));
COMMENT ON VIEW logintel.incident_summary_v IS 'Incidents by detector, severity and status, of the last refresh of incident_summary; as far as the role may read the logs';
COMMENT ON VIEW logintel.incident_timeline_v IS 'Incidents over time, of the last refresh of incident_timeline; as far as the role may read the logs';
COMMENT ON VIEW logintel.cluster_summary_v IS 'Clusters of ordinary rows in the active models, of the last refresh of cluster_summary; as far as the role may read the logs';
COMMENT ON VIEW logintel.component_health_v IS 'Anomalies and open incidents by component, of the last refresh of component_health; as far as the role may read the logs';

-- A failure's message may quote the log. Administrators also see those of detectors that are gone.
CREATE VIEW logintel.scoring_errors WITH (security_barrier) AS
SELECT detector, sqlstate, count(*) AS failures, sum(rows)::bigint AS rows, min(recorded_at) AS first_time, max(recorded_at) AS last_time,
       (array_agg(message ORDER BY recorded_at DESC))[1] AS last_message
FROM logintel.scoring_failures
WHERE detector IN (SELECT logintel.readable_detectors(current_user)) OR pg_has_role(current_user, 'logintel_admin', 'USAGE')
GROUP BY detector, sqlstate;
COMMENT ON VIEW logintel.scoring_errors IS 'Why rows landed without being scored, and how often, in the last 7 days, but for times that score_history has gone over since';
COMMENT ON COLUMN logintel.scoring_errors.detector IS 'The detector that should have scored them';
COMMENT ON COLUMN logintel.scoring_errors.sqlstate IS 'SQLSTATE of the failures';
COMMENT ON COLUMN logintel.scoring_errors.failures IS 'Number of failures: of statements, or of rows where each is scored by itself';
COMMENT ON COLUMN logintel.scoring_errors.rows IS 'Number of rows that landed without being scored';
COMMENT ON COLUMN logintel.scoring_errors.first_time IS 'Time of the first failure';
COMMENT ON COLUMN logintel.scoring_errors.last_time IS 'Time of the last failure';
COMMENT ON COLUMN logintel.scoring_errors.last_message IS 'Message of the last failure';

-- Each view's columns mean the same in its materialized and in its plain form.
DO $comments$
DECLARE
    c record;
    suffix text;
BEGIN
    FOR c IN SELECT * FROM (VALUES
        ('incident_summary', 'detector', 'Name of the detector'),
        ('incident_summary', 'severity', 'LOW, MEDIUM or HIGH'),
        ('incident_summary', 'status', 'open, acknowledged or resolved'),
        ('incident_summary', 'is_suppressed', 'Whether a rule says that they are not worth a look'),
        ('incident_summary', 'incidents', 'Number of incidents of that severity and status'),
        ('incident_summary', 'events', 'Number of anomalies in them'),
        ('incident_summary', 'first_time', 'Event time of the first anomaly in them'),
        ('incident_summary', 'last_time', 'Event time of the last anomaly in them'),
        ('incident_timeline', 'time', 'Time of its first event that is no routine: start_time in the table incidents'),
        ('incident_timeline', 'end_time', 'Time of its last event that is no routine'),
        ('incident_timeline', 'incident_id', 'Number in the table incidents'),
        ('incident_timeline', 'detector', 'Name of the detector'),
        ('incident_timeline', 'severity', 'LOW, MEDIUM or HIGH'),
        ('incident_timeline', 'severity_score', 'Events, plus 5 if any level is an error, else plus 3 if any is a warning: HIGH from 10, MEDIUM from 5'),
        ('incident_timeline', 'status', 'open, acknowledged or resolved'),
        ('incident_timeline', 'is_suppressed', 'Whether a rule says that it is not worth a look'),
        ('incident_timeline', 'event_count', 'Number of its anomalies'),
        ('incident_timeline', 'components', 'Components of its anomalies, the first 100 by name'),
        ('incident_timeline', 'title', 'One line for people'),
        ('cluster_summary', 'detector', 'Name of the detector'),
        ('cluster_summary', 'version', 'Version of its active model'),
        ('cluster_summary', 'cluster_id', 'Number of the cluster in that version'),
        ('cluster_summary', 'rows', 'Number of rows of training in the cluster'),
        ('cluster_summary', 'share', 'Their share of all rows of training, 0 to 1'),
        ('cluster_summary', 'templates', 'Number of templates in the cluster'),
        ('cluster_summary', 'template', 'Its most frequent template, to know it by'),
        ('component_health', 'detector', 'Name of the detector'),
        ('component_health', 'component', 'Component; empty where the rows have none'),
        ('component_health', 'time', 'Event time of the last anomaly; NULL where none has one'),
        ('component_health', 'anomalies', 'Number of anomalies that are kept'),
        ('component_health', 'anomalies_last_day', 'Number of those recorded in the last day before the refresh'),
        ('component_health', 'incidents', 'Number of incidents it has a part in'),
        ('component_health', 'open_incidents', 'Number of those not resolved and not suppressed'),
        ('component_health', 'highest_score', 'Highest anomaly_score of its anomalies, 0 to 1'),
        ('component_health', 'health', 'critical with an open incident of severity HIGH, warning with another, else ok')
    ) AS t (view_name, column_name, words) LOOP
        EXECUTE format('COMMENT ON COLUMN logintel.%I.%I IS %L', c.view_name, c.column_name, c.words);
        EXECUTE format('COMMENT ON COLUMN logintel.%I.%I IS %L', c.view_name || '_v', c.column_name, c.words);
    END LOOP;
END
$comments$;

-- A dump refreshes them after their data.
DO $dump$
DECLARE
    relation regclass;
BEGIN
    FOR relation IN
        SELECT c.oid FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = 'logintel'::regnamespace AND c.relkind = 'm'
        ORDER BY c.relkind, c.oid
    LOOP
        PERFORM pg_catalog.pg_extension_config_dump(relation, '');
    END LOOP;
END
$dump$;
