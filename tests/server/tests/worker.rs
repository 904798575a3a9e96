//! The background worker survives what happens to servers, and leaves databases alone that are not its business.
use logintel_server_tests::postgres::Client;
use logintel_server_tests::{Ask, Cluster, Database, Mode, eventually};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What the tests make of a tick: they count it, and then do something special.
fn maintain(db: &Database, special: &str) {
    db.execute(&format!(
        "CREATE TABLE IF NOT EXISTS public.ticks (at timestamptz DEFAULT clock_timestamp());
         CREATE OR REPLACE PROCEDURE logintel.run_maintenance() LANGUAGE plpgsql AS $$
         BEGIN
             INSERT INTO public.ticks DEFAULT VALUES;
             COMMIT;
             {special}
         END $$;
         DO $$ BEGIN
             ALTER EXTENSION logintel ADD PROCEDURE logintel.run_maintenance();
         EXCEPTION WHEN object_not_in_prerequisite_state THEN NULL; -- it is a member already
         END $$;"
    ));
    // So that the worker does not find out by itself in a minute.
    db.cluster().reload();
}

/// A tick that lasts until the table `release` exists.
const UNTIL_RELEASED: &str = "
    WHILE pg_catalog.to_regclass('public.release') IS NULL LOOP
        PERFORM pg_catalog.pg_sleep(0.02);
        COMMIT;
    END LOOP;";

/// One query that answers to nothing but an interrupt.
const ENDLESS_QUERY: &str =
    "PERFORM count(*) FROM (SELECT pg_catalog.generate_series(1, 1000000000000)) AS endless;";

fn ticks(db: &Database) -> i64 {
    db.client().query_one("SELECT count(*) FROM ticks", &[]).unwrap().get(0)
}

fn wait_for_ticks(db: &Database, more: i64) {
    let before = ticks(db);
    eventually("the worker ticks", || (ticks(db) >= before + more).then_some(()));
}

/// What the worker knows of one database.
struct State {
    has_extension: Option<bool>,
    failures: i64,
    last_error: Option<String>,
    last_end: Option<f64>,
}

/// Asked in `db`, which has the extension, about any database.
fn state(db: &Database, about: &str) -> Option<State> {
    let row = db.client().query_opt(
        "SELECT has_extension, failures, last_error, extract(epoch FROM last_end)::float8
         FROM logintel.worker_state() WHERE database = $1",
        &[&about],
    );
    row.unwrap().map(|row| State {
        has_extension: row.get(0),
        failures: row.get(1),
        last_error: row.get(2),
        last_end: row.get(3),
    })
}

fn failures(db: &Database) -> i64 {
    state(db, db.name()).map_or(0, |state| state.failures)
}

fn last_error(db: &Database) -> Option<String> {
    state(db, db.name()).and_then(|state| state.last_error)
}

/// Process ids of launcher or worker; of the workers those in `database`.
fn processes(client: &mut Client, backend_type: &str, database: Option<&str>) -> Vec<i32> {
    client
        .query(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = $1 AND datname IS NOT DISTINCT FROM $2",
            &[&backend_type, &database],
        )
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect()
}

fn launcher(client: &mut Client) -> i32 {
    eventually("the launcher runs", || processes(client, "logintel launcher", None).pop())
}

/// A worker in the middle of a tick.
fn worker(db: &Database) -> i32 {
    let mut client = db.cluster().client();
    eventually("a worker runs", || {
        client
            .query_opt(
                "SELECT pid FROM pg_stat_activity
                 WHERE backend_type = 'logintel worker' AND datname = $1 AND query LIKE 'CALL %'",
                &[&db.name()],
            )
            .unwrap()
            .map(|row| row.get(0))
    })
}

#[test]
fn a_step_that_was_committed_stays_when_a_later_one_fails() {
    let db = Cluster::shared().database("worker_commits");
    maintain(&db, "INSERT INTO public.ticks VALUES ('infinity'); RAISE EXCEPTION 'the second step fails';");
    eventually("two ticks", || (ticks(&db) >= 2).then_some(()));
    eventually("the failure is known", || last_error(&db).filter(|error| error == "the second step fails"));
    let mut client = db.client();
    let second: i64 =
        client.query_one("SELECT count(*) FROM ticks WHERE at = 'infinity'", &[]).unwrap().get(0);
    assert_eq!(second, 0, "a step that failed left something behind");
    // It ticks as a superuser: no name may be resolved in a schema where others create.
    maintain(&db, "CREATE TABLE public.seen AS SELECT pg_catalog.current_setting('search_path') AS path;");
    let path: String = eventually("the path was seen", || {
        client.query_opt("SELECT path FROM public.seen", &[]).ok().flatten().map(|row| row.get(0))
    });
    assert_eq!(path, "pg_catalog, pg_temp");
}

