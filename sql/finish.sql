-- After all functions: what needs them, and who may do what.

-- ingest ----------------------------------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.ingest(source text, level text, component text, message text, ts timestamptz DEFAULT now())
RETURNS jsonb LANGUAGE sql VOLATILE
BEGIN ATOMIC
    INSERT INTO @extschema@.logs (source, level, component, message, ts)
    VALUES (ingest.source, ingest.level, ingest.component, ingest.message, coalesce(ingest.ts, now()))
    RETURNING jsonb_build_object('status', 'ok', 'is_anomaly', coalesce(is_anomaly, false), 'reason', anomaly_reason);
END;
COMMENT ON FUNCTION @extschema@.ingest(text, text, text, text, timestamptz) IS
    'stores one line in the table logs and says whether it is an anomaly, and why';

-- Times without zone are read in UTC.
CREATE FUNCTION @extschema@.ingest(body jsonb) RETURNS jsonb LANGUAGE plpgsql VOLATILE SET timezone = 'UTC'
AS $$
DECLARE
    moment pg_catalog.timestamptz;
BEGIN
    IF pg_catalog.jsonb_typeof(body) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'the body of ingest must be a JSON object' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Such as {"source": "hdfs", "level": "INFO", "component": "dfs.DataNode", "message": "…"}.';
    END IF;
    IF pg_catalog.jsonb_typeof(body OPERATOR(pg_catalog.->) 'message') IS DISTINCT FROM 'string' THEN
        RAISE EXCEPTION 'the body of ingest has no text "message"' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Such as {"source": "hdfs", "level": "INFO", "component": "dfs.DataNode", "message": "…"}.';
    END IF;
    BEGIN
        moment := coalesce(body OPERATOR(pg_catalog.->>) 'timestamp', body OPERATOR(pg_catalog.->>) 'ts')::pg_catalog.timestamptz;
    EXCEPTION WHEN datetime_field_overflow OR invalid_datetime_format THEN
        RAISE EXCEPTION 'the body of ingest has a "timestamp" that is none: %',
            coalesce(body OPERATOR(pg_catalog.->>) 'timestamp', body OPERATOR(pg_catalog.->>) 'ts')
            USING ERRCODE = 'invalid_datetime_format', HINT = 'Such as "2026-01-31T12:00:00Z".';
    END;
    RETURN @extschema@.ingest(body OPERATOR(pg_catalog.->>) 'source', body OPERATOR(pg_catalog.->>) 'level',
        body OPERATOR(pg_catalog.->>) 'component', body OPERATOR(pg_catalog.->>) 'message', moment);
END
$$;
COMMENT ON FUNCTION @extschema@.ingest(jsonb) IS
    'ingest for a JSON body with source, level, component, message and perhaps timestamp';

-- The built-in detector -------------------------------------------------------------------------------------------

INSERT INTO @extschema@.detectors (name, relation, owner, message, ts, level, component, source)
VALUES ('logs', '@extschema@.logs', current_user::regrole, 'message', 'ts', 'level', 'component', 'source');
CREATE TRIGGER logintel_logs_fill BEFORE INSERT ON @extschema@.logs
    FOR EACH ROW EXECUTE FUNCTION @extschema@.score_row('logs');
COMMENT ON TRIGGER logintel_logs_fill ON @extschema@.logs IS 'fills the judgement';
CREATE TRIGGER logintel_logs_row AFTER INSERT ON @extschema@.logs
    FOR EACH ROW EXECUTE FUNCTION @extschema@.score_row('logs');
COMMENT ON TRIGGER logintel_logs_row ON @extschema@.logs IS 'records anomalies';

-- CREATE EXTENSION makes the detector logs, and a dump brings it too: what the dump brings wins.
CREATE FUNCTION @extschema@.restore_builtin() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE @extschema@.detectors
    SET detector_id = NEW.detector_id, owner = NEW.owner, message = NEW.message, ts = NEW.ts, level = NEW.level,
        component = NEW.component, source = NEW.source, session = NEW.session, template = NEW.template, options = NEW.options,
        enabled = NEW.enabled, created_at = NEW.created_at, active_version = NEW.active_version
    WHERE name = NEW.name;
    RETURN CASE WHEN FOUND THEN NULL ELSE NEW END;
END
$$;
COMMENT ON FUNCTION @extschema@.restore_builtin() IS 'lets a dump overwrite the built-in detector';
CREATE TRIGGER restore_builtin BEFORE INSERT ON @extschema@.detectors
    FOR EACH ROW WHEN (NEW.name = 'logs') EXECUTE FUNCTION @extschema@.restore_builtin();
COMMENT ON TRIGGER restore_builtin ON @extschema@.detectors IS 'lets a dump overwrite the built-in detector';


CREATE VIEW @extschema@.progress AS
SELECT p.pid, d.datname AS database, p.command, p.phase, p.done, p.total, p.started
FROM @extschema@.progress_info() AS p LEFT JOIN pg_catalog.pg_database AS d ON d.oid = p.database;
COMMENT ON VIEW @extschema@.progress IS 'long calls that run now, where logintel is in shared_preload_libraries';
COMMENT ON COLUMN @extschema@.progress.pid IS 'Process of the connection';
COMMENT ON COLUMN @extschema@.progress.database IS 'Its database';
COMMENT ON COLUMN @extschema@.progress.command IS 'What is called';
COMMENT ON COLUMN @extschema@.progress.phase IS 'What it is doing';
COMMENT ON COLUMN @extschema@.progress.done IS 'How much of the phase is done, in rows or what the phase counts';
COMMENT ON COLUMN @extschema@.progress.total IS 'How much there is; NULL where it is not known';
COMMENT ON COLUMN @extschema@.progress.started IS 'When the call began';
COMMENT ON FUNCTION @extschema@.progress_info() IS 'long calls that run now; the view progress shows them';

