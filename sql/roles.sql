-- Roles belong to the cluster, not to a database: made if missing, kept when the extension is dropped.
DO $roles$
DECLARE
    role_name pg_catalog.text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['logintel_reader', 'logintel_writer', 'logintel_admin'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) role_name::pg_catalog.name) THEN
            EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', role_name);
        END IF;
    END LOOP;
    -- Each role may what the one before it may.
    GRANT logintel_reader TO logintel_writer;
    GRANT logintel_writer TO logintel_admin;
END
$roles$;
