//! What is charted: a database that has something of everything, for the queries of Grafana's dashboards and Metabase's questions.
use crate::{Cluster, Database};
use postgres::Client;
use std::path::{Path, PathBuf};

/// A file or folder below `docker/`.
pub fn docker(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docker").join(path)
}

/// A database with all that charts ask for, and a role of the same name that may read.
pub fn charted(name: &str) -> Database<'static> {
    let db = Cluster::shared().database(name);
    db.execute(&format!(
        "DROP ROLE IF EXISTS {name}; CREATE ROLE {name} LOGIN; GRANT logintel_reader TO {name}"
    ));
    db.execute(
        "CREATE TABLE app_log (ts timestamptz, level text, component text, message text);
         INSERT INTO app_log SELECT now() - interval '3 days' + n * interval '1 minute', 'INFO', (ARRAY['web', 'db'])[n % 2 + 1],
                (ARRAY['user %s logged in', 'query %s took long', 'page %s was read'])[n % 3 + 1] FROM generate_series(1, 4000) AS n;
         UPDATE app_log SET message = format(message, ctid);
         SELECT logintel.create_detector('app', 'app_log');
         SELECT logintel.train('app');
         SELECT logintel.watch('app');
         INSERT INTO app_log SELECT now() - n * interval '1 second', 'ERROR', 'db', 'disk ' || n || ' is gone' FROM generate_series(1, 20) AS n;
         INSERT INTO app_log SELECT date_trunc('hour', now()) - interval '1 hour' + n * interval '1 minute', 'INFO', 'web', 'an unheard-of thing' FROM generate_series(1, 30) AS n;
         SELECT logintel.start_live_session();
         SELECT logintel.ingest('here', 'ERROR', 'shop', 'no money');",
    );
    db.execute(&format!("GRANT SELECT ON app_log TO {name}"));
    db.execute("CALL logintel.run_maintenance()");
    db.execute(
        "INSERT INTO logintel.scoring_failures (detector, rows, sqlstate, message) VALUES ('app', 1, '22007', 'made up');
         INSERT INTO logintel.drift (detector, \"time\", version, rows, flagged_share, unseen_template_share, unseen_term_share)
         VALUES ('app', date_trunc('hour', now()) - interval '5 hours', 1, 60, 0, 0.5, 0.1) ON CONFLICT DO NOTHING",
    );
    db
}

/// A query that fails, or shows nothing, fails the test.
///
/// # Panics
/// Then, with the query.
pub fn shows_something(client: &mut Client, what: &str, sql: &str) {
    let rows = client.query(sql, &[]).unwrap_or_else(|error| panic!("{what}: {error:?}\n{sql}"));
    assert!(!rows.is_empty(), "{what} is empty:\n{sql}");
}
