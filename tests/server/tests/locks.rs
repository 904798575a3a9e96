//! Who waits for whom: training and activating keep no writer of the watched table waiting, and a command that changes or drops what the
//! worker reads does not wait for the worker's work. What depended on it says what is missing.
use logintel_server_tests::postgres::Client;
use logintel_server_tests::{Ask, Cluster, Database, eventually, fill, gate};
use std::thread;

/// Session of a person who would rather be refused than wait for ever. A failing test alone gets there.
fn impatient(db: &Database) -> Client {
    let mut session = db.client();
    session.ask("SET lock_timeout = '30s'");
    session
}

fn backend(session: &mut Client) -> i64 {
    session.count("SELECT pg_backend_pid()")
}

/// Locks that a backend holds on the user's tables and views, but for those that conflict with nothing a writer takes.
fn in_the_way(observer: &mut Client, pid: i64) -> String {
    observer.ask(&format!(
        "SELECT l.relation::regclass, l.mode FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation
         WHERE l.pid = {pid} AND l.granted AND c.relnamespace = 'public'::regnamespace AND l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')"
    ))
}

fn reads(observer: &mut Client, pid: i64, relation: &str) -> bool {
    let locks = format!(
        "SELECT count(*) FROM pg_locks WHERE pid = {pid} AND granted AND relation = '{relation}'::regclass"
    );
    observer.count(&locks) > 0
}

/// The backend that waits at the gate.
fn at_the_gate(observer: &mut Client) -> i64 {
    eventually("somebody comes to the gate", || {
        let waiting = "SELECT l.pid FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
                       WHERE l.locktype = 'advisory' AND NOT l.granted AND d.datname = current_database() LIMIT 1";
        observer.ask(waiting).parse().ok()
    })
}

#[test]
fn training_and_activating_keep_no_writer_waiting() {
    let db = Cluster::shared().database("locks_writers");
    gate(&db);
    // Beside the detector on the view, two on the table itself, which judge what is written.
    db.execute(
        "SELECT logintel.create_detector(name, 'gated_rows') FROM unnest('{by_statement,by_row}'::text[]) AS name;
         SELECT logintel.train(name) FROM unnest('{by_statement,by_row}'::text[]) AS name;
         SELECT logintel.watch('by_statement'), logintel.watch('by_row', 'row')",
    );
    let (mut trainer, mut keeper, mut observer, mut writer) =
        (db.client(), db.client(), db.client(), impatient(&db));
    let pid = backend(&mut trainer);
    let mut written = 0;
    let mut write = || {
        // What no model knows is flagged by both.
        writer.ask(&format!("INSERT INTO gated_rows VALUES (0, now(), 'zebra {written} crosses')"));
        written += 1;
        assert_eq!(
            writer.count("SELECT count(*) FROM logintel.anomalies WHERE reason NOT LIKE 'rate_%'"),
            2 * written
        );
    };
    keeper.ask("SELECT pg_advisory_lock(2500)");
    thread::scope(|scope| {
        // In transactions that stay open: whatever is locked stays so.
        let training = scope.spawn(|| {
            trainer.ask("BEGIN");
            trainer.ask("SELECT logintel.train('gated')");
        });
        assert_eq!(at_the_gate(&mut observer), pid);
        // While it reads.
        assert!(reads(&mut observer, pid, "gated_rows"));
        assert_eq!(in_the_way(&mut observer, pid), "");
        write();
        keeper.ask("SELECT pg_advisory_unlock(2500)");
        training.join().expect("the training");
    });
    // When all is written, and not committed.
    assert_eq!(in_the_way(&mut observer, pid), "");
    write();
    trainer.ask("COMMIT");
    // The detectors that judge what is written are trained and activated themselves.
    for statement in [
        "SELECT logintel.train('by_statement', until => now() - interval '1 day'), logintel.train('by_row', until => now() - interval '1 day')",
        "SELECT logintel.activate_model('by_statement', 1), logintel.activate_model('by_row', 1)",
    ] {
        trainer.ask(&format!("BEGIN; {statement}"));
        assert_eq!(in_the_way(&mut observer, pid), "", "{statement}");
        write();
        trainer.ask("COMMIT");
        write();
    }
}

/// A database whose worker is in the middle of a training and would stay there for ever.
fn training<'a>(name: &str) -> (Database<'a>, Client, i64) {
    let db = Cluster::shared().database(name);
    gate(&db);
    let mut keeper = db.client();
    keeper.ask("SELECT pg_advisory_lock(2500)");
    let mut observer = db.client();
    observer.ask("SELECT logintel.alter_detector('gated', '{\"retrain\": \"1 day\"}')");
    // So that the worker does not find it by itself in a minute.
    db.cluster().reload();
    let worker = at_the_gate(&mut observer);
    let kind = format!("SELECT backend_type FROM pg_stat_activity WHERE pid = {worker}");
    assert_eq!(observer.ask(&kind), "logintel worker");
    (db, keeper, worker)
}

