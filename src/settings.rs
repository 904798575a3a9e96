//! The settings (`logintel.*`): what they are called, who may change them, and what they say now.
//!
//! Who may change what follows one rule: a setting that can harm others is for superusers, and for those to
//! whom `GRANT SET ON PARAMETER` gives it. The two memory bounds are such settings, though PostgreSQL's own
//! `work_mem` is not: where PostgreSQL reports a failed allocation as an error, an allocation that fails in
//! Rust ends the process, and with it every session of the cluster.
use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum};
use pgrx::prelude::*;
use std::ffi::{CStr, CString, c_char, c_void};
use std::time::Duration;

/// What a trigger does when a row cannot be scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PostgresGucEnum)]
pub enum OnError {
    /// The row lands, the failure is recorded, one warning.
    #[name = c"warn"]
    Warn,
    /// The statement fails.
    #[name = c"error"]
    Error,
}

/// Where the worker works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Databases {
    /// In every database that has the extension.
    All,
    /// In these, named as in `pg_database`.
    Named(Vec<String>),
}

static DATABASES: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c"*"));
static INTERVAL: GucSetting<i32> = GucSetting::<i32>::new(10);
static ENABLED: GucSetting<bool> = GucSetting::<bool>::new(true);
static ON_ERROR: GucSetting<OnError> = GucSetting::<OnError>::new(OnError::Warn);
static MAINTENANCE_MEM: GucSetting<i32> = GucSetting::<i32>::new(2 << 20);
static MAX_PARALLEL_THREADS: GucSetting<i32> = GucSetting::<i32>::new(1);
static MODEL_CACHE_MEM: GucSetting<i32> = GucSetting::<i32>::new(256 << 10);
static FOLLOW_SERVER_LOG: GucSetting<bool> = GucSetting::<bool>::new(false);
static PROGRESS_NOTICES: GucSetting<bool> = GucSetting::<bool>::new(false);

/// Most kilobytes of a memory setting: 1 TB.
const MAX_MEM: i32 = 1 << 30;
/// Most threads of one call.
const MAX_THREADS: i32 = 64;
/// Longest interval in seconds: a day.
const MAX_INTERVAL: i32 = 24 * 60 * 60;

