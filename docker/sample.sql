-- A log that flows, so that there is something to see: a shop's lines of three days, a detector for them, and then for ever some
-- lines a second, with trouble now and then. psql runs it; \watch repeats the last statement.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT to_regclass('app_log') IS NULL AS is_new, to_regrole('grafana') IS NOT NULL AS has_reader \gset
\if :is_new
CREATE TABLE app_log (ts timestamptz NOT NULL DEFAULT now(), level text, component text, message text NOT NULL);
CREATE INDEX ON app_log (ts);
\if :has_reader
GRANT SELECT ON app_log TO grafana;
\endif
INSERT INTO app_log
SELECT now() - interval '3 days' + n * interval '3 seconds', CASE WHEN n % 97 = 0 THEN 'WARN' ELSE 'INFO' END,
       (ARRAY['web', 'shop', 'payment', 'db'])[n % 4 + 1],
       CASE WHEN n % 97 = 0 THEN format('slow query: %s ms', 500 + n % 700) ELSE
            format((ARRAY['GET /item/%s 200', 'order %s received', 'payment for order %s accepted', 'checkpoint %s complete'])[n % 4 + 1], n) END
FROM generate_series(1, 86000) AS n;
SELECT logintel.create_detector('app', 'app_log');
SELECT logintel.train('app');
SELECT logintel.watch('app');
\endif
-- A few ordinary lines; once in some minutes a burst of trouble, of one of three kinds.
WITH moment AS (SELECT (extract(epoch FROM now())::bigint / 240) % 3 AS kind, extract(epoch FROM now())::bigint % 240 < 8 AS is_trouble)
INSERT INTO app_log (level, component, message)
SELECT 'INFO', (ARRAY['web', 'shop', 'payment', 'db'])[n % 4 + 1],
       format((ARRAY['GET /item/%s 200', 'order %s received', 'payment for order %s accepted', 'checkpoint %s complete'])[n % 4 + 1], (random() * 100000)::int)
FROM generate_series(1, 4) AS n
UNION ALL
SELECT (ARRAY['ERROR', 'INFO', 'ERROR'])[kind + 1], (ARRAY['payment', 'web', 'db'])[kind + 1],
       format((ARRAY['gateway timed out after %s ms', 'upstream %s is not reachable, trying the next', 'could not write block %s: no space left on device'])[kind + 1],
              (random() * 10000)::int)
FROM moment, generate_series(1, 3) WHERE is_trouble \watch 2
