-- Drift, and training by schedule. Times are relative to now where maintenance reads them, so that only shares and counts are shown.
\set VERBOSITY terse
SET search_path = logintel, public;
SET TimeZone = 'UTC';
CREATE TABLE app (ts timestamptz, level text, message text);
-- A detector's time to be trained has come.
CREATE FUNCTION due(name text) RETURNS void LANGUAGE sql AS $$
    UPDATE logintel.retrainings SET attempted_at = attempted_at - interval '2 days', ended_at = ended_at - interval '2 days' WHERE detector = name;
    UPDATE logintel.model_versions SET trained_at = trained_at - interval '2 days' WHERE detector = name;
$$;
CREATE VIEW seen AS
SELECT version, is_active, training_rows, templates, round(flagged_share::numeric, 3) AS flagged, kept_aside FROM models WHERE detector = 'app' ORDER BY version;
CREATE VIEW last AS
SELECT detector, ended_at >= attempted_at AS has_ended, outcome, version, reason FROM retrainings ORDER BY detector;

-- The hour must not turn meanwhile.
SELECT FROM pg_sleep(greatest(0, 31 - extract(epoch FROM date_trunc('hour', now()) + interval '1 hour' - now())));

-- Options ---------------------------------------------------------------------------------------------------------
SELECT create_detector('app', 'app', options => '{"retrain": "59 s"}');
SELECT create_detector('app', 'app', options => '{"retrain": "soon"}');
SELECT create_detector('app', 'app', options => '{"history": "-1 day"}');
SELECT create_detector('app', 'app', options => '{"history": null}');
SELECT create_detector('app', 'app', options => '{"retrainn": "1 day"}');
SELECT create_detector('app', 'app', options => '{"retrain": null, "history": "1 minute"}') > 0 AS made;

-- Without retrain nothing is trained; with it, what has rows enough, the newest of which are held back ---------------
INSERT INTO app SELECT now() - interval '2 hours' - i * interval '10 s', 'INFO', 'order ' || i || ' shipped' FROM generate_series(1, 400) AS i;
CALL run_maintenance();
SELECT * FROM seen;
SELECT alter_detector('app', '{"retrain": "1 day", "history": "1 minute"}');
CALL run_maintenance();
SELECT * FROM last;
-- Not tried again at once, and not said again.
SELECT alter_detector('app', '{"retrain": "1 day", "history": "1 day"}');
CALL run_maintenance();
SELECT * FROM seen;
SELECT alter_detector('app', '{"retrain": "1 day", "history": "1 minute"}');
SELECT due('app');
CALL run_maintenance();
SELECT * FROM last;
SELECT alter_detector('app', '{"retrain": "1 day", "history": "1 day"}');
SELECT due('app');
CALL run_maintenance();
SELECT * FROM seen;
SELECT * FROM last;
SELECT since > now() - interval '25 hours' AS is_rolling, until < now() - interval '2 hours' AS holds_back FROM models WHERE detector = 'app';
CALL run_maintenance();
SELECT count(*) FROM seen;
-- Training by hand counts as training.
SELECT due('app');
SELECT train('app');
CALL run_maintenance();
SELECT * FROM seen;
SELECT * FROM last;

-- A new format that is regular: learnt from its first rows, tried on its last ones -------------------------------------
INSERT INTO app SELECT now() - interval '1 hour' + i * interval '1 s', 'INFO', 'shipment of order ' || i || ' has begun' FROM generate_series(1, 100) AS i;
SELECT due('app');
CALL run_maintenance();
SELECT * FROM seen;
SELECT (detect('app', 'shipment of order 7 has begun')).is_anomaly;

