-- Roles belong to the cluster, not to a database: made if missing, kept when the extension is dropped.
DO $roles$
DECLARE
    role_name pg_catalog.text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['logintel_reader', 'logintel_writer', 'logintel_admin'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) role_name::pg_catalog.name) THEN
            BEGIN
                EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', role_name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                -- The extension is being made in another database, too.
                NULL;
            END;
        END IF;
    END LOOP;
    -- Each role may what the one before it may.
    IF NOT pg_catalog.pg_has_role('logintel_writer', 'logintel_reader', 'MEMBER') THEN
        BEGIN
            GRANT logintel_reader TO logintel_writer;
        EXCEPTION WHEN unique_violation THEN
            NULL;
        END;
    END IF;
    IF NOT pg_catalog.pg_has_role('logintel_admin', 'logintel_writer', 'MEMBER') THEN
        BEGIN
            GRANT logintel_writer TO logintel_admin;
        EXCEPTION WHEN unique_violation THEN
            NULL;
        END;
    END IF;
END
$roles$;
