//! Many sessions at once: no deadlock, no INSERT that fails, no anomaly lost or doubled, and each statement judges by the
//! model that its snapshot shows.
use logintel_server_tests::postgres::Client;
use logintel_server_tests::postgres::error::SqlState;
use logintel_server_tests::{Ask, Cluster, Database, eventually, fill, integrity};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const LOG: &str = "(id bigint GENERATED ALWAYS AS IDENTITY, ts timestamptz, level text, component text, source text, message text)";

fn watched<'a>(cluster: &'a Cluster, name: &str) -> Database<'a> {
    let db = cluster.database(name);
    db.execute(&format!(
        "CREATE TABLE app_log {LOG};
         CREATE TABLE other_log {LOG};
         {};
         INSERT INTO other_log (ts, level, component, source, message) SELECT ts, level, component, source, message FROM app_log;
         SELECT logintel.create_detector('app', 'app_log'), logintel.create_detector('other', 'other_log');
         SELECT logintel.train('app'), logintel.train('other');
         SELECT logintel.watch('app'), logintel.watch('other', 'row')",
        fill("app_log", 300)
    ));
    db
}

/// Insert statements of one client: ordinary and faulty lines, some rolled back, some committed late.
fn insert(db: &Database, client: usize, rounds: usize) -> i64 {
    let mut session = db.client();
    let mut faults = 0;
    for round in 0..rounds {
        let table = if round % 2 == 0 { "app_log" } else { "other_log" };
        let statement = format!(
            "INSERT INTO {table} (ts, level, component, source, message)
             SELECT clock_timestamp(), CASE WHEN i % 4 = 0 THEN 'ERROR' ELSE 'INFO' END, 'c{client}', 'client {client}',
                    CASE WHEN i % 4 = 0 THEN 'fault {client}-{round}-' || i ELSE 'user ' || i || ' logged in' END
             FROM generate_series(1, 12) AS i"
        );
        let mut transaction = session.transaction().unwrap();
        transaction.ask(&statement);
        match round % 5 {
            1 => {
                transaction.rollback().unwrap();
                continue;
            }
            2 => {
                transaction.ask(&format!("SAVEPOINT s; {statement}; ROLLBACK TO s"));
            }
            3 => {
                transaction.ask("SELECT pg_sleep(0.05)");
            }
            _ => {}
        }
        transaction.commit().unwrap();
        faults += 3;
    }
    faults
}

/// What must hold once everybody is done.
fn check(db: &Database, faults: i64) {
    let mut session = db.client();
    session.ask("CALL logintel.run_maintenance()");
    assert_eq!(session.ask("SELECT count(*) FROM logintel.scoring_failures"), "0");
    // The active version is there.
    assert_eq!(session.ask("SELECT detector FROM logintel.models WHERE is_active ORDER BY 1"), "app\nother");
    assert_eq!(
        session.count("SELECT count(*) FROM (SELECT FROM app_log WHERE level = 'ERROR' UNION ALL SELECT FROM other_log WHERE level = 'ERROR') AS f"),
        faults
    );
    let rows = "SELECT 'app' AS detector, message, ts FROM app_log WHERE level = 'ERROR'
                UNION ALL SELECT 'other', message, ts FROM other_log WHERE level = 'ERROR'";
    assert_eq!(integrity::not_flagged_once(&mut session, rows), "", "lost, doubled, or without a row");
    assert_eq!(integrity::not_summed_up(&mut session, ""), "", "an incident does not sum up");
    assert_eq!(integrity::not_told(&mut session), "", "an incident is not what was told of it");
    assert_eq!(integrity::not_whole(&mut session), "", "a model is not whole");
    // Within the window of an incident nobody but a routine line, which a training during the inserts may have made of a fault, is left alone.
    let alone = session.count(
        "SELECT count(*) FROM logintel.anomalies AS a JOIN logintel.incidents AS i USING (detector)
         WHERE a.incident_id IS NULL AND a.weight > 0 AND a.ts BETWEEN i.start_time AND i.end_time",
    );
    assert_eq!(alone, 0, "anomalies outside the incident around them");
    assert_eq!(
        session.ask("SELECT coalesce(sum(events), 0) FROM logintel.incident_summary"),
        session.ask("SELECT count(incident_id) FROM logintel.anomalies")
    );
}

