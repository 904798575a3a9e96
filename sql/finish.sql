-- After all functions: what needs them, and who may do what.

-- ingest ----------------------------------------------------------------------------------------------------------

CREATE FUNCTION logintel.ingest(source text, level text, component text, message text, ts timestamptz DEFAULT now())
RETURNS jsonb LANGUAGE sql VOLATILE
BEGIN ATOMIC
    INSERT INTO logintel.logs (source, level, component, message, ts)
    VALUES (ingest.source, ingest.level, ingest.component, ingest.message, coalesce(ingest.ts, now()))
    RETURNING jsonb_build_object('status', 'ok', 'is_anomaly', coalesce(is_anomaly, false), 'reason', anomaly_reason);
END;
COMMENT ON FUNCTION logintel.ingest(text, text, text, text, timestamptz) IS
    'stores one line in the table logs and says whether it is an anomaly, and why';

-- Times without zone are read in UTC. Without a name for its argument: so PostgREST hands the body of a request over as it is.
CREATE FUNCTION logintel.ingest(jsonb) RETURNS jsonb LANGUAGE plpgsql VOLATILE SET timezone = 'UTC' SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    body ALIAS FOR $1;
    moment pg_catalog.timestamptz;
BEGIN
    IF pg_catalog.jsonb_typeof(body) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'the body of ingest must be a JSON object' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Such as {"source": "hdfs", "level": "INFO", "component": "dfs.DataNode", "message": "..."}.';
    END IF;
    IF pg_catalog.jsonb_typeof(body OPERATOR(pg_catalog.->) 'message') IS DISTINCT FROM 'string' THEN
        RAISE EXCEPTION 'the body of ingest has no text "message"' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Such as {"source": "hdfs", "level": "INFO", "component": "dfs.DataNode", "message": "..."}.';
    END IF;
    BEGIN
        moment := coalesce(body OPERATOR(pg_catalog.->>) 'timestamp', body OPERATOR(pg_catalog.->>) 'ts')::pg_catalog.timestamptz;
    EXCEPTION WHEN datetime_field_overflow OR invalid_datetime_format THEN
        RAISE EXCEPTION 'the body of ingest has a "timestamp" that is none: %',
            coalesce(body OPERATOR(pg_catalog.->>) 'timestamp', body OPERATOR(pg_catalog.->>) 'ts')
            USING ERRCODE = 'invalid_datetime_format', HINT = 'Such as "2026-01-31T12:00:00Z".';
    END;
    RETURN logintel.ingest(body OPERATOR(pg_catalog.->>) 'source', body OPERATOR(pg_catalog.->>) 'level',
        body OPERATOR(pg_catalog.->>) 'component', body OPERATOR(pg_catalog.->>) 'message', moment);
END
$$;
COMMENT ON FUNCTION logintel.ingest(jsonb) IS
    'ingest for a JSON body with source, level, component, message and perhaps timestamp';

-- The built-in detectors ------------------------------------------------------------------------------------------

INSERT INTO logintel.detectors (name, relation, owner, message, ts, level, component, source)
VALUES ('logs', 'logintel.logs', current_user::regrole, 'message', 'ts', 'level', 'component', 'source');
-- Rows that a dump brings have been scored before; theirs is another transaction's time.
CREATE TRIGGER logintel_logs_fill BEFORE INSERT ON logintel.logs
    FOR EACH ROW WHEN (NEW.recorded_at = now()) EXECUTE FUNCTION logintel.score_row('logs');
COMMENT ON TRIGGER logintel_logs_fill ON logintel.logs IS 'fills the judgement';
CREATE TRIGGER logintel_logs_row AFTER INSERT ON logintel.logs
    FOR EACH ROW WHEN (NEW.recorded_at = now()) EXECUTE FUNCTION logintel.score_row('logs');
COMMENT ON TRIGGER logintel_logs_row ON logintel.logs IS 'records anomalies';

-- Errors are routine in a server's log: only what is new of them is flagged. Number 0, for the user's begin at 2.
INSERT INTO logintel.detectors (detector_id, name, relation, owner, message, ts, level, component, source, session, options)
VALUES (0, 'server_log', 'logintel.server_log', current_user::regrole, 'message', 'log_time', 'error_severity', 'backend_type',
        'database_name', 'session_id', '{"severity_override": "novel", "retrain": "1 day"}');
