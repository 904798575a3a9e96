//! Which databases there are, seen from a process that is connected to none.
use super::process::transaction;
use pgrx::prelude::*;
use std::ffi::CStr;

/// A database that can be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its OID.
    pub oid: u32,
    /// Its name.
    pub name: String,
    /// Whether new databases are copied from it.
    pub is_template: bool,
}

/// The databases that accept connections, by OID.
///
/// Reads `pg_database` itself: without a database there is no catalog of tables and functions, so no SQL.
pub fn scan() -> Vec<Found> {
    let mut found = transaction(|| {
        let mut found = Vec::new();
        // SAFETY: the relation is open while it is scanned; a tuple is read before the scan moves on; pg_database
        // is a heap with fixed-width columns up to those read here.
        unsafe {
            let relation = pg_sys::table_open(pg_sys::DatabaseRelationId, pg_sys::AccessShareLock as _);
            let scan = pg_sys::table_beginscan_catalog(relation, 0, std::ptr::null_mut());
            loop {
                let tuple = pg_sys::heap_getnext(scan, pg_sys::ScanDirection::ForwardScanDirection);
                if tuple.is_null() {
                    break;
                }
                let row = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_database>();
                if (*row).datallowconn && (*row).datconnlimit != pg_sys::DATCONNLIMIT_INVALID_DB {
                    found.push(Found {
                        oid: (*row).oid.to_u32(),
                        name: CStr::from_ptr((*row).datname.data.as_ptr()).to_string_lossy().into_owned(),
                        is_template: (*row).datistemplate,
                    });
                }
            }
            pg_sys::heap_endscan(scan);
            pg_sys::table_close(relation, pg_sys::AccessShareLock as _);
        }
        found
    });
    found.sort_by_key(|database| database.oid);
    found
}

/// Whether somebody holds or waits for a lock on the database that keeps sessions out: DROP DATABASE, ALTER
/// DATABASE … RENAME or SET TABLESPACE, CREATE DATABASE … TEMPLATE. These give up after 5 s if a session stays.
pub fn is_wanted(oid: u32) -> bool {
    transaction(|| {
        // The lock that every new session takes on its database for a moment; free again with the transaction.
        let tag = pg_sys::LOCKTAG {
            locktag_field1: 0,
            locktag_field2: pg_sys::DatabaseRelationId.to_u32(),
            locktag_field3: oid,
            locktag_field4: 0,
            locktag_type: pg_sys::LockTagType::LOCKTAG_OBJECT as u8,
            locktag_lockmethodid: pg_sys::DEFAULT_LOCKMETHOD as u8,
        };
        // SAFETY: a complete tag; does not wait.
        let taken =
            unsafe { pg_sys::LockAcquire(&raw const tag, pg_sys::RowExclusiveLock as _, false, true) };
        taken == pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
    })
}

/// The name of a database; `None` when it is gone. For a session connected to a database.
pub fn name(oid: u32) -> Option<String> {
    // SAFETY: a catalog look-up that returns NULL or a C string of ours.
    unsafe {
        let name = pg_sys::get_database_name(pg_sys::Oid::from_u32(oid));
        (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
    }
}

/// The OID of a database; `None` where there is none of that name. For a session connected to a database.
pub fn oid(name: &str) -> Option<u32> {
    let name = std::ffi::CString::new(name).ok()?;
    // SAFETY: a catalog look-up by a C string.
    let oid = unsafe { pg_sys::get_database_oid(name.as_ptr(), true) };
    (oid != pg_sys::Oid::INVALID).then(|| oid.to_u32())
}
