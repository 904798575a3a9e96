-- Window functions of the toolbox.
SET search_path = public, logintel;

SELECT setseed(0.25);
CREATE TABLE w AS
SELECT id, id % 3 AS part, CASE WHEN id % 17 = 0 THEN NULL ELSE ARRAY(SELECT CASE WHEN i = 6 THEN 0.25 WHEN i = 7 OR random() < 0.5 THEN 0 ELSE round((random() * 4)::numeric, 3) END FROM generate_series(1, 7 + id * 0) AS i)::real[] END AS dense
FROM generate_series(1, 300) AS id;
ALTER TABLE w ADD vec logvec;
UPDATE w SET vec = (SELECT '{' || string_agg(i || ':' || x, ',') || '}/7' FROM unnest(dense) WITH ORDINALITY AS u (x, i))::logvec;

-- standard_scale against stddev_pop of each component in each partition.
WITH deviation AS (
    SELECT part, i, stddev_pop(x::float8) AS s FROM w, unnest(dense) WITH ORDINALITY AS u (x, i) GROUP BY part, i
), expected AS (
    SELECT id, array_agg((CASE WHEN s > 1e-12 THEN x / s ELSE x END)::real ORDER BY i) AS scaled
    FROM w, unnest(dense) WITH ORDINALITY AS u (x, i) JOIN deviation USING (i) WHERE deviation.part = w.part GROUP BY id
), actual AS (
    SELECT id, standard_scale(vec) OVER (PARTITION BY part) AS scaled FROM w
)
SELECT count(*) AS rows, count(expected.scaled) AS vectors,
       count(*) FILTER (WHERE (actual.scaled IS NULL) <> (expected.scaled IS NULL)) AS null_differs,
       count(*) FILTER (WHERE EXISTS (SELECT FROM unnest(actual.scaled::real[], expected.scaled) AS u (a, e) WHERE abs(a - e) > 1e-6 * abs(e))) AS differs
FROM actual LEFT JOIN expected USING (id);