CREATE TRIGGER logintel_server_log_row AFTER INSERT ON logintel.server_log
    FOR EACH ROW WHEN (NEW.recorded_at = now()) EXECUTE FUNCTION logintel.score_row('server_log');
COMMENT ON TRIGGER logintel_server_log_row ON logintel.server_log IS 'records anomalies';

-- CREATE EXTENSION makes these detectors, and a dump brings them too: what the dump brings wins.
CREATE FUNCTION logintel.restore_builtin() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE logintel.detectors
    SET detector_id = NEW.detector_id, owner = NEW.owner, message = NEW.message, ts = NEW.ts, level = NEW.level,
        component = NEW.component, source = NEW.source, session = NEW.session, template = NEW.template, options = NEW.options,
        enabled = NEW.enabled, created_at = NEW.created_at, active_version = NEW.active_version,
        marks_id = NEW.marks_id
    WHERE name = NEW.name;
    RETURN CASE WHEN FOUND THEN NULL ELSE NEW END;
END
$$;
COMMENT ON FUNCTION logintel.restore_builtin() IS 'lets a dump overwrite the built-in detectors';
CREATE TRIGGER restore_builtin BEFORE INSERT ON logintel.detectors
    FOR EACH ROW WHEN (NEW.name IN ('logs', 'server_log')) EXECUTE FUNCTION logintel.restore_builtin();
COMMENT ON TRIGGER restore_builtin ON logintel.detectors IS 'lets a dump overwrite the built-in detectors';


CREATE VIEW logintel.progress AS
SELECT p.pid, d.datname AS database, p.command, p.phase, p.done, p.total, p.total_is_estimate, p.time_left, p.started, p.phase_started
FROM logintel.progress_info() AS p LEFT JOIN pg_catalog.pg_database AS d ON d.oid = p.database;
COMMENT ON VIEW logintel.progress IS 'Long calls that run now, the worker''s too; on PostgreSQL 15 and 16 where logintel is in shared_preload_libraries';
COMMENT ON COLUMN logintel.progress.pid IS 'Process of the connection';
COMMENT ON COLUMN logintel.progress.database IS 'Its database';
COMMENT ON COLUMN logintel.progress.command IS 'What is called';
COMMENT ON COLUMN logintel.progress.phase IS 'What it is doing: querying until the first row comes, then reading or scoring, and in training what follows';
COMMENT ON COLUMN logintel.progress.done IS 'How much of the phase is done, in rows or what the phase counts';
COMMENT ON COLUMN logintel.progress.total IS 'How much there is in the phase; NULL where it is not known, and once an estimate has turned out too low';
COMMENT ON COLUMN logintel.progress.total_is_estimate IS 'Whether the planner estimated the total, as it does for rows that a query reads; false where it was counted; NULL without a total';
COMMENT ON COLUMN logintel.progress.time_left IS 'What the rest of the phase takes at its pace so far; phases that come after it are not counted; NULL while there is no pace or no total';
COMMENT ON COLUMN logintel.progress.started IS 'When the call began';
COMMENT ON COLUMN logintel.progress.phase_started IS 'When the phase began';
COMMENT ON FUNCTION logintel.progress_info() IS 'long calls that run now; the view progress shows them';

-- Columns of views mean what they mean in the table that these show, where they have no words of their own.
DO $comments$
DECLARE
    c record;
BEGIN
    FOR c IN
        SELECT v.attrelid::regclass AS view_name, v.attname, pg_catalog.col_description(t.attrelid, t.attnum) AS words
        FROM (VALUES ('logintel.live_logs', 'logintel.logs'), ('logintel.worker_stats', 'logintel.worker_steps'),
                     ('logintel.drift_by_hour', 'logintel.drift')) AS r (view_name, table_name)
        JOIN pg_catalog.pg_attribute AS v ON v.attrelid = r.view_name::regclass AND v.attnum > 0
        JOIN pg_catalog.pg_attribute AS t ON t.attrelid = r.table_name::regclass AND t.attname = v.attname
        WHERE pg_catalog.col_description(v.attrelid, v.attnum) IS NULL
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', c.view_name, c.attname, c.words);
    END LOOP;
