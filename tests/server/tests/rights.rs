//! Who may do what: roles against functions and tables, copies of messages against the rights on the log, and what a
//! hostile role may try against those who have more rights than it.
use logintel_server_tests::postgres::Client;
use logintel_server_tests::{Ask, Cluster, Database, fill};

/// Roles of the tests, made once for the cluster.
const ROLES: [&str; 7] = ["nobody", "reader", "writer", "administrator", "owner", "application", "mallory"];

fn database<'a>(name: &str) -> Database<'a> {
    static CLUSTER: std::sync::OnceLock<()> = std::sync::OnceLock::new();
    let cluster = Cluster::shared();
    let db = cluster.database(name);
    CLUSTER.get_or_init(|| {
        let make: Vec<_> = ROLES.iter().map(|role| format!("CREATE ROLE r_{role} LOGIN;")).collect();
        cluster.client().ask(&make.concat());
        cluster.client().ask(
            "GRANT logintel_reader TO r_reader, r_application; GRANT logintel_writer TO r_writer, r_owner, r_mallory;
             GRANT logintel_admin TO r_administrator; REVOKE logintel_reader FROM r_application",
        );
    });
    let mut session = db.client();
    session.ask(&format!(
        "GRANT CREATE ON SCHEMA public TO r_owner, r_mallory, r_writer;
         CREATE TABLE app_log (ts timestamptz, level text, component text, source text, message text);
         ALTER TABLE app_log OWNER TO r_owner;
         {};",
        fill("app_log", 300)
    ));
    db.client_as("r_owner").ask(
        "SELECT logintel.create_detector('app', 'app_log'); SELECT logintel.train('app'); SELECT logintel.watch('app');
         INSERT INTO app_log SELECT now(), 'ERROR', 'c', 's', 'secret ' || i FROM generate_series(1, 3) AS i",
    );
    session.ask("SELECT logintel.ingest('s', 'ERROR', 'c', 'told ' || i) FROM generate_series(1, 3) AS i");
    session.ask("CALL logintel.run_maintenance()");
    db
}

const DENIED: &str = "42501";

/// `ok`, or the SQLSTATE of the refusal; everything is rolled back.
fn outcome(session: &mut Client, sql: &str) -> String {
    session.ask("BEGIN");
    let outcome = match session.send(sql) {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.code().expect("an error of the server").code().to_owned(),
    };
    session.ask("ROLLBACK");
    outcome
}

