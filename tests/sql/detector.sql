-- Detectors: from a table to anomalies. What is found where, what is refused, what is judged, and that no INSERT ever fails for it.
SET search_path = public, logintel;
SET client_min_messages = warning;
-- An error with its SQLSTATE and hint, or what the statement says.
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

-- Which columns ---------------------------------------------------------------------------------------------------
CREATE TABLE plain (ts timestamptz, message text, level text, component text, source text, session_id text, template text);
CREATE TABLE syslog (receivedat timestamp, "Message" varchar, priority int, syslogtag text, fromhost text);
CREATE TABLE otel ("Timestamp" timestamptz, "Body" text, "SeverityText" text, "ServiceName" text, "TraceId" text, log_id int);
CREATE TABLE container ("time" text, data jsonb, "odd ""name" text);
CREATE TABLE dated (day int, date date, msg char(40));
CREATE VIEW shown AS SELECT ts AS logged_at, message AS line, level FROM plain;
CREATE MATERIALIZED VIEW kept AS SELECT * FROM plain WITH NO DATA;
CREATE SEQUENCE numbers;
SELECT name, attempt(format('SELECT create_detector(%L, %L%s)', name, relation, arguments)) FROM (VALUES
    ('plain', 'plain', ''), ('syslog', 'syslog', ''), ('otel', 'otel', ''), ('dated', 'dated', ''), ('shown', 'shown', ''), ('kept', 'kept', ''),
    ('container', 'container', $$, message => 'data->>''log''', level => 'data->''kubernetes''->''labels''->>''level''', component => 'data -> ''it''''s'' ->> 0', source => '"odd ""name"'$$),
    ('nothing', 'plain', $$, level => '', component => '', source => '', session => '', template => 'template'$$)
) AS t (name, relation, arguments);
SELECT name, relation, message, ts, level, component, source, session, template, options FROM detectors WHERE name NOT IN ('logs', 'server_log') ORDER BY detector_id;
SELECT count(DISTINCT detector_id) = count(*) AS numbered, count(*) FILTER (WHERE owner = current_user::regrole) AS own FROM detectors;

SELECT arguments, attempt(format('SELECT create_detector(%s)', arguments)) FROM unnest(ARRAY[
    $$'plain', 'plain'$$, $$'logs', 'plain'$$, $$'', 'plain'$$, $$'  ', 'plain'$$, $$NULL, 'plain'$$, $$repeat('x', 201), 'plain'$$, $$'x', NULL$$, $$'x', 'missing'$$, $$'x', 'numbers'$$, $$'x', 0$$, $$'x', 4294967295$$,
    $$'x', 'container'$$, $$'x', 'container', message => 'data->>''log''', ts => ''$$, $$'x', 'dated', ts => 'day'$$, $$'x', 'dated', ts => 'days'$$, $$'x', 'plain', message => ''$$, $$'x', 'plain', message => 'ts; DROP TABLE plain'$$,
    $$'x', 'plain', level => 'level->>''x'''$$, $$'x', 'container', message => 'data->>'$$, $$'x', 'container', message => 'data->>log'$$, $$'x', 'container', message => 'data->it''s->0->>log'$$, $$'x', 'container', message => 'data->>''log'' || version()'$$,
    $$'x', 'container', message => 'data->>''log'') FROM plain --'$$, $$'x', 'container', message => 'data->>''log'$$, $$'x', 'container', message => '->>''log'''$$, $$'x', 'container', message => 'data->99999999999'$$,
    $$'x', 'plain', message => 'Message'$$, $$'x', 'plain', message => 'ctid'$$,
    $$'x', 'plain', options => '{"windows": "1h"}'$$, $$'x', 'plain', options => '[]'$$, $$'x', 'plain', options => '{"preset": "sead"}'$$, $$'x', 'plain', options => '{"window": "soon"}'$$, $$'x', 'plain', options => '{"window": "-1 hour"}'$$,
    $$'x', 'plain', options => '{"window": 600}'$$, $$'x', 'plain', options => '{"window": 1e400}'$$, $$'x', 'plain', options => '{"min_events": 0}'$$, $$'x', 'plain', options => '{"false_alarm_rate": 1}'$$, $$'x', 'plain', options => '{"severity_override": "sometimes"}'$$, $$'x', 'plain', options => '{"retention": "0"}'$$,
    $$'x', 'plain', options => '{"profiles": ["message"]}'$$, $$'x', 'plain', options => '{"clustering": {"method": "kmeans"}}'$$, $$'x', 'plain', options => '{"clustering": {"eps": 3}}'$$, $$'x', 'plain', options => '{"vectorizer": {"min_df": -1}}'$$,
    $$'x', 'plain', options => '{"vectorizer": {"token_pattern": "("}}'$$, $$'x', 'plain', options => '{"vectorizer": {"masks": [{"name": "x", "pattern": "["}]}}'$$, $$'x', 'plain', options => '{"timezone": "Middle/Earth"}'$$, $$'x', 'plain', options => '{"timezone": 1}'$$, $$'x', 'plain', options => '{"timezone": ""}'$$
]) AS arguments;
SELECT name FROM detectors WHERE name = 'x';

