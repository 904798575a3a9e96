-- What people say about judgements: a mark holds from the next statement on, for every way to judge, and outlives models.
SET search_path = public, logintel;
SET timezone = 'UTC';
SET datestyle = ISO;
CREATE TABLE app (ts timestamptz, level text, component text, message text);
INSERT INTO app
SELECT '2026-01-01'::timestamptz + n * interval '10 s', 'INFO', 'sshd',
       format((ARRAY['Accepted password for user from 10.0.0.%s port %s ssh2', 'pam_unix(sshd:session): session opened for pid %2$s by host%1$s.example.com',
                     'Received disconnect from 10.0.0.%s: %s: disconnected by user', 'Connection closed by 10.0.0.%s [preauth] after %s s'])[n % 4 + 1], n % 200, 1000 + n)
FROM generate_series(1, 1000) AS n;
SELECT create_detector('app', 'app') > 0 AS made;

-- Before the first training: the level alone flags, a mark lets pass. ------------------------------------------------
SELECT watch('app');
INSERT INTO app VALUES ('2026-01-02 08:00', 'ERROR', 'sshd', 'error: maximum authentication attempts exceeded for root from 10.0.0.7 port 4711 ssh2 [preauth]');
SELECT mark_normal(anomaly_id) FROM anomalies;
SELECT (detect('app', 'error: maximum authentication attempts exceeded for root from 10.9.9.9 port 1 ssh2 [preauth]', 'ERROR')).*;
SELECT (detect('app', 'error: connect_to 10.0.0.7 port 80: failed', 'ERROR')).*;
SELECT kind, term, detail FROM anomaly_explain('app', 'error: maximum authentication attempts exceeded for root from 10.9.9.9 port 1 ssh2 [preauth]', 'ERROR');
SELECT detector, template, reason, marked_at <= now() AS marked, marked_by = current_user AS by_me FROM normal_templates;
SELECT unmark_normal('app', template), unmark_normal('app', template), unmark_normal('app', 'never marked') FROM normal_templates;
SELECT count(*) AS marks, (SELECT marks_id FROM detectors WHERE name = 'app') FROM normal_templates;
SELECT reason FROM detect('app', 'error: maximum authentication attempts exceeded for root from 10.9.9.9 port 1 ssh2 [preauth]', 'ERROR');
DELETE FROM anomalies;
DELETE FROM app WHERE level = 'ERROR';

-- After it --------------------------------------------------------------------------------------------------------
SELECT train('app');
SELECT unwatch('app');
SELECT watch('app', 'row');
CREATE VIEW found AS SELECT to_char(ts, 'HH24:MI') AS at, level, reason, anomaly_score > 0.9 AS strange, message FROM anomalies ORDER BY ts;
INSERT INTO app VALUES
    ('2026-01-02 09:00', 'INFO', 'sshd', 'Accepted password for user from 10.0.0.8 port 4242 ssh2'),
    ('2026-01-02 09:01', 'INFO', 'cron', 'rotating /var/log/auth.log keeps 7 files'),
    ('2026-01-02 09:02', 'ERROR', 'sshd', 'error: connect_to 10.0.0.7 port 80: failed'),
    ('2026-01-02 09:03', 'INFO', 'sshd', 'Invalid user admin from 10.0.0.9');
SELECT * FROM found;
SELECT mark_normal(anomaly_id) FROM anomalies WHERE message LIKE 'rotating%';
-- Lines of it pass, whatever their level says, and nothing else does.
INSERT INTO app VALUES
    ('2026-01-02 10:01', 'INFO', 'cron', 'rotating /var/log/kern.log keeps 9 files'),
    ('2026-01-02 10:02', 'ERROR', 'cron', 'rotating /var/log/kern.log keeps 9 files'),
    ('2026-01-02 10:03', 'INFO', 'cron', 'rotating /var/log/kern.log loses 9 files');
