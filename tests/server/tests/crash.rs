//! kill -9 of a backend or of the worker in the middle of each step: the server recovers, and nothing is lost or counted
//! twice. The process is killed at graded points of each step, as long as the step took when nobody disturbed it.
use logintel_server_tests::{Ask, Cluster, Database, eventually, fill};
use std::thread;
use std::time::{Duration, Instant};

/// Points in a step at which it is killed.
const POINTS: u32 = 2;
/// Rows of one insert, and which of them are faults.
const ROWS: u32 = 6000;

/// A step: its name, what is needed before it, what it is; of a round.
type Step<'a> = (&'a str, &'a dyn Fn(u32) -> String, &'a dyn Fn(u32) -> String);

/// Inserts the rows of a round: three hours for each, and every third row a fault.
fn insert(table: &str, round: u32) -> String {
    format!(
        "INSERT INTO {table} (ts, level, component, source, message)
         SELECT '2026-01-02 00:00Z'::timestamptz + {round} * interval '3 hours' + i * interval '100 ms',
                CASE WHEN i % 3 = 0 THEN 'ERROR' ELSE 'INFO' END, 'c' || i % 4, 'host' || i % 7,
                CASE WHEN i % 3 = 0 THEN 'fault {round}-' || i ELSE 'user ' || i || ' logged in' END
         FROM generate_series(1, {ROWS}) AS i"
    )
}

fn database(cluster: &Cluster) -> Database<'_> {
    let db = cluster.database("crash");
    db.execute(&format!(
        "CREATE TABLE app_log (ts timestamptz, level text, component text, source text, message text);
         CREATE INDEX ON app_log (ts);
         {};
         SELECT logintel.create_detector('app', 'app_log', options => '{{\"rates\": false}}'),
                logintel.create_detector('pace', 'app_log', options => '{{\"severity_override\": \"never\"}}'),
                logintel.create_detector('brief', 'app_log', options => '{{\"retention\": \"1 hour\"}}');
         SELECT logintel.train('app'), logintel.train('pace');
         SELECT logintel.watch('app'), logintel.watch('pace')",
        fill("app_log", 1200)
    ));
    db
}

/// What must hold at any moment, whatever has been killed.
fn check(db: &Database, what: &str) {
    let mut session = db.client();
    let wrong = session.ask(
        "SELECT f.message, a.message, times FROM (SELECT message, ts FROM app_log WHERE level = 'ERROR') AS f
         FULL JOIN (SELECT message, ts, count(*) AS times FROM logintel.anomalies WHERE detector = 'app' GROUP BY 1, 2) AS a USING (message, ts)
         WHERE f.message IS NULL OR a.message IS NULL OR times <> 1 LIMIT 5",
    );
    assert_eq!(wrong, "", "{what}: lost or doubled");
    let wrong = session.ask(
        "SELECT incident_id, event_count, counted FROM logintel.incidents AS i
         FULL JOIN (SELECT incident_id, count(*) AS counted FROM logintel.anomalies WHERE incident_id IS NOT NULL GROUP BY 1) AS a USING (incident_id)
         -- What is older than it is kept goes, and its incident does not forget it.
         WHERE event_count IS DISTINCT FROM counted AND is_stale IS NOT TRUE AND detector <> 'brief'",
    );
    assert_eq!(wrong, "", "{what}: an incident does not sum up");
    let doubled = session.ask(
        "SELECT ts, reason, template, count(*) FROM logintel.anomalies WHERE detector = 'pace' AND reason LIKE 'rate_%'
         GROUP BY 1, 2, 3 HAVING count(*) > 1",
    );
    assert_eq!(doubled, "", "{what}: a rate is told of twice");
    // The active model is there and whole.
    assert_eq!(session.ask("SELECT (logintel.detect('app', 'user 7 logged in')).is_anomaly"), "f", "{what}");
}

/// Waits for the recovery after process `pid` was killed.
fn kill(cluster: &Cluster, pid: i32) {
    let before = cluster.log_lines(&["terminated by signal 9"]);
    cluster.signal("KILL", pid);
    eventually("the crash is noticed", || {
        (cluster.log_lines(&["terminated by signal 9"]) > before).then_some(())
    });
    cluster.wait_until_up();
}

/// Kills the backend that runs a statement after a while; whether it was in the middle of it.
fn killed(db: &Database, statement: &str, after: Duration) -> bool {
    let mut session = db.client();
    let pid = i32::try_from(session.count("SELECT pg_backend_pid()")).expect("a process id");
    thread::scope(|scope| {
        let running = scope.spawn(move || {
            let failed = session.send(statement).is_err();
            // The backend lives as long as its session.
            (failed, session)
        });
        thread::sleep(after);
        kill(db.cluster(), pid);
        running.join().expect("a session").0
    })
}