-- Comments on functions that are declared from Rust ---------------------------------------------------------------

COMMENT ON FUNCTION @extschema@.create_detector(text, regclass, text, text, text, text, text, text, text, jsonb) IS
    'registers a table or view of logs; returns the detector''s number';
COMMENT ON FUNCTION @extschema@.alter_detector(text, jsonb, text) IS 'replaces a detector''s options, or renames it';
COMMENT ON FUNCTION @extschema@.drop_detector(text) IS 'drops a detector with its models, anomalies, incidents and triggers';
COMMENT ON FUNCTION @extschema@.train(text, timestamptz, timestamptz, bool) IS
    'learns what is ordinary from a range of time; returns the version of the new model';
COMMENT ON FUNCTION @extschema@.activate_model(text, int) IS 'makes a version of a detector''s model the one that judges';
COMMENT ON FUNCTION @extschema@.detect(text, text, text, text, text) IS 'judges one line against a detector''s active model';
COMMENT ON FUNCTION @extschema@.anomaly_score(text, text, text, text, text) IS 'how strange a line is: 0 = ordinary, 1 = never seen';
COMMENT ON FUNCTION @extschema@.anomaly_explain(text, text, text, text, text) IS
    'why a line is judged as it is: rules, nearest template, limit, and each term''s part of the distance';
COMMENT ON FUNCTION @extschema@.watch(text, text) IS 'scores every row that is inserted from now on, by trigger';
COMMENT ON FUNCTION @extschema@.unwatch(text) IS 'removes the triggers of watch';
COMMENT ON FUNCTION @extschema@.score_row() IS 'trigger function FOR EACH ROW; its argument is the detector''s name';
COMMENT ON FUNCTION @extschema@.score_rows() IS 'trigger function FOR EACH STATEMENT; its argument is the detector''s name';
COMMENT ON FUNCTION @extschema@.score_history(text, timestamptz, timestamptz) IS
    'scores rows that are there already and replaces the anomalies of that range; returns the rows scored';
COMMENT ON FUNCTION @extschema@.log_timeline(text, timestamptz, timestamptz) IS 'every row of a range with its judgement';
COMMENT ON PROCEDURE @extschema@.run_maintenance() IS
    'one tick of the worker: anomalies become incidents, what is old goes, views are refreshed';
COMMENT ON FUNCTION @extschema@.log_embed(text, text) IS 'the vector of a message in a detector''s active model';

-- Rights ----------------------------------------------------------------------------------------------------------
-- PUBLIC may use the toolbox: functions of logvec and tfidf_model. What knows of detectors is for the three roles.

GRANT USAGE ON SCHEMA @extschema@ TO PUBLIC;
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
            ('score_row', 'logintel_writer'), ('score_rows', 'logintel_writer'),
            ('detect', 'logintel_reader'), ('anomaly_score', 'logintel_reader'), ('anomaly_explain', 'logintel_reader'),
            ('log_timeline', 'logintel_reader'), ('progress_info', 'logintel_reader'), ('readable_detectors', 'logintel_reader'),
            ('run_maintenance', 'logintel_admin'), ('worker_state', 'logintel_admin'), ('restore_builtin', 'logintel_admin')
        ) AS r (function_name, role_name)
        JOIN pg_proc AS p ON p.proname = r.function_name AND p.pronamespace = '@extschema@'::regnamespace
    LOOP
        EXECUTE format('REVOKE ALL ON %s %s FROM PUBLIC', CASE f.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, f.signature);
        EXECUTE format('GRANT EXECUTE ON %s %s TO %I', CASE f.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, f.signature, f.role_name);
    END LOOP;
END
$rights$;
REVOKE ALL ON FUNCTION @extschema@.log_embed(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.log_embed(text, text) TO logintel_reader;

GRANT SELECT ON @extschema@.detectors, @extschema@.models, @extschema@.anomalies, @extschema@.incidents, @extschema@.logs,
    @extschema@.scoring_errors, @extschema@.progress, @extschema@.incident_summary_v, @extschema@.incident_timeline_v,
    @extschema@.cluster_summary_v, @extschema@.component_health_v TO logintel_reader;
GRANT INSERT (source, level, component, message, ts) ON @extschema@.logs TO logintel_writer;
GRANT SELECT ON @extschema@.model_versions, @extschema@.model_clusters, @extschema@.scoring_failures, @extschema@.maintenance,
    @extschema@.incident_summary, @extschema@.incident_timeline, @extschema@.cluster_summary, @extschema@.component_health
    TO logintel_admin;

-- A copied message is shown to those who may read the log that it comes from.
ALTER TABLE @extschema@.anomalies ENABLE ROW LEVEL SECURITY;
CREATE POLICY readable ON @extschema@.anomalies FOR SELECT TO logintel_reader
    USING (detector IN (SELECT @extschema@.readable_detectors(current_user)));
COMMENT ON POLICY readable ON @extschema@.anomalies IS 'who may read the log may read what was copied from it';
ALTER TABLE @extschema@.incidents ENABLE ROW LEVEL SECURITY;
CREATE POLICY readable ON @extschema@.incidents FOR SELECT TO logintel_reader
    USING (detector IN (SELECT @extschema@.readable_detectors(current_user)));
COMMENT ON POLICY readable ON @extschema@.incidents IS 'who may read the log may read what was copied from it';
