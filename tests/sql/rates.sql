-- Rates: what comes much more often, or no longer at all.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS logintel;
SET timezone = 'UTC';
CREATE TABLE shop (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ts timestamptz, level text, component text, message text);
-- Two days: web twice a minute, mail every 5 minutes, a routine error every half hour, a payment now and then.
CREATE FUNCTION a_day(since timestamptz, days int DEFAULT 1) RETURNS SETOF shop LANGUAGE sql AS $$
    SELECT NULL::bigint, since + s * interval '1 second', kind.level, kind.component, replace(kind.message, '%', s::text)
    FROM generate_series(0, 86400 * days - 1, 30) AS s,
         (VALUES (30, 0, 'INFO', 'web', 'GET /basket/% took 12 ms'), (300, 10, 'INFO', 'mail', 'message % handed over'),
                 (1800, 20, 'ERROR', 'web', 'payment provider did not answer request %'),
                 (7200, 25, 'INFO', 'billing', 'invoice % written')) AS kind (every, late, level, component, message)
    WHERE s % kind.every = 0
    ORDER BY s, kind.late
$$;
INSERT INTO shop (ts, level, component, message) SELECT ts, level, component, message FROM a_day('2026-01-01', 2);
SELECT logintel.create_detector('shop', 'shop') > 0 AS made;
SELECT logintel.train('shop');
SELECT logintel.watch('shop');

-- A day as they all are: the routine errors are anomalies, for their level says so, and no incident.
INSERT INTO shop (ts, level, component, message) SELECT ts, level, component, message FROM a_day('2026-01-03');
-- Rows without message are nothing that training counts, and no burst.
INSERT INTO shop (ts, level, component) SELECT '2026-01-03 12:00+00'::timestamptz + i * interval '1 second', 'INFO', 'web' FROM generate_series(1, 40) AS i;
CALL logintel.run_maintenance();
SELECT reason, weight, count(*) FROM logintel.anomalies WHERE detector = 'shop' GROUP BY 1, 2;
SELECT count(*) AS incidents FROM logintel.incidents WHERE detector = 'shop';

-- A day with 40 invoices in 4 minutes, without mail from noon to two, and with 20 errors in a minute; the errors are the
-- routine ones, only too many.
INSERT INTO shop (ts, level, component, message)
SELECT * FROM (
    SELECT ts, level, component, message FROM a_day('2026-01-04')
    WHERE component <> 'mail' OR ts NOT BETWEEN '2026-01-04 12:00+00' AND '2026-01-04 14:00+00'
    UNION ALL
    SELECT '2026-01-04 03:33+00'::timestamptz + i * interval '6 seconds', 'INFO', 'billing', 'invoice ' || 100000 + i || ' written'
    FROM generate_series(1, 40) AS i
    UNION ALL
    SELECT '2026-01-04 18:33+00'::timestamptz + i * interval '3 seconds', 'ERROR', 'web', 'payment provider did not answer request ' || i
    FROM generate_series(1, 20) AS i) AS day ORDER BY ts;
CALL logintel.run_maintenance();
SELECT ts, component, level, message, template, anomaly_score, reason FROM logintel.anomalies
WHERE detector = 'shop' AND reason LIKE 'rate%' ORDER BY ts, anomaly_id;
SELECT start_time, end_time, event_count, severity, title FROM logintel.incidents WHERE detector = 'shop' ORDER BY start_time;
-- What a component does has no template that could be marked.
\set VERBOSITY sqlstate
SELECT logintel.mark_normal(anomaly_id) FROM logintel.anomalies WHERE detector = 'shop' AND reason = 'rate_drop';
\set VERBOSITY default
-- It has looked at everything: another tick finds nothing.
CALL logintel.run_maintenance();
SELECT count(*) FROM logintel.anomalies WHERE detector = 'shop' AND reason LIKE 'rate%';
SELECT checked_until, model_id IS NOT NULL AS has_model, state IS NOT NULL AS has_state FROM logintel.rate_states WHERE detector = 'shop';

