-- A detector on a foreign table: FOR EACH ROW only, for it has no transition tables. The other server is this one.
SET search_path = public, logintel;
SET client_min_messages = warning;
SELECT count(*) = 0 AS missing FROM pg_available_extensions WHERE name = 'postgres_fdw' \gset
\if :missing
\quit
\endif
CREATE EXTENSION postgres_fdw;
DO $$
BEGIN
    EXECUTE format('CREATE SERVER here FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host %L, port %L, dbname %L)',
                   split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'), current_database());
    EXECUTE format('CREATE USER MAPPING FOR CURRENT_USER SERVER here OPTIONS (user %L)', current_user);
END $$;
CREATE TABLE remote (ts timestamptz, level text, message text, is_anomaly bool, anomaly_reason text);
CREATE FOREIGN TABLE local (ts timestamptz, level text, message text, is_anomaly bool, anomaly_reason text) SERVER here OPTIONS (table_name 'remote');
SELECT create_detector('foreign', 'local') > 0 AS made;
SELECT watch('foreign');
SELECT watch('foreign', 'row');
INSERT INTO local (ts, level, message) VALUES ('2026-01-01', 'INFO', 'all is well'), ('2026-01-01', 'ERROR', 'far away trouble') RETURNING message, is_anomaly, anomaly_reason;
SELECT message, is_anomaly, anomaly_reason FROM remote ORDER BY message;
SELECT detector, message, reason FROM anomalies;
DELETE FROM anomalies;
-- Copied, selected, rolled back there and here.
COPY local (ts, level, message) FROM STDIN;
2026-01-01	ERROR	copied
2026-01-01	INFO	copied, too
\.
INSERT INTO local (ts, level, message) SELECT '2026-01-01', 'ERROR', 'selected ' || i FROM generate_series(1, 2) AS i;
BEGIN;
INSERT INTO local (ts, level, message) VALUES ('2026-01-01', 'ERROR', 'rolled back');
ROLLBACK;
SELECT detector, message, count(*) FROM anomalies GROUP BY 1, 2 ORDER BY 2;
DELETE FROM anomalies;
DELETE FROM remote WHERE message ~ 'copied|selected';
-- A partition that is elsewhere.
CREATE TABLE parted (ts timestamptz, level text, message text) PARTITION BY RANGE (ts);
CREATE TABLE parted_here PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE elsewhere (ts timestamptz, level text, message text);
CREATE FOREIGN TABLE parted_there PARTITION OF parted FOR VALUES FROM ('2026-02-01') TO ('2026-03-01') SERVER here OPTIONS (table_name 'elsewhere');
SELECT create_detector('parted', 'parted') > 0 AS made;
SELECT watch('parted');
INSERT INTO parted VALUES ('2026-01-05', 'ERROR', 'here'), ('2026-02-05', 'ERROR', 'there');
COPY parted FROM STDIN;
2026-01-05	ERROR	copied here
2026-02-05	ERROR	copied there
\.
SELECT watch('parted', 'row');
INSERT INTO parted VALUES ('2026-01-05', 'ERROR', 'here by row'), ('2026-02-05', 'ERROR', 'there by row');
COPY parted FROM STDIN;
2026-01-05	ERROR	copied here by row
2026-02-05	ERROR	copied there by row
\.
SELECT message, count(*) FROM anomalies GROUP BY 1 ORDER BY 1;
SELECT message, count(*) FROM parted GROUP BY 1 ORDER BY 1;
SELECT drop_detector('parted');
DELETE FROM anomalies;
DROP TABLE parted, elsewhere;
-- It is read as any other relation.
INSERT INTO remote SELECT '2026-01-01'::timestamptz + i * interval '1 s', 'INFO', 'request ' || i || ' served' FROM generate_series(1, 300) AS i;
SELECT train('foreign', '2026-01-01 00:00:01');
SELECT training_rows, clusters FROM models WHERE detector = 'foreign';
SELECT score_history('foreign');
SELECT detector, message, reason FROM anomalies ORDER BY message;
SELECT drop_detector('foreign');
SELECT count(*) AS triggers FROM pg_trigger WHERE tgrelid = 'local'::regclass;
DROP EXTENSION postgres_fdw CASCADE;
DROP TABLE remote;
