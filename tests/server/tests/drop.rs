//! DROP EXTENSION … CASCADE leaves nothing behind but the roles, and a session that has worked with the extension
//! before works with one that is made anew.
use logintel_server_tests::postgres::Client;
use logintel_server_tests::{Ask, Cluster, fill};

/// Every row of the catalogs in which an extension may leave something, without what statistics change.
fn catalogs(session: &mut Client) -> Vec<(String, String)> {
    let names = session.ask(
        "SELECT relname FROM pg_class
         WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r' AND NOT relisshared
           AND relname NOT IN ('pg_statistic', 'pg_attribute', 'pg_attrdef', 'pg_index', 'pg_largeobject', 'pg_type')
         ORDER BY 1",
    );
    let mut catalogs: Vec<_> = names.lines().map(str::to_owned).collect();
    catalogs.push("pg_type".to_owned());
    // These carry the columns of what is left, and nothing of what is gone.
    catalogs.extend(["pg_attribute", "pg_attrdef", "pg_index"].map(str::to_owned));
    catalogs
        .into_iter()
        .map(|catalog| {
            let rows = session.ask(&format!(
                "SELECT to_jsonb(c) - '{{relpages,reltuples,relallvisible,relfrozenxid,relminmxid}}'::text[]
                 FROM pg_catalog.{catalog} AS c WHERE c::text !~ 'pg_(toast_)?temp_[0-9]' ORDER BY 1"
            ));
            (catalog, rows)
        })
        .collect()
}

/// What uses the extension outside its schema, and goes with it or stays.
const USED: &str = "
    CREATE TABLE app_log (ts timestamptz, level text, component text, source text, message text);
    CREATE TABLE parted (ts timestamptz, level text, message text) PARTITION BY LIST (level);
    CREATE TABLE parted_all PARTITION OF parted DEFAULT;
    CREATE TABLE with_columns (id int, ts timestamptz, level text, message text, is_anomaly bool, anomaly_score real,
        anomaly_reason text, cluster_id bigint);";

#[test]
fn drop_cascade_leaves_nothing_and_user_tables_go_on() {
    let db = Cluster::shared().plain_database("drop_nothing_left");
    db.execute(USED);
    let mut session = db.client();
    // Toast tables and the like are there before.
    let before = catalogs(&mut session);
    session.ask("CREATE EXTENSION logintel");
    session.ask(&format!(
        "{};
         SELECT logintel.create_detector('app', 'app_log'), logintel.create_detector('parted', 'parted'),
                logintel.create_detector('cols', 'with_columns'), logintel.create_detector('other', 'app_log');
         SELECT logintel.train('app'), logintel.train('other');
         SELECT logintel.watch('app'), logintel.watch('other', 'row'), logintel.watch('parted', 'row'), logintel.watch('cols', 'row');
         INSERT INTO app_log VALUES (now(), 'ERROR', 'c', 's', 'boom'), (now(), 'ERROR', 'c', 's', 'boom');
         INSERT INTO parted VALUES (now(), 'ERROR', 'boom');
         INSERT INTO with_columns VALUES (1, now(), 'ERROR', 'boom')",
        fill("app_log", 300)
    ));
    session.ask("CALL logintel.run_maintenance()");
    assert_eq!(session.ask("SELECT count(*) FROM logintel.anomalies"), "6");
    session.ask(
        "CREATE TABLE mine (v logintel.logvec, keep int);
         CREATE VIEW my_view AS SELECT * FROM logintel.anomalies;
         CREATE FUNCTION judged(text) RETURNS logintel.detection LANGUAGE sql AS $$ SELECT logintel.detect('app', $1) $$;
         CREATE INDEX ON mine USING btree (v)",
    );
    session.ask("SET client_min_messages = warning; DROP EXTENSION logintel CASCADE");
    // The user's own table stays, without the column that has lost its type.
    assert_eq!(session.ask("SELECT string_agg(attname, ',') FROM pg_attribute WHERE attrelid = 'mine'::regclass AND attnum > 0 AND NOT attisdropped"), "keep");
    session.ask("DROP TABLE mine");
    let after = catalogs(&mut session);
    for ((catalog, before), (_, after)) in before.iter().zip(&after) {
        // relhastriggers is reset by VACUUM alone, and hints at triggers that may be gone.
        let settle = |rows: &str| {
            let mut rows: Vec<_> = rows
                .lines()
                .map(|row| row.replace("\"relhastriggers\": true", "\"relhastriggers\": false"))
                .collect();
            rows.sort();
            rows
        };
        let (before, after) = (settle(before), settle(after));
        let left: Vec<_> = after.iter().filter(|row| !before.contains(row)).collect();
        let gone: Vec<_> = before.iter().filter(|row| !after.contains(row)).collect();
        assert!(left.is_empty() && gone.is_empty(), "{catalog}: left behind {left:#?}, taken away {gone:#?}");
    }
    for insert in [
        "INSERT INTO app_log VALUES (now(), 'ERROR', 'c', 's', 'boom')",
        "INSERT INTO parted VALUES (now(), 'ERROR', 'boom')",
        "INSERT INTO with_columns VALUES (2, now(), 'ERROR', 'boom')",
    ] {
        session.ask(insert);
    }
    assert_eq!(session.ask("SELECT anomaly_reason FROM with_columns ORDER BY id"), "ERROR_level\n");
    assert_eq!(
        session.ask(
            "SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles WHERE rolname LIKE 'logintel%'"
        ),
        "logintel_admin logintel_reader logintel_writer"
    );
}

