-- The life of incidents: founded, acknowledged, resolved, back again; who did it, and who is told.
SET search_path = public, logintel;
SET timezone = 'UTC';
SET datestyle = ISO;
DELETE FROM alerts;
-- Numbers that are shown below.
SELECT setval('incidents_incident_id_seq', 1000000);
CREATE ROLE life_ann IN ROLE logintel_admin;
CREATE TABLE app (ts timestamptz, level text, component text, message text);
SELECT create_detector('app', 'app') > 0 AS made;
SELECT watch('app');
CREATE VIEW seen AS
SELECT dense_rank() OVER (ORDER BY start_time, incident_id) AS n, status, to_char(start_time, 'DD HH24:MI') AS start, to_char(end_time, 'DD HH24:MI') AS "end", event_count AS events, is_held AS held, title
FROM incidents ORDER BY start_time, incident_id;
CREATE VIEW told AS
SELECT e.actor, e.event, e.from_status AS "from", e.to_status AS "to", e.note FROM incident_events AS e ORDER BY e.event_id;
CREATE VIEW alerted AS SELECT status, event, is_notified FROM alerts ORDER BY alert_id;
CREATE FUNCTION lines(at timestamptz, message text DEFAULT 'disk full', component text DEFAULT 'db', times int DEFAULT 2) RETURNS void LANGUAGE sql AS $$
    INSERT INTO app SELECT at + n * interval '1 s', 'ERROR', component, message FROM generate_series(0, times - 1) AS n
$$;
-- The clock goes on: nothing has changed since.
CREATE FUNCTION hours_pass(hours float8) RETURNS void LANGUAGE sql AS $$
    UPDATE incidents SET updated_at = updated_at - make_interval(secs => hours * 3600);
    UPDATE incident_events SET at = at - make_interval(secs => hours * 3600);
$$;

-- By hand -----------------------------------------------------------------------------------------------------------
SELECT lines('2026-01-01 10:00');
CALL run_maintenance();
SELECT * FROM seen;
SELECT incident_id AS id FROM incidents \gset
SELECT acknowledge_incident(:id);
SET ROLE life_ann;
SELECT acknowledge_incident(:id, 'I have it, too');
SELECT reopen_incident(:id, 'no time after all');
SELECT acknowledge_incident(id => :id);
SELECT resolve_incident(:id, 'disk replaced');
RESET ROLE;
SELECT reopen_incident(:id);
SELECT resolve_incident(:id, '');
SELECT replace(actor, current_user, 'me') AS actor, event, "from", "to", note FROM told;
SELECT * FROM alerted;
SELECT bool_and(at BETWEEN now() - interval '1 minute' AND clock_timestamp()) AS on_time, bool_and(detector = 'app' AND incident_id = :id) AS is_its FROM incident_events;
-- What cannot be done.
SELECT resolve_incident(:id);
\echo :LAST_ERROR_SQLSTATE
SELECT acknowledge_incident(:id);
\echo :LAST_ERROR_SQLSTATE
SELECT reopen_incident(:id), reopen_incident(:id);
\echo :LAST_ERROR_SQLSTATE
SELECT resolve_incident(-1);
\echo :LAST_ERROR_SQLSTATE
SELECT resolve_incident(NULL);
SELECT resolve_incident(:id, repeat('x', 8193));
\echo :LAST_ERROR_SQLSTATE
-- Who is on call and may only read is told who may, and how to become one; nobody is to be made a superuser for it.
CREATE ROLE "life on call";
GRANT logintel_reader TO "life on call";
SET ROLE "life on call";
SELECT acknowledge_incident(:id);
\echo :LAST_ERROR_SQLSTATE
SELECT resolve_incident(:id);
SELECT mark_incident_normal(:id);
RESET ROLE;
CREATE TEMP TABLE owners AS SELECT owner FROM detectors WHERE name = 'app';
UPDATE detectors SET owner = 'life_ann' WHERE name = 'app';
SET ROLE "life on call";
SELECT reopen_incident(:id);
RESET ROLE;
UPDATE detectors SET owner = (SELECT owner FROM owners) WHERE name = 'app';
DROP OWNED BY "life on call";
DROP ROLE "life on call";
DROP TABLE owners;
SELECT status, (SELECT count(*) FROM incident_events) AS events FROM incidents;
-- Somebody writes by hand: it is told all the same.
SET ROLE life_ann;
UPDATE incidents SET status = 'open';
RESET ROLE;
GRANT UPDATE ON incidents TO life_ann;
CREATE POLICY life_ann ON incidents FOR UPDATE TO life_ann USING (true);
SET ROLE life_ann;
UPDATE incidents SET status = 'open';
RESET ROLE;
DROP POLICY life_ann ON incidents;
REVOKE UPDATE ON incidents FROM life_ann;
SELECT * FROM told OFFSET 7;
SELECT * FROM alerted OFFSET 5;
-- A rolled-back change never was.
BEGIN;
SELECT acknowledge_incident(:id);
ROLLBACK;
SELECT status, (SELECT count(*) FROM incident_events) AS events, (SELECT count(*) FROM alerts) AS alerts FROM incidents;

