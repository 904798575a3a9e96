//! Work that reads users' relations in a process that has other things to do: it is ended after a while.
//!
//! PostgreSQL's own `statement_timeout` holds for what a client sends, not for what a background worker does, and ends the
//! whole of it. This is a timer of our own, which cancels the query at hand as a user would, and tells the two apart.
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pgrx::pg_sys;

use crate::subtransaction::{Failure, attempt_unless, must_raise};

unsafe extern "C-unwind" {
    // The raw symbols: pgrx does not bind timers, and its guards are not for signal handlers.
    fn RegisterTimeout(id: c_int, handler: unsafe extern "C-unwind" fn()) -> c_int;
    fn enable_timeout_after(id: c_int, milliseconds: c_int);
    fn disable_timeout(id: c_int, keep_indicator: bool);
    #[link_name = "SetLatch"]
    fn wake(latch: *mut pg_sys::Latch);
}

/// Any number from PostgreSQL's `USER_TIMEOUT` on asks for a timer that is free; the bound differs between versions.
const ANY_TIMER: c_int = 20;
/// SQLSTATE of a cancel.
pub const CANCELED: &str = "57014";

/// Whether the timer has gone off since it was set.
static IS_OVER: AtomicBool = AtomicBool::new(false);

/// What PostgreSQL's handler of a cancel does.
unsafe extern "C-unwind" fn cancel() {
    IS_OVER.store(true, Ordering::Relaxed);
    // SAFETY: flags that signal handlers may write, and the process's own latch.
    unsafe {
        pg_sys::InterruptPending = 1;
        pg_sys::QueryCancelPending = 1;
        wake(pg_sys::MyLatch);
    }
}

/// A timer that is set until it is dropped.
struct Timer(c_int);

impl Timer {
    fn set(limit: Duration) -> Self {
        thread_local! {
            static TIMER: std::cell::OnceCell<c_int> = const { std::cell::OnceCell::new() };
        }
        IS_OVER.store(false, Ordering::Relaxed);
        let milliseconds = c_int::try_from(limit.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: registered once in a process; the handler does what a signal handler may.
        let timer = TIMER.with(|timer| *timer.get_or_init(|| unsafe { RegisterTimeout(ANY_TIMER, cancel) }));
        unsafe { enable_timeout_after(timer, milliseconds) };
        Timer(timer)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: registered in `set`.
        unsafe { disable_timeout(self.0, false) };
    }
}

fn is_over() -> bool {
    IS_OVER.load(Ordering::Relaxed)
}

/// [`crate::subtransaction::attempt`] with an end: what takes longer than `limit` fails.
///
/// # Errors
/// As `attempt`; after the limit, a failure that says so.
pub fn attempt_within<T>(limit: Duration, work: impl FnOnce() -> T) -> Result<T, Failure> {
    let timer = Timer::set(limit);
    let result =
        attempt_unless(|sqlstate| must_raise(sqlstate) && !(sqlstate == CANCELED && is_over()), work);
    drop(timer);
    if is_over() {
        // It may have gone off when the work had just ended.
        // SAFETY: a flag that this process alone writes.
        unsafe { pg_sys::QueryCancelPending = 0 };
    }
    result.map_err(|failure| {
        if failure.sqlstate == CANCELED {
            let message = format!("it took more than {} s", limit.as_secs());
            Failure { message, ..failure }
        } else {
            failure
        }
    })
}