#[test]
fn a_session_that_knows_the_old_extension_works_with_the_new_one() {
    let db = Cluster::shared().database("drop_recreate");
    db.execute(USED);
    let mut session = db.client();
    let second = |word: &str| {
        format!(
            "INSERT INTO app_log SELECT now(), 'INFO', 'c', 's', '{word} number ' || i || ' came through door ' || i % 7
             FROM generate_series(1, 300) AS i"
        )
    };
    let setup = "SELECT logintel.create_detector('app', 'app_log'); SELECT logintel.train('app'); SELECT logintel.watch('app')";
    session.ask(&second("elephant"));
    session.ask(setup);
    session.ask("PREPARE judge AS SELECT (logintel.detect('app', $1)).is_anomaly");
    session.ask("PREPARE note AS INSERT INTO app_log VALUES (now(), 'ERROR', 'c', 's', $1)");
    let judge = |session: &mut Client, word: &str| {
        session.ask(&format!("EXECUTE judge('{word} number 12 came through door 3')"))
    };
    assert_eq!([judge(&mut session, "elephant"), judge(&mut session, "tiger")], ["f", "t"]);
    session.ask("EXECUTE note('one')");

    session.ask("SET client_min_messages = warning; DROP EXTENSION logintel CASCADE; TRUNCATE app_log");
    session.ask("EXECUTE note('nobody listens')");
    session.ask("TRUNCATE app_log");
    session.ask("CREATE EXTENSION logintel");
    session.ask(&second("tiger"));
    session.ask(setup);
    assert_eq!([judge(&mut session, "elephant"), judge(&mut session, "tiger")], ["t", "f"]);
    session.ask("EXECUTE note('two')");
    assert_eq!(session.ask("SELECT detector, version, message FROM logintel.anomalies"), "app|1|two");

    // All of it in one transaction, and rolled back: the one before is back.
    session.ask("BEGIN");
    session.ask("DROP EXTENSION logintel CASCADE; TRUNCATE app_log; CREATE EXTENSION logintel");
    session.ask(&second("elephant"));
    session.ask(setup);
    assert_eq!([judge(&mut session, "elephant"), judge(&mut session, "tiger")], ["f", "t"]);
    session.ask("ROLLBACK");
    assert_eq!([judge(&mut session, "elephant"), judge(&mut session, "tiger")], ["t", "f"]);
    session.ask("EXECUTE note('three')");
    assert_eq!(session.ask("SELECT message FROM logintel.anomalies ORDER BY anomaly_id"), "two\nthree");
}
