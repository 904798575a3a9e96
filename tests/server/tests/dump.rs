//! A dump restored elsewhere brings everything back working: plain through psql, and in the custom format through
//! `pg_restore`. Not with `pg_restore -j`: a dump's table of contents does not say that the data of one extension's table
//! must come before another's, and foreign keys are there from the start.
use logintel_server_tests::{Ask, Cluster, Database, fill};
use std::process::{Command, Stdio};

/// A database with everything that a dump must carry.
fn busy(db: &Database) {
    let columns = "(ts timestamptz, level text, component text, source text, message text)";
    db.execute(&format!(
        "CREATE TABLE plain_log {columns};
         CREATE TABLE seed_log {columns};
         CREATE TABLE parted_log {columns} PARTITION BY RANGE (ts);
         CREATE TABLE parted_log_old PARTITION OF parted_log FOR VALUES FROM (MINVALUE) TO ('2026-01-01 00:30Z');
         CREATE TABLE parted_log_new PARTITION OF parted_log FOR VALUES FROM ('2026-01-01 00:30Z') TO (MAXVALUE);
         CREATE SCHEMA \"odd \"\"schema\"\"\";
         CREATE TABLE \"odd \"\"schema\"\"\".\"json log\" (data jsonb, at timestamptz DEFAULT now());
         {}; {}; {}; {};
         INSERT INTO \"odd \"\"schema\"\"\".\"json log\" (data, at)
         SELECT jsonb_build_object('log', message, 'k8s', jsonb_build_object('level', level)), ts FROM plain_log;
         SELECT logintel.create_detector('plain', 'plain_log');
         SELECT logintel.create_detector('seed', 'seed_log', options => '{{\"preset\": \"seed\"}}');
         SELECT logintel.create_detector('parted', 'parted_log');
         SELECT logintel.create_detector('json ''quoted''', '\"odd \"\"schema\"\"\".\"json log\"', message => 'data->>''log''',
             ts => 'at', level => 'data->''k8s''->>''level''');
         SELECT logintel.train(name) FROM logintel.detectors WHERE name NOT IN ('logs', 'server_log') ORDER BY detector_id;
         SELECT logintel.train('plain', until => '2026-01-01 00:30Z', activate => false);
         SELECT logintel.watch('plain'), logintel.watch('seed', 'row'), logintel.watch('parted'), logintel.watch('json ''quoted''');
         SELECT logintel.ingest('hdfs', 'INFO', 'dfs.DataNode', 'block ' || i || ' received') FROM generate_series(1, 200) AS i;
         SELECT logintel.alter_detector('logs', '{{\"false_alarm_rate\": 0.02, \"window\": \"5 min\"}}');
         SELECT logintel.train('logs');
         SELECT logintel.start_live_session();
         SELECT logintel.ingest('hdfs', 'ERROR', 'dfs.DataNode', 'Disk failure detected on DataNode') FROM generate_series(1, 4);
         INSERT INTO plain_log SELECT now(), 'ERROR', 'app.9', 'host9', 'disk ' || i || ' is on fire' FROM generate_series(1, 3) AS i;
         INSERT INTO seed_log SELECT now(), 'ERROR', 'app.9', 'host9', 'disk ' || i || ' is on fire' FROM generate_series(1, 3) AS i;
         INSERT INTO parted_log SELECT now(), 'ERROR', 'app.9', 'host9', 'disk ' || i || ' is on fire' FROM generate_series(1, 3) AS i;
         INSERT INTO \"odd \"\"schema\"\"\".\"json log\" (data)
         SELECT jsonb_build_object('log', 'disk is on fire', 'k8s', '{{\"level\": \"FATAL\"}}'::jsonb) FROM generate_series(1, 3);",
        fill("plain_log", 600),
        fill("seed_log", 600),
        fill("parted_log", 600),
        fill("logintel.logs", 60),
    ));
    db.execute("CALL logintel.run_maintenance()");
    // Of the server's own log, lines; how far which file was read means nothing elsewhere.
    db.execute(
        "INSERT INTO logintel.server_log (log_time, session_id, session_line_num, error_severity, message, process_id)
         SELECT now(), '65.1', i, 'LOG', 'line ' || i, 7 FROM generate_series(1, 10) AS i;
         INSERT INTO logintel.server_log_files (file_name, position) VALUES ('log/x.csv', 7);",
    );
    // Of the built-in detector, too, which a restore overwrites.
    db.execute(
        "SELECT logintel.mark_normal(min(anomaly_id)) FROM logintel.anomalies WHERE detector IN ('plain', 'logs') GROUP BY detector",
    );
    // Rules in force, one that has ended since it was written, and one that no maintenance has seen.
    db.execute(
        "INSERT INTO logintel.suppressions (name, detector, component) VALUES ('fire', 'seed', 'app.9');
         INSERT INTO logintel.suppressions (detector, message_pattern) VALUES (NULL, 'no such message');
         CALL logintel.run_maintenance();
         UPDATE logintel.suppressions SET expires_at = now() WHERE name = 'fire';
         INSERT INTO logintel.suppressions (name, detector, level) VALUES ('parted fire', 'parted', 'error');
         INSERT INTO plain_log VALUES (now(), 'ERROR', 'app.9', 'host9', 'late')",
    );
    // What a restore refreshes shows it.
    db.execute("REFRESH MATERIALIZED VIEW logintel.component_health");
    let mut session = db.client();
    assert_eq!(session.ask("SELECT count(*), count(incident_id) FROM logintel.anomalies"), "17|16");
    assert_eq!(session.ask("SELECT count(*) FROM logintel.incidents"), "5");
}

