-- Suppressions: rules that hide incidents or keep lines from training; they are refused where they cannot be right, end by the clock, and can be
-- tried beforehand.
SET search_path = public, logintel;
SET timezone = 'UTC';
SET datestyle = ISO;
CREATE TABLE app (ts timestamptz, level text, component text, message text);
INSERT INTO app
SELECT '2026-01-01'::timestamptz + n * interval '10 s', 'INFO', 'sshd',
       format((ARRAY['Accepted password for user from 10.0.0.%s port %s ssh2', 'Connection closed by 10.0.0.%s [preauth] after %s s'])[n % 2 + 1], n % 200, 1000 + n)
FROM generate_series(1, 1000) AS n;
SELECT create_detector('app', 'app', options => '{"rates": false}') > 0 AS made;
SELECT train('app');
SELECT watch('app');
-- Incidents an hour apart, each of a kind of its own, the last one of two components.
INSERT INTO app SELECT '2026-01-02'::timestamptz + hour * interval '1 hour' + n * interval '1 s', level, component, format(message, (ARRAY['sda', 'sdb', 'sdc'])[n])
FROM (VALUES (1, 'ERROR', 'disk', 'disk %s is full'), (2, 'error', 'disk', 'disk %s of rack 7 is full'), (3, 'ERROR', 'mail', 'mail of 7 bytes lost in %s'),
             (4, 'WARN', 'mail', 'mail queue %s is long'), (5, 'FATAL', NULL, 'out of memory in %s'), (6, 'ERROR', 'disk', 'disk %s by the door is full'),
             (6, '[Warn]', 'mail', 'mail queue %s by the door is long')) AS v (hour, level, component, message), generate_series(1, 3) AS n;
CALL run_maintenance();
SELECT to_char(start_time, 'HH24:MI') AS at, event_count AS events, components, levels, is_suppressed FROM incidents ORDER BY start_time;
SELECT component, level, template, count(*) FROM anomalies GROUP BY 1, 2, 3 ORDER BY component COLLATE "C", level COLLATE "C", template COLLATE "C";

-- Each field alone, and some together: what a rule hides, what its preview says, and that its end undoes it. ----------
CREATE FUNCTION try(fields jsonb, OUT hidden text, OUT anomalies bigint, OUT incidents bigint) LANGUAGE plpgsql AS $$
DECLARE
    rule bigint;
BEGIN
    INSERT INTO suppressions (name, detector, component, level, template, message_pattern, min_count, since, until)
    SELECT r.name, r.detector, r.component, r.level, r.template, r.message_pattern, r.min_count, r.since, r.until
    FROM jsonb_populate_record(NULL::suppressions, fields) AS r RETURNING suppression_id INTO rule;
    CALL run_maintenance();
    SELECT string_agg(to_char(start_time, 'HH24'), ' ' ORDER BY start_time) INTO hidden FROM logintel.incidents WHERE is_suppressed;
    SELECT p.* INTO anomalies, incidents FROM suppression_preview(rule) AS p;
    DELETE FROM suppressions WHERE suppression_id = rule;
    CALL run_maintenance();
    ASSERT NOT EXISTS (SELECT FROM logintel.incidents WHERE is_suppressed OR suppressed_by IS NOT NULL), 'still hidden';
END $$;
SELECT rule, try.* FROM (VALUES
    ('{"detector": "app", "min_count": 100}'), ('{"detector": "app", "since": "2026-01-02 02:30", "until": "2026-01-02 05:30"}'), ('{"component": "disk"}'), ('{"component": "Disk"}'), ('{"level": "error"}'), ('{"level": "err"}'), ('{"level": "WARN"}'),
    ('{"template": "disk <*> is full"}'), ('{"template": "disk sda is full"}'), ('{"template": "<*> <*> is <*>"}'),
    ('{"message_pattern": "full"}'), ('{"message_pattern": "^full"}'), ('{"message_pattern": "(?i)\\bMEMORY\\b"}'), ('{"message_pattern": "sd[ab]"}'),
    ('{"component": "disk", "level": "ERROR", "template": "disk <*> is full", "message_pattern": "is full$"}'), ('{"component": "mail", "level": "ERROR"}'),
    ('{"component": "disk", "min_count": 3}'), ('{"component": "disk", "min_count": 4}'),
    ('{"component": "disk", "since": "2026-01-02 02:00", "until": "2026-01-02 07:00"}'), ('{"component": "disk", "until": "2026-01-02 01:00:03"}'), ('{"component": "disk", "until": "2026-01-02 01:00:04"}'),
    ('{"component": "disk", "since": "2030-01-01"}')) AS v (rule), try(rule::jsonb);

