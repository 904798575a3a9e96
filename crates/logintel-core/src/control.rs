//! How long work is watched and stopped.
//!
//! The engine calls [`Control::poll`] on the calling thread only, often enough that a caller who wants to stop
//! waits less than 100 ms. Parallel parts work in slices and poll between them.

use crate::error::{Error, Result};
use crate::limits::MAX_NGRAMS;

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

/// Polls of one who lends nothing else.
impl Control for Watch {
    fn poll(&self) -> Result<()> {
        (self.poll)()
    }
}

/// Polls on the way through work of many small steps.
pub(crate) struct Steps<'a> {
    control: &'a dyn Control,
    /// Steps from one poll to the next.
    between: usize,
    /// Steps until the next poll.
    left: usize,
}

/// Steps of nanoseconds from one poll to the next: a millisecond, where each waits for memory.
pub(crate) const STEPS_BETWEEN_POLLS: usize = 1 << 14;
/// Bytes from one poll to the next: a millisecond of masking.
pub(crate) const BYTES_BETWEEN_POLLS: usize = 1 << 16;

impl<'a> Steps<'a> {
    /// Over steps that take nanoseconds each.
    pub fn new(control: &'a dyn Control) -> Self {
        Steps { control, between: STEPS_BETWEEN_POLLS, left: STEPS_BETWEEN_POLLS }
    }

    /// Over the bytes of a text.
    pub fn over_bytes(control: &'a dyn Control) -> Self {
        Steps { control, between: BYTES_BETWEEN_POLLS, left: BYTES_BETWEEN_POLLS }
    }

    /// So many steps more.
    ///
    /// # Errors
    /// What the poll returns.
    #[inline]
    pub fn pass(&mut self, steps: usize) -> Result<()> {
        if steps < self.left {
            self.left -= steps;
            return Ok(());
        }
        self.left = self.between;
        self.control.poll()
    }
}

/// Parts of a slice, before each of which is polled.
///
/// # Errors
/// What the poll returns, or `work`.
pub(crate) fn in_parts<T>(items: &[T], control: &dyn Control, mut work: impl FnMut(&[T])) -> Result<()> {
    for part in items.chunks(STEPS_BETWEEN_POLLS) {
        control.poll()?;
        work(part);
    }
    Ok(())
}

/// Watches work on one message, however long: polls now and then, and bounds its n-grams.
#[derive(Debug, Clone, Copy)]
pub struct Watch {
    poll: fn() -> Result<()>,
    ngrams: u32,
    next_poll: u32,
}

/// N-grams from one poll to the next: milliseconds.
const BETWEEN_POLLS: u32 = 1 << 12;

impl Watch {
    /// With what [`Control::poll`] does.
    pub fn new(poll: fn() -> Result<()>) -> Self {
        Watch { poll, ngrams: 0, next_poll: BETWEEN_POLLS }
    }

    /// A message begins.
    pub(crate) fn start(&mut self) {
        (self.ngrams, self.next_poll) = (0, BETWEEN_POLLS);
    }

    /// A few more n-grams.
    ///
    /// # Errors
    /// [`Error::MessageTooLong`], and what the poll returns.
    #[inline]
    pub(crate) fn tick(&mut self, ngrams: usize) -> Result<()> {
        self.ngrams = self.ngrams.saturating_add(ngrams as u32);
        if self.ngrams < self.next_poll { Ok(()) } else { self.look_up() }
    }

    #[cold]
    fn look_up(&mut self) -> Result<()> {
        self.next_poll = self.ngrams.saturating_add(BETWEEN_POLLS);
        (self.poll)()?;
        if self.ngrams > MAX_NGRAMS { Err(Error::MessageTooLong) } else { Ok(()) }
    }
}

impl Default for Watch {
    fn default() -> Self {
        Watch::new(|| Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_can_be_stopped_and_has_an_end() {
        let mut stopped = Watch::new(|| Err(Error::Canceled));
        assert!(matches!((0..=BETWEEN_POLLS).try_for_each(|_| stopped.tick(1)), Err(Error::Canceled)));
        let mut watch = Watch { ngrams: MAX_NGRAMS, ..Watch::default() };
        let more = |watch: &mut Watch| (0..BETWEEN_POLLS).try_for_each(|_| watch.tick(1));
        assert!(matches!(more(&mut watch), Err(Error::MessageTooLong)));
        watch.start();
        assert!(more(&mut watch).is_ok());
        let mut bytes = Steps::over_bytes(&stopped);
        assert!(bytes.pass(BYTES_BETWEEN_POLLS - 1).is_ok());
        assert!(matches!(bytes.pass(1), Err(Error::Canceled)));
    }
}