/// Everything that must be the same afterwards.
fn picture(db: &Database) -> Vec<(&'static str, String)> {
    let mut session = db.client();
    let queries = [
        "SELECT to_jsonb(d) FROM logintel.detectors AS d ORDER BY name",
        "SELECT to_jsonb(m) FROM logintel.models AS m ORDER BY detector, version",
        "SELECT detector, version, model_id, md5(artifact) FROM logintel.model_versions ORDER BY 1, 2",
        "SELECT to_jsonb(c) FROM logintel.model_clusters AS c ORDER BY detector, version, cluster_id",
        "SELECT to_jsonb(p) FROM logintel.model_profiles AS p ORDER BY detector, version, profile_id",
        "SELECT to_jsonb(a) FROM logintel.anomalies AS a ORDER BY anomaly_id",
        "SELECT to_jsonb(i) FROM logintel.incidents AS i ORDER BY incident_id",
        "SELECT to_jsonb(e) FROM logintel.incident_events AS e ORDER BY event_id",
        "SELECT to_jsonb(a) FROM logintel.alerts AS a ORDER BY alert_id",
        "SELECT to_jsonb(t) FROM logintel.normal_templates AS t ORDER BY detector, template",
        "SELECT to_jsonb(s) FROM logintel.suppressions AS s ORDER BY suppression_id",
        "SELECT to_jsonb(s) FROM logintel.applied_suppressions AS s ORDER BY detector, suppression_id",
        "SELECT to_jsonb(l) FROM logintel.logs AS l ORDER BY log_id",
        "SELECT to_jsonb(l) FROM logintel.live_logs AS l ORDER BY log_id",
        "SELECT to_jsonb(l) FROM logintel.server_log AS l ORDER BY session_line_num",
        "SELECT to_jsonb(v) FROM logintel.incident_summary_v AS v ORDER BY v",
        "SELECT to_jsonb(v) FROM logintel.incident_timeline_v AS v ORDER BY v.incident_id",
        "SELECT to_jsonb(v) FROM logintel.cluster_summary_v AS v ORDER BY detector, cluster_id",
        "SELECT detector, component, anomalies, incidents, health FROM logintel.component_health_v ORDER BY 1, 2",
        "SELECT matviewname, ispopulated FROM pg_matviews WHERE schemaname = 'logintel' ORDER BY 1",
        "SELECT tgrelid::regclass, tgname, tgenabled, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY tgrelid::regclass::text, tgname",
        "SELECT d.name, m, logintel.detect(d.name, m, l) FROM logintel.detectors AS d,
             (VALUES ('user 7 logged in', 'INFO'), ('kernel panic: not syncing', 'WARN'), ('x', 'ERROR'), (NULL, NULL)) AS v (m, l)
         ORDER BY 1, 2",
        "SELECT relname, relacl, relrowsecurity FROM pg_class WHERE relnamespace = 'logintel'::regnamespace ORDER BY 1",
        "SELECT polname, polrelid::regclass, pg_get_expr(polqual, polrelid) FROM pg_policy ORDER BY polrelid::regclass::text",
        "SELECT c.relname, c.relkind FROM pg_extension AS e, unnest(extconfig) AS o JOIN pg_class AS c ON c.oid = o WHERE extname = 'logintel' ORDER BY 1",
    ];
    queries.map(|sql| (sql, session.ask(sql))).into()
}

fn same(before: &[(&str, String)], after: &[(&str, String)]) {
    for ((sql, before), (_, after)) in before.iter().zip(after) {
        assert!(!before.is_empty(), "nothing to compare: {sql}");
        assert_eq!(before, after, "{sql}");
    }
}

