//! What the server tells of its work: the rows of `clip_stat_server` and `clip_stat_models`.

use serde::{Deserialize, Serialize};

/// The server's work since its start or the latest reset, and what is there now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Process id of the server.
    pub pid: u32,
    /// Seconds since the server started.
    pub uptime_s: f64,
    /// Seconds since the latest reset, or the start.
    pub since_reset_s: f64,
    /// How often the supervisor has started the server again.
    pub restarts: u32,
    /// Resident memory in bytes.
    pub resident_bytes: u64,
    /// Connections open now.
    pub connections: u32,
    /// Connections refused or, while idle, closed for want of room.
    pub connections_refused: u64,
    /// Items that wait for the device now.
    pub queue_items: u64,
    /// Bytes of requests accepted and not answered.
    pub queue_bytes: u64,
    /// Requests that wait for room in the queue now.
    pub waiting: u32,
    /// Requests under way now.
    pub in_flight: u32,
    /// Embed requests of few items.
    pub interactive: u64,
    /// Embed requests of many items.
    pub bulk: u64,
    /// Runs of a model.
    pub batches: u64,
    /// Items of those runs.
    pub batch_items: u64,
    /// Texts that were answered from the cache.
    pub cache_hits: u64,
    /// Items that were answered with the run of an equal one.
    pub shared: u64,
    /// Bytes of remembered embeddings.
    pub cache_bytes: u64,
    /// Failed requests and items.
    pub errors: u64,
    /// From being prepared to being run.
    pub queue: Latency,
    /// Decoding or tokenizing an item.
    pub prepare: Latency,
    /// A run of a model.
    pub inference: Latency,
    /// Each encoder of each model that was used.
    pub models: Vec<ModelStatistics>,
}

/// How long something takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Since the start or the latest reset.
    pub total: Quantiles,
    /// In the last minute.
    pub minute: Quantiles,
}

/// Quantiles in milliseconds; 0 where nothing was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Measurements.
    pub count: u64,
    /// The median.
    pub p50: f64,
    /// 95 of 100 are not longer.
    pub p95: f64,
    /// 99 of 100 are not longer.
    pub p99: f64,
}

/// One encoder of a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelStatistics {
    /// `owner/name`.
    pub model: String,
    /// `text` or `image`.
    pub encoder: String,
    /// The execution provider of the latest load.
    pub provider: String,
    /// Whether it is in memory.
    pub loaded: bool,
    /// By how much the resident memory grew while it was loaded, in bytes.
    pub memory_bytes: u64,
    /// Milliseconds that the latest load took.
    pub load_ms: f64,
    /// How often it was loaded.
    pub loads: u64,
    /// Items embedded.
    pub items: u64,
    /// Runs.
    pub batches: u64,
    /// Milliseconds of those runs.
    pub inference_ms: f64,
    /// How long one takes.
    pub inference: Latency,
    /// Runs that failed.
    pub errors: u64,
    /// Seconds since the latest run; `None` where there was none.
    pub idle_s: Option<f64>,
}