-- Against plain SQL: every combination of some values.
-- One without any has times that hold them all.
INSERT INTO suppressions (detector, component, level, message_pattern, min_count, since, until)
SELECT 'app', c, l, p, m, '2026-01-01', '2026-02-01'
FROM unnest(ARRAY[NULL, 'disk', 'mail']) AS c, unnest(ARRAY[NULL, 'ERROR', 'WARN']) AS l, unnest(ARRAY[NULL, 'full', 'sd[ab]']) AS p, unnest(ARRAY[NULL, 3, 4]) AS m;
CREATE VIEW matching AS
SELECT s.suppression_id, s.min_count, a.anomaly_id, a.incident_id, a.weight, a.ts,
       coalesce(a.component = s.component, s.component IS NULL) AND coalesce(lower(btrim(a.level, '[]')) = lower(s.level), s.level IS NULL)
       AND coalesce(a.message ~ s.message_pattern, s.message_pattern IS NULL) AS matches
FROM suppressions AS s JOIN anomalies AS a USING (detector);
CREATE VIEW hiding AS
SELECT suppression_id, incident_id FROM matching WHERE incident_id IS NOT NULL GROUP BY suppression_id, incident_id, min_count
HAVING bool_and(matches) FILTER (WHERE weight > 0) AND coalesce(sum(greatest(weight, 1)) FILTER (WHERE matches) < min_count, true);
SELECT count(*) AS rules, count(DISTINCT (p.anomalies, p.incidents)) > 5 AS differ, bool_and(p.anomalies = o.anomalies AND p.incidents = o.incidents) AS same
FROM suppressions AS s, suppression_preview(suppression_id) AS p,
     LATERAL (SELECT (SELECT count(*) FROM matching AS m WHERE m.suppression_id = s.suppression_id AND m.matches) AS anomalies,
                     (SELECT count(*) FROM hiding AS h WHERE h.suppression_id = s.suppression_id) AS incidents) AS o;
-- All of them at once hide what any of them hides; named is the first.
CALL run_maintenance();
SELECT count(*) AS incidents, count(*) FILTER (WHERE is_suppressed) AS hidden,
       bool_and(suppressed_by IS NOT DISTINCT FROM 'suppression ' || (SELECT min(suppression_id) FROM hiding AS h WHERE h.incident_id = i.incident_id)) AS same FROM incidents AS i;
DELETE FROM suppressions;
DROP VIEW hiding, matching;
CALL run_maintenance();
SELECT count(*) FILTER (WHERE is_suppressed) AS hidden FROM incidents;

-- The range of a preview is half open, and the rule's own where none is given; whether it has ended does not matter. -----
INSERT INTO suppressions (name, detector, component, since, expires_at) VALUES ('full disks', 'app', 'disk', '2030-01-01', now() + interval '1 hour') RETURNING suppression_id AS id \gset
SELECT 'its own' AS range, p.* FROM suppression_preview(:id) AS p
UNION ALL SELECT 'all', p.* FROM suppression_preview(:id, since => '-infinity') AS p
UNION ALL SELECT 'up to the second', p.* FROM suppression_preview(:id, until => '2026-01-02 01:00:02') AS p
UNION ALL SELECT 'from the second', p.* FROM suppression_preview(:id, since => '2026-01-02 01:00:02', until => '2026-01-02 02:00') AS p
UNION ALL SELECT 'none', p.* FROM suppression_preview(:id, '2026-01-03') AS p;
UPDATE suppressions SET expires_at = now() - interval '1 day';
SELECT * FROM suppression_preview(:id);
SELECT * FROM suppression_preview(NULL);

