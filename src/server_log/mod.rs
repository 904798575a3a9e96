//! The server's own log as a source: the worker follows csvlog or jsonlog into the table `server_log`.
//!
//! How far a file has been read is written in the transaction that holds its lines, so that whatever is killed when, no line is lost or
//! comes twice. Files are read in the order in which they were written; one that the server has gone on from is finished first.
//! What a record is, and which are logintel's own, the engine says ([`logintel_core::server_log`]).
//!
//! | module | question it answers |
//! |---|---|
//! | [`files`] | what does the server write, and where |
//! | [`follow`] | what has come since the last time |
//! | [`store`] | what is in the tables |
use logintel_core::drift::ENOUGH_ROWS;

use crate::security::RunAs;
use crate::spi::{Connection, arg};

mod files;
mod follow;
mod store;

pub use files::Problem;
pub use follow::Follower;

/// The detector that watches the table.
pub const DETECTOR: &str = "server_log";
/// Rows that make the first training worth while: enough for profiles of their own. Fewer are, after the time of `retrain`.
const MANY_ROWS: i64 = 1000;

/// Whether a first training has something to learn from. The log begins with what a start writes, and a model of that alone would
/// find all else strange.
pub fn is_worth_training(retrain: i64) -> bool {
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let rows = spi.read(
        "SELECT count(*) >= $1 OR count(*) >= $2 AND min(recorded_at) < now() - make_interval(secs => $3) \
         FROM (SELECT recorded_at FROM logintel.server_log ORDER BY recorded_at LIMIT $1) AS few",
        &[arg(MANY_ROWS), arg(ENOUGH_ROWS.cast_signed()), arg(retrain as f64 / 1e6)],
    );
    rows.get(0, 1).unwrap_or(false)
}