#[test]
fn everything_at_once() {
    // With the worker ticking beside it all.
    let db = watched(Cluster::shared(), "concurrency_all");
    let db = &db;
    let done = AtomicBool::new(false);
    let until_done = |work: &dyn Fn(&mut Client)| {
        let mut session = db.client();
        while !done.load(Ordering::Relaxed) {
            work(&mut session);
        }
    };
    let faults = thread::scope(|scope| {
        let inserting: Vec<_> = (0..8).map(|client| scope.spawn(move || insert(db, client, 60))).collect();
        let helpers = [
            scope.spawn(|| {
                until_done(&|session| {
                    session.ask("SELECT logintel.train('app'), logintel.train('other', activate => false)");
                });
            }),
            scope.spawn(|| {
                until_done(&|session| {
                    let activated = session.send(
                        "SELECT logintel.activate_model(detector, version) FROM
                             (SELECT DISTINCT ON (detector) detector, version FROM logintel.models ORDER BY detector, random()) AS m",
                    );
                    // A training may have removed the version meanwhile.
                    if let Err(error) = activated {
                        assert_eq!(error.code().map(SqlState::code), Some("42704"), "{error}");
                    }
                });
            }),
            scope.spawn(|| {
                until_done(&|session| {
                    session.ask(
                        "UPDATE logintel.incidents SET status = 'acknowledged'
                         WHERE incident_id = (SELECT incident_id FROM logintel.incidents ORDER BY random() LIMIT 1)",
                    );
                });
            }),
            scope.spawn(|| until_done(&|session| drop(session.ask("CALL logintel.run_maintenance()")))),
            scope.spawn(|| until_done(&|session| drop(session.ask("CALL logintel.run_maintenance()")))),
            scope.spawn(|| {
                until_done(&|session| {
                    // Two detectors in one transaction, now in this and now in that order.
                    session.ask("SELECT logintel.score_history('app'); SELECT logintel.score_history('other')");
                    session.ask("SELECT logintel.score_history('other')");
                });
            }),
            scope.spawn(|| until_done(&|session| drop(session.ask("SELECT logintel.score_history('app', since => now() - interval '1 hour')")))),
            scope.spawn(|| {
                until_done(&|session| {
                    session.ask("REFRESH MATERIALIZED VIEW CONCURRENTLY logintel.component_health");
                    session.ask("REFRESH MATERIALIZED VIEW logintel.incident_timeline");
                });
            }),
        ];
        let inserted: Vec<_> = inserting.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        for helper in helpers {
            helper.join().expect("a helper");
        }
        inserted.into_iter().map(|faults| faults.expect("an inserting client")).sum()
    });
    check(db, faults);
    assert_eq!(db.cluster().log_lines(&["deadlock detected"]), 0);
    assert_eq!(
        db.client().ask("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"),
        "0"
    );
}

#[test]
fn several_detectors_scored_in_one_transaction_do_not_deadlock_with_maintenance() {
    let db = watched(Cluster::shared(), "concurrency_order");
    db.execute("INSERT INTO app_log (ts, level, message) SELECT now(), 'ERROR', 'boom ' || i FROM generate_series(1, 5) AS i");
    db.execute("INSERT INTO other_log (ts, level, message) SELECT now(), 'ERROR', 'boom ' || i FROM generate_series(1, 5) AS i");
    let mut first = db.client();
    let mut transaction = first.transaction().unwrap();
    transaction.ask("SELECT logintel.score_history('app')");
    thread::scope(|scope| {
        let pid = {
            let (send, receive) = std::sync::mpsc::channel();
            let db = &db;
            scope.spawn(move || {
                let mut second = db.client();
                send.send(second.ask("SELECT pg_backend_pid()")).unwrap();
                second.ask("BEGIN; SELECT logintel.score_history('other'); COMMIT");
            });
            receive.recv().unwrap()
        };
        // The other's work is done, or it waits for ours.
        let mut observer = db.client();
        eventually("the other session rests", || {
            let state = observer.ask(&format!(
                "SELECT state = 'active' AND wait_event_type IS DISTINCT FROM 'Lock' FROM pg_stat_activity WHERE pid = {pid}"
            ));
            (state != "t").then_some(())
        });
        transaction.ask("SELECT logintel.score_history('other')");
        transaction.commit().unwrap();
    });
    check(&db, 10);
}

