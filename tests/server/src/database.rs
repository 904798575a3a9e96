//! A database of one test.
use crate::Cluster;
use crate::cluster::text;
use postgres::Client;

/// A database that is dropped with this value.
#[derive(Debug)]
pub struct Database<'a> {
    cluster: &'a Cluster,
    name: String,
}

impl<'a> Database<'a> {
    pub(crate) fn create(cluster: &'a Cluster, name: &str) -> Self {
        let database = Self { cluster, name: name.to_owned() };
        cluster.execute(&[&database.drop_statement(), &format!("CREATE DATABASE {}", quote(name))]);
        database
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server that it is in.
    pub fn cluster(&self) -> &'a Cluster {
        self.cluster
    }

    /// A session of the superuser.
    pub fn client(&self) -> Client {
        self.client_as("postgres")
    }

    /// A session of another role. Roles belong to the cluster: name them after the test, and drop them.
    pub fn client_as(&self, role: &str) -> Client {
        self.cluster.connect(&self.name, role)
    }

    /// Runs statements in a session of their own, as the superuser.
    ///
    /// # Panics
    /// When the server refuses one.
    pub fn execute(&self, statements: &str) {
        self.client()
            .batch_execute(statements)
            .unwrap_or_else(|error| panic!("{statements}: {}", text(&error)));
    }

    fn drop_statement(&self) -> String {
        format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quote(&self.name))
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        self.cluster.show_log_of_failure();
        // The test may have stopped the server, or dropped the database itself.
        if let Ok(mut client) = self.cluster.try_connect("postgres", "postgres") {
            let _ = client.batch_execute(&self.drop_statement());
        }
    }
}

/// An identifier in quotes.
fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
