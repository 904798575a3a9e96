-- What became of the steps of maintenance.

-- At most one row for each step of each detector. Updated again and again: room is left on each page, so that no index is touched
-- and what an update leaves behind goes with the next one. What counts at the moment is not dumped.
CREATE TABLE logintel.worker_steps (
    detector      text REFERENCES logintel.detectors ON UPDATE CASCADE ON DELETE CASCADE,
    step          text NOT NULL,
    last_run      timestamptz NOT NULL,
    last_duration interval NOT NULL,
    last_rows     bigint NOT NULL,
    runs          bigint NOT NULL,
    rows          bigint NOT NULL,
    errors        bigint NOT NULL,
    failures      int NOT NULL,
    last_error    text,
    last_error_at timestamptz,
    next_run      timestamptz,
    UNIQUE NULLS NOT DISTINCT (detector, step)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
COMMENT ON TABLE logintel.worker_steps IS 'What became of each step of maintenance; the view worker_stats shows it';
COMMENT ON COLUMN logintel.worker_steps.detector IS 'Name of the detector; NULL for a step of the whole database';
COMMENT ON COLUMN logintel.worker_steps.step IS 'What is done: rates, grouping, suppressions, retention, resolving, drift, training; views, and the retention of what belongs to no detector';
COMMENT ON COLUMN logintel.worker_steps.last_run IS 'When it last ended; where the worker found nothing to do, up to a minute earlier';
COMMENT ON COLUMN logintel.worker_steps.last_duration IS 'How long the last run took';
COMMENT ON COLUMN logintel.worker_steps.last_rows IS 'Number of rows that the last run worked on';
COMMENT ON COLUMN logintel.worker_steps.runs IS 'Number of runs; where the worker found nothing to do, each minute counts once';
COMMENT ON COLUMN logintel.worker_steps.rows IS 'Number of rows that all runs worked on';
COMMENT ON COLUMN logintel.worker_steps.errors IS 'Number of runs that failed';
COMMENT ON COLUMN logintel.worker_steps.failures IS 'Number of runs that failed in a row; 0 after a success';
COMMENT ON COLUMN logintel.worker_steps.last_error IS 'Message of the last error, with its hint; NULL where there was none';
COMMENT ON COLUMN logintel.worker_steps.last_error_at IS 'When that was; NULL where there was none';
COMMENT ON COLUMN logintel.worker_steps.next_run IS 'Until when the worker lets it rest; NULL: until the next tick';

-- An error may quote the log.
CREATE VIEW logintel.worker_stats WITH (security_barrier) AS
SELECT detector, step, last_run, last_duration, last_rows, runs, rows, errors, failures,
       CASE WHEN detector IS NOT NULL OR pg_has_role(current_user, 'logintel_admin', 'USAGE') THEN last_error END AS last_error,
       last_error_at, next_run
FROM logintel.worker_steps
WHERE detector IS NULL OR detector IN (SELECT logintel.readable_detectors(current_user));
COMMENT ON VIEW logintel.worker_stats IS 'What became of each step of maintenance, by the worker or by hand, as far as the role may read the logs';