SELECT * FROM found WHERE at >= '10:00';
SELECT is_anomaly, anomaly_score, reason, template FROM detect('app', 'rotating /var/log/kern.log keeps 9 files', 'ERROR');
SELECT anomaly_score('app', 'rotating /var/log/kern.log keeps 9 files', 'ERROR');
SELECT kind, term, detail FROM anomaly_explain('app', 'rotating /var/log/kern.log keeps 9 files', 'ERROR') WHERE kind IN ('rule', 'threshold');
SELECT to_char(ts, 'HH24:MI') AS at, is_anomaly, anomaly_score AS score, reason FROM log_timeline('app', '2026-01-02') WHERE component = 'cron' ORDER BY ts;
-- Nor is what passes drift.
SELECT rows, round(flagged_share::numeric, 3) AS flagged FROM measure_drift('app', '2026-01-02', bucket => '1 day');
-- In the statement that marks, what was seen before it holds; then it does not.
WITH marked AS MATERIALIZED (SELECT mark_normal(anomaly_id) FROM anomalies WHERE message LIKE 'Invalid%')
SELECT mark_normal, (detect('app', 'Invalid user admin from 10.0.0.1')).reason FROM marked;
SELECT reason FROM detect('app', 'Invalid user admin from 10.0.0.1');
SELECT reason FROM detect('app', 'Invalid user guest from 10.0.0.1');
-- What is rolled back was never said.
BEGIN;
SELECT mark_normal(anomaly_id) FROM anomalies WHERE level = 'ERROR' ORDER BY ts LIMIT 1;
SELECT reason FROM detect('app', 'error: connect_to 10.0.0.1 port 8080: failed', 'ERROR');
SAVEPOINT s;
SELECT unmark_normal('app', 'error: connect_to <*> port <*>: failed');
SELECT reason FROM detect('app', 'error: connect_to 10.0.0.1 port 8080: failed', 'ERROR');
ROLLBACK TO s;
SELECT reason FROM detect('app', 'error: connect_to 10.0.0.1 port 8080: failed', 'ERROR');
ROLLBACK;
SELECT reason FROM detect('app', 'error: connect_to 10.0.0.1 port 8080: failed', 'ERROR');
-- Twice is once.
SELECT mark_normal(anomaly_id) FROM anomalies WHERE message LIKE 'rotating % keeps%';
SELECT template, reason FROM normal_templates ORDER BY template COLLATE "C";

-- The next training: what is marked is ordinary to it, and stays so ---------------------------------------------------
SELECT score_history('app', '2026-01-02');
SELECT at, level, message FROM found;
SELECT train('app');
SELECT reason, template FROM detect('app', 'rotating /var/log/mail.log keeps 3 files', 'ERROR');
-- Training saw one such line, which would be rare.
SELECT reason FROM detect('app', 'Invalid user admin from 10.0.0.1');
BEGIN;
SELECT unmark_normal('app', 'Invalid user admin from <*>');
SELECT reason FROM detect('app', 'Invalid user admin from 10.0.0.1');
ROLLBACK;
SELECT round((flagged_share * training_rows)::numeric) AS flagged FROM models WHERE detector = 'app' AND version = 2;
SELECT score_history('app'), (SELECT count(*) FROM anomalies) AS before;
SELECT count(*) FROM anomalies;
-- A wider template that a training makes, and a training that has seen nothing of it.
INSERT INTO app SELECT '2026-01-03'::timestamptz + n * interval '1 s', 'INFO', 'sshd', format('Invalid user %s from 10.0.0.%s', (ARRAY['guest', 'test', 'oracle', 'ftp', 'www', 'mysql'])[n % 6 + 1], n) FROM generate_series(1, 60) AS n;
SELECT train('app');
SELECT level, reason, template FROM (VALUES ('Invalid user admin from 10.0.0.1', 'INFO'), ('Invalid user admin from 10.0.0.1', 'ERROR'), ('Invalid user ftp from 10.0.0.1', 'ERROR')) AS v (message, level), detect('app', message, level);
SELECT train('app', until => '2026-01-02');
SELECT reason FROM detect('app', 'Invalid user admin from 10.0.0.1');
SELECT activate_model('app', 1);
SELECT reason FROM detect('app', 'Invalid user admin from 10.0.0.1');

-- A whole incident --------------------------------------------------------------------------------------------------
DELETE FROM anomalies;
INSERT INTO app VALUES
    ('2026-01-04 09:00', 'INFO', 'cron', 'backup of /srv/data began'), ('2026-01-04 09:01', 'INFO', 'cron', 'backup of /srv/data began'),
    ('2026-01-04 09:02', 'ERROR', 'cron', 'backup skipped 12 open files'), (NULL, 'ERROR', 'cron', 'no time, no incident');
CALL run_maintenance();
SELECT incident_id AS incident, event_count, status FROM incidents \gset
SELECT :event_count AS events, :'status' AS status, mark_incident_normal(:incident) AS templates;
SELECT mark_incident_normal(:incident) AS again;
SELECT status, event_count FROM incidents;
CALL run_maintenance();
SELECT status, incidents FROM incident_summary_v;
SELECT level, reason FROM (VALUES ('backup of /srv/home began', 'INFO'), ('backup skipped 1 open files', 'FATAL'), ('no time, no incident', 'ERROR')) AS v (message, level), detect('app', message, level);

