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
