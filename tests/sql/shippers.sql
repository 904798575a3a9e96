-- Tables as log shippers make and fill them: what create_detector finds by itself, and what becomes of a strange row.
SET search_path = public, logintel;
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE FUNCTION attempt(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
BEGIN
    EXECUTE statement;
    RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN SQLSTATE || ' ' || SQLERRM || CASE WHEN hint = '' THEN '' ELSE ' / ' || hint END;
END $$;
-- What ordinary lines say: six templates, one every 10 seconds.
CREATE VIEW ordinary AS
SELECT n, timestamptz '2026-01-01 00:00Z' + n * interval '10 seconds' AS ts, (ARRAY['api', 'db', 'cron'])[n % 3 + 1] AS program,
       CASE n % 6 WHEN 0 THEN format('request %s served in %s ms', n, n % 90) WHEN 1 THEN format('checkpoint complete after %s buffers', n)
                  WHEN 2 THEN format('job %s finished', n) WHEN 3 THEN format('user u%s logged in from 10.0.0.%s', n, n % 200)
                  WHEN 4 THEN format('table t%s vacuumed', n) ELSE format('job %s started', n) END AS message
FROM generate_series(1, 1200) AS n;
-- Made by defaults alone, trained, watched.
CREATE FUNCTION detect_in(name text, relation regclass) RETURNS TABLE (part text, found text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM logintel.create_detector(name, relation);
    PERFORM logintel.train(name);
    PERFORM logintel.watch(name);
    RETURN QUERY SELECT v.* FROM logintel.detectors AS d,
        LATERAL (VALUES ('message', d.message), ('ts', d.ts), ('level', d.level), ('component', d.component), ('source', d.source), ('session', d.session)) AS v
        WHERE d.name = detect_in.name AND v.column2 IS NOT NULL;
END $$;
CREATE VIEW caught AS SELECT ts AT TIME ZONE 'UTC' AS ts_utc, level, component, source, message, reason FROM anomalies;
-- What the triggers recorded is what a scan of the table flags: both read the same things from a row.
CREATE FUNCTION differ(name text) RETURNS TABLE (n bigint) LANGUAGE sql AS $$
    SELECT count(*) FROM (
        (SELECT a.ts, a.level, a.component, a.source, a.message FROM logintel.anomalies AS a WHERE a.detector = name
         EXCEPT ALL SELECT t.ts, t.level, t.component, t.source, t.message FROM logintel.log_timeline(name) AS t WHERE t.is_anomaly)
        UNION ALL
        (SELECT t.ts, t.level, t.component, t.source, t.message FROM logintel.log_timeline(name) AS t WHERE t.is_anomaly
         EXCEPT ALL SELECT a.ts, a.level, a.component, a.source, a.message FROM logintel.anomalies AS a WHERE a.detector = name)) AS d
$$;

-- rsyslog, ompgsql: SystemEvents of its createDB.sql. Priority is syslog's severity, the tag has the process in it.
CREATE TABLE SystemEvents
(
        ID serial not null primary key,
        CustomerID bigint,
        ReceivedAt timestamp without time zone NULL,
        DeviceReportedTime timestamp without time zone NULL,
        Facility smallint NULL,
        Priority smallint NULL,
        FromHost varchar(60) NULL,
        Message text,
        NTSeverity int NULL,
        Importance int NULL,
        EventSource varchar(60),
        EventUser varchar(60) NULL,
        EventCategory int NULL,
        EventID int NULL,
        EventBinaryData text NULL,
        MaxAvailable int NULL,
        CurrUsage int NULL,
        MinUsage int NULL,
        MaxUsage int NULL,
        InfoUnitID int NULL ,
        SysLogTag varchar(60),
        EventLogType varchar(60),
        GenericFileName VarChar(60),
        SystemID int NULL
);
INSERT INTO SystemEvents (Message, Facility, FromHost, Priority, DeviceReportedTime, ReceivedAt, InfoUnitID, SysLogTag)
SELECT ' ' || message, 3, 'web1', 6, ts AT TIME ZONE 'UTC', ts AT TIME ZONE 'UTC', 1, format('%s[%s]:', program, 1000 + n) FROM ordinary;
SELECT * FROM detect_in('syslog', 'systemevents');
-- 1200 processes are three components.
SELECT component, level, count(*) FROM log_timeline('syslog') GROUP BY 1, 2 ORDER BY 1;
SELECT profile, rows FROM model_profiles WHERE detector = 'syslog' AND rows > 0;
INSERT INTO SystemEvents (Message, Facility, FromHost, Priority, DeviceReportedTime, ReceivedAt, InfoUnitID, SysLogTag) VALUES
    (' job 7 finished', 3, 'web1', 6, '2026-01-02 09:00', '2026-01-02 09:00', 1, 'cron[7]:'),
    (' job 7 finished', 3, 'web1', 4, '2026-01-02 09:01', '2026-01-02 09:01', 1, 'cron[7]:'),
    (' job 7 finished', 3, 'web1', 3, '2026-01-02 09:02', '2026-01-02 09:02', 1, 'cron[7]:'),
    (' Out of memory: killed process 811 (postgres)', 0, 'web2', 6, '2026-01-02 09:03', '2026-01-02 09:03', 1, 'kernel:'),
    (' I/O error, dev sda, sector 4711', 0, 'web2', 2, '2026-01-02 09:04', '2026-01-02 09:04', 1, 'kernel:');
SELECT * FROM caught ORDER BY ts_utc;
SELECT * FROM differ('syslog');
-- A line that is asked about is read as a row is.
SELECT level, (detect('syslog', 'job 7 finished', level, 'cron[9]:')).reason FROM unnest(ARRAY['0', '3', '4', '7', 'ERR', NULL]) AS level;
-- A number says the same in an incident.
CALL run_maintenance();
SELECT severity, event_count, levels, components, sources FROM incidents;
SELECT drop_detector('syslog');

-- Fluent Bit, out_pgsql: the record is in jsonb. Containers of Kubernetes write to `log`.
CREATE TABLE IF NOT EXISTS fluentbit (tag varchar, time timestamp without time zone, data jsonb);
INSERT INTO fluentbit
SELECT 'kube.var.log.containers.' || program, ts AT TIME ZONE 'UTC', jsonb_build_object('date', extract(epoch FROM ts), 'log', message, 'stream', 'stdout', 'level', 'info',
       'kubernetes', jsonb_build_object('pod_name', program || '-6f7', 'namespace_name', 'shop', 'container_name', program, 'labels', '{"app": "shop"}'::jsonb))
FROM ordinary;
SELECT * FROM detect_in('fluentbit', 'fluentbit');
INSERT INTO fluentbit VALUES
    ('kube', '2026-01-02 09:00', '{"log": "job 7 finished", "level": "info", "kubernetes": {"pod_name": "cron-6f7", "container_name": "cron"}}'),
    ('kube', '2026-01-02 09:01', '{"log": "job 7 finished", "level": "error", "kubernetes": {"pod_name": "cron-6f7", "container_name": "cron"}}'),
    ('kube', '2026-01-02 09:02', '{"log": "panic: everything melts", "level": "info", "kubernetes": {"pod_name": "api-6f7", "container_name": "api"}}');
SELECT * FROM caught ORDER BY ts_utc;
SELECT * FROM differ('fluentbit');
SELECT drop_detector('fluentbit');
-- The journal's names, and its numbers, which are texts.
CREATE TABLE journal (tag varchar, time timestamp without time zone, data jsonb);
INSERT INTO journal
SELECT 'host.systemd', ts AT TIME ZONE 'UTC', jsonb_build_object('MESSAGE', message, 'PRIORITY', '6', '_HOSTNAME', 'web1', 'SYSLOG_IDENTIFIER', program,
       '_SYSTEMD_UNIT', program || '.service', '_PID', n::text, '_BOOT_ID', '5bf4') FROM ordinary;
SELECT * FROM detect_in('journal', 'journal');
INSERT INTO journal VALUES
    ('host.systemd', '2026-01-02 09:00', '{"MESSAGE": "job 7 finished", "PRIORITY": "3", "_HOSTNAME": "web1", "SYSLOG_IDENTIFIER": "cron"}'),
    ('host.systemd', '2026-01-02 09:01', '{"MESSAGE": "Failed to start nginx.service", "PRIORITY": "5", "_HOSTNAME": "web2", "SYSLOG_IDENTIFIER": "systemd"}');
SELECT * FROM caught ORDER BY ts_utc;
SELECT * FROM differ('journal');
SELECT drop_detector('journal');
-- Where inputs differ, the key that most rows have; without a host in the record, the tag tells the source.
CREATE TABLE mixed (tag varchar, time timestamp without time zone, data jsonb);
INSERT INTO mixed SELECT 'app.' || program, ts AT TIME ZONE 'UTC', jsonb_build_object(CASE WHEN n % 10 = 0 THEN 'message' ELSE 'log' END, message) FROM ordinary;
SELECT * FROM detect_in('mixed', 'mixed');
SELECT drop_detector('mixed');

-- Vector, sink postgres: an event's fields go into columns of their names. Events of the source `syslog`, and of
-- `kubernetes_logs`, whose origin is one json.
CREATE TABLE vector_syslog (appname text, facility text, host text, hostname text, message text, msgid text, procid int, severity text, source_ip text, source_type text,
    "timestamp" timestamptz, version int);
INSERT INTO vector_syslog SELECT * FROM jsonb_populate_recordset(NULL::vector_syslog, (
    SELECT jsonb_agg(jsonb_build_object('appname', program, 'facility', 'daemon', 'host', 'web1', 'hostname', 'web1', 'message', message, 'procid', n, 'severity', 'info',
           'source_ip', '10.0.0.1', 'source_type', 'syslog', 'timestamp', ts, 'version', 1)) FROM ordinary));
SELECT * FROM detect_in('vector', 'vector_syslog');
INSERT INTO vector_syslog SELECT * FROM jsonb_populate_recordset(NULL::vector_syslog, '[
    {"appname": "cron", "host": "web1", "message": "job 7 finished", "severity": "info", "timestamp": "2026-01-02T09:00:00Z"},
    {"appname": "cron", "host": "web1", "message": "job 7 finished", "severity": "crit", "timestamp": "2026-01-02T09:01:00Z"},
    {"appname": "api", "host": "web2", "message": "upstream timed out while connecting", "severity": "info", "timestamp": "2026-01-02T09:02:00Z"}]');
SELECT * FROM caught ORDER BY ts_utc;
SELECT * FROM differ('vector');
SELECT drop_detector('vector');
CREATE TABLE vector_kubernetes (file text, kubernetes jsonb, message text, source_type text, stream text, "timestamp" timestamptz);
INSERT INTO vector_kubernetes
SELECT '/var/log/pods/' || program, jsonb_build_object('container_name', program, 'pod_name', program || '-6f7', 'pod_labels', '{"app": "shop"}'::jsonb), message, 'kubernetes_logs', 'stdout', ts FROM ordinary;
SELECT * FROM detect_in('vector', 'vector_kubernetes');
INSERT INTO vector_kubernetes VALUES (NULL, '{"container_name": "api", "pod_name": "api-6f7"}', 'upstream timed out while connecting', 'kubernetes_logs', 'stderr', '2026-01-02 09:02Z');
SELECT * FROM caught ORDER BY ts_utc;
SELECT * FROM differ('vector');
SELECT drop_detector('vector');
-- One column that holds the event, its time and all.
CREATE TABLE vector_event (id bigint GENERATED ALWAYS AS IDENTITY, payload jsonb);
INSERT INTO vector_event (payload)
SELECT jsonb_build_object('message', message, 'timestamp', to_char(ts AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), 'host', 'web1', 'service', program, 'level', 'info', 'source_type', 'file') FROM ordinary;
SELECT * FROM detect_in('vector', 'vector_event');
INSERT INTO vector_event (payload) VALUES ('{"message": "job 7 finished", "timestamp": "2026-01-02T09:01:00Z", "host": "web1", "service": "cron", "level": "FATAL"}');
SELECT * FROM caught ORDER BY ts_utc;
SELECT * FROM differ('vector');
SELECT drop_detector('vector');

-- OpenTelemetry, as exporters for tables name its log data: CamelCase, and snake_case. Lines outside of all traces have
-- an empty TraceId, which is no session.
CREATE TABLE IF NOT EXISTS otellogs (
    "Timestamp" TIMESTAMP(6) NOT NULL, "TimestampTime" TIMESTAMP GENERATED ALWAYS AS ("Timestamp") STORED, "TraceId" TEXT, "SpanId" TEXT, "TraceFlags" SMALLINT, "SeverityText" TEXT,
    "SeverityNumber" SMALLINT, "ServiceName" TEXT, "Body" TEXT, "ResourceSchemaUrl" TEXT, "ResourceAttributes" JSONB, "ScopeSchemaUrl" TEXT, "ScopeName" TEXT, "ScopeVersion" TEXT,
    "ScopeAttributes" JSONB, "LogAttributes" JSONB, PRIMARY KEY ("ServiceName", "TimestampTime"));
INSERT INTO otellogs ("Timestamp", "TraceId", "SeverityText", "SeverityNumber", "ServiceName", "Body", "ResourceAttributes", "LogAttributes")
SELECT ts AT TIME ZONE 'UTC', CASE WHEN n > 600 THEN md5((n / 3)::text) ELSE '' END, 'INFO', 9, program, message, jsonb_build_object('service.name', program, 'host.name', 'web1'), '{"level": "3", "thread": "main"}' FROM ordinary;
SELECT * FROM detect_in('otel', 'otellogs');
SELECT training_sessions FROM models WHERE detector = 'otel';
INSERT INTO otellogs ("Timestamp", "TraceId", "SeverityText", "SeverityNumber", "ServiceName", "Body", "ResourceAttributes", "LogAttributes") VALUES
    ('2026-01-02 09:00', '', 'INFO', 9, 'cron', 'job 7 finished', '{"host.name": "web1"}', '{}'),
    ('2026-01-02 09:01', '', 'ERROR', 17, 'cron', 'job 7 finished', '{"host.name": "web1"}', '{}'),
    ('2026-01-02 09:02', '', 'INFO', 9, 'api', 'deadline exceeded while calling payments', '{"host.name": "web2"}', '{}');
SELECT * FROM caught ORDER BY ts_utc;
SELECT * FROM differ('otel');
SELECT count(*) FROM score_sessions('otel', include_open => true) WHERE session_id = '';
SELECT drop_detector('otel');
CREATE TABLE otel_logs ("timestamp" timestamptz, observed_timestamp timestamptz, trace_id text, span_id text, severity_number int, body jsonb, resource_attributes jsonb, log_attributes jsonb, scope_name text);
INSERT INTO otel_logs SELECT ts, ts, NULL, NULL, 9, to_jsonb(message), jsonb_build_object('service.name', program, 'host.name', 'web1'), '{}' FROM ordinary;
SELECT * FROM detect_in('otel', 'otel_logs');
-- 3 is TRACE3 here, and 0 says nothing; both would be errors of syslog's.
INSERT INTO otel_logs SELECT '2026-01-02 09:00Z'::timestamptz + severity * interval '1 minute', NULL, NULL, NULL, severity, to_jsonb('job 7 finished'::text), '{"service.name": "cron", "host.name": "web1"}'
FROM unnest(ARRAY[0, 1, 3, 9, 16, 17, 21, 24]) AS severity;
SELECT * FROM caught ORDER BY ts_utc;
SELECT * FROM differ('otel');
SELECT level, (detect('otel', 'job 7 finished', level, 'cron')).reason FROM unnest(ARRAY['0', '3', '17', 'ERROR']) AS level;
SELECT drop_detector('otel');

-- PostgreSQL's csvlog, in the table that its documentation gives; pgAudit writes into the same log.
CREATE TABLE postgres_log
(
  log_time timestamp(3) with time zone,
  user_name text,
  database_name text,
  process_id integer,
  connection_from text,
  session_id text,
  session_line_num bigint,
  command_tag text,
  session_start_time timestamp with time zone,
  virtual_transaction_id text,
  transaction_id bigint,
  error_severity text,
  sql_state_code text,
  message text,
  detail text,
  hint text,
  internal_query text,
  internal_query_pos integer,
  context text,
  query text,
  query_pos integer,
  location text,
  application_name text,
  backend_type text,
  leader_pid integer,
  query_id bigint,
  PRIMARY KEY (session_id, session_line_num)
);
INSERT INTO postgres_log (log_time, user_name, database_name, process_id, session_id, session_line_num, error_severity, sql_state_code, message, backend_type)
SELECT ts, 'app', 'shop', 4000 + n / 4, to_hex(n / 4), n, 'LOG', '00000', CASE WHEN n % 2 = 0 THEN format('AUDIT: SESSION,%s,1,READ,SELECT,,,select * from orders where id = %s,<none>', n, n) ELSE format('duration: %s ms', n % 50) END,
       CASE WHEN n % 10 = 0 THEN 'checkpointer' ELSE 'client backend' END FROM ordinary;
SELECT * FROM detect_in('csvlog', 'postgres_log');
INSERT INTO postgres_log (log_time, database_name, session_id, session_line_num, error_severity, sql_state_code, message, backend_type) VALUES
    ('2026-01-02 09:00Z', 'shop', 'f', 1, 'LOG', '00000', 'duration: 7 ms', 'client backend'), ('2026-01-02 09:01Z', 'shop', 'f', 2, 'FATAL', '28P01', 'password authentication failed for user "app"', 'client backend'),
    ('2026-01-02 09:02Z', 'shop', 'f', 3, 'LOG', '00000', 'AUDIT: SESSION,9,1,ROLE,GRANT,,,grant pg_read_all_data to mallory,<none>', 'client backend');
SELECT * FROM caught ORDER BY ts_utc;
SELECT * FROM differ('csvlog');
SELECT drop_detector('csvlog');

-- What is found, and what is not -----------------------------------------------------------------------------------
CREATE FUNCTION found(columns text, "values" text, arguments text DEFAULT '') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    EXECUTE format('CREATE TABLE probe (%s)', columns);
    IF "values" <> '' THEN EXECUTE 'INSERT INTO probe VALUES ' || "values"; END IF;
    answer := attempt(format('SELECT logintel.create_detector(''probe'', ''probe''%s)', arguments));
    IF answer = 'ok' THEN
        SELECT concat_ws(' | ', 'm: ' || d.message, 't: ' || ts, 'l: ' || level, 'c: ' || component, 's: ' || source) INTO answer FROM logintel.detectors AS d WHERE name = 'probe';
        PERFORM logintel.drop_detector('probe');
    END IF;
    DROP TABLE probe;
    RETURN answer;
END $$;
\x on
SELECT found('ts timestamptz, data jsonb', '') AS no_rows,
       found('ts timestamptz, data jsonb', $$(now(), '{"text_of_it": "x"}'), (now(), '[]'), (now(), '"x"'), (now(), '7'), (NULL, NULL), (now(), '{"message": ""}'), (now(), '{"message": {"deep": {"er": {"message": 1}}}}')$$) AS no_such_key,
       found('ts timestamptz, n int', '') AS no_json,
       found('data json', $$('{"msg": "x", "time": "not a time", "ts": 1767225600}')$$) AS no_time,
       found('data json', $$('{"Msg": "x", "time": "not a time", "@timestamp": "2026-01-01T00:00:00Z"}')$$) AS json_too,
       found('ts timestamptz, data jsonb', $$(now(), '{"event": {"message": "x"}, "it''s": {"level": 50}, "service.name": "a"}')$$) AS nested,
       found('ts timestamptz, "odd -> ""column" jsonb', $$(now(), '{"message": "x", "service": {"name": "y"}}')$$) AS quoted,
       found('ts timestamptz, log jsonb', $$(now(), '{"message": "x"}')$$) AS inside_its_column,
       found('ts timestamptz, log jsonb', $$(now(), '"x"'), (now(), '"y"')$$) AS a_text_as_json,
       found('ts timestamptz, a jsonb, b jsonb', $$(now(), '{"message": "x"}', '{"message": "x"}'), (now(), NULL, '{"message": "y"}')$$) AS the_column_that_has_more,
       -- The data of a game: not its level.
       found('ts timestamptz, message text, data jsonb', $$(now(), 'x', '{"level": 17, "service": "y", "host": "z"}')$$) AS other_data,
       found('ts timestamptz, message text, attributes jsonb', $$(now(), 'x', '{"level": 17, "service.name": "y", "host": {"name": "z"}}')$$) AS attributes,
       found('ts timestamptz, data jsonb', $$(now(), '{"log": "x", "level": "info", "host": "h"}')$$, $$, message => 'data->>''log''', level => ''$$) AS named,
       found('ts timestamptz, data jsonb', $$(now(), jsonb_build_object('log', (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 10000) AS i)))$$) AS too_long,
       found('ts timestamptz, data jsonb', $$(now(), (SELECT jsonb_object_agg('k' || i, 'x') FROM generate_series(1, 3000) AS i) || '{"log": "x"}')$$) AS many_keys,
       found('"LogTime" timestamptz, "LOG_LEVEL" text, "Log-Message" text, "serviceName" text, "Host Name" text', '') AS spellings;
\x off
-- The rows are read with the rights that the detector will have.
CREATE ROLE regress_logintel_shipper;
GRANT logintel_writer TO regress_logintel_shipper;
CREATE TABLE secret (ts timestamptz, data jsonb);
INSERT INTO secret VALUES (now(), '{"message": "x"}');
GRANT SELECT ON secret TO regress_logintel_shipper;
ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
SET ROLE regress_logintel_shipper;
SELECT attempt($$SELECT logintel.create_detector('secret', 'public.secret')$$);
RESET ROLE;
CREATE POLICY shown ON secret USING (true);
SET ROLE regress_logintel_shipper;
SELECT attempt($$SELECT logintel.create_detector('secret', 'public.secret')$$);
RESET ROLE;
SELECT owner, message FROM detectors WHERE name = 'secret';
SELECT drop_detector('secret');

DROP TABLE secret, SystemEvents, fluentbit, journal, mixed, vector_syslog, vector_kubernetes, vector_event, otellogs, otel_logs, postgres_log;
DROP ROLE regress_logintel_shipper;
DROP VIEW caught, ordinary;
DROP FUNCTION attempt, detect_in, differ, found;
