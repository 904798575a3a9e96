-- tfidf_fit, tfidf_model, log_embed: values of scikit-learn, every mistake, both forms of the type, plans.
SET search_path = public, logintel;

-- As scikit-learn -------------------------------------------------------------------------------------------------
-- What its TfidfVectorizer makes of the same messages with each option (tests/oracle/tfidf_sql.py).
CREATE TABLE message (id int GENERATED ALWAYS AS IDENTITY, message text);
CREATE TABLE expected (id int GENERATED ALWAYS AS IDENTITY, options jsonb, terms text[], df bigint[], idf float8[], vectors logvec[]);
\getenv abs_srcdir PG_ABS_SRCDIR
\set values :abs_srcdir '/data/tfidf_expected.sql'
\set ECHO none
\i :values
\set ECHO all
CREATE TABLE fitted AS
SELECT id, (SELECT tfidf_fit(message, options) FROM message) AS model FROM expected;
SELECT options, cardinality(expected.terms) AS terms, expected.terms = found.terms AS same_terms, expected.df = found.df AS same_df,
       (SELECT max(abs(e - f)) < 1e-12 FROM unnest(expected.idf, found.idf) AS u (e, f)) AS same_idf,
       (SELECT count(*) FILTER (WHERE (v IS NULL) <> (e IS NULL) OR l2_distance(v, e) > 1e-6)
        FROM (SELECT log_embed(model, message) AS v, vectors[message.id] AS e FROM message) AS pairs) AS different_vectors
FROM expected JOIN fitted USING (id),
     LATERAL (SELECT array_agg(term ORDER BY idx) AS terms, array_agg(t.df ORDER BY idx) AS df, array_agg(t.idf ORDER BY idx) AS idf
              FROM tfidf_terms(model) AS t) AS found
ORDER BY id;

-- A look at one of them.
CREATE TABLE three AS SELECT * FROM (VALUES (1, 'disk full on sda'), (2, 'disk full on sdb'), (3, 'link up')) AS t (id, message);
SELECT t.term, t.idx, t.df, round(t.idf::numeric, 6) AS idf FROM (SELECT tfidf_fit(message) AS model FROM three) AS f, tfidf_terms(model) AS t;
SELECT tfidf_summary(tfidf_fit(message, '{"min_df": 2, "ngram_range": [1, 2]}')) - 'bytes' AS summary FROM three;
SELECT id, log_embed(model, message) FROM three, (SELECT tfidf_fit(message, '{"norm": null, "use_idf": false}') AS model FROM three) AS f ORDER BY id;

-- Ties at max_features go to the first in the alphabet.
SELECT array_agg(term ORDER BY idx) FROM (SELECT tfidf_fit(m, '{"max_features": 3}') AS model FROM (VALUES ('zz yy xx'), ('bb aa zz')) AS t (m)) AS f, tfidf_terms(model);

-- Masks come before terms, and are terms where they are words to the pattern.
SELECT masks, array_agg(term ORDER BY idx) AS terms
FROM (VALUES ('false'::jsonb), ('true'), ('[{"name": "disk", "pattern": "sd[a-z]"}]'), ('[]')) AS o (masks),
     LATERAL (SELECT tfidf_fit(m, jsonb_build_object('masks', masks, 'token_pattern', '\S+')) AS model
              FROM (VALUES ('disk sda at 10.0.0.1 full since 2024-01-02 03:04:05')) AS t (m)) AS f, tfidf_terms(model)
GROUP BY masks ORDER BY masks;