/// Statements, and the least that may: p PUBLIC, r reader, w writer, o owner of the detector, a administrator, s superuser.
const MATRIX: &[(&str, char)] = &[
    (
        "SELECT logintel.log_embed(logintel.tfidf_fit(m), 'a b') FROM (VALUES ('user logged in'), ('user logged out')) AS v (m)",
        'p',
    ),
    (
        "SELECT * FROM logintel.tfidf_terms((SELECT logintel.tfidf_fit(m) FROM (VALUES ('user logged in'), ('user logged out')) AS v (m)))",
        'p',
    ),
    (
        "SELECT logintel.dbscan_cluster('{1:1}/2', 0.5, 1) OVER (), logintel.standard_scale('{1:1}/2') OVER ()",
        'p',
    ),
    ("SELECT '{1:1}/2'::logintel.logvec OPERATOR(logintel.<=>) '{2:1}/2', logintel.nnz('{1:1}/2')", 'p'),
    ("SELECT logintel.detect('logs', 'x')", 'r'),
    ("SELECT logintel.anomaly_score('logs', 'x')", 'r'),
    ("SELECT * FROM logintel.anomaly_explain('logs', 'x')", 'r'),
    ("SELECT logintel.report_html(), logintel.report_html('logs')", 'r'),
    ("SELECT * FROM logintel.detectors", 'r'),
    ("SELECT * FROM logintel.models", 'r'),
    ("SELECT * FROM logintel.model_profiles", 'r'),
    ("SELECT * FROM logintel.anomalies", 'r'),
    ("SELECT * FROM logintel.incidents", 'r'),
    ("SELECT * FROM logintel.normal_templates", 'r'),
    ("SELECT * FROM logintel.suppressions", 'r'),
    ("SELECT * FROM logintel.incident_events, logintel.incident_templates, logintel.alerts", 'r'),
    ("SELECT * FROM logintel.logs", 'r'),
    ("SELECT * FROM logintel.scoring_errors", 'r'),
    ("SELECT * FROM logintel.drift, logintel.retrainings", 'r'),
    ("SELECT * FROM logintel.live_logs, logintel.live_session", 'r'),
    ("SELECT * FROM logintel.worker_stats", 'r'),
    (
        "SELECT * FROM logintel.incident_summary_v, logintel.incident_timeline_v, logintel.cluster_summary_v, logintel.component_health_v",
        'r',
    ),
    (
        "SELECT (SELECT count(*) FROM logintel.status), (SELECT count(*) FROM logintel.live_status), (SELECT count(*) FROM logintel.anomalies_by_minute),
                (SELECT count(*) FROM logintel.anomalies_by_hour), (SELECT count(*) FROM logintel.incidents_by_hour), (SELECT count(*) FROM logintel.incidents_by_day),
                (SELECT count(*) FROM logintel.top_templates), (SELECT count(*) FROM logintel.new_templates),
                (SELECT count(*) FROM logintel.drift_by_hour), (SELECT count(*) FROM logintel.worker_health), (SELECT count(*) FROM logintel.progress)",
        'r',
    ),
    ("SELECT logintel.ingest('s', 'INFO', 'c', 'm')", 'w'),
    ("SELECT logintel.ingest('{\"message\": \"m\"}')", 'w'),
    ("CREATE TEMP TABLE t (ts timestamptz, message text); SELECT logintel.create_detector('mine', 't')", 'w'),
    ("SELECT logintel.start_live_session()", 'w'),
    ("SELECT logintel.detect('app', 'x')", 'o'),
    ("SELECT logintel.log_embed('app', 'x')", 'o'),
    ("SELECT * FROM logintel.log_timeline('app') LIMIT 1", 'o'),
    ("SELECT * FROM logintel.measure_drift('app') LIMIT 1", 'o'),
    ("SELECT * FROM logintel.compare_models('app', 1, 1)", 'o'),
    ("SELECT logintel.mark_normal(1)", 'o'),
    ("SELECT logintel.mark_incident_normal(2)", 'o'),
    ("SELECT logintel.acknowledge_incident(2)", 'o'),
    ("SELECT logintel.resolve_incident(2)", 'o'),
    ("SELECT logintel.acknowledge_incident(2), logintel.reopen_incident(2)", 'o'),
    ("SELECT logintel.unmark_normal('app', 'x')", 'o'),
    ("INSERT INTO logintel.suppressions (detector, level) VALUES ('app', 'x')", 'o'),
    ("SELECT * FROM logintel.suppression_preview(1)", 'o'),
    ("SELECT logintel.train('app')", 'o'),
    ("SELECT logintel.activate_model('app', 1)", 'o'),
    ("SELECT logintel.score_history('app')", 'o'),
    ("SELECT logintel.alter_detector('app', '{}')", 'o'),
    ("SELECT logintel.unwatch('app')", 'o'),
    ("SELECT logintel.drop_detector('app')", 'o'),
    ("SELECT logintel.mark_normal(4)", 'a'),
    ("SELECT logintel.mark_incident_normal(1)", 'a'),
    ("SELECT logintel.resolve_incident(1)", 'a'),
    ("SELECT logintel.raise_alerts('{}', '{}')", 's'),
    ("INSERT INTO logintel.suppressions (detector, level) VALUES ('logs', 'x')", 'a'),
    ("INSERT INTO logintel.suppressions (level) VALUES ('x')", 'a'),
    ("SELECT * FROM logintel.applied_suppressions", 'a'),
    ("CALL logintel.run_maintenance()", 'a'),
    ("SELECT * FROM logintel.worker_state()", 'a'),
    ("SELECT * FROM logintel.model_versions", 'a'),
    ("SELECT * FROM logintel.component_health", 'a'),
    ("SELECT * FROM logintel.incident_timeline", 'a'),
    ("SELECT * FROM logintel.server_log, logintel.server_log_files", 'a'),
    ("SELECT * FROM logintel.worker_steps", 'a'),
    ("INSERT INTO logintel.anomalies (detector, anomaly_score, reason) VALUES ('app', 1, 'x')", 's'),
    ("UPDATE logintel.detectors SET owner = 'postgres'::regrole", 's'),
    ("DELETE FROM logintel.incidents", 's'),
    ("UPDATE logintel.incidents SET status = 'resolved'", 's'),
    ("DELETE FROM logintel.incident_events", 's'),
    ("UPDATE logintel.alerts SET status = 'resolved'", 's'),
    ("DELETE FROM logintel.drift", 's'),
    ("DELETE FROM logintel.applied_suppressions", 's'),
    ("INSERT INTO logintel.suppressions (level, created_by) VALUES ('x', 'somebody else')", 's'),
    ("INSERT INTO logintel.suppressions (level, created_at) VALUES ('x', '2026-01-01')", 's'),
    ("UPDATE logintel.suppressions SET updated_at = now()", 's'),
    ("UPDATE logintel.retrainings SET attempted_at = '-infinity'", 's'),
    ("DELETE FROM logintel.normal_templates", 's'),
    ("UPDATE logintel.model_versions SET artifact = ''", 's'),
    ("INSERT INTO logintel.logs (message, is_anomaly) VALUES ('m', false)", 's'),
    ("INSERT INTO logintel.logs (message, recorded_at) VALUES ('m', now() - interval '1 day')", 's'),
    ("TRUNCATE logintel.logs", 's'),
    ("CREATE TABLE logintel.mine ()", 's'),
    ("SET logintel.enabled = off", 's'),
    ("SET logintel.on_error = error", 's'),
    ("SET logintel.model_cache_mem = 0", 's'),
    ("UPDATE logintel.live_session SET started_at = '-infinity'", 's'),
    ("UPDATE logintel.worker_steps SET next_run = 'infinity'", 's'),
    ("DELETE FROM logintel.server_log", 's'),
    ("UPDATE logintel.server_log_files SET position = 0", 's'),
];

#[test]
fn who_may_do_what() {
    let db = database("rights_matrix");
    db.execute("INSERT INTO logintel.suppressions (detector, message_pattern) VALUES ('app', 'secret')");
    for (role, may) in [
        ("r_nobody", "p"),
        ("r_reader", "pr"),
        ("r_writer", "prw"),
        ("r_owner", "prwo"),
        ("r_administrator", "prwoa"),
        ("postgres", "prwoas"),
    ] {
        let mut session = db.client_as(role);
        for &(sql, least) in MATRIX {
            let expected = if may.contains(least) { "ok" } else { DENIED };
            assert_eq!(outcome(&mut session, sql), expected, "{role}: {sql}");
        }
    }
    // Nothing of the extension is granted to PUBLIC but the toolbox and what says so above.
    let granted = db.client().ask(
        "SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'logintel'::regnamespace AND has_any_column_privilege('r_nobody', c.oid, 'SELECT, INSERT, UPDATE')
           AND c.relkind IN ('r', 'v', 'm')
         UNION ALL
         SELECT p.oid::regprocedure::text FROM pg_proc AS p
         WHERE p.pronamespace = 'logintel'::regnamespace AND has_function_privilege('r_nobody', p.oid, 'EXECUTE')
           AND (p.prosecdef OR p.provolatile <> 'i' AND NOT p.proname ~ '^(tfidf|logvec)_|^(sum|avg)$')",
    );
    assert_eq!(granted, "");
}