#[test]
fn rows_that_commit_while_history_is_scored_keep_their_anomaly() {
    let db = watched(Cluster::shared(), "concurrency_history");
    // Somebody holds the detector, so that the statement begins, takes its snapshot, and waits.
    let mut holder = db.client();
    let mut holding = holder.transaction().unwrap();
    holding.ask("SELECT logintel.score_history('app')");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| db.client().count("SELECT logintel.score_history('app')"));
        let mut observer = db.client();
        eventually("it waits", || {
            (observer.count("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())") > 0).then_some(())
        });
        observer.ask("INSERT INTO app_log (ts, level, message) VALUES (now(), 'ERROR', 'between')");
        holding.commit().unwrap();
        waiting.join().unwrap();
    });
    check(&db, 1);
}

#[test]
fn an_activated_version_holds_from_the_next_statement_on() {
    let db = two_versions(Cluster::shared(), "concurrency_activation");
    let mut admin = db.client();
    admin.ask("SELECT logintel.watch('app')");

    let mut open = db.client();
    open.ask("SET plan_cache_mode = force_generic_plan");
    open.ask(&format!("PREPARE judge AS SELECT (logintel.detect('app', '{TIGER}')).is_anomaly"));
    let judge = "EXECUTE judge";
    let prepared = open
        .prepare("INSERT INTO app_log (ts, level, message) VALUES (now(), 'INFO', $1) RETURNING id")
        .unwrap();
    let anomalies = "SELECT count(*) FROM logintel.anomalies";
    assert_eq!(open.ask(judge), "t");
    open.execute(&prepared, &[&TIGER]).unwrap();
    assert_eq!(open.count(anomalies), 1);
    admin.ask("SELECT logintel.activate_model('app', 2)");
    assert_eq!(open.ask(judge), "f");
    open.execute(&prepared, &[&TIGER]).unwrap();
    assert_eq!(open.count(anomalies), 1);

    // Read committed: the next statement. Repeatable read: what it saw first, to its end.
    let mut transaction = open.transaction().unwrap();
    assert_eq!(transaction.ask(judge), "f");
    admin.ask("SELECT logintel.activate_model('app', 1)");
    assert_eq!(transaction.ask(judge), "t");
    transaction.commit().unwrap();
    open.ask("BEGIN ISOLATION LEVEL REPEATABLE READ");
    assert_eq!(open.ask(judge), "t");
    admin.ask("SELECT logintel.activate_model('app', 2)");
    assert_eq!(open.ask(judge), "t");
    open.execute(&prepared, &[&TIGER]).unwrap();
    assert_eq!(open.count(anomalies), 2);
    open.ask("COMMIT");
    assert_eq!(open.ask(judge), "f");

    // What is rolled back was never there: neither in the whole nor in part, nor where the snapshot stays the same.
    for isolation in ["READ COMMITTED", "REPEATABLE READ"] {
        open.ask(&format!("BEGIN ISOLATION LEVEL {isolation}"));
        assert_eq!(open.ask(judge), "f", "{isolation}");
        open.ask("SAVEPOINT s; SELECT logintel.activate_model('app', 1)");
        assert_eq!(open.ask(judge), "t", "{isolation}");
        open.ask("ROLLBACK TO s");
        assert_eq!(open.ask(judge), "f", "{isolation}: after ROLLBACK TO");
        open.ask("SELECT logintel.activate_model('app', 1)");
        assert_eq!(open.ask(judge), "t", "{isolation}");
        open.ask("ROLLBACK");
        assert_eq!(open.ask(judge), "f", "{isolation}: after ROLLBACK");
    }
}

const TIGER: &str = "tiger number 3 came through door 1";