-- Few messages ----------------------------------------------------------------------------------------------------
SELECT tfidf_fit(message) IS NULL AS no_rows FROM three WHERE false;
SELECT tfidf_fit(message, '{}') IS NULL AS no_rows FROM three WHERE false;
SELECT tfidf_fit(NULL) IS NULL AS only_nulls FROM three;
SELECT tfidf_summary(tfidf_fit(m))->'documents' AS documents FROM (VALUES ('one word'), (NULL), (''), (NULL)) AS t (m);
SELECT tfidf_summary(tfidf_fit(m))->'documents' AS one_row FROM (VALUES ('one word')) AS t (m);
SELECT t.* FROM (SELECT tfidf_fit('same words') AS model FROM generate_series(1, 1000)) AS f, tfidf_terms(model) AS t;
SELECT log_embed(model, NULL) IS NULL AS null_message, log_embed(NULL, 'x') IS NULL AS null_model, log_embed(model, ''), log_embed(model, 'nothing known'),
       log_embed(model, 'link link up')
FROM (SELECT tfidf_fit(message) AS model FROM three) AS f;
SELECT count(*) FROM tfidf_terms(NULL);

-- Mistakes --------------------------------------------------------------------------------------------------------
CREATE FUNCTION attempt(options jsonb, messages text[] DEFAULT ARRAY['disk full on sda', 'disk full on sdb', 'link up']) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
    detail text;
BEGIN
    RETURN 'fitted ' || (SELECT tfidf_summary(tfidf_fit(m, options))->>'terms' FROM unnest(messages) AS m);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT, detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ' ' || SQLERRM || CASE WHEN detail = '' THEN '' ELSE ' / ' || detail END || CASE WHEN hint = '' THEN '' ELSE ' / ' || hint END;
END $$;
SELECT options, attempt(options) FROM unnest(ARRAY[
    '{"analyser": "word"}', '{"masks": true, "Lowercase": true}', '{"strip_accents": "ascii"}', '[]', '"word"', '1', 'null', NULL,
    '{"analyzer": "words"}', '{"analyzer": null}', '{"analyzer": 1}', '{"lowercase": "true"}', '{"lowercase": null}',
    '{"token_pattern": null}', '{"token_pattern": "("}', '{"token_pattern": "(a)(b)"}', '{"token_pattern": "(?P<x>a"}', '{"token_pattern": ""}',
    '{"stop_words": "german"}', '{"stop_words": [1]}', '{"stop_words": {}}', '{"stop_words": []}',
    '{"ngram_range": 2}', '{"ngram_range": [1]}', '{"ngram_range": [1, 2, 3]}', '{"ngram_range": [2, 1]}', '{"ngram_range": [0, 1]}', '{"ngram_range": [1, 1000]}', '{"ngram_range": ["1", "2"]}', '{"ngram_range": [1.5, 2]}',
    '{"min_df": 0}', '{"min_df": -1}', '{"min_df": 1.5}', '{"min_df": -0.1}', '{"min_df": "1"}', '{"min_df": null}', '{"min_df": 0.0}', '{"min_df": 1e30}',
    '{"max_df": 0}', '{"max_df": 1.1}', '{"max_df": "all"}', '{"max_df": 18446744073709551616}',
    '{"max_features": 0}', '{"max_features": -5}', '{"max_features": 1.5}', '{"max_features": "many"}', '{"max_features": null}',
    '{"binary": 1}', '{"norm": "l3"}', '{"norm": false}', '{"use_idf": "no"}', '{"smooth_idf": 0}', '{"sublinear_tf": []}',
    '{"masks": "all"}', '{"masks": null}', '{"masks": [{"name": "x"}]}', '{"masks": [{"name": "x", "pattern": "("}]}', '{"masks": [{"name": "x", "pattern": "x", "flags": "i"}]}', '{"masks": [1]}', '{"masks": [{"name": 1, "pattern": "x"}]}'
]::jsonb[]) AS options;
-- Nothing left to learn, said as scikit-learn says it.
SELECT options, messages, attempt(options, messages) FROM (VALUES
    ('{}'::jsonb, ARRAY['', '']), ('{}', ARRAY['a b', '. !']), ('{"stop_words": ["only"]}', ARRAY['only']), ('{"token_pattern": "\\d{9}"}', ARRAY['no numbers']),
    ('{"ngram_range": [5, 6]}', ARRAY['too few words']), ('{"min_df": 2}', ARRAY['all', 'different']), ('{"max_df": 0.5}', ARRAY['same', 'same']), ('{"max_df": 1}', ARRAY['same', 'same']),
    ('{"min_df": 3, "max_df": 2}', ARRAY['xx', 'xx', 'xx']), ('{"min_df": 0.9, "max_df": 0.5}', ARRAY['xx', 'xx', 'xx', 'xx']), ('{"min_df": 5}', ARRAY['xx', 'xx']), ('{"min_df": 5, "max_df": 0.9}', ARRAY['xx', 'xx'])
) AS t (options, messages);
-- Options are one for all rows.
SELECT tfidf_fit(message, jsonb_build_object('min_df', id)) FROM three;
SELECT tfidf_fit(message, CASE WHEN id > 1 THEN '{}'::jsonb END) FROM three;
SELECT id % 2 AS part, tfidf_summary(tfidf_fit(message, jsonb_build_object('min_df', 1 + id % 2)))->'terms' AS terms FROM three CROSS JOIN generate_series(1, 2) GROUP BY id % 2 ORDER BY 1;
-- The steps of the aggregate are nobody's to call; how that is said differs between versions of PostgreSQL.
DO $$
BEGIN
    PERFORM tfidf_fit_accum(NULL, 'x');
    RAISE EXCEPTION 'a step was called';