-- The order of the window does not matter, nor does a frame.
SELECT count(*) AS rows, count(*) FILTER (WHERE a IS DISTINCT FROM b OR a IS DISTINCT FROM c) AS different
FROM (SELECT standard_scale(vec) OVER (PARTITION BY part ORDER BY id) AS a, standard_scale(vec) OVER (PARTITION BY part ORDER BY id DESC) AS b,
             standard_scale(vec) OVER (PARTITION BY part ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS c FROM w) AS s;
-- A partition of NULLs, of one row, of no rows; a constant component stays.
SELECT id, standard_scale(vec) OVER (PARTITION BY id) FROM (VALUES (1, '{1:5}/3'::logvec), (2, NULL), (2, NULL)) AS t (id, vec);
SELECT standard_scale(vec) OVER () FROM (VALUES ('{1:2,2:7}/3'::logvec), ('{1:4,2:7}/3'), (NULL), ('{2:7}/3'), ('{1:6,2:7,3:1}/3')) AS t (vec);
SELECT standard_scale(vec) OVER () FROM w WHERE false;
-- An argument that is computed row by row.
SELECT count(DISTINCT standard_scale) FROM (SELECT standard_scale(format('{1:%s}/2', i)::logvec) OVER () FROM generate_series(1, 1000) AS i) AS s;
-- Errors.
SELECT standard_scale(vec) OVER () FROM (VALUES ('{1:1}/2'::logvec), ('{1:1}/3')) AS t (vec);
SELECT standard_scale('{1:1}/2');

-- dbscan_cluster against DBSCAN written out in SQL: core rows, their connected components, borders to the lowest-numbered.
SELECT setseed(0.75);
CREATE TABLE c AS
SELECT id, id % 2 AS part, CASE WHEN id % 29 = 0 THEN NULL WHEN id % 23 = 0 THEN '{}/6'::logvec ELSE
    format('{%s:%s,%s:%s}/6', a, 1 + floor(random() * 4), b, 1 + floor(random() * 4))::logvec END AS vec
FROM (SELECT id, 1 + floor(random() * 3)::int AS a, 4 + floor(random() * 3)::int AS b FROM generate_series(1, 240) AS id) AS ids;
CREATE FUNCTION oracle(eps float8, min_points int) RETURNS TABLE (id int, cluster int) LANGUAGE sql AS $$
    WITH RECURSIVE near AS (
        SELECT a.id, b.id AS other, a.part FROM c AS a JOIN c AS b ON a.part = b.part AND (a.id = b.id OR a.vec <=> b.vec <= eps)
        WHERE a.vec IS NOT NULL AND b.vec IS NOT NULL
    ), core AS (
        SELECT id, part FROM near GROUP BY id, part HAVING count(*) >= min_points
    ), reach (id, first) AS (
        SELECT id, id FROM core
        UNION
        SELECT near.other, reach.first FROM reach JOIN near USING (id) JOIN core ON core.id = near.other
    ), component AS (
        SELECT id, min(first) AS first FROM reach GROUP BY id
    ), numbered AS (
        SELECT component.id, dense_rank() OVER (PARTITION BY part ORDER BY first)::int - 1 AS cluster FROM component JOIN core USING (id)
    )
    SELECT c.id, coalesce((SELECT cluster FROM numbered WHERE numbered.id = c.id),
                          (SELECT min(cluster) FROM numbered JOIN near ON near.other = numbered.id WHERE near.id = c.id))
    FROM c
$$;
SELECT eps, min_points, count(DISTINCT (part, cluster)) FILTER (WHERE cluster IS NOT NULL) AS clusters, count(cluster) AS clustered, count(*) - count(cluster) AS outside,
       count(*) FILTER (WHERE cluster IS DISTINCT FROM expected) AS different
FROM (VALUES (0, 1), (0, 3), (0.005, 3), (0.01, 6), (0.02, 4), (0.03, 9), (0.05, 12), (0.1, 20), (0.4, 20), (0.99, 2), (1, 2), (1, 100), (1, 200), (2, 1)) AS p (eps, min_points),
LATERAL (SELECT c.id, part, dbscan_cluster(vec, eps, min_points) OVER (PARTITION BY part ORDER BY c.id) AS cluster, o.cluster AS expected FROM c JOIN oracle(eps, min_points) AS o USING (id)) AS r
GROUP BY eps, min_points ORDER BY eps, min_points;

-- What the words mean: eps is inclusive, the point counts itself, zero vectors are alone, NULL is in no cluster, clusters count from 0 in window order.
SELECT id, vec, dbscan_cluster(vec, 0, 1) OVER (ORDER BY id) AS each, dbscan_cluster(vec, 0, 2) OVER (ORDER BY id) AS twins, dbscan_cluster(vec, 0, 2) OVER (ORDER BY id DESC) AS backwards, dbscan_cluster(vec, 1, 7) OVER (ORDER BY id) AS all_at_1
FROM (VALUES (1, '{1:1}/3'::logvec), (2, '{1:2}/3'), (3, NULL), (4, '{}/3'), (5, '{}/3'), (6, '{2:1}/3'), (7, '{2:1}/3'), (8, '{3:1}/3')) AS t (id, vec) ORDER BY id;
SELECT dbscan_cluster(vec, 0.5, 1) OVER () FROM c WHERE false;
SELECT dbscan_cluster(NULL, 0.5, 1) OVER () FROM generate_series(1, 2);
-- Standardised first, as the reference system does.
SELECT count(*) AS rows, count(cluster) AS clustered FROM (SELECT dbscan_cluster(scaled, 0.02, 5) OVER (PARTITION BY part ORDER BY id) AS cluster FROM (SELECT id, part, standard_scale(vec) OVER (PARTITION BY part) AS scaled FROM c) AS s) AS r;
-- Errors name what is wrong.
SELECT dbscan_cluster(vec, -0.1, 1) OVER () FROM c;
SELECT dbscan_cluster(vec, 'NaN', 1) OVER () FROM c;
SELECT dbscan_cluster(vec, 'Infinity', 1) OVER () FROM c;
SELECT dbscan_cluster(vec, NULL, 1) OVER () FROM c;
SELECT dbscan_cluster(vec, 0.1, 0) OVER () FROM c;
SELECT dbscan_cluster(vec, 0.1, NULL) OVER () FROM c;
SELECT dbscan_cluster(vec, 0.1, 1) OVER () FROM (VALUES ('{1:1}/2'::logvec), ('{1:1}/3')) AS t (vec);
-- A cancel is answered while the partition is read.
SET statement_timeout = '200ms';
SELECT count(cluster) FROM (SELECT dbscan_cluster(format('{%s:1,%s:2}/1000000', i, i + 500000)::logvec, 0.1, 2) OVER () AS cluster FROM generate_series(1, 400000) AS i) AS s;
RESET statement_timeout;
DROP TABLE w, c;
DROP FUNCTION oracle;

-- A bound on memory that is too low is an error that says what would be enough.
CREATE FUNCTION refusal(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'none';
EXCEPTION WHEN program_limit_exceeded THEN
    RETURN regexp_replace(SQLERRM, 'about (\d+) bytes', CASE WHEN substring(SQLERRM FROM 'about (\d+) bytes')::bigint > 3145728 THEN 'enough bytes' ELSE 'too few bytes' END);
END $$;
CREATE TABLE many AS SELECT format('{%s:1,%s:2}/1000000', i, i + 500000)::logvec AS vec, i FROM generate_series(1, 20000) AS i;
SET logintel.maintenance_mem = '3MB';
SELECT f, refusal(format('SELECT count(c) FROM (SELECT %s OVER () AS c FROM many) AS r', f))
FROM (VALUES ('dbscan_cluster(vec, 0.1, 2)'), ('hdbscan_cluster(vec, 5)')) AS t (f);
SELECT refusal('SELECT count(c) FROM (SELECT standard_scale(vec) OVER () AS c FROM many, generate_series(1, 9)) AS r') AS standard_scale;
SELECT refusal('SELECT tfidf_fit(md5(i::text)) FROM generate_series(1, 200000) AS i') AS tfidf_fit;
RESET logintel.maintenance_mem;
DROP TABLE many;
DROP FUNCTION refusal;

-- hdbscan_cluster: three dense groups and a point on its own; scikit-learn 1.6.1's HDBSCAN(metric='cosine') gives the same partition.
CREATE TABLE h (id int, vec logvec);
INSERT INTO h SELECT g * 100 + i, format('{%s:1,%s:%s}/10', g, g + 1, 0.01 * i)::logvec FROM generate_series(1, 3) AS g, generate_series(1, 6) AS i;
INSERT INTO h VALUES (999, '{10:1}/10'), (1000, NULL);
SELECT hdbscan_cluster(vec, 5) OVER (ORDER BY id) AS cluster, hdbscan_cluster(vec, 5, 5) OVER (ORDER BY id) AS same, id INTO hc FROM h;
SELECT id / 100 AS group, array_agg(DISTINCT cluster) AS clusters, count(*), bool_and(cluster IS NOT DISTINCT FROM same) AS same FROM hc GROUP BY 1 ORDER BY 1;
SELECT hdbscan_cluster(vec, 1) OVER () FROM h;
SELECT hdbscan_cluster(vec, 5, 0) OVER () FROM h;
SELECT hdbscan_cluster(vec, NULL) OVER () FROM h;
SELECT hdbscan_cluster(vec, 5) OVER () FROM h WHERE false;
SELECT DISTINCT hdbscan_cluster(vec, 50) OVER () FROM h;
