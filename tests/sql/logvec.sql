-- The type logvec: literals, type modifier, operators, storage, aggregates.
SET search_path = public, logintel;

-- What goes in comes out in one form: ascending, without zeros, shortest floats.
SELECT literal, literal::logvec FROM unnest(ARRAY[
    '{}/1', ' { } / 5 ', '{1:1.5,3:3.5}/5', E'\t{\n3 :\r3.5 , 1: 1.5 } / 5\n', '{5:-0,4:0.0,3:0e9,2:-1}/5',
    '{+1:+1}/+2', '{001:.5,2:5.}/02', '{1:1e5,2:1E-5,3:1e6,4:123456.7,5:0.0001}/5',
    '{1000000000:3.4028235e38}/1000000000', '{1:1e-45,2:-1.17549435e-38}/2', '{1:0.1,2:0.33333333333}/2'
]) AS literal;

-- Every mistake has its own message and SQLSTATE.
CREATE FUNCTION attempt(literal text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
BEGIN
    RETURN literal::logvec::text;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN SQLSTATE || ' ' || SQLERRM || CASE WHEN hint = '' THEN '' ELSE ' (hint)' END;
END $$;
SELECT literal, attempt(literal) FROM unnest(ARRAY[
    '', ' ', '1:1}/2', '[1,2,3]', '{', '{1', '{1:', '{1:1', '{1:1}', '{1:1}/', '{1:1}/x', '{1:1}/2x', '{1:1}/2.5', '{1:1}}/2',
    '{{1:1}/2', '{1:1}/2/3', '{1:1,}/2', '{,1:1}/2', '{,}/2', '{1:1,,2:1}/2', '{1:1 2:1}/2', '{1.5:1}/2', '{a:1}/2', '{1:a}/2',
    '{1:}/2', '{:1}/2', '{1:.}/2', '{1:--1}/2', '{- 1:1}/2', '{1:1e}/2', '{1:1e+}/2', '{1:0x10}/2', '{1:1_0}/2', '{1;1}/2',
    '{0:1}/2', '{-1:1}/2', '{1000000001:1}/2', '{2147483648:1}/2', '{4294967297:1}/2', '{9223372036854775808:1}/2',
    '{-9223372036854775809:1}/2', '{1:nan}/2', '{1:-NaN}/2', '{1:Infinity}/2', '{1:-inf}/2', '{1:4e38}/2', '{1:-4e38}/2',
    '{1:1e-46}/2', '{1:1e9999999999}/2', '{1:1}/0', '{}/0', '{}/-1', '{}/1000000001', '{}/2147483648', '{}/4294967297',
    '{}/9223372036854775808', '{3:1}/2', '{3:0}/2', '{1:1,1:2}/2', '{2:1,1:1,2:0}/2'
]) AS literal;
-- A message repeats only the beginning of a long token.
SELECT attempt('{1:1' || repeat('0', 100) || '}/2');
-- At most a million non-zeros.
SELECT attempt('{' || string_agg(i || ':1', ',') || '}/1000000000') FROM generate_series(1, 1000001) AS i;
SELECT nnz(('{' || string_agg(i || ':1', ',') || '}/1000000000')::logvec) FROM generate_series(1, 1000000) AS i;

-- Floats are written as float4out writes them.
SELECT count(*) AS compared, count(*) FILTER (WHERE logvec::text <> format('{1:%s}/1', value)) AS different
FROM (SELECT value, format('{1:%s}/1', value)::logvec AS logvec
      FROM (SELECT (mantissa::float8 / 8388608 * 2.0::float8 ^ exponent)::float4 AS value
            FROM generate_series(-148, 127) AS exponent,
                 (SELECT (hashint4(i)::bigint & 8388607) + 8388608 AS mantissa FROM generate_series(1, 200) AS i
                  UNION ALL SELECT 8388608 UNION ALL SELECT 8388609 UNION ALL SELECT 16777215) AS mantissas
            UNION ALL SELECT i::float4 FROM generate_series(1, 20000) AS i
            UNION ALL SELECT (i * 10.0::float8 ^ e)::float4 FROM generate_series(1, 99) AS i, generate_series(-40, 36) AS e) AS v
      WHERE value <> 0) AS vectors;

-- Type modifier.
CREATE TABLE v (id int, vec logvec(3));
\d v
INSERT INTO v VALUES (1, '{1:1}/3');
INSERT INTO v VALUES (2, '{1:1}/4');
INSERT INTO v SELECT 2, '{1:1}/4'::text::logvec;
UPDATE v SET vec = '{}/2'::logvec;
SELECT '{1:1}/3'::logvec(3), '{1:1}/3'::text::logvec(3);
SELECT '{1:1}/3'::logvec::logvec(4);
SELECT '{}/1'::logvec(0);
SELECT '{}/1'::logvec(1000000001);
SELECT '{}/1'::logvec(1, 2);
SELECT '{}/1'::logvec(-1);
DROP TABLE v;

-- Functions and operators.
SELECT vector_dims('{2:3,4:4}/9'), nnz('{2:3,4:4}/9'), l2_norm('{2:3,4:4}/9'), l2_norm('{}/9');
SELECT '{1:1,2:2}/3'::logvec <-> '{2:2,3:-1}/3' AS l2, l2_distance('{1:1}/2', '{2:1}/2'), '{}/3'::logvec <-> '{}/3' AS zero;
SELECT '{1:1,2:2}/3'::logvec <#> '{2:2,3:-1}/3' AS negative, inner_product('{1:1,2:2}/3', '{2:2,3:-1}/3'), '{1:1}/2'::logvec <#> '{2:1}/2' AS zero;
SELECT '{1:1}/2'::logvec <=> '{1:5}/2' AS same, '{1:1}/2'::logvec <=> '{1:-2}/2' AS opposite, '{1:1}/2'::logvec <=> '{2:3}/2' AS right_angle,
       '{1:1}/2'::logvec <=> '{}/2' AS one_zero, '{}/2'::logvec <=> '{}/2' AS both_zero, cosine_distance('{1:1,2:1}/2', '{1:1}/2');
-- Neither overflow nor underflow on the way.
SELECT '{1:3e38,2:3e38}/2'::logvec <=> '{1:3e38,2:3e38}/2' AS huge, '{1:1e-45}/2'::logvec <=> '{1:1e-45}/2' AS tiny, l2_norm('{1:3e38}/2'), l2_norm('{1:1e-45}/2') > 0 AS above_zero;
SELECT '{1:1}/2'::logvec <=> '{1:1}/3';
SELECT '{1:1}/2'::logvec <-> '{1:1}/3';
SELECT '{1:1}/2'::logvec <#> '{1:1}/3';
SELECT cosine_distance(NULL, '{1:1}/2') IS NULL AND nnz(NULL::logvec) IS NULL AS strict;

-- Every function is immutable, parallel safe and strict, and has a comment. Listed are those that are not: parts of aggregates, and what reads
-- a detector's model.
SELECT p.oid::regprocedure, provolatile, proisstrict, proparallel, procost
FROM pg_proc AS p JOIN pg_depend AS d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'logintel'
WHERE 'logvec'::regtype = ANY (proargtypes || prorettype) AND prokind = 'f'
  AND (provolatile <> 'i' OR proparallel <> 's' OR NOT proisstrict OR obj_description(p.oid, 'pg_proc') IS NULL)
ORDER BY p.oid::regprocedure::text;
SELECT oprname FROM pg_operator WHERE oprleft = 'logvec'::regtype AND obj_description(oid, 'pg_operator') IS NULL;
-- PostgreSQL's own rules for operator classes.
SELECT opcname, amname, amvalidate(o.oid) FROM pg_opclass AS o JOIN pg_am AS a ON a.oid = opcmethod WHERE opcintype = 'logvec'::regtype ORDER BY amname;

-- Casts.
SELECT '{2:0.5,4:-1e-05}/5'::logvec::real[], '{}/2'::logvec::real[], '{2:0.5,4:-1e-05}/5'::logvec::jsonb, '{}/2'::logvec::jsonb;
SELECT array_length('{1000000:1}/1000000'::logvec::real[], 1);
SELECT '{}/134217728'::logvec::real[];
SELECT row_to_json(r) FROM (SELECT '{2:0.5}/5'::logvec AS vec, NULL::logvec AS nothing) AS r;
CREATE TABLE r (dense real[], sparse jsonb, literal text);
INSERT INTO r VALUES ('{1:1}/2'::logvec, '{1:1}/2'::logvec, '{1:1}/2'::logvec) RETURNING *;
DROP TABLE r;

-- Rows to play with: few values in few dimensions, so that duplicates and shared beginnings occur.
SELECT setseed(0.5);
CREATE TABLE d AS
SELECT id, dim, ARRAY(SELECT CASE WHEN random() < 0.7 THEN 0 ELSE floor(random() * 5 - 2) / 2 END FROM generate_series(1, dim + id * 0))::real[] AS dense
FROM (SELECT id, (1 + floor(random() * 6))::int AS dim FROM generate_series(1, 2000) AS id) AS ids;
ALTER TABLE d ADD vec logvec;
UPDATE d SET vec = (SELECT '{' || coalesce(string_agg(i || ':' || x, ','), '') || '}/' || dim FROM unnest(dense) WITH ORDINALITY AS u (x, i))::logvec;
SELECT count(*) AS vectors, count(*) FILTER (WHERE vec::real[] <> dense) AS wrong FROM d;

-- The order is that of real[].
SELECT count(*) AS misplaced FROM (SELECT dense, lag(dense) OVER (ORDER BY vec) AS before FROM d) AS o WHERE before > dense;
SELECT count(*) AS pairs, count(*) FILTER (WHERE (a.vec < b.vec) <> (a.dense < b.dense) OR (a.vec <= b.vec) <> (a.dense <= b.dense)
    OR (a.vec = b.vec) <> (a.dense = b.dense) OR (a.vec <> b.vec) <> (a.dense <> b.dense) OR (a.vec >= b.vec) <> (a.dense >= b.dense)
    OR (a.vec > b.vec) <> (a.dense > b.dense)) AS different
FROM d AS a, d AS b WHERE a.id <= 150 AND b.id <= 150;
SELECT vec FROM (VALUES ('{1:1}/2'), ('{1:1}/1'), ('{}/3'), ('{}/1'), ('{1:-1}/5'), ('{3:-1}/3'), ('{2:1}/2'), (NULL)) AS t (literal), LATERAL (SELECT literal::logvec AS vec) AS l ORDER BY vec DESC NULLS LAST;
-- Distances are those of the dense arrays.
SELECT count(*) AS pairs, count(*) FILTER (WHERE abs((a.vec <-> b.vec) - l2) > 1e-12 OR abs((a.vec <#> b.vec) + product) > 1e-12
    OR abs((a.vec <=> b.vec) - CASE WHEN norms = 0 THEN 1 ELSE 1 - product / sqrt(norms) END) > 1e-12) AS different
FROM d AS a JOIN d AS b ON a.dim = b.dim,
LATERAL (SELECT sqrt(sum((x - y) ^ 2)) AS l2, sum(x * y) AS product, sum(x * x) * sum(y * y) AS norms FROM unnest(a.dense::float8[], b.dense::float8[]) AS u (x, y)) AS oracle
WHERE a.id <= 150 AND b.id <= 150;

-- Hashing and sorting agree.
SELECT count(DISTINCT vec) = count(DISTINCT dense) AS distinct_agrees FROM d;
SET enable_sort = off;
EXPLAIN (COSTS OFF) SELECT vec, count(*) FROM d GROUP BY vec;
SELECT count(*) = (SELECT count(DISTINCT dense) FROM d) AS groups_agree, sum(n) FROM (SELECT vec, count(*) AS n FROM d GROUP BY vec) AS g;
RESET enable_sort;
SET enable_mergejoin = off; SET enable_nestloop = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM d AS a JOIN d AS b USING (vec);
SELECT count(*) = (SELECT count(*) FROM d AS a JOIN d AS b USING (dense)) AS hash_join_agrees FROM d AS a JOIN d AS b USING (vec);
SET enable_hashjoin = off; SET enable_mergejoin = on;
SELECT count(*) = (SELECT count(*) FROM d AS a JOIN d AS b USING (dense)) AS merge_join_agrees FROM d AS a JOIN d AS b USING (vec);
RESET enable_mergejoin; RESET enable_nestloop; RESET enable_hashjoin;
SELECT logvec_hash('{1:1}/2') = logvec_hash('{2:0,1:1.0}/2') AS same, logvec_hash('{1:1}/2') = logvec_hash('{1:1}/3') AS other_dim,
       logvec_hash_extended('{1:1}/2', 0) & 4294967295 = logvec_hash('{1:1}/2')::bigint & 4294967295 AS low_bits,
       logvec_hash_extended('{1:1}/2', 0) = logvec_hash_extended('{1:1}/2', 1) AS other_seed;
CREATE TABLE p (vec logvec) PARTITION BY HASH (vec);
CREATE TABLE p0 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE p1 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO p SELECT vec FROM d;
SELECT (SELECT count(DISTINCT vec) FROM p0) > 100 AND (SELECT count(DISTINCT vec) FROM p1) > 100 AS balanced, NOT EXISTS (SELECT vec FROM p0 INTERSECT SELECT vec FROM p1) AS disjoint;
DROP TABLE p;
CREATE INDEX d_vec ON d (vec);
ANALYZE d;
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM d WHERE vec = '{1:1}/3';
SELECT count(*) = (SELECT count(*) FROM d WHERE dense = '{1,0,0}') AS index_agrees FROM d WHERE vec = '{1:1}/3';
RESET enable_seqscan;

-- Binary: out to a file and in again, NULLs included.
INSERT INTO d (id) VALUES (0);
SELECT file AS filename, format($$cat >/dev/null; rm '%s'$$, file) AS remove
FROM (SELECT current_setting('data_directory') || '/logvec.test' AS file) AS f \gset
COPY d (id, vec) TO :'filename' WITH (FORMAT binary);
CREATE TABLE e (id int, vec logvec);
COPY e FROM :'filename' WITH (FORMAT binary);
SELECT count(*) AS rows, count(vec) AS vectors FROM d;
SELECT count(*) AS different FROM d FULL JOIN e USING (id) WHERE d.vec IS DISTINCT FROM e.vec;
CREATE TABLE f (id int, vec logvec(3));
COPY f FROM :'filename' WITH (FORMAT binary);
\set VERBOSITY terse
DROP TABLE e, f;
\set VERBOSITY default
COPY (SELECT) TO PROGRAM :'remove';
SELECT encode(logvec_send('{1:0.5,7:-0.25}/126'), 'hex');

-- Large values: out of line, and too large where that is forbidden.
CREATE TABLE big (id int, vec logvec);
INSERT INTO big SELECT n, (SELECT ('{' || string_agg(i * 7 || ':' || i + n, ',') || '}/1000000')::logvec FROM generate_series(1, 20000) AS i) FROM generate_series(1, 3) AS n;
SELECT id, nnz(vec), pg_column_size(vec), vec <=> vec AS self, vec = (SELECT vec FROM big WHERE id = 2) AS second FROM big ORDER BY vec DESC;
SELECT pg_relation_size(reltoastrelid) > 0 AS toasted FROM pg_class WHERE oid = 'big'::regclass;
SELECT nnz(avg(vec)), nnz(sum(vec)) FROM big;
ALTER TABLE big ALTER vec SET STORAGE plain;
INSERT INTO big SELECT 4, vec FROM big WHERE id = 1;
ALTER TABLE big ALTER vec SET STORAGE main;
INSERT INTO big SELECT 5, vec FROM big WHERE id = 1;
SELECT a.vec = b.vec AS same FROM big AS a, big AS b WHERE a.id = 1 AND b.id = 5;
DROP TABLE big;

-- Aggregates against avg(float8) and sum(float8) of each component.
SELECT sum(vec), avg(vec) FROM (VALUES ('{1:1,2:2}/3'::logvec), (NULL), ('{1:-1,3:4}/3')) AS t (vec);
SELECT sum(vec), avg(vec) FROM d WHERE false;
SELECT sum(vec), avg(vec) FROM d WHERE vec IS NULL;
SELECT sum(vec) FROM (VALUES ('{1:1}/3'::logvec), ('{1:1}/4')) AS t (vec);
SELECT sum(vec) FROM (VALUES ('{2:3e38}/3'::logvec), ('{2:3e38}/3')) AS t (vec);
SELECT avg(vec) FROM (VALUES ('{2:3e38}/3'::logvec), ('{2:3e38}/3')) AS t (vec);
SELECT sum(vec) OVER (ORDER BY id), avg(vec) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM (VALUES (1, '{1:1}/2'::logvec), (2, '{2:1}/2'), (3, '{1:2}/2')) AS t (id, vec);
SELECT dim, avg(vec)::real[] = (SELECT array_agg(mean ORDER BY i) FROM (SELECT i, avg(x::float8)::real AS mean FROM d AS o, unnest(o.dense) WITH ORDINALITY AS u (x, i) WHERE o.dim = d.dim GROUP BY i) AS m) AS mean_agrees,
       sum(vec)::real[] = (SELECT array_agg(total ORDER BY i) FROM (SELECT i, sum(x::float8)::real AS total FROM d AS o, unnest(o.dense) WITH ORDINALITY AS u (x, i) WHERE o.dim = d.dim GROUP BY i) AS m) AS sum_agrees
FROM d WHERE dim IS NOT NULL GROUP BY dim ORDER BY dim;

-- In parallel, and the same to the last bit.
CREATE TABLE wide (vec logvec);
INSERT INTO wide SELECT format('{%s:%s,%s:%s}/500', 1 + i % 250, (random() * 1e6 - 5e5)::real, 251 + i % 249, random()::real)::logvec FROM generate_series(1, 20000) AS i;
SELECT avg(vec) AS serial_avg, sum(vec) AS serial_sum FROM wide \gset
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2;
ALTER TABLE wide SET (parallel_workers = 2);
EXPLAIN (COSTS OFF) SELECT avg(vec), sum(vec) FROM wide;
SELECT avg(vec) = :'serial_avg'::logvec AS same_avg, sum(vec) = :'serial_sum'::logvec AS same_sum FROM wide;
EXPLAIN (COSTS OFF) SELECT count(*) FROM wide WHERE vec <=> '{1:1}/500' < 1;
RESET parallel_setup_cost; RESET parallel_tuple_cost; RESET min_parallel_table_scan_size; RESET max_parallel_workers_per_gather;
-- Many groups spill to disk within work_mem instead of growing.
SET work_mem = '256kB'; SET enable_sort = off;
SELECT count(*) AS groups, sum(nnz(total)) AS elements FROM (SELECT sum(vec) AS total FROM (SELECT row_number() OVER () AS n, vec FROM wide) AS w GROUP BY n) AS g;
RESET work_mem; RESET enable_sort;
DROP TABLE wide, d;
DROP FUNCTION attempt;
