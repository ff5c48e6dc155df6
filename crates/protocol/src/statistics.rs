//! What the server tells of its work: the rows of `clip_stat_server` and `clip_stat_models`.

use serde::{Deserialize, Serialize};

/// The server's work since its start or the latest reset, and what is there now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Process id of the server.
    pub pid: u32,
    /// [`crate::RELEASE`] of the server.
    pub release: String,
    /// Version of the ONNX Runtime library, once it is loaded.
    pub onnxruntime_version: Option<String>,
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
    /// Embed requests, failed ones included.
    pub requests: u64,
    /// Embed requests of few items.
    pub interactive: u64,
    /// Embed requests of many items.
    pub bulk: u64,
    /// Texts that were embedded.
    pub texts: u64,
    /// Images that were embedded.
    pub images: u64,
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
    /// Seconds in which requests of many items were under way.
    pub bulk_s: f64,
    /// Seconds of these in which nothing ran on a device.
    pub bulk_idle_s: f64,
    /// From being prepared to being run.
    pub queue: Latency,
    /// Decoding or tokenizing an item.
    pub prepare: Latency,
    /// A run of a model.
    pub inference: Latency,
    /// Each encoder of each model that was used.
    pub models: Vec<ModelStatistics>,
    /// Each endpoint of each remote encoder that was used.
    pub endpoints: Vec<EndpointStatistics>,
}

/// A value of a row of statistics.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A text; `None` is NULL.
    Text(Option<String>),
    /// A bigint.
    Count(u64),
    /// A double precision; `None` is NULL.
    Real(Option<f64>),
}

impl Statistics {
    /// The row of `clip_stat_get_server()`: the names of its columns, in order, and their values.
    pub fn row(&self) -> Vec<(String, Value)> {
        let count = |name: &str, value: u64| (name.to_owned(), Value::Count(value));
        let real = |name: &str, value: Option<f64>| (name.to_owned(), Value::Real(value));
        let text = |name: &str, value: Option<&String>| (name.to_owned(), Value::Text(value.cloned()));
        let mean = (self.batches > 0).then(|| self.batch_items as f64 / self.batches as f64);
        let mut row = vec![
            count("pid", self.pid.into()),
            text("version", Some(&self.release)),
            text("onnxruntime_version", self.onnxruntime_version.as_ref()),
            real("uptime", Some(self.uptime_s)),
            real("since_reset", Some(self.since_reset_s)),
            count("restarts", self.restarts.into()),
            count("resident_bytes", self.resident_bytes),
            count("connections", self.connections.into()),
            count("connections_refused", self.connections_refused),
            count("queue_items", self.queue_items),
            count("queue_bytes", self.queue_bytes),
            count("waiting", self.waiting.into()),
            count("in_flight", self.in_flight.into()),
            count("requests", self.requests),
            count("interactive", self.interactive),
            count("bulk", self.bulk),
            count("texts", self.texts),
            count("images", self.images),
            count("batches", self.batches),
            real("mean_batch_size", mean),
            count("cache_hits", self.cache_hits),
            count("shared", self.shared),
            count("cache_bytes", self.cache_bytes),
            count("errors", self.errors),
            real("bulk_time", Some(self.bulk_s)),
            real("bulk_idle_time", Some(self.bulk_idle_s)),
        ];
        for (phase, latency) in [("queue", self.queue), ("prepare", self.prepare), ("inference", self.inference)] {
            for (of, measured) in [("", latency.total), ("_minute", latency.minute)] {
                // Of nothing, there are none.
                let time = |value: f64| (measured.count > 0).then_some(value);
                row.push(count(&format!("{phase}_count{of}"), measured.count));
                row.push(real(&format!("{phase}_p50{of}"), time(measured.p50)));
                row.push(real(&format!("{phase}_p95{of}"), time(measured.p95)));
                row.push(real(&format!("{phase}_p99{of}"), time(measured.p99)));
            }
        }
        row
    }
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

/// One endpoint of a remote encoder, since the server started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EndpointStatistics {
    /// `owner/name`.
    pub model: String,
    /// `text` or `image`.
    pub encoder: String,
    /// Its URL and, where that has a name, the address.
    pub endpoint: String,
    /// `healthy`, `checking` or `down`.
    pub state: String,
    /// The version of the model that it runs.
    pub version: Option<String>,
    /// Requests under way now.
    pub in_flight: u32,
    /// Requests that ended.
    pub requests: u64,
    /// Requests and checks that failed.
    pub failures: u64,
    /// Mean time of the requests that were answered, in milliseconds.
    pub latency_ms: Option<f64>,
    /// The latest failure.
    pub last_error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names and types of the columns that SQL declares.
    fn declared(sql: &str) -> Vec<(String, &str)> {
        let (_, rest) = sql.split_once("clip_stat_get_server(\n").expect("it is declared");
        let (columns, _) = rest.split_once("RETURNS SETOF").expect("it returns rows");
        let columns = columns.lines().map(|line| line.split("--").next().unwrap_or_default());
        let columns: Vec<&str> = columns.flat_map(|line| line.split("OUT ").skip(1)).collect();
        let of = |column: &&'_ str| -> Option<(String, bool)> {
            let (name, kind) = column.trim().trim_end_matches([',', ')']).split_once(' ')?;
            Some((name.to_owned(), kind == "bigint"))
        };
        columns.iter().filter_map(of).map(|(name, is_count)| (name, if is_count { "count" } else { "real" })).collect()
    }

    #[test]
    fn the_row_is_what_sql_declares() {
        let row: Vec<(String, &str)> = Statistics::default()
            .row()
            .into_iter()
            .map(|(name, value)| (name, if matches!(value, Value::Count(_)) { "count" } else { "real" }))
            .collect();
        assert_eq!(
            row,
            declared(include_str!(concat!("../../../sql/clip_search--", env!("CARGO_PKG_VERSION"), ".sql")))
        );
    }

    #[test]
    fn what_was_not_measured_is_null() {
        let mut statistics = Statistics { batch_items: 6, ..Statistics::default() };
        let value = |statistics: &Statistics, name: &str| {
            statistics.row().into_iter().find(|(column, _)| column == name).expect("a column").1
        };
        assert_eq!(value(&statistics, "mean_batch_size"), Value::Real(None));
        assert_eq!(value(&statistics, "queue_p99"), Value::Real(None));
        statistics.batches = 4;
        statistics.prepare.minute = Quantiles { count: 2, p50: 1.0, p95: 2.0, p99: 3.0 };
        assert_eq!(value(&statistics, "mean_batch_size"), Value::Real(Some(1.5)));
        assert_eq!(value(&statistics, "prepare_p95_minute"), Value::Real(Some(2.0)));
        assert_eq!(value(&statistics, "prepare_p95"), Value::Real(None));
    }
}
