//! A hot standby: what only reads works, what writes is refused, the worker does not run; after a promotion it goes on.
use logintel_server_tests::{Ask, Cluster, eventually, fill};

/// A read-only transaction.
const READ_ONLY: &str = "25006";

#[test]
fn a_standby_reads_and_a_promoted_one_goes_on() {
    let primary = Cluster::start("primary", &["logintel.interval = '1s'"]);
    let db = primary.database("logs");
    db.execute(&format!(
        "CREATE TABLE app_log (ts timestamptz, level text, component text, source text, message text);
         {};
         SELECT logintel.create_detector('app', 'app_log');
         SELECT logintel.train('app');
         SELECT logintel.watch('app')",
        fill("app_log", 300)
    ));
    let standby = primary.standby("standby");
    db.execute(
        "INSERT INTO app_log SELECT now(), 'ERROR', 'c', 's', 'it burns, ' || word FROM unnest('{here,there}'::text[]) AS word;
         CALL logintel.run_maintenance()",
    );
    let mut session = standby.connect("logs", "postgres");
    let incident = "SELECT event_count FROM logintel.incidents WHERE detector = 'app'";
    eventually("the incident arrives", || (session.ask(incident) == "2").then_some(()));

    for (sql, answer) in [
        ("SELECT pg_is_in_recovery()", "t"),
        ("SELECT is_anomaly FROM logintel.detect('app', 'the roof is gone', 'INFO', 'c')", "t"),
        ("SELECT count(*) FROM logintel.log_timeline('app')", "302"),
        ("SELECT count(*) > 0 FROM logintel.anomaly_explain('app', 'the roof is gone')", "t"),
        ("SELECT count(*) FROM logintel.compare_models('app', 1, 1)", "0"),
        ("SELECT sum(rows) FROM logintel.measure_drift('app')", "302"),
        ("SELECT count(*) FROM (SELECT logintel.log_template(message) OVER () FROM app_log) AS mined", "302"),
        ("SELECT count(*) > 0 FROM logintel.alerts", "t"),
        ("SELECT count(*) FROM logintel.worker_state()", "0"),
        (
            "SELECT state, summary LIKE 'This is a standby%' FROM logintel.status WHERE topic = 'worker'",
            "ok|t",
        ),
        ("SELECT health FROM logintel.worker_health", "ok"),
    ] {
        assert_eq!(session.ask(sql), answer, "{sql}");
    }
    for sql in [
        "SELECT logintel.train('app')",
        "SELECT logintel.score_history('app')",
        "SELECT logintel.ingest('s', 'ERROR', 'c', 'm')",
        "SELECT logintel.mark_normal(1)",
        "SELECT logintel.acknowledge_incident(1)",
    ] {
        assert_eq!(session.refused(sql), READ_ONLY, "{sql}");
    }

    session.ask("SELECT pg_promote()");
    session.ask("INSERT INTO app_log VALUES (now(), 'ERROR', 'c', 's', 'it burns still')");
    eventually("the worker goes on", || (session.ask(incident) == "3").then_some(()));
}