#[test]
fn says_in_pg_stat_activity_what_it_does() {
    let db = Cluster::shared().database("worker_activity");
    maintain(&db, UNTIL_RELEASED);
    let pid = worker(&db);
    let row = db
        .client()
        .query_one("SELECT application_name, state, query FROM pg_stat_activity WHERE pid = $1", &[&pid])
        .unwrap();
    let [name, state, query] = [0, 1, 2].map(|i| row.get::<_, String>(i));
    assert_eq!(
        [name.as_str(), state.as_str(), query.as_str()],
        ["logintel worker", "active", "CALL logintel.run_maintenance()"]
    );
    let mut client = db.client();
    let pid = launcher(&mut client);
    let row =
        client.query_one("SELECT application_name FROM pg_stat_activity WHERE pid = $1", &[&pid]).unwrap();
    assert_eq!(row.get::<_, String>(0), "logintel launcher");
}

#[test]
fn a_terminated_launcher_comes_back_and_does_not_tick_where_a_tick_is_under_way() {
    let cluster = Cluster::start("launcher", &["logintel.interval = '1s'"]);
    let (busy, other) = (cluster.database("busy"), cluster.database("other"));
    maintain(&other, "");
    maintain(&busy, UNTIL_RELEASED);
    worker(&busy);
    let mut client = cluster.client();
    let before = launcher(&mut client);
    client.execute("SELECT pg_terminate_backend($1)", &[&before]).unwrap();
    eventually("another launcher", || (launcher(&mut client) != before).then_some(()));
    wait_for_ticks(&other, 2);
    assert_eq!(ticks(&busy), 1, "the tick of before is still under way");
    assert_eq!(processes(&mut client, "logintel worker", Some("busy")).len(), 1);
    // Once it has ended, the new launcher goes on there too.
    busy.execute("CREATE TABLE release ()");
    wait_for_ticks(&busy, 1);
    assert_eq!(failures(&busy), 0);
}

#[test]
fn a_terminated_or_canceled_worker_comes_back() {
    let db = Cluster::shared().database("worker_killed");
    maintain(&db, UNTIL_RELEASED);
    let failed = |what: &str| eventually(what, || last_error(&db).filter(|error| error == what));
    let pid = worker(&db);
    db.client().execute("SELECT pg_terminate_backend($1)", &[&pid]).unwrap();
    failed("the worker was terminated");
    let pid = eventually("another worker", || Some(worker(&db)).filter(|&another| another != pid));
    let before = failures(&db);
    db.client().execute("SELECT pg_cancel_backend($1)", &[&pid]).unwrap();
    failed("canceling statement due to user request");
    assert_eq!(failures(&db), before + 1);
    db.execute("CREATE TABLE release ()");
    eventually("it works again", || (failures(&db) == 0).then_some(()));
    wait_for_ticks(&db, 2);
}

#[test]
fn a_fast_shutdown_is_fast_during_a_long_query() {
    let cluster = Cluster::start("stop", &["logintel.interval = '1s'"]);
    let db = cluster.database("long");
    maintain(&db, ENDLESS_QUERY);
    worker(&db);
    let began = Instant::now();
    cluster.stop(Mode::Fast);
    let took = began.elapsed();
    // The contract's bound.
    assert!(took < Duration::from_secs(5), "stopping took {took:?}");
    // After the next start it works as before.
    cluster.start_again();
    worker(&db);
}