-- Text as times is looked into, as far as there are rows; json as a message is told.
SET client_min_messages = notice;
CREATE TABLE texts (ts text, at text, message text, data jsonb, doc json, flat jsonb);
SELECT create_detector('empty', 'texts') > 0 AS made;
INSERT INTO texts SELECT 'gestern ' || n, NULLIF('2026-01-0' || n, '2026-01-01'), 'm', '{"text": "m", "ts": "bald"}', '{"msg": "m"}', '"m"' FROM generate_series(1, 3) AS n;
SELECT create_detector('x', 'texts');
\echo :LAST_ERROR_SQLSTATE
SELECT create_detector('x', 'texts', ts => 'data->>''ts''');
INSERT INTO texts (at) VALUES ('at noon');
SELECT create_detector('at', 'texts', ts => 'at', message => 'data->''text''') > 0 AS made;
SELECT create_detector('doc', 'texts', ts => 'at', message => 'doc') > 0 AS made;
SELECT create_detector('data', 'texts', ts => 'at', message => 'data') > 0 AS made;
SELECT create_detector('flat', 'texts', ts => 'at', message => 'flat') > 0 AS made;
SELECT count(drop_detector(name)) AS dropped FROM detectors WHERE relation = 'texts'::regclass;
DROP TABLE texts;
SET client_min_messages = warning;

-- Alter and drop.
SELECT alter_detector('plain', '{"min_events": 3}');
-- Options are replaced as a whole: what that loses is said.
SET client_min_messages = notice;
SELECT alter_detector('plain', '{"min_events": 4, "window": "5 minutes", "clustering": {"eps": 0.2, "min_points": 4}, "vectorizer": {"norm": "l1", "min_df": 2}}');
SELECT alter_detector('plain', '{"min_events": 3, "clustering": {"eps": 0.2}, "vectorizer": {"norm": null}}');
SELECT alter_detector('plain', '{"min_events": 3}');
SET client_min_messages = warning;
SELECT alter_detector('plain', new_name => 'renamed');
SELECT alter_detector('renamed', NULL, NULL);
SELECT name, options FROM detectors WHERE relation = 'plain'::regclass ORDER BY 1;
SELECT statement, attempt(statement) FROM unnest(ARRAY[
    $$SELECT create_detector('own', 'logintel.anomalies')$$, $$SELECT create_detector('own', 'logintel.live_logs')$$,
    $$SELECT alter_detector('missing', '{}')$$, $$SELECT alter_detector('renamed', '{"x": 1}')$$, $$SELECT alter_detector('renamed', new_name => 'otel')$$, $$SELECT alter_detector('renamed', new_name => '')$$,
    $$SELECT alter_detector('renamed', '{"timezone": "Middle/Earth"}')$$, $$SELECT drop_detector('missing')$$, $$SELECT drop_detector(NULL)$$, $$SELECT alter_detector(NULL, '{}')$$
]) AS statement;
-- Another place: what is given is looked at as create_detector does, the rest stays, '' takes a part away.
ALTER TABLE plain RENAME COLUMN message TO said;
SELECT statement, attempt(statement) FROM unnest(ARRAY[
    $$SELECT alter_detector('renamed', level => 'lvl')$$, $$SELECT alter_detector('renamed', message => 'saids')$$, $$SELECT alter_detector('renamed', message => '')$$,
    $$SELECT alter_detector('renamed', owner => 'nobody_knows')$$, $$SELECT alter_detector('renamed', owner => 4294967295)$$
]) AS statement;
SELECT alter_detector('renamed', message => 'said', level => '');
SELECT relation, message, ts, level, component, enabled, options FROM detectors WHERE name = 'renamed';
SELECT alter_detector('renamed', ts => 'ts', session => 'session_id', enabled => false);
SELECT message, ts, level, session, enabled FROM detectors WHERE name = 'renamed';
-- So many for a role that is no administrator.
CREATE ROLE many_writer IN ROLE logintel_writer;
GRANT SELECT ON plain TO many_writer;
SET ROLE many_writer;
SELECT count(create_detector('many ' || n, 'plain', message => 'said')) FROM generate_series(1, 200) AS n;
SELECT attempt($$SELECT create_detector('many', 'plain', message => 'said')$$);
SELECT count(drop_detector(name)) FROM detectors WHERE name ~ '^many ';
RESET ROLE;
REVOKE ALL ON plain FROM many_writer;
DROP ROLE many_writer;
SELECT drop_detector(name) FROM detectors WHERE name IN ('renamed', 'nothing', 'shown', 'kept', 'dated', 'syslog', 'otel');
DROP VIEW shown;
DROP MATERIALIZED VIEW kept;
DROP TABLE plain, syslog, otel, dated;
DROP SEQUENCE numbers;

