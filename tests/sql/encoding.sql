-- Text in the server's encoding: converted where it can be, U+FFFD where bytes are no text. In databases of their own.
CREATE DATABASE logintel_latin1 TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C';
CREATE DATABASE logintel_ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C';
\c logintel_latin1
SET client_encoding = 'UTF8';
SET search_path = public, logintel;
CREATE EXTENSION logintel;
-- The model is the same as in UTF-8: é is one letter, lowercased as such.
SELECT term, length(term), octet_length(term) FROM (SELECT tfidf_fit(m) AS model FROM (VALUES ('CAFÉ größe'), ('café')) AS t (m)) AS f, tfidf_terms(model);
SELECT log_embed(model, 'Café') FROM (SELECT tfidf_fit(m) AS model FROM (VALUES ('CAFÉ'), ('the')) AS t (m)) AS f;
CREATE TABLE app (ts timestamptz DEFAULT '2026-01-01', level text, message text);
SELECT create_detector('app', 'app') > 0 AS made;
SELECT watch('app', 'row');
INSERT INTO app (level, message) VALUES ('ERROR', 'Übergröße'), ('ERROR', 'Maß voll');
SELECT detector, message, template FROM anomalies;
CALL run_maintenance();
SELECT messages, title FROM incidents;
SELECT (detect('app', 'Ärger', 'INFO')).template;
INSERT INTO app (level, message) SELECT 'INFO', 'Größe ' || i || ' geändert' FROM generate_series(1, 200) AS i;
SELECT train('app');
SELECT anomaly_score('app', 'Größe 7 geändert') AS ordinary, anomaly_score('app', 'Ärger') AS strange, nnz(log_embed('app', 'Größe')) AS words;
SELECT template FROM model_clusters;
SELECT message, template, reason FROM log_timeline('app') WHERE is_anomaly;
SELECT drop_detector('app');
\c logintel_ascii
SET search_path = public, logintel;
CREATE EXTENSION logintel;
SELECT encode(term::bytea, 'escape') AS term FROM (SELECT tfidf_fit(m) AS model FROM (VALUES (E'good \xff\xfe bad'), (E'caf\xe9 caf\xc3\xa9')) AS t (m)) AS f, tfidf_terms(model);
CREATE TABLE app (ts timestamptz DEFAULT '2026-01-01', level text, message text);
SELECT create_detector('app', 'app') > 0 AS made;
SELECT watch('app');
INSERT INTO app (level, message) VALUES ('ERROR', E'broken \xff byte'), ('ERROR', E'cut \xe2\x82'), (E'\xff', 'x'), ('ERROR', 'twice');
SELECT encode(message::bytea, 'escape') AS message FROM anomalies ORDER BY anomaly_id;
CALL run_maintenance();
SELECT event_count, encode(messages[1]::bytea, 'escape') AS first FROM incidents;
\c postgres
DROP DATABASE logintel_latin1 WITH (FORCE);
DROP DATABASE logintel_ascii WITH (FORCE);
