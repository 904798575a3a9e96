-- Is all well? An empty database, a detector without model, without trigger, with incidents, failures, a relation that is gone.
SET client_min_messages = error;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';
CREATE VIEW well AS
SELECT state, topic, detector, regexp_replace(regexp_replace(summary, '\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d\+00)?', 'MOMENT', 'g'), '\d\d:\d\d:\d\d', 'TIME', 'g') AS summary,
       regexp_replace(what_to_do, '\d{4}-\d\d-\d\d \d\d:\d\dZ', 'MOMENT', 'g') AS what_to_do
FROM logintel.status
-- Whether a worker is preloaded depends on the server, and what other detectors there are on other tests.
WHERE topic NOT IN ('worker', 'all') AND coalesce(detector, 'app') = 'app';
CALL logintel.run_maintenance();
TABLE well;

CREATE TABLE app_log (ts timestamptz, level text, component text, message text);
INSERT INTO app_log SELECT timestamptz '2026-01-01 00:00Z' + i * interval '1 minute', 'INFO', 'web', 'user ' || i || ' logged in' FROM generate_series(1, 300) AS i;
SELECT logintel.create_detector('app', 'app_log') > 0 AS is_made;
-- Whoever may not do what is to be done is told who may.
CREATE ROLE status_reader;
GRANT logintel_reader TO status_reader;
GRANT SELECT ON app_log TO status_reader;
CREATE ROLE status_owner;
GRANT logintel_writer TO status_owner;
TABLE well;
UPDATE logintel.detectors SET owner = 'status_owner' WHERE name = 'app';
SET ROLE status_reader;
SELECT topic, what_to_do FROM logintel.status WHERE detector = 'app' OR topic IN ('views', 'settings');
RESET ROLE;
SET ROLE status_owner;
SELECT topic, what_to_do FROM logintel.status WHERE detector = 'app';
RESET ROLE;
UPDATE logintel.detectors SET owner = current_user::regrole WHERE name = 'app';
REVOKE SELECT ON app_log FROM status_reader;
SELECT logintel.train('app');
TABLE well;
SELECT logintel.watch('app');
TABLE well;

-- What its rows tell is told to who may read them.
INSERT INTO app_log VALUES ('2026-01-02 10:00Z', 'ERROR', 'db', 'disk full'), ('2026-01-02 10:01Z', 'INFO', 'db', 'a wholly new thing'), ('2026-01-02 11:01Z', 'INFO', 'db', 'a wholly new thing');
CALL logintel.run_maintenance();
TABLE well;
SELECT detector, health, open_incidents, acknowledged_incidents, anomalies_last_hour, last_anomaly, version FROM logintel.live_status WHERE detector = 'app';
SELECT * FROM logintel.anomalies_by_minute WHERE detector = 'app' ORDER BY 1, 2, 3;
SELECT * FROM logintel.anomalies_by_hour WHERE detector = 'app' ORDER BY 1, 2, 3;
SELECT * FROM logintel.incidents_by_hour WHERE detector = 'app' ORDER BY 1, 2, 3;
SELECT * FROM logintel.incidents_by_day WHERE detector = 'app' ORDER BY 1, 2, 3;
SELECT * FROM logintel.top_templates WHERE detector = 'app' ORDER BY 1, 2;
SELECT "time", template, anomalies, last_time, component, message, incident_id IS NOT NULL AS in_incident FROM logintel.new_templates WHERE detector = 'app' ORDER BY 1, 2;

SET ROLE status_reader;
SELECT state, topic, detector, summary FROM logintel.status WHERE detector = 'app';
SELECT count(*) FROM logintel.live_status WHERE detector = 'app';
SELECT (SELECT count(*) FROM logintel.anomalies_by_minute) + (SELECT count(*) FROM logintel.anomalies_by_hour) + (SELECT count(*) FROM logintel.incidents_by_hour)
     + (SELECT count(*) FROM logintel.incidents_by_day) + (SELECT count(*) FROM logintel.top_templates) + (SELECT count(*) FROM logintel.new_templates)
     + (SELECT count(*) FROM logintel.drift_by_hour) AS rows;
RESET ROLE;

-- A trigger that is switched off judges nothing. Time is no matter of who reads.
ALTER TABLE app_log DISABLE TRIGGER ALL;
SELECT summary FROM well WHERE summary LIKE 'New rows%';
ALTER TABLE app_log ENABLE TRIGGER ALL;
INSERT INTO app_log VALUES ('294276-12-31 12:34Z', 'ERROR', 'db', 'from the future');
SELECT "time", anomalies FROM logintel.anomalies_by_minute WHERE detector = 'app' AND "time" > '2026-01-03';
SELECT "time", anomalies FROM logintel.anomalies_by_hour WHERE detector = 'app' AND "time" > '2026-01-03';
DELETE FROM logintel.anomalies WHERE ts > '2026-01-03';

