//! The view `progress` while calls run: rows done grow, the total is the planner's, the time left follows. A gate in the log
//! that is read holds each call where it is looked at.
use logintel_server_tests::postgres::Client;
use logintel_server_tests::{Ask, Cluster, eventually, gate};
use std::thread;

/// What the view shows of one session's call.
#[derive(Debug)]
struct Shown {
    phase: String,
    done: i64,
    total: Option<i64>,
    is_estimate: Option<bool>,
    has_time_left: bool,
    in_order: bool,
}

fn shown(client: &mut Client, pid: i32, command: &str) -> Option<Shown> {
    let sql = "SELECT phase, done, total, total_is_estimate, time_left >= interval '0', started <= phase_started AND phase_started <= clock_timestamp()
               FROM logintel.progress WHERE pid = $1 AND command = $2 AND database = current_database()";
    let row = client.query_opt(sql, &[&pid, &command]).expect("the view progress")?;
    Some(Shown {
        phase: row.get(0),
        done: row.get(1),
        total: row.get(2),
        is_estimate: row.get(3),
        has_time_left: row.get::<_, Option<bool>>(4) == Some(true),
        in_order: row.get(5),
    })
}

/// Runs a call that reads the gated log, and looks at it before its first row, after 2,000 rows, and after 4,000.
fn grows(name: &str, before: &str, call: &str, command: &str, phase: &str) {
    let db = Cluster::shared().database(name);
    gate(&db);
    db.client().ask(before);
    let (mut session, mut keeper, mut watcher) = (db.client(), db.client(), db.client());
    let pid = session.count("SELECT pg_backend_pid()") as i32;
    keeper.ask("SELECT pg_advisory_lock(1), pg_advisory_lock(2500), pg_advisory_lock(5000)");
    thread::scope(|scope| {
        let running = scope.spawn(move || session.ask(call));
        let mut until = |is_there: &dyn Fn(&Shown) -> bool| {
            let seen = eventually("the call comes to the gate", || {
                shown(&mut watcher, pid, command).filter(is_there)
            });
            // 8,000 rows; of a condition on what a function returns the planner knows nothing but a usual share.
            assert!(seen.in_order && seen.is_estimate == Some(true), "{seen:?}");
            assert!(seen.total.is_some_and(|total| (7000..=8000).contains(&total)), "{seen:?}");
            seen
        };
        let first = until(&|seen| seen.phase == "querying");
        assert!(first.done == 0 && !first.has_time_left, "{first:?}");
        for (number, done) in [(1, 2000), (2500, 4000)] {
            keeper.ask(&format!("SELECT pg_advisory_unlock({number})"));
            let seen = until(&|seen| seen.phase == phase && seen.done >= done);
            assert!(seen.done == done && seen.has_time_left, "{seen:?}");
        }
        keeper.ask("SELECT pg_advisory_unlock(5000)");
        assert_ne!(running.join().expect("the call"), "");
    });
    assert!(shown(&mut watcher, pid, command).is_none(), "what has ended is not shown");
}

#[test]
fn train_shows_how_far_it_has_come() {
    grows("progress_train", "", "SELECT logintel.train('gated')", "train", "reading");
}

#[test]
fn score_history_shows_how_far_it_has_come() {
    let train = "SELECT logintel.train('gated')";
    grows(
        "progress_score_history",
        train,
        "SELECT logintel.score_history('gated')",
        "score_history",
        "scoring",
    );
}

#[test]
fn the_workers_training_is_shown_too() {
    let db = Cluster::shared().database("progress_worker");
    gate(&db);
    let (mut keeper, mut watcher) = (db.client(), db.client());
    keeper.ask("SELECT pg_advisory_lock(1)");
    db.execute(r#"SELECT logintel.alter_detector('gated', '{"retrain": "1 day"}')"#);
    // Else it looks for new databases once a minute.
    db.cluster().reload();
    let pid: i32 = eventually("the worker trains", || {
        let sql = "SELECT p.pid FROM logintel.progress AS p JOIN pg_stat_activity AS a USING (pid)
                   WHERE p.command = 'train' AND p.database = current_database() AND a.backend_type LIKE 'logintel%'";
        watcher.query_opt(sql, &[]).expect("the view progress").map(|row| row.get(0))
    });
    keeper.ask("SELECT pg_advisory_unlock(1)");
    eventually("the training ends", || shown(&mut watcher, pid, "train").is_none().then_some(()));
    eventually("a model is there", || {
        (watcher.ask("SELECT count(*) FROM logintel.models WHERE detector = 'gated'") == "1").then_some(())
    });
}