-- What is so new that all of it is held back: kept aside, until somebody activates it. What its level flags does not count. ---
INSERT INTO app SELECT now() - interval '30 min' + i * interval '1 s', CASE WHEN i > 15 THEN 'ERROR' ELSE 'INFO' END, 'parcel ' || i || ' lost its way' FROM generate_series(1, 20) AS i;
SELECT due('app');
CALL run_maintenance();
SELECT * FROM seen;
SELECT * FROM last;
SELECT activate_model('app', 4);
SELECT version, is_active, kept_aside FROM seen WHERE version >= 3;
SELECT activate_model('app', 3);
-- Much less than was learnt before: kept aside.
DELETE FROM app;
INSERT INTO app SELECT now() - interval '2 hours' - i * interval '10 s', 'INFO', 'order ' || i || ' shipped' FROM generate_series(1, 100) AS i;
UPDATE model_versions SET training_rows = 10000 WHERE detector = 'app' AND version = 3;
SELECT due('app');
CALL run_maintenance();
SELECT version, is_active, training_rows, kept_aside FROM seen WHERE version >= 3;
-- Nothing but errors to be tried on. Of those kept aside the last stays.
INSERT INTO app SELECT now() - interval '1 hour' + i * interval '1 s', 'ERROR', 'disk is on fire' FROM generate_series(1, 30) AS i;
UPDATE model_versions SET training_rows = 100 WHERE detector = 'app' AND version = 3;
SELECT due('app');
CALL run_maintenance();
SELECT * FROM last;
-- All at one time: there is nothing before what is held back.
UPDATE app SET ts = now() - interval '1 hour';
SELECT due('app');
CALL run_maintenance();
SELECT * FROM last;

-- One that is broken stops no other; an old log has nothing to learn from; who is switched off rests ---------------------
CREATE TABLE gone (ts timestamptz, message text);
CREATE TABLE old (ts timestamptz, message text);
INSERT INTO old SELECT '2020-01-01 00:00Z'::timestamptz + i * interval '1 min', 'user ' || i || ' logged in' FROM generate_series(1, 600) AS i;
SELECT create_detector('gone', 'gone', options => '{"retrain": "1 day"}') > 0 AS made, create_detector('old', 'old', options => '{"retrain": "1 day"}') > 0 AS made;
DROP TABLE gone;
DELETE FROM app;
INSERT INTO app SELECT now() - interval '2 hours' - i * interval '10 s', 'INFO', 'order ' || i || ' shipped' FROM generate_series(1, 400) AS i;
SELECT due('app');
UPDATE detectors SET enabled = false WHERE name = 'old';
CALL run_maintenance();
SELECT * FROM last;
UPDATE detectors SET enabled = true WHERE name = 'old';
CALL run_maintenance();
SELECT * FROM last;
SELECT version, is_active FROM seen WHERE is_active;
-- What failed is tried again after an hour, what was cut off is not.
UPDATE retrainings SET attempted_at = now() - interval '59 min', ended_at = now() - interval '59 min';
UPDATE model_versions SET trained_at = now() - interval '59 min';
CALL run_maintenance();
SELECT detector, attempted_at > now() - interval '1 min' AS is_new FROM retrainings ORDER BY 1;
UPDATE retrainings SET attempted_at = now() - interval '61 min', ended_at = CASE WHEN detector <> 'old' THEN now() - interval '61 min' END;
UPDATE model_versions SET trained_at = now() - interval '61 min';
CALL run_maintenance();
SELECT detector, attempted_at > now() - interval '1 min' AS is_new FROM retrainings ORDER BY 1;
SELECT drop_detector('gone');
SELECT detector FROM last;
-- Inside a transaction block it is all one transaction.
SELECT due('app');
BEGIN;
CALL run_maintenance();
SELECT count(*) FROM seen;
ROLLBACK;
SELECT count(*) FROM seen;
SELECT outcome FROM last WHERE detector = 'app';