/// Makes the settings known to PostgreSQL. For `_PG_init`.
pub fn define() {
    let list = GucFlags::from_bits_retain(pg_sys::GUC_LIST_INPUT as i32);
    // SAFETY: the hook is guarded.
    unsafe {
        GucRegistry::define_string_guc_with_hooks(
            c"logintel.databases",
            c"Databases in which the background worker works.",
            c"A comma-separated list of names, or * for every database that has the extension.",
            &DATABASES,
            GucContext::Sighup,
            list,
            Some(check_databases),
            None,
            None,
        );
    }
    GucRegistry::define_int_guc(
        c"logintel.interval",
        c"Time from one start of the background worker in a database to the next.",
        c"",
        &INTERVAL,
        1,
        MAX_INTERVAL,
        GucContext::Sighup,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_bool_guc(
        c"logintel.enabled",
        c"Scores rows in triggers.",
        c"When off, watched tables take rows as if they were not watched.",
        &ENABLED,
        GucContext::Suset,
        GucFlags::empty(),
    );
    GucRegistry::define_enum_guc(
        c"logintel.on_error",
        c"What a trigger does when it cannot score a row.",
        c"\"warn\" lets the row land and records the failure; \"error\" fails the statement.",
        &ON_ERROR,
        // A writer who could choose "warn" would choose to go unscored.
        GucContext::Suset,
        GucFlags::empty(),
    );
    GucRegistry::define_int_guc(
        c"logintel.maintenance_mem",
        c"Most memory that one call may use outside PostgreSQL's own memory contexts.",
        c"Training, clustering and vectorisers count. A call that would need more fails with an error that says how much.",
        &MAINTENANCE_MEM,
        1 << 10,
        MAX_MEM,
        GucContext::Suset,
        GucFlags::UNIT_KB,
    );
    GucRegistry::define_int_guc(
        c"logintel.max_parallel_threads",
        c"Most threads of one clustering call.",
        c"",
        &MAX_PARALLEL_THREADS,
        1,
        MAX_THREADS,
        // It costs what parallel workers cost, and those are for everybody too.
        GucContext::Userset,
        GucFlags::empty(),
    );
    GucRegistry::define_int_guc(
        c"logintel.model_cache_mem",
        c"Most memory for the models that one session keeps decoded.",
        c"",
        &MODEL_CACHE_MEM,
        0,
        MAX_MEM,
        GucContext::Suset,
        GucFlags::UNIT_KB,
    );
    GucRegistry::define_bool_guc(
        c"logintel.follow_server_log",
        c"Follows the server's own log into the table logintel.server_log.",
        c"The background worker does it, in one database. Needs logging_collector, and csvlog or jsonlog in log_destination.",
        &FOLLOW_SERVER_LOG,
        GucContext::Sighup,
        GucFlags::empty(),
    );
    GucRegistry::define_bool_guc(
        c"logintel.progress_notices",
        c"Tells the progress of long functions by NOTICE.",
        c"",
        &PROGRESS_NOTICES,
        GucContext::Userset,
        GucFlags::empty(),
    );
    // SAFETY: a constant string; from here on a misspelt logintel.* is an error instead of a placeholder.
    unsafe { pg_sys::MarkGUCPrefixReserved(c"logintel".as_ptr()) };
}

/// Where the worker works (`logintel.databases`).
pub fn databases() -> Databases {
    let Some(value) = DATABASES.get() else { return Databases::Named(Vec::new()) };
    let names = split(&value).unwrap_or_default();
    if names.iter().any(|name| name == "*") { Databases::All } else { Databases::Named(names) }
}

/// Time from one tick in a database to the next (`logintel.interval`).
pub fn interval() -> Duration {
    Duration::from_secs(INTERVAL.get() as u64)
}

/// Whether triggers score (`logintel.enabled`).
pub fn enabled() -> bool {
    ENABLED.get()
}

/// What a trigger does when it cannot score (`logintel.on_error`).
pub fn on_error() -> OnError {
    ON_ERROR.get()
}

/// Bytes that one call may use outside memory contexts (`logintel.maintenance_mem`).
pub fn maintenance_mem() -> u64 {
    kilobytes(&MAINTENANCE_MEM)
}

/// Threads that one clustering call may use (`logintel.max_parallel_threads`).
pub fn max_parallel_threads() -> usize {
    MAX_PARALLEL_THREADS.get() as usize
}

/// Bytes of decoded models that one session keeps (`logintel.model_cache_mem`).
pub fn model_cache_mem() -> u64 {
    kilobytes(&MODEL_CACHE_MEM)
}

/// Whether the worker follows the server's own log (`logintel.follow_server_log`).
pub fn follow_server_log() -> bool {
    FOLLOW_SERVER_LOG.get()
}

/// Whether long functions tell their progress by NOTICE (`logintel.progress_notices`).
pub fn progress_notices() -> bool {
    PROGRESS_NOTICES.get()
}

fn kilobytes(setting: &GucSetting<i32>) -> u64 {
    u64::from(setting.get().unsigned_abs()) << 10
}

/// Refuses a list that cannot be read, so that it never becomes the setting.
#[pg_guard]
unsafe extern "C-unwind" fn check_databases(
    value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: PostgreSQL passes a pointer to the new value, which is NULL or a C string.
    unsafe {
        if value.is_null() || (*value).is_null() || split(CStr::from_ptr(*value)).is_some() {
            return true;
        }
        pg_sys::GUC_check_errdetail_string = c"List syntax is invalid.".as_ptr().cast_mut();
    }
    false
}

/// The names of a comma-separated list, as they are written; `None` when it is not one.
fn split(value: &CStr) -> Option<Vec<String>> {
    // SAFETY: SplitGUCList writes into the copy, and the list points into it; both are freed after the names
    // have been copied.
    unsafe {
        let copy = pg_sys::pstrdup(value.as_ptr());
        let mut list = std::ptr::null_mut();
        let valid = pg_sys::SplitGUCList(copy, b',' as c_char, &raw mut list);
        let length = if list.is_null() { 0 } else { (*list).length };
        let names = (0..length)
            .map(|i| {
                let name = pg_sys::list_nth(list, i).cast::<c_char>();
                CStr::from_ptr(name).to_string_lossy().into_owned()
            })
            .collect();
        pg_sys::list_free(list);
        pg_sys::pfree(copy.cast());
        valid.then_some(names)
    }
}
