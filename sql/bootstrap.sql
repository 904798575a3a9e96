-- The schema is a member of the extension, so that it goes with it; one that the control file names would stay behind. What that file
-- names is pg_catalog, which nobody can drop: an extension goes with the schema that it is said to be in.
-- All that follows is made in this one.
CREATE SCHEMA logintel;
COMMENT ON SCHEMA logintel IS 'finds incidents in logs';
SET LOCAL search_path = logintel, pg_temp;

-- Roles belong to the cluster, not to a database: made if missing, kept when the extension is dropped.
DO $roles$
DECLARE
    role_name pg_catalog.text;
    words pg_catalog.text;
    found pg_catalog.text;
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
        ELSE
            -- One that was there may be from another database, or somebody has made it first, to be a member of it. A WARNING:
            -- CREATE EXTENSION shows nothing below.
            SELECT pg_catalog.concat_ws(', ', CASE WHEN r.rolcanlogin THEN 'can log in' END,
                       'has members: ' OPERATOR(pg_catalog.||) pg_catalog.string_agg(DISTINCT m.rolname::pg_catalog.text, ', '))
            INTO found
            FROM pg_catalog.pg_roles AS r
            LEFT JOIN (pg_catalog.pg_auth_members AS a JOIN pg_catalog.pg_roles AS m ON m.oid OPERATOR(pg_catalog.=) a.member)
                -- Those that the next lines make are not told of.
                ON a.roleid OPERATOR(pg_catalog.=) r.oid
               AND (r.rolname, m.rolname) NOT IN (('logintel_reader', 'logintel_writer'), ('logintel_writer', 'logintel_admin'))
            WHERE r.rolname OPERATOR(pg_catalog.=) role_name::pg_catalog.name
            GROUP BY r.rolcanlogin;
            IF found OPERATOR(pg_catalog.<>) '' THEN
                RAISE WARNING 'role "%" was there before and %', role_name, found
                    USING HINT = 'They may do what the role may. If nobody was meant to: REVOKE it from them, ALTER ROLE ... NOLOGIN.';
            END IF;
        END IF;
    END LOOP;
    -- Each role may what the one before it may.
    GRANT logintel_reader TO logintel_writer;
    GRANT logintel_writer TO logintel_admin;
END
$roles$;
