-- What the functions of detectors are declared with.

CREATE TYPE @extschema@.detection AS (
    is_anomaly bool, anomaly_score float8, reason text, cluster_id int, template text, distance float8
);
COMMENT ON TYPE @extschema@.detection IS 'the judgement of one line';
COMMENT ON COLUMN @extschema@.detection.is_anomaly IS 'whether it is flagged';
COMMENT ON COLUMN @extschema@.detection.anomaly_score IS '0 = ordinary, 1 = never seen; NULL before the first training';
COMMENT ON COLUMN @extschema@.detection.reason IS 'the strongest reason';
COMMENT ON COLUMN @extschema@.detection.cluster_id IS 'cluster of ordinary rows that it belongs to, if any';
COMMENT ON COLUMN @extschema@.detection.template IS 'the message without what varies';
COMMENT ON COLUMN @extschema@.detection.distance IS 'cosine distance to what is ordinary';

-- What the last maintenance left to do; one row.
CREATE TABLE @extschema@.maintenance (
    is_only_row        bool PRIMARY KEY DEFAULT true CHECK (is_only_row),
    views_are_stale    bool NOT NULL DEFAULT true,
    views_refreshed_at timestamptz
);
INSERT INTO @extschema@.maintenance DEFAULT VALUES;
COMMENT ON TABLE @extschema@.maintenance IS 'What the last maintenance left to do; one row';
COMMENT ON COLUMN @extschema@.maintenance.is_only_row IS 'Always true: the key of the one row';
COMMENT ON COLUMN @extschema@.maintenance.views_are_stale IS 'Whether the materialized views no longer show what is there';
COMMENT ON COLUMN @extschema@.maintenance.views_refreshed_at IS 'When they were refreshed';

-- Which detectors' logs a role may read: its own, all for an administrator, and those on relations that it may
-- SELECT, unless these show each role other rows.
CREATE FUNCTION @extschema@.readable_detectors(role name) RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER ROWS 10 SET search_path = pg_catalog, pg_temp AS $$
    SELECT d.name FROM @extschema@.detectors AS d LEFT JOIN pg_catalog.pg_class AS c ON c.oid = d.relation
    WHERE pg_has_role(role, 'logintel_admin', 'USAGE')
       OR EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.oid = d.owner AND pg_has_role(role, r.oid, 'USAGE'))
       OR (c.oid IS NOT NULL AND NOT c.relrowsecurity AND has_table_privilege(role, c.oid, 'SELECT'))
$$;
COMMENT ON FUNCTION @extschema@.readable_detectors(name) IS 'names of the detectors whose logs a role may read';