-- score_history finds the same, and a second run leaves it as it is.
SELECT string_agg(concat_ws(' ', ts, component, reason), E'\n' ORDER BY ts, component) AS live FROM logintel.anomalies
WHERE detector = 'shop' AND reason LIKE 'rate%' \gset
SELECT logintel.score_history('shop', '2026-01-03', '2026-01-05');
SELECT logintel.score_history('shop', '2026-01-03', '2026-01-05');
CALL logintel.run_maintenance();
SELECT string_agg(concat_ws(' ', ts, component, reason), E'\n' ORDER BY ts, component) = :'live' AS same FROM logintel.anomalies
WHERE detector = 'shop' AND reason LIKE 'rate%';
SELECT start_time, end_time, event_count, severity, title FROM logintel.incidents WHERE detector = 'shop' ORDER BY start_time;

-- A new model has learnt from that day: the same again is no news.
SELECT logintel.train('shop');
INSERT INTO shop (ts, level, component, message)
SELECT '2026-01-05 03:33+00'::timestamptz + i * interval '6 seconds', 'INFO', 'billing', 'invoice ' || 100000 + i || ' written'
FROM generate_series(1, 40) AS i;
CALL logintel.run_maintenance();
SELECT count(*) FROM logintel.anomalies WHERE detector = 'shop' AND reason LIKE 'rate%' AND ts > '2026-01-05';

SELECT logintel.drop_detector('shop');
DROP FUNCTION a_day;
DROP TABLE shop;

-- A time to come, infinity, a state that cannot be read: the worker goes on looking.
CREATE TABLE odd (ts timestamptz, message text);
INSERT INTO odd SELECT now() - interval '1 day' + n * interval '1 minute', 'order ' || n || ' shipped' FROM generate_series(1, 1300) AS n;
INSERT INTO odd VALUES ('infinity', 'order 1 shipped'), ('-infinity', 'order 2 shipped'), (now() + interval '3 years', 'order 3 shipped'),
    ('4713-01-01 BC', 'order 4 shipped'), (NULL, 'order 5 shipped');
SELECT logintel.create_detector('odd', 'odd') > 0 AS made;
SELECT logintel.train('odd');
SELECT logintel.watch('odd');
SELECT checked_until < now() AS has_begun FROM logintel.rate_states WHERE detector = 'odd';
INSERT INTO odd SELECT now() - interval '1 hour' + n * interval '1 second', 'order ' || n || ' shipped' FROM generate_series(1, 40) AS n;
CALL logintel.run_maintenance();
SELECT reason, template FROM logintel.anomalies WHERE detector = 'odd';
UPDATE logintel.rate_states SET state = '\x00', next_check = now() WHERE detector = 'odd';
INSERT INTO odd SELECT now() - interval '30 minutes' + n * interval '1 second', 'order ' || n || ' shipped' FROM generate_series(1, 40) AS n;
SET client_min_messages = error;
CALL logintel.run_maintenance();
SET client_min_messages = warning;
SELECT reason, template FROM logintel.anomalies WHERE detector = 'odd';
SELECT octet_length(state) > 1 AS is_written_anew FROM logintel.rate_states WHERE detector = 'odd';
SELECT logintel.drop_detector('odd');
DROP TABLE odd;

-- What score_history has found before the worker comes to it is told of once. A time that cannot be read keeps nobody from watching.
CREATE TABLE ahead (ts text, message text);
INSERT INTO ahead SELECT '2026-01-01 00:00Z'::timestamptz + n * interval '1 minute', 'order ' || n || ' shipped' FROM generate_series(1, 1300) AS n;
SELECT logintel.create_detector('ahead', 'ahead') > 0 AS made;
SELECT logintel.train('ahead');
SELECT logintel.watch('ahead');
INSERT INTO ahead SELECT '2026-01-02 00:00Z'::timestamptz + n * interval '1 second', 'order ' || n || ' shipped' FROM generate_series(1, 40) AS n;
SELECT logintel.score_history('ahead', since => '2026-01-02');
CALL logintel.run_maintenance();
SELECT reason, template, count(*) FROM logintel.anomalies WHERE detector = 'ahead' GROUP BY 1, 2;
INSERT INTO ahead VALUES ('tomorrow, perhaps', 'order 5 shipped');
SELECT logintel.watch('ahead');
SELECT checked_until <= now() AS has_begun FROM logintel.rate_states WHERE detector = 'ahead';
SELECT logintel.drop_detector('ahead');
DROP TABLE ahead;