-- One of a kind is open: within an hour of the quiet that resolves it is the same, later is another -------------------
SELECT lines('2026-01-01 12:00:01');
CALL run_maintenance();
SELECT * FROM seen;
SELECT lines('2026-01-01 14:00:03');
CALL run_maintenance();
SELECT * FROM seen;
SELECT actor, event, "from", "to", note FROM told OFFSET 8;
SELECT incident_id AS second FROM incidents ORDER BY start_time DESC LIMIT 1 \gset
SELECT reopen_incident(:id);
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY terse
INSERT INTO incidents (detector, fingerprint, title, severity, severity_score, start_time, end_time, event_count, sources, components, levels, messages)
SELECT detector, fingerprint, title, severity, severity_score, start_time, end_time, event_count, sources, components, levels, messages FROM incidents WHERE status = 'open';
\set VERBOSITY default
\echo :LAST_ERROR_SQLSTATE
-- Of another kind: a component, a template.
SELECT lines('2026-01-01 15:00', component => 'web'), lines('2026-01-01 15:20', 'disk gone');
CALL run_maintenance();
SELECT * FROM seen;
SELECT count(DISTINCT fingerprint) AS kinds FROM incidents;
-- Late lines: within the incident, before it, and of a time that is over. What comes late resolves nothing and opens nothing.
SELECT resolve_incident(:id) WHERE (SELECT status FROM incidents WHERE incident_id = :id) <> 'resolved';
SELECT lines('2026-01-01 11:00'), lines('2026-01-01 09:00'), lines('2026-01-01 05:00');
CALL run_maintenance();
SELECT * FROM seen;
-- A lone line of the kind, within the hour, waits for another.
SELECT lines('2026-01-01 15:40', times => 1);
CALL run_maintenance();
SELECT count(*) AS waiting FROM anomalies WHERE incident_id IS NULL;
SELECT lines('2026-01-01 15:41', times => 1);
CALL run_maintenance();
SELECT n, events, "end" FROM seen WHERE title LIKE 'db: disk full%';

-- It comes back: what was resolved by hand, too -----------------------------------------------------------------------
SELECT resolve_incident(:second, 'fixed');
SELECT lines('2026-01-01 16:00');
CALL run_maintenance();
SELECT status, event_count FROM incidents WHERE incident_id = :second;
SELECT actor, event, from_status, to_status FROM incident_events WHERE incident_id = :second ORDER BY event_id DESC LIMIT 2;