-- Before training -------------------------------------------------------------------------------------------------
CREATE TABLE app (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ts timestamptz, level text, component text, message text);
SELECT create_detector('app', 'app') > 0 AS made;
SELECT (detect('app', 'anything', level)).* FROM unnest(ARRAY['INFO', 'ERROR', NULL]) AS level;
SELECT anomaly_score('app', 'anything', 'ERROR') IS NULL AS unknown;
SELECT * FROM anomaly_explain('app', 'anything', 'INFO');
SELECT statement, attempt(statement) FROM unnest(ARRAY[
    $$SELECT train('app')$$, $$SELECT train('missing')$$, $$SELECT score_history('app')$$, $$SELECT * FROM log_timeline('app')$$, $$SELECT log_embed('app', 'x')$$, $$SELECT activate_model('app', 1)$$,
    $$SELECT detect('missing', 'x')$$, $$SELECT anomaly_score('missing', 'x')$$, $$SELECT * FROM anomaly_explain('missing', 'x')$$, $$SELECT score_history('missing')$$, $$SELECT * FROM log_timeline('missing')$$, $$SELECT watch('missing')$$, $$SELECT train(NULL)$$, $$SELECT score_history(NULL)$$, $$SELECT * FROM anomaly_explain(NULL, 'x')$$
]) AS statement;
SELECT detect(NULL, 'x') IS NULL AS no_detector, anomaly_score(NULL, 'x') IS NULL AS no_score, (SELECT count(*) FROM log_timeline(NULL)) AS no_rows;

-- Training --------------------------------------------------------------------------------------------------------
-- One row; all rows equal; NULL messages do not count.
INSERT INTO app (ts, message) VALUES ('2026-01-01', NULL);
SELECT attempt($$SELECT train('app')$$);
INSERT INTO app (ts, message) VALUES ('2026-01-01', 'service started');
SELECT train('app');
SELECT (detect('app', 'service started')).*;
INSERT INTO app (ts, message) SELECT '2026-01-01', 'service started' FROM generate_series(1, 499);
SELECT train('app');
SELECT version, is_active, training_rows, vocabulary_size, templates, clusters, noise_rows, flagged_share FROM models WHERE detector = 'app' ORDER BY version;
SELECT message, (detect('app', message)).* FROM unnest(ARRAY['service started', 'service stopped', 'quite another matter', '']) AS message;
TRUNCATE app;
-- Nothing to tell words from: said as tfidf_fit says it.
INSERT INTO app (ts, message) SELECT '2026-01-01', '!' FROM generate_series(1, 10);
SELECT attempt($$SELECT train('app')$$);
TRUNCATE app;

-- A day of ordinary work.
INSERT INTO app (ts, level, component, message)
SELECT '2026-01-01 00:00Z'::timestamptz + i * interval '20 s', CASE WHEN i % 50 = 0 THEN 'WARN' ELSE 'INFO' END, CASE i % 3 WHEN 0 THEN 'http' ELSE 'db' END,
       CASE i % 5 WHEN 0 THEN format('GET /page/%s from 10.0.%s.%s took %s ms', i, i % 200, i % 256, i % 77) WHEN 1 THEN format('query finished in %s ms', i % 311)
                  WHEN 2 THEN format('connection %s opened by user app', i) WHEN 3 THEN format('connection %s closed', i) ELSE format('cache holds %s entries', i) END
FROM generate_series(1, 4000) AS i;
SELECT train('app', activate => false);
SELECT version, is_active FROM models WHERE detector = 'app' ORDER BY version;
SELECT activate_model('app', 3);
-- A range is half open.
SELECT train('app', '2026-01-01 00:00:20Z', '2026-01-01 00:03:40Z', false);
SELECT train('app', until => '2026-01-01 06:00Z', activate => false);
SELECT version, training_rows, is_active, since AT TIME ZONE 'UTC' AS since, until AT TIME ZONE 'UTC' AS until FROM models WHERE detector = 'app' ORDER BY version;
SELECT statement, attempt(statement) FROM unnest(ARRAY[
    $$SELECT train('app', '2030-01-01')$$, $$SELECT train('app', '2026-01-02', '2026-01-01')$$, $$SELECT train('app', '2026-01-01', '2026-01-01')$$, $$SELECT activate_model('app', 99)$$, $$SELECT activate_model('missing', 1)$$, $$SELECT activate_model('app', NULL)$$
]) AS statement;
SELECT version FROM models WHERE detector = 'app' AND is_active;