/// What is done to what the worker reads: what training says of it afterwards, what `status` says, and what mends it.
const CHANGES: [(&str, &str, &str, &str, &str); 4] = [
    ("renamed", "ALTER TABLE gated_rows RENAME TO other_rows", "", "", ""),
    (
        "column_renamed",
        "ALTER VIEW gated RENAME COLUMN message TO said",
        "message => 'message' names no column of \"gated\"",
        "gated has no such column any more: message (message). New rows are not scored.",
        "UPDATE logintel.detectors SET message = 'said' WHERE name = 'gated'",
    ),
    (
        "column_dropped",
        "ALTER TABLE gated_rows DROP COLUMN message CASCADE",
        "the relation of detector \"gated\" is gone",
        "The relation that it is for is gone.",
        "",
    ),
    (
        "dropped",
        "DROP TABLE gated_rows CASCADE",
        "the relation of detector \"gated\" is gone",
        "The relation that it is for is gone.",
        "",
    ),
];

#[test]
fn what_changes_or_drops_a_table_does_not_wait_for_the_worker() {
    thread::scope(|scope| {
        for change in CHANGES {
            scope.spawn(move || changes(change));
        }
    });
}

fn changes((name, change, missing, status, remedy): (&str, &str, &str, &str, &str)) {
    let (db, mut keeper, worker) = training(&format!("locks_{name}"));
    impatient(&db).ask(change);
    let mut session = db.client();
    eventually("the worker is gone", || {
        let there = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {worker}");
        (session.count(&there) == 0).then_some(())
    });
    keeper.ask("SELECT pg_advisory_unlock(2500)");
    // Giving way is no failure, and the worker goes on.
    session.ask("INSERT INTO logintel.logs (level, message) VALUES ('ERROR', 'boom'), ('ERROR', 'boom')");
    db.cluster().reload();
    eventually("an incident", || {
        let incident = "SELECT event_count FROM logintel.incidents WHERE detector = 'logs'";
        (session.ask(incident) == "2").then_some(())
    });
    let failures = format!("SELECT failures FROM logintel.worker_state() WHERE database = '{}'", db.name());
    assert_eq!(session.ask(&failures), "0", "{change}");
    if !missing.is_empty() {
        assert_eq!(session.refusal("SELECT logintel.train('gated')").1, missing, "{change}");
        let said = session.ask(
                "SELECT summary FROM logintel.status WHERE detector = 'gated' AND topic = 'detector' AND state = 'critical'",
            );
        assert!(said.starts_with(status), "{change}: {said}");
        if remedy.is_empty() {
            return;
        }
        session.ask(remedy);
    }
    session.ask("SELECT logintel.train('gated')");
    let bad = "SELECT count(*) FROM logintel.status WHERE detector = 'gated' AND state = 'critical'";
    assert_eq!(session.ask(bad), "0", "{change}");
}

/// A table that is watched: rows land all the same, and what is wrong with them is said.
#[test]
fn rows_land_in_a_watched_table_whose_column_is_gone() {
    for (mode, change) in [("statement", "RENAME COLUMN level TO severity"), ("row", "DROP COLUMN level")] {
        let db = Cluster::shared().database(&format!("locks_watched_{mode}"));
        db.execute(&format!(
            "CREATE TABLE app_log (ts timestamptz, level text, component text, source text, message text);
             {};
             SELECT logintel.create_detector('app', 'app_log'); SELECT logintel.train('app'); SELECT logintel.watch('app', '{mode}')",
            fill("app_log", 300)
        ));
        db.cluster().reload();
        let mut session = impatient(&db);
        session.ask(&format!("ALTER TABLE app_log {change}"));
        session.ask("INSERT INTO app_log (ts, message) VALUES (now(), 'the roof is gone')");
        assert_eq!(session.ask("SELECT count(*) FROM app_log WHERE message = 'the roof is gone'"), "1");
        let named = "level => 'level' names no column of \"app_log\"";
        assert_eq!(
            session.ask("SELECT detector, last_message FROM logintel.scoring_errors"),
            format!("app|{named}")
        );
        let said = session.ask("SELECT topic, summary FROM logintel.status WHERE detector = 'app' AND topic IN ('detector', 'scoring')");
        assert_eq!(
            said,
            format!(
                "detector|app_log has no such column any more: level (level). New rows are not scored.\nscoring|1 rows of the last day landed without being scored: {named}"
            )
        );
    }
}