/// The restored database works on.
fn works(db: &Database) {
    let mut session = db.client();
    let count = "SELECT count(*) FROM logintel.anomalies";
    let before = session.count(count);
    // Triggers score, ids continue.
    session.ask("INSERT INTO plain_log VALUES (now(), 'ERROR', 'app.9', 'host9', 'later')");
    session.ask("INSERT INTO seed_log VALUES (now(), 'ERROR', 'app.9', 'host9', 'later')");
    session.ask("INSERT INTO parted_log VALUES (now(), 'ERROR', 'app.9', 'host9', 'later')");
    session.ask("INSERT INTO \"odd \"\"schema\"\"\".\"json log\" (data) VALUES ('{\"log\": \"later\", \"k8s\": {\"level\": \"ERROR\"}}')");
    let answer = session.ask("SELECT logintel.ingest('hdfs', 'ERROR', 'dfs.DataNode', 'later')");
    assert!(answer.contains("ERROR_level"), "{answer}");
    assert_eq!(session.count(count), before + 5);
    // What was marked passes.
    assert_eq!(
        session.ask(
            "SELECT d, reason FROM unnest(ARRAY['plain', 'parted', 'logs']) AS d,
                 logintel.detect(d, CASE d WHEN 'logs' THEN 'Disk failure detected on DataNode' ELSE 'disk 9 is on fire' END, 'ERROR')
             WHERE reason !~ 'normal'"
        ),
        "parted|ERROR_level"
    );
    // The row that waited for maintenance finds its incident, and so do the new ones.
    session.ask("CALL logintel.run_maintenance()");
    assert_eq!(session.ask("SELECT count(*) FROM logintel.anomalies WHERE incident_id IS NULL"), "0");
    assert_eq!(
        session.ask("SELECT detector, event_count FROM logintel.incidents ORDER BY 1"),
        "json 'quoted'|4\nlogs|5\nparted|4\nplain|5\nseed|4"
    );
    // What is hidden, and why, is judged by the rules that are in force now.
    assert_eq!(
        session.ask("SELECT detector, suppressed_by FROM logintel.incidents WHERE is_suppressed ORDER BY 1"),
        "parted|parted fire"
    );
    let (state, _) =
        session.refusal("INSERT INTO logintel.suppressions (detector, hide) VALUES ('plain', false)");
    assert_eq!(state, "22023");
    assert_eq!(session.ask("SELECT logintel.train('plain')"), "3");
    let next = session.ask("SELECT max(detector_id) + 1 FROM logintel.detectors");
    assert_eq!(session.ask("SELECT logintel.create_detector('another', 'plain_log')"), next);
    assert_eq!(session.ask("SELECT count(*) FROM logintel.scoring_failures"), "0");
    assert_eq!(session.ask("SELECT count(*) FROM logintel.server_log_files"), "0");
}

/// Runs a program and returns what it says on stderr.
fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("a program of PostgreSQL");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    said
}

#[test]
fn a_dump_brings_everything_back() {
    // Without ticks: the comparison is between two moments.
    let cluster = Cluster::start("dump", &["logintel.databases = ''"]);
    let source = cluster.database("dump_source");
    busy(&source);
    let before = picture(&source);
    let dir = std::env::temp_dir().join(format!("logintel-dump-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let (plain, custom) = (dir.join("dump.sql"), dir.join("dump.custom"));
    run(cluster.program("pg_dump").args(["-d", source.name(), "-f"]).arg(&plain));
    run(cluster.program("pg_dump").args(["-d", source.name(), "-Fc", "-f"]).arg(&custom));

    let through_psql = cluster.plain_database("dump_plain");
    let said = run(cluster
        .program("psql")
        .args(["-X", "-q", "-o", "/dev/null", "-v", "ON_ERROR_STOP=1", "-d", through_psql.name(), "-f"])
        .arg(&plain));
    assert_eq!(said, "");
    same(&before, &picture(&through_psql));
    works(&through_psql);

    let custom_format = cluster.plain_database("dump_custom");
    let said =
        run(cluster.program("pg_restore").args(["--exit-on-error", "-d", custom_format.name()]).arg(&custom));
    assert_eq!(said, "");
    same(&before, &picture(&custom_format));
    works(&custom_format);

    // A dump of the restored database is as good as the first.
    let again = dir.join("again.custom");
    run(cluster.program("pg_dump").args(["-d", custom_format.name(), "-Fc", "-f"]).arg(&again));
    let third = cluster.plain_database("dump_again");
    let now = picture(&custom_format);
    run(cluster.program("pg_restore").args(["--exit-on-error", "-d", third.name()]).arg(&again));
    let differing = |picture: Vec<(&'static str, String)>| {
        picture.into_iter().filter(|(sql, _)| !sql.contains("_v AS v")).collect::<Vec<_>>()
    };
    same(&differing(now), &differing(picture(&third)));
    std::fs::remove_dir_all(&dir).unwrap();
}
