//! Who listens is told: in the transaction of the change and never without it, short enough for NOTIFY whatever the
//! messages and the encoding, without text of the log unless that is asked for; and the outbox has it whole.
use logintel_server_tests::postgres::Client;
use logintel_server_tests::postgres::fallible_iterator::FallibleIterator;
use logintel_server_tests::{Ask, Cluster, Mode, eventually};

/// A cluster without ticks: who changes what is the test's choice.
fn quiet_cluster(name: &str) -> Cluster {
    Cluster::start(name, &["logintel.databases = ''", "max_prepared_transactions = 5"])
}

/// Payloads that have come to a session so far.
fn heard(listener: &mut Client) -> Vec<String> {
    // What was committed before comes with the answer.
    listener.ask("SELECT 1");
    let mut payloads = Vec::new();
    let mut notifications = listener.notifications();
    let mut iter = notifications.iter();
    while let Some(one) = iter.next().unwrap() {
        assert_eq!(one.channel(), "logintel_incident");
        payloads.push(one.payload().to_owned());
    }
    payloads
}

/// A watched table `app_log`, and a session that listens.
fn watched(cluster: &Cluster, database: &str, options: &str) -> (Client, Client) {
    let mut session = cluster.connect(database, "postgres");
    session.ask(&format!(
        "CREATE EXTENSION IF NOT EXISTS logintel;
         CREATE TABLE app_log (ts timestamptz, level text, component text, message text);
         SELECT logintel.create_detector('app', 'app_log', options => '{options}');
         SELECT logintel.watch('app')"
    ));
    let mut listener = cluster.connect(database, "postgres");
    listener.ask("LISTEN logintel_incident");
    (session, listener)
}

const TWO_LINES: &str =
    "INSERT INTO app_log SELECT now(), 'ERROR', 'db', 'secret ' || n FROM generate_series(1, 2) AS n";

#[test]
fn listeners_are_told_in_the_transaction_of_the_change() {
    let cluster = quiet_cluster("transaction");
    let db = cluster.plain_database("alerts_transaction");
    let (mut session, mut listener) = watched(&cluster, db.name(), "{}");
    session.ask(TWO_LINES);
    assert_eq!(heard(&mut listener), [""; 0]);
    session.ask("CALL logintel.run_maintenance()");
    let payloads = heard(&mut listener);
    assert_eq!(payloads.len(), 1);
    // What everybody may hear holds no text of the log, and names the row that has it whole.
    assert!(!payloads[0].contains("secret") && !payloads[0].contains("db:"), "{}", payloads[0]);
    let told = |session: &mut Client, payload: &str, path: &str| {
        session.ask(&format!("SELECT $p${payload}$p$::jsonb #>> '{path}'"))
    };
    assert_eq!(told(&mut session, &payloads[0], "{status}"), "firing");
    assert_eq!(told(&mut session, &payloads[0], "{alerts,0,labels,detector}"), "app");
    assert_eq!(told(&mut session, &payloads[0], "{alerts,0,annotations,event_count}"), "2");
    let number = told(&mut session, &payloads[0], "{alerts,0,annotations,alert_id}");
    assert_eq!(
        session.ask(&format!(
            "SELECT is_notified, payload #>> '{{alerts,0,annotations,summary}}' FROM logintel.alerts WHERE alert_id = {number}"
        )),
        "t|db: secret 1, and 1 more"
    );
    // Rolled back, nothing was; inside a transaction, not before its end.
    session.ask("BEGIN; SELECT logintel.acknowledge_incident(1); ROLLBACK");
    assert_eq!(heard(&mut listener), [""; 0]);
    session.ask("BEGIN; SELECT logintel.acknowledge_incident(1, 'a note')");
    assert_eq!(heard(&mut listener), [""; 0]);
    session.ask("COMMIT");
    let payloads = heard(&mut listener);
    assert_eq!(payloads.len(), 1);
    assert_eq!(told(&mut session, &payloads[0], "{alerts,0,annotations,status}"), "acknowledged");
    session.ask("SELECT logintel.resolve_incident(1)");
    let payloads = heard(&mut listener);
    assert_eq!(payloads.len(), 1);
    assert_eq!(told(&mut session, &payloads[0], "{status}"), "resolved");
    // Who missed some reads them.
    assert_eq!(
        session.ask("SELECT status, event, is_notified FROM logintel.alerts ORDER BY alert_id"),
        "firing|opened|t\nfiring|acknowledged|t\nresolved|resolved|t"
    );
}

