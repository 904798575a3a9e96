//! How long work is watched and stopped.
//!
//! The engine calls [`Control::poll`] on the calling thread only, often enough that a caller who wants to stop
//! waits less than 100 ms. Parallel parts work in slices and poll between them.

use crate::error::Result;

/// What the caller of long work lends to the engine.
pub trait Control {
    /// Returns an error, or unwinds, when the work should stop.
    ///
    /// # Errors
    /// [`crate::Error::Canceled`].
    fn poll(&self) -> Result<()> {
        Ok(())
    }

    /// Tells how far a phase has come.
    fn progress(&self, _phase: &'static str, _done: u64, _total: u64) {}

    /// Bytes that the work may use.
    fn memory(&self) -> u64 {
        u64::MAX
    }

    /// Threads that the work may use, at least 1.
    fn threads(&self) -> usize {
        1
    }

    /// Calls `start`, which starts threads, and nothing else does. A caller with signal handlers blocks signals
    /// around it, so that the threads inherit the mask.
    fn start_threads(&self, start: &mut dyn FnMut()) {
        start();
    }
}

/// Runs to the end, unwatched, on one thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unattended;

impl Control for Unattended {}
