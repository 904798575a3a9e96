//! What the session lends to the engine's long work: its interrupts and bounds on memory and threads.
use logintel_core::Result;
use logintel_core::control::{Control, Watch};

use crate::progress::{self, Total};
use crate::settings;

/// The backend that runs the call.
#[derive(Debug, Clone, Copy, Default)]
pub struct Session;

impl Session {
    /// What watches the work on one message.
    pub fn watch() -> Watch {
        Watch::new(|| Session.poll())
    }

    /// Tells how far a phase has come.
    pub fn show(phase: &'static str, done: u64, total: Total) {
        progress::report(phase, done, total);
        if settings::progress_notices() {
            notice(phase, done, total);
        }
    }
}

impl Control for Session {
    /// Answers a cancel, a timeout or a shutdown with PostgreSQL's own ERROR, which unwinds through the engine.
    fn poll(&self) -> Result<()> {
        pgrx::check_for_interrupts!();
        Ok(())
    }

    fn memory(&self) -> u64 {
        settings::maintenance_mem()
    }

    fn threads(&self) -> usize {
        settings::max_parallel_threads()
    }

    /// The threads inherit a mask that blocks every signal: PostgreSQL's handlers belong to the main thread.
    fn start_threads(&self, start: &mut dyn FnMut()) {
        // SAFETY: the mask is put back whatever comes; starting threads raises no ERROR.
        unsafe {
            let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
            start();
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        }
    }

    fn progress(&self, phase: &'static str, done: u64, total: u64) {
        Session::show(phase, done, if total > 0 { Total::Counted(total) } else { Total::Unknown });
    }
}

/// Tells how far a phase has come, at most once a second.
fn notice(phase: &'static str, done: u64, total: Total) {
    thread_local! {
        static LAST: std::cell::Cell<Option<std::time::Instant>> = const { std::cell::Cell::new(None) };
    }
    let now = std::time::Instant::now();
    if LAST.get().is_some_and(|last| now.duration_since(last).as_secs() < 1) {
        return;
    }
    LAST.set(Some(now));
    match progress::known_total(done, total) {
        Some((total, is_estimate)) => {
            let about = if is_estimate { "about " } else { "" };
            pgrx::notice!("logintel: {phase}, {done} of {about}{total}");
        }
        None => pgrx::notice!("logintel: {phase}, {done} rows"),
    }
}
