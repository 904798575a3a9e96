-- The extension comes, is documented, and goes without a trace. In a database of its own, for the others work in theirs.
CREATE DATABASE logintel_install_test;
\c logintel_install_test

-- What is there before: every catalog in which an extension may leave something.
CREATE TEMP TABLE catalogs AS
SELECT c.oid::regclass AS catalog
FROM pg_class c
WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r'
  AND c.relname IN ('pg_am', 'pg_amop', 'pg_amproc', 'pg_aggregate', 'pg_cast', 'pg_class', 'pg_collation', 'pg_constraint',
                    'pg_conversion', 'pg_default_acl', 'pg_description', 'pg_event_trigger', 'pg_extension',
                    'pg_foreign_data_wrapper', 'pg_namespace', 'pg_opclass', 'pg_operator', 'pg_opfamily', 'pg_policy',
                    'pg_proc', 'pg_rewrite', 'pg_sequence', 'pg_statistic_ext', 'pg_trigger', 'pg_ts_config', 'pg_type');
CREATE FUNCTION pg_temp.everything() RETURNS TABLE (catalog regclass, object jsonb) LANGUAGE plpgsql AS $$
BEGIN
    FOR catalog IN SELECT c.catalog FROM catalogs c LOOP
        RETURN QUERY EXECUTE format(
            'SELECT %L::regclass, to_jsonb(c) - ''relpages'' - ''reltuples'' - ''relallvisible'' - ''relfrozenxid'' - ''relminmxid''
             FROM %s c', catalog, catalog);
    END LOOP;
END $$;
CREATE TEMP TABLE before (catalog regclass, object jsonb);
CREATE TEMP TABLE after (LIKE before);
INSERT INTO before SELECT * FROM pg_temp.everything();

-- Where this runs, its roles may have members, which CREATE EXTENSION tells of.
SET client_min_messages = error;
CREATE EXTENSION logintel;
SELECT extname, extnamespace::regnamespace AS schema, extrelocatable FROM pg_extension WHERE extname = 'logintel';
-- Everything it made is in its schema.
SELECT pg_describe_object(d.classid, d.objid, 0) AS elsewhere
FROM pg_depend d
JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) i ON true
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'logintel')
  AND i.type NOT IN ('schema', 'cast', 'trigger', 'event trigger') AND i.schema IS DISTINCT FROM 'logintel'
ORDER BY 1;
-- Every object says what it is; a sequence that belongs to an identity column is part of it.
SELECT pg_describe_object(d.classid, d.objid, 0) AS without_comment
FROM pg_depend d
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'logintel')
  AND coalesce(obj_description(d.objid, d.classid::regclass::name), '') = ''
  AND NOT EXISTS (SELECT FROM pg_depend i WHERE i.classid = d.classid AND i.objid = d.objid AND i.deptype = 'i')
ORDER BY 1;
-- So does every column of its tables, views and types.
SELECT attrelid::regclass AS relation, attname AS without_comment
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
WHERE c.relnamespace = 'logintel'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'c', 'f') AND a.attnum > 0 AND NOT a.attisdropped
  AND coalesce(col_description(a.attrelid, a.attnum), '') = ''
ORDER BY 1, 2;
-- Every materialized view can be refreshed beside its readers, and has a plain view for tools that list no others.
SELECT c.relname, EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL) AS has_unique_index,
       to_regclass('logintel.' || quote_ident(c.relname || '_v')) IS NOT NULL AS has_plain_view
FROM pg_class AS c WHERE c.relnamespace = 'logintel'::regnamespace AND c.relkind = 'm'
ORDER BY 1;
-- A second time is refused, and says so.
CREATE EXTENSION logintel;

-- It goes, and leaves the three roles alone.
DROP EXTENSION logintel CASCADE;
INSERT INTO after SELECT * FROM pg_temp.everything();
SELECT 'left behind' AS what, catalog, object - '{oid,nspowner,nspacl}'::text[] AS object FROM (TABLE after EXCEPT TABLE before) x
UNION ALL
SELECT 'taken away', catalog, object - '{oid,nspowner,nspacl}'::text[] FROM (TABLE before EXCEPT TABLE after) x
ORDER BY 1, 2, 3;
SELECT rolname, rolcanlogin, rolsuper FROM pg_roles WHERE rolname LIKE 'logintel%' ORDER BY 1;

-- It comes again beside the roles that are there.
CREATE EXTENSION logintel;
\c postgres
DROP DATABASE logintel_install_test WITH (FORCE);
