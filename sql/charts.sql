-- Charts: what a dashboard draws, one plain view for each, with stable names. What a column named "time" holds is event time, in
-- the UTC minute, hour or day that it begins with; from the year 2000 on, for from 1970 on an interval cannot hold the last years. They show a role what it may read.

CREATE VIEW logintel.live_status WITH (security_barrier) AS
SELECT d.name AS detector, coalesce(i.health, 'ok') AS health, coalesce(i.open_incidents, 0) AS open_incidents,
       coalesce(i.acknowledged_incidents, 0) AS acknowledged_incidents, a.anomalies_last_minute, a.anomalies_last_hour, a.anomalies_last_day,
       (SELECT max(ts) FROM logintel.anomalies WHERE detector = d.name AND isfinite(ts)) AS last_anomaly, d.active_version AS version, m.trained_at
FROM logintel.detectors AS d
LEFT JOIN logintel.model_versions AS m ON m.detector = d.name AND m.version = d.active_version
LEFT JOIN (
    SELECT detector, count(*) FILTER (WHERE status = 'open') AS open_incidents, count(*) FILTER (WHERE status = 'acknowledged') AS acknowledged_incidents,
           CASE WHEN bool_or(severity = 'HIGH') THEN 'critical' ELSE 'warning' END AS health
    FROM logintel.incidents WHERE status <> 'resolved' AND NOT is_suppressed GROUP BY detector) AS i ON i.detector = d.name
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE recorded_at > now() - interval '1 minute') AS anomalies_last_minute,
           count(*) FILTER (WHERE recorded_at > now() - interval '1 hour') AS anomalies_last_hour, count(*) AS anomalies_last_day
    FROM logintel.anomalies WHERE detector = d.name AND recorded_at > now() - interval '1 day') AS a
WHERE d.name IN (SELECT logintel.readable_detectors(current_user));
COMMENT ON VIEW logintel.live_status IS 'How each detector''s log is at the moment';
COMMENT ON COLUMN logintel.live_status.detector IS 'Name of the detector';
COMMENT ON COLUMN logintel.live_status.health IS 'critical with an unresolved incident of severity HIGH, warning with another, else ok; suppressed ones do not count';
COMMENT ON COLUMN logintel.live_status.open_incidents IS 'Number of incidents that nobody looks after; suppressed ones do not count, here and in the next';
COMMENT ON COLUMN logintel.live_status.acknowledged_incidents IS 'Number of incidents that somebody looks after';
COMMENT ON COLUMN logintel.live_status.anomalies_last_minute IS 'Number of anomalies recorded in the last minute';
COMMENT ON COLUMN logintel.live_status.anomalies_last_hour IS 'Number of anomalies recorded in the last hour';
COMMENT ON COLUMN logintel.live_status.anomalies_last_day IS 'Number of anomalies recorded in the last day';
COMMENT ON COLUMN logintel.live_status.last_anomaly IS 'Event time of the last anomaly that is kept; NULL where there is none';
COMMENT ON COLUMN logintel.live_status.version IS 'Version of the active model; NULL before the first training';
COMMENT ON COLUMN logintel.live_status.trained_at IS 'When that was trained; NULL before the first training';

DO $charts$
DECLARE
    unit text;
BEGIN
    FOREACH unit IN ARRAY ARRAY['minute', 'hour'] LOOP
        EXECUTE format($view$
            CREATE VIEW logintel.%1$I WITH (security_barrier) AS
            SELECT date_bin(interval %2$L, ts, timestamptz '2000-01-01 00:00:00+00') AS "time", detector, coalesce(component, '') AS component, count(*) AS anomalies,
                   count(*) FILTER (WHERE reason = 'ERROR_level') AS errors, count(DISTINCT template) AS templates, max(anomaly_score) AS highest_score
            FROM logintel.anomalies
            WHERE isfinite(ts) AND detector IN (SELECT logintel.readable_detectors(current_user))
            GROUP BY 1, 2, 3 $view$, 'anomalies_by_' || unit, '1 ' || unit);
        EXECUTE format('COMMENT ON VIEW logintel.%I IS %L', 'anomalies_by_' || unit, 'Anomalies of each component in each ' || unit);
        EXECUTE format('COMMENT ON COLUMN logintel.%I."time" IS %L', 'anomalies_by_' || unit, 'Beginning of the ' || unit || ', in UTC');
        EXECUTE format($words$
            COMMENT ON COLUMN logintel.%1$I.detector IS 'Name of the detector';
            COMMENT ON COLUMN logintel.%1$I.component IS 'Component; empty where the rows have none';
            COMMENT ON COLUMN logintel.%1$I.anomalies IS 'Number of anomalies; a minute or an hour without any has no row';
            COMMENT ON COLUMN logintel.%1$I.errors IS 'Number of those flagged for their level';
            COMMENT ON COLUMN logintel.%1$I.templates IS 'Number of their different templates';
            COMMENT ON COLUMN logintel.%1$I.highest_score IS 'Highest anomaly_score among them, 0 to 1' $words$, 'anomalies_by_' || unit);
    END LOOP;
    FOREACH unit IN ARRAY ARRAY['hour', 'day'] LOOP
        EXECUTE format($view$
            CREATE VIEW logintel.%1$I WITH (security_barrier) AS
            SELECT date_bin(interval %2$L, start_time, timestamptz '2000-01-01 00:00:00+00') AS "time", detector, severity, count(*) AS incidents,
                   count(*) FILTER (WHERE status <> 'resolved') AS unresolved, sum(event_count)::bigint AS events
            FROM logintel.incidents
            WHERE NOT is_suppressed AND detector IN (SELECT logintel.readable_detectors(current_user))
            GROUP BY 1, 2, 3 $view$, 'incidents_by_' || unit, '1 ' || unit);
        EXECUTE format('COMMENT ON VIEW logintel.%I IS %L', 'incidents_by_' || unit,
            'Incidents that began in each ' || unit || ', by severity; without suppressed ones');
        EXECUTE format('COMMENT ON COLUMN logintel.%I."time" IS %L', 'incidents_by_' || unit, 'Beginning of the ' || unit || ', in UTC');
        EXECUTE format($words$
            COMMENT ON COLUMN logintel.%1$I.detector IS 'Name of the detector';
            COMMENT ON COLUMN logintel.%1$I.severity IS 'LOW, MEDIUM or HIGH';
            COMMENT ON COLUMN logintel.%1$I.incidents IS 'Number of incidents; an hour or a day without any has no row';
            COMMENT ON COLUMN logintel.%1$I.unresolved IS 'Number of those that are open or acknowledged now';
            COMMENT ON COLUMN logintel.%1$I.events IS 'Number of anomalies in them' $words$, 'incidents_by_' || unit);
    END LOOP;
