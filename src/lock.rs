//! Advisory locks: of what one transaction at a time may do, held to its end.
use crate::security::RunAs;
use crate::spi::{Connection, arg, text_arg};

/// First number of our advisory locks.
const DETECTOR: i32 = 0x6c69_6e74;
/// The same for the views.
const VIEWS: i32 = DETECTOR + 1;
/// The same for trainings by schedule.
const TRAINING: i32 = DETECTOR + 2;

/// The same for suppressions.
const SUPPRESSIONS: i32 = DETECTOR + 3;

/// Lets one transaction at a time write a detector's suppressions, or those of all detectors, so that they can be counted.
pub fn lock_suppressions(detector: Option<&str>) {
    let _owner = RunAs::extension_owner();
    Connection::open().read(
        "SELECT pg_catalog.pg_advisory_xact_lock($1, pg_catalog.hashtext($2))",
        &[arg(SUPPRESSIONS), text_arg(detector.unwrap_or_default())],
    );
}

/// Lets one transaction at a time refresh the views.
pub fn lock_views() {
    Connection::open().read("SELECT pg_catalog.pg_advisory_xact_lock($1, 0)", &[arg(VIEWS)]);
}

/// Lets one transaction at a time change a detector's incidents, and replace or remove its anomalies.
pub fn lock_detector(detector: &str) {
    let _owner = RunAs::extension_owner();
    Connection::open().read(
        "SELECT pg_catalog.pg_advisory_xact_lock($1, pg_catalog.hashtext($2))",
        &[arg(DETECTOR), text_arg(detector)],
    );
}

/// Whether this transaction is the one that may train a detector by schedule. Nobody waits for it.
pub fn try_lock_training(detector: &str) -> bool {
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let rows = spi.read(
        "SELECT pg_catalog.pg_try_advisory_xact_lock($1, pg_catalog.hashtext($2))",
        &[arg(TRAINING), text_arg(detector)],
    );
    rows.must(0, 1)
}
