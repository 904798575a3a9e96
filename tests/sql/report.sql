-- report_html: who sees what on it, and what it says where there is nothing to see. What a browser makes of it: tests/server/tests/report.rs.
SET search_path = logintel, public;
SET timezone = 'UTC';
-- Text of the page: parts that stand between tags, with the entities that it uses put back.
CREATE FUNCTION text_of(page text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT replace(replace(replace(replace(part, '&lt;', '<'), '&gt;', '>'), '&quot;', '"'), '&amp;', '&')
    FROM regexp_split_to_table(regexp_replace(page, '<(style|script)>.*?</\1>', '', 'g'), '<[^>]*>') AS part WHERE part ~ '\S'
$$;
CREATE FUNCTION says(page text, what text) RETURNS bool LANGUAGE sql AS $$
    SELECT string_agg(part, '') LIKE '%' || what || '%' FROM text_of(page) AS part
$$;
CREATE ROLE regress_logintel_report_owner;
CREATE ROLE regress_logintel_report_other;
CREATE ROLE regress_logintel_report_nobody;
GRANT logintel_writer TO regress_logintel_report_owner, regress_logintel_report_other;
CREATE SCHEMA report_test;
GRANT CREATE, USAGE ON SCHEMA report_test TO regress_logintel_report_owner, regress_logintel_report_other;

-- There is no detector: the page says how to make one ----------------------------------------------------------------
SET ROLE regress_logintel_report_owner;
SELECT says(report_html(), 'There is no detector yet') AS head, says(report_html(), 'SELECT logintel.create_detector(''app'', ''app_log'');') AS next;

-- One that is not trained -----------------------------------------------------------------------------------------
CREATE TABLE report_test.app (ts timestamptz, level text, component text, source text, message text);
SELECT create_detector('report_app', 'report_test.app') > 0 AS made;
SELECT says(report_html(), 'No detector is trained yet') AS head, says(report_html(), 'report_app: It has no model yet: lines are judged by their level alone.') AS finding,
       says(report_html('report_app'), 'SELECT logintel.train(''report_app'');') AS next;

-- Trained, and nothing has happened ---------------------------------------------------------------------------------
INSERT INTO report_test.app
SELECT now() - interval '3 hours' - n * interval '10 s', 'INFO', 'shop', 'web1',
       format((ARRAY['order %s received', 'payment for order %s accepted', 'order %s shipped', 'cache hit for user %s'])[n % 4 + 1], n)
FROM generate_series(1, 2000) AS n;
SELECT train('report_app'), watch('report_app');
SELECT says(report_html('report_app'), 'No anomaly') AS no_anomaly, says(report_html('report_app'), 'No incident') AS no_incident,
       says(report_html('report_app'), 'payment for order <*> accepted') AS clusters, says(report_html('report_app'), '2,000') AS trained_on;

-- What has happened -------------------------------------------------------------------------------------------------
INSERT INTO report_test.app
SELECT now() - interval '2 minutes' + n * interval '1 s', 'ERROR', 'shop<b>', 'web1', '<script>alert("' || n || '")</script> & gateway is down' FROM generate_series(1, 12) AS n;
RESET ROLE;
CALL run_maintenance();
SET ROLE regress_logintel_report_owner;
SELECT report_html('report_app') AS page \gset
SELECT says(:'page', '1 incident is open: 1 HIGH') AS head,
       says(:'page', '<script>alert("1")</script> & gateway is down') AS message,
       says(:'page', '12&#160;events') AS events,
       says(:'page', 'shop<b>') AS origin,
       says(:'page', 'gateway') AS term,
       :'page' LIKE '%<script>alert%' AS runs;
-- The explanation is that of anomaly_explain.
SELECT term, to_char(contribution, 'SG0.00') AS part, says(:'page', term) AND says(:'page', to_char(contribution, 'SG0.00')) AS shown
FROM anomaly_explain('report_app', '<script>alert("1")</script> & gateway is down', 'ERROR', 'shop<b>', 'web1') WHERE kind = 'term' ORDER BY contribution DESC, term LIMIT 4;
-- It is the same page as long as nothing has changed.
BEGIN;
SELECT report_html('report_app') = report_html('report_app') AS same;
COMMIT;
-- It is ASCII, whatever it shows.
SELECT octet_length(:'page') = length(:'page') AS ascii, starts_with(:'page', '<!DOCTYPE html>') AS is_page;

-- Who may see it ----------------------------------------------------------------------------------------------------
SELECT report_html('report_none');
\echo :LAST_ERROR_SQLSTATE
SET ROLE regress_logintel_report_nobody;
SELECT report_html();
\echo :LAST_ERROR_SQLSTATE
SET ROLE regress_logintel_report_other;
SELECT report_html('report_app');
\echo :LAST_ERROR_SQLSTATE
SELECT says(report_html(), 'gateway') AS log, says(report_html(), 'report_app') AS name, says(report_html(), 'There is no detector yet') AS none;
-- Of two detectors, that whose log it may read.
CREATE TABLE report_test.mine (ts timestamptz, level text, component text, message text);
INSERT INTO report_test.mine SELECT now() - n * interval '1 minute', 'INFO', 'mine', 'my job ' || n || ' done' FROM generate_series(1, 500) AS n;
SELECT create_detector('report_mine', 'report_test.mine') > 0 AS made;
SELECT train('report_mine');
SELECT says(report_html(), 'report_mine') AS mine, says(report_html(), 'report_app') AS others, report_html() ~ 'o incident is open' AS well;
RESET ROLE;
GRANT SELECT ON report_test.app TO regress_logintel_report_other;
SET ROLE regress_logintel_report_other;
SELECT says(report_html(), 'report_mine') AS mine, says(report_html(), 'report_app') AS others, says(report_html(), 'gateway') AS log;
RESET ROLE;
-- Row-level security shows each role other rows: what was copied is then for the owner.
ALTER TABLE report_test.app ENABLE ROW LEVEL SECURITY;
SET ROLE regress_logintel_report_other;
SELECT says(report_html(), 'gateway') AS log;
SELECT report_html('report_app');
RESET ROLE;
SELECT says(report_html(), 'report_mine') AS mine, says(report_html(), 'report_app') AS app;

-- Nothing of a user's is run: neither what a view does, nor what stands before pg_catalog -----------------------------
SET ROLE regress_logintel_report_owner;
CREATE FUNCTION report_test.trap() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'run as %', current_user; END $$;
CREATE VIEW report_test.trapped AS SELECT now() AS ts, report_test.trap() AS message;
SELECT create_detector('report_trap', 'report_test.trapped', message => 'message', ts => 'ts') > 0 AS made;
-- A name is a name, on the page and in the SQL that it proposes.
SELECT create_detector('report_it''s <b>"', 'report_test.trapped', message => 'message', ts => 'ts') > 0 AS made;
SELECT says(report_html('report_it''s <b>"'), 'SELECT logintel.train(''report_it''''s <b>"'');') AS next;
CREATE FUNCTION report_test.count(text) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'run as %', current_user; END $$;
RESET ROLE;
SET search_path = report_test, pg_catalog, logintel, public;
SELECT says(report_html(), 'report_trap: It has no model yet') AS shown;
SET search_path = logintel, public;

-- What is wrong is said, with the way out -----------------------------------------------------------------------------
INSERT INTO scoring_failures (detector, rows, sqlstate, message) VALUES ('report_app', 7, 'XX000', 'the model is <corrupt>');
DROP TABLE report_test.mine;
SELECT says(report_html('report_app'), 'report_app: 7 rows of the last day landed without being scored: the model is <corrupt>') AS failures,
       says(report_html('report_app'), 'SELECT * FROM logintel.scoring_errors;') AS next, says(report_html('report_app'), 'report_mine') AS others,
       says(report_html(), 'report_mine: The relation that it is for is gone.') AS gone;
-- All that the view status says is there, and no incident twice.
SELECT topic, says(report_html(), summary) AS shown, says(report_html(), what_to_do) AS next
FROM status WHERE state <> 'ok' AND topic IN ('detector', 'scoring', 'incidents') AND detector IN ('report_app', 'report_mine') ORDER BY topic, detector;
-- A resolved incident is no trouble.
SELECT resolve_incident(incident_id, 'the <b>gateway</b> is back') FROM incidents WHERE detector = 'report_app';
DELETE FROM scoring_failures WHERE detector = 'report_app';
SELECT report_html('report_app') ~ 'o incident is open' AS head, says(report_html('report_app'), 'the <b>gateway</b> is back') AS note;

SELECT count(drop_detector(name)) FROM detectors WHERE name LIKE 'report\_%';
DROP SCHEMA report_test CASCADE;
DROP OWNED BY regress_logintel_report_owner, regress_logintel_report_other;
DROP ROLE regress_logintel_report_owner, regress_logintel_report_other, regress_logintel_report_nobody;
DROP FUNCTION says, text_of;