#[test]
fn a_backend_killed_in_the_middle_of_anything_loses_and_doubles_nothing() {
    let cluster = Cluster::start("backend", &["logintel.databases = ''"]);
    let db = database(&cluster);
    // What each step needs before it, and what it is.
    let old = "INSERT INTO logintel.anomalies (detector, ts, recorded_at, message, anomaly_score, reason)
               SELECT 'brief', now(), now() - interval '2 hours', 'old', 1, 'unseen_template' FROM generate_series(1, 25000)";
    let nothing = |_: u32| String::new();
    let steps: [Step; 5] = [
        ("insert", &nothing, &|round| insert("app_log", round)),
        ("train", &nothing, &|_| "SELECT logintel.train('app', until => '2026-01-02')".into()),
        ("score_history", &nothing, &|_| {
            "SELECT logintel.score_history('app', since => '2026-01-02')".into()
        }),
        ("tick", &|round| format!("{}; {old}", insert("app_log", round)), &|_| {
            "CALL logintel.run_maintenance()".into()
        }),
        ("refresh", &nothing, &|_| {
            "INSERT INTO logintel.view_changes DEFAULT VALUES; CALL logintel.run_maintenance()".into()
        }),
    ];
    let mut round = 0;
    let mut hits = 0;
    for (name, before, statement) in steps {
        let prepare = |round| {
            let before = before(round);
            if !before.is_empty() {
                db.execute(&before);
            }
        };
        prepare(round);
        let begun = Instant::now();
        // As one string that is sent at once CALL would be one transaction.
        for part in statement(round).split("; ") {
            db.client().ask(part);
        }
        let whole = begun.elapsed();
        round += 1;
        for point in 0..POINTS {
            prepare(round);
            let statement = statement(round);
            let (first, last) = statement.rsplit_once("; ").unwrap_or(("", &statement));
            db.client().ask(first);
            hits += i32::from(killed(&db, last, whole * (2 * point + 1) / (2 * POINTS)));
            check(&db, &format!("{name}, killed at point {point}"));
            round += 1;
        }
    }
    assert!(hits >= 3, "only {hits} of {} kills came in the middle", POINTS * 5);
    // What was cut off is done by the next tick.
    db.client().ask("CALL logintel.run_maintenance()");
    check(&db, "at the end");
    let mut session = db.client();
    assert_eq!(session.ask("SELECT count(*) FROM logintel.anomalies WHERE NOT is_grouped"), "0");
    assert_eq!(session.ask("SELECT count(*) FROM logintel.anomalies WHERE detector = 'brief'"), "0");
    assert_eq!(session.ask("SELECT count(*) FROM logintel.incidents WHERE is_stale"), "0");
    // The same as when nobody disturbs: a detector that sees the same rows at once.
    db.execute(
        "CREATE TABLE calm_log AS SELECT * FROM app_log WHERE ts < '2026-01-02';
         SELECT logintel.create_detector('calm', 'calm_log', options => '{\"rates\": false}');
         SELECT logintel.train('calm');
         SELECT logintel.watch('calm');
         INSERT INTO calm_log SELECT * FROM app_log WHERE ts >= '2026-01-02'",
    );
    session.ask("CALL logintel.run_maintenance()");
    let incidents = |detector: &str| {
        db.client().ask(&format!(
            "SELECT start_time, end_time, event_count, severity_score, sources, components, levels, messages
             FROM logintel.incidents WHERE detector = '{detector}' ORDER BY start_time"
        ))
    };
    assert_eq!(incidents("app"), incidents("calm"));
    assert!(incidents("calm").lines().count() > 1);
    assert_eq!(
        session.ask("SELECT sum(anomalies) FROM logintel.component_health"),
        session.ask("SELECT count(*) FROM logintel.anomalies")
    );
}

#[test]
fn a_worker_killed_in_the_middle_of_a_tick_loses_and_doubles_nothing() {
    // After each the launcher waits for some seconds.
    const HITS: u32 = 2;
    const MOST: u32 = 20;
    let cluster = Cluster::start("worker", &["logintel.interval = '1s'", "logintel.databases = 'crash'"]);
    let db = database(&cluster);
    // So that the launcher does not find it by itself in a minute.
    cluster.reload();
    let worker =
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'logintel worker' AND query LIKE 'CALL %'";
    let (mut hits, mut round) = (0, 0);
    while hits < HITS && round < MOST {
        db.execute(&insert("app_log", round));
        round += 1;
        let mut observer = db.client();
        let begun = Instant::now();
        // A tick with nothing to do is over before it is seen: then more is inserted.
        while begun.elapsed() < Duration::from_secs(8) {
            let Ok(pid) = observer.ask(worker).parse::<i32>() else {
                thread::sleep(Duration::from_millis(2));
                continue;
            };
            thread::sleep(Duration::from_millis(u64::from(hits) * 50));
            if observer.ask(worker) == pid.to_string() {
                drop(observer);
                kill(&cluster, pid);
                hits += 1;
            }
            break;
        }
        check(&db, &format!("round {round}"));
    }
    assert!(hits > 0, "no worker was killed in the middle");
    eventually("the worker has done what was cut off", || {
        let left = "SELECT (SELECT count(*) FROM logintel.anomalies WHERE NOT is_grouped) + (SELECT count(*) FROM logintel.view_changes)";
        (db.client().ask(left) == "0").then_some(())
    });
    check(&db, "at the end");
    assert_eq!(
        db.client().ask("SELECT count(*), sum(event_count) FROM logintel.incidents WHERE detector = 'app'"),
        format!("{round}|{}", round * ROWS / 3)
    );
}