-- Errors ------------------------------------------------------------------------------------------------------------
SELECT mark_normal(-1);
\echo :LAST_ERROR_SQLSTATE
SELECT mark_incident_normal(-1);
\echo :LAST_ERROR_SQLSTATE
SELECT unmark_normal('nobody', 'x');
INSERT INTO incidents (incident_id, detector, fingerprint, title, severity, severity_score, start_time, end_time, event_count, sources, components, levels, messages)
VALUES (9000000000, 'app', '', '', 'LOW', 2, '2026-02-01', '2026-02-01', 2, '{}', '{}', '{}', '{}');
INSERT INTO anomalies (anomaly_id, detector, ts, message, template, anomaly_score, reason, version) VALUES
    (9000000001, 'app', '2026-02-01', 'x', NULL, 1, 'rate_drop', 1), (9000000002, 'app', '2026-02-01', 'y', repeat('y', 8192), 1, 'unseen_template', 1),
    (9000000003, 'app', '2026-02-01', 'w', 'worker <*> gone', 1, 'rate_spike', 1);
SELECT mark_normal(anomaly_id) FROM anomalies WHERE message = 'x';
\echo :LAST_ERROR_SQLSTATE
SELECT mark_normal(anomaly_id) FROM anomalies WHERE message = 'y';
SELECT mark_incident_normal(9000000000);
UPDATE anomalies SET incident_id = 9000000000 WHERE anomaly_id >= 9000000000;
SELECT mark_incident_normal(9000000000);
SELECT status FROM incidents WHERE incident_id = 9000000000;
-- Too many, and too much.
INSERT INTO normal_templates (detector, template, reason, marked_by) SELECT 'app', 'fill ' || i, 'x', 'y' FROM generate_series((SELECT count(*) FROM normal_templates) + 1, 10000) AS i;
INSERT INTO anomalies (anomaly_id, detector, message, template, anomaly_score, reason, version) VALUES (9000000004, 'app', 'z', 'one more', 1, 'rate_spike', 1);
SELECT mark_normal(anomaly_id) FROM anomalies WHERE message = 'z';
\echo :LAST_ERROR_SQLSTATE
SELECT unmark_normal('app', 'fill 9999');
SELECT mark_normal(anomaly_id) FROM anomalies WHERE message = 'z';
DELETE FROM normal_templates WHERE template LIKE 'fill%';
INSERT INTO normal_templates (detector, template, reason, marked_by) SELECT 'app', i || repeat('x', 1 << 20), 'x', 'y' FROM generate_series(1, 16) AS i;
UPDATE anomalies SET template = 'and more' WHERE message = 'z';
SELECT mark_normal(anomaly_id) FROM anomalies WHERE message = 'z';
DELETE FROM normal_templates WHERE length(template) > 8192;
-- What flagged it stands beside the mark; without message there is a mark of nothing.
UPDATE anomalies SET template = 'one more', reason = 'unseen_template' WHERE message = 'z';
SELECT mark_normal(anomaly_id) FROM anomalies WHERE message = 'z';
UPDATE anomalies SET reason = 'rate_spike' WHERE message = 'z';
SELECT mark_normal(anomaly_id) FROM anomalies WHERE message = 'z';
SELECT template, reason FROM normal_templates WHERE template = 'one more' ORDER BY reason;
SELECT unmark_normal('app', 'one more'), (SELECT count(*) FROM detect('app', 'one more') WHERE is_anomaly) AS before;
SELECT count(*) FROM detect('app', 'one more') WHERE is_anomaly;
-- The silence of a component has no template.
UPDATE anomalies SET reason = 'rate_drop', template = 'silence of component cron' WHERE message = 'z';
SELECT mark_normal(anomaly_id) FROM anomalies WHERE message = 'z';
DELETE FROM anomalies WHERE message = 'z';
INSERT INTO app VALUES ('2026-02-02', 'ERROR', 'cron', NULL);
SELECT mark_normal(anomaly_id) = '' AS of_nothing FROM anomalies WHERE message IS NULL;
SELECT reason FROM detect('app', NULL, 'ERROR');

-- Messages as they are, and the preset seed: a mark is one message ---------------------------------------------------
CREATE TABLE plain (LIKE app);
INSERT INTO plain SELECT * FROM app WHERE ts < '2026-01-02';
SELECT create_detector('plain', 'plain', options => '{"vectorizer": {"masks": false}}') > 0 AS made, create_detector('seed', 'plain', options => '{"preset": "seed"}') > 0 AS made;
SELECT train('plain'), train('seed');
SELECT watch('plain'), watch('seed');
INSERT INTO plain VALUES ('2026-01-05', 'INFO', 'kernel', 'sda1 is full'), ('2026-01-05', 'ERROR', 'kernel', 'sda 7 failed');
SELECT detector, reason, mark_normal(anomaly_id) FROM anomalies WHERE detector <> 'app' ORDER BY 1, 3;
SELECT d, message, level, reason FROM unnest(ARRAY['plain', 'seed']) AS d, (VALUES ('sda1 is full', 'INFO'), ('sdb1 is full', 'INFO'), ('sda 7 failed', 'ERROR'), ('sda 8 failed', 'ERROR')) AS v (message, level), detect(d, message, level) ORDER BY 1, 2;
SELECT count(*) FILTER (WHERE is_anomaly) AS flagged FROM log_timeline('seed', '2026-01-05');