EXCEPTION WHEN undefined_function OR feature_not_supported THEN NULL;
END $$;
-- As a window, state grows with the frame.
SELECT id, tfidf_summary(tfidf_fit(message) OVER (ORDER BY id))->'terms' AS terms FROM three ORDER BY id;
SELECT tfidf_summary(tfidf_fit(DISTINCT m))->'documents' AS documents FROM (VALUES ('xx'), ('xx'), ('yy')) AS t (m);
SELECT tfidf_summary(tfidf_fit(message) FILTER (WHERE id < 3))->'documents' AS documents FROM three;

-- The type --------------------------------------------------------------------------------------------------------
-- Text, binary, a table, a dump: what comes back is the same, to the byte.
CREATE TABLE model (id int PRIMARY KEY, model tfidf_model);
INSERT INTO model SELECT id, model FROM fitted;
INSERT INTO model VALUES (0, NULL);
SELECT count(*) FILTER (WHERE model::text::tfidf_model::text <> model::text) AS text_differs FROM model;
SELECT file AS filename, format($$cat >/dev/null; rm '%s'$$, file) AS remove
FROM (SELECT current_setting('data_directory') || '/tfidf.test' AS file) AS f \gset
COPY model TO :'filename' WITH (FORMAT binary);
CREATE TABLE copy (LIKE model);
COPY copy FROM :'filename' WITH (FORMAT binary);
SELECT count(*) AS rows, count(*) FILTER (WHERE model.model::text IS DISTINCT FROM copy.model::text) AS differs FROM model FULL JOIN copy USING (id);
COPY (SELECT) TO PROGRAM :'remove';
SELECT count(*) AS differs FROM model, message WHERE log_embed(model, message) <> log_embed((model::text)::tfidf_model, message);
SELECT typstorage, typlen, typcategory FROM pg_type WHERE oid = 'tfidf_model'::regtype;

