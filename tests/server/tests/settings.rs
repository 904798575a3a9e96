//! The settings: what they are when nobody has set them, who may change them, and what they refuse.
use logintel_server_tests::Cluster;
use logintel_server_tests::postgres::Client;

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
        logintel_server_tests::eventually("the launcher has read the list", || {
            (cluster.log_lines(&[&format!("waits for database \"{name}\"")]) > 0).then_some(())
        });
    }
}