/// The worker does not wait for who keeps detectors of his own locked: it would come to nobody else's.
#[test]
fn locked_detectors_keep_the_worker_from_nothing_else() {
    let db = Cluster::shared().database("locks_detectors");
    db.execute(&format!(
        "CREATE TABLE app_log (ts timestamptz, level text, component text, source text, message text); {};
         CREATE TABLE other_log (LIKE app_log);
         SELECT logintel.create_detector('mine ' || n, 'other_log') FROM generate_series(1, 20) AS n;
         SELECT logintel.create_detector('app', 'app_log'); SELECT logintel.train('app'); SELECT logintel.watch('app')",
        fill("app_log", 300)
    ));
    let mut keeper = db.client();
    keeper.ask("BEGIN; SELECT logintel.alter_detector('mine ' || n, new_name => 'yours ' || n) FROM generate_series(1, 20) AS n");
    let mut session = db.client();
    session.ask(
        "INSERT INTO app_log SELECT now(), 'ERROR', 'c', 's', 'boom ' || i FROM generate_series(1, 3) AS i",
    );
    eventually("the worker makes an incident", || {
        (session.count("SELECT count(*) FROM logintel.incidents") > 0).then_some(())
    });
    keeper.ask("ROLLBACK");
    assert_eq!(
        session.ask("SELECT detector, step, last_error FROM logintel.worker_steps WHERE failures > 0"),
        ""
    );
}

#[test]
fn what_drops_the_extension_does_not_wait_for_the_worker() {
    let (db, _keeper, _) = training("locks_extension");
    impatient(&db).ask("SET client_min_messages = warning; DROP EXTENSION logintel CASCADE");
    assert_eq!(db.client().ask("SELECT count(*) FROM pg_namespace WHERE nspname = 'logintel'"), "0");
}

/// Whoever drops the extension locks all its tables one after the other, while a tick has locked some and comes to others: a deadlock, which
/// must not be the end of DROP EXTENSION.
#[test]
fn the_extension_is_dropped_in_the_middle_of_a_tick() {
    let cluster = Cluster::start("drop", &["logintel.interval = '1s'", "logintel.databases = 'drops'"]);
    let db = cluster.plain_database("drops");
    let mut session = impatient(&db);
    session.ask("SET client_min_messages = warning");
    session
        .ask("CREATE TABLE app_log (ts timestamptz, level text, component text, source text, message text)");
    session.ask(&fill("app_log", 3000));
    for _ in 0..5 {
        session.ask("CREATE EXTENSION logintel");
        session.ask("SELECT logintel.create_detector('app', 'app_log')");
        session.ask("SELECT logintel.train('app')");
        session.ask("SELECT logintel.watch('app')");
        session.ask("INSERT INTO app_log SELECT ts, 'ERROR', component, source, message FROM app_log");
        cluster.reload();
        eventually("a tick", || {
            let ticks = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'logintel worker' AND query LIKE 'CALL %'";
            (session.count(ticks) > 0).then_some(())
        });
        session.ask("DROP EXTENSION logintel CASCADE");
        session.ask("DELETE FROM app_log WHERE level = 'ERROR'");
    }
    // That it was in somebody's way, or that nothing is left of what it worked on, is no failure.
    assert_eq!(cluster.log_lines(&["WARNING"]), 0);
}

#[test]
fn a_database_is_dropped_while_the_worker_reads_and_learns() {
    // Plain: who drops it tries for 5 s.
    for (phase, rows) in [("querying", 1_000_000), ("vectors", 30_000)] {
        let db = Cluster::shared().database(&format!("locks_{phase}"));
        db.execute(&format!(
            "CREATE VIEW big_log AS SELECT now() - i * interval '1 ms' AS ts, md5(i::text) || ' ' || md5((i + 1)::text) AS message
             FROM generate_series(1, {rows}) AS i;
             SELECT logintel.create_detector('big', 'big_log', options => '{{\"retrain\": \"1 day\", \"vectorizer\": {{\"masks\": false}}}}')"
        ));
        db.cluster().reload();
        let mut observer = db.client();
        eventually("the worker learns", || {
            let shown = "SELECT phase FROM logintel.progress WHERE command = 'train' AND database = current_database()";
            (observer.ask(shown) == phase).then_some(())
        });
        drop(observer);
        db.cluster().execute(&[&format!("DROP DATABASE {}", db.name())]);
    }
}