-- A detector's marks are its own; renamed they stay, dropped they go -------------------------------------------------
SELECT reason FROM detect('app', 'sda1 is full');
SELECT unwatch('plain'), alter_detector('plain', new_name => 'renamed');
SELECT detector, count(*) FROM normal_templates GROUP BY 1 ORDER BY 1;
SELECT reason FROM detect('renamed', 'sda1 is full');
SELECT drop_detector('renamed'), drop_detector('seed');
SELECT DISTINCT detector FROM normal_templates;

-- Two versions ------------------------------------------------------------------------------------------------------
TRUNCATE app, plain;
SELECT drop_detector('app');
DELETE FROM anomalies; DELETE FROM incidents;
INSERT INTO app SELECT '2026-01-01'::timestamptz + n * interval '10 s', 'INFO', 'shop', format((ARRAY['order %s received', 'order %s paid', 'order %s shipped'])[n % 3 + 1], n) FROM generate_series(1, 900) AS n;
INSERT INTO app SELECT '2026-01-02'::timestamptz + n * interval '10 s', (ARRAY['INFO', 'WARN'])[n % 2 + 1], 'stock', format('shelf %s refilled', n) FROM generate_series(1, 9) AS n;
INSERT INTO app VALUES ('2026-01-02 01:00', NULL, NULL, 'clock set back'), ('2026-01-02 01:00', NULL, NULL, 'clock set back'), ('2026-01-02 01:00', 'ERROR', NULL, 'clock set back'), ('2026-01-02 01:00', 'INFO', 'shop', 'new to both');
SELECT create_detector('app', 'app', options => '{"severity_override": "never"}') > 0 AS made;
SELECT train('app', until => '2026-01-02');
SELECT train('app', until => '2026-01-02 00:59', activate => false);
SELECT train('app');
SELECT message, level, component, rows, anomaly_a AS a, anomaly_b AS b, round(score_a::numeric, 2) AS score_a, round(score_b::numeric, 2) AS score_b FROM compare_models('app', 1, 2);
SELECT message, level, component, rows, anomaly_a AS a, anomaly_b AS b, round(score_a::numeric, 2) AS score_a, round(score_b::numeric, 2) AS score_b FROM compare_models('app', 2, 3);
-- The other way round, a range, the same twice, and what is marked.
SELECT message, level, rows, anomaly_a AS a, anomaly_b AS b FROM compare_models('app', 3, 1, since => '2026-01-02 00:01', until => '2026-01-02 00:59');
SELECT count(*) FROM compare_models('app', 1, 1);
INSERT INTO anomalies (detector, message, template, anomaly_score, reason, version) VALUES ('app', 'm', 'shelf <*> refilled', 1, 'unseen_template', 1);
SELECT mark_normal(anomaly_id) FROM anomalies;
SELECT message, level, rows FROM compare_models('app', 1, 3);
-- It is what log_timeline says with one version and the other active.
SELECT unmark_normal('app', 'shelf <*> refilled');
SELECT activate_model('app', 1);
CREATE TABLE of_1 AS SELECT ts, level, component, message, is_anomaly, anomaly_score FROM log_timeline('app');
SELECT activate_model('app', 3);
CREATE TABLE of_3 AS SELECT ts, level, component, message, is_anomaly, anomaly_score FROM log_timeline('app');
SELECT (SELECT sum(rows) FROM compare_models('app', 1, 3)) AS compared, count(*) AS differ
FROM (SELECT DISTINCT ON (ts, level, message) * FROM of_1) AS a JOIN of_3 AS b USING (ts, message) WHERE a.level IS NOT DISTINCT FROM b.level AND a.is_anomaly <> b.is_anomaly;
SELECT * FROM compare_models('app', 1, 7);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM compare_models('nobody', 1, 2);
SELECT create_detector('fresh', 'app') > 0 AS made;
SELECT * FROM compare_models('fresh', 1, 2);
SELECT * FROM compare_models('app', NULL, 1);
SELECT count(*) FROM compare_models(NULL, 1, 2);
-- More kinds than are told apart.
TRUNCATE app;
INSERT INTO app SELECT '2026-01-02'::timestamptz + n * interval '1 s', 'INFO', 'component ' || n, 'shelf 5 refilled' FROM generate_series(1, 10003) AS n;
SELECT count(*), sum(rows) FROM compare_models('app', 1, 3);
SELECT drop_detector('app'), drop_detector('fresh');
DROP VIEW found;
DROP TABLE app, plain, of_1, of_3;