/// A detector of `app_log` whose version 1, in use, has never seen tigers, and whose version 2 knows nothing else.
fn two_versions<'a>(cluster: &'a Cluster, name: &str) -> Database<'a> {
    let db = cluster.database(name);
    let lines = |word: &str| {
        format!(
            "TRUNCATE app_log; INSERT INTO app_log (ts, level, message)
             SELECT now(), 'INFO', '{word} number ' || i || ' came through door ' || i % 7 FROM generate_series(1, 300) AS i;"
        )
    };
    db.execute(&format!(
        "CREATE TABLE app_log {LOG}; {}
         SELECT logintel.create_detector('app', 'app_log'); SELECT logintel.train('app'); {}
         SELECT logintel.train('app', activate => false)",
        lines("elephant"),
        lines("tiger")
    ));
    db
}

#[test]
fn what_a_session_keeps_of_a_detector_follows_every_change_of_it() {
    let db = two_versions(Cluster::shared(), "concurrency_kept");
    let (mut admin, mut open) = (db.client(), db.client());
    let judge = open.prepare("SELECT (logintel.detect('app', $1, 'INFO')).reason").unwrap();
    let mut reason = move || -> String {
        let row = open.query_one(&judge, &[&TIGER]);
        row.map_or_else(|error| error.as_db_error().unwrap().message().to_owned(), |row| row.get(0))
    };
    let mut holds = |change: &str, expected: &str| {
        admin.ask(change);
        // Twice: read anew, and kept.
        assert_eq!((reason().as_str(), reason().as_str()), (expected, expected), "{change}");
    };
    let (strange, known) = ("unseen_template", "normal_distance=0.000");
    holds("SELECT 1", strange);
    holds("SELECT logintel.activate_model('app', 2)", known);
    holds("BEGIN; SELECT logintel.activate_model('app', 1); ROLLBACK", known);
    holds("BEGIN; SAVEPOINT s; SELECT logintel.activate_model('app', 1); RELEASE s; COMMIT", strange);
    holds(
        "SET session_replication_role = replica; UPDATE logintel.detectors SET active_version = 2 WHERE name = 'app'; RESET session_replication_role",
        known,
    );
    holds("SELECT logintel.activate_model('app', 1)", strange);
    holds("SELECT logintel.alter_detector('app', new_name => 'other')", "detector \"app\" does not exist");
    holds("SELECT logintel.alter_detector('other', new_name => 'app')", strange);
    holds("SELECT logintel.drop_detector('app')", "detector \"app\" does not exist");
    holds("SELECT logintel.create_detector('app', 'app_log')", "untrained");
    holds("SELECT logintel.train('app')", known);
    holds("TRUNCATE logintel.model_versions CASCADE", "untrained");
    holds("DELETE FROM logintel.detectors", "detector \"app\" does not exist");
    holds(
        "DROP EXTENSION logintel CASCADE; CREATE EXTENSION logintel; SELECT logintel.create_detector('app', 'app_log')",
        "untrained",
    );
    holds("SELECT logintel.train('app')", known);
}

#[test]
fn what_a_session_has_read_since_does_not_reach_a_statement_that_began_before() {
    let db = two_versions(Cluster::shared(), "concurrency_before");
    let (mut admin, mut open) = (db.client(), db.client());
    let judge = format!("SELECT (logintel.detect('app', '{TIGER}')).is_anomaly");
    open.ask("BEGIN");
    open.ask(&format!("DECLARE earlier CURSOR FOR {judge} FROM generate_series(1, 3)"));
    assert_eq!(open.ask("FETCH earlier"), "t");
    admin.ask("SELECT logintel.activate_model('app', 2)");
    assert_eq!(
        (open.ask(&judge), open.ask("FETCH earlier"), open.ask(&judge)),
        ("f".into(), "t".into(), "f".into())
    );
    // Our own change is seen by what comes after it, here and nowhere else until it is committed.
    open.ask("SELECT logintel.activate_model('app', 1)");
    assert_eq!((open.ask(&judge), admin.ask(&judge)), ("t".into(), "f".into()));
    open.ask("COMMIT");
    assert_eq!((open.ask(&judge), admin.ask(&judge)), ("t".into(), "t".into()));
}

