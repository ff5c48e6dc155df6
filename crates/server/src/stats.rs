//! Counters since the start of the process.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The counters of `clip_server_status()`.
pub struct Stats {
    started: Instant,
    last_request: Mutex<Instant>,
    pub(crate) requests: AtomicU64,
    pub(crate) texts: AtomicU64,
    pub(crate) images: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) connections: AtomicU32,
    /// Embed requests under way now.
    pub(crate) in_flight: AtomicU32,
}

impl Stats {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            started: now,
            last_request: Mutex::new(now),
            requests: AtomicU64::new(0),
            texts: AtomicU64::new(0),
            images: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            connections: AtomicU32::new(0),
            in_flight: AtomicU32::new(0),
        }
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// How long nobody has asked for an embedding; zero while somebody waits for one.
    pub(crate) fn idle(&self) -> Duration {
        if self.in_flight.load(Relaxed) > 0 {
            return Duration::ZERO;
        }
        self.last_request.lock().expect("no panic while held").elapsed()
    }

    /// Counts a request for as long as it is under way.
    pub(crate) fn begin(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(self)
    }
}

/// A request under way.
pub(crate) struct InFlight<'a>(&'a Stats);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.requests.fetch_add(1, Relaxed);
        *self.0.last_request.lock().expect("no panic while held") = Instant::now();
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}