-- Quiet resolves it: by event time and by the clock -------------------------------------------------------------------
CALL run_maintenance();
SELECT status, count(*) FROM incidents GROUP BY 1 ORDER BY 1;
SELECT acknowledge_incident(incident_id) FROM incidents WHERE title LIKE 'web%';
SELECT lines(now() - interval '30 minutes', 'still going on'), lines(now() + interval '1 year', 'a clock goes wrong');
CALL run_maintenance();
SELECT hours_pass(1.1);
CALL run_maintenance();
SELECT status, title FROM incidents WHERE status <> 'resolved' OR title LIKE 'web%' ORDER BY title;
-- It came back once within a day: it needs two hours.
SELECT status, event_count FROM incidents WHERE incident_id = :second;
SELECT hours_pass(1);
CALL run_maintenance();
SELECT status FROM incidents WHERE incident_id = :second;
SELECT actor, event, from_status, to_status, note FROM incident_events WHERE incident_id = :second ORDER BY event_id DESC LIMIT 1;
SELECT drop_detector('app');
DROP VIEW seen, told, alerted;
TRUNCATE app;
SELECT count(*) AS incidents, (SELECT count(*) FROM incident_events) AS events, (SELECT count(*) FROM alerts) AS alerts FROM incidents;

-- What flaps is held --------------------------------------------------------------------------------------------------
SELECT create_detector('app', 'app', options => '{"resolve_after": "10 minutes"}') > 0 AS made;
SELECT watch('app');
SELECT lines('2026-02-01 00:00');
CALL run_maintenance();
CREATE TABLE flaps (n int, needed interval, just_before text, then_it_is text, back text, held bool);
DO $$
DECLARE
    at timestamptz := '2026-02-01 00:00';
    needed interval := '10 minutes';
    before text;
    after text;
BEGIN
    FOR n IN 1..5 LOOP
        PERFORM hours_pass(extract(epoch FROM needed - interval '1 minute') / 3600);
        CALL logintel.run_maintenance();
        SELECT status INTO before FROM logintel.incidents;
        PERFORM hours_pass(2 / 60.0);
        CALL logintel.run_maintenance();
        SELECT status INTO after FROM logintel.incidents;
        at := at + needed + interval '59 minutes';
        PERFORM lines(at);
        CALL logintel.run_maintenance();
        INSERT INTO flaps SELECT n, needed, before, after, status, is_held FROM logintel.incidents;
        needed := needed * 2;
    END LOOP;
END $$;
SELECT * FROM flaps;
SELECT count(*) AS incidents, sum(event_count) AS events FROM incidents;
SELECT event, count(*) FROM incident_events GROUP BY 1 ORDER BY 1;
SELECT status, event, payload #>> '{alerts,0,annotations,held}' AS held FROM alerts ORDER BY alert_id;
-- A person ends the holding.
SELECT resolve_incident(incident_id) FROM incidents;
SELECT status, is_held FROM incidents;