END
$charts$;

CREATE VIEW logintel.top_templates WITH (security_barrier) AS
SELECT detector, coalesce(template, '') AS template, count(*) AS anomalies, count(*) FILTER (WHERE recorded_at > now() - interval '1 day') AS anomalies_last_day,
       min(ts) AS first_time, max(ts) AS last_time, max(anomaly_score) AS highest_score,
       -- Without its figure: what comes after = differs from row to row.
       mode() WITHIN GROUP (ORDER BY split_part(reason, '=', 1)) AS reason, count(DISTINCT incident_id) AS incidents
FROM logintel.anomalies
WHERE detector IN (SELECT logintel.readable_detectors(current_user))
GROUP BY detector, coalesce(template, '');
COMMENT ON VIEW logintel.top_templates IS 'The templates of all anomalies that are kept: ORDER BY anomalies DESC, or last_time';
COMMENT ON COLUMN logintel.top_templates.detector IS 'Name of the detector';
COMMENT ON COLUMN logintel.top_templates.template IS 'Message without what varies; empty where the rows have none';
COMMENT ON COLUMN logintel.top_templates.anomalies IS 'Number of its anomalies that are kept';
COMMENT ON COLUMN logintel.top_templates.anomalies_last_day IS 'Number of those recorded in the last day';
COMMENT ON COLUMN logintel.top_templates.first_time IS 'Event time of the first; NULL where none has one';
COMMENT ON COLUMN logintel.top_templates.last_time IS 'Event time of the last; NULL where none has one';
COMMENT ON COLUMN logintel.top_templates.highest_score IS 'Highest anomaly_score among them, 0 to 1';
COMMENT ON COLUMN logintel.top_templates.reason IS 'Their most frequent reason, without its figure';
COMMENT ON COLUMN logintel.top_templates.incidents IS 'Number of incidents that they have a part in';

CREATE VIEW logintel.new_templates WITH (security_barrier) AS
SELECT min(ts) AS "time", detector, coalesce(template, '') AS template, count(*) AS anomalies, max(ts) AS last_time,
       (array_agg(component ORDER BY ts, anomaly_id))[1] AS component, (array_agg(message ORDER BY ts, anomaly_id))[1] AS message,
       (array_agg(incident_id ORDER BY ts, anomaly_id))[1] AS incident_id
FROM logintel.anomalies
WHERE reason = 'unseen_template' AND detector IN (SELECT logintel.readable_detectors(current_user))
GROUP BY detector, coalesce(template, '');
COMMENT ON VIEW logintel.new_templates IS 'Templates that training had not seen when they came';
COMMENT ON COLUMN logintel.new_templates."time" IS 'Event time of the first line of it';
COMMENT ON COLUMN logintel.new_templates.detector IS 'Name of the detector';
COMMENT ON COLUMN logintel.new_templates.template IS 'Message without what varies';
COMMENT ON COLUMN logintel.new_templates.anomalies IS 'Number of lines of it that were flagged, as long as it was new';
COMMENT ON COLUMN logintel.new_templates.last_time IS 'Event time of the last of these';
COMMENT ON COLUMN logintel.new_templates.component IS 'Component of the first; NULL where it has none';
COMMENT ON COLUMN logintel.new_templates.message IS 'Message of the first';
COMMENT ON COLUMN logintel.new_templates.incident_id IS 'Incident that the first belongs to; NULL where it is in none';

CREATE VIEW logintel.drift_by_hour WITH (security_barrier) AS
SELECT f."time", f.detector, f.version, f.rows, f.flagged_share, m.flagged_share AS training_flagged_share, f.unseen_template_share,
       f.unseen_term_share, f.is_level_shift, f.warning, m.trained_at
FROM logintel.drift AS f LEFT JOIN logintel.model_versions AS m ON m.detector = f.detector AND m.version = f.version
WHERE f.rows > 0 AND f.detector IN (SELECT logintel.readable_detectors(current_user));
COMMENT ON VIEW logintel.drift_by_hour IS 'How far what came in each hour was from what the model had been trained on; hours without rows are left out. Trainings are in the view models';
COMMENT ON COLUMN logintel.drift_by_hour.training_flagged_share IS 'Share of its own training rows that the model flagged, 0 to 1, to compare; NULL where that version is gone';
COMMENT ON COLUMN logintel.drift_by_hour.trained_at IS 'When that version was trained; NULL where it is gone';
