//! What the server has done since its start or the latest reset.

mod encoders;
mod latency;

pub(crate) use latency::Meter;

use crate::process;
use clip::Modality;
use encoders::Encoders;
use protocol::Statistics;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Counters and meters. Each is on its own: a reader may see one of two that change together changed alone.
pub struct Stats {
    started: Instant,
    reset: Mutex<Instant>,
    last_request: Mutex<Instant>,
    pub(crate) requests: AtomicU64,
    pub(crate) texts: AtomicU64,
    pub(crate) images: AtomicU64,
    pub(crate) interactive: AtomicU64,
    pub(crate) bulk: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) batch_items: AtomicU64,
    pub(crate) cache_hits: AtomicU64,
    pub(crate) shared: AtomicU64,
    pub(crate) errors: AtomicU64,
    /// Microseconds.
    bulk_time: AtomicU64,
    bulk_idle_time: AtomicU64,
    pub(crate) connections_refused: AtomicU64,
    pub(crate) connections: AtomicU32,
    /// Requests under way now.
    pub(crate) in_flight: AtomicU32,
    pub(crate) queue: Meter,
    pub(crate) prepare: Meter,
    pub(crate) inference: Meter,
    pub(crate) encoders: Encoders,
}

impl Stats {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let zero = AtomicU64::default;
        Self {
            started: now,
            reset: Mutex::new(now),
            last_request: Mutex::new(now),
            requests: zero(),
            texts: zero(),
            images: zero(),
            interactive: zero(),
            bulk: zero(),
            batches: zero(),
            batch_items: zero(),
            cache_hits: zero(),
            shared: zero(),
            errors: zero(),
            bulk_time: zero(),
            bulk_idle_time: zero(),
            connections_refused: zero(),
            connections: AtomicU32::default(),
            in_flight: AtomicU32::default(),
            queue: Meter::default(),
            prepare: Meter::default(),
            inference: Meter::default(),
            encoders: Encoders::default(),
        }
    }

    /// What was counted and measured, and of the process what is there now.
    pub(crate) fn read(&self) -> Statistics {
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        Statistics {
            pid: std::process::id(),
            release: protocol::RELEASE.to_owned(),
            onnxruntime_version: clip::Runtime::current().map(|runtime| runtime.version().to_owned()),
            uptime_s: self.uptime().as_secs_f64(),
            since_reset_s: self.since_reset().as_secs_f64(),
            resident_bytes: process::resident_bytes(),
            connections: self.connections.load(Relaxed),
            connections_refused: count(&self.connections_refused),
            in_flight: self.in_flight.load(Relaxed),
            requests: count(&self.requests),
            interactive: count(&self.interactive),
            bulk: count(&self.bulk),
            texts: count(&self.texts),
            images: count(&self.images),
            batches: count(&self.batches),
            batch_items: count(&self.batch_items),
            cache_hits: count(&self.cache_hits),
            shared: count(&self.shared),
            errors: count(&self.errors),
            bulk_s: count(&self.bulk_time) as f64 / 1e6,
            bulk_idle_s: count(&self.bulk_idle_time) as f64 / 1e6,
            queue: self.queue.latency(),
            prepare: self.prepare.latency(),
            inference: self.inference.latency(),
            models: self.encoders.rows(),
            ..Statistics::default()
        }
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Since the latest reset, or the start.
    pub(crate) fn since_reset(&self) -> Duration {
        self.reset.lock().expect("no panic while held").elapsed()
    }

    /// Begins to count anew. What is there now stays: connections, requests under way, loaded models.
    pub(crate) fn forget(&self) {
        for counter in [
            &self.requests,
            &self.texts,
            &self.images,
            &self.interactive,
            &self.bulk,
            &self.batches,
            &self.batch_items,
            &self.cache_hits,
            &self.shared,
            &self.errors,
            &self.bulk_time,
            &self.bulk_idle_time,
            &self.connections_refused,
        ] {
            counter.store(0, Relaxed);
        }
        [&self.queue, &self.prepare, &self.inference].into_iter().for_each(Meter::reset);
        self.encoders.forget();
        *self.reset.lock().expect("no panic while held") = Instant::now();
    }

    /// Counts a run of an encoder with so many items, of which so many were embedded.
    pub(crate) fn ran(
        &self,
        model: &str,
        modality: Modality,
        items: usize,
        embedded: usize,
        took: Duration,
        failed: bool,
    ) {
        self.batches.fetch_add(1, Relaxed);
        self.batch_items.fetch_add(items as u64, Relaxed);
        self.inference.record(took);
        self.encoders.ran(model, modality, embedded, took, failed);
    }

    /// Adds time in which bulk requests were under way, and how much of it nothing ran on a device.
    pub(crate) fn bulk_ran(&self, (time, idle): (Duration, Duration)) {
        self.bulk_time.fetch_add(time.as_micros() as u64, Relaxed);
        self.bulk_idle_time.fetch_add(idle.as_micros() as u64, Relaxed);
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
