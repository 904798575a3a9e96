//! logintel: the PostgreSQL surface. Thin: it converts, calls the engine, and converts back.
//!
//! | module | what it is for |
//! |---|---|
//! | [`logvec`], [`tfidf`], [`window`] | the toolbox: types, functions, aggregates, window functions |
//! | [`detector`] | detectors: registering, training, judging, triggers |
//! | [`suppression`] | rules that people write: what is not worth a look, or not worth learning |
//! | [`incident`] | from anomalies to incidents |
//! | [`maintenance`], [`worker`] | what is done in one tick, by hand and in the background |
//! | [`report`] | what was found, as one page |
//! | [`server_log`] | the server's own log as a source |
//! | [`settings`] | the settings `logintel.*` |
//! | [`call`], [`cache`], [`hash`], [`error`], [`security`], [`subtransaction`], [`spi`], [`lock`], [`step`], [`backoff`], [`views`], [`text`], [`time`], [`range`], [`reg`], [`tuples`], [`deadline`], [`control`], [`progress`], [`memory`] | the border to PostgreSQL |
#![allow(clippy::needless_pass_by_value, reason = "pgrx hands arguments over by value")]
use pgrx::prelude::*;

pgrx::pg_module_magic!(name, version);

pgrx::extension_sql_file!("../sql/bootstrap.sql", name = "bootstrap", bootstrap);
pgrx::extension_sql_file!("../sql/logvec_type.sql", name = "logvec_type", creates = [Type(logvec::LogVec)]);
pgrx::extension_sql_file!(
    "../sql/logvec.sql",
    name = "logvec",
    requires = [
        "logvec_type",
        logvec::ops::cosine_distance,
        logvec::ops::l2_distance,
        logvec::ops::inner_product,
        logvec::ops::logvec_negative_inner_product,
        logvec::ops::vector_dims,
        logvec::ops::nnz,
        logvec::ops::l2_norm,
        logvec::ops::logvec_eq,
        logvec::ops::logvec_ne,
        logvec::ops::logvec_lt,
        logvec::ops::logvec_le,
        logvec::ops::logvec_gt,
        logvec::ops::logvec_ge,
        logvec::ops::logvec_cmp,
        logvec::ops::logvec_hash,
        logvec::ops::logvec_hash_extended,
        logvec::cast::logvec_to_real_array,
        logvec::cast::logvec_to_jsonb,
    ],
);
pgrx::extension_sql_file!("../sql/window.sql", name = "window", requires = ["logvec_type"]);
pgrx::extension_sql_file!("../sql/tfidf.sql", name = "tfidf", requires = ["logvec_type"]);
pgrx::extension_sql_file!("../sql/tables.sql", name = "tables", requires = ["tfidf"]);
pgrx::extension_sql_file!("../sql/server_log.sql", name = "server_log", requires = ["tables"]);
pgrx::extension_sql_file!("../sql/detector.sql", name = "detector", requires = ["tables"]);
pgrx::extension_sql_file!("../sql/incident.sql", name = "incident", requires = ["detector"]);
pgrx::extension_sql_file!(
    "../sql/suppressions.sql",
    name = "suppressions",
    requires = ["detector", suppression::check_suppression]
);
pgrx::extension_sql_file!("../sql/views.sql", name = "views", requires = ["incident"]);
pgrx::extension_sql_file!("../sql/live.sql", name = "live", requires = ["detector"]);
pgrx::extension_sql_file!("../sql/worker.sql", name = "worker", requires = ["detector"]);
pgrx::extension_sql_file!("../sql/charts.sql", name = "charts", requires = ["views"]);
pgrx::extension_sql_file!(
    "../sql/status.sql",
    name = "status",
    requires = ["views", "worker", "worker_state_privileges"]
);
pgrx::extension_sql_file!("../sql/finish.sql", name = "finish", finalize);

mod backoff;
mod cache;
mod call;
mod control;
mod deadline;
mod detector;
mod error;
mod hash;
mod incident;
mod lock;
mod logvec;
mod maintenance;
mod memory;
mod progress;
mod range;
mod reg;
mod report;
mod security;
mod server_log;
mod settings;
mod spi;
mod step;
mod subtransaction;
mod suppression;
mod text;
mod tfidf;
mod time;
mod tuples;
mod views;
mod window;
mod worker;

/// Called when PostgreSQL loads the library.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    settings::define();
    if preloading() {
        progress::request();
    }
    worker::register();
}

/// Whether the library is being loaded by `shared_preload_libraries`: only then can shared memory be asked for.
fn preloading() -> bool {
    // SAFETY: set before libraries are loaded, and only read.
    unsafe { pg_sys::process_shared_preload_libraries_in_progress }
}

/// The functions that run inside a backend in tests.
#[cfg(any(test, feature = "pg_test"))]
#[pg_schema]
mod tests {
    // cargo-pgrx finds tests in this schema only, so that their files are included rather than declared.
    include!("../pg_test/border.rs");
}

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
