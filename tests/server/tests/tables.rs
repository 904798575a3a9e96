//! Ways in that need more than one session: a subscriber's apply, writers that fail beside each other, a live session that
//! begins while others write.
use logintel_server_tests::{Ask, Cluster, eventually};
use std::thread;

const LOG: &str = "(id int PRIMARY KEY, ts timestamptz, level text, message text)";

#[test]
fn a_subscribers_apply_is_scored_by_row() {
    let cluster = Cluster::start(
        "tables",
        &["wal_level = logical", "logintel.databases = ''", "max_worker_processes = 20"],
    );
    let publisher = cluster.plain_database("publisher");
    let subscriber = cluster.database("subscriber");
    publisher.execute(&format!(
        "CREATE TABLE log {LOG};
         INSERT INTO log SELECT i, now(), CASE WHEN i % 10 = 0 THEN 'ERROR' ELSE 'INFO' END, 'first ' || i FROM generate_series(1, 100) AS i;
         CREATE PUBLICATION logs FOR TABLE log"
    ));
    // Where both databases are in one cluster, the slot must be there before: making it would wait for the subscription.
    publisher.execute("SELECT pg_create_logical_replication_slot('logs', 'pgoutput')");
    subscriber.execute(&format!(
        "CREATE TABLE log {LOG};
         ALTER TABLE log ADD is_anomaly bool;
         SELECT logintel.create_detector('log', 'log')"
    ));
    let (host, port) = cluster.address();
    subscriber.execute(&format!(
        "CREATE SUBSCRIPTION logs CONNECTION 'host={host} port={port} user=postgres dbname=publisher' PUBLICATION logs
         WITH (create_slot = false, slot_name = 'logs', enabled = false)"
    ));
    // It says what is missing, and what it says is what is needed.
    let enable = "ALTER TABLE \"public\".\"log\" ENABLE ALWAYS TRIGGER \"logintel_log_fill\", ENABLE ALWAYS TRIGGER \"logintel_log_row\";";
    subscriber.execute("SELECT logintel.watch('log')");
    assert_eq!(
        cluster.log_lines(&["WARNING", "does not see what the subscription of \"public\".\"log\" applies"]),
        1
    );
    assert_eq!(cluster.log_lines(&["SELECT logintel.watch('log', 'row')."]), 1);
    subscriber.execute("SELECT logintel.watch('log', 'row')");
    assert_eq!(cluster.log_lines(&[enable]), 1);
    subscriber.execute(&format!("{enable} ALTER SUBSCRIPTION logs ENABLE"));
    let mut session = subscriber.client();
    let mut there = |rows: i64| {
        eventually(&format!("{rows} rows arrive"), || {
            (session.count("SELECT count(*) FROM log") == rows).then_some(())
        });
    };
    // The copy at the beginning, transactions, one that is rolled back in part, one of several statements.
    there(100);
    publisher
        .execute("INSERT INTO log VALUES (101, now(), 'ERROR', 'one row'), (102, now(), 'INFO', 'ordinary')");
    publisher.execute(
        "BEGIN; INSERT INTO log VALUES (103, now(), 'ERROR', 'stays'); SAVEPOINT s; INSERT INTO log VALUES (104, now(), 'ERROR', 'goes'); ROLLBACK TO s; COMMIT;
         BEGIN; INSERT INTO log VALUES (105, now(), 'ERROR', 'goes, too'); ROLLBACK;
         INSERT INTO log SELECT i, now(), 'ERROR', 'many ' || i FROM generate_series(200, 1199) AS i;
         UPDATE log SET message = 'changed' WHERE id = 101; DELETE FROM log WHERE id = 102",
    );
    there(1102);
    // Rows that were replicated before the subscription was switched off arrive once it is on again, each once.
    subscriber.execute("ALTER SUBSCRIPTION logs DISABLE");
    publisher.execute(
        "INSERT INTO log SELECT i, now(), 'ERROR', 'meanwhile ' || i FROM generate_series(2000, 2099) AS i",
    );
    subscriber.execute("ALTER SUBSCRIPTION logs ENABLE");
    there(1202);
    let mut session = subscriber.client();
    let expected = "10|first\n1|one row\n1|stays\n1000|many\n100|meanwhile";
    assert_eq!(
        session.ask("SELECT count(*), regexp_replace(message, ' [0-9]+$', '') AS m FROM logintel.anomalies GROUP BY m ORDER BY min(anomaly_id)"),
        expected
    );
    assert_eq!(session.count("SELECT count(*) - count(DISTINCT message) FROM logintel.anomalies"), 0);
    // The columns are filled, too.
    assert_eq!(
        session.ask("SELECT count(*) FROM log WHERE is_anomaly IS DISTINCT FROM (level = 'ERROR')"),
        "0"
    );
    assert_eq!(session.count("SELECT count(*) FROM logintel.scoring_failures"), 0);
    subscriber.execute("DROP SUBSCRIPTION logs");
}