#[test]
fn waits_for_a_database_that_is_missing() {
    let cluster =
        Cluster::start("missing", &["logintel.interval = '1s'", "logintel.databases = 'there, not_there'"]);
    let there = cluster.database("there");
    maintain(&there, "");
    // Only then have the settings been read that this made the launcher read anew.
    wait_for_ticks(&there, 1);
    let told = || cluster.log_lines(&["LOG:", "logintel waits for database \"not_there\""]);
    let (ticks_before, told_before) = (ticks(&there), told());
    eventually("ticks", || (ticks(&there) >= ticks_before + 4).then_some(()));
    // Settings may have been read anew since, which tells it once more; the ticks do not.
    assert!(told_before >= 1);
    assert_eq!(told(), told_before);
    assert_eq!(cluster.log_lines(&["FATAL"]), 0);
    // A database that is not on the list is left alone, though it has the extension.
    let unnamed = cluster.database("unnamed");
    maintain(&unnamed, "");
    wait_for_ticks(&there, 2);
    assert_eq!(ticks(&unnamed), 0);
    // The missing one is found when it is there.
    let found = cluster.database("not_there");
    maintain(&found, "");
    wait_for_ticks(&found, 2);
}

#[test]
fn waits_for_an_extension_that_is_missing() {
    let cluster = Cluster::start("extension", &["logintel.interval = '1s'"]);
    let (with, without) = (cluster.database("worker_with"), cluster.plain_database("worker_without"));
    maintain(&with, "");
    let look = || {
        eventually("the worker has looked", || {
            let state = state(&with, "worker_without")?;
            (state.has_extension == Some(false)).then_some(state.last_end)
        })
    };
    let first = look();
    wait_for_ticks(&with, 3);
    assert_eq!(look(), first, "it looked again before the minute was over");
    assert_eq!(cluster.log_lines(&["worker_without"]), 0);
    without.execute("CREATE EXTENSION logintel");
    maintain(&without, "");
    wait_for_ticks(&without, 2);
    // And back: without the extension it rests, and says nothing.
    without.execute("DROP EXTENSION logintel CASCADE");
    look();
    assert_eq!(cluster.log_lines(&["worker_without", "failed"]), 0);
}

#[test]
fn one_bad_database_does_not_stop_the_others() {
    let cluster = Cluster::shared();
    let [good, bad, stuck] = ["worker_good", "worker_bad", "worker_stuck"].map(|name| cluster.database(name));
    maintain(&stuck, UNTIL_RELEASED);
    maintain(&bad, "RAISE EXCEPTION 'something is wrong here' USING HINT = 'Look here.';");
    maintain(&good, "");
    worker(&stuck);
    eventually("two failures in a row", || (failures(&bad) >= 2).then_some(()));
    wait_for_ticks(&good, 3);
    assert_eq!(last_error(&bad).as_deref(), Some("something is wrong here"));
    let told = ["WARNING:", "maintenance of database \"worker_bad\" failed: something is wrong here"];
    assert_eq!(cluster.log_lines(&told), 1, "the same failure is told once");
    assert!(cluster.log().contains("HINT:  Look here."));
    // Another failure is another story.
    maintain(&bad, "PERFORM 1 / 0;");
    eventually("the new failure is told", || {
        let told = cluster.log_lines(&["WARNING:", "\"worker_bad\" failed: division by zero"]);
        assert!(told <= 1);
        (told == 1).then_some(())
    });
    maintain(&bad, "");
    eventually("it works again", || (failures(&bad) == 0).then_some(()));
    assert_eq!(cluster.log_lines(&["LOG:", "\"worker_bad\" works again"]), 1);
}

#[test]
fn a_database_can_be_dropped_or_renamed_during_a_long_tick() {
    let cluster = Cluster::shared();
    let db = cluster.database("worker_dropped");
    maintain(&db, ENDLESS_QUERY);
    worker(&db);
    cluster.execute(&["ALTER DATABASE worker_dropped RENAME TO worker_renamed"]);
    cluster.reload();
    let client = &mut cluster.client();
    eventually("a worker in the renamed database", || {
        processes(client, "logintel worker", Some("worker_renamed")).pop()
    });
    // Neither asks the worker to leave: DROP DATABASE without FORCE gives up after 5 s.
    client.batch_execute("DROP DATABASE worker_renamed").unwrap();
    assert_eq!(cluster.log_lines(&["\"worker_renamed\" failed"]), 0, "giving way is no failure");
}

