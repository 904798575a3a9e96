-- Profiles: a limit of its own for each component and level with rows enough. Who has one, who decides, and what is said of short histories.
SET search_path = public, logintel;
SET client_min_messages = warning;
SET timezone = 'UTC';

-- The mailer writes four messages; of the kernel's lines every twentieth is new; the shop has few lines, and its warnings are fewer.
CREATE TABLE service_log (ts timestamptz, level text, component text, source text, message text);
CREATE FUNCTION words(n int) RETURNS text LANGUAGE sql IMMUTABLE
RETURN regexp_replace(left(translate(md5(n::text), '0123456789', 'ghijklmnop'), 12 + n % 21), '(...)', '\1 ', 'g');
INSERT INTO service_log
SELECT timestamptz '2026-01-01Z' + n * interval '1 minute', 'INFO', 'mailer', 'host ' || n % 2,
       (ARRAY['mail taken from the queue', 'mail sent', 'queue is empty', 'mail sent after one more attempt'])[n % 4 + 1]
FROM generate_series(1, 2000) AS n
UNION ALL
SELECT timestamptz '2026-01-01Z' + n * interval '1 minute', 'INFO', 'kernel', 'host ' || n % 2,
       CASE n % 20 WHEN 0 THEN words(n) ELSE (ARRAY['device is ready', 'link is up', 'cpu clock throttled'])[n % 3 + 1] END
FROM generate_series(1, 3000) AS n
UNION ALL
SELECT timestamptz '2026-01-01Z' + n * interval '1 minute', CASE n % 10 WHEN 0 THEN 'WARN' ELSE 'INFO' END, 'shop', NULL, 'order shipped'
FROM generate_series(1, 300) AS n;
SELECT create_detector('service', 'service_log', options => '{"vectorizer": {"masks": false}}') > 0 AS made;
SELECT train('service');
SELECT profile_id, profile, rows, calibration_rows, round(threshold::numeric, 1) AS threshold, flagged_share FROM model_profiles WHERE detector = 'service' ORDER BY profile_id;
-- Every row belongs to one.
SELECT training_rows, calibration_rows, training_rows = (SELECT sum(rows) FROM model_profiles WHERE detector = 'service') AS all_of_them,
       threshold = (SELECT threshold FROM model_profiles WHERE detector = 'service' AND profile = '{}') AS of_the_rest, training_sessions, calibration_sessions, session_threshold, session_flagged_share
FROM models WHERE detector = 'service';

-- One line, for each of them: the kernel's own are newer than that. At a level that is rare in a component, the component decides.
CREATE TABLE asked (id int, component text, level text, message text);
INSERT INTO asked VALUES
    (1, 'mailer', 'INFO', 'mail sent after two more attempts'), (2, 'kernel', 'INFO', 'mail sent after two more attempts'), (3, 'shop', 'INFO', 'mail sent after two more attempts'), (4, NULL, NULL, 'mail sent after two more attempts'),
    (5, 'mailer', 'INFO', 'mail sent'), (6, 'kernel', 'INFO', 'mail sent'), (7, 'mailer', 'INFO', 'link is up'), (8, 'mailer', 'WARN', 'link is up'), (9, 'shop', 'WARN', 'link is up'), (10, 'mailer', 'ERROR', 'link is up'), (11, 'mailer', 'WARN', 'mail sent'), (12, 'courier', 'INFO', 'link is up'), (13, 'courier', 'INFO', 'parcel lost');
SELECT id, component, level, message, is_anomaly, round(anomaly_score::numeric, 3) AS score, reason FROM asked, detect('service', message, level, component) ORDER BY id;
SELECT id, e.kind, e.term, e.detail FROM asked, anomaly_explain('service', message, level, component) AS e WHERE id IN (1, 2, 3, 7, 8) AND e.kind IN ('rule', 'threshold') ORDER BY id, e.kind, e.term COLLATE "C";
-- What training saw is ordinary, as often as it is new.
SELECT component, count(*) AS rows, count(*) FILTER (WHERE is_anomaly) AS flagged FROM log_timeline('service') GROUP BY component ORDER BY component;
-- What comes in is judged the same way.
SELECT watch('service');
INSERT INTO service_log SELECT '2026-02-01', level, component, NULL, message FROM asked;
SELECT component, level, message, reason FROM anomalies WHERE detector = 'service' ORDER BY anomaly_id;
SELECT unwatch('service');
DELETE FROM service_log WHERE ts >= '2026-02-01';

-- Other columns, none, and the prototype, which had none.
CREATE FUNCTION profiles_with(options jsonb) RETURNS TABLE (profile jsonb, rows bigint) LANGUAGE plpgsql AS $$
DECLARE
    trained int;
BEGIN
    PERFORM alter_detector('service', options);
    trained := train('service');
    RETURN QUERY SELECT p.profile, p.rows FROM model_profiles AS p WHERE p.detector = 'service' AND p.version = trained ORDER BY p.profile_id;
END $$;
SELECT options, p.* FROM unnest(ARRAY['{"profiles": ["source"]}', '{"profiles": ["level", "component"], "false_alarm_rate": 0.05}', '{"profiles": ["source", "component", "level"]}', '{"profiles": []}', '{"preset": "seed"}']::jsonb[]) WITH ORDINALITY AS o (options, at), profiles_with(options) AS p ORDER BY at, p.rows DESC, p.profile::text COLLATE "C";

-- A history that is too short says so, for lines and for sessions.
CREATE TABLE visit_log (ts timestamptz, session_id int, message text);
INSERT INTO visit_log SELECT timestamptz '2026-01-01Z' + n * interval '1 hour' + step * interval '1 second', n, (ARRAY['came', 'looked', 'left'])[step] FROM generate_series(1, 30) AS n, generate_series(1, 3) AS step;
SELECT create_detector('visits', 'visit_log') > 0 AS made;
SELECT train('visits');
SELECT training_rows, calibration_rows, training_sessions, calibration_sessions, session_threshold > 0 AS has_threshold, session_flagged_share FROM models WHERE detector = 'visits';
SELECT alter_detector('visits', '{"false_alarm_rate": 0.1, "session_false_alarm_rate": 0.1}');
SELECT train('visits');

-- They go with their model.
SELECT drop_detector('service'), drop_detector('visits');
SELECT count(*) AS left_over FROM model_profiles;