END
$comments$;

-- Comments on functions that are declared from Rust ---------------------------------------------------------------

COMMENT ON FUNCTION logintel.create_detector(text, regclass, text, text, text, text, text, text, text, jsonb) IS
    'registers a table or view of logs; returns the detector''s number';
COMMENT ON FUNCTION logintel.alter_detector(text, jsonb, text, bool, regrole, text, text, text, text, text, text, text) IS
    'replaces a detector''s options; renames it, switches it on or off, gives it to another owner, or has it read other columns; NULL leaves what is';
COMMENT ON FUNCTION logintel.drop_detector(text) IS 'drops a detector with its models, anomalies, incidents and triggers';
COMMENT ON FUNCTION logintel.train(text, timestamptz, timestamptz, bool) IS
    'learns what is ordinary from a range of time; returns the version of the new model';
COMMENT ON FUNCTION logintel.activate_model(text, int) IS 'makes a version of a detector''s model the one that judges';
COMMENT ON FUNCTION logintel.detect(text, text, text, text, text) IS 'judges one line against a detector''s active model';
COMMENT ON FUNCTION logintel.anomaly_score(text, text, text, text, text) IS 'how strange a line is: 0 = ordinary, 1 = never seen';
COMMENT ON FUNCTION logintel.anomaly_explain(text, text, text, text, text) IS
    'why a line is judged as it is: rules, nearest template, limit, and each term''s part of the distance';
COMMENT ON FUNCTION logintel.report_html(text) IS
    'what a detector found, or all whose logs the role may read, as one HTML page that needs nothing else';
COMMENT ON FUNCTION logintel.watch(text, text) IS 'scores every row that is inserted from now on, by trigger';
COMMENT ON FUNCTION logintel.unwatch(text) IS 'removes the triggers of watch';
COMMENT ON FUNCTION logintel.score_row() IS 'trigger function FOR EACH ROW; its argument is the detector''s name';
COMMENT ON FUNCTION logintel.score_rows() IS 'trigger function FOR EACH STATEMENT; its argument is the detector''s name';
COMMENT ON FUNCTION logintel.detectors_changed() IS 'trigger function that tells every session of a change of detectors or models';
COMMENT ON TRIGGER detectors_changed ON logintel.detectors IS 'tells every session when it commits';
COMMENT ON TRIGGER detectors_truncated ON logintel.detectors IS 'tells every session when it commits';
COMMENT ON TRIGGER detectors_changed ON logintel.model_versions IS 'tells every session when it commits';
COMMENT ON TRIGGER detectors_truncated ON logintel.model_versions IS 'tells every session when it commits';
COMMENT ON FUNCTION logintel.score_history(text, timestamptz, timestamptz) IS
    'scores rows that are there already and replaces the anomalies of that range; returns the rows scored';
COMMENT ON FUNCTION logintel.log_timeline(text, timestamptz, timestamptz) IS 'every row of a range with its judgement';
COMMENT ON FUNCTION logintel.compare_models(text, int, int, timestamptz, timestamptz) IS
    'which rows of a range two versions of a detector''s model judge differently';
COMMENT ON FUNCTION logintel.mark_normal(bigint) IS
    'marks the template of an anomaly as ordinary: its lines pass from the next statement on; returns the template';
COMMENT ON FUNCTION logintel.mark_incident_normal(bigint) IS
    'marks the templates of an incident''s anomalies as ordinary and resolves it; returns how many templates';
COMMENT ON FUNCTION logintel.suppression_preview(bigint, timestamptz, timestamptz) IS
    'what a suppression hides: stored anomalies that it matches, and incidents not yet resolved that it hides as a whole; at its own event times, or those that are given';
COMMENT ON FUNCTION logintel.path_column(text) IS 'the column that a path into json leads from; for the view status';
COMMENT ON FUNCTION logintel.acknowledge_incident(bigint, text) IS 'says that somebody looks after an incident; returns its status';
COMMENT ON FUNCTION logintel.resolve_incident(bigint, text) IS 'says that an incident is over; returns its status';
COMMENT ON FUNCTION logintel.reopen_incident(bigint, text) IS
    'says that an incident is not over, or that nobody looks after it; returns its status';
