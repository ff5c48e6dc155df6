//! `clip_stat_get_server`, `clip_stat_get_models`, `clip_stat_reset`: what the views show.
//!
//! They never start a server: a dashboard that looks every ten seconds would undo `clip_search.server_idle_timeout`.

use super::arguments::Arguments;
use super::rows::Rows;
use super::sql_function;
use crate::client;
use crate::errors::Result;
use pgrx::IntoDatum;
use pgrx::pg_sys::Datum;
use protocol::Quantiles;

sql_function!(clip_stat_get_server, pg_finfo_clip_stat_get_server, server);
sql_function!(clip_stat_get_models, pg_finfo_clip_stat_get_models, models);
sql_function!(clip_stat_reset, pg_finfo_clip_stat_reset, |_| reset());

/// Columns of each phase of an item's way: quantiles since the reset, and those of the last minute.
const PHASE: usize = 8;

/// One row, or none where no server runs. The server's own times are in seconds, those of phases in milliseconds.
fn server(call: Arguments) -> Result<Datum> {
    let found = client::statistics()?;
    let mut rows = Rows::begin(call.0);
    if let Some(s) = found {
        rows.push(|| {
            let mean = (s.batches > 0).then(|| s.batch_items as f64 / s.batches as f64);
            let counters = [
                number(s.pid.into()),
                s.uptime_s.into_datum(),
                s.since_reset_s.into_datum(),
                number(s.restarts.into()),
                number(s.resident_bytes),
                number(s.connections.into()),
                number(s.connections_refused),
                number(s.queue_items),
                number(s.queue_bytes),
                number(s.waiting.into()),
                number(s.in_flight.into()),
                number(s.interactive),
                number(s.bulk),
                number(s.batches),
                mean.into_datum(),
                number(s.cache_hits),
                number(s.shared),
                number(s.cache_bytes),
                number(s.errors),
            ];
            let mut row = [None; 19 + 3 * PHASE];
            let (first, phases) = row.split_at_mut(counters.len());
            first.copy_from_slice(&counters);
            for (columns, latency) in phases.chunks_exact_mut(PHASE).zip([s.queue, s.prepare, s.inference]) {
                columns.copy_from_slice(&[quantiles(latency.total), quantiles(latency.minute)].concat());
            }
            row
        });
    }
    Ok(Datum::null())
}

/// Of nothing, there are none.
fn quantiles(measured: Quantiles) -> [Option<Datum>; 4] {
    let Quantiles { count, p50, p95, p99 } = measured;
    let time = |value: f64| if count > 0 { value.into_datum() } else { None };
    [number(count), time(p50), time(p95), time(p99)]
}

/// A row for each encoder that was used.
fn models(call: Arguments) -> Result<Datum> {
    let found = client::statistics()?;
    let mut rows = Rows::begin(call.0);
    for encoder in found.into_iter().flat_map(|statistics| statistics.models) {
        rows.push(|| {
            let [_, p50, p95, p99] = quantiles(encoder.inference.total);
            [
                encoder.model.into_datum(),
                encoder.encoder.into_datum(),
                encoder.provider.into_datum(),
                encoder.loaded.into_datum(),
                number(encoder.memory_bytes),
                encoder.load_ms.into_datum(),
                number(encoder.loads),
                number(encoder.items),
                number(encoder.batches),
                encoder.inference_ms.into_datum(),
                p50,
                p95,
                p99,
                number(encoder.errors),
                encoder.idle_s.into_datum(),
            ]
        });
    }
    Ok(Datum::null())
}

fn reset() -> Result<Datum> {
    client::reset_statistics()?;
    Ok(Datum::from(0_usize))
}

/// A bigint.
fn number(value: u64) -> Option<Datum> {
    (value as i64).into_datum()
}