/// Sessions that write beside each other.
const WRITERS: i64 = 8;

#[test]
fn writers_that_fail_to_be_scored_do_not_wait_for_each_other() {
    let cluster = Cluster::shared();
    let db = cluster.database("tables_failing");
    db.execute(
        "CREATE TABLE log (id int, ts text, level text, message text);
         SELECT logintel.create_detector('log', 'log');
         SELECT logintel.watch('log')",
    );
    let mut writers: Vec<_> = (0..WRITERS).map(|_| db.client()).collect();
    for round in 0..5 {
        // Each leaves its transaction open while the others write: whoever waited for another would wait for ever.
        for (number, writer) in writers.iter_mut().enumerate() {
            writer.ask(&format!(
                "BEGIN; SET LOCAL lock_timeout = '10s';
                 INSERT INTO log VALUES ({number}, 'no time', 'ERROR', 'round {round}'), ({number}, 'none', 'INFO', 'round {round}')"
            ));
        }
        // One of them takes everything back.
        for (number, writer) in writers.iter_mut().enumerate() {
            writer.ask(if number == 0 { "ROLLBACK" } else { "COMMIT" });
        }
    }
    let mut session = db.client();
    let statements = (WRITERS - 1) * 5;
    assert_eq!(session.count("SELECT count(*) FROM log"), 2 * statements);
    assert_eq!(
        session.ask("SELECT detector, sqlstate, failures, rows, first_time <= last_time, last_message FROM logintel.scoring_errors"),
        format!("log|22007|{statements}|{}|t|invalid input syntax for type timestamp with time zone: \"no time\"", 2 * statements)
    );
    assert_eq!(session.count("SELECT count(*) FROM logintel.anomalies"), 0);
    // As an error it fails the statement, and is not recorded.
    session.ask("SET logintel.on_error = error");
    let (state, message) = session.refusal("INSERT INTO log VALUES (9, 'no time', 'ERROR', 'refused')");
    assert_eq!(state, "09000");
    assert!(message.contains("rows were not scored by detector \"log\""), "{message}");
    // Switched off, nobody looks.
    session.ask("SET logintel.enabled = off; INSERT INTO log VALUES (9, 'no time', 'ERROR', 'unseen')");
    assert_eq!(
        session.ask("SELECT count(*) FILTER (WHERE id = 9), (SELECT sum(failures) FROM logintel.scoring_errors) FROM log"),
        format!("1|{statements}")
    );
}

#[test]
fn a_live_session_begins_while_others_write() {
    let db = Cluster::shared().database("tables_live");
    let (mut early, mut starter, mut late, mut reader) = (db.client(), db.client(), db.client(), db.client());
    let ingest = |line: &str| format!("SELECT logintel.ingest('s', 'INFO', 'c', '{line}')");
    let shown = "SELECT message FROM logintel.live_logs ORDER BY message";
    // A transaction that began before is of before, whenever it writes and commits.
    let mut open = early.transaction().unwrap();
    open.ask(&ingest("written before"));
    starter.ask("SELECT logintel.start_live_session()");
    open.ask(&ingest("begun before"));
    late.ask(&ingest("after"));
    open.commit().unwrap();
    assert_eq!(reader.ask(shown), "after");
    // Two begin at the same time: the later one holds for both.
    let mut first = early.transaction().unwrap();
    first.ask("SELECT now()");
    let second = late.ask("BEGIN; SELECT logintel.start_live_session()");
    late.ask(&ingest("of the second"));
    let answer = thread::scope(|scope| {
        let first = scope.spawn(|| {
            let answer = first.ask("SELECT logintel.start_live_session()");
            first.commit().unwrap();
            answer
        });
        eventually("the first waits", || {
            (reader.count("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'")
                > 0)
            .then_some(())
        });
        late.ask("COMMIT");
        first.join().unwrap()
    });
    assert_eq!(answer, second);
    assert_eq!(reader.ask(shown), "of the second");
    // A snapshot keeps the session that it saw.
    let mut snapshot = reader.transaction().unwrap();
    snapshot.ask("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ");
    assert_eq!(snapshot.ask(shown), "of the second");
    starter.ask("SELECT logintel.start_live_session()");
    assert_eq!(snapshot.ask(shown), "of the second");
    snapshot.commit().unwrap();
    assert_eq!(reader.ask(shown), "");
}