-- Judging ---------------------------------------------------------------------------------------------------------
CREATE TABLE line (id int, message text, level text);
INSERT INTO line VALUES
    (1, 'GET /page/7 from 10.0.3.4 took 12 ms', 'INFO'), (2, 'connection 12 closed', 'INFO'), (3, 'connection 12 closed', 'error'), (4, 'connection 12 refused by peer', 'INFO'),
    (5, 'segfault at 0x7ffd in libfoo.so', 'INFO'), (6, 'cache holds 12 entries', NULL), (7, '', 'INFO'), (8, NULL, 'INFO'), (9, NULL, 'FATAL'), (10, 'connection 12 opened by user root', 'INFO');
SELECT id, is_anomaly, round(anomaly_score::numeric, 3) AS score, reason, cluster_id, template, round(distance::numeric, 3) AS distance
FROM line, detect('app', message, level, 'db', NULL) ORDER BY id;
SELECT count(*) AS differ FROM line WHERE anomaly_score('app', message, level) IS DISTINCT FROM (detect('app', message, level)).anomaly_score;
SELECT kind, term, round(weight::numeric, 3) AS weight, round(contribution::numeric, 3) AS contribution, seen_in_training, detail FROM anomaly_explain('app', 'connection 12 refused by peer', 'ERROR');
-- The contributions add up to the distance.
SELECT id, abs(sum(contribution) - max((detect('app', message, level)).distance)) < 1e-6 AS adds_up FROM line, anomaly_explain('app', message, level) WHERE contribution IS NOT NULL GROUP BY id ORDER BY id;
SELECT id, kind, term FROM line, anomaly_explain('app', message, level) WHERE id IN (7, 8, 9) ORDER BY id, kind;
SELECT log_embed('app', 'connection 12 closed') <=> log_embed('app', 'connection 99 closed') AS same_template;
-- The level rule is an option, and holds from the next training on.
CREATE FUNCTION level_rule(rule text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM alter_detector('app', jsonb_build_object('severity_override', rule));
    PERFORM train('app');
    RETURN (SELECT string_agg((detect('app', message, level)).reason, ', ' ORDER BY id) FROM line WHERE id IN (3, 9));
END $$;
SELECT rule, level_rule(rule) FROM unnest(ARRAY['never', 'novel', 'always']) AS rule;
SELECT version, is_active FROM models WHERE detector = 'app' ORDER BY version;

-- History ---------------------------------------------------------------------------------------------------------
INSERT INTO app (ts, level, component, message) VALUES
    ('2026-01-02 12:00Z', 'ERROR', 'db', 'disk is on fire'), ('2026-01-02 12:01Z', 'INFO', 'db', 'panic: everything melts'), ('2026-01-02 12:02Z', 'INFO', 'db', 'connection 5 closed'), (NULL, 'ERROR', NULL, NULL), ('2026-01-03', 'ERROR', 'db', repeat('é', 5000));
SELECT score_history('app', '2026-01-02');
SELECT ts AT TIME ZONE 'UTC' AS ts_utc, level, component, left(message, 30) AS message, octet_length(message) AS bytes, version, reason FROM anomalies WHERE detector = 'app' ORDER BY ts;
SELECT score_history('app', '2026-01-02 12:01Z', '2026-01-02 12:02Z'), (SELECT count(*) FROM anomalies WHERE detector = 'app') AS before;
SELECT count(*) AS after FROM anomalies WHERE detector = 'app';
SELECT score_history('app');
SELECT count(*) FILTER (WHERE ts IS NULL) AS without_ts, count(*) FILTER (WHERE level = 'ERROR') AS errors, count(*) FILTER (WHERE ts >= '2026-01-02') AS late FROM anomalies WHERE detector = 'app';
SELECT score_history('app', '2027-01-01');
SELECT ts AT TIME ZONE 'UTC' AS ts_utc, source, level, component, left(message, 20) AS message, left(template, 20) AS template, cluster_id, round(anomaly_score::numeric, 2) AS score, is_anomaly, reason FROM log_timeline('app', '2026-01-01 22:13Z') ORDER BY ts, message;
SELECT count(*) AS all_rows, count(DISTINCT template) < 20 AS few_templates FROM log_timeline('app');
DELETE FROM anomalies WHERE detector = 'app';

-- Watching --------------------------------------------------------------------------------------------------------
CREATE FUNCTION caught() RETURNS TABLE (detector text, message text, reason text) LANGUAGE sql AS $$
    WITH gone AS (DELETE FROM anomalies RETURNING *)
    SELECT detector, left(message, 40), reason FROM gone ORDER BY detector, message COLLATE "C"
$$;
SELECT watch('app');
SELECT tgname, tgenabled, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'app'::regclass ORDER BY tgname;
INSERT INTO app (ts, level, message) VALUES ('2026-02-01', 'INFO', 'connection 77 closed'), ('2026-02-01', 'ERROR', 'connection 78 closed'), ('2026-02-01', 'INFO', 'kernel took a nap'), (NULL, NULL, NULL);
SELECT * FROM caught();
COPY app (ts, level, message) FROM STDIN;
2026-02-01	INFO	connection 1 closed
2026-02-01	ERROR	copied error
\N	\N	\N
\.
SELECT * FROM caught();
INSERT INTO app (ts, level, message) SELECT '2026-02-02', level, 'selected ' || message FROM line WHERE id = 3;
WITH x AS (INSERT INTO app (ts, level, message) VALUES ('2026-02-02', 'ERROR', 'from a CTE') RETURNING id) SELECT count(*) FROM x;
MERGE INTO app USING (VALUES (-1)) AS v (id) ON app.id = v.id WHEN NOT MATCHED THEN INSERT (ts, level, message) VALUES ('2026-02-02', 'ERROR', 'merged');
SELECT * FROM caught();
INSERT INTO app (ts, level, message) SELECT NULL, 'ERROR', 'none' WHERE false;
UPDATE app SET level = 'ERROR' WHERE message = 'connection 77 closed';
DELETE FROM app WHERE message = 'merged';
SELECT * FROM caught();
BEGIN;
INSERT INTO app (ts, level, message) VALUES ('2026-02-01', 'ERROR', 'rolled back');
SAVEPOINT s;
INSERT INTO app (ts, level, message) VALUES ('2026-02-01', 'ERROR', 'rolled back to savepoint');
ROLLBACK TO s;
SELECT count(*) FROM anomalies WHERE detector = 'app';
ROLLBACK;
SELECT * FROM caught();
-- Again changes nothing; the other mode replaces; unwatch removes.
SET client_min_messages = notice;
SELECT watch('app'), watch('app', 'statement');
SELECT watch('app', 'row');
SET client_min_messages = warning;
SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'app'::regclass ORDER BY tgname;
SELECT attempt($$SELECT watch('app', 'sometimes')$$), attempt($$SELECT watch('app', NULL)$$), attempt($$SELECT alter_detector('app', new_name => 'app2')$$);
INSERT INTO app (ts, level, message) VALUES ('2026-02-01', 'INFO', 'connection 77 closed'), ('2026-02-01', 'ERROR', 'in row mode');
SELECT * FROM caught();
SET client_min_messages = notice;
SELECT unwatch('app');
SELECT unwatch('app');
SET client_min_messages = warning;
INSERT INTO app (ts, level, message) VALUES ('2026-02-01', 'ERROR', 'nobody looks');
SELECT * FROM caught();

-- Row mode fills columns, and records no row that ON CONFLICT drops.
CREATE TABLE wide (id int PRIMARY KEY, ts timestamptz DEFAULT now(), level text, message text, is_anomaly bool, anomaly_score real, anomaly_reason varchar, cluster_id bigint);
SELECT create_detector('wide', 'wide') > 0 AS made;
SELECT watch('wide', 'row');
INSERT INTO wide (id, level, message) VALUES (1, 'INFO', 'untrained') RETURNING is_anomaly, anomaly_score, anomaly_reason, cluster_id;
ALTER TABLE wide DISABLE TRIGGER USER;
INSERT INTO wide (id, ts, level, message) SELECT i + 10, '2026-01-01', 'INFO', 'job ' || i || ' done in ' || i || ' s' FROM generate_series(1, 400) AS i;
ALTER TABLE wide ENABLE TRIGGER USER;
SELECT train('wide');
INSERT INTO wide (id, level, message, anomaly_reason) VALUES (2, 'INFO', 'job 5 done in 4 s', 'mine'), (3, 'ERROR', 'job 5 done in 4 s', NULL), (4, 'INFO', 'wholly unknown words', NULL)
RETURNING id, is_anomaly, round(anomaly_score::numeric, 2) AS score, anomaly_reason, cluster_id;
INSERT INTO wide (id, level, message) VALUES (3, 'ERROR', 'dropped by conflict'), (5, 'ERROR', 'kept') ON CONFLICT DO NOTHING;
INSERT INTO wide (id, level, message) VALUES (3, 'ERROR', 'updated by conflict') ON CONFLICT (id) DO UPDATE SET message = excluded.message;
SELECT * FROM caught();
-- Two detectors on one table, one with statements, one with rows.
SELECT create_detector('wide2', 'wide', options => '{"severity_override": "never"}') > 0 AS made;
SELECT watch('wide2');
INSERT INTO wide (id, level, message) VALUES (6, 'ERROR', 'seen by both');
SELECT * FROM caught();
SELECT train('wide2');
INSERT INTO wide (id, level, message) VALUES (7, 'ERROR', 'job 6 done in 1 s'), (8, 'INFO', 'wholly unknown words');
SELECT * FROM caught();
-- A message of 1 MB; one that is cut within a character.
INSERT INTO wide (id, level, message) VALUES (100001, 'ERROR', repeat('word ', 200000)), (100002, 'ERROR', 'x' || repeat('€', 3000));
SELECT detector, octet_length(message) AS bytes, octet_length(template) <= 8192 AS template_cut, right(message, 1) AS last FROM anomalies ORDER BY detector, bytes;
SELECT count(*) FROM caught();
SELECT drop_detector('wide2'), drop_detector('wide');
SELECT count(*) AS triggers FROM pg_trigger WHERE tgrelid = 'wide'::regclass;

-- Partitioned: both modes; rows see what goes straight into a partition.
CREATE TABLE parted (ts timestamptz, level text, message text, is_anomaly bool) PARTITION BY RANGE (ts);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
-- The same columns in another order.
CREATE TABLE parted_2 (gone int, message text, is_anomaly bool, ts timestamptz, level text);
ALTER TABLE parted_2 DROP gone;
ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
SELECT create_detector('parted', 'parted') > 0 AS made;
SELECT watch('parted');
INSERT INTO parted VALUES ('2026-01-05', 'ERROR', 'statement, first partition'), ('2026-02-05', 'ERROR', 'statement, second partition'), ('2026-02-05', 'INFO', 'no error');
INSERT INTO parted_1 VALUES ('2026-01-05', 'ERROR', 'statement, straight into the partition');
SELECT * FROM caught();
SELECT watch('parted', 'row');
INSERT INTO parted VALUES ('2026-01-05', 'ERROR', 'row, first partition'), ('2026-02-05', 'ERROR', 'row, second partition') RETURNING tableoid::regclass, message, is_anomaly;
INSERT INTO parted_2 (ts, level, message) VALUES ('2026-02-05', 'ERROR', 'row, straight into the partition');
CREATE TABLE parted_3 PARTITION OF parted FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
INSERT INTO parted_3 VALUES ('2026-03-05', 'ERROR', 'row, new partition');
SELECT * FROM caught();
SELECT drop_detector('parted');
SELECT count(*) AS triggers FROM pg_trigger WHERE tgrelid IN ('parted'::regclass, 'parted_1'::regclass, 'parted_2'::regclass, 'parted_3'::regclass);

-- A view takes no rows, but can be scored.
CREATE VIEW errors AS SELECT ts, message, level FROM app WHERE level = 'ERROR';
SELECT create_detector('errors', 'errors') > 0 AS made;
SELECT attempt($$SELECT watch('errors')$$);
SELECT train('errors');
SELECT score_history('errors') = (SELECT count(*) FROM errors) AS scored;
SELECT reason, count(*) = (SELECT count(*) FROM errors) AS every FROM anomalies WHERE detector = 'errors' GROUP BY 1;
SELECT drop_detector('errors');

-- Paths into jsonb, and times of every kind.
CREATE TABLE event (data jsonb);
SELECT create_detector('event', 'event', message => 'data->>''log''', ts => 'data->>''at''', level => 'data->''labels''->0->>''it''''s''', options => '{"timezone": "Asia/Tokyo"}') > 0 AS made;
SELECT watch('event', 'row');
INSERT INTO event VALUES ('{"log": "one", "at": "2026-01-01 09:00", "labels": [{"it''s": "ERROR"}]}'), ('{"log": "two", "at": "2026-01-01T00:00:00Z", "labels": [{"it''s": "FATAL"}]}'),
    ('{"log": "three", "labels": [{"it''s": "ERROR"}]}'), ('{"log": {"nested": true}, "at": null, "labels": [{"it''s": "ERROR"}]}'), ('[]'), (NULL), ('{"labels": 3}');
SELECT ts AT TIME ZONE 'UTC' AS ts_utc, level, message FROM anomalies WHERE detector = 'event' ORDER BY anomaly_id;
DELETE FROM anomalies;
SELECT attempt($$SELECT train('event')$$), attempt($$SELECT score_history('event')$$);
SELECT ts AT TIME ZONE 'UTC' AS ts_utc, level, message FROM anomalies WHERE detector = 'event' ORDER BY message COLLATE "C";
SELECT drop_detector('event');
CREATE TABLE zoned (naive timestamp, day date, words text, message text, level text DEFAULT 'ERROR');
SELECT create_detector('naive', 'zoned', ts => 'naive', options => '{"timezone": "Asia/Tokyo"}') > 0, create_detector('day', 'zoned', ts => 'day', options => '{"timezone": "Asia/Tokyo"}') > 0, create_detector('words', 'zoned', ts => 'words', options => '{"timezone": "Asia/Tokyo"}') > 0, create_detector('utc', 'zoned', ts => 'naive') > 0;
SELECT watch(d) FROM unnest(ARRAY['naive', 'day', 'words', 'utc']) AS d;
INSERT INTO zoned VALUES ('2026-01-01 09:00', '2026-01-02', '2026-01-03 09:00', 'zones');
SELECT detector, ts AT TIME ZONE 'UTC' AS ts_utc FROM anomalies ORDER BY detector;
SELECT train(d) FROM unnest(ARRAY['naive', 'day', 'words', 'utc']) AS d;
SELECT d, l.ts AT TIME ZONE 'UTC' AS ts_utc FROM unnest(ARRAY['day', 'naive', 'utc', 'words']) AS d, log_timeline(d) AS l;
SELECT current_setting('timezone') AS still;
DELETE FROM anomalies;

-- What cannot be scored lands all the same --------------------------------------------------------------------------
INSERT INTO zoned VALUES ('infinity', '-infinity', 'the day before', 'a time that is none');
SELECT detector, ts FROM anomalies ORDER BY detector;
SELECT detector, sqlstate, failures, rows, last_message FROM scoring_errors;
DELETE FROM anomalies;
-- What reads the rows that are there says which text is no time.
SELECT attempt(call) FROM unnest(ARRAY['SELECT train(''words'')', 'SELECT score_history(''words'')', 'SELECT FROM log_timeline(''words'')']) AS call;
BEGIN;
UPDATE zoned SET words = '2026-02-31' WHERE words = 'the day before';
SELECT attempt('SELECT train(''words'')');
ROLLBACK;
SET logintel.on_error = error;
INSERT INTO zoned VALUES (now(), now(), 'no time', 'refused');
RESET logintel.on_error;
SELECT count(*) AS refused FROM zoned WHERE message = 'refused';
SELECT drop_detector(d) FROM unnest(ARRAY['naive', 'day', 'words', 'utc']) AS d;
DELETE FROM scoring_failures;
SELECT create_detector('broken', 'zoned', ts => 'naive') > 0 AS made;
SELECT train('broken') AS version, watch('broken', 'row');
-- The model is damaged, under a name that no session has decoded yet.
UPDATE model_versions SET artifact = set_byte(artifact, 100, get_byte(artifact, 100) # 1), model_id = gen_random_uuid() WHERE detector = 'broken';
INSERT INTO zoned (naive, message) VALUES ('2026-01-01', 'damaged model'), ('2026-01-01', 'damaged model');
SELECT attempt($$SELECT detect('broken', 'x')$$);
UPDATE model_versions SET artifact = '' WHERE detector = 'broken';
INSERT INTO zoned (naive, message) VALUES ('2026-01-01', 'empty model');
-- The detector's row is gone, its trigger is not.
DELETE FROM detectors WHERE name = 'broken';
INSERT INTO zoned (naive, message) VALUES ('2026-01-01', 'no detector');
SET logintel.on_error = error;
INSERT INTO zoned (naive, message) VALUES ('2026-01-01', 'no detector, and told so');
SET logintel.enabled = off;
INSERT INTO zoned (naive, message) VALUES ('2026-01-01', 'nobody asks');
RESET logintel.enabled;
RESET logintel.on_error;
SELECT message, count(*) FROM zoned WHERE message ~ 'model|detector|nobody' GROUP BY 1 ORDER BY 1;
SELECT detector, sqlstate, failures, rows, last_message FROM scoring_errors ORDER BY sqlstate;
DROP TABLE zoned;
-- A column is dropped or changes its type.
CREATE TABLE changing (ts timestamptz DEFAULT '2026-01-01', level text DEFAULT 'ERROR', message text, spare text);
SELECT create_detector('changing', 'changing') > 0 AS made;
SELECT watch('changing');
INSERT INTO changing (message) VALUES ('before');
ALTER TABLE changing RENAME message TO msg;
INSERT INTO changing (msg) VALUES ('renamed');
SELECT attempt($$SELECT train('changing')$$);
ALTER TABLE changing RENAME msg TO message;
ALTER TABLE changing DROP spare, ALTER level TYPE varchar(10), ADD extra int;
INSERT INTO changing (message) VALUES ('after');
SELECT * FROM caught();
-- A trigger of another's that inserts into a watched table.
CREATE FUNCTION forward() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO changing (message) VALUES ('forwarded ' || NEW.message); RETURN NULL; END $$;
CREATE TABLE outside (message text);
CREATE TRIGGER forward AFTER INSERT ON outside FOR EACH ROW EXECUTE FUNCTION forward();
INSERT INTO outside VALUES ('a'), ('b');
SELECT * FROM caught();
UPDATE detectors SET enabled = false WHERE name = 'changing';
INSERT INTO changing (message) VALUES ('switched off');
SELECT * FROM caught();
UPDATE detectors SET enabled = true WHERE name = 'changing';

-- By hand ---------------------------------------------------------------------------------------------------------
CREATE TABLE hand (ts timestamptz DEFAULT '2026-01-01', level text, message text);
SELECT create_detector('by "hand''s"', 'hand') > 0 AS made;
CREATE TRIGGER scoring AFTER INSERT ON hand REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION score_rows('by "hand''s"');
INSERT INTO hand VALUES (DEFAULT, 'ERROR', 'by hand');
SELECT * FROM caught();
-- unwatch and watch know it, whatever its name is.
SELECT watch('by "hand''s"', 'row');
SELECT tgname FROM pg_trigger WHERE tgrelid = 'hand'::regclass;
INSERT INTO hand VALUES (DEFAULT, 'ERROR', 'watched');
SELECT * FROM caught();
SELECT unwatch('by "hand''s"');
SELECT score_rows();
SELECT score_row();
SELECT detectors_changed();
CREATE FUNCTION misuse(timing text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    EXECUTE 'CREATE TRIGGER misused ' || timing;
    answer := attempt('INSERT INTO hand VALUES (DEFAULT, ''ERROR'', ''misused'')') || ', ' || attempt('UPDATE hand SET message = message');
    DROP TRIGGER misused ON hand;
    RETURN answer;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLERRM;
END $$;
SELECT timing, misuse(timing) FROM unnest(ARRAY[
    'BEFORE INSERT ON hand FOR EACH ROW EXECUTE FUNCTION score_row()', 'AFTER INSERT ON hand FOR EACH ROW EXECUTE FUNCTION score_row(''a'', ''b'')',
    'AFTER INSERT ON hand FOR EACH STATEMENT EXECUTE FUNCTION score_row(''logs'')', 'AFTER UPDATE ON hand FOR EACH ROW EXECUTE FUNCTION score_row(''logs'')',
    'BEFORE INSERT ON hand FOR EACH STATEMENT EXECUTE FUNCTION score_rows(''logs'')', 'AFTER INSERT ON hand FOR EACH STATEMENT EXECUTE FUNCTION score_rows(''logs'')',
    'AFTER INSERT ON hand FOR EACH ROW EXECUTE FUNCTION score_rows(''logs'')', 'AFTER UPDATE ON hand REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION score_rows(''logs'')'
]) AS timing;
SELECT * FROM caught();
DELETE FROM scoring_failures;
SELECT drop_detector('by "hand''s"');

-- The relation is gone: the detector says so and rests ------------------------------------------------------------
DROP TABLE changing, outside;
SELECT statement, attempt(statement) FROM unnest(ARRAY[
    $$SELECT train('changing')$$, $$SELECT watch('changing')$$, $$SELECT score_history('changing')$$, $$SELECT * FROM log_timeline('changing')$$, $$SELECT (detect('changing', 'x', 'ERROR')).reason$$, $$SELECT unwatch('changing')$$, $$SELECT alter_detector('changing', '{}')$$
]) AS statement;
CALL run_maintenance();
SELECT drop_detector('changing');

-- ingest ----------------------------------------------------------------------------------------------------------
SELECT ingest('web', 'ERROR', 'api', 'it broke');
SELECT ingest('web', 'INFO', NULL, 'it works', '2026-01-01 12:00Z'), ingest(NULL, NULL, NULL, 'bare', NULL);
SELECT ingest('{"source": "web", "level": "FATAL", "component": "api", "message": "from JSON", "timestamp": "2026-01-01 12:00:00", "more": [1]}');
SELECT ingest('{"message": "with zone", "ts": "2026-01-01T12:00:00+09:00"}');
SELECT body, attempt(format('SELECT ingest(%L::jsonb)', body)) FROM unnest(ARRAY['{}', '[]', 'null', '"x"', '{"message": 1}', '{"message": null}', '{"message": "x", "timestamp": "yesterday noon"}', '{"message": "x", "timestamp": "2026-13-01"}', '{"message": "x", "timestamp": {}}', '{"message": "x", "timestamp": 5}', '{"message": ""}']) AS body;
SELECT attempt($$SELECT ingest('s', 'l', 'c', NULL)$$), attempt($$SELECT ingest(NULL::jsonb)$$);
SELECT source, level, component, message, CASE WHEN ts <> recorded_at THEN ts AT TIME ZONE 'UTC' END AS ts_utc, is_anomaly, anomaly_score, anomaly_reason, cluster_id FROM logintel.logs ORDER BY log_id;
SELECT * FROM caught();
TRUNCATE logintel.logs;

SELECT drop_detector(d) FROM unnest(ARRAY['app', 'container']) AS d;
SELECT name FROM detectors ORDER BY 1;
SELECT count(*) AS left_over FROM (SELECT FROM model_versions UNION ALL SELECT FROM model_clusters UNION ALL SELECT FROM anomalies) AS x;
DROP TABLE app, wide, parted, event, hand, container, line CASCADE;
DROP FUNCTION attempt, caught, forward, level_rule, misuse;
