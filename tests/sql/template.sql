-- log_template: templates mined over a partition.
SET search_path = public, logintel;
CREATE TABLE lines (id int, host text, message text);
INSERT INTO lines VALUES
    (1, 'a', 'login of ann from 10.0.0.1 port 4711'), (2, 'a', 'login of bob from 10.0.0.2 port 4712'), (3, 'b', 'login of eve from 10.0.0.3 port 4713'),
    (4, 'b', 'login of joe from 10.0.0.4 port 4714'), (5, 'a', 'disk /dev/sda1 mounted'), (6, 'a', 'disk /dev/sda2 removed'), (7, 'b', NULL), (8, 'b', '');
SELECT id, log_template(message) OVER () AS all, log_template(message) OVER (PARTITION BY host) AS host FROM lines ORDER BY id;
-- The order of rows does not matter, nor does the frame.
SELECT count(*) FROM (SELECT log_template(message) OVER (ORDER BY id DESC ROWS 1 PRECEDING) AS x, log_template(message) OVER () AS y FROM lines) AS t WHERE x IS DISTINCT FROM y;
-- Masks: none, one's own, one's own before the built-in set.
SELECT DISTINCT log_template(message, '{"masks": false}') OVER () FROM lines WHERE id IN (5, 6) ORDER BY 1;
SELECT DISTINCT log_template(m, '{"masks": [{"name": "job", "pattern": "J[A-Z]+"}]}') OVER () FROM (VALUES ('ran JX in 5 s'), ('ran JABC in 5 s')) AS v (m);
SELECT DISTINCT log_template(m, '{"masks": [{"name": "job", "pattern": "J[A-Z]+"}, true]}') OVER () FROM (VALUES ('ran JX in 5 s'), ('ran JABC in 7 s')) AS v (m);
SELECT nnz(log_embed(tfidf_fit(m, '{"masks": [{"name": "job", "pattern": "J[A-Z]+"}, true]}'), 'ran JX in 5 s')) FROM (VALUES ('ran JABC in 7 s')) AS v (m);
SELECT log_template(message, NULL) OVER () FROM lines WHERE id = 6;
SELECT log_template(message) OVER () FROM lines WHERE false;
-- Errors name what is wrong.
SELECT log_template(message) FROM lines;
SELECT log_template(message, '{"mask": true}') OVER () FROM lines;
SELECT log_template(message, '{"masks": "all"}') OVER () FROM lines;
SELECT log_template(message, '{"masks": [{"name": "h2o", "pattern": "water"}, true]}') OVER () FROM lines;
SELECT log_template(message, '{"masks": [true, {"name": "x", "pattern": "y"}]}') OVER () FROM lines;
-- Too many different lines for the memory: a template of its own for what finds none, and a warning with the cause.
SET logintel.maintenance_mem = '1MB';
SELECT template, count(*) > 1000 AS many FROM (SELECT log_template(translate(md5(i::text), '0123456789', 'ghijklmnop') || ' ' || translate(md5((-i)::text), '0123456789', 'ghijklmnop')) OVER () AS template FROM generate_series(1, 3000) AS i) AS t GROUP BY template HAVING count(*) > 1000;
RESET logintel.maintenance_mem;
-- Training mines too: a user who was never seen is no news, a verb that was never seen is.
CREATE TABLE logins (ts timestamptz, message text);
INSERT INTO logins SELECT now() + i * interval '1 s', format('login of %s from 10.0.0.%s', (ARRAY['ann', 'bob', 'eve', 'joe', 'kim'])[i % 5 + 1], i) FROM generate_series(1, 200) AS i;
SELECT create_detector('logins', 'logins') > 0 AS made;
SELECT train('logins');
SELECT templates, threshold FROM models WHERE detector = 'logins';
SELECT m, (d).is_anomaly, (d).reason, (d).template FROM (SELECT m, detect('logins', m) AS d FROM (VALUES ('login of zoe from 10.9.9.9'), ('logout of zoe from 10.9.9.9')) AS v (m)) AS t;
SELECT log_embed('logins', 'login of zoe from 10.9.9.9') = log_embed('logins', 'login of ann from 10.0.0.1') AS same;
-- A single user is seen next time: the template stays.
SELECT train('logins', since => (SELECT max(ts) FROM logins));
SELECT (detect('logins', 'login of zoe from 10.9.9.9')).template;
-- A model that cannot be read does not stop training, which is the way out.
UPDATE model_versions SET artifact = 'x', model_id = gen_random_uuid() WHERE detector = 'logins' AND version = 2;
SELECT (detect('logins', 'login of zoe from 10.9.9.9')).template;
SELECT train('logins');
SELECT (detect('logins', 'login of zoe from 10.9.9.9')).template;
-- A column of templates is meant as it is.
ALTER TABLE logins ADD template text;
UPDATE logins SET template = 'E' || ascii(substr(message, 10, 1)) % 3;
SELECT create_detector('given', 'logins', template => 'template') > 0 AS made;
SELECT train('given');
SELECT templates FROM models WHERE detector = 'given';
SELECT (detect('given', 'E1')).reason AS known, (detect('given', 'E7')).reason AS unknown;
SELECT drop_detector('given'), drop_detector('logins');
DROP TABLE lines, logins;