-- What score_history has looked at, the worker does not look at once more.
CREATE TABLE twice (ts timestamptz, component text, message text);
INSERT INTO twice SELECT '2026-01-01'::timestamptz + n * interval '1 minute', 'shop', 'order ' || n || ' shipped' FROM generate_series(1, 1500) AS n;
SELECT logintel.create_detector('twice', 'twice') > 0 AS made;
SELECT logintel.train('twice');
SELECT logintel.watch('twice');
INSERT INTO twice SELECT '2026-01-02 12:00'::timestamptz + n * interval '1 second', 'shop', 'order ' || n || ' shipped' FROM generate_series(1, 40) AS n;
SELECT logintel.score_history('twice', '2026-01-02 01:00');
CALL logintel.run_maintenance();
SELECT template, count(*) FROM logintel.anomalies WHERE detector = 'twice' GROUP BY template ORDER BY template;
SELECT logintel.drop_detector('twice');
DROP TABLE twice;

-- Twenty minutes of history say nothing of an hour: two hours like them are no burst.
CREATE TABLE young (ts timestamptz, component text, message text);
CREATE FUNCTION minutes(since int, until int) RETURNS SETOF young LANGUAGE sql AS $$
    SELECT '2026-01-01'::timestamptz + s * interval '1 second', 'shop', CASE s % 16 WHEN 0 THEN 'order ' || s || ' shipped' ELSE 'parcel lost' END
    FROM generate_series(60 * since, 60 * until - 1, 8) AS s $$;
INSERT INTO young SELECT * FROM minutes(0, 20);
SELECT logintel.create_detector('young', 'young') > 0 AS made;
SET client_min_messages = error;
SELECT logintel.train('young');
SET client_min_messages = warning;
SELECT logintel.watch('young');
INSERT INTO young SELECT * FROM minutes(20, 140);
CALL logintel.run_maintenance();
SELECT count(*) FROM logintel.anomalies WHERE detector = 'young';
-- Bursts are seen all the same: of the component, where none of its templates bursts alone, and of a template, which alone can be marked.
INSERT INTO young SELECT '2026-01-01 03:00'::timestamptz + n * interval '1 second', 'shop', CASE n % 2 WHEN 0 THEN 'order ' || n || ' shipped' ELSE 'parcel lost' END
FROM generate_series(1, 8) AS n;
INSERT INTO young SELECT '2026-01-01 04:00'::timestamptz + n * interval '1 second', 'shop', 'order ' || n || ' shipped' FROM generate_series(1, 40) AS n;
CALL logintel.run_maintenance();
SELECT anomaly_id AS burst FROM logintel.anomalies WHERE detector = 'young' AND template = 'burst of component shop' \gset
\set VERBOSITY sqlstate
SELECT logintel.mark_normal(:burst);
\set VERBOSITY default
SELECT logintel.mark_normal(anomaly_id) FROM logintel.anomalies WHERE detector = 'young' AND anomaly_id <> :burst;
SELECT logintel.drop_detector('young');
DROP FUNCTION minutes;
DROP TABLE young;

-- Four weeks in Berlin, one of them in summer time: customers by day, a batch at two in the night, a routine error twice an hour.
CREATE TABLE rhythm (ts timestamptz, level text, component text, message text);
CREATE FUNCTION weeks(since timestamp, days int) RETURNS SETOF rhythm LANGUAGE sql AS $$
    SELECT (day + s * interval '1 second') AT TIME ZONE 'Europe/Berlin', kind.level, kind.component, replace(kind.message, '%', s::text)
    FROM generate_series(since, since + (days - 1) * interval '1 day', '1 day') AS day, generate_series(0, 86399, 3) AS s,
         (VALUES (24, 9 * 3600, 18 * 3600, 'INFO', 'web', 'GET /basket/% took 12 ms'), (3, 7200, 7800, 'INFO', 'batch', 'account % settled'),
                 (300, 0, 86400, 'INFO', 'mail', 'message % handed over'),
                 (1800, 0, 86400, 'ERROR', 'pay', 'payment provider did not answer request %')) AS kind (every, since, until, level, component, message)
    WHERE s % kind.every = 0 AND s >= kind.since AND s < kind.until
    ORDER BY 1, 3
