-- Is the worker well, is all well, and what to do if not.

-- What everybody may know of the background worker, and its errors for administrators.
CREATE FUNCTION logintel.worker_here()
RETURNS TABLE (is_preloaded bool, is_known bool, last_end timestamptz, failures bigint, next_start timestamptz, is_followed bool)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM pg_settings WHERE name = 'shared_preload_libraries' AND setting ~ '[[:<:]]logintel[[:>:]]') OR w.database IS NOT NULL,
           w.database IS NOT NULL, w.last_end, w.failures, w.next_start, CASE WHEN w.server_log <> '' THEN w.server_log = 'followed' END
    FROM (SELECT) AS one LEFT JOIN logintel.worker_state() AS w ON w.database = current_database()
$$;
COMMENT ON FUNCTION logintel.worker_here() IS 'what the background worker knows of this database; for the view worker_health';

CREATE VIEW logintel.worker_health WITH (security_barrier) AS
SELECT CASE WHEN w.failed_ticks > 0 OR w.is_late OR s.failing_steps > 0 THEN 'critical'
            WHEN pg_is_in_recovery() THEN 'ok'
            WHEN w.is_preloaded AND NOT w.is_known OR NOT w.is_followed THEN 'warning'
            WHEN NOT w.is_preloaded AND coalesce(w.last_run < now() - interval '15 minutes', true) THEN 'warning'
            ELSE 'ok' END AS health,
       w.is_preloaded, w.is_known, w.is_followed, w.is_late, w.last_tick, w.next_tick, w.failed_ticks, w.last_run, s.failing_steps,
       (SELECT views_refreshed_at FROM logintel.maintenance) AS views_refreshed_at
FROM (
    SELECT h.is_preloaded, h.is_known, h.is_followed, h.last_end AS last_tick, h.next_start AS next_tick, h.failures AS failed_ticks,
           coalesce(h.is_known AND h.failures = 0
                    AND h.next_start < now() - 3 * coalesce(current_setting('logintel.interval', true)::interval, '10 seconds') - interval '1 minute',
                    false) AS is_late,
           (SELECT max(last_run) FROM logintel.worker_steps) AS last_run
    FROM logintel.worker_here() AS h
) AS w CROSS JOIN (SELECT count(*) AS failing_steps FROM logintel.worker_stats WHERE failures > 0) AS s;
COMMENT ON VIEW logintel.worker_health IS 'How the background worker and maintenance do in this database: one row; worker_stats tells of each step';
COMMENT ON COLUMN logintel.worker_health.health IS 'critical where ticks or steps fail or the worker is late, warning where it is not loaded and maintenance is not run by hand, does not know the database or cannot follow the log, else ok; on a standby no worker is expected';
COMMENT ON COLUMN logintel.worker_health.is_preloaded IS 'Whether the worker is loaded with the server';
COMMENT ON COLUMN logintel.worker_health.is_known IS 'Whether it knows this database';
COMMENT ON COLUMN logintel.worker_health.is_followed IS 'Whether the server''s log is followed; NULL where it is not meant to be';
COMMENT ON COLUMN logintel.worker_health.is_late IS 'Whether its next tick is overdue by more than a minute and three times logintel.interval';
COMMENT ON COLUMN logintel.worker_health.last_tick IS 'When its last tick ended; NULL where none has, or it is not loaded';
COMMENT ON COLUMN logintel.worker_health.next_tick IS 'When the next one is due; NULL likewise';
COMMENT ON COLUMN logintel.worker_health.failed_ticks IS 'Number of ticks that failed in a row; NULL likewise';
COMMENT ON COLUMN logintel.worker_health.last_run IS 'When a step of maintenance last ended, of the worker or by hand; NULL before the first';
COMMENT ON COLUMN logintel.worker_health.failing_steps IS 'Number of steps whose last run failed, of detectors whose logs the role may read';
COMMENT ON COLUMN logintel.worker_health.views_refreshed_at IS 'When the materialized views were last refreshed; NULL before the first time: they are empty';