#[test]
fn a_table_that_changes_is_read_as_it_is() {
    let db = two_versions(Cluster::shared(), "concurrency_table");
    let (mut admin, mut open) = (db.client(), db.client());
    let insert = "INSERT INTO app_log (ts, level, message) VALUES (now(), 'ERROR', 'elephant number 1 came through door 1')";
    let anomalies =
        "SELECT count(*) FROM logintel.anomalies WHERE level = 'ERROR' AND message LIKE 'elephant%'";
    let mut expected = 0;
    for mode in ["statement", "row"] {
        admin.ask(&format!("SELECT logintel.watch('app', '{mode}')"));
        for change in [
            "SELECT 1",
            "ALTER TABLE app_log DROP COLUMN level, ADD COLUMN level text",
            "ALTER TABLE app_log DROP COLUMN message, ADD COLUMN IF NOT EXISTS extra int, ADD COLUMN message varchar(100)",
            "ALTER TABLE app_log ALTER COLUMN level TYPE name",
        ] {
            admin.ask(change);
            open.ask(insert);
            open.ask(insert);
            open.ask(&format!("BEGIN; {insert}; ALTER TABLE app_log DROP COLUMN level, ADD COLUMN level text; {insert}; COMMIT"));
            expected += 4;
            assert_eq!(open.count(anomalies), expected, "{mode}: {change}");
        }
    }
    assert_eq!(open.ask("SELECT count(*) FROM logintel.scoring_failures"), "0");
}

#[test]
fn a_session_keeps_the_models_that_it_used_last() {
    let db = two_versions(Cluster::shared(), "concurrency_models");
    db.execute(&format!(
        "CREATE TABLE other_log {LOG}; {};
         SELECT logintel.create_detector('other', 'other_log'); SELECT logintel.train('other')",
        fill("other_log", 300)
    ));
    let mut open = db.client();
    // Whether a model is read again shows where it is not to be had.
    let mut admin = db.client();
    let judges = |session: &mut Client, detector: &str| {
        session.send(&format!("SELECT (logintel.detect('{detector}', '{TIGER}')).is_anomaly")).is_ok()
    };
    let damage = "UPDATE logintel.model_versions SET artifact = 'damaged'";
    assert!(judges(&mut open, "app") && judges(&mut open, "other"));
    let mut small = db.client();
    small.ask("SET logintel.model_cache_mem = 0");
    assert!(judges(&mut small, "app") && judges(&mut small, "other"));
    admin.ask(damage);
    // Both are kept where there is room, the last one where there is none.
    assert!(judges(&mut open, "app") && judges(&mut open, "other") && judges(&mut open, "app"));
    assert!(judges(&mut small, "other") && !judges(&mut small, "app") && judges(&mut small, "other"));
    assert!(!judges(&mut db.client(), "app"));
}

