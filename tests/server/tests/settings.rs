//! The settings: what they are when nobody has set them, who may change them, and what they refuse.
use logintel_server_tests::postgres::Client;
use logintel_server_tests::{Ask, Cluster, eventually};

/// The SQLSTATE with which a statement fails.
fn refusal(client: &mut Client, statement: &str) -> String {
    let error = client.batch_execute(statement).expect_err(statement);
    error.code().unwrap_or_else(|| panic!("{statement}: {error}")).code().to_owned()
}

fn show(client: &mut Client, setting: &str) -> String {
    client.query_one(&format!("SHOW {setting}"), &[]).unwrap().get(0)
}

#[test]
fn defaults_are_those_of_the_reference() {
    let cluster = Cluster::start("defaults", &[]);
    let mut client = cluster.client();
    for (setting, value) in [
        ("logintel.databases", "*"),
        ("logintel.interval", "10s"),
        ("logintel.enabled", "on"),
        ("logintel.on_error", "warn"),
        ("logintel.maintenance_mem", "2GB"),
        ("logintel.max_parallel_threads", "1"),
        ("logintel.model_cache_mem", "256MB"),
        ("logintel.follow_server_log", "off"),
        ("logintel.progress_notices", "off"),
    ] {
        assert_eq!(show(&mut client, setting), value, "{setting}");
    }
}

#[test]
fn what_can_harm_others_is_for_superusers_and_whom_they_grant_it() {
    let cluster = Cluster::shared();
    cluster.execute(&["DROP ROLE IF EXISTS settings_user", "CREATE ROLE settings_user LOGIN"]);
    let mut user = cluster.connect("postgres", "settings_user");
    user.batch_execute("LOAD 'logintel'").ok();
    for (setting, value) in [
        ("logintel.enabled", "off"),
        ("logintel.on_error", "error"),
        ("logintel.maintenance_mem", "'4GB'"),
        ("logintel.model_cache_mem", "'4GB'"),
    ] {
        let statement = format!("SET {setting} = {value}");
        assert_eq!(refusal(&mut user, &statement), "42501", "{statement}");
        cluster.execute(&[&format!("GRANT SET ON PARAMETER {setting} TO settings_user")]);
        user.batch_execute(&statement).unwrap();
    }
    user.batch_execute("SET logintel.max_parallel_threads = 2; SET logintel.progress_notices = on").unwrap();
    // The worker's are for the whole server.
    assert_eq!(refusal(&mut user, "SET logintel.interval = '1s'"), "55P02");
    assert_eq!(refusal(&mut cluster.client(), "SET logintel.databases = 'a'"), "55P02");
    assert_eq!(refusal(&mut cluster.client(), "SET logintel.follow_server_log = on"), "55P02");
    drop(user);
    cluster.execute(&["DROP OWNED BY settings_user", "DROP ROLE settings_user"]);
}

#[test]
fn refuses_what_makes_no_sense() {
    let mut client = Cluster::shared().client();
    for statement in [
        "ALTER SYSTEM SET logintel.databases = 'a,,b'",
        "ALTER SYSTEM SET logintel.databases = '\"a'",
        "ALTER SYSTEM SET logintel.interval = 0",
        "ALTER SYSTEM SET logintel.interval = '2d'",
        "SET logintel.on_error = 'ignore'",
        "SET logintel.maintenance_mem = '1kB'",
        "SET logintel.maintenance_mem = '2TB'",
        "SET logintel.model_cache_mem = -1",
        "SET logintel.max_parallel_threads = 0",
        "SET logintel.max_parallel_threads = 65",
    ] {
        assert_eq!(refusal(&mut client, statement), "22023", "{statement}");
    }
    // A misspelt name is an error, not a placeholder that nobody reads.
    assert_eq!(refusal(&mut client, "SET logintel.intervall = 1"), "42602");
}