$$;
INSERT INTO rhythm SELECT * FROM weeks('2026-03-09', 28);
SELECT logintel.create_detector('rhythm', 'rhythm', options => '{"timezone": "Europe/Berlin"}') > 0 AS made;
SELECT logintel.train('rhythm');
SELECT logintel.watch('rhythm');
-- Four more weeks of it: no incident, whatever the errors.
INSERT INTO rhythm SELECT * FROM weeks('2026-04-06', 28);
CALL logintel.run_maintenance();
SELECT reason, weight, count(*) FROM logintel.anomalies WHERE detector = 'rhythm' GROUP BY 1, 2;
SELECT count(*) AS incidents FROM logintel.incidents WHERE detector = 'rhythm';
-- A day on which the batch comes once more, from 14:00 to 14:10, and from four o'clock on only one customer in four: far from what breaks a
-- record of all hours.
INSERT INTO rhythm
SELECT * FROM (
    SELECT * FROM weeks('2026-05-04', 1)
    WHERE NOT (component = 'web' AND ts >= '2026-05-04 16:00+02' AND extract(epoch FROM ts)::int % 96 <> 0)
    UNION ALL
    SELECT ts + interval '12 hours', level, component, message FROM weeks('2026-05-04', 1) WHERE component = 'batch') AS day ORDER BY ts;
-- A look that took long would wait.
UPDATE logintel.rate_states SET next_check = now() WHERE detector = 'rhythm';
CALL logintel.run_maintenance();
SELECT ts AT TIME ZONE 'Europe/Berlin' AS clock, component, message, template, reason FROM logintel.anomalies
WHERE detector = 'rhythm' AND reason LIKE 'rate%' ORDER BY ts, anomaly_id;
SELECT start_time, event_count, title FROM logintel.incidents WHERE detector = 'rhythm' ORDER BY start_time;
-- score_history finds the same.
SELECT string_agg(concat_ws(' ', ts, component, message, reason), E'\n' ORDER BY ts, component, template) AS live FROM logintel.anomalies
WHERE detector = 'rhythm' AND reason LIKE 'rate%' \gset
SELECT logintel.score_history('rhythm', '2026-04-06', '2026-05-05') > 0 AS scored;
SELECT string_agg(concat_ws(' ', ts, component, message, reason), E'\n' ORDER BY ts, component, template) = :'live' AS same FROM logintel.anomalies
WHERE detector = 'rhythm' AND reason LIKE 'rate%';
-- What is missing is of no line that could be marked.
\set VERBOSITY sqlstate
SELECT logintel.mark_normal(anomaly_id) FROM logintel.anomalies WHERE detector = 'rhythm' AND reason = 'rate_drop';
\set VERBOSITY default
SELECT logintel.drop_detector('rhythm');
DROP FUNCTION weeks;
DROP TABLE rhythm;

-- Three days in which web and db speak in turn, each 30 seconds: then web is gone for five hours. The log's own gaps are longer then, too.
CREATE TABLE turns (ts timestamptz, component text, message text);
INSERT INTO turns SELECT '2026-01-01'::timestamptz + n * interval '30 seconds', (ARRAY['web', 'db'])[n % 2 + 1], 'request ' || n || ' took 7 ms' FROM generate_series(0, 8639) AS n;
SELECT logintel.create_detector('turns', 'turns') > 0 AS made;
SELECT logintel.train('turns');
SELECT logintel.watch('turns');
INSERT INTO turns SELECT '2026-01-04'::timestamptz + n * interval '1 minute', 'db', 'request ' || n || ' took 7 ms' FROM generate_series(0, 300) AS n;
CALL logintel.run_maintenance();
SELECT ts, component, message, reason FROM logintel.anomalies WHERE detector = 'turns';
SELECT start_time, title, rate, baseline_rate FROM logintel.incidents WHERE detector = 'turns';
SELECT logintel.score_history('turns', '2026-01-03 12:00');
SELECT ts, component, message, reason FROM logintel.anomalies WHERE detector = 'turns';
SELECT logintel.drop_detector('turns');
DROP TABLE turns;

-- Twenty days of 200 lines an hour and 2,000 from two to three, without components. Then 20 in an hour, by chance and evenly, and a hole of five hours.
CREATE TABLE whole (ts timestamptz, message text);
CREATE FUNCTION lines(since timestamptz, hours int, per_hour int) RETURNS SETOF whole LANGUAGE sql AS $$
    SELECT since + n * interval '1 hour' / per_hour, 'request ' || n || ' took 7 ms' FROM generate_series(0, hours * per_hour - 1) AS n $$;
