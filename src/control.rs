//! What the session lends to the engine's long work: its interrupts and bounds on memory and threads.
use logintel_core::Result;
use logintel_core::control::Control;

/// Bytes that one call may use outside PostgreSQL's own contexts.
const MAINTENANCE_MEM: u64 = 2 << 30;

/// The backend that runs the call.
#[derive(Debug, Clone, Copy, Default)]
pub struct Session;

impl Control for Session {
    /// Answers a cancel, a timeout or a shutdown with PostgreSQL's own ERROR, which unwinds through the engine.
    fn poll(&self) -> Result<()> {
        pgrx::check_for_interrupts!();
        Ok(())
    }

    fn memory(&self) -> u64 {
        MAINTENANCE_MEM
    }
}
