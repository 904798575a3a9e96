-- The schema is a member of the extension, so that it goes with it; one that the control file names would stay behind.
-- All that follows is made in it.
CREATE SCHEMA logintel;
COMMENT ON SCHEMA logintel IS 'finds incidents in logs';
SET LOCAL search_path = logintel, pg_temp;

-- Roles belong to the cluster, not to a database: made if missing, kept when the extension is dropped.
DO $roles$
DECLARE
    role_name pg_catalog.text;
    words pg_catalog.text;
BEGIN
    -- Two databases may be given the extension at the same time: the second waits for the first one's roles.
    IF (SELECT pg_catalog.count(*) OPERATOR(pg_catalog.<) 3 FROM pg_catalog.pg_roles
        WHERE rolname OPERATOR(pg_catalog.=) ANY (ARRAY['logintel_reader', 'logintel_writer', 'logintel_admin']::pg_catalog.name[])) THEN
        LOCK TABLE pg_catalog.pg_auth_members IN SHARE ROW EXCLUSIVE MODE;
    END IF;
    FOR role_name, words IN VALUES
        ('logintel_reader', 'logintel: reads detectors and judgements, as far as it may read the logs'),
        ('logintel_writer', 'logintel: makes detectors of its own, trains them, watches its tables, ingests'),
        ('logintel_admin', 'logintel: all detectors, maintenance by hand')
    LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) role_name::pg_catalog.name) THEN
            EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', role_name);
            EXECUTE pg_catalog.format('COMMENT ON ROLE %I IS %L', role_name, words);
        END IF;
    END LOOP;
    -- Each role may what the one before it may.
    GRANT logintel_reader TO logintel_writer;
    GRANT logintel_writer TO logintel_admin;
END
$roles$;