#[test]
fn an_application_that_may_only_insert_is_scored() {
    let db = database("rights_insert");
    db.execute("GRANT INSERT ON app_log TO r_application");
    let mut application = db.client_as("r_application");
    application.ask("INSERT INTO app_log VALUES (now(), 'ERROR', 'c', 's', 'from the application')");
    assert_eq!(application.refused("SELECT * FROM app_log"), DENIED);
    assert_eq!(application.refused("SELECT * FROM logintel.anomalies"), DENIED);
    assert_eq!(application.refused("SELECT logintel.detect('app', 'x')"), DENIED);
    let mut session = db.client();
    assert_eq!(
        session.count("SELECT count(*) FROM logintel.anomalies WHERE message = 'from the application'"),
        1
    );
    session.ask("SELECT logintel.watch('app', 'row')");
    application.ask("INSERT INTO app_log VALUES (now(), 'ERROR', 'c', 's', 'and by row')");
    assert_eq!(session.count("SELECT count(*) FROM logintel.anomalies WHERE message = 'and by row'"), 1);
    assert_eq!(session.count("SELECT count(*) FROM logintel.scoring_failures"), 0);
}

/// What a role sees of the messages of `app`, by each way.
fn seen(db: &Database, role: &str) -> String {
    db.client_as(role).ask(
        "SELECT (SELECT count(*) FROM logintel.anomalies WHERE detector = 'app'),
                (SELECT count(*) FROM logintel.incidents WHERE detector = 'app'),
                (SELECT count(*) FROM logintel.incident_summary_v WHERE detector = 'app'),
                (SELECT count(*) FROM logintel.incident_timeline_v WHERE detector = 'app'),
                (SELECT count(*) > 0 FROM logintel.cluster_summary_v WHERE detector = 'app'),
                (SELECT count(*) FROM logintel.model_profiles WHERE detector = 'app'),
                (SELECT count(*) FROM logintel.component_health_v WHERE detector = 'app'),
                (SELECT count(*) FROM logintel.scoring_errors WHERE detector = 'app'),
                (SELECT count(*) FROM logintel.normal_templates WHERE detector = 'app'),
                (SELECT count(*) > 0 FROM logintel.worker_stats WHERE detector = 'app'),
                (SELECT count(*) FROM logintel.incident_events WHERE detector = 'app'),
                (SELECT count(*) FROM logintel.incident_templates WHERE detector = 'app'),
                (SELECT count(*) FROM logintel.alerts WHERE detector = 'app'),
                (SELECT count(*) > 0 FROM logintel.status WHERE detector = 'app'),
                (SELECT count(*) FROM logintel.live_status WHERE detector = 'app'),
                (SELECT count(*) > 0 FROM logintel.anomalies_by_minute WHERE detector = 'app'),
                (SELECT count(*) > 0 FROM logintel.anomalies_by_hour WHERE detector = 'app'),
                (SELECT count(*) > 0 FROM logintel.incidents_by_hour WHERE detector = 'app'),
                (SELECT count(*) > 0 FROM logintel.incidents_by_day WHERE detector = 'app'),
                (SELECT count(*) > 0 FROM logintel.top_templates WHERE detector = 'app'),
                (SELECT count(*) > 0 FROM logintel.new_templates WHERE detector = 'app'),
                (SELECT count(*) > 0 FROM logintel.drift_by_hour WHERE detector = 'app')",
    )
}