-- Life of a rule --------------------------------------------------------------------------------------------------
CREATE VIEW hidden AS SELECT to_char(start_time, 'HH24') AS at, status, suppressed_by FROM incidents WHERE is_suppressed OR suppressed_by IS NOT NULL ORDER BY start_time;
CALL run_maintenance();
TABLE hidden;
UPDATE suppressions SET since = NULL, expires_at = now() + interval '1 hour';
CALL run_maintenance();
TABLE hidden;
SELECT is_suppressed, incidents FROM incident_summary_v ORDER BY 1;
SELECT component, incidents, open_incidents FROM component_health_v WHERE detector = 'app' ORDER BY 1;
-- A tick without change touches nothing.
CREATE TABLE before AS SELECT * FROM incidents;
CALL run_maintenance();
SELECT count(*) AS changed FROM (TABLE incidents EXCEPT TABLE before) AS x;
-- What comes in is judged at once: another of the same is hidden with the rest, something else shows it again.
INSERT INTO app VALUES ('2026-01-02 01:01', 'ERROR', 'disk', 'disk sdd is full'), ('2026-01-02 02:01', 'ERROR', 'net', 'link eth0 is down');
CALL run_maintenance();
TABLE hidden;
SELECT to_char(start_time, 'HH24') AS at, event_count FROM incidents WHERE start_time < '2026-01-02 03:00' ORDER BY 1;
-- Each anomaly is silenced on its own: two rules hide what neither hides alone, and both are named; one that does so alone goes first.
INSERT INTO suppressions (name, detector, component) VALUES ('the net', 'app', 'net'), ('long queues', 'app', 'mail');
CALL run_maintenance();
TABLE hidden;
INSERT INTO suppressions (name, detector, message_pattern) VALUES ('all that is', 'app', ' is ');
CALL run_maintenance();
TABLE hidden;
-- The rules before it end, one by the clock.
UPDATE suppressions SET expires_at = now() WHERE name = 'full disks';
DELETE FROM suppressions WHERE name IN ('the net', 'long queues');
CALL run_maintenance();
TABLE hidden;
-- What somebody has resolved is done; what somebody works on is judged.
UPDATE incidents SET status = 'resolved' WHERE start_time < '2026-01-02 02:00';
UPDATE incidents SET status = 'acknowledged' WHERE start_time BETWEEN '2026-01-02 02:00' AND '2026-01-02 03:00';
-- What is resolved is hidden no more, and not counted.
SELECT p.*, (SELECT count(*) FROM incidents WHERE status = 'resolved') AS resolved FROM suppressions AS s, suppression_preview(suppression_id) AS p WHERE s.name = 'all that is';
UPDATE suppressions SET hide = false, exclude_from_training = true WHERE name = 'all that is';
CALL run_maintenance();
TABLE hidden;
-- min_count: it grows, and is shown.
DELETE FROM suppressions;
INSERT INTO suppressions (name, detector, template, min_count, comment) VALUES ('a few', 'app', 'out of memory in <*>', 5, 'until the new machines come') RETURNING created_by = current_user AS by_me, created_at = now() AS now, expires_at - now() AS lasts;
CALL run_maintenance();
TABLE hidden;
INSERT INTO app SELECT '2026-01-02 05:01', 'FATAL', NULL, 'out of memory in sdd';
CALL run_maintenance();
TABLE hidden;
INSERT INTO app SELECT '2026-01-02 05:02', 'FATAL', NULL, 'out of memory in sde';
CALL run_maintenance();
TABLE hidden;
-- A rename keeps the rules.
SELECT unwatch('app');
SELECT alter_detector('app', new_name => 'renamed');
UPDATE suppressions SET min_count = NULL;
CALL run_maintenance();
SELECT detector, hidden.* FROM suppressions, hidden;
SELECT alter_detector('renamed', new_name => 'app');
SELECT watch('app');
-- For all detectors, as far as they are there.
DELETE FROM suppressions;
INSERT INTO suppressions (message_pattern) VALUES ('memory') RETURNING suppression_id AS id \gset
INSERT INTO logintel.logs (ts, level, message) VALUES ('2026-01-05', 'ERROR', 'memory'), ('2026-01-05', 'ERROR', 'memory');
CALL run_maintenance();
SELECT detector, suppressed_by = 'suppression ' || :id AS named FROM incidents WHERE is_suppressed ORDER BY 1, 2;
SELECT * FROM suppression_preview(:id);
SELECT detector, count(*) FROM applied_suppressions GROUP BY 1 ORDER BY 1;
-- 90 days after its end a rule goes; the incident does not.
UPDATE suppressions SET expires_at = now() - interval '89 days';
CALL run_maintenance();
SELECT count(*) AS rules, (SELECT count(*) FROM hidden WHERE status <> 'resolved') AS hidden, (SELECT count(*) FROM applied_suppressions) AS applied FROM suppressions;
UPDATE suppressions SET expires_at = now() - interval '91 days';
CALL run_maintenance();
SELECT count(*) AS rules FROM suppressions;
-- A rule that this version cannot use has no effect, and does not keep the others from theirs.
INSERT INTO suppressions (name, message_pattern, detector, created_at) VALUES ('broken', '(', 'app', '2026-01-01');
INSERT INTO suppressions (name, message_pattern, detector) VALUES ('whole', 'memory', 'app');
CALL run_maintenance();
TABLE hidden;
DELETE FROM suppressions;
DELETE FROM anomalies; DELETE FROM incidents;

