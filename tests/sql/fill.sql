-- What scoring fills in a row is what the column could be given, and a row is recorded once whatever triggers there are.
SET client_min_messages = warning;
CREATE SCHEMA fill;
SET search_path = fill, public;

-- Types, and columns that may not be NULL: before there is a model there is no score, and an unseen line has no cluster.
CREATE DOMAIN short AS varchar(7);
CREATE DOMAIN known AS int NOT NULL DEFAULT -2;
CREATE TABLE plain (ts timestamptz, level text, message text, is_anomaly bool, anomaly_score float8, anomaly_reason text, cluster_id int);
CREATE TABLE strict (ts timestamptz, level text, message text, is_anomaly bool NOT NULL DEFAULT false, anomaly_score numeric(4, 2) NOT NULL DEFAULT 0,
    anomaly_reason varchar(5) NOT NULL, cluster_id bigint NOT NULL DEFAULT -1);
CREATE TABLE odd (ts timestamptz, level text, message text, is_anomaly bool, anomaly_score real, anomaly_reason short, cluster_id known DEFAULT -2);
CREATE TABLE short_ints (ts timestamptz, level text, message text, anomaly_reason char(12), cluster_id smallint, anomaly_score numeric);
CREATE TABLE unfit (ts timestamptz, level text, message text, is_anomaly text, anomaly_score date, anomaly_reason name, cluster_id int GENERATED ALWAYS AS (1) STORED);
INSERT INTO plain SELECT timestamptz '2026-01-01 00:00Z' + i * interval '1 minute', 'INFO', 'user ' || i || ' logged in' FROM generate_series(1, 300) AS i;
DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['plain', 'strict', 'odd', 'short_ints', 'unfit'] LOOP
        PERFORM logintel.create_detector(t, t::regclass);
    END LOOP;
END
$$;
SELECT logintel.watch('plain', 'row');
SELECT logintel.watch('strict', 'row');
SELECT logintel.watch('odd', 'row');
SELECT logintel.watch('short_ints', 'row');
SELECT logintel.watch('unfit', 'row');
INSERT INTO plain VALUES ('2026-01-02 09:00Z', 'INFO', 'user 7 logged in');
INSERT INTO strict (ts, level, message, anomaly_reason) VALUES ('2026-01-02 09:00Z', 'INFO', 'user 7 logged in', '');
INSERT INTO odd (ts, level, message) VALUES ('2026-01-02 09:00Z', 'INFO', 'user 7 logged in');
INSERT INTO strict SELECT ts, level, message, false, 0, '' FROM plain WHERE ts < '2026-01-02';
INSERT INTO odd SELECT ts, level, message FROM plain WHERE ts < '2026-01-02';
INSERT INTO short_ints SELECT ts, level, message FROM plain WHERE ts < '2026-01-02';
SELECT logintel.train(name) FROM unnest('{plain,strict,odd,short_ints}'::text[]) AS name;
INSERT INTO plain VALUES ('2026-01-02 10:00Z', 'INFO', 'user 8 logged in'), ('2026-01-02 10:01Z', 'INFO', 'a wholly new thing'), ('2026-01-02 10:02Z', 'ERROR', NULL);
INSERT INTO strict (ts, level, message, anomaly_reason) SELECT ts, level, message, '' FROM plain WHERE ts >= '2026-01-02 10:00Z';
INSERT INTO odd (ts, level, message) SELECT ts, level, message FROM plain WHERE ts >= '2026-01-02 10:00Z';
INSERT INTO short_ints (ts, level, message) SELECT ts, level, message FROM plain WHERE ts >= '2026-01-02 10:00Z';
INSERT INTO unfit (ts, level, message) SELECT ts, level, message FROM plain WHERE ts >= '2026-01-02 10:00Z';
SELECT level, message, is_anomaly, anomaly_score, anomaly_reason, cluster_id FROM plain WHERE ts >= '2026-01-02' ORDER BY ts;
SELECT level, message, is_anomaly, anomaly_score, anomaly_reason, cluster_id FROM strict WHERE ts >= '2026-01-02' ORDER BY ts;
SELECT level, message, is_anomaly, anomaly_score, anomaly_reason, cluster_id FROM odd WHERE ts >= '2026-01-02' ORDER BY ts;
SELECT level, message, anomaly_score, anomaly_reason, cluster_id FROM short_ints WHERE ts >= '2026-01-02' ORDER BY ts;
SELECT level, message, is_anomaly, anomaly_score, anomaly_reason, cluster_id FROM unfit WHERE ts >= '2026-01-02' ORDER BY ts;
-- What is stored can be stored again.
CREATE TABLE again (LIKE strict);
INSERT INTO again SELECT * FROM strict;
SELECT max(length(anomaly_reason)) FROM again;
SELECT detector, failures FROM logintel.scoring_errors WHERE detector IN ('plain', 'strict', 'odd', 'short_ints', 'unfit');

-- Triggers by hand beside those of watch, and beside each other.
CREATE TABLE twice (ts timestamptz, level text, message text);
SELECT logintel.create_detector('twice', 'twice') > 0 AS is_made;
CREATE TRIGGER a_row AFTER INSERT ON twice FOR EACH ROW EXECUTE FUNCTION logintel.score_row('twice');
CREATE TRIGGER b_row AFTER INSERT ON twice FOR EACH ROW EXECUTE FUNCTION logintel.score_row('twice');
CREATE TRIGGER a_rows AFTER INSERT ON twice REFERENCING NEW TABLE AS new FOR EACH STATEMENT EXECUTE FUNCTION logintel.score_rows('twice');
CREATE TRIGGER b_rows AFTER INSERT ON twice REFERENCING NEW TABLE AS new FOR EACH STATEMENT EXECUTE FUNCTION logintel.score_rows('twice');
CREATE FUNCTION recorded(what text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO twice VALUES (now(), 'ERROR', what), (now(), 'ERROR', what);
    RETURN (SELECT count(*) FROM logintel.anomalies WHERE detector = 'twice' AND message = what);
END
$$;
SELECT recorded('all four');
ALTER TABLE twice DISABLE TRIGGER a_row;
SELECT recorded('one is disabled');
ALTER TABLE twice DISABLE TRIGGER b_row;
SELECT recorded('both for rows are');
ALTER TABLE twice ENABLE REPLICA TRIGGER a_row;
SELECT recorded('one fires where changes are applied');
SET session_replication_role = replica;
SELECT recorded('there it does');
RESET session_replication_role;
DROP TRIGGER a_row ON twice;
DROP TRIGGER b_row ON twice;
SELECT recorded('two for statements');
CREATE TRIGGER a_row AFTER INSERT ON twice FOR EACH ROW WHEN (NEW.message LIKE 'some%') EXECUTE FUNCTION logintel.score_row('twice');
SELECT recorded('one for rows has a condition');
-- Two detectors on one table are two.
SELECT logintel.create_detector('other', 'twice') > 0 AS is_made;
SELECT logintel.watch('other', 'row');
SELECT recorded('by two detectors');
SELECT count(*) FROM logintel.anomalies WHERE detector = 'other' AND message = 'by two detectors';

SELECT logintel.drop_detector(name) FROM unnest('{plain,strict,odd,short_ints,unfit,twice,other}'::text[]) AS name;
RESET search_path;
DROP SCHEMA fill CASCADE;