-- The last full hour of what is watched or trained by schedule ------------------------------------------------------------
TRUNCATE drift;
SELECT alter_detector('app', '{"lateness": "0 s"}');
SELECT watch('app');
INSERT INTO app SELECT date_trunc('hour', now()) - i * interval '15 s', 'INFO', 'shipment ' || i || ' lost its way' FROM generate_series(1, 240) AS i;
INSERT INTO app SELECT date_trunc('hour', now()) - i * interval '1 min', 'INFO', 'order ' || i || ' shipped' FROM generate_series(1, 60) AS i;
INSERT INTO app SELECT date_trunc('hour', now()) - i * interval '2 min', 'ERROR', 'order ' || i || ' shipped' FROM generate_series(1, 30) AS i;
CREATE VIEW hours AS
SELECT detector, "time" = date_trunc('hour', "time") AS is_hour, version = (SELECT active_version FROM detectors WHERE name = detector) AS by_active, rows, flagged_share, round(unseen_template_share::numeric, 3) AS templates, round(unseen_term_share::numeric, 3) AS terms, is_level_shift, warning
FROM drift ORDER BY detector;
CALL run_maintenance();
SELECT * FROM hours;
CALL run_maintenance();
SELECT count(*) FROM drift;
-- A level shift makes the detector due before its time, but for an hour after the last training.
SELECT alter_detector('app', '{"lateness": "0 s", "retrain": "30 days", "history": "1 day"}');
UPDATE retrainings SET attempted_at = now() - interval '59 min', ended_at = now() - interval '59 min' WHERE detector = 'app';
UPDATE model_versions SET trained_at = now() - interval '59 min' WHERE detector = 'app';
SELECT max(version) AS before FROM seen \gset
CALL run_maintenance();
SELECT max(version) - :before AS more FROM seen;
UPDATE retrainings SET attempted_at = now() - interval '61 min', ended_at = now() - interval '61 min' WHERE detector = 'app';
UPDATE model_versions SET trained_at = now() - interval '61 min' WHERE detector = 'app';
CALL run_maintenance();
SELECT max(version) - :before AS more, bool_or(is_active AND version > :before) AS is_in_use FROM seen;
-- The new model has not been found wanting yet.
UPDATE retrainings SET attempted_at = now() - interval '61 min', ended_at = now() - interval '61 min' WHERE detector = 'app';
UPDATE model_versions SET trained_at = now() - interval '61 min' WHERE detector = 'app';
CALL run_maintenance();
SELECT max(version) - :before AS more FROM seen;
-- With retrain the advice is another.
DELETE FROM drift;
SELECT activate_model('app', :before);
CALL run_maintenance();
SELECT warning FROM hours WHERE detector = 'app';
-- An hour without rows, and one that cannot be read; neither is said twice.
DELETE FROM drift; DELETE FROM app;
CALL run_maintenance();
SELECT * FROM hours WHERE detector = 'app';
DELETE FROM drift;
ALTER TABLE app RENAME message TO told;
CALL run_maintenance();
SELECT * FROM hours WHERE detector = 'app';
CALL run_maintenance();
UPDATE drift SET "time" = "time" - interval '1 hour' WHERE detector = 'app';
CALL run_maintenance();
SELECT rows, warning IS NOT NULL AS is_told FROM hours WHERE detector = 'app';
ALTER TABLE app RENAME told TO message;
-- Kept as long as retention says.
UPDATE drift SET recorded_at = now() - interval '91 days';
CALL run_maintenance();
SELECT count(*) FROM drift WHERE recorded_at < now() - interval '1 day';

-- measure_drift ---------------------------------------------------------------------------------------------------------
SELECT * FROM measure_drift('old');
SELECT train('old', until => '2020-01-01 08:00Z');
INSERT INTO old VALUES ('2020-01-03 10:30Z', 'user 7 logged in'), ('2020-01-03 10:31Z', 'user 7 vanished'), ('2020-01-03 12:00Z', 'kernel panic'),
    ('2020-01-03 10:32Z', NULL), (NULL, 'user 7 vanished'), ('infinity', 'user 7 vanished');
SELECT "time", rows, flagged_share, unseen_template_share AS templates, round(unseen_term_share::numeric, 3) AS terms FROM measure_drift('old', '2020-01-01 09:00Z');
SELECT * FROM measure_drift('old', until => '2020-01-02', bucket => '1 day');
SELECT * FROM measure_drift('old', since => '2020-01-03 12:00Z', until => '2020-01-03 12:00Z');
SELECT * FROM measure_drift(NULL);
SELECT * FROM measure_drift('old', bucket => '1 month');
SELECT * FROM measure_drift('old', bucket => '0');
SELECT * FROM measure_drift('old', bucket => NULL);
SELECT * FROM measure_drift('nobody');
-- Of many rows a sample is judged; all are counted. Every row is of what training saw, or none.
INSERT INTO old SELECT '2020-02-01 00:00Z'::timestamptz + i * interval '100 ms', CASE WHEN i % 4 = 0 THEN 'nothing like it' ELSE 'user ' || i || ' logged in' END FROM generate_series(0, 24998) AS i;
SELECT rows, abs(flagged_share - 0.25) < 0.01 AS flagged, abs(unseen_template_share - 0.25) < 0.01 AS templates FROM measure_drift('old', since => '2020-02-01', until => '2020-03-01');

SELECT drop_detector('app'), drop_detector('old');
SELECT (SELECT count(*) FROM drift) AS drift, (SELECT count(*) FROM retrainings) AS retrainings;
DROP VIEW seen, last, hours;
DROP FUNCTION due;
DROP TABLE app, old;
DELETE FROM anomalies; DELETE FROM incidents;
CALL run_maintenance();