COMMENT ON FUNCTION logintel.unmark_normal(text, text) IS 'takes the mark of a template away; false if it had none';
COMMENT ON FUNCTION logintel.score_sessions(text, timestamptz, timestamptz, bool) IS
    'whole sessions whose last event lies in a range, judged against those of training; with include_open also those that go on';
COMMENT ON FUNCTION logintel.measure_drift(text, timestamptz, timestamptz, interval) IS
    'for each bucket of time that holds rows, how much the active model flags, and how much training never saw';
COMMENT ON PROCEDURE logintel.run_maintenance() IS
    'one tick of the worker: anomalies become incidents, quiet ones are resolved, what is old goes, views are refreshed, drift is measured, detectors are trained that are due';
COMMENT ON FUNCTION logintel.log_embed(text, text) IS 'the vector of a message in a detector''s active model';

-- Rights ----------------------------------------------------------------------------------------------------------
-- PUBLIC may use the toolbox: functions of logvec and tfidf_model. What knows of detectors is for the three roles.

GRANT USAGE ON SCHEMA logintel TO PUBLIC;
DO $rights$
DECLARE
    f record;
BEGIN
    FOR f IN
        SELECT p.oid::regprocedure AS signature, p.prokind, r.role_name
        FROM (VALUES
            ('create_detector', 'logintel_writer'), ('alter_detector', 'logintel_writer'), ('drop_detector', 'logintel_writer'),
            ('train', 'logintel_writer'), ('activate_model', 'logintel_writer'), ('watch', 'logintel_writer'),
            ('unwatch', 'logintel_writer'), ('score_history', 'logintel_writer'), ('ingest', 'logintel_writer'),
            -- These say themselves who may: who is on call needs an answer.
            ('mark_normal', 'logintel_reader'), ('mark_incident_normal', 'logintel_reader'), ('unmark_normal', 'logintel_reader'),
            ('acknowledge_incident', 'logintel_reader'), ('resolve_incident', 'logintel_reader'), ('reopen_incident', 'logintel_reader'),
            ('score_row', 'logintel_writer'), ('score_rows', 'logintel_writer'), ('start_live_session', 'logintel_writer'),
            ('detect', 'logintel_reader'), ('anomaly_score', 'logintel_reader'), ('anomaly_explain', 'logintel_reader'),
            ('log_timeline', 'logintel_reader'), ('report_html', 'logintel_reader'), ('compare_models', 'logintel_reader'), ('score_sessions', 'logintel_reader'), ('measure_drift', 'logintel_reader'), ('progress_info', 'logintel_reader'), ('readable_detectors', 'logintel_reader'), ('suppression_preview', 'logintel_reader'), ('owned_detectors', 'logintel_writer'),
            ('run_maintenance', 'logintel_admin'), ('worker_state', 'logintel_admin'), ('worker_here', 'logintel_reader'), ('path_column', 'logintel_reader'), ('restore_builtin', NULL), ('check_suppression', NULL),
            ('detectors_changed', NULL),
            ('record_change', NULL), ('forget_incidents', NULL), ('raise_alerts', NULL), ('short_payload', 'logintel_admin'),
            ('alert_payload', 'logintel_admin'), ('alert_annotations', 'logintel_admin'), ('alert_texts', 'logintel_admin'), ('alert_without_texts', 'logintel_admin'), ('rfc3339', 'logintel_admin')
        ) AS r (function_name, role_name)
        JOIN pg_proc AS p ON p.proname = r.function_name AND p.pronamespace = 'logintel'::regnamespace
    LOOP
        EXECUTE format('REVOKE ALL ON %s %s FROM PUBLIC', CASE f.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, f.signature);
        -- What only triggers call nobody may put behind a table of his own: it runs with the owner's rights, or trusts its table.
        IF f.role_name IS NOT NULL THEN
            EXECUTE format('GRANT EXECUTE ON %s %s TO %I', CASE f.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, f.signature, f.role_name);
        END IF;
    END LOOP;
