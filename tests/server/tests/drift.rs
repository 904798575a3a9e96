//! Drift and training by schedule, as the worker does it: a superuser that reads users' relations unasked.
use logintel_server_tests::{Ask, Cluster, Database, eventually};

/// A database that the worker finds at once, and not in a minute.
fn database<'a>(name: &str) -> Database<'a> {
    let db = Cluster::shared().database(name);
    db.cluster().reload();
    db
}

/// Lets a detector's time to be trained come.
fn make_due(db: &Database, name: &str) {
    db.execute(&format!(
        "UPDATE logintel.model_versions SET trained_at = trained_at - interval '2 days' WHERE detector = '{name}';
         UPDATE logintel.retrainings SET attempted_at = attempted_at - interval '2 days', ended_at = ended_at - interval '2 days'
         WHERE detector = '{name}'"
    ));
}

/// Waits for the end of a detector's next training: outcome, version and reason.
fn outcome(db: &Database, name: &str) -> String {
    let mut session = db.client();
    eventually(&format!("{name} is trained"), || {
        let row = session.ask(&format!(
            "SELECT outcome, version, reason FROM logintel.retrainings
             WHERE detector = '{name}' AND ended_at > now() - interval '1 day'"
        ));
        (!row.is_empty()).then_some(row)
    })
}

/// Rows of one kind, one a second, the newest so long ago.
fn rows(table: &str, message: &str, rows: u32, ago: &str) -> String {
    format!(
        "INSERT INTO {table} (ts, message) SELECT now() - interval '{ago}' - i * interval '1 s', '{message} ' || i
         FROM generate_series(0, {rows} - 1) AS i;"
    )
}

#[test]
fn a_level_shift_is_told_and_learnt() {
    let db = database("drift_shift");
    db.execute(&format!(
        "CREATE TABLE app_log (ts timestamptz, message text); {} ",
        rows("app_log", "user logged in with number", 2000, "3 hours")
    ));
    let mut session = db.client();
    session.ask(
        "SELECT logintel.create_detector('app', 'app_log'); SELECT logintel.train('app'), logintel.watch('app')",
    );
    // Watched and trained by nobody: that all is flagged is told, and nothing is done. Which hour is the last depends on the
    // minute, for rows may come late.
    session.ask(
        "INSERT INTO app_log SELECT date_trunc('hour', now()) + (i - 400) * interval '18 s', 'session ' || i || ' was opened'
         FROM generate_series(0, 599) AS i",
    );
    session.ask("DELETE FROM logintel.drift");
    let drift = eventually("the hour is measured", || {
        let row = session.ask(
            "SELECT version, rows >= 190, flagged_share, unseen_template_share, is_level_shift, warning ~ 'train it again' FROM logintel.drift
             WHERE rows IS NOT NULL ORDER BY \"time\" DESC LIMIT 1",
        );
        (!row.is_empty()).then_some(row)
    });
    assert_eq!(drift, "1|t|1|1|t|t");
    let told = ["detector \"app\": the active model flags 100.0 %"];
    eventually("the server log says so", || (Cluster::shared().log_lines(&told) > 0).then_some(()));
    assert_eq!(session.count("SELECT count(*) FROM logintel.model_versions"), 1);
    // With a schedule it is due before its time, and the model that comes of it takes over: it flags nothing of the newest.
    session.ask(
        "UPDATE logintel.model_versions SET trained_at = now() - interval '61 min';
         SELECT logintel.alter_detector('app', '{\"retrain\": \"300 days\"}')",
    );
    assert_eq!(outcome(&db, "app"), "activated|2|");
    assert_eq!(session.ask("SELECT (logintel.detect('app', 'session 7 was opened')).is_anomaly"), "f");
    // What came in a moment ago was not learnt: the candidate is kept aside.
    session.ask("SELECT logintel.alter_detector('app', '{\"retrain\": \"1 day\"}')");
    session.ask("DELETE FROM app_log WHERE ts > now()");
    session.ask(&rows("app_log", "tunnel collapsed at kilometre", 30, "0 s"));
    make_due(&db, "app");
    let kept = "of the 120 newest rows, which it did not learn from, it flags 25.0 %, the version in use 25.0 %; at most 5.0 % may be";
    let found = outcome(&db, "app");
    let (head, rest) = found.split_once("|3|").unwrap_or_else(|| panic!("{found}"));
    assert_eq!(head, "kept aside");
    // How many rows are newest depends on the minute of the hour.
    let shape = |text: &str| {
        text.split(|c: char| c.is_ascii_digit() || c == '.')
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("#")
    };
    assert_eq!(shape(rest), shape(kept));
    assert_eq!(session.ask("SELECT version, kept_aside IS NULL FROM logintel.models WHERE is_active"), "2|t");
    assert_eq!(
        session.ask(&format!("SELECT kept_aside = '{rest}' FROM logintel.models WHERE version = 3")),
        "t"
    );
    session.ask("SELECT logintel.activate_model('app', 3)");
    assert_eq!(session.ask("SELECT count(kept_aside) FROM logintel.models"), "0");
}