#[test]
fn the_server_recovers_from_a_worker_that_was_killed() {
    let cluster = Cluster::start("crash", &["logintel.interval = '1s'"]);
    let db = cluster.database("crash");
    maintain(&db, UNTIL_RELEASED);
    cluster.signal("KILL", worker(&db));
    // The server ends every session, recovers, and starts the launcher again.
    eventually("the crash is noticed", || (cluster.log_lines(&["terminated by signal 9"]) > 0).then_some(()));
    let mut client = cluster.wait_until_up();
    launcher(&mut client);
    db.execute("CREATE TABLE release ()");
    wait_for_ticks(&db, 2);
    // The same for the launcher.
    let before = launcher(&mut client);
    cluster.signal("KILL", before);
    eventually("the crash is noticed", || (cluster.log_lines(&["terminated by signal 9"]) > 1).then_some(()));
    let mut client = cluster.wait_until_up();
    assert_ne!(launcher(&mut client), before);
    wait_for_ticks(&db, 2);
}

#[test]
fn reads_its_settings_anew_without_a_restart() {
    let cluster = Cluster::start("reload", &["logintel.interval = '1s'"]);
    let (a, b) = (cluster.database("a"), cluster.database("b"));
    maintain(&a, "");
    maintain(&b, "");
    wait_for_ticks(&a, 1);
    wait_for_ticks(&b, 1);
    cluster.set(&["logintel.databases = 'a'"]);
    eventually("b is no longer watched", || state(&a, "b").is_none().then_some(()));
    let before = ticks(&b);
    wait_for_ticks(&a, 3);
    assert_eq!(ticks(&b), before);
    cluster.set(&["logintel.databases = '*'"]);
    wait_for_ticks(&b, 2);
    // A long interval means few ticks: none while a shorter one would have brought three.
    cluster.set(&["logintel.interval = '1h'"]);
    eventually("the last tick has ended", || {
        processes(&mut cluster.client(), "logintel worker", Some("a")).is_empty().then_some(())
    });
    let before = ticks(&a);
    sleep(Duration::from_secs(3));
    assert!(ticks(&a) <= before + 1, "{before} ticks before, {} after", ticks(&a));
    cluster.set(&["logintel.interval = '1s'"]);
    wait_for_ticks(&a, 3);
}

#[test]
fn without_a_free_worker_process_it_says_so_once_and_waits() {
    // The launchers of logical replication and of logintel take both.
    let cluster = Cluster::start("slots", &["logintel.interval = '1s'", "max_worker_processes = 2"]);
    let db = cluster.database("slots");
    maintain(&db, "");
    let told = || cluster.log_lines(&["WARNING:", "logintel could not start a background worker"]);
    eventually("it is told", || (told() > 0).then_some(()));
    sleep(Duration::from_secs(3));
    assert_eq!(told(), 1);
    assert!(cluster.log().contains("HINT:  Raise max_worker_processes and restart the server."));
    assert_eq!(ticks(&db), 0);
    cluster.execute(&["ALTER SYSTEM SET max_worker_processes = 8"]);
    cluster.stop(Mode::Fast);
    cluster.start_again();
    wait_for_ticks(&db, 2);
}

#[test]
fn calls_only_what_belongs_to_the_extension() {
    let db = Cluster::shared().database("worker_impostor");
    maintain(&db, "");
    db.execute("ALTER EXTENSION logintel DROP PROCEDURE logintel.run_maintenance()");
    eventually("it fails", || (failures(&db) >= 1).then_some(()));
    let before = ticks(&db);
    assert_eq!(last_error(&db).as_deref(), Some("extension logintel has no procedure run_maintenance()"));
    eventually("it fails again", || (failures(&db) >= 2).then_some(()));
    assert_eq!(ticks(&db), before);
}

#[test]
fn what_the_worker_knows_is_for_administrators() {
    let db = Cluster::shared().database("worker_private");
    db.execute("DROP ROLE IF EXISTS worker_nobody; CREATE ROLE worker_nobody LOGIN; GRANT USAGE ON SCHEMA logintel TO worker_nobody");
    let error =
        db.client_as("worker_nobody").query("SELECT * FROM logintel.worker_state()", &[]).unwrap_err();
    assert_eq!(error.code().map(|code| code.code().to_owned()).as_deref(), Some("42501"));
    drop(db);
    Cluster::shared().execute(&["DROP ROLE worker_nobody"]);
}