END
$rights$;
REVOKE ALL ON FUNCTION logintel.log_embed(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION logintel.log_embed(text, text) TO logintel_reader;

GRANT SELECT ON logintel.detectors, logintel.models, logintel.model_profiles, logintel.anomalies, logintel.incidents,
    logintel.incident_events, logintel.incident_templates, logintel.alerts, logintel.normal_templates, logintel.logs, logintel.live_session, logintel.live_logs,
    logintel.drift, logintel.retrainings, logintel.scoring_errors, logintel.worker_stats, logintel.progress, logintel.incident_summary_v, logintel.incident_timeline_v,
    logintel.cluster_summary_v, logintel.component_health_v, logintel.status, logintel.live_status, logintel.anomalies_by_minute, logintel.anomalies_by_hour,
    logintel.incidents_by_hour, logintel.incidents_by_day, logintel.top_templates, logintel.new_templates,
    logintel.drift_by_hour, logintel.worker_health TO logintel_reader;
GRANT INSERT (source, level, component, message, ts) ON logintel.logs TO logintel_writer;
GRANT SELECT ON logintel.server_log, logintel.server_log_files, logintel.model_versions, logintel.model_clusters, logintel.scoring_failures, logintel.maintenance, logintel.worker_steps,
    logintel.incident_summary, logintel.incident_timeline, logintel.cluster_summary, logintel.component_health
    TO logintel_admin;

-- What was copied from a log is shown to those who may read the log that it comes from.
ALTER TABLE logintel.model_profiles ENABLE ROW LEVEL SECURITY;
CREATE POLICY readable ON logintel.model_profiles FOR SELECT TO logintel_reader
    USING (detector IN (SELECT logintel.readable_detectors(current_user)));
COMMENT ON POLICY readable ON logintel.model_profiles IS 'who may read the log may read what was copied from it';
ALTER TABLE logintel.anomalies ENABLE ROW LEVEL SECURITY;
CREATE POLICY readable ON logintel.anomalies FOR SELECT TO logintel_reader
    USING (detector IN (SELECT logintel.readable_detectors(current_user)));
COMMENT ON POLICY readable ON logintel.anomalies IS 'who may read the log may read what was copied from it';
ALTER TABLE logintel.incidents ENABLE ROW LEVEL SECURITY;
CREATE POLICY readable ON logintel.incidents FOR SELECT TO logintel_reader
    USING (detector IN (SELECT logintel.readable_detectors(current_user)));
COMMENT ON POLICY readable ON logintel.incidents IS 'who may read the log may read what was copied from it';
ALTER TABLE logintel.incident_events ENABLE ROW LEVEL SECURITY;
CREATE POLICY readable ON logintel.incident_events FOR SELECT TO logintel_reader
    USING (detector IN (SELECT logintel.readable_detectors(current_user)));
COMMENT ON POLICY readable ON logintel.incident_events IS 'who may read the log may read what is told of it';
ALTER TABLE logintel.alerts ENABLE ROW LEVEL SECURITY;
CREATE POLICY readable ON logintel.alerts FOR SELECT TO logintel_reader
    USING (detector IN (SELECT logintel.readable_detectors(current_user)));
COMMENT ON POLICY readable ON logintel.alerts IS 'who may read the log may read what was copied from it';
-- What the reason of a failure quotes may be of the log, too.
ALTER TABLE logintel.drift ENABLE ROW LEVEL SECURITY;
CREATE POLICY readable ON logintel.drift FOR SELECT TO logintel_reader
    USING (detector IN (SELECT logintel.readable_detectors(current_user)));
COMMENT ON POLICY readable ON logintel.drift IS 'who may read the log may read what is told of it';
ALTER TABLE logintel.retrainings ENABLE ROW LEVEL SECURITY;
CREATE POLICY readable ON logintel.retrainings FOR SELECT TO logintel_reader
    USING (detector IN (SELECT logintel.readable_detectors(current_user)));
COMMENT ON POLICY readable ON logintel.retrainings IS 'who may read the log may read what is told of it';
ALTER TABLE logintel.normal_templates ENABLE ROW LEVEL SECURITY;
CREATE POLICY readable ON logintel.normal_templates FOR SELECT TO logintel_reader
    USING (detector IN (SELECT logintel.readable_detectors(current_user)));
COMMENT ON POLICY readable ON logintel.normal_templates IS 'who may read the log may read what was copied from it';
