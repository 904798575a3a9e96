-- What the functions of detectors are declared with.

CREATE TYPE logintel.detection AS (
    is_anomaly bool, anomaly_score float8, reason text, cluster_id int, template text, distance float8
);
COMMENT ON TYPE logintel.detection IS 'the judgement of one line';
COMMENT ON COLUMN logintel.detection.is_anomaly IS 'whether it is flagged';
COMMENT ON COLUMN logintel.detection.anomaly_score IS '0 = ordinary, 1 = never seen; NULL before the first training';
COMMENT ON COLUMN logintel.detection.reason IS 'the strongest reason';
COMMENT ON COLUMN logintel.detection.cluster_id IS 'cluster of ordinary rows that it belongs to, if any';
COMMENT ON COLUMN logintel.detection.template IS 'the message without what varies';
COMMENT ON COLUMN logintel.detection.distance IS 'cosine distance to what is ordinary';

-- What maintenance remembers; one row.
CREATE TABLE logintel.maintenance (
    is_only_row        bool PRIMARY KEY DEFAULT true CHECK (is_only_row),
    views_refreshed_at timestamptz
);
INSERT INTO logintel.maintenance DEFAULT VALUES;
COMMENT ON TABLE logintel.maintenance IS 'What maintenance remembers; one row';
COMMENT ON COLUMN logintel.maintenance.is_only_row IS 'Always true: the key of the one row';
COMMENT ON COLUMN logintel.maintenance.views_refreshed_at IS 'When the materialized views were refreshed';

-- One row for each change that the materialized views do not show yet; the next refresh removes it.
CREATE TABLE logintel.view_changes (changed_at timestamptz NOT NULL DEFAULT now());
COMMENT ON TABLE logintel.view_changes IS 'Changes that the materialized views do not show yet; at most some thousand';
COMMENT ON COLUMN logintel.view_changes.changed_at IS 'When';

-- Which detectors' logs a role may read: its own, all for an administrator, and those whose rows it could read itself: not of a view or
-- foreign table, nor with row-level security, which may show each role other rows.
CREATE FUNCTION logintel.readable_detectors(role name) RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER ROWS 10 SET search_path = pg_catalog, pg_temp AS $$
    SELECT d.name FROM logintel.detectors AS d LEFT JOIN pg_catalog.pg_class AS c ON c.oid = d.relation
    WHERE pg_has_role(role, 'logintel_admin', 'USAGE')
       OR EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.oid = d.owner AND pg_has_role(role, r.oid, 'USAGE'))
       OR (c.relkind IN ('r', 'p', 'm') AND NOT c.relrowsecurity
           AND has_schema_privilege(role, c.relnamespace, 'USAGE') AND has_table_privilege(role, c.oid, 'SELECT'))
$$;
COMMENT ON FUNCTION logintel.readable_detectors(name) IS 'names of the detectors whose logs a role may read';
