//! logintel: the PostgreSQL surface. Thin: it converts, calls the engine, and converts back.
use pgrx::prelude::*;

pgrx::pg_module_magic!(name, version);

mod error;
mod settings;
mod worker;

/// Called when PostgreSQL loads the library.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    settings::define();
    worker::register();
}

/// The functions that run inside a backend in tests.
#[cfg(any(test, feature = "pg_test"))]
#[pg_schema]
mod tests {}

/// What the in-backend tests need from their server.
#[cfg(test)]
pub mod pg_test {
    /// Before the first test.
    pub fn setup(_options: Vec<&str>) {}
    /// Lines of postgresql.conf.
    pub fn postgresql_conf_options() -> Vec<&'static str> {
        vec!["shared_preload_libraries = 'logintel'"]
    }
}
