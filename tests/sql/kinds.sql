-- Tables of every kind and ways in: one detector records one row once, and what does not land leaves nothing.
SET search_path = public, logintel;
SET client_min_messages = warning;
SET timezone = 'UTC';
-- What was recorded since the last look.
CREATE FUNCTION caught() RETURNS TABLE (detector text, message text, times bigint) LANGUAGE sql AS $$
    WITH gone AS (DELETE FROM logintel.anomalies RETURNING *)
    SELECT detector, message, count(*) FROM gone GROUP BY 1, 2 ORDER BY detector, message COLLATE "C"
$$;
-- A detector flags errors before its first training.
CREATE FUNCTION watched(name text, relation regclass, mode text DEFAULT 'statement') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM logintel.create_detector(name, relation);
    PERFORM logintel.watch(name, mode);
    RETURN format('%s by %s', relation, mode);
END $$;

-- Partitions of partitions, and some that come later ---------------------------------------------------------------
CREATE TABLE parted (ts timestamptz, level text DEFAULT 'ERROR', message text, tenant int) PARTITION BY RANGE (ts);
CREATE TABLE parted_jan PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2026-02-01') PARTITION BY LIST (tenant);
CREATE TABLE parted_jan_1 PARTITION OF parted_jan FOR VALUES IN (1);
CREATE TABLE parted_jan_rest PARTITION OF parted_jan DEFAULT;
CREATE FUNCTION into_partitions(way text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO parted (ts, message, tenant) VALUES ('2026-01-05', way || ': parent', 1), ('2026-01-05', way || ': parent, default partition', 2);
    INSERT INTO parted_jan (ts, message, tenant) VALUES ('2026-01-05', way || ': partition', 1);
    INSERT INTO parted_jan_1 (ts, message, tenant) VALUES ('2026-01-05', way || ': partition of a partition', 1);
    INSERT INTO parted_feb (ts, message, tenant) VALUES ('2026-02-05', way || ': partition attached later', 1);
    INSERT INTO parted_mar (ts, message, tenant) VALUES ('2026-03-05', way || ': partition made later', 1);
    INSERT INTO parted (ts, message, tenant) VALUES ('2026-02-05', way || ': parent, attached later', 1), ('2026-03-05', way || ': parent, made later', 1);
END $$;
SELECT watched('parted', 'parted');
CREATE TABLE parted_feb (tenant int, message text, level text DEFAULT 'ERROR', ts timestamptz);
ALTER TABLE parted ATTACH PARTITION parted_feb FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
CREATE TABLE parted_mar PARTITION OF parted FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
SELECT into_partitions('statement');
COPY parted (ts, message, tenant) FROM STDIN;
2026-01-05	statement: copied to parent	1
2026-02-05	statement: copied to parent, attached later	1
\.
COPY parted_jan_1 (ts, message, tenant) FROM STDIN;
2026-01-05	statement: copied to partition of a partition	1
\.
SELECT * FROM caught();
-- A row that an UPDATE moves to another partition is inserted there, but has not come in.
UPDATE parted SET ts = '2026-03-06' WHERE message = 'statement: parent';
SELECT * FROM caught();
SELECT watch('parted', 'row');
SELECT into_partitions('row');
COPY parted (ts, message, tenant) FROM STDIN;
2026-01-05	row: copied to parent	1
2026-02-05	row: copied to parent, attached later	1
\.
COPY parted_jan_1 (ts, message, tenant) FROM STDIN;
2026-01-05	row: copied to partition of a partition	1
\.
SELECT * FROM caught();
-- One that was detached is none of the detector's.
ALTER TABLE parted DETACH PARTITION parted_feb;
INSERT INTO parted_feb (ts, message, tenant) VALUES ('2026-02-05', 'detached', 1);
SELECT * FROM caught();
SELECT count(*) FROM scoring_failures;
SELECT drop_detector('parted');
DROP TABLE parted, parted_feb;

-- Children by inheritance: the parent's triggers are not theirs ---------------------------------------------------
CREATE TABLE parent (ts timestamptz, level text DEFAULT 'ERROR', message text);
CREATE TABLE child (extra int) INHERITS (parent);
SELECT watched('parent', 'parent');
INSERT INTO parent (ts, message) VALUES ('2026-01-01', 'parent');
INSERT INTO child (ts, message) VALUES ('2026-01-01', 'child');
SELECT * FROM caught();
-- Their rows are read with the parent's all the same; by hand they are watched too.
CREATE TRIGGER scoring AFTER INSERT ON child REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION score_rows('parent');
INSERT INTO child (ts, message) VALUES ('2026-01-01', 'child by hand');
SELECT * FROM caught();
SELECT train('parent');
SELECT training_rows FROM models WHERE detector = 'parent';
SELECT drop_detector('parent');
DROP TABLE parent CASCADE;

-- Foreign keys to and from, deferred constraints -------------------------------------------------------------------
CREATE TABLE host (name text PRIMARY KEY);
INSERT INTO host VALUES ('a');
CREATE TABLE event (id int PRIMARY KEY, ts timestamptz DEFAULT '2026-01-01', level text DEFAULT 'ERROR', host text REFERENCES host DEFERRABLE INITIALLY IMMEDIATE, message text,
                    number int, UNIQUE (number) DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE note (event int REFERENCES event ON DELETE CASCADE, words text);
SELECT watched('statement', 'event'), watched('row', 'event', 'row');
INSERT INTO event (id, host, message) VALUES (1, 'a', 'with its host');
INSERT INTO event (id, host, message) VALUES (2, 'b', 'without host');
SELECT * FROM caught();
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
INSERT INTO event (id, host, message) VALUES (3, 'c', 'host comes later');
INSERT INTO host VALUES ('c');
INSERT INTO note VALUES (3, 'noted');
COMMIT;
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
INSERT INTO event (id, host, message) VALUES (4, 'd', 'host never comes');
COMMIT;
INSERT INTO event (id, message, number) VALUES (5, 'a number', 1);
INSERT INTO event (id, message, number) VALUES (6, 'the same number', 1);
SELECT * FROM caught();
DELETE FROM event WHERE id = 3;
SELECT count(*) AS notes FROM note;

-- Ways in, by statement and by row at once -------------------------------------------------------------------------
INSERT INTO event (id, message) SELECT 10 + i, 'selected ' || i FROM generate_series(1, 3) AS i;
COPY event (id, message) FROM STDIN;
20	copied
21	copied
\.
-- ON CONFLICT: a dropped row leaves nothing, an updated one has not come in.
INSERT INTO event (id, message) VALUES (20, 'conflict, nothing'), (22, 'no conflict, nothing') ON CONFLICT (id) DO NOTHING;
INSERT INTO event (id, message) VALUES (20, 'conflict, update'), (23, 'no conflict, update') ON CONFLICT (id) DO UPDATE SET message = excluded.message;
SELECT * FROM caught();
-- MERGE inserts, updates, deletes and does nothing.
MERGE INTO event USING (VALUES (20, 'merge, update'), (21, 'merge, delete'), (30, 'merge, insert'), (31, 'merge, nothing')) AS v (id, message) ON event.id = v.id
WHEN MATCHED AND v.id = 21 THEN DELETE WHEN MATCHED THEN UPDATE SET message = v.message
WHEN NOT MATCHED AND v.id = 31 THEN DO NOTHING WHEN NOT MATCHED THEN INSERT (id, message) VALUES (v.id, v.message);
SELECT * FROM caught();
-- Data-modifying CTEs: two inserts into one table in one statement, one fed by what was deleted.
WITH gone AS (DELETE FROM event WHERE id = 30 RETURNING message), first AS (INSERT INTO event (id, message) SELECT 40, 'again: ' || message FROM gone RETURNING id),
     second AS (INSERT INTO event (id, message) VALUES (41, 'second insert') RETURNING id)
INSERT INTO event (id, message) SELECT 42 + i, 'outermost ' || i FROM generate_series(0, 1) AS i;
SELECT * FROM caught();
-- Savepoints, rolled back and released, in a loop that catches.
BEGIN;
INSERT INTO event (id, message) VALUES (50, 'stays');
SAVEPOINT a;
INSERT INTO event (id, message) VALUES (51, 'rolled back');
SAVEPOINT b;
INSERT INTO event (id, message) VALUES (52, 'rolled back with the outer one');
RELEASE b;
ROLLBACK TO a;
INSERT INTO event (id, message) VALUES (53, 'after it');
RELEASE a;
DO $$
BEGIN
    FOR i IN 54..57 LOOP
        BEGIN
            INSERT INTO event (id, message) VALUES (i, 'loop ' || i);
            IF i % 2 = 0 THEN RAISE EXCEPTION 'no'; END IF;
        EXCEPTION WHEN raise_exception THEN NULL;
        END;
    END LOOP;
END $$;
COMMIT;
SELECT * FROM caught();
BEGIN;
INSERT INTO event (id, message) VALUES (60, 'all rolled back');
ROLLBACK;
INSERT INTO event (id, message) VALUES (1, 'duplicate key');
SELECT * FROM caught();
-- A cursor, a function, a prepared statement, a view that may be inserted into, a rule.
CREATE VIEW errors AS SELECT id, message FROM event;
PREPARE add AS INSERT INTO event (id, message) VALUES ($1, $2);
EXECUTE add(70, 'prepared');
INSERT INTO errors VALUES (71, 'through a view');
CREATE TABLE raw (id int, message text);
CREATE RULE pass AS ON INSERT TO raw DO INSTEAD INSERT INTO event (id, message) VALUES (NEW.id, NEW.message);
INSERT INTO raw VALUES (72, 'through a rule');
CREATE FUNCTION add(int, text) RETURNS int LANGUAGE sql AS $$ INSERT INTO event (id, message) VALUES ($1, $2) RETURNING id $$;
SELECT add(73, 'through a function');
SELECT * FROM caught();
DEALLOCATE add;
SELECT drop_detector('statement'), drop_detector('row');
DROP TABLE raw, note, event, host CASCADE;

-- Other triggers: what they change is judged, what they drop is not ------------------------------------------------
CREATE TABLE changed (ts timestamptz DEFAULT '2026-01-01', level text, message text, is_anomaly bool);
CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.message = 'drop me' THEN RETURN NULL; END IF;
    IF NEW.message = 'raise me' THEN NEW.level := 'ERROR'; END IF;
    NEW.message := upper(NEW.message);
    RETURN NEW;
END $$;
-- Triggers run by name: one before and one after that which fills the columns.
CREATE TRIGGER a_before BEFORE INSERT ON changed FOR EACH ROW EXECUTE FUNCTION change();
SELECT watched('statement', 'changed'), watched('row', 'changed', 'row');
INSERT INTO changed (level, message) VALUES ('ERROR', 'drop me'), ('INFO', 'raise me'), ('ERROR', 'keep me') RETURNING level, message, is_anomaly;
SELECT * FROM caught();
ALTER TRIGGER a_before ON changed RENAME TO z_after;
INSERT INTO changed (level, message) VALUES ('ERROR', 'drop me'), ('INFO', 'raise me'), ('ERROR', 'keep me') RETURNING level, message, is_anomaly;
SELECT * FROM caught();
SELECT drop_detector('statement'), drop_detector('row');
DROP TABLE changed;

-- Columns that are computed, dropped, added ------------------------------------------------------------------------
CREATE TABLE computed (raw text, gone int, ts timestamptz DEFAULT '2026-01-01', level text GENERATED ALWAYS AS (split_part(raw, ' ', 1)) STORED, message text GENERATED ALWAYS AS (substr(raw, strpos(raw, ' ') + 1)) STORED);
ALTER TABLE computed DROP gone;
SELECT watched('statement', 'computed'), watched('row', 'computed', 'row');
INSERT INTO computed (raw) VALUES ('ERROR disk full'), ('INFO all well');
ALTER TABLE computed ADD extra text DEFAULT 'x', ADD is_anomaly bool;
INSERT INTO computed (raw) VALUES ('ERROR with more columns');
ALTER TABLE computed DROP extra;
INSERT INTO computed (raw) VALUES ('ERROR with fewer again');
SELECT * FROM caught();
-- Columns that are filled are filled from the next watch on. What is computed is not yet known then: the row is
-- judged without it before, and with it after.
SELECT watch('row', 'row');
INSERT INTO computed (raw) VALUES ('ERROR filled') RETURNING raw, is_anomaly;
SELECT * FROM caught();
SELECT count(*) FROM scoring_failures;
SELECT drop_detector('statement'), drop_detector('row');
DROP TABLE computed;

-- Unlogged and temporary tables -----------------------------------------------------------------------------------
CREATE UNLOGGED TABLE quick (ts timestamptz DEFAULT '2026-01-01', level text DEFAULT 'ERROR', message text);
CREATE TEMPORARY TABLE brief (ts timestamptz DEFAULT '2026-01-01', level text DEFAULT 'ERROR', message text) ON COMMIT DELETE ROWS;
SELECT watched('unlogged', 'quick'), watched('temporary', 'brief');
INSERT INTO quick (message) VALUES ('unlogged');
INSERT INTO brief (message) VALUES ('temporary');
SELECT watch('unlogged', 'row'), watch('temporary', 'row');
INSERT INTO quick (message) VALUES ('unlogged, by row');
INSERT INTO brief (message) VALUES ('temporary, by row');
SELECT * FROM caught();
SELECT drop_detector('unlogged'), drop_detector('temporary');
DROP TABLE quick, brief;

-- Columns of types that are nearly text ---------------------------------------------------------------------------
CREATE DOMAIN words AS text CHECK (value <> '');
CREATE TYPE grade AS ENUM ('INFO', 'ERROR');
CREATE TABLE typed (ts timestamptz DEFAULT '2026-01-01', level grade DEFAULT 'ERROR', message words, component name DEFAULT 'c', source inet DEFAULT '10.0.0.1',
                    padded char(20) DEFAULT 'padded', truth bool DEFAULT true, number numeric DEFAULT 1.50, id uuid DEFAULT '00000000-0000-0000-0000-000000000001', letter "char" DEFAULT 'x', list int[] DEFAULT '{1,2}', day date DEFAULT '2026-01-01');
-- A row is read in an INSERT as it is in a scan.
CREATE FUNCTION read_alike(part text) RETURNS TABLE (inserted text, scanned text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM logintel.create_detector('typed', 'typed', component => part);
    PERFORM logintel.watch('typed', 'row');
    INSERT INTO typed (message) VALUES ('of a domain');
    PERFORM logintel.train('typed');
    RETURN QUERY SELECT a.component, t.component FROM logintel.anomalies AS a, logintel.log_timeline('typed') AS t
        WHERE (t.source, t.level, t.message) = (a.source, a.level, a.message);
    PERFORM logintel.drop_detector('typed');
    TRUNCATE typed;
END $$;
SET client_min_messages = error;
SELECT part, r.* FROM unnest(ARRAY['component', 'source', 'padded', 'truth', 'number', 'id', 'letter', 'list', 'level', 'message', 'day']) AS part, read_alike(part) AS r;
RESET client_min_messages;
DROP FUNCTION read_alike;
DROP TABLE typed;
DROP DOMAIN words;
DROP TYPE grade;

-- Replicas: triggers are off where session_replication_role says so, unless they are enabled ALWAYS -----------------
CREATE TABLE replica (ts timestamptz DEFAULT '2026-01-01', level text DEFAULT 'ERROR', message text);
SELECT watched('replica', 'replica', 'row');
SET session_replication_role = replica;
INSERT INTO replica (message) VALUES ('not seen');
ALTER TABLE replica ENABLE ALWAYS TRIGGER logintel_replica_row;
INSERT INTO replica (message) VALUES ('seen');
RESET session_replication_role;
SELECT * FROM caught();
SELECT drop_detector('replica');
DROP TABLE replica;

DROP FUNCTION add, caught, change, into_partitions, watched;