-- Alerts have Alertmanager's shape: every key, every type ---------------------------------------------------------------
CREATE FUNCTION wrong(payload jsonb) RETURNS TABLE (key text, type text) LANGUAGE sql AS $$
    WITH keys (path, type) AS (VALUES
        ('{version}', 'string'), ('{groupKey}', 'string'), ('{truncatedAlerts}', 'number'), ('{status}', 'string'), ('{receiver}', 'string'),
        ('{groupLabels}', 'object'), ('{commonLabels}', 'object'), ('{commonAnnotations}', 'object'), ('{externalURL}', 'string'), ('{alerts}', 'array'),
        ('{alerts,0,status}', 'string'), ('{alerts,0,labels}', 'object'), ('{alerts,0,annotations}', 'object'), ('{alerts,0,startsAt}', 'string'),
        ('{alerts,0,endsAt}', 'string'), ('{alerts,0,generatorURL}', 'string'), ('{alerts,0,fingerprint}', 'string'))
    SELECT path, jsonb_typeof(payload #> path::text[]) FROM keys WHERE jsonb_typeof(payload #> path::text[]) IS DISTINCT FROM type
    UNION ALL SELECT k, 'not known' FROM jsonb_object_keys(payload) AS k WHERE format('{%s}', k) NOT IN (SELECT path FROM keys)
    UNION ALL SELECT k, 'not known' FROM jsonb_object_keys(payload #> '{alerts,0}') AS k WHERE format('{alerts,0,%s}', k) NOT IN (SELECT path FROM keys)
    UNION ALL SELECT kv.key, jsonb_typeof(kv.value) FROM (VALUES ('{groupLabels}'), ('{commonLabels}'), ('{commonAnnotations}'), ('{alerts,0,labels}'), ('{alerts,0,annotations}')) AS o (path),
        jsonb_each(payload #> path::text[]) AS kv WHERE jsonb_typeof(kv.value) <> 'string'
    UNION ALL SELECT t, payload #>> ARRAY['alerts', '0', t] FROM unnest(ARRAY['startsAt', 'endsAt']) AS t
        WHERE payload #>> ARRAY['alerts', '0', t] !~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z$'
    UNION ALL SELECT 'version', payload->>'version' WHERE payload->>'version' <> '4'
    UNION ALL SELECT 'status', payload->>'status' WHERE payload->>'status' NOT IN ('firing', 'resolved') OR payload->>'status' <> payload #>> '{alerts,0,status}'
    UNION ALL SELECT 'endsAt', payload #>> '{alerts,0,endsAt}' WHERE (payload->>'status' = 'firing') <> (payload #>> '{alerts,0,endsAt}' = '0001-01-01T00:00:00Z')
$$;
SELECT count(*) AS alerts, (SELECT count(*) FROM alerts, wrong(payload)) AS wrong FROM alerts;
SELECT * FROM wrong('{"version": 4, "alerts": [{"labels": {"a": 1}, "startsAt": "today"}], "more": null}') WHERE key IN ('{version}', 'a', 'startsAt', 'more') ORDER BY 1;
SELECT regexp_replace(regexp_replace(jsonb_pretty(payload), '("(alert_id|incident_id|fingerprint)": )"\w+"', '\1"…"', 'g'), '\d{4,}', '…', 'g') FROM alerts ORDER BY alert_id LIMIT 1;
SELECT count(DISTINCT payload #>> '{alerts,0,fingerprint}') AS fingerprints, count(DISTINCT payload #>> '{alerts,0,annotations,alert_id}') = count(*) AS has_ids FROM alerts;

-- What NOTIFY sends: under 7,900 bytes whatever the messages, cut and marked ---------------------------------------------
SELECT lines('2026-03-01', repeat('é"\' || chr(1), 2000), repeat('ü"', 200)), lines('2026-03-01 00:00:10', 'x' || repeat('ß', 4000), repeat('\', 250));
CALL run_maintenance();
SELECT octet_length(s) < 7900 AS is_short, s::jsonb->'commonAnnotations'->>'truncated' AS truncated, (SELECT count(*) FROM wrong(s::jsonb)) AS wrong,
       octet_length(a.payload::text) > 20000 AS is_whole, a.payload->'commonAnnotations'->>'truncated' AS whole_truncated
FROM alerts AS a JOIN incidents AS i USING (incident_id),
     short_payload(i, '{"alert_id": "1"}', (SELECT jsonb_object_agg(key, value) FROM jsonb_each(a.payload->'commonAnnotations') WHERE key IN ('summary', 'description', 'components', 'origin'))) AS s
WHERE i.start_time = '2026-03-01';

-- Suppressed is not told of; over is, to who was told that it is there ------------------------------------------------------
DELETE FROM anomalies; DELETE FROM incidents; DELETE FROM alerts;
SELECT lines('2026-04-01');
CALL run_maintenance();
UPDATE incidents SET is_suppressed = true, suppressed_by = 'some rule';
SELECT lines('2026-04-01 00:01', times => 10);
CALL run_maintenance();
SELECT severity, is_suppressed FROM incidents;
UPDATE incidents SET is_suppressed = true, suppressed_by = 'some rule';
SELECT resolve_incident(incident_id) FROM incidents;
SELECT actor, event, note FROM incident_events ORDER BY event_id;
SELECT status, event FROM alerts ORDER BY alert_id;
-- Severity is told of when it rises, once.
DELETE FROM anomalies; DELETE FROM incidents; DELETE FROM alerts;
SELECT lines('2026-04-02');
CALL run_maintenance();
SELECT lines('2026-04-02 00:01', times => 5);
CALL run_maintenance();
SELECT lines('2026-04-02 00:02', times => 5);
CALL run_maintenance();
SELECT status, event, payload #>> '{alerts,0,labels,severity}' AS severity FROM alerts ORDER BY alert_id;

-- Old history: what was over before it was found is told to nobody ----------------------------------------------------------
DELETE FROM anomalies; DELETE FROM incidents; DELETE FROM alerts;
SELECT lines('2026-05-03'), lines('2026-05-02'), lines('2026-05-01');
CALL run_maintenance();
SELECT lines('2026-04-20');
CALL run_maintenance();
SELECT status, to_char(start_time, 'MM-DD') AS day FROM incidents ORDER BY start_time;
SELECT i.start_time::date AS day, array_agg(e.event ORDER BY event_id) AS events FROM incidents AS i JOIN incident_events AS e USING (incident_id) GROUP BY 1 ORDER BY 1;
SELECT i.start_time::date AS day, array_agg(a.status ORDER BY alert_id) AS alerts FROM incidents AS i JOIN alerts AS a USING (incident_id) GROUP BY 1 ORDER BY 1;

-- The same lines at once, one by one, and backwards, are the same incidents ------------------------------------------------------
SELECT unwatch('app');
DELETE FROM anomalies; DELETE FROM incidents; DELETE FROM alerts;
CREATE TABLE bursts AS
SELECT '2026-06-01'::timestamptz + h * interval '1 minute' AS at, c AS component
FROM unnest(ARRAY[0, 70, 110, 185, 330, 445, 500, 510, 631, 752, 900, 1400], ARRAY['a', 'b', 'a', 'b', 'a', 'a', 'b', 'b', 'a', 'a', 'a', 'b']) AS t (h, c);
CREATE TABLE forwards (LIKE app); CREATE TABLE backwards (LIKE app); CREATE TABLE at_once (LIKE app);
SELECT count(create_detector(d, d::regclass)) FROM unnest(ARRAY['forwards', 'backwards', 'at_once']) AS d;
SELECT count(watch(d)) FROM unnest(ARRAY['forwards', 'backwards', 'at_once']) AS d;
INSERT INTO at_once SELECT at + n * interval '1 s', 'ERROR', component, 'm' FROM bursts, generate_series(1, 2) AS n;
CALL run_maintenance();
DO $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT * FROM public.bursts ORDER BY at LOOP
        INSERT INTO public.forwards SELECT r.at + n * interval '1 s', 'ERROR', r.component, 'm' FROM generate_series(1, 2) AS n;
        CALL logintel.run_maintenance();
    END LOOP;
    FOR r IN SELECT * FROM public.bursts ORDER BY at DESC LOOP
        INSERT INTO public.backwards SELECT r.at + n * interval '1 s', 'ERROR', r.component, 'm' FROM generate_series(1, 2) AS n;
        CALL logintel.run_maintenance();
    END LOOP;
END $$;
SELECT array_agg(detector ORDER BY detector) AS detectors, components, to_char(start_time, 'DD HH24:MI') AS start, to_char(end_time, 'DD HH24:MI') AS "end", event_count AS events, status
FROM incidents GROUP BY 2, 3, 4, 5, 6 ORDER BY start, 2;
SELECT count(drop_detector(d)) FROM unnest(ARRAY['forwards', 'backwards', 'at_once']) AS d;
DROP TABLE bursts, forwards, backwards, at_once;

-- What an incident says: origin, messages that differ, templates, rates ---------------------------------------------------------
TRUNCATE app;
DELETE FROM anomalies; DELETE FROM incidents; DELETE FROM alerts;
-- 100 minutes of history: web writes ten times as much as raid.
INSERT INTO app SELECT '2026-07-01'::timestamptz + n * interval '6 s', 'INFO', CASE n % 10 WHEN 0 THEN 'raid' ELSE 'web' END, CASE n % 10 WHEN 0 THEN 'scrub of disk ' || n || ' is done' ELSE 'page ' || n || ' served' END FROM generate_series(0, 1000) AS n;
SELECT train('app');
INSERT INTO app
SELECT '2026-07-02 12:00'::timestamptz + s * interval '1 s', l, c, m
FROM (VALUES (0.0, 'ERROR', 'web', 'upstream gone'), (2.0, 'INFO', 'raid', 'controller lost'), (4.0, 'INFO', 'raid', 'controller lost'), (6.0, 'INFO', 'new', 'later, though never seen'),
             (20.0, 'ERROR', 'web', 'upstream of user 7 gone'), (21.0, 'ERROR', 'web', 'upstream of user 8 gone'), (120.0, 'ERROR', 'web', 'page 7 served')) AS t (s, l, c, m);
SELECT score_history('app', '2026-07-02');
CALL run_maintenance();
SELECT title, origin, components, round(rate::numeric, 2) AS rate, round(baseline_rate::numeric, 2) AS baseline_rate FROM incidents;
SELECT unnest(messages) AS message FROM incidents;
SELECT template, events, round(baseline_rate::numeric, 2) AS baseline_rate, "time" FROM incident_templates ORDER BY events DESC, template;
-- Scored again, nothing changes; it keeps what people made of it.
SELECT acknowledge_incident(incident_id, 'mine') FROM incidents;
CREATE TABLE before AS SELECT to_jsonb(i) - 'updated_at' AS incident FROM incidents AS i;
SELECT score_history('app', '2026-07-02');
CALL run_maintenance();
SELECT to_jsonb(i) - 'updated_at' = before.incident AS same, (SELECT count(*) FROM incident_events) AS events, (SELECT count(*) FROM alerts) AS alerts FROM incidents AS i, before;
-- And resolved stays resolved.
SELECT resolve_incident(incident_id) FROM incidents;
SELECT score_history('app', '2026-07-02');
CALL run_maintenance();
SELECT status FROM incidents;
SELECT reopen_incident(incident_id) FROM incidents;
-- However many there are: those of one incident come back in several steps.
CREATE TABLE many (LIKE app);
INSERT INTO many SELECT '2026-07-01'::timestamptz + n * interval '1 s', 'INFO', 'web', 'page ' || n || ' served' FROM generate_series(1, 200) AS n;
SELECT create_detector('many', 'many', options => '{"rates": false}') > 0 AS made;
SELECT train('many');
INSERT INTO many SELECT '2026-07-02'::timestamptz + n * interval '1 s', 'ERROR', 'web', 'upstream gone' FROM generate_series(1, 20500) AS n;
SELECT score_history('many', '2026-07-02');
CALL run_maintenance();
SELECT incident_id AS id, event_count FROM incidents WHERE detector = 'many' \gset many_
SELECT :many_event_count AS events, resolve_incident(:many_id);
SELECT score_history('many', '2026-07-02');
CALL run_maintenance();
SELECT incident_id = :many_id AS same, status, event_count, is_stale FROM incidents WHERE detector = 'many';
SELECT drop_detector('many');
DROP TABLE many;
-- Its templates are marked: who says so, and that it is over.
SELECT mark_incident_normal(incident_id) FROM incidents;
SELECT event, from_status, to_status, note FROM incident_events ORDER BY event_id OFFSET 4;
SELECT unmark_normal('app', template) FROM normal_templates;
-- Gone from the log, it is over, and whoever was told of it is told. What people have said of it stays, with it, as it was.
SELECT reopen_incident(incident_id, 'was it the disk?') FROM incidents;
CREATE TEMP TABLE known AS SELECT * FROM incidents;
DELETE FROM app WHERE ts > '2026-07-02';
SELECT score_history('app', '2026-07-02');
CALL run_maintenance();
SELECT i.status, i.is_stale, i.messages = known.messages AND i.event_count = known.event_count AS same,
       (SELECT count(*) FROM anomalies AS a WHERE a.incident_id = i.incident_id) AS anomalies FROM incidents AS i JOIN known USING (incident_id);
SELECT actor, event, from_status, to_status, note FROM incident_events ORDER BY event_id DESC LIMIT 2;
SELECT status, event FROM alerts ORDER BY alert_id DESC LIMIT 2;
-- Its rows come back: that is another, beside it.
INSERT INTO app SELECT '2026-07-02'::timestamptz + n * interval '1 s', 'ERROR', 'web', 'upstream gone' FROM generate_series(1, 2) AS n;
SELECT score_history('app', '2026-07-02');
CALL run_maintenance();
SELECT count(*) AS incidents, count(*) FILTER (WHERE incident_id = (SELECT incident_id FROM known)) AS same FROM incidents;
DELETE FROM app WHERE ts > '2026-07-02';
DELETE FROM incidents;
-- What nobody has touched goes.
INSERT INTO app SELECT '2026-07-02'::timestamptz + n * interval '1 s', 'ERROR', 'web', 'upstream gone' FROM generate_series(1, 2) AS n;
SELECT score_history('app', '2026-07-02');
CALL run_maintenance();
SELECT count(*) AS incidents FROM incidents;
DELETE FROM app WHERE ts > '2026-07-02';
SELECT score_history('app', '2026-07-02');
CALL run_maintenance();
SELECT count(*) AS incidents, (SELECT count(*) FROM incident_events) AS events FROM incidents;
SELECT status, event FROM alerts ORDER BY alert_id DESC LIMIT 2;

-- Bounds: 200 events of each, alerts as long as the rest is kept ------------------------------------------------------------------
INSERT INTO app SELECT '2026-07-03'::timestamptz + n * interval '1 s', 'ERROR', 'web', 'upstream gone' FROM generate_series(1, 2) AS n;
SELECT score_history('app', '2026-07-03');
CALL run_maintenance();
DO $$
BEGIN
    FOR n IN 1..120 LOOP
        PERFORM logintel.acknowledge_incident(incident_id, n::text), logintel.reopen_incident(incident_id) FROM logintel.incidents;
    END LOOP;
END $$;
SELECT count(*), max(note::int) FROM incident_events;
SELECT alter_detector('app', '{"retention": "1 hour", "resolve_after": "10 days"}');
UPDATE alerts SET created_at = now() - interval '2 hours' WHERE event = 'acknowledged';
UPDATE incidents SET updated_at = now() - interval '2 hours';
CALL run_maintenance();
SELECT count(*) AS incidents, (SELECT count(*) FROM incident_events) AS events, (SELECT array_agg(DISTINCT event) FROM alerts) AS alerts,
       (SELECT status FROM alerts ORDER BY alert_id DESC LIMIT 1) AS last FROM incidents;
-- Wrong options.
SELECT alter_detector('app', '{"resolve_after": "0 s"}');
SELECT alter_detector('app', '{"notify_messages": 1}');
SELECT drop_detector('app');
DROP TABLE app, before, known, flaps;
DROP FUNCTION lines, hours_pass, wrong;
DROP ROLE life_ann;