#[test]
fn everything_but_the_worker_works_without_preloading() {
    let cluster = Cluster::start("unloaded", &["shared_preload_libraries = ''"]);
    let db = cluster.database("unloaded");
    let mut client = db.client();
    assert!(client.query("SELECT * FROM logintel.worker_state()", &[]).unwrap().is_empty());
    let interval: String = client.query_one("SHOW logintel.interval", &[]).unwrap().get(0);
    assert_eq!(interval, "10s");
    assert!(processes(&mut client, "logintel launcher", None).is_empty());
}

#[test]
fn several_databases_are_maintained_each_for_itself() {
    let cluster =
        Cluster::start("several", &["logintel.interval = '1s'", "logintel.databases = 'one, two, three'"]);
    let databases = ["one", "two", "three"].map(|name| cluster.database(name));
    cluster.reload();
    for (number, db) in databases.iter().enumerate() {
        db.execute(&format!(
            "SELECT logintel.ingest('s', 'ERROR', 'c', 'boom ' || i) FROM generate_series(1, {}) AS i",
            number + 2
        ));
    }
    for (number, db) in databases.iter().enumerate() {
        let incident = "SELECT event_count FROM logintel.incidents";
        eventually("an incident", || (db.client().ask(incident) == (number + 2).to_string()).then_some(()));
        let told = "SELECT last_rows, errors FROM logintel.worker_stats WHERE detector = 'logs' AND step = 'grouping'";
        eventually("its step", || (db.client().ask(told) == format!("{}|0", number + 2)).then_some(()));
        assert_eq!(failures(db), 0);
    }
}

#[test]
fn a_step_that_fails_rests_and_says_so_once_while_the_others_go_on() {
    let cluster =
        Cluster::start("steps", &["logintel.interval = '1s'", "logintel.databases = 'worker_steps'"]);
    let db = cluster.database("worker_steps");
    cluster.reload();
    // A table that goes, and whose rates are looked at.
    db.execute(&format!(
        "CREATE TABLE app_log (ts timestamptz, level text, component text, source text, message text);
         {};
         SELECT logintel.create_detector('app', 'app_log'); SELECT logintel.train('app'); SELECT logintel.watch('app');
         INSERT INTO app_log VALUES (now(), 'ERROR', 'c', 's', 'boom')",
        logintel_server_tests::fill("app_log", 300)
    ));
    let mut client = db.client();
    eventually("rates are looked at", || {
        (client.ask("SELECT count(*) FROM logintel.worker_stats WHERE detector = 'app' AND step = 'rates'")
            == "1")
            .then_some(())
    });
    db.execute("ALTER TABLE app_log RENAME COLUMN message TO renamed");
    let told = || cluster.log_lines(&["WARNING:", "logintel maintenance, rates of detector \"app\""]);
    let step = "SELECT failures, errors, next_run - last_run FROM logintel.worker_stats WHERE detector = 'app' AND step = 'rates'";
    let rests = |client: &mut Client| -> Option<(i64, f64)> {
        let row = client
            .query_one(
                "SELECT failures::bigint, extract(epoch FROM next_run - last_run)::float8 FROM logintel.worker_stats
                 WHERE detector = 'app' AND step = 'rates'",
                &[],
            )
            .unwrap();
        Some((row.get(0), row.get::<_, Option<f64>>(1)?))
    };
    // Each pause is about twice the one before.
    let (first, pause) = eventually("a failure", || rests(&mut client));
    assert!(first > 0 && pause > 0.0, "{}", client.ask(step));
    let (failures_then, longer) =
        eventually("three failures", || rests(&mut client).filter(|&(failures, _)| failures >= 3));
    assert!(longer > 2.0, "after {failures_then} failures it rests {longer} s");
    assert_eq!(told(), 1, "the same error is said once");
    // Meanwhile the other steps and the ticks as a whole go on.
    assert_eq!(failures(&db), 0);
    client.ask("SELECT logintel.ingest('s', 'ERROR', 'c', 'boom ' || i) FROM generate_series(1, 3) AS i");
    eventually("an incident of another detector", || {
        (client.ask("SELECT event_count FROM logintel.incidents WHERE detector = 'logs'") == "3")
            .then_some(())
    });
    // Whoever mends it need not wait.
    db.execute("ALTER TABLE app_log RENAME COLUMN renamed TO message");
    client.ask("CALL logintel.run_maintenance()");
    assert_eq!(
        client.ask("SELECT failures, last_error IS NOT NULL FROM logintel.worker_stats WHERE detector = 'app' AND step = 'rates'"),
        "0|t"
    );
}