INSERT INTO whole SELECT l.* FROM generate_series('2026-01-01'::timestamptz, '2026-01-20', '1 day') AS day,
    LATERAL (SELECT * FROM lines(day, 24, 200) UNION ALL SELECT * FROM lines(day + interval '2 hours', 1, 1800)) AS l;
SELECT logintel.create_detector('whole', 'whole') > 0 AS made;
SELECT logintel.train('whole');
INSERT INTO whole SELECT * FROM lines('2026-01-21 00:00', 2, 200);
INSERT INTO whole SELECT * FROM lines('2026-01-21 03:00', 7, 200) WHERE extract(hour FROM ts) <> 5;
INSERT INTO whole SELECT '2026-01-21 05:00'::timestamptz + (n * 8009 % 3600) * interval '1 second', 'request 1 took 7 ms' FROM generate_series(1, 20) AS n;
INSERT INTO whole SELECT * FROM lines('2026-01-21 10:00', 1, 20);
INSERT INTO whole SELECT * FROM lines('2026-01-21 11:00', 1, 200);
INSERT INTO whole SELECT * FROM lines('2026-01-21 17:00', 1, 200);
SELECT logintel.score_history('whole', '2026-01-20');
SELECT ts, message, template, reason FROM logintel.anomalies WHERE detector = 'whole' ORDER BY ts, anomaly_id;
SELECT logintel.drop_detector('whole');
DROP FUNCTION lines;
DROP TABLE whole;

-- Six lines a minute, and then six hundred for ten minutes: live, in steps, and in history it is one burst, as long and as large as it was.
-- What its lines say stays, though it looks like what is told of the burst.
CREATE TABLE burst (ts timestamptz, component text, message text);
INSERT INTO burst SELECT '2026-01-01'::timestamptz + n * interval '10 seconds', 'web', 'work done; ' || n || ' in flight on web' FROM generate_series(0, 25919) AS n;
SELECT logintel.create_detector('burst', 'burst') > 0 AS made;
SELECT logintel.train('burst');
SELECT logintel.watch('burst');
INSERT INTO burst SELECT '2026-01-04'::timestamptz + n * interval '0.1 seconds', 'web', 'work done; ' || n || ' in flight on web' FROM generate_series(0, 99) AS n;
CALL logintel.run_maintenance();
SELECT start_time, end_time, event_count, severity, rate, baseline_rate, title FROM logintel.incidents WHERE detector = 'burst';
INSERT INTO burst SELECT '2026-01-04'::timestamptz + n * interval '0.1 seconds', 'web', 'work done; ' || n || ' in flight on web' FROM generate_series(100, 5999) AS n;
INSERT INTO burst SELECT '2026-01-04 00:10'::timestamptz + n * interval '10 seconds', 'web', 'work done; ' || n || ' in flight on web' FROM generate_series(0, 999) AS n;
-- What comes elsewhere while it lasts belongs to it.
INSERT INTO burst VALUES ('2026-01-04 00:06', 'db', 'panic: everything melts');
UPDATE logintel.rate_states SET next_check = now() WHERE detector = 'burst';
CALL logintel.run_maintenance();
CREATE VIEW told AS SELECT ts, message, template, weight, burst_start, burst_end FROM logintel.anomalies WHERE detector = 'burst';
CREATE TABLE live AS TABLE told;
TABLE live;
SELECT start_time, end_time, event_count, severity, severity_score, round(rate) AS rate, round(baseline_rate) AS baseline_rate, title FROM logintel.incidents WHERE detector = 'burst';
SELECT logintel.score_history('burst', '2026-01-04');
CALL logintel.run_maintenance();
SELECT count(*) AS differing FROM ((TABLE told EXCEPT TABLE live) UNION ALL (TABLE live EXCEPT TABLE told)) AS d;
SELECT start_time, end_time, event_count, severity, severity_score, round(rate) AS rate, round(baseline_rate) AS baseline_rate, title FROM logintel.incidents WHERE detector = 'burst';
SELECT logintel.drop_detector('burst');
DROP VIEW told;
DROP TABLE live, burst;