#[test]
fn a_mark_holds_from_the_next_statement_on() {
    let db = watched(Cluster::shared(), "concurrency_marks");
    let mut admin = db.client();
    let anomalies = "SELECT count(*) FROM logintel.anomalies";
    let mark = |text: &str| {
        format!(
            "SELECT logintel.mark_normal(min(anomaly_id)) FROM logintel.anomalies WHERE message LIKE '{text}%'"
        )
    };
    for table in ["app_log", "other_log"] {
        let mut open = db.client();
        let prepared = open
            .prepare(&format!("INSERT INTO {table} (ts, level, message) VALUES (now(), 'ERROR', $1)"))
            .unwrap();
        let mut flagged = |message: &str| {
            let before = open.count(anomalies);
            open.execute(&prepared, &[&message]).unwrap();
            open.count(anomalies) - before
        };
        let (door, gate) = (format!("door of {table} number 7 is open"), format!("gate of {table} is shut"));
        assert_eq!((flagged(&door), flagged(&gate)), (1, 1));
        admin.ask(&mark("door"));
        assert_eq!((flagged(&door), flagged(&gate)), (0, 1));
        assert_eq!(flagged(&door.replace('7', "8")), 0);
        admin.ask(&mark("gate"));
        assert_eq!((flagged(&door), flagged(&gate)), (0, 0));
        // A model that is activated is overruled by the same marks, in the same statements.
        let detector = table.trim_end_matches("_log");
        admin.ask(&format!("SELECT logintel.train('{detector}')"));
        assert_eq!((flagged(&door), flagged(&gate)), (0, 0));
        admin.ask("SELECT logintel.unmark_normal(detector, template) FROM logintel.normal_templates WHERE template LIKE 'gate%'");
        assert_eq!((flagged(&door), flagged(&gate)), (0, 1));
        admin.ask("DELETE FROM logintel.anomalies");
    }
    assert_eq!(admin.ask("SELECT count(*) FROM logintel.scoring_failures"), "0");

    // Repeatable read: what the transaction saw first, to its end, whether it had asked for marks or not.
    admin.ask("INSERT INTO app_log (ts, level, message) VALUES (now(), 'ERROR', 'lamp 1 is out'), (now(), 'ERROR', 'fan 1 is out')");
    let lamp = "SELECT is_anomaly FROM logintel.detect('app', 'lamp 2 is out', 'ERROR')";
    let fan = "SELECT is_anomaly FROM logintel.detect('app', 'fan 2 is out', 'ERROR')";
    let mut open = db.client();
    open.ask("BEGIN ISOLATION LEVEL REPEATABLE READ");
    assert_eq!(open.ask("SELECT is_anomaly FROM logintel.detect('app', 'user 7 logged in', 'INFO')"), "f");
    admin.ask(&mark("lamp"));
    assert_eq!(open.ask(lamp), "t");
    open.ask("COMMIT");
    assert_eq!(open.ask(lamp), "f");
    open.ask("BEGIN ISOLATION LEVEL REPEATABLE READ");
    assert_eq!((open.ask(lamp), open.ask(fan)), ("f".into(), "t".into()));
    admin.ask(&mark("fan"));
    assert_eq!((open.ask(lamp), open.ask(fan)), ("f".into(), "t".into()));
    open.ask("COMMIT");
    assert_eq!((open.ask(lamp), open.ask(fan)), ("f".into(), "f".into()));
}

#[test]
fn marks_made_at_the_same_time_all_hold() {
    let db = watched(Cluster::shared(), "concurrency_marking");
    let db = &db;
    db.execute("INSERT INTO app_log (ts, level, message) SELECT now(), 'ERROR', repeat('x', i) || ' gave up' FROM generate_series(1, 60) AS i");
    let mut open = db.client();
    let flagged = "SELECT count(*) FROM generate_series(1, 60) AS i, logintel.detect('app', repeat('x', i) || ' gave up', 'ERROR') AS d WHERE d.is_anomaly";
    assert_eq!(open.count(flagged), 60);
    thread::scope(|scope| {
        for client in 0..6 {
            scope.spawn(move || {
                let mut session = db.client();
                for round in 1..=10 {
                    session.ask(&format!(
                        "SELECT logintel.mark_normal(anomaly_id) FROM logintel.anomalies WHERE length(message) = {} + length(' gave up')",
                        client * 10 + round
                    ));
                }
            });
        }
        // Those that are done hold meanwhile, and stay.
        let mut left = 60;
        eventually("all are marked", || {
            let now = open.count(flagged);
            assert!(now <= left, "{now} after {left}");
            left = now;
            (left == 0).then_some(())
        });
    });
    assert_eq!(db.client().count("SELECT count(*) FROM logintel.normal_templates"), 60);
    assert_eq!(db.cluster().log_lines(&["deadlock detected"]), 0);
}

#[test]
fn maintenance_calls_wait_for_each_other() {
    let db = watched(Cluster::shared(), "concurrency_maintenance");
    let db = &db;
    db.execute("INSERT INTO app_log (ts, level, message) SELECT now() + i * interval '1 second', 'ERROR', 'boom ' || i FROM generate_series(1, 2000) AS i");
    thread::scope(|scope| {
        for client in 0..6 {
            scope.spawn(move || {
                let mut session = db.client();
                for _ in 0..5 {
                    if client % 2 == 0 {
                        session.ask("CALL logintel.run_maintenance()");
                    } else {
                        // Several statements sent at once are one transaction.
                        session.ask("BEGIN; CALL logintel.run_maintenance(); COMMIT");
                    }
                }
            });
        }
    });
    assert_eq!(db.client().ask("SELECT count(*), sum(event_count) FROM logintel.incidents"), "1|2000");
    check(db, 2000);
    assert_eq!(db.cluster().log_lines(&["logintel maintenance", "WARNING"]), 0);
}