#[test]
fn an_ordinary_users_detector_gains_no_rights() {
    let db = database("drift_rights");
    let mut session = db.client();
    session.ask(
        "DROP ROLE IF EXISTS drift_spy, drift_leaver, drift_lent;
         CREATE ROLE drift_spy LOGIN; CREATE ROLE drift_leaver LOGIN; CREATE ROLE drift_lent LOGIN;
         GRANT logintel_writer TO drift_spy, drift_leaver, drift_lent; GRANT CREATE ON SCHEMA public TO drift_spy;
         CREATE TABLE secret (message text); CREATE TABLE app_log (ts timestamptz, message text);
         GRANT SELECT ON app_log TO PUBLIC; CREATE TABLE lent_log (ts timestamptz, message text);
         GRANT SELECT ON lent_log TO drift_lent",
    );
    session.ask(&rows("app_log", "user logged in with number", 200, "1 min"));
    session.ask(&rows("lent_log", "user logged in with number", 200, "1 min"));
    let options = "options => '{\"retrain\": \"1 day\"}'";
    // A view that tries what it can each time it is read.
    db.client_as("drift_spy").ask(&format!(
        "CREATE TABLE spied (who text, what text);
         CREATE FUNCTION spy() RETURNS bool LANGUAGE plpgsql AS $$
         DECLARE attack text;
         BEGIN
             FOREACH attack IN ARRAY ARRAY['SELECT FROM public.secret', 'RESET ROLE', 'SET ROLE postgres', 'SET SESSION AUTHORIZATION postgres',
                 'RESET SESSION AUTHORIZATION', 'CREATE ROLE drift_backdoor SUPERUSER', 'UPDATE logintel.detectors SET owner = 10'] LOOP
                 BEGIN
                     EXECUTE attack;
                     INSERT INTO public.spied VALUES (current_user, 'done: ' || attack);
                 EXCEPTION WHEN insufficient_privilege THEN
                     INSERT INTO public.spied VALUES (current_user, 'denied');
                 END;
             END LOOP;
             RETURN true;
         END $$;
         CREATE VIEW trap AS SELECT ts, message FROM app_log WHERE spy();
         SELECT logintel.create_detector('spy', 'trap', {options})"
    ));
    assert_eq!(outcome(&db, "spy"), "activated|1|");
    // The worker measures the hour, too: the model is there now.
    eventually("the hour is measured", || {
        (session.count("SELECT count(*) FROM logintel.drift WHERE detector = 'spy' AND rows IS NOT NULL") > 0)
            .then_some(())
    });
    assert_eq!(session.ask("SELECT DISTINCT who, what FROM spied"), "drift_spy|denied");
    assert!(session.count("SELECT count(*) FROM spied") > 1000);
    // A right that is taken away, a role that is dropped: each is told, and stops nobody else.
    db.client_as("drift_lent")
        .ask(&format!("SELECT logintel.create_detector('lent', 'lent_log', {options})"));
    db.client_as("drift_leaver")
        .ask(&format!("SELECT logintel.create_detector('left', 'app_log', {options})"));
    assert_eq!(outcome(&db, "lent"), "activated|1|");
    assert_eq!(outcome(&db, "left"), "activated|1|");
    let leaver = session.ask("SELECT 'drift_leaver'::regrole::oid");
    session.ask("REVOKE SELECT ON lent_log FROM drift_lent; DROP ROLE drift_leaver");
    for name in ["lent", "left", "spy"] {
        make_due(&db, name);
    }
    assert_eq!(outcome(&db, "lent"), "failed||permission denied for table lent_log");
    let gone = format!("failed||the detector's owner, role {leaver}, does not exist any more");
    assert_eq!(outcome(&db, "left"), gone);
    assert_eq!(outcome(&db, "spy"), "activated|2|");
    // Who may not read the log is not told of it.
    for (role, seen) in [("drift_lent", "left"), ("postgres", "left|lent|spy")] {
        let told = db
            .client_as(role)
            .ask("SELECT string_agg(detector, '|' ORDER BY detector) FROM logintel.retrainings");
        assert!(told.contains(seen), "{role}: {told}");
        assert!(role == "postgres" || !told.contains("spy"), "{role}: {told}");
    }
}

