//! Whose rows a detector takes: anybody who may make triggers on a table may name any detector in one.
use pgrx::pg_sys;

use super::Detector;
use crate::security;
use crate::spi::Connection;

impl Detector {
    /// Whether triggers on a table may feed it: on its own relation and the partitions of that by whomever they were made,
    /// elsewhere where the table's owner has the rights of the detector's, who can read all of the table: a trigger may name a detector
    /// that somebody else makes later.
    pub(super) fn is_fed_by(&self, table: pg_sys::Oid, owner: pg_sys::Oid, is_partition: bool) -> bool {
        table == self.relation
            || security::may_administer(owner, self.owner) && security::may_read(self.owner, owner, table)
            || is_partition && ancestors(table).contains(&self.relation)
    }

    /// Refuses rows that its owner could not read any more: who has lost SELECT gets no copies of messages either.
    pub(super) fn require_select(&self) {
        security::require_role(self.owner);
        security::require_select(self.owner, self.relation);
    }
}

/// The partition itself and the partitioned tables that it belongs to.
fn ancestors(partition: pg_sys::Oid) -> Vec<pg_sys::Oid> {
    let spi = Connection::open();
    let rows = spi.read(
        "SELECT a.relid::pg_catalog.oid FROM pg_catalog.pg_partition_ancestors($1) AS a",
        &[(pg_sys::REGCLASSOID, Some(partition.into()))],
    );
    (0..rows.len()).map(|row| rows.must(row, 1)).collect()
}