-- The seed's preset has its own rules, which come first. ---------------------------------------------------------------
CREATE TABLE old (LIKE app);
SELECT create_detector('old', 'old', options => '{"preset": "seed"}') > 0 AS made;
INSERT INTO anomalies (detector, ts, level, component, message, template, anomaly_score, reason)
SELECT 'old', '2026-01-02'::timestamptz + h * interval '1 hour', 'ERROR', 'dn', 'block lost', 'block lost', 1, 'ERROR_level' FROM unnest(ARRAY[1, 1, 2, 2, 2]) AS h;
CALL run_maintenance();
TABLE hidden;
INSERT INTO suppressions (name, detector, template) VALUES ('lost', 'old', 'block lost');
CALL run_maintenance();
TABLE hidden;
DELETE FROM suppressions;
CALL run_maintenance();
TABLE hidden;
SELECT drop_detector('old');
DROP TABLE old;
CALL run_maintenance();

-- What training leaves out stays strange ----------------------------------------------------------------------------
INSERT INTO app SELECT '2026-01-03'::timestamptz + n * interval '1 s', 'INFO', 'scan', format('Invalid user %s from 10.0.0.%s', (ARRAY['guest', 'test', 'oracle', 'ftp', 'www', 'mysql'])[n % 6 + 1], n) FROM generate_series(1, 600) AS n;
INSERT INTO app SELECT '2026-01-03'::timestamptz + n * interval '1 s', 'INFO', 'cron', format('job %s began', n) FROM generate_series(1, 600) AS n;
SELECT train('app', until => '2026-01-04', activate => false) AS learnt \gset
SELECT activate_model('app', :learnt);
SELECT message, reason FROM (VALUES ('Invalid user guest from 10.9.9.9'), ('job 7001 began')) AS v (message), detect('app', message, 'INFO', 'scan');
INSERT INTO suppressions (detector, template, hide, exclude_from_training) VALUES ('app', 'Invalid user <*> from <*>', false, true);
SELECT train('app', until => '2026-01-04');
SELECT message, reason LIKE 'normal%' AS is_normal FROM (VALUES ('Invalid user guest from 10.9.9.9'), ('job 7001 began')) AS v (message), detect('app', message, 'INFO', 'scan');
SELECT count(*) FILTER (WHERE template LIKE 'Invalid%') AS excluded, count(*) FILTER (WHERE template LIKE 'job%') AS learnt FROM log_timeline('app', '2026-01-03', '2026-01-04') WHERE NOT is_anomaly;
-- By component, level, pattern and times; each leaves out what it matches and no more.
CREATE FUNCTION left_out(fields jsonb, OUT rows bigint, OUT expected bigint, condition text) LANGUAGE plpgsql AS $$
DECLARE
    total bigint := (SELECT count(*) FROM app WHERE ts < '2026-01-04');
    learnt int;
BEGIN
    DELETE FROM suppressions;
    INSERT INTO suppressions (detector, component, level, template, message_pattern, since, until, hide, exclude_from_training)
    SELECT 'app', r.component, r.level, r.template, r.message_pattern, r.since, r.until, false, true FROM jsonb_populate_record(NULL::suppressions, fields) AS r;
    SET LOCAL client_min_messages = warning;
    learnt := train('app', until => '2026-01-04');
    SELECT total - training_rows INTO rows FROM models WHERE detector = 'app' AND version = learnt;
    EXECUTE 'SELECT count(*) FROM app WHERE ts < ''2026-01-04'' AND ' || condition INTO expected;