#[test]
fn copies_are_shown_to_those_who_may_read_the_log() {
    let db = database("rights_copies");
    db.execute("INSERT INTO logintel.scoring_failures (detector, rows, sqlstate, message) VALUES ('app', 1, '22007', 'a secret');
                INSERT INTO logintel.drift (detector, \"time\", version, rows) VALUES ('app', '2026-01-01 00:00Z', 1, 1);
                UPDATE logintel.anomalies SET reason = 'unseen_template' WHERE detector = 'app'");
    db.client_as("r_owner").ask("SELECT logintel.mark_normal(1)");
    assert_eq!(
        db.client().ask("SELECT detector, template, marked_by FROM logintel.normal_templates"),
        "app|secret <*>|r_owner"
    );
    let (nothing, all) =
        ("0|0|0|0|f|0|0|0|0|f|0|0|0|f|0|f|f|f|f|f|f|f", "3|1|1|1|t|1|1|1|1|t|1|1|1|t|1|t|t|t|t|t|t|t");
    let is_seen = |expected: [&str; 4]| {
        let roles = ["r_reader", "r_owner", "r_administrator", "postgres"];
        for (role, expected) in roles.iter().zip(expected) {
            assert_eq!(seen(&db, role), expected, "{role}");
        }
    };
    is_seen([nothing, all, all, all]);
    db.execute("GRANT SELECT (ts, level) ON app_log TO r_reader");
    is_seen([nothing, all, all, all]);
    db.execute("GRANT SELECT ON app_log TO r_reader");
    is_seen([all, all, all, all]);
    assert_eq!(outcome(&mut db.client_as("r_reader"), "SELECT logintel.detect('app', 'x')"), "ok");
    // Others' rows are hidden: so are the copies, from all but owner and administrator.
    db.execute(
        "ALTER TABLE app_log ENABLE ROW LEVEL SECURITY; CREATE POLICY everything ON app_log USING (true)",
    );
    is_seen([nothing, all, all, all]);
    assert_eq!(outcome(&mut db.client_as("r_reader"), "SELECT logintel.detect('app', 'x')"), DENIED);
    db.execute("ALTER TABLE app_log DISABLE ROW LEVEL SECURITY");
    is_seen([all, all, all, all]);
    // A schema that the role may not use keeps it from the table.
    db.execute("CREATE SCHEMA hidden AUTHORIZATION r_owner; ALTER TABLE app_log SET SCHEMA hidden");
    is_seen([nothing, all, all, all]);
    assert_eq!(outcome(&mut db.client_as("r_reader"), "SELECT logintel.detect('app', 'x')"), DENIED);
    db.execute("ALTER TABLE hidden.app_log SET SCHEMA public");
    is_seen([all, all, all, all]);
    // What views and foreign tables show may depend on who asks; what is materialized does not.
    db.execute(
        "CREATE VIEW invoking WITH (security_invoker) AS SELECT * FROM app_log;
         CREATE VIEW tenants AS SELECT * FROM app_log WHERE source = current_user;
         CREATE MATERIALIZED VIEW materialized AS SELECT * FROM app_log;
         CREATE FOREIGN DATA WRAPPER elsewhere; CREATE SERVER elsewhere FOREIGN DATA WRAPPER elsewhere;
         CREATE FOREIGN TABLE remote (ts timestamptz, level text, component text, source text, message text) SERVER elsewhere;
         GRANT SELECT ON invoking, tenants, materialized, remote TO r_reader",
    );
    for (relation, shown) in
        [("invoking", nothing), ("tenants", nothing), ("materialized", all), ("remote", nothing)]
    {
        db.execute(&format!("UPDATE logintel.detectors SET relation = '{relation}' WHERE name = 'app'"));
        assert_eq!(seen(&db, "r_reader"), shown, "{relation}");
        let may = outcome(&mut db.client_as("r_reader"), "SELECT logintel.detect('app', 'x')");
        assert_eq!(may == "ok", shown == all, "{relation}");
    }
    db.execute("DROP VIEW invoking, tenants; DROP MATERIALIZED VIEW materialized; DROP FOREIGN TABLE remote");
    is_seen([nothing, all, all, all]);
}

/// Rules are read with the log that they are about, and written by its detector's owner; what a role may not read is in no
/// preview of its.
#[test]
fn suppressions_belong_to_the_detector() {
    let db = database("rights_suppressions");
    db.client_as("r_owner").ask(
        "INSERT INTO logintel.suppressions (name, detector, message_pattern) VALUES ('of app', 'app', 'secret');
         UPDATE logintel.suppressions SET comment = 'mine'",
    );
    db.client_as("r_administrator").ask(
        "INSERT INTO logintel.suppressions (name, detector, level) VALUES ('of logs', 'logs', 'x');
         INSERT INTO logintel.suppressions (name, message_pattern) VALUES ('of all', 'told|secret')",
    );
    let list = "SELECT string_agg(name || ' ' || created_by, ', ' ORDER BY suppression_id) FROM logintel.suppressions";
    let global = "of all r_administrator";
    for (role, seen, preview) in [
        ("r_reader", format!("of logs r_administrator, {global}"), "3|1"),
        ("r_owner", format!("of app r_owner, of logs r_administrator, {global}"), "6|2"),
        ("r_administrator", format!("of app r_owner, of logs r_administrator, {global}"), "6|2"),
    ] {
        let mut session = db.client_as(role);
        assert_eq!(session.ask(list), seen, "{role}");
        assert_eq!(
            session.ask("SELECT p.* FROM logintel.suppressions, logintel.suppression_preview(suppression_id) AS p WHERE name = 'of all'"),
            preview,
            "{role}"
        );
    }
    // Who may lock the table could let maintenance wait.
    let lock = "BEGIN; LOCK TABLE logintel.suppressions IN ACCESS EXCLUSIVE MODE";
    assert_eq!(db.client_as("r_owner").refused(lock), DENIED);
    // Others' rules are neither changed nor taken over, nor is one's own moved to others' logs.
    let mut owner = db.client_as("r_owner");
    owner.ask("UPDATE logintel.suppressions SET comment = 'x' WHERE name <> 'of app'");
    for to in ["'logs'", "NULL"] {
        assert_eq!(owner.refused(&format!("UPDATE logintel.suppressions SET detector = {to}")), DENIED);
    }
    let (state, message) = db
        .client_as("r_mallory")
        .refusal("INSERT INTO logintel.suppressions (detector, level) VALUES ('app', 'ERROR')");
    assert_eq!((state.as_str(), message.as_str()), (DENIED, "must be owner of detector \"app\""));
    let mut session = db.client();
    assert_eq!(session.ask("SELECT count(*), count(comment) FROM logintel.suppressions"), "3|1");
    // The worker hides by them.
    session.ask("CALL logintel.run_maintenance()");
    assert_eq!(
        session.ask("SELECT detector, suppressed_by FROM logintel.incidents ORDER BY 1"),
        "app|of app\nlogs|of all"
    );
}

/// A trigger function that runs with the owner's rights converts what the table gives it: nobody may choose the table.
#[test]
fn functions_of_our_triggers_are_for_nobody() {
    let db = database("rights_triggers");
    assert_eq!(
        db.client().ask(
            "SELECT count(*) FROM pg_proc AS p, unnest('{r_nobody,r_reader,r_writer,r_owner,r_administrator}'::text[]) AS r
             WHERE p.pronamespace = 'logintel'::regnamespace AND p.prorettype = 'trigger'::regtype AND p.proname NOT IN ('score_row', 'score_rows')
               AND has_function_privilege(r, p.oid, 'EXECUTE')"
        ),
        "0"
    );
    db.execute(
        "CREATE TABLE trap (LIKE logintel.incidents);
         CREATE TRIGGER t AFTER INSERT ON trap FOR EACH ROW EXECUTE FUNCTION logintel.record_change()",
    );
    let trap = "INSERT INTO trap (incident_id, detector, fingerprint, title, status, severity, severity_score, start_time, end_time, event_count,
                    sources, components, levels, reasons, messages, templates, is_held, is_suppressed, recorded_at, updated_at, is_stale, uncounted)
                VALUES (1, 'app', '', '', 'open', 'LOW', 1, now(), now(), 1, '{}', '{}', '{}', '{}', '{}', '[]', false, false, now(), now(), false, 0)";
    assert_eq!(db.client().refused(trap), "39P01");
}

/// A function that costs nothing is called before the condition that keeps rows back, unless the view is a barrier.
#[test]
fn views_are_barriers() {
    let db = database("rights_barriers");
    assert_eq!(
        db.client().ask(
            "SELECT string_agg(relname, ' ') FROM pg_class WHERE relnamespace = 'logintel'::regnamespace AND relkind = 'v'
               AND pg_get_viewdef(oid) LIKE '%readable_detectors%' AND NOT coalesce(reloptions @> '{security_barrier=true}', false)"
        ),
        ""
    );
}

#[test]
fn a_detector_needs_the_rights_of_its_owner() {
    let db = database("rights_owner");
    let mut mallory = db.client_as("r_mallory");
    let (state, message) = mallory.refusal("SELECT logintel.create_detector('steal', 'app_log')");
    assert_eq!((state.as_str(), message.as_str()), (DENIED, "permission denied for relation app_log"));
    // A right that is taken away.
    db.execute("GRANT SELECT ON app_log TO r_mallory");
    mallory.ask("SELECT logintel.create_detector('lent', 'app_log'); SELECT logintel.train('lent')");
    db.execute("REVOKE SELECT ON app_log FROM r_mallory");
    for (session, who) in [(&mut mallory, "its owner"), (&mut db.client(), "a superuser")] {
        for call in ["train", "score_history"] {
            let (state, message) = session.refusal(&format!("SELECT logintel.{call}('lent')"));
            assert_eq!(
                (state.as_str(), message.as_str()),
                (DENIED, "permission denied for table app_log"),
                "{who}: {call}"
            );
        }
    }
    // By trigger neither: what she watched comes to her no more.
    db.execute("GRANT SELECT, TRIGGER ON app_log TO r_mallory");
    mallory.ask("SELECT logintel.watch('lent')");
    let lent = "SELECT count(*) FROM logintel.anomalies WHERE detector = 'lent'";
    db.execute("INSERT INTO app_log VALUES (now(), 'ERROR', 'c', 's', 'before')");
    assert_eq!(db.client().count(lent), 1);
    db.execute("REVOKE SELECT, TRIGGER ON app_log FROM r_mallory");
    db.execute("INSERT INTO app_log VALUES (now(), 'ERROR', 'c', 's', 'after')");
    assert_eq!(db.client().count(lent), 1);
    assert_eq!(
        db.client().ask("SELECT rows, message FROM logintel.scoring_failures WHERE detector = 'lent'"),
        "1|permission denied for relation app_log"
    );
    mallory.ask("SELECT logintel.unwatch('lent')");
    // Others' detectors: neither changed nor fed.
    for call in [
        "train('app')",
        "watch('app')",
        "drop_detector('app')",
        "alter_detector('app', new_name => 'x')",
        "mark_normal(1)",
        "mark_incident_normal(2)",
        "unmark_normal('app', 'x')",
    ] {
        let (state, message) = mallory.refusal(&format!("SELECT logintel.{call}"));
        assert_eq!((state.as_str(), message.as_str()), (DENIED, "must be owner of detector \"app\""));
    }
    mallory.ask(
        "CREATE TABLE mine (ts timestamptz, level text, component text, source text, message text, is_anomaly bool);
         CREATE TRIGGER feed AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION logintel.score_row('app');
         CREATE TRIGGER look BEFORE INSERT ON mine FOR EACH ROW EXECUTE FUNCTION logintel.score_row('app');
         INSERT INTO mine VALUES (now(), 'ERROR', 'c', 's', 'a false alarm')",
    );
    let mut session = db.client();
    assert_eq!(session.count("SELECT count(*) FROM logintel.anomalies WHERE message = 'a false alarm'"), 0);
    assert_eq!(session.count("SELECT count(*) FROM mine WHERE is_anomaly IS NULL"), 1);
    // By hand on a table of one's own, and on a partition: allowed.
    db.client_as("r_owner").ask(
        "CREATE TABLE second (LIKE app_log);
         CREATE TRIGGER feed AFTER INSERT ON second FOR EACH ROW EXECUTE FUNCTION logintel.score_row('app');
         INSERT INTO second VALUES (now(), 'ERROR', 'c', 's', 'a second table')",
    );
    assert_eq!(session.count("SELECT count(*) FROM logintel.anomalies WHERE message = 'a second table'"), 1);
    // A trigger may name a detector that is yet to be: who takes the name gets no rows that she could not read, nor the trigger.
    db.execute(
        "CREATE TABLE payroll (LIKE app_log);
         CREATE TRIGGER later AFTER INSERT ON payroll FOR EACH ROW EXECUTE FUNCTION logintel.score_row('later')",
    );
    mallory.ask("SELECT logintel.create_detector('later', 'mine'); SELECT logintel.unwatch('later')");
    db.execute("INSERT INTO payroll VALUES (now(), 'ERROR', 'c', 's', 'a salary')");
    assert_eq!(session.count("SELECT count(*) FROM logintel.anomalies WHERE detector = 'later'"), 0);
    assert_eq!(session.count("SELECT count(*) FROM pg_trigger WHERE tgname = 'later'"), 1);
    // Nor where policies would hide them from her.
    db.execute(
        "GRANT SELECT ON payroll TO r_mallory; ALTER TABLE payroll ENABLE ROW LEVEL SECURITY;
         INSERT INTO payroll VALUES (now(), 'ERROR', 'c', 's', 'a salary')",
    );
    assert_eq!(session.count("SELECT count(*) FROM logintel.anomalies WHERE detector = 'later'"), 0);
    // Her trigger, on a table that she keeps locked, is in nobody's way.
    mallory.ask("BEGIN; LOCK TABLE mine");
    let mut owner = db.client_as("r_owner");
    owner.ask("SET lock_timeout = '10s'; SELECT logintel.unwatch('app'); SELECT logintel.alter_detector('app', new_name => 'other'); SELECT logintel.alter_detector('other', new_name => 'app'); SELECT logintel.watch('app')");
    mallory.ask("ROLLBACK");
    // An administrator takes a detector away from a table that is not his.
    db.client_as("r_administrator").ask("SELECT logintel.drop_detector('app')");
    assert_eq!(session.ask("SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = 'app_log'::regclass"), "");
    db.client_as("r_owner").ask("INSERT INTO app_log VALUES (now(), 'ERROR', 'c', 's', 'nobody listens')");
}

/// As ALTER … OWNER TO: to oneself, or to a role that one is a member of. Who says what is read must be a member of who reads.
#[test]
fn a_detector_changes_hands() {
    let db = database("rights_hands");
    let mut administrator = db.client_as("r_administrator");
    for (role, arguments, must_be) in [
        ("r_owner", "owner => 'r_mallory'", "r_mallory"),
        ("r_owner", "owner => 'postgres'", "postgres"),
        ("r_administrator", "owner => 'r_mallory'", "r_mallory"),
        ("r_administrator", "message => 'message'", "r_owner"),
    ] {
        let refusal =
            db.client_as(role).refusal(&format!("SELECT logintel.alter_detector('app', {arguments})"));
        let message = format!("must be a member of role \"{must_be}\", the detector's owner");
        assert_eq!(refusal, (DENIED.to_owned(), message), "{role}: {arguments}");
    }
    // Neither to who could not read it.
    let (state, message) = db.client().refusal("SELECT logintel.alter_detector('app', owner => 'r_mallory')");
    assert_eq!((state.as_str(), message.as_str()), (DENIED, "permission denied for relation app_log"));
    let mut owner = db.client_as("r_owner");
    owner.ask("SELECT logintel.alter_detector('app', enabled => false); SELECT logintel.alter_detector('app', enabled => true, component => 'source')");
    assert_eq!(owner.ask("SELECT component, enabled FROM logintel.detectors WHERE name = 'app'"), "source|t");

    // The owner leaves. Who is left takes over, and what was read is read again.
    db.execute(
        "CREATE ROLE r_leaver LOGIN IN ROLE logintel_writer; GRANT SELECT ON app_log TO r_leaver, r_administrator",
    );
    db.client_as("r_leaver").ask("SELECT logintel.create_detector('left', 'app_log')");
    db.execute("REVOKE SELECT ON app_log FROM r_leaver; DROP ROLE r_leaver");
    assert_eq!(
        administrator.ask("SELECT state, what_to_do FROM logintel.status WHERE topic = 'detector' AND summary LIKE 'Its owner, role %, does not exist%'"),
        "critical|SELECT logintel.alter_detector('left', owner => '...');"
    );
    let (state, message) = administrator.refusal("SELECT logintel.train('left')");
    assert_eq!(state, "42704");
    assert!(message.starts_with("the detector's owner, role "), "{message}");
    administrator.ask(
        "SELECT logintel.alter_detector('left', owner => 'r_administrator'); SELECT logintel.train('left')",
    );
    assert_eq!(
        administrator.ask("SELECT owner, component FROM logintel.detectors WHERE name = 'left'"),
        "r_administrator|component"
    );
}

#[test]
fn a_hostile_view_gains_no_rights() {
    let db = database("rights_view");
    let mut mallory = db.client_as("r_mallory");
    mallory.ask(
        "CREATE TABLE witness (who name, session name, path text);
         CREATE TABLE deferred (x int);
         CREATE FUNCTION climb() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             INSERT INTO witness VALUES (current_user, session_user, 'deferred');
             ALTER ROLE r_mallory SUPERUSER;
             RETURN NULL;
         END $$;
         CREATE CONSTRAINT TRIGGER climb AFTER INSERT ON deferred DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION climb();
         CREATE FUNCTION attack(message text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
         DECLARE
             attempt text;
         BEGIN
             INSERT INTO public.witness VALUES (current_user, session_user, current_setting('search_path'));
             FOREACH attempt IN ARRAY ARRAY['ALTER ROLE r_mallory SUPERUSER', 'SET ROLE postgres', 'SET SESSION AUTHORIZATION postgres', 'RESET ROLE',
                 'CREATE TEMP TABLE detectors (name text)', 'INSERT INTO public.deferred VALUES (1)', 'DELETE FROM logintel.detectors',
                 'UPDATE logintel.logs SET message = ''x''', 'SELECT set_config(''search_path'', ''public'', false)', 'LISTEN x',
                 'DECLARE c CURSOR WITH HOLD FOR SELECT 1'] LOOP
                 BEGIN
                     EXECUTE attempt;
                 EXCEPTION WHEN OTHERS THEN NULL;
                 END;
             END LOOP;
             RETURN message;
         END $$;
         CREATE TABLE base (ts timestamptz, level text, msg text);
         INSERT INTO base SELECT now(), 'INFO', 'user ' || i || ' logged in' FROM generate_series(1, 40) AS i;
         CREATE VIEW trap AS SELECT ts, level, public.attack(msg) AS message FROM base;
         SELECT logintel.create_detector('trap', 'trap')",
    );
    let mut session = db.client();
    session.ask("SET search_path = public");
    for call in ["logintel.train('trap')", "logintel.score_history('trap')", "logintel.log_timeline('trap')"]
    {
        // An attempt that cannot be caught may fail the call; it must not succeed.
        session.ask("BEGIN");
        let _ = session.send(&format!("SELECT count(*) FROM (SELECT {call}) AS x"));
        let _ = session.send("COMMIT");
        session.ask("ROLLBACK");
        assert_eq!(
            session.ask("SELECT current_user, session_user, current_setting('search_path')"),
            "postgres|postgres|public",
            "{call}"
        );
    }
    session.ask("CALL logintel.run_maintenance()");
    assert_eq!(session.ask("SELECT rolsuper FROM pg_roles WHERE rolname = 'r_mallory'"), "f");
    assert_eq!(session.ask("SELECT count(*) > 0 FROM logintel.detectors"), "t");
    assert_eq!(session.count("SELECT count(*) FROM logintel.logs WHERE message = 'x'"), 0);
    // It ran, and as whom.
    assert_eq!(session.ask("SELECT DISTINCT who FROM witness"), "r_mallory");
    assert_eq!(session.ask("SELECT path FROM witness LIMIT 1"), "pg_catalog, pg_temp");
}

/// What an owner puts behind a table or view after a superuser has made a detector for it runs with that owner's rights.
#[test]
fn a_superusers_detector_reads_as_the_relations_owner() {
    let db = database("rights_superuser");
    let (mut session, mut mallory) = (db.client(), db.client_as("r_mallory"));
    mallory.ask(&format!(
        "CREATE TABLE t (ts timestamptz, level text, component text, source text, message text);
         {};
         CREATE VIEW v AS SELECT ts, level, component, source, message FROM t;
         CREATE TABLE witness (who name, is_super bool)",
        fill("t", 300)
    ));
    session.ask(
        "SELECT logintel.create_detector('t', 't'); SELECT logintel.create_detector('v', 'v', options => '{\"retrain\": \"1 minute\", \"history\": \"100 years\"}');
         SELECT logintel.train('t'); SELECT logintel.watch('t')",
    );
    mallory.ask(
        "CREATE FUNCTION spy() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN
             INSERT INTO public.witness SELECT rolname, rolsuper FROM pg_roles WHERE rolname = current_user;
             RETURN true; END $$;
         CREATE OR REPLACE VIEW v AS SELECT ts, level, component, source, message FROM t WHERE (SELECT spy());
         CREATE TYPE said AS (words text);
         CREATE FUNCTION words(said) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
             PERFORM public.spy();
             RETURN ($1).words; END $$;
         CREATE CAST (said AS text) WITH FUNCTION words(said)",
    );
    // The view is read by a training by schedule.
    session.ask("CALL logintel.run_maintenance()");
    assert_eq!(session.ask("SELECT DISTINCT who, is_super FROM witness"), "r_mallory|f");
    mallory.ask(
        "DELETE FROM witness; DROP VIEW v; ALTER TABLE t ALTER message TYPE said USING ROW(message)::said;
         INSERT INTO t VALUES (now() - interval '2 minutes', 'INFO', 'c', 's', ROW('a line'));
         DELETE FROM witness",
    );
    // The table's rates.
    session.ask("CALL logintel.run_maintenance(); SELECT logintel.train('t')");
    assert_eq!(session.ask("SELECT DISTINCT who, is_super FROM witness"), "r_mallory|f");
}

#[test]
fn names_in_hostile_schemas_are_not_looked_up() {
    let db = database("rights_path");
    db.client_as("r_mallory").ask(
        "CREATE FUNCTION public.pwned(VARIADIC anyarray) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'PWNED'; END $$;
         CREATE FUNCTION public.trip2(anyelement, anyelement) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'PWNED'; END $$;
         CREATE FUNCTION public.trip_tt(text, text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'PWNED'; END $$;
         CREATE FUNCTION public.trip_oo(oid, oid) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'PWNED'; END $$;
         CREATE FUNCTION public.trip_bb(bytea, bytea) RETURNS bytea LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'PWNED'; END $$;
         CREATE FUNCTION public.trip_zz(timestamptz, timestamptz) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'PWNED'; END $$;
         CREATE FUNCTION public.trip_jt(jsonb, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'PWNED'; END $$;
         CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.trip_tt);
         CREATE OPERATOR public.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = public.trip_oo);
         CREATE OPERATOR public.|| (LEFTARG = bytea, RIGHTARG = bytea, FUNCTION = public.trip_bb);
         CREATE OPERATOR public.>= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = public.trip_zz);
         CREATE OPERATOR public.< (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = public.trip_zz);
         CREATE OPERATOR public.->> (LEFTARG = jsonb, RIGHTARG = text, FUNCTION = public.trip_jt);
         CREATE FUNCTION public.max(int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'PWNED'; END $$;
         CREATE FUNCTION public.count() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'PWNED'; END $$;
         CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'PWNED'; END $$;
         CREATE FUNCTION public.md5(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'PWNED'; END $$;
         CREATE FUNCTION public.hashtext(text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'PWNED'; END $$;
         CREATE FUNCTION public.pg_has_role(name, name, text) RETURNS bool LANGUAGE sql AS $$ SELECT true $$;
         CREATE FUNCTION public.has_table_privilege(name, oid, text) RETURNS bool LANGUAGE sql AS $$ SELECT true $$;
         CREATE FUNCTION public.unnest(anyarray) RETURNS SETOF anyelement LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'PWNED'; END $$",
    );
    // The superuser's own session, with a path that looks there first, and temporary tables with our names.
    let mut session = db.client();
    session.ask(
        "CREATE TEMP TABLE detectors (name text, owner regrole); CREATE TEMP TABLE anomalies (x int); CREATE TEMP TABLE pg_class (x int);
         CREATE TEMP TABLE pg_trigger (x int); CREATE TEMP TABLE pg_roles (x int); CREATE TEMP TABLE pg_matviews (x int);
         SET search_path = pg_temp, public, pg_catalog",
    );
    for statement in [
        "SELECT logintel.create_detector('other', 'public.app_log', options => '{\"window\": \"5 min\", \"timezone\": \"Europe/Berlin\"}')",
        "SELECT logintel.train('other', since => '2000-01-01')",
        "SELECT logintel.watch('other')",
        "SELECT logintel.watch('other', 'row')",
        "INSERT INTO public.app_log VALUES ('2026-02-01', 'ERROR', 'c', 's', 'boom'), ('2026-02-01', 'ERROR', 'c', 's', 'boom')",
        "SELECT logintel.detect('other', 'x'), logintel.anomaly_score('other', 'x')",
        "SELECT * FROM logintel.anomaly_explain('other', 'x y')",
        "SELECT logintel.score_history('other', since => '2026-01-01', until => '2027-01-01')",
        "SELECT * FROM logintel.log_timeline('other', since => '2026-02-01')",
        "CALL logintel.run_maintenance()",
        "SELECT logintel.activate_model('other', 1)",
        "SELECT logintel.start_live_session()",
        "SELECT logintel.ingest('s', 'ERROR', 'c', 'm')",
        "SELECT * FROM logintel.live_logs",
        "SELECT logintel.ingest('{\"message\": \"m\", \"level\": \"ERROR\", \"timestamp\": \"2026-01-01T00:00:00Z\"}')",
        "SELECT * FROM logintel.models, logintel.incident_summary_v, logintel.scoring_errors",
        "SELECT logintel.alter_detector('other', '{\"window\": \"6 min\"}')",
        "SELECT logintel.unwatch('other')",
        "SELECT logintel.alter_detector('other', new_name => 'renamed')",
        "SELECT logintel.drop_detector('renamed')",
    ] {
        session.ask(statement);
    }
    assert_eq!(db.client().ask("SELECT pg_catalog.count(*) FROM logintel.scoring_failures"), "0");
    // A reader who looks through functions of his own sees no more.
    let mut reader = db.client_as("r_reader");
    reader.ask("SET search_path = public, pg_catalog");
    assert_eq!(reader.ask("SELECT pg_catalog.count(*) FROM logintel.anomalies AS a WHERE a.detector OPERATOR(pg_catalog.=) 'app'"), "0");
}

#[test]
fn names_are_names_and_never_sql() {
    let db = database("rights_injection");
    let mut owner = db.client_as("r_owner");
    let nasty = "x'; DROP TABLE app_log; -- \" \\ $1 %s $$ ☃";
    let literal = nasty.replace('\'', "''");
    let identifier = nasty.replace('"', "\"\"");
    let quoted = identifier.replace('\'', "''");
    owner.ask(&format!(
        "CREATE TABLE \"t {identifier}\" (\"ts {identifier}\" timestamptz, \"m {identifier}\" text, \"l {identifier}\" text, data jsonb);
         INSERT INTO \"t {identifier}\" SELECT now(), 'user ' || i || ' logged in', 'INFO',
             jsonb_build_object('{literal}', jsonb_build_object('deep', 'user ' || i || ' logged in'), 'l', 'INFO') FROM generate_series(1, 50) AS i;
         SELECT logintel.create_detector('{literal}', '\"t {quoted}\"', message => 'm {literal}', ts => 'ts {literal}', level => 'l {literal}');
         SELECT logintel.create_detector('json {literal}', '\"t {quoted}\"', message => 'data->''{}''->>''deep''', ts => 'ts {literal}', level => 'data->>''l''')",
        // A key of a path inside a literal.
        nasty.replace('\'', "''''")
    ));
    for name in [nasty.to_owned(), format!("json {nasty}")] {
        let name = name.replace('\'', "''");
        owner.ask(&format!(
            "SELECT logintel.train('{name}'), logintel.watch('{name}', 'row'), logintel.watch('{name}')"
        ));
        assert_eq!(owner.count(&format!("SELECT logintel.score_history('{name}')")), 50);
        assert_eq!(
            owner
                .count(&format!("SELECT count(*) FROM logintel.log_timeline('{name}') WHERE NOT is_anomaly")),
            50
        );
    }
    owner.ask(&format!(
        "INSERT INTO \"t {identifier}\" VALUES (now(), 'boom', 'ERROR', jsonb_build_object('{literal}', '{{\"deep\": \"boom\"}}'::jsonb, 'l', 'ERROR'))"
    ));
    assert_eq!(owner.ask("SELECT count(DISTINCT detector), count(*), min(message) FROM logintel.anomalies WHERE message = 'boom'"), "2|2|boom");
    for sql in [
        format!("SELECT logintel.create_detector('a', 'app_log', message => 'message); {literal}')"),
        "SELECT logintel.create_detector('a', 'app_log', message => 'message->>''x''')".to_owned(),
        "SELECT logintel.create_detector('a', 'app_log', ts => 'now()')".to_owned(),
    ] {
        assert!(["42703", "42804"].contains(&owner.refused(&sql).as_str()), "{sql}");
    }
    for options in [
        format!(r#"{{"timezone": "UTC{}"}}"#, "'; DROP TABLE app_log; --"),
        r#"{"window": "10 min'; DROP TABLE app_log"}"#.to_owned(),
        r#"{"'; DROP": 1}"#.to_owned(),
    ] {
        let state = owner.refused(&format!(
            "SELECT logintel.create_detector('a', 'app_log', options => '{}')",
            options.replace('\'', "''")
        ));
        assert_eq!(state, "22023", "{options}");
    }
    owner.ask("SELECT logintel.unwatch(name) FROM logintel.detectors WHERE name LIKE '%DROP%'");
    owner.ask("SELECT logintel.alter_detector(name, new_name => name || ' again') FROM logintel.detectors WHERE name LIKE '%DROP%'");
    owner.ask("SELECT logintel.drop_detector(name) FROM logintel.detectors WHERE name LIKE '%DROP%'");
    assert_eq!(owner.ask("SELECT count(*) > 0 FROM app_log"), "t");
    assert_eq!(db.client().count("SELECT count(*) FROM logintel.scoring_failures"), 0);
}
