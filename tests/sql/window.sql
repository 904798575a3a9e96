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
