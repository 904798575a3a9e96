//! What lasts: memory over thousands of calls, a cancel in the middle of long work.
//!
//! With `LOGINTEL_TRIES` memory is watched over ten times as many calls, a million, and 1,000 trainings (`tools/fuzz.sh server`).
use logintel_server_tests::postgres::Client;
use logintel_server_tests::{Ask, Cluster, eventually, fill, memory as process_memory};
use std::thread;

const LOG: &str = "(ts timestamptz, level text, component text, source text, message text)";

/// Resident memory of the session's backend that is its own, in kB.
fn memory(session: &mut Client) -> i64 {
    let pid = session.count("SELECT pg_backend_pid()");
    i64::try_from(process_memory(pid as i32).expect("a backend")).expect("a number")
}

#[test]
fn memory_stays_over_thousands_of_calls() {
    let db = Cluster::shared().database("endurance_memory");
    db.execute(&format!(
        "CREATE TABLE app_log {LOG}; {}; SELECT logintel.create_detector('app', 'app_log')",
        fill("app_log", 40)
    ));
    let mut session = db.client();
    session
        .ask("SET logintel.model_cache_mem = '64kB'; SET client_min_messages = error; SELECT logintel.train('app'); SELECT logintel.watch('app')");
    // Without maintenance: REFRESH … CONCURRENTLY itself leaves 25 kB in the session each time, extension or not.
    // The small cache: else every model of these trainings is kept, as it may be.
    // What it is, how often the statement runs before and again while it is watched, in the short form and in the long one.
    let rounds: [(&str, [i64; 2], &str); 7] = [
        // Commits, so that a leak of one transaction's end would show.
        ("trainings", [400, 1000], "SELECT logintel.train('app'); SELECT logintel.detect('app', 'user 7 logged in')"),
        (
            "trainings in one transaction",
            [6, 10],
            "DO $$ BEGIN FOR i IN 1 .. 100 LOOP PERFORM logintel.train('app'), logintel.detect('app', 'user 7 logged in'); END LOOP; END $$",
        ),
        (
            "calls in one statement",
            [4, 40],
            "SELECT count(logintel.detect('app', 'user ' || i || ' logged out', 'ERROR')) + count(logintel.log_embed('app', 'user ' || i)) FROM generate_series(1, 12500) AS i",
        ),
        (
            "calls of the toolbox in one statement",
            [4, 40],
            "SELECT count(v OPERATOR(logintel.<=>) v), count(logintel.l2_distance(v, v)), count(logintel.vector_dims(v::text::logintel.logvec)),
                    count(logintel.log_embed(m, 'job ' || i)), count(t)
             FROM (SELECT i, m, logintel.log_embed(m, 'user ' || i || ' logged in') AS v, logintel.log_template('user ' || i % 100) OVER () AS t
                   FROM (SELECT logintel.tfidf_fit(message) AS m FROM app_log) AS model, generate_series(1, 5000) AS i) AS r",
        ),
        (
            "calls in many statements",
            [4, 20],
            "DO $$ BEGIN FOR i IN 1 .. 2500 LOOP PERFORM logintel.detect('app', 'job ' || i), logintel.anomaly_score('app', 'x'); END LOOP; END $$",
        ),
        (
            "inserts",
            [4, 20],
            "DO $$ BEGIN FOR i IN 1 .. 500 LOOP
                 INSERT INTO app_log VALUES (now(), 'ERROR', 'c', 's', 'boom ' || i);
                 BEGIN PERFORM logintel.detect('no such', 'x'); EXCEPTION WHEN undefined_object THEN NULL; END;
             END LOOP; DELETE FROM app_log WHERE level = 'ERROR'; END $$",
        ),
        ("histories", [40, 100], "SELECT logintel.score_history('app'); SELECT count(*) FROM logintel.log_timeline('app')"),
    ];
    let is_long = std::env::var_os("LOGINTEL_TRIES").is_some();
    for (what, times, statement) in rounds {
        let times = times[usize::from(is_long)];
        let mut repeat = |times| (0..times).for_each(|_| drop(session.ask(statement)));
        // Caches fill, allocators settle.
        repeat(times);
        let before = memory(&mut session);
        (0..times).for_each(|_| drop(session.ask(statement)));
        let grown = memory(&mut session) - before;
        println!("{what}: {times} times the statement, {before} kB, {grown} kB more after as many again");
        assert!(grown < 2 << 10, "{what}: {grown} kB more after as many again");
    }
}

#[test]
fn long_work_is_cancelled() {
    let db = Cluster::shared().database("endurance_cancel");
    db.execute(&format!(
        "CREATE TABLE app_log {LOG};
         {};
         INSERT INTO app_log SELECT ts, level, component, source, md5(i::text) || ' ' || md5((i + 1)::text) || ' ' || message
         FROM app_log, generate_series(1, 20) AS i;
         SELECT logintel.create_detector('app', 'app_log', options => '{{\"vectorizer\": {{\"masks\": false}}}}');
         SELECT logintel.create_detector('small', 'app_log', options => '{{}}');
         SELECT logintel.train('small', until => '2026-01-01 00:05Z');
         CREATE TABLE vectors AS SELECT format('{{%s:1,%s:%s}}/100000', i % 50 + 1, i + 100, i % 97 + 1)::logintel.logvec AS v
         FROM generate_series(1, 60000) AS i",
        fill("app_log", 3000)
    ));
    let mut session = db.client();
    let pid = session.ask("SELECT pg_backend_pid()");
    let statements = [
        "SELECT logintel.train('app')",
        "SELECT logintel.score_history('small')",
        "SELECT count(*) FROM logintel.log_timeline('small')",
        "SELECT count(c) FROM (SELECT logintel.dbscan_cluster(v, 0.9, 5) OVER () AS c FROM vectors) AS r",
        "SELECT count(c) FROM (SELECT logintel.standard_scale(v) OVER () AS c FROM vectors, generate_series(1, 5)) AS r",
        "SELECT logintel.tfidf_fit(message) FROM app_log, generate_series(1, 5)",
    ];
    for statement in statements {
        session.ask("SET statement_timeout = '60ms'");
        assert_eq!(session.refused(statement), "57014", "{statement}");
        session.ask("RESET statement_timeout");
        // And by somebody else.
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut other = db.client();
                eventually("it runs", || {
                    let running = format!(
                        "SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND state = 'active' AND clock_timestamp() > query_start + interval '20 ms'"
                    );
                    (other.count(&running) > 0).then_some(())
                });
                other.ask(&format!("SELECT pg_cancel_backend({pid})"));
            });
            assert_eq!(session.refused(statement), "57014", "{statement}");
        });
    }
    // A cancel inside the trigger is a cancel, and no failure to score.
    session.ask("SELECT logintel.watch('small'); SET statement_timeout = '60ms'");
    assert_eq!(
        session.refused("INSERT INTO app_log SELECT a.* FROM app_log AS a, generate_series(1, 10)"),
        "57014"
    );
    session.ask("RESET statement_timeout");
    assert_eq!(session.ask("SELECT count(*) FROM logintel.scoring_failures"), "0");
    assert_eq!(
        session.ask("SELECT (logintel.detect('small', 'x y z', 'ERROR')).reason, pg_backend_pid()"),
        format!("ERROR_level|{pid}")
    );
    assert_eq!(db.cluster().log_lines(&["terminated by signal"]), 0);
}
