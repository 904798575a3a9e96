-- The live session: what has come into the table logs since somebody said that it begins.

CREATE TABLE logintel.live_session (
    is_only_row bool PRIMARY KEY DEFAULT true CHECK (is_only_row),
    started_at  timestamptz NOT NULL
);
COMMENT ON TABLE logintel.live_session IS 'The live session of this database; no row before the first';
COMMENT ON COLUMN logintel.live_session.is_only_row IS 'Always true: the key of the one row';
COMMENT ON COLUMN logintel.live_session.started_at IS 'When it began';
SELECT pg_catalog.pg_extension_config_dump('logintel.live_session', '');

-- Lines are recorded at the time of their transaction. So is the session: a transaction that starts it and then writes
-- shows what it wrote, and what another one writes that began earlier is of before, whenever it commits. Of two sessions
-- that begin at the same time the later one holds, for both.
CREATE FUNCTION logintel.start_live_session() RETURNS timestamptz
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO logintel.live_session AS s (started_at) VALUES (now())
    ON CONFLICT (is_only_row) DO UPDATE SET started_at = greatest(s.started_at, excluded.started_at)
    RETURNING started_at
$$;
COMMENT ON FUNCTION logintel.start_live_session() IS 'begins the live session of this database anew, for everybody: live_logs shows the lines from now on';

-- With its reader's rights: it shows nobody more than the table does.
CREATE VIEW logintel.live_logs WITH (security_invoker) AS
SELECT log_id, ts, source, level, component, message, recorded_at, is_anomaly, anomaly_score, anomaly_reason, cluster_id
FROM logintel.logs
WHERE recorded_at >= coalesce((SELECT started_at FROM logintel.live_session), '-infinity');
COMMENT ON VIEW logintel.live_logs IS 'The lines of logs that were recorded since the live session began; all of them before the first';