END $$;
SELECT rule, left_out.* FROM (VALUES
    ('{"component": "scan"}', 'component = ''scan'''), ('{"level": "info", "since": "2026-01-03"}', 'level = ''INFO'' AND ts >= ''2026-01-03'''), ('{"message_pattern": "^job \\d{3} "}', 'message ~ ''^job \d{3} '''),
    ('{"template": "job <*> began"}', 'message ~ ''^job \d+ began$'''), ('{"template": "Invalid user ftp from <*>"}', 'message LIKE ''% ftp %'''),
    ('{"component": "cron", "since": "2026-01-03 00:00:10", "until": "2026-01-03 00:01"}', 'component = ''cron'' AND ts >= ''2026-01-03 00:00:10'' AND ts < ''2026-01-03 00:01''')
    ) AS v (rule, condition), left_out(rule::jsonb, condition);
-- One that has ended leaves out nothing; one that leaves out all leaves nothing.
UPDATE suppressions SET expires_at = now();
SELECT train('app', until => '2026-01-04') > 0 AS trained;
DELETE FROM suppressions;
INSERT INTO suppressions (detector, since, until, hide, exclude_from_training) VALUES ('app', '2025-01-01', '2027-01-01', false, true);
SELECT train('app', until => '2026-01-04');
DELETE FROM suppressions;

-- What cannot be right is refused ------------------------------------------------------------------------------------
CREATE FUNCTION refused(sql text, OUT state text, OUT message text, OUT detail text, OUT hint text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE sql;
    message := 'NOT REFUSED';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
END $$;
\x on
SELECT columns, vals, r.* FROM (VALUES
    ('comment', '''nothing'''), ('detector', '''app'''), ('detector, until', '''app'', ''2026-01-05'''), ('since, until', '''2026-01-05'', ''2026-01-06'''), ('detector', '''nowhere'''), ('detector, hide', '''app'', false'), ('detector, message_pattern', '''app'', ''('''),
    ('detector, message_pattern', '''app'', ''(?=x)'''), ('detector, message_pattern', '''app'', ''(\w{90}){90}'''), ('detector, message_pattern', '''app'', repeat(''x'', 1001)'), ('detector, message_pattern', '''app'', '''''), ('detector, message_pattern', '''app'', ''x*'''),
    ('detector, component', '''app'', '''''), ('detector, level', '''app'', '''''), ('detector, template', '''app'', '' <*> '''), ('detector, min_count', '''app'', 1'),
    ('component', 'repeat(''x'', 257)'), ('template', 'repeat(''x'', 8193)'), ('detector, name', '''app'', ''  '''), ('detector, min_count', '''app'', 0'),
    ('detector, since, until', '''app'', ''2026-01-01'', ''2026-01-01'''), ('detector, since', '''app'', ''infinity'''),
    ('detector, expires_at', '''app'', now()'), ('detector, expires_at', '''app'', ''infinity'''), ('detector, expires_at', '''app'', NULL')) AS v (columns, vals),
    refused(format('INSERT INTO suppressions (%s) VALUES (%s)', columns, vals)) AS r;
\x off
INSERT INTO suppressions (detector, level) SELECT 'app', 'l' || n FROM generate_series(1, 100) AS n;
SELECT state, message, hint FROM refused($$INSERT INTO suppressions (detector, level) VALUES ('app', 'one too many')$$);
-- Those of another detector, of all, and those that have ended, are counted by themselves; a change is none more.
INSERT INTO suppressions (detector, level) VALUES ('logs', 'x'), (NULL, 'x');
UPDATE suppressions SET comment = 'the same' WHERE detector = 'app';
UPDATE suppressions SET expires_at = now() WHERE level = 'l1';
INSERT INTO suppressions (detector, level) VALUES ('app', 'another');
SELECT state FROM refused($$UPDATE suppressions SET expires_at = now() + interval '1 hour' WHERE level = 'l1'$$);
SELECT state, message FROM refused($$UPDATE suppressions SET message_pattern = '[' WHERE level = 'l2'$$);
-- As psql shows it: no lines about functions that nobody has called.
INSERT INTO suppressions (detector, comment) VALUES ('app', 'be quiet');
UPDATE suppressions SET level = NULL WHERE level = 'l2';
-- One that is being ended may say what it likes.
UPDATE suppressions SET level = NULL, expires_at = now() WHERE level = 'l2';
SELECT * FROM suppression_preview(0);
CALL run_maintenance();
SELECT drop_detector('app');
SELECT detector FROM suppressions;
DELETE FROM suppressions;
CALL run_maintenance();
SELECT count(*) FROM applied_suppressions;
DELETE FROM anomalies; DELETE FROM incidents;
TRUNCATE logintel.logs;
DROP VIEW hidden;
DROP FUNCTION try, left_out, refused;
DROP TABLE app, before;