#[test]
fn takes_names_of_databases_as_they_are_written() {
    let cluster = Cluster::start("names", &[]);
    for value in ["a, b", "a, \"With, comma\"", "MixedCase", ""] {
        let literal = value.replace('\'', "''");
        cluster.set(&[&format!("logintel.databases = '{literal}'")]);
        let mut client = cluster.client();
        assert_eq!(show(&mut client, "logintel.databases"), value);
    }
    cluster.set(&["logintel.databases = 'MixedCase, \"With, comma\"'"]);
    for name in ["MixedCase", "With, comma"] {
        eventually("the launcher has read the list", || {
            (cluster.log_lines(&[&format!("waits for database \"{name}\"")]) > 0).then_some(())
        });
    }
}

#[test]
fn a_tick_is_not_troubled_by_what_a_database_sets() {
    let cluster = Cluster::start("settled", &["logintel.interval = '1s'"]);
    let db = cluster.database("settled");
    let mut session = db.client();
    // A log with policies, whose detector belongs to who is subject to them: to read it rows must be left out, if need be.
    session.ask(
        "CREATE ROLE settled_owner;
         CREATE TABLE app_log (ts timestamptz, level text, message text);
         INSERT INTO app_log SELECT now() - n * interval '1 minute', 'INFO', 'user ' || n || ' logged in' FROM generate_series(1, 300) AS n;
         ALTER TABLE app_log ENABLE ROW LEVEL SECURITY;
         CREATE POLICY everything ON app_log USING (true);
         GRANT SELECT ON app_log TO settled_owner;
         GRANT logintel_writer TO settled_owner;
         SET ROLE settled_owner;
         SELECT logintel.create_detector('app', 'app_log');
         SELECT logintel.train('app');
         RESET ROLE;
         SELECT logintel.watch('app')",
    );
    for setting in [
        "role = settled_owner",
        "session_authorization = settled_owner",
        "search_path = public",
        "default_transaction_isolation = 'serializable'",
        "default_transaction_read_only = on",
        "row_security = off",
        "session_replication_role = replica",
        "exit_on_error = on",
        "standard_conforming_strings = off",
        "quote_all_identifiers = on",
    ] {
        session.ask(&format!("ALTER DATABASE settled SET {setting}"));
    }
    // They hold for everybody else, but for session_authorization, which a login sets.
    assert_eq!(
        db.client().ask("SELECT current_user, current_setting('transaction_read_only'), current_setting('session_replication_role')"),
        "settled_owner|on|replica"
    );
    session.ask("ALTER DATABASE settled SET statement_timeout = '1ms'");
    // So that the worker does not find out by itself in a minute.
    cluster.reload();
    // The first may be found by a tick that began before.
    for events in [3, 6, 9] {
        session.ask(
            "INSERT INTO app_log SELECT now(), 'ERROR', 'disk ' || n || ' is gone' FROM generate_series(1, 3) AS n",
        );
        eventually("the tick has made an incident of it", || {
            let found = session
                .ask("SELECT coalesce(sum(event_count), 0) FROM logintel.incidents WHERE detector = 'app'");
            (found == events.to_string()).then_some(())
        });
    }
    assert_eq!(session.ask("SELECT step, last_error FROM logintel.worker_stats WHERE errors > 0"), "");
    assert_eq!(
        session.ask("SELECT failures FROM logintel.worker_state() WHERE database = 'settled'"),
        "0",
        "{}",
        cluster.log()
    );
    // What the procedure finds.
    session.ask(
        "CREATE TABLE found (setting text, value text);
         CREATE OR REPLACE PROCEDURE logintel.run_maintenance() LANGUAGE sql BEGIN ATOMIC
             INSERT INTO public.found VALUES ('current_user', current_user), ('session_user', session_user);
             INSERT INTO public.found SELECT name, setting FROM pg_settings
             WHERE name IN ('search_path', 'transaction_isolation', 'transaction_read_only', 'row_security', 'session_replication_role', 'exit_on_error');
         END",
    );
    let all = "SELECT DISTINCT setting || ' ' || value FROM found ORDER BY 1";
    let found = eventually("a tick tells what it finds", || {
        let found = session.ask(all);
        (!found.is_empty()).then_some(found)
    });
    assert_eq!(
        found,
        "current_user postgres\nexit_on_error off\nrow_security on\nsearch_path pg_catalog, pg_temp\n\
         session_replication_role origin\nsession_user postgres\n\
         transaction_isolation read committed\ntransaction_read_only off"
    );
}