#[test]
fn a_training_is_in_nobodys_way_and_one_that_is_cut_off_is_not_begun_again() {
    let db = database("drift_cancel");
    let mut session = db.client();
    session.ask("CREATE TABLE app_log (ts timestamptz, level text, message text)");
    session.ask(&rows("app_log", "user logged in with number", 200, "1 min"));
    session.ask(
        "SELECT logintel.create_detector('app', 'app_log'); SELECT logintel.train('app'), logintel.watch('app')",
    );
    // A view that is read as long as the table's door is open.
    session.ask(
        "CREATE FUNCTION wait() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN true; END $$;
         CREATE VIEW slow AS SELECT ts, message FROM app_log WHERE level IS NULL AND public.wait()",
    );
    let mut door = db.client();
    door.ask("SELECT pg_advisory_lock(7)");
    session.ask("SELECT logintel.create_detector('slow', 'slow', options => '{\"retrain\": \"1 day\"}')");
    let waiting = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory' AND backend_type = 'logintel worker'";
    let pid = eventually("the worker trains", || Some(session.ask(waiting)).filter(|pid| !pid.is_empty()));
    // Writers, scoring, and maintenance by hand go on; the training is not begun twice.
    session.ask(
        "INSERT INTO app_log VALUES (now(), 'ERROR', 'disk is on fire'), (now(), 'ERROR', 'disk is on fire')",
    );
    session.ask("SELECT logintel.score_history('app'), logintel.train('app')");
    session.ask("CALL logintel.run_maintenance()");
    assert_eq!(session.count("SELECT count(*) FROM logintel.incidents"), 1);
    let last = "SELECT ended_at IS NULL, outcome FROM logintel.retrainings WHERE detector = 'slow'";
    assert_eq!(session.ask(last), "t|");
    // Cut off, it is not begun again before its time.
    session.ask(&format!("SELECT pg_cancel_backend({pid})"));
    eventually("the tick ends", || session.ask(waiting).is_empty().then_some(()));
    door.ask("SELECT pg_advisory_unlock(7)");
    session.ask("CALL logintel.run_maintenance()");
    assert_eq!(session.ask(last), "t|");
    assert_eq!(session.count("SELECT count(*) FROM logintel.model_versions WHERE detector = 'slow'"), 0);
    make_due(&db, "slow");
    assert_eq!(outcome(&db, "slow"), "activated|1|");
}

#[test]
fn two_ticks_train_a_detector_once() {
    let cluster = Cluster::start("quiet", &["logintel.databases = 'postgres'"]);
    let db = cluster.database("drift_once");
    let mut session = db.client();
    session.ask("CREATE TABLE app_log (ts timestamptz, message text)");
    session.ask(&rows("app_log", "user logged in with number", 3000, "1 min"));
    session.ask("SELECT logintel.create_detector('app' || i, 'app_log', options => '{\"retrain\": \"1 day\"}') FROM generate_series(1, 4) AS i");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| db.client().ask("CALL logintel.run_maintenance()"));
        }
    });
    assert_eq!(session.ask("SELECT count(*), max(version) FROM logintel.models"), "4|1");
    assert_eq!(session.ask("SELECT DISTINCT outcome, version FROM logintel.retrainings"), "activated|1");
}
