//! A real server for tests: a private cluster with logintel preloaded, databases of their own, sessions.
//!
//! ```no_run
//! use logintel_server_tests::Cluster;
//!
//! #[test]
//! fn something() {
//!     let db = Cluster::shared().database("something"); // with the extension
//!     let mut session = db.client();
//!     session.batch_execute("SELECT 1").unwrap();
//! } // dropped here; after a failed test the end of the server log is shown
//! ```
//!
//! [`Cluster::shared`] is one cluster for all tests of a file and stays until its last test has ended. A test that
//! stops, breaks or configures the server makes its own with [`Cluster::start`]. The extension must have been
//! installed into the PostgreSQL of `tools/cluster.sh` (`PG_CONFIG`, else the copy that `make test` builds into).
//!
//! Nothing here asserts a time. [`eventually`] waits for what must happen, and gives up after a minute.
mod ask;
mod browser;
pub mod chance;
mod charts;
mod cluster;
mod database;
mod gate;
pub mod integrity;
mod process;

pub use ask::{Ask, fill};
pub use browser::Browser;
pub use chance::Chance;
pub use charts::{charted, docker, shows_something};
pub use cluster::{Cluster, Mode};
pub use database::Database;
pub use gate::gate;
pub use postgres;
pub use process::{children, memory};

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Longest wait for something that must happen. Only a failing test reaches it.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until `look` finds something.
///
/// # Panics
/// When it has found nothing within [`PATIENCE`].
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        sleep(Duration::from_millis(50));
    }
}