-- Damage is found: in base64, in every byte of the artifact, at its end.
CREATE FUNCTION attempt_text(form text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
    model tfidf_model;
BEGIN
    model := form;
    RETURN format('%s terms of %s embedded in %s', nnz(log_embed(model, 'link up on sda')), (SELECT count(*) FROM tfidf_terms(model)), vector_dims(log_embed(model, '')));
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN SQLSTATE || ' ' || SQLERRM || ' / ' || hint;
END $$;
SELECT form, attempt_text(form) FROM unnest(ARRAY['', 'x', '====', 'not base64!', 'TEdJVAEA', 'TEdJ']) AS form;
CREATE TABLE bytes AS SELECT tfidf_model_send(tfidf_fit(message)) AS b FROM three;
SELECT left(encode(b, 'escape'), 4) AS magic, get_byte(b, 4) AS version FROM bytes;
SELECT count(*) AS places, regexp_replace(attempt_text(encode(set_byte(b, at, get_byte(b, at) # 1), 'base64')), '\d{2,}', 'N', 'g') AS answer
FROM bytes, generate_series(0, length(b) - 1) AS at GROUP BY answer ORDER BY answer;
SELECT count(*) AS lengths, attempt_text(encode(substr(b, 1, n), 'base64')) AS answer FROM bytes, generate_series(0, length(b) - 1) AS n GROUP BY answer ORDER BY answer;
SELECT attempt_text(encode(b || '\x00', 'base64')), attempt_text(encode(b, 'base64')) AS in_several_lines FROM bytes;
-- A model of a later format, whole but unknown (its checksum holds).
CREATE FUNCTION crc32(b bytea) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    crc bigint := 4294967295;
BEGIN
    FOR i IN 0 .. length(b) - 1 LOOP
        crc := crc # get_byte(b, i);
        FOR bit IN 1 .. 8 LOOP
            crc := (crc >> 1) # (CASE WHEN crc & 1 = 1 THEN 3988292384 ELSE 0 END);
        END LOOP;
    END LOOP;
    RETURN crc # 4294967295;
END $$;
CREATE FUNCTION seal(b bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT substr(b, 1, 14) || set_byte(set_byte(set_byte(set_byte('\x00000000', 0, (c & 255)::int), 1, (c >> 8 & 255)::int), 2, (c >> 16 & 255)::int), 3, (c >> 24)::int) || substr(b, 19)
    FROM (SELECT public.crc32(substr(b, 1, 14) || substr(b, 19)) AS c) AS x
$$;
SELECT seal(b) = b AS seals_as_we_do, attempt_text(encode(seal(set_byte(b, 4, 2)), 'base64')) AS later, attempt_text(encode(seal(set_byte(b, 4, 0)), 'base64')) AS none,
       attempt_text(encode(seal(set_byte(b, 3, ascii('D'))), 'base64')) AS another_kind FROM bytes;
-- Whole and well sealed, but not what we write: an error or a model (of one term less, where its mark is taken), never a crash.
SELECT count(*) AS tried, count(*) FILTER (WHERE attempt_text(encode(seal(set_byte(b, at, v)), 'base64')) ~ '^(\d terms of ([67]) embedded in \2$|22P03 |22023 invalid value for option "token_pattern")') AS answered
FROM bytes, generate_series(18, length(b) - 1) AS at, unnest(ARRAY[0, 1, 127, 255]) AS v;
-- Bytes are checked when they come, in binary form too.
COPY (SELECT set_byte(b, 40, 255) AS b FROM bytes) TO :'filename' WITH (FORMAT binary);
CREATE TABLE received (model tfidf_model);
COPY received FROM :'filename' WITH (FORMAT binary);
COPY (SELECT) TO PROGRAM :'remove';
SELECT count(*) FROM received;

-- Call sites ------------------------------------------------------------------------------------------------------
-- A model decoded once is never used for another.
SELECT count(*) AS pairs, count(*) FILTER (WHERE alternating <> alone) AS different
FROM (SELECT m.id, x.message, log_embed(m.model, x.message) AS alternating,
             (SELECT log_embed(model, x.message) FROM model WHERE model.id = m.id) AS alone
      FROM message AS x, model AS m WHERE m.model IS NOT NULL AND x.message IS NOT NULL ORDER BY x.id, m.id) AS p;
-- Out of line, the same.
CREATE TABLE large AS SELECT n, tfidf_fit('word' || i * n) AS model FROM generate_series(1, 3000) AS i, generate_series(1, 3) AS n GROUP BY n;
SELECT n, pg_column_size(model) > 10000 AS out_of_line, log_embed(model, 'word' || n || ' word' || 2 * n || ' wordx') AS vector,
       log_embed((SELECT model FROM large AS o WHERE o.n = 4 - large.n), 'word3') AS other
FROM large ORDER BY n;
UPDATE large SET model = (SELECT tfidf_fit('entirely new')) WHERE n = 2;
SELECT n, vector_dims(log_embed(model, 'x')) FROM large ORDER BY n;

-- Long messages.
SELECT tfidf_summary(model)->'terms' AS terms, log_embed(model, repeat('xx yy ', 174763)) AS vector
FROM (SELECT tfidf_fit(m) AS model FROM (VALUES (repeat('xx yy ', 174763)), (repeat('z', 1 << 20))) AS t (m)) AS f;
SELECT tfidf_summary(tfidf_fit(repeat('ab', 524288), '{"analyzer": "char", "ngram_range": [1, 3]}'))->'terms' AS terms;
SELECT tfidf_summary(tfidf_fit(repeat('ab', 524288), '{"analyzer": "char_wb", "ngram_range": [2, 2]}'))->'terms' AS terms;
-- A vocabulary that does not fit is refused; the server lives.
SET logintel.maintenance_mem = '1MB';
\set VERBOSITY sqlstate
SELECT tfidf_fit(md5(i::text)) FROM generate_series(1, 200000) AS i;
\set VERBOSITY default
RESET logintel.maintenance_mem;

-- Plans -----------------------------------------------------------------------------------------------------------
CREATE TABLE big AS SELECT 'user ' || i % 97 || ' moved block' || i % 1009 || ' to rack ' || chr(97 + i % 26) || i % 7 AS message FROM generate_series(1, 30000) AS i;
ANALYZE big;
CREATE TABLE serial AS SELECT tfidf_fit(message, '{"ngram_range": [1, 2], "min_df": 2, "max_features": 500}') AS model FROM big;
SET max_parallel_workers_per_gather = 3;
SET min_parallel_table_scan_size = 0;
SET parallel_setup_cost = 0;
EXPLAIN (COSTS OFF) SELECT tfidf_fit(message, '{"ngram_range": [1, 2], "min_df": 2, "max_features": 500}') FROM big;
SELECT serial.model::text = parallel.model::text AS same FROM serial, (SELECT tfidf_fit(message, '{"ngram_range": [1, 2], "min_df": 2, "max_features": 500}') AS model FROM big) AS parallel;
-- Workers that saw no row, only NULLs, or other options.
SELECT tfidf_fit(message) IS NULL FROM big WHERE message < '';
SELECT tfidf_summary(tfidf_fit(CASE WHEN message LIKE 'user 1 %' THEN message END))->'documents' AS documents FROM big;
\set VERBOSITY terse
SELECT tfidf_fit(message, CASE WHEN ctid = '(0,1)' THEN '{"min_df": 3}' ELSE '{"min_df": 2}' END::jsonb) FROM big;
\set VERBOSITY default
SET enable_material = off;
EXPLAIN (COSTS OFF) SELECT sum(nnz(log_embed(model, message))) FROM big, serial;
RESET enable_material;
SELECT sum(nnz(log_embed(model, message))) > 0 AS embedded FROM big, serial;
RESET max_parallel_workers_per_gather;
RESET min_parallel_table_scan_size;
RESET parallel_setup_cost;
SELECT p.oid::regprocedure, provolatile, proparallel, procost > 1 AS has_cost FROM pg_proc AS p WHERE proname IN ('log_embed', 'tfidf_fit', 'tfidf_terms', 'tfidf_summary') AND pronamespace = 'logintel'::regnamespace ORDER BY 1;

DROP TABLE message, expected, fitted, three, model, copy, bytes, received, large, big, serial;
DROP FUNCTION attempt, attempt_text, public.crc32, seal;
