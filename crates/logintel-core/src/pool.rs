//! Threads for one call: a bounded pool of its own, gone when the call returns.
//!
//! Nothing here decides a result: work is cut into slices by the clock, so that [`Control::poll`] runs in
//! time, and what a slice yields depends on the item alone.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::control::Control;

/// Threads that are joined when dropped: when a call returns, none of its threads is left.
struct Threads {
    /// `None` only while they are being joined.
    pool: Option<rayon::ThreadPool>,
    handles: Vec<std::thread::JoinHandle<()>>,
}

impl Threads {
    /// Starts as many threads as `control` grants, or `None` when that is one or the system refuses.
    ///
    /// They are started inside [`Control::start_threads`], which is where a caller blocks signals.
    fn start(control: &dyn Control) -> Option<Self> {
        let count = control.threads();
        if count < 2 {
            return None;
        }
        let mut threads = Threads { pool: None, handles: Vec::new() };
        control.start_threads(&mut || {
            let spawn = |thread: rayon::ThreadBuilder| {
                let name = format!("logintel {}", thread.index());
                let handle = std::thread::Builder::new().name(name).spawn(|| thread.run())?;
                threads.handles.push(handle);
                Ok(())
            };
            threads.pool =
                rayon::ThreadPoolBuilder::new().num_threads(count).spawn_handler(spawn).build().ok();
        });
        threads.pool.is_some().then_some(threads)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Dropping the pool tells its threads to end; a thread that panicked has nothing more to tell.
        drop(self.pool.take());
        for handle in self.handles.drain(..) {
            let _ = handle.join();
        }
    }
}

/// Runs slices of work on the calling thread or on threads of its own, with one state for each of them.
pub struct Pool<S> {
    threads: Option<Threads>,
    states: Vec<S>,
}

impl<S: Send + Default> Pool<S> {
    /// As many threads as `control` grants, each with its state.
    pub fn new(control: &dyn Control) -> Self {
        let threads = Threads::start(control);
        let count = threads.as_ref().map_or(1, |threads| threads.handles.len());
        Pool { threads, states: (0..count).map(|_| S::default()).collect() }
    }

    /// The state of the calling thread, for work that needs no slices.
    pub fn state(&mut self) -> &mut S {
        &mut self.states[0]
    }

    /// What `work` yields for each item of `range`, in order.
    pub fn map<T: Send>(&mut self, range: Range<usize>, work: impl Fn(&mut S, usize) -> T + Sync) -> Vec<T> {
        /// Items that a thread takes at a time.
        const TAKE: usize = 8;
        let Some(pool) = self.threads.as_ref().and_then(|threads| threads.pool.as_ref()) else {
            let state = &mut self.states[0];
            return range.map(|i| work(state, i)).collect();
        };
        let next = AtomicUsize::new(range.start);
        let mut parts: Vec<Vec<(usize, T)>> = self.states.iter().map(|_| Vec::new()).collect();
        pool.scope(|scope| {
            for (state, part) in self.states.iter_mut().zip(&mut parts) {
                let (next, work, end) = (&next, &work, range.end);
                scope.spawn(move |_| {
                    loop {
                        let from = next.fetch_add(TAKE, Ordering::Relaxed);
                        if from >= end {
                            return;
                        }
                        part.extend((from..end.min(from + TAKE)).map(|i| (i, work(state, i))));
                    }
                });
            }
        });
        let mut all: Vec<(usize, T)> = parts.into_iter().flatten().collect();
        all.sort_unstable_by_key(|&(i, _)| i);
        all.into_iter().map(|(_, value)| value).collect()
    }
}

/// Cuts `0..count` into slices that take about a fifth of the time in which a caller must be answered.
pub struct Pace<W> {
    next: usize,
    count: usize,
    size: usize,
    since: Option<Instant>,
    weigh: W,
}

impl<W: Fn(usize) -> usize> Pace<W> {
    /// Slices of `0..count`. `weigh` tells of each item what its time grows with, such as the entries of a row: one that
    /// is far from what came before does not share its slice with many.
    pub fn new(count: usize, weigh: W) -> Self {
        Pace { next: 0, count, size: 64, since: None, weigh }
    }

    /// How many items have been given out.
    pub fn done(&self) -> usize {
        self.next
    }
}

impl<W: Fn(usize) -> usize> Iterator for Pace<W> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        const GOAL: Duration = Duration::from_millis(20);
        const HEAVY: usize = 1 << 18;
        let now = Instant::now();
        if let Some(since) = self.since {
            let took = now - since;
            if took < GOAL / 2 {
                self.size = (self.size * 2).min(1 << 16);
            } else if took > GOAL * 2 {
                self.size = (self.size / 4).max(1);
            }
        }
        self.since = Some(now);
        if self.next >= self.count {
            return None;
        }
        let start = self.next;
        let mut weight = 0;
        while self.next < self.count.min(start + self.size) && weight < HEAVY {
            weight += (self.weigh)(self.next);
            self.next += 1;
        }
        Some(start..self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Threads(usize, AtomicUsize);
    impl Control for Threads {
        fn threads(&self) -> usize {
            self.0
        }
        fn start_threads(&self, start: &mut dyn FnMut()) {
            self.1.fetch_add(1, Ordering::Relaxed);
            start();
        }
    }

    #[test]
    fn order_is_kept_on_any_number_of_threads() {
        for threads in [1, 2, 5] {
            let control = Threads(threads, AtomicUsize::new(0));
            let mut pool = Pool::<u64>::new(&control);
            let mut seen = Vec::new();
            for range in Pace::new(10_000, |i| i) {
                seen.extend(pool.map(range, |state, i| {
                    *state += 1;
                    i * i
                }));
            }
            assert_eq!(seen, (0..10_000).map(|i| i * i).collect::<Vec<_>>());
            assert_eq!(pool.states.iter().sum::<u64>(), 10_000);
            assert_eq!(control.1.load(Ordering::Relaxed), usize::from(threads > 1));
        }
    }
}