#[test]
fn the_worker_tells_too() {
    let cluster = Cluster::shared();
    let db = cluster.plain_database("alerts_worker");
    let (mut session, mut listener) = watched(cluster, db.name(), "{\"notify_messages\": true}");
    session.ask(TWO_LINES);
    let payload = eventually("the worker tells of an incident", || heard(&mut listener).pop());
    assert!(payload.contains("secret 1"), "asked for: {payload}");
    assert_eq!(
        session.ask("SELECT actor, event FROM logintel.incident_events"),
        "logintel|opened",
        "whichever role the worker has"
    );
}

/// Monstrous messages of components with monstrous names, whose every character is escaped or takes many bytes.
fn monstrous(encoding: &str) {
    let cluster = quiet_cluster(&format!("monstrous-{}", encoding.to_lowercase()));
    let name = format!("alerts_{}", encoding.to_lowercase());
    cluster
        .client()
        .ask(&format!("CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C'"));
    let (mut session, mut listener) = watched(&cluster, &name, "{\"notify_messages\": true}");
    session.ask(
        "INSERT INTO app_log
         SELECT now() + n * interval '1 ms', 'ERROR', repeat(chr(1 + n % 20) || '\"\\' || chr(233), 60) || n, n || repeat(chr(233) || chr(1) || '\"\\', 3000)
         FROM generate_series(1, 40) AS n",
    );
    session.ask("CALL logintel.run_maintenance()");
    let payloads = heard(&mut listener);
    assert_eq!(payloads.len() as i64, session.count("SELECT count(*) FROM logintel.incidents"));
    for payload in payloads {
        // Text of another encoding would be an error here.
        let query = format!(
            "SELECT octet_length(p::text) < 7900, p #>> '{{alerts,0,annotations,truncated}}', p #>> '{{alerts,0,labels,detector}}'
             FROM (SELECT $monstrous${payload}$monstrous$::jsonb AS p) AS p"
        );
        assert_eq!(session.ask(&query), "t|true|app");
    }
    assert_eq!(
        session.ask("SELECT bool_and(is_notified), bool_and(octet_length(payload::text) > 20000), bool_or(payload #> '{alerts,0,annotations}' ? 'truncated') FROM logintel.alerts"),
        "t|t|f"
    );
}

#[test]
fn monstrous_messages_are_cut_in_utf8() {
    monstrous("UTF8");
}

#[test]
fn monstrous_messages_are_cut_in_latin1() {
    monstrous("LATIN1");
}

#[test]
fn monstrous_messages_are_cut_where_bytes_are_bytes() {
    monstrous("SQL_ASCII");
}

/// PostgreSQL does not prepare transactions that notify: it says so, and nothing is half done.
#[test]
fn a_prepared_transaction_is_refused_by_postgres() {
    let cluster = quiet_cluster("prepared");
    let db = cluster.plain_database("alerts_prepared");
    let (mut session, mut listener) = watched(&cluster, db.name(), "{}");
    session.ask(TWO_LINES);
    session.ask("CALL logintel.run_maintenance()");
    assert_eq!(heard(&mut listener).len(), 1);
    session.ask("BEGIN; SELECT logintel.acknowledge_incident(1)");
    assert_eq!(session.refused("PREPARE TRANSACTION 'two'"), "0A000");
    assert_eq!(session.ask("SELECT status FROM logintel.incidents"), "open");
    assert_eq!(heard(&mut listener), [""; 0]);
}

/// What was written survives the server; what was sent and not heard is read.
#[test]
fn the_outbox_survives_a_crash() {
    let cluster = quiet_cluster("crash");
    let db = cluster.plain_database("alerts_crash");
    let (mut session, _) = watched(&cluster, db.name(), "{}");
    session.ask(TWO_LINES);
    session.ask("CALL logintel.run_maintenance()");
    cluster.stop(Mode::Immediate);
    cluster.start_again();
    cluster.wait_until_up();
    let mut session = db.client();
    assert_eq!(session.ask("SELECT alert_id, status, event FROM logintel.alerts"), "1|firing|opened");
}
