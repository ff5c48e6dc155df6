//! `clip_stat_get_server`, `clip_stat_get_models`, `clip_stat_get_endpoints`, `clip_stat_reset`: what the views show.
//!
//! They never start a server: a dashboard that looks every ten seconds would undo `clip_search.server_idle_timeout`.

use super::arguments::Arguments;
use super::sql_function;
use crate::client;
use crate::errors::Result;
use crate::result_rows::Rows;
use crate::text;
use pgrx::IntoDatum;
use pgrx::pg_sys::Datum;
use protocol::{Quantiles, Value};

sql_function!(clip_stat_get_server, pg_finfo_clip_stat_get_server, server);
sql_function!(clip_stat_get_models, pg_finfo_clip_stat_get_models, models);
sql_function!(clip_stat_get_endpoints, pg_finfo_clip_stat_get_endpoints, endpoints);
sql_function!(clip_stat_reset, pg_finfo_clip_stat_reset, |_| reset());

/// One row, or none where no server runs. The server's own times are in seconds, those of phases in milliseconds.
fn server(call: Arguments) -> Result<Datum> {
    let found = client::statistics()?;
    let mut rows = Rows::begin(call.0);
    if let Some(statistics) = found {
        rows.push(|| statistics.row().into_iter().map(|(_, value)| datum(value)).collect::<Vec<_>>());
    }
    Ok(Datum::null())
}

fn datum(value: Value) -> Option<Datum> {
    match value {
        Value::Count(count) => number(count),
        Value::Text(text) => text.map(|text| text::to_datum(&text)),
        Value::Real(real) => real.into_datum(),
    }
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

/// A row for each endpoint of each remote encoder that was used.
fn endpoints(call: Arguments) -> Result<Datum> {
    let found = client::statistics()?;
    let mut rows = Rows::begin(call.0);
    for endpoint in found.into_iter().flat_map(|statistics| statistics.endpoints) {
        rows.push(|| {
            [
                endpoint.model.into_datum(),
                endpoint.encoder.into_datum(),
                text::to_datum(&endpoint.endpoint).into(),
                endpoint.state.into_datum(),
                endpoint.version.map(|version| text::to_datum(&version)),
                number(endpoint.in_flight.into()),
                number(endpoint.requests),
                number(endpoint.failures),
                endpoint.latency_ms.into_datum(),
                endpoint.last_error.map(|error| text::to_datum(&error)),
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