-- What is to be done tells who may do it, where the role that looks may not.
CREATE VIEW logintel.status WITH (security_barrier) AS
WITH caller AS (
    SELECT pg_has_role(current_user, 'logintel_admin', 'USAGE') AS is_admin,
           CASE WHEN pg_has_role(current_user, 'logintel_admin', 'USAGE') THEN '' ELSE 'As a member of logintel_admin: ' END AS as_admin,
           CASE WHEN current_setting('is_superuser')::bool THEN '' ELSE 'As a superuser: ' END AS as_superuser
), visible AS (
    SELECT d.*, c.oid IS NULL AS is_gone, c.relkind,
           CASE WHEN u.is_admin OR pg_has_role(current_user, 'logintel_writer', 'USAGE')
                                   AND EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = d.owner AND pg_has_role(current_user, r.oid, 'USAGE')) THEN ''
                WHEN o.oid IS NULL THEN 'As a member of logintel_admin: '
                ELSE format('As %s or a member of logintel_admin: ', d.owner) END AS as_owner,
           o.oid IS NULL AS is_orphaned,
           l.lost, l.to_name,
           EXISTS (
               SELECT FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
               WHERE (t.tgrelid = d.relation OR t.tgrelid IN (SELECT relid FROM pg_partition_tree(d.relation)))
                 AND t.tgenabled IN ('O', 'A') AND p.pronamespace = 'logintel'::regnamespace AND p.proname IN ('score_row', 'score_rows')
                 AND t.tgargs = convert_to(d.name, getdatabaseencoding()) || decode('00', 'hex')) AS is_watched
    FROM caller AS u CROSS JOIN logintel.detectors AS d LEFT JOIN pg_class AS c ON c.oid = d.relation
    LEFT JOIN pg_roles AS o ON o.oid = d.owner
    -- Parts whose column was dropped or renamed.
    CROSS JOIN LATERAL (
        SELECT string_agg(format('%s (%s)', part, path), ', ' ORDER BY place) AS lost, string_agg(part || ' => ''...''', ', ' ORDER BY place) AS to_name
        FROM (VALUES (1, 'message', d.message), (2, 'ts', d.ts), (3, 'level', d.level), (4, 'component', d.component), (5, 'source', d.source),
                     (6, 'session', d.session), (7, 'template', d.template)) AS p (place, part, path)
        WHERE path IS NOT NULL AND c.oid IS NOT NULL AND NOT EXISTS (
            SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
              AND a.attname::text IN (path, logintel.path_column(path)))) AS l
    WHERE d.name IN (SELECT logintel.readable_detectors(current_user))
), judged AS (
    SELECT d.*, m.trained_at, m.templates, m.training_rows,
           (SELECT count(*) FROM logintel.anomalies AS a WHERE a.detector = d.name AND a.recorded_at > now() - interval '1 hour') AS anomalies,
           -- The two that CREATE EXTENSION makes need nothing while they have nothing to judge.
           d.relation = 'logintel.logs'::regclass AND NOT EXISTS (SELECT FROM logintel.logs)
           OR d.relation = 'logintel.server_log'::regclass AND NOT EXISTS (SELECT FROM logintel.server_log) AS is_unused
    FROM visible AS d LEFT JOIN logintel.model_versions AS m ON m.detector = d.name AND m.version = d.active_version
), findings (rank, state, topic, detector, summary, what_to_do) AS (
    SELECT 10, 'ok', 'worker', NULL::text, 'This is a standby: the worker runs on the primary, and what it finds is shown here.', NULL
    WHERE pg_is_in_recovery()
    UNION ALL
    SELECT 10, f.*
    FROM caller AS u CROSS JOIN (SELECT *, coalesce(is_known AND next_tick IS NULL AND last_tick < now() - interval '1 hour', false) AS is_at_work_for_long
                               FROM logintel.worker_health WHERE NOT pg_is_in_recovery()) AS w CROSS JOIN LATERAL (
        SELECT 'warning', 'worker', NULL::text,
               'The background worker is not loaded, and maintenance ' || coalesce('last ran ' || date_trunc('second', now() - w.last_run) || ' ago.', 'never ran.'),
               u.as_superuser || 'Set shared_preload_libraries = ''logintel'' and restart the server, or let pg_cron CALL logintel.run_maintenance().'
        WHERE NOT w.is_preloaded AND (w.last_run IS NULL OR w.last_run < now() - interval '15 minutes')
        UNION ALL
        SELECT 'ok', 'worker', NULL, 'No background worker is loaded; maintenance ran by hand ' || date_trunc('second', now() - w.last_run) || ' ago.', NULL
        WHERE NOT w.is_preloaded AND w.last_run >= now() - interval '15 minutes'
        UNION ALL
        SELECT 'warning', 'worker', NULL, 'The background worker does not know this database.',
               'A new one is found within a minute; else see the setting logintel.databases.'
        WHERE w.is_preloaded AND NOT w.is_known
        UNION ALL
        SELECT 'critical', 'worker', NULL, 'The background worker failed here ' || w.failed_ticks || ' times in a row.',
               'The server log says why. ' || u.as_admin || 'SELECT last_error FROM logintel.worker_state();'
        WHERE w.failed_ticks > 0
        UNION ALL
        SELECT 'critical', 'worker', NULL, 'The background worker has not come since ' || coalesce(date_trunc('second', w.last_tick)::text, 'the server was started') || '.',
               'The server log says why; max_worker_processes may be too small.'
        WHERE w.is_late
        UNION ALL
        SELECT 'warning', 'worker', NULL, 'The background worker has been at work here since ' || date_trunc('second', w.last_tick)::text || '.',
               'SELECT * FROM logintel.progress; tells at what. A tick is ended after two hours; pg_terminate_backend ends it at once.'
        WHERE w.is_at_work_for_long
        UNION ALL
        SELECT 'ok', 'worker', NULL,
               coalesce('The background worker was here ' || date_trunc('second', now() - w.last_tick) || ' ago.', 'The background worker is about to come.'), NULL
        WHERE w.is_known AND w.failed_ticks = 0 AND NOT w.is_late AND NOT w.is_at_work_for_long
        UNION ALL
        SELECT 'warning', 'server_log', 'server_log', 'The server''s log is not followed.', u.as_admin || 'SELECT server_log FROM logintel.worker_state(); says why.'
        WHERE NOT w.is_followed
    ) AS f
    UNION ALL
    SELECT 20, 'critical', 'step', detector, format('Step %s of maintenance failed %s times in a row: %s', step, failures, coalesce(last_error, 'see the server log')),
           'It is tried again by itself; logintel.worker_stats tells more.'
    FROM logintel.worker_stats WHERE failures > 0
    UNION ALL
    SELECT 30, 'warning', 'views', NULL, coalesce('The materialized views were refreshed ' || date_trunc('second', now() - m.views_refreshed_at) || ' ago.', 'The materialized views were never refreshed: they are empty.'),
           u.as_admin || 'CALL logintel.run_maintenance();'
    FROM caller AS u CROSS JOIN logintel.maintenance AS m WHERE m.views_refreshed_at IS NULL OR m.views_refreshed_at < now() - interval '2 hours'
    UNION ALL
    SELECT 30, 'warning', 'settings', NULL, 'logintel.enabled is off: rows that this session writes are not scored.',
           CASE WHEN has_parameter_privilege(current_user, 'logintel.enabled', 'SET') THEN '' ELSE u.as_superuser END || 'SET logintel.enabled = on;'
    FROM caller AS u WHERE NOT coalesce(current_setting('logintel.enabled', true)::bool, true)
    UNION ALL
    SELECT 40, 'critical', 'detector', d.name, 'The relation that it is for is gone. To drop the detector deletes its models, anomalies and incidents, too.', d.as_owner || format('SELECT logintel.drop_detector(%L);', d.name)
    FROM judged AS d WHERE d.is_gone
    UNION ALL
    SELECT 40, 'critical', 'detector', d.name, format('Its owner, role %s, does not exist any more: nobody reads its relation.', d.owner),
           d.as_owner || format('SELECT logintel.alter_detector(%L, owner => ''...'');', d.name)
    FROM judged AS d WHERE d.is_orphaned AND NOT d.is_gone
    UNION ALL
    SELECT 40, 'critical', 'detector', d.name,
           format('%s has no such column any more: %s. New rows are not scored.', d.relation, d.lost),
           d.as_owner || format('SELECT logintel.alter_detector(%L, %s); or give the column its name back; then score_history for what landed meanwhile.', d.name, d.to_name)
    FROM judged AS d WHERE d.lost IS NOT NULL
    UNION ALL
    SELECT 40, 'warning', 'detector', d.name, 'It is switched off: nothing is scored and no incidents are made.', d.as_owner || format('SELECT logintel.alter_detector(%L, enabled => true);', d.name)
    FROM judged AS d WHERE NOT d.enabled AND NOT d.is_gone
    UNION ALL
    SELECT 41, 'warning', 'detector', d.name, 'It has no model yet: lines are judged by their level alone.', d.as_owner || format('SELECT logintel.train(%L);', d.name)
    FROM judged AS d WHERE d.active_version IS NULL AND NOT d.is_unused AND NOT d.is_gone
    UNION ALL
    SELECT 42, 'warning', 'detector', d.name, 'New rows are not judged as they come: no trigger is on ' || d.relation::text || '.', d.as_owner || format('SELECT logintel.watch(%L);', d.name)
    FROM judged AS d WHERE NOT d.is_watched AND d.relkind IN ('r', 'p', 'f') AND NOT d.is_gone
    UNION ALL
    -- Critical while it goes on; afterwards what landed meanwhile is still to be scored.
    SELECT 43, CASE WHEN max(e.last_time) > now() - interval '1 hour' THEN 'critical' ELSE 'warning' END, 'scoring', e.detector,
           format('%s rows of the last day landed without being scored: %s', sum(e.rows), (array_agg(e.last_message ORDER BY e.last_time DESC))[1]),
           format('SELECT * FROM logintel.scoring_errors; mend that. Then %sSELECT logintel.score_history(%L, since => %L); scores what landed meanwhile.',
                  lower(left(min(d.as_owner), 1)) || substr(min(d.as_owner), 2), e.detector, to_char(min(e.first_time) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI"Z"'))
    FROM logintel.scoring_errors AS e JOIN judged AS d ON d.name = e.detector WHERE e.last_time > now() - interval '1 day' GROUP BY e.detector
    UNION ALL
    SELECT 44, 'warning', 'training', r.detector, format('The last training by schedule was %s: %s', r.outcome, r.reason),
           CASE WHEN r.version IS NULL THEN 'It is tried again by itself.' ELSE d.as_owner || format('SELECT logintel.activate_model(%L, %s); activates it all the same.', r.detector, r.version) END
    FROM logintel.retrainings AS r JOIN judged AS d ON d.name = r.detector WHERE r.outcome <> 'activated' AND coalesce(d.trained_at < r.ended_at, true)
    UNION ALL
    SELECT 45, 'warning', 'drift', w.detector, w.warning, 'SELECT * FROM logintel.drift ORDER BY "time" DESC;'
    FROM (SELECT DISTINCT ON (f.detector) f.detector, f.warning, f."time" FROM logintel.drift AS f JOIN judged AS d ON d.name = f.detector
          WHERE f."time" > now() - interval '3 hours' ORDER BY f.detector, f."time" DESC) AS w
    WHERE w.warning IS NOT NULL
    UNION ALL
    SELECT 46, 'warning', 'grouping', d.name, format('Anomalies have waited to be grouped since %s.', date_trunc('second', b.since)), u.as_admin || 'CALL logintel.run_maintenance();'
    FROM caller AS u CROSS JOIN judged AS d CROSS JOIN LATERAL (
        -- The first at or after the detector's name in the index of what is to be done: where there is none, nothing else is read.
        SELECT detector, recorded_at AS since FROM logintel.anomalies
        WHERE NOT is_grouped AND (detector, anomaly_id) >= (d.name, 0) ORDER BY detector, anomaly_id LIMIT 1) AS b
    WHERE b.detector = d.name AND b.since < now() - interval '5 minutes'
    UNION ALL
    SELECT 50, CASE WHEN bool_or(i.severity = 'HIGH') THEN 'critical' ELSE 'warning' END, 'incidents', i.detector,
           format('%s open, %s of severity HIGH; the newest: %s', count(*), count(*) FILTER (WHERE i.severity = 'HIGH'), (array_agg(i.title ORDER BY i.start_time DESC, i.incident_id DESC))[1]),
           format('SELECT * FROM logintel.incidents WHERE detector = %L AND status = ''open''; then %sacknowledge_incident, resolve_incident or mark_incident_normal.', i.detector,
                  lower(left(min(d.as_owner), 1)) || substr(min(d.as_owner), 2))
    FROM logintel.incidents AS i JOIN judged AS d ON d.name = i.detector WHERE i.status = 'open' AND NOT i.is_suppressed GROUP BY i.detector
    UNION ALL
    SELECT 60, 'ok', 'detector', d.name,
           CASE WHEN d.is_unused THEN 'Nothing has come in yet.' ELSE format('Model %s of %s, %s templates of %s rows; %s anomalies in the last hour.',
               d.active_version, to_char(d.trained_at, 'YYYY-MM-DD HH24:MI'), d.templates, d.training_rows, d.anomalies) END, NULL
    FROM judged AS d WHERE NOT d.is_gone AND d.lost IS NULL AND d.enabled AND (d.active_version IS NOT NULL OR d.is_unused)
)
SELECT state, topic, detector, summary, what_to_do FROM (
    SELECT 0 AS place, 0 AS rank, CASE WHEN bool_or(state = 'critical') THEN 'critical' WHEN bool_or(state = 'warning') THEN 'warning' ELSE 'ok' END AS state,
           'all' AS topic, NULL::text AS detector,
           CASE WHEN bool_and(state = 'ok') THEN 'All is well.'
                ELSE format('critical: %s, warning: %s.', count(*) FILTER (WHERE state = 'critical'), count(*) FILTER (WHERE state = 'warning')) END AS summary,
           NULL AS what_to_do
    FROM findings
    UNION ALL
    SELECT CASE state WHEN 'critical' THEN 1 WHEN 'warning' THEN 2 ELSE 3 END, rank, state, topic, detector, summary, what_to_do FROM findings
) AS rows
ORDER BY place, rank, detector;
COMMENT ON VIEW logintel.status IS 'Whether all is well, and what to do if not: one row for all, one for each finding, worst first; of detectors whose logs the role may read';
COMMENT ON COLUMN logintel.status.state IS 'ok, warning or critical';
COMMENT ON COLUMN logintel.status.topic IS 'all; worker, step, views, settings, server_log; detector, scoring, training, drift, grouping, incidents';
COMMENT ON COLUMN logintel.status.detector IS 'Name of the detector; NULL for what concerns all';
COMMENT ON COLUMN logintel.status.summary IS 'What was found, in a sentence';
COMMENT ON COLUMN logintel.status.what_to_do IS 'The way out; NULL where nothing is to be done. Where the role may not do it, it begins with who may';
