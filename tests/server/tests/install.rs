//! CREATE EXTENSION in databases that are not as they come: with other schemas, search paths and settings, and beside roles that
//! somebody has made before.
use logintel_server_tests::{Ask, Cluster, Database};
use std::fs;
use std::path::PathBuf;

/// What psql prints, and what the server says besides.
fn told(db: &Database, statements: &str) -> (String, String) {
    let output = db
        .cluster()
        .program("psql")
        .args(["-X", "-qAt", "-v", "ON_ERROR_STOP=1", "-d", db.name(), "-c", statements])
        .output()
        .expect("psql");
    let [printed, said] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
    assert!(output.status.success(), "{statements}: {said}");
    (printed, said)
}

#[test]
fn no_schema_that_can_be_dropped_takes_it_along() {
    let db = Cluster::shared().plain_database("install_schemas");
    db.execute("CREATE SCHEMA app");
    for (path, dropped) in [("app", "app"), ("public", "public"), ("''", "public")] {
        db.execute(&format!(
            "CREATE SCHEMA IF NOT EXISTS {dropped}; SET search_path = {path}; CREATE EXTENSION logintel"
        ));
        let mut session = db.client();
        session.ask(&format!("DROP SCHEMA {dropped} CASCADE"));
        assert_eq!(session.ask("SELECT string_agg(name, ',') FROM logintel.detectors"), "logs,server_log");
        let (state, _) = session.refusal("DROP SCHEMA logintel CASCADE");
        assert_eq!(state, "2BP01", "a member goes with its extension alone");
        // Everything else that it made is in its schema, and nothing in the one that the catalog names for it.
        assert_eq!(
            session.ask(
                "SELECT string_agg(pg_describe_object(d.classid, d.objid, 0), ', ')
                 FROM pg_depend AS d, LATERAL pg_identify_object(d.classid, d.objid, 0) AS i
                 WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
                   AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'logintel')
                   AND coalesce(i.schema, i.name, '') <> 'logintel' AND i.type <> 'cast'"
            ),
            ""
        );
        session.ask("DROP EXTENSION logintel");
    }
}

#[test]
fn backslashes_may_mean_what_they_meant_long_ago() {
    let db = Cluster::shared().plain_database("install_backslashes");
    let (printed, said) = told(
        &db,
        "SET standard_conforming_strings = off;
         CREATE EXTENSION logintel;
         CREATE TABLE app_log (ts timestamptz, level text, message text);
         INSERT INTO app_log SELECT now() - n * interval '1 minute', 'INFO', 'user ' || n || ' logged in' FROM generate_series(1, 300) AS n;
         SELECT FROM logintel.create_detector('app', 'app_log');
         SELECT FROM logintel.train('app');
         SELECT FROM logintel.watch('app');
         INSERT INTO app_log SELECT now(), 'ERROR', 'disk ' || n || ' is gone' FROM generate_series(1, 3) AS n;
         CALL logintel.run_maintenance();
         SELECT topic, state FROM logintel.status WHERE detector = 'app' AND topic = 'detector';
         SELECT is_preloaded FROM logintel.worker_here();
         SELECT event_count FROM logintel.incidents",
    );
    assert_eq!(said, "");
    assert_eq!(printed, "detector|ok\nt\n3");
}

#[test]
fn the_script_can_be_read_in_every_encoding() {
    let cluster = Cluster::shared();
    let shared = cluster.program("pg_config").arg("--sharedir").output().expect("pg_config").stdout;
    let folder = PathBuf::from(String::from_utf8(shared).expect("a path").trim()).join("extension");
    let version =
        cluster.client().ask("SELECT default_version FROM pg_available_extensions WHERE name = 'logintel'");
    for name in [format!("logintel--{version}.sql"), "logintel.control".to_owned()] {
        let text = fs::read(folder.join(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let line = text.split(|&byte| byte == b'\n').position(|line| !line.is_ascii());
        assert_eq!(line, None, "{name}: a line that is not ASCII");
    }
}

#[test]
fn says_who_was_made_a_member_before() {
    // Of its own: roles belong to the cluster.
    let cluster = Cluster::start("roles", &["logintel.databases = ''"]);
    let db = cluster.plain_database("roles");
    cluster.execute(&[
        "CREATE ROLE crea",
        "CREATE ROLE rita",
        "CREATE ROLE logintel_admin LOGIN ROLE crea, rita",
        "CREATE ROLE logintel_writer",
    ]);
    let (_, said) = told(&db, "CREATE EXTENSION logintel");
    assert_eq!(
        said.lines().next().unwrap_or_default(),
        "WARNING:  role \"logintel_admin\" was there before and can log in, has members: crea, rita"
    );
    assert!(said.contains("HINT:") && said.contains("REVOKE"), "{said}");
    assert_eq!(said.matches("WARNING").count(), 1, "{said}");
    // Roles as the extension makes them are no news.
    cluster.execute(&["REVOKE logintel_admin FROM crea, rita", "ALTER ROLE logintel_admin NOLOGIN"]);
    let (_, said) = told(&db, "DROP EXTENSION logintel CASCADE; CREATE EXTENSION logintel");
    assert_eq!(said, "");
}