-- Rows that could not be scored, a version kept aside, waiting anomalies, drift, steps that fail.
INSERT INTO logintel.scoring_failures (detector, rows, sqlstate, message) VALUES ('app', 3, '22023', 'made up');
-- The newest is shown, whatever its words.
INSERT INTO logintel.scoring_failures (detector, rows, sqlstate, message, recorded_at) VALUES ('app', 2, '22012', 'an earlier one', now() - interval '3 hours');
INSERT INTO logintel.retrainings VALUES ('app', now() + interval '1 minute', now() + interval '2 minutes', 'kept aside', 7, 'it would flag half of them');
INSERT INTO logintel.drift (detector, "time", rows, warning) VALUES ('app', now(), 100, 'too much of it is new');
UPDATE logintel.worker_steps SET failures = 2, last_error = 'canceling statement due to lock timeout' WHERE detector = 'app' AND step = 'grouping';
UPDATE logintel.anomalies SET is_grouped = false, recorded_at = now() - interval '1 hour' WHERE ts = '2026-01-02 11:01Z';
UPDATE logintel.maintenance SET views_refreshed_at = now() - interval '3 hours';
UPDATE logintel.detectors SET enabled = false WHERE name = 'app';
SET logintel.enabled = off;
TABLE well;
-- An hour after the last there is still something to be done, and no hurry.
UPDATE logintel.scoring_failures SET recorded_at = recorded_at - interval '1 hour 1 second' WHERE detector = 'app';
SELECT state, summary FROM well WHERE topic = 'scoring';
-- score_history over their time has scored them; what it has not gone over is still to be.
SELECT logintel.score_history('app', until => now() - interval '2 hours') > 0 AS scored;
SELECT rows, last_message FROM logintel.scoring_errors WHERE detector = 'app';
SELECT logintel.score_history('app', since => (SELECT min(first_time) FROM logintel.scoring_errors WHERE detector = 'app')) AS scored;
SELECT state, summary FROM well WHERE topic = 'scoring';
INSERT INTO logintel.drift (detector, "time", version, rows, flagged_share, unseen_template_share, unseen_term_share)
VALUES ('app', '2026-01-02 10:00Z', 1, 200, 0.02, 0.1, 0.05), ('app', '2026-01-02 11:00Z', 1, 0, NULL, NULL, NULL);
SELECT "time", version, rows, flagged_share, training_flagged_share BETWEEN 0 AND 1 AS has_training, unseen_template_share, unseen_term_share, is_level_shift, warning,
       trained_at IS NOT NULL AS is_trained
FROM logintel.drift_by_hour WHERE detector = 'app' AND version = 1;
SELECT health, failing_steps > 0 AS steps_fail, last_run IS NOT NULL AS has_run, now() - views_refreshed_at >= interval '3 hours' AS views_are_old FROM logintel.worker_health;
RESET logintel.enabled;
-- A column that it reads is gone, under whatever name: told before a row comes.
SELECT logintel.alter_detector('app', enabled => true);
ALTER TABLE app_log RENAME COLUMN component TO "the part";
ALTER TABLE app_log DROP COLUMN level;
SELECT state, summary, what_to_do FROM well WHERE topic = 'detector';
SELECT state FROM logintel.status WHERE topic = 'all';
ALTER TABLE app_log RENAME COLUMN "the part" TO component;
ALTER TABLE app_log ADD COLUMN "a->b" jsonb, ADD COLUMN level text;
UPDATE logintel.detectors SET source = '"a->b"->''host''->>0' WHERE name = 'app';
SELECT state, summary FROM well WHERE topic = 'detector';
ALTER TABLE app_log DROP COLUMN "a->b";
SELECT state, summary FROM well WHERE topic = 'detector';
DROP TABLE app_log CASCADE;
SELECT * FROM well WHERE topic = 'detector';
SELECT logintel.drop_detector('app');
CALL logintel.run_maintenance();
TABLE well;
-- The first row tells it all.
SELECT count(*) = 1 AND bool_and(state IN ('ok', 'warning', 'critical')) AS is_one FROM logintel.status WHERE topic = 'all';
DROP OWNED BY status_reader, status_owner;
DROP ROLE status_reader, status_owner;
DROP VIEW well;
