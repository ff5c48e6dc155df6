//! What EXPLAIN ANALYZE tells: batches, and the time in which a process did nothing but wait for the server. Of a parallel
//! plan, those of all processes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What workers add to, in shared memory.
#[repr(C)]
#[derive(Default)]
pub struct Shared {
    batches: AtomicU64,
    waited_ns: AtomicU64,
}

/// The figures of one node.
#[derive(Default)]
pub struct Figures {
    batches: u64,
    waited: Duration,
    /// In a worker.
    all: Option<*const Shared>,
    /// In the leader, until the node is shut down.
    of_workers: Option<*const Shared>,
}

impl Figures {
    /// Batches that were sent.
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// The time of waiting.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Counts.
    pub fn add(&mut self, batches: u64, waited: Duration) {
        self.batches += batches;
        self.waited += waited;
        if let Some(all) = self.all {
            // SAFETY: mapped as long as the worker executes its plan.
            let all = unsafe { &*all };
            all.batches.fetch_add(batches, Ordering::Relaxed);
            all.waited_ns.fetch_add(waited.as_nanos() as u64, Ordering::Relaxed);
        }
    }

    /// Memory that the leader has set up for workers.
    ///
    /// # Safety
    /// It must be writable and as large as [`Shared`].
    pub unsafe fn lead(&mut self, shared: *mut Shared) {
        // SAFETY: by the caller's promise.
        unsafe { shared.write(Shared::default()) };
        self.of_workers = Some(shared);
    }

    /// The same memory, in a worker.
    ///
    /// # Safety
    /// What [`Figures::lead`] was given, mapped as long as the plan is executed.
    pub unsafe fn work(&mut self, shared: *const Shared) {
        self.all = Some(shared);
    }

    /// Adds those of the workers, before their memory goes. Where a LIMIT ends them, that is a moment before they end: what
    /// they still count is nowhere.
    pub fn gather(&mut self) {
        if let Some(shared) = self.of_workers.take() {
            // SAFETY: a node is shut down before the memory that it shares.
            let shared = unsafe { &*shared };
            self.batches += shared.batches.load(Ordering::Relaxed);
            self.waited += Duration::from_nanos(shared.waited_ns.load(Ordering::Relaxed));
        }
    }
}

/// What some work gives, and how long it took.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let since = Instant::now();
    let result = work();
    (result, since.elapsed())
}
