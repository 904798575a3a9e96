-- Whole sessions: which are ordinary, which are shown, and to whom.
SET search_path = public, logintel;
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = ISO;
CREATE FUNCTION attempt(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
BEGIN
    EXECUTE statement;
    RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN SQLSTATE || ' ' || SQLERRM || CASE WHEN hint = '' THEN '' ELSE ' / ' || hint END;
END $$;

-- A shop: a visit looks at things, and may buy one. Some lines are of no visit; a message may be NULL. ---------------
CREATE TABLE shop (ts timestamptz, session_id uuid, message text, template text);
CREATE FUNCTION visit(n int) RETURNS uuid LANGUAGE sql IMMUTABLE RETURN lpad(n::text, 32, '0')::uuid;
CREATE FUNCTION steps(n int) RETURNS text[] LANGUAGE sql IMMUTABLE RETURN
    ARRAY['visitor 10.0.0.' || n % 250 || ' came', 'looked at item ' || n]
    || CASE WHEN n % 2 = 0 THEN ARRAY['looked at item ' || n + 1] END
    || CASE WHEN n % 4 = 0 THEN ARRAY['cart ' || n || ' filled', 'paid ' || n || ' cents', 'parcel ' || n || ' sent'] END
    || ARRAY['visitor 10.0.0.' || n % 250 || ' left'];
INSERT INTO shop
SELECT '2020-01-01Z'::timestamptz + n * interval '1 minute' + step * interval '1 second', visit(n), message
FROM generate_series(1, 1200) AS n, unnest(steps(n)) WITH ORDINALITY AS s (message, step);
INSERT INTO shop SELECT '2020-01-01Z'::timestamptz + n * interval '1 hour', NULL, 'backup ' || n || ' done' FROM generate_series(1, 20) AS n;
INSERT INTO shop SELECT '2020-01-01Z'::timestamptz + n * interval '7 minutes', visit(7 * n), NULL FROM generate_series(1, 100) AS n;

-- The column is found by its usual name; what is missing is named.
SELECT create_detector('shop', 'shop') > 0 AS made, create_detector('lines', 'shop', session => '') > 0 AS also_made;
SELECT name, session FROM detectors WHERE name NOT IN ('logs', 'server_log') ORDER BY 1;
SELECT statement, attempt(statement) FROM unnest(ARRAY[
    $$SELECT * FROM score_sessions('shop')$$, $$SELECT * FROM score_sessions('lines')$$, $$SELECT * FROM score_sessions('missing')$$, $$SELECT score_sessions('shop')$$
]) AS statement;
SELECT count(*) AS nothing FROM score_sessions(NULL);
SELECT train('lines', until => '2020-01-01 20:00Z'), train('shop', until => '2020-01-01 20:00Z');
SELECT attempt($$SELECT * FROM score_sessions('lines')$$);

-- What training saw is ordinary.
SELECT count(*) AS sessions, count(*) FILTER (WHERE is_anomaly) AS flagged, sum(event_count) AS events,
       min(start_time), max(end_time), bool_and(anomaly_score BETWEEN 0 AND 1) AS scored
FROM score_sessions('shop');
-- Rows without message, or without visit, are no events.
SELECT sum(event_count) = (SELECT count(*) FROM shop WHERE message IS NOT NULL AND session_id IS NOT NULL) AS all_events,
       count(*) = (SELECT count(DISTINCT session_id) FROM shop) AS all_visits,
       array_agg(session_id) = array_agg(session_id ORDER BY start_time, session_id COLLATE "C") AS in_order
FROM score_sessions('shop');

-- A day later ------------------------------------------------------------------------------------------------------
INSERT INTO shop (ts, session_id, message) SELECT '2020-01-02Z'::timestamptz + step * interval '10 seconds', visit(100000 + n), message
FROM (VALUES
    (1, ARRAY['visitor 10.0.0.1 came', 'looked at item 5', 'visitor 10.0.0.1 left']),
    (2, ARRAY['visitor 10.0.0.2 came', 'looked at item 5', 'looked at item 6', 'cart 5 filled', 'paid 5 cents', 'parcel 5 sent', 'visitor 10.0.0.2 left']),
    -- Not paid, which most visits are not; never came; something new; looks a lot; begun yesterday.
    (3, ARRAY['visitor 10.0.0.3 came', 'looked at item 5', 'looked at item 6', 'cart 5 filled', 'parcel 5 sent', 'visitor 10.0.0.3 left']),
    (4, ARRAY['looked at item 5', 'visitor 10.0.0.4 left']),
    (5, ARRAY['visitor 10.0.0.5 came', 'looked at item 5', 'coupon 77 refused', 'visitor 10.0.0.5 left']),
    (6, ARRAY['visitor 10.0.0.6 came'] || array_fill('looked at item 5'::text, ARRAY[60]) || ARRAY['visitor 10.0.0.6 left']),
    (7, ARRAY['looked at item 5', 'visitor 10.0.0.7 left'])
) AS v (n, messages), unnest(messages) WITH ORDINALITY AS s (message, step);
INSERT INTO shop VALUES ('2020-01-01 23:59Z', visit(100007), 'visitor 10.0.0.7 came');
CREATE FUNCTION judged(since timestamptz, until timestamptz DEFAULT NULL, include_open bool DEFAULT false) RETURNS TABLE (visit int, is_anomaly bool, score numeric, reason text, start_time timestamptz, end_time timestamptz, events bigint)
BEGIN ATOMIC
    SELECT right(session_id, 6)::int - 100000, is_anomaly, round(anomaly_score::numeric, 3), regexp_replace(reason, '=.*', '=…'), start_time, end_time, event_count
    FROM score_sessions('shop', judged.since, judged.until, judged.include_open);
END;
SELECT * FROM judged('2020-01-02Z');
-- The range is that of the last event, and half open; so is what is complete.
SELECT visit, end_time, events FROM judged('2020-01-02 00:00:30Z', '2020-01-02 00:10:30Z');
SELECT visit, end_time, events FROM judged('2020-01-02 00:00:30Z', '2020-01-02 00:10:29Z');
SELECT visit, end_time, events FROM judged('2020-01-02 00:00:30Z', '2020-01-02 00:10:29Z', true);
SELECT visit, end_time, events FROM judged('2020-01-02 00:00:30Z', '2020-01-02 00:00:40Z', true);
SELECT visit, end_time, events FROM judged('2020-01-02 00:00:30Z', '2020-01-02 00:00:40Z', NULL);
SELECT count(*) AS nothing FROM score_sessions('shop', '2022-01-01Z');
-- Now, and later.
INSERT INTO shop (ts, session_id, message) VALUES (now() - interval '1 minute', visit(100008), 'visitor 10.0.0.8 came'), (now() + interval '1 hour', visit(100009), 'visitor 10.0.0.9 came');
SELECT visit, is_anomaly, reason, events FROM judged('2021-01-01Z');
SELECT visit, is_anomaly, reason, events FROM judged('2021-01-01Z', NULL, true);
SELECT visit FROM judged('2021-01-01Z', now() + interval '2 hours');
SELECT alter_detector('shop', '{"session_gap": "30 seconds"}');
SELECT visit FROM judged('2021-01-01Z');
SELECT alter_detector('shop', '{}');
DELETE FROM shop WHERE ts > '2021-01-01Z';
-- Without time.
INSERT INTO shop (session_id, message) VALUES (visit(100001), 'looked at item 9'), (visit(100010), 'looked at item 9');
SELECT visit, is_anomaly, reason, start_time, events FROM judged(NULL) WHERE visit >= 0;
SELECT visit, events FROM judged('2020-01-02Z') WHERE visit IN (1, 10);
DELETE FROM shop WHERE ts IS NULL;

-- What training saw is no excuse for itself, and is one for the next of its kind. What went on when history ended (visit 6) it did not see.
INSERT INTO shop VALUES ('2020-01-02 00:11:15Z', NULL, 'backup 21 done');
SELECT train('shop');
INSERT INTO shop (ts, session_id, message)
SELECT '2020-01-03Z'::timestamptz + step * interval '10 seconds', visit(100011), message
FROM unnest(ARRAY['visitor 10.0.0.1 came', 'looked at item 1', 'coupon 1 refused', 'visitor 10.0.0.1 left']) WITH ORDINALITY AS s (message, step);
SELECT visit, is_anomaly, reason FROM judged('2020-01-02Z') WHERE visit IN (1, 4, 5, 6, 11);
SELECT activate_model('shop', 1);
SELECT visit, is_anomaly, reason FROM judged('2020-01-02Z') WHERE visit IN (1, 4, 5, 6, 11);
-- A version that saw no visits.
SELECT train('shop', '2020-01-01 20:00:00Z', '2020-01-01 20:00:01Z');
SELECT attempt($$SELECT * FROM score_sessions('shop')$$);
SELECT activate_model('shop', 1);

-- The same sessions as by plain SQL, for ranges of all kinds.
CREATE FUNCTION differences(since timestamptz, until timestamptz, include_open bool, OUT sessions bigint, OUT differences bigint)
BEGIN ATOMIC
    WITH expected AS (
        SELECT session_id::text, min(ts) AS start_time, max(ts) AS end_time, count(*) AS event_count
        FROM shop WHERE session_id IS NOT NULL AND message IS NOT NULL GROUP BY session_id
        HAVING (since IS NULL OR max(ts) >= since) AND (until IS NULL OR max(ts) < until)
           AND (include_open OR coalesce(until, now()) - max(ts) >= interval '10 minutes')
    ), found AS (
        SELECT session_id, start_time, end_time, event_count FROM score_sessions('shop', differences.since, differences.until, differences.include_open)
    )
    SELECT (SELECT count(*) FROM expected), (SELECT count(*) FROM ((TABLE expected EXCEPT ALL TABLE found) UNION ALL (TABLE found EXCEPT ALL TABLE expected)) AS x);
END;
SELECT since, until, include_open, d.*
FROM (VALUES (NULL, NULL), ('2020-01-01 03:00:02Z', NULL), (NULL, '2020-01-01 03:00:02Z'), ('2020-01-01 03:00:02Z', '2020-01-01 04:00:02Z'), ('2020-01-01 03:00:05Z', '2020-01-01 03:00:07Z')) AS r (since, until),
     unnest(ARRAY[false, true]) AS include_open, differences(since::timestamptz, until::timestamptz, include_open) AS d
ORDER BY 1, 2, 3;

-- A view, a path into jsonb, and a template in the message's place --------------------------------------------------
CREATE VIEW basket AS
SELECT ts::text AS at, jsonb_build_object('visit', jsonb_build_array(NULL, session_id)) AS data, message AS text, split_part(message, ' ', 1) AS kind
FROM shop WHERE message IS NOT NULL;
SELECT create_detector('basket', 'basket', message => 'text', ts => 'at', session => 'data->''visit''->>1', template => 'kind') > 0 AS made;
SELECT train('basket', until => '2020-01-01 20:00Z');
SELECT right(session_id, 6)::int - 100000 AS visit, is_anomaly, reason, event_count AS events FROM score_sessions('basket', '2020-01-02Z');

-- Who may: who may read the log, in the owner's way; anybody else is told nothing. ----------------------------------
CREATE ROLE regress_reader;
CREATE ROLE regress_stranger;
GRANT logintel_reader TO regress_reader;
GRANT SELECT ON shop TO regress_reader, regress_stranger;
SET ROLE regress_reader;
SELECT attempt($$SELECT * FROM score_sessions('shop')$$), attempt($$SELECT * FROM score_sessions('basket')$$);
SELECT count(*) > 0 AS reads FROM score_sessions('shop');
SET ROLE regress_stranger;
SELECT attempt($$SELECT * FROM score_sessions('shop')$$);
RESET ROLE;

-- Bounded ---------------------------------------------------------------------------------------------------------
SET logintel.maintenance_mem = '1MB';
SELECT attempt($$SELECT train('shop')$$);
RESET logintel.maintenance_mem;

DROP VIEW basket;
DROP OWNED BY regress_reader, regress_stranger;
DROP ROLE regress_reader, regress_stranger;
SELECT drop_detector(d) FROM unnest(ARRAY['shop', 'lines', 'basket']) AS d;
SELECT count(*) AS left_over FROM model_versions;
DROP FUNCTION differences, judged;
DROP TABLE shop;
DROP FUNCTION attempt, visit, steps;
