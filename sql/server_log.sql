-- The server's own log, which the worker follows into a table where logintel.follow_server_log is on.

CREATE TABLE logintel.server_log (
    log_time         timestamptz NOT NULL,
    session_id       text NOT NULL,
    session_line_num bigint NOT NULL,
    error_severity   text NOT NULL,
    sql_state_code   text,
    message          text NOT NULL,
    detail           text,
    hint             text,
    context          text,
    query            text,
    user_name        text,
    database_name    text,
    application_name text,
    connection_from  text,
    command_tag      text,
    process_id       int NOT NULL,
    backend_type     text,
    leader_pid       int,
    query_id         bigint,
    recorded_at      timestamptz NOT NULL DEFAULT now(),
    -- A copy of a file that was read brings nothing twice. Numbers of lines are counted by each format for itself, times are not.
    PRIMARY KEY (log_time, session_id, session_line_num)
);
CREATE INDEX server_log_recorded ON logintel.server_log (recorded_at);
COMMENT ON TABLE logintel.server_log IS 'The server''s own log, where logintel.follow_server_log is on; the detector server_log watches it. Texts are cut at 8 kB.';
COMMENT ON COLUMN logintel.server_log.log_time IS 'When the line was written';
COMMENT ON COLUMN logintel.server_log.session_id IS 'Session: its begin and its process';
COMMENT ON COLUMN logintel.server_log.session_line_num IS 'Number of the line in its session';
COMMENT ON COLUMN logintel.server_log.error_severity IS 'Level, in the language of the server''s messages';
COMMENT ON COLUMN logintel.server_log.sql_state_code IS 'SQLSTATE; 00000 of what is no error';
COMMENT ON COLUMN logintel.server_log.message IS 'What happened';
COMMENT ON COLUMN logintel.server_log.detail IS 'More about it; NULL where there is none, as in the next three';
COMMENT ON COLUMN logintel.server_log.hint IS 'What may help';
COMMENT ON COLUMN logintel.server_log.context IS 'Where it happened';
COMMENT ON COLUMN logintel.server_log.query IS 'The statement that caused it';
COMMENT ON COLUMN logintel.server_log.user_name IS 'Role of the session';
COMMENT ON COLUMN logintel.server_log.database_name IS 'Database of the session; the source of the detector';
COMMENT ON COLUMN logintel.server_log.application_name IS 'Name that the client gave itself';
COMMENT ON COLUMN logintel.server_log.connection_from IS 'Host and port of the client';
COMMENT ON COLUMN logintel.server_log.command_tag IS 'Kind of the statement';
COMMENT ON COLUMN logintel.server_log.process_id IS 'Number of the process that wrote it';
COMMENT ON COLUMN logintel.server_log.backend_type IS 'Kind of the process; the component of the detector';
COMMENT ON COLUMN logintel.server_log.leader_pid IS 'Process that leads a parallel worker; NULL of others';
COMMENT ON COLUMN logintel.server_log.query_id IS 'Number of the query as pg_stat_statements has it; 0 where it is not computed';
COMMENT ON COLUMN logintel.server_log.recorded_at IS 'When it was written here';

CREATE TABLE logintel.server_log_files (
    file_name     text PRIMARY KEY,
    position      bigint NOT NULL CHECK (position >= 0),
    head_length   int NOT NULL DEFAULT 0,
    head_checksum bigint NOT NULL DEFAULT 0,
    is_finished   bool NOT NULL DEFAULT false,
    lines         bigint NOT NULL DEFAULT 0,
    left_out      bigint NOT NULL DEFAULT 0,
    broken_bytes  bigint NOT NULL DEFAULT 0,
    read_at       timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE logintel.server_log_files IS 'How far the files of the server''s log have been read; written together with the lines. A file that is gone has no row.';
COMMENT ON COLUMN logintel.server_log_files.file_name IS 'Path, from the data directory';
COMMENT ON COLUMN logintel.server_log_files.position IS 'Number of bytes that are done with';
COMMENT ON COLUMN logintel.server_log_files.head_length IS 'Bytes at its beginning by which it is known again';
COMMENT ON COLUMN logintel.server_log_files.head_checksum IS 'Their CRC-32';
COMMENT ON COLUMN logintel.server_log_files.is_finished IS 'Whether it has been read to its end after the server had gone on to another';
COMMENT ON COLUMN logintel.server_log_files.lines IS 'Number of lines that were stored';
COMMENT ON COLUMN logintel.server_log_files.left_out IS 'Number of lines that were left out: logintel''s own, and those that are there already';
COMMENT ON COLUMN logintel.server_log_files.broken_bytes IS 'Number of bytes that were no lines';
COMMENT ON COLUMN logintel.server_log_files.read_at IS 'When something was last read';

-- Lines are dumped; how far files of this server have been read means nothing elsewhere.
SELECT pg_catalog.pg_extension_config_dump('logintel.server_log', '');
