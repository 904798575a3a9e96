//! The materialized views: refreshed only when what they show has changed. What a refresh costs depends on all that is
//! kept, not on what is new: so the worker refreshes them the more seldom the longer it takes.
use std::time::Instant;

use crate::lock::lock_views;
use crate::security::RunAs;
use crate::spi::{Connection, arg};
use crate::step::{Done, rest_after};

/// Says that the materialized views no longer show what is there. A row of its own for each call: who changed one
/// shared row would wait for the transactions of others, and they perhaps for his.
pub fn mark_views_stale(spi: &Connection) {
    // Beyond a thousand there is nobody who refreshes.
    spi.write(
        "INSERT INTO logintel.view_changes SELECT \
         WHERE (SELECT count(*) FROM (SELECT FROM logintel.view_changes LIMIT 1000) AS few) < 1000",
        &[],
    );
}

/// Refreshes the materialized views if something changed since, or an hour has passed.
pub fn refresh() -> Done {
    let begun = Instant::now();
    let owner = RunAs::extension_owner_unrestricted();
    // With it on, PostgreSQL misquotes the temporary tables of REFRESH CONCURRENTLY.
    owner.set(c"quote_all_identifiers", c"off");
    let spi = Connection::open();
    lock_views();
    let changes = spi.write("DELETE FROM logintel.view_changes", &[]).len();
    let stale = spi.write(
        "UPDATE logintel.maintenance SET views_refreshed_at = clock_timestamp() \
         WHERE $1 OR views_refreshed_at IS NULL OR views_refreshed_at < now() - interval '1 hour' RETURNING 1",
        &[arg(changes > 0)],
    );
    if stale.len() > 0 {
        for view in ["incident_summary", "incident_timeline", "cluster_summary", "component_health"] {
            let populated = spi.read(
                "SELECT FROM pg_matviews WHERE schemaname = 'logintel' AND matviewname = $1 AND ispopulated",
                &[arg(view)],
            );
            let concurrently = if populated.len() > 0 { "CONCURRENTLY " } else { "" };
            spi.write(&format!("REFRESH MATERIALIZED VIEW {concurrently}logintel.{view}"), &[]);
        }
    }
    Done { rest: rest_after(begun.elapsed()), ..Done::rows(changes) }
}
