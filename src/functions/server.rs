//! `clip_models`, `clip_restart_server`.

use super::sql_function;
use crate::errors::{Result, or_raise};
use crate::{client, settings, supervisor};
use pgrx::prelude::*;

sql_function!(clip_restart_server, pg_finfo_clip_restart_server, |_| restart());

fn restart() -> Result<pg_sys::Datum> {
    // The supervisor knows, also where the server answers nobody. One of an older release does not say.
    let old = supervisor::server_pid().or_else(|| client::server_pid().ok().flatten());
    restart_server(old)?;
    Ok(pg_sys::Datum::from(true))
}

/// Returns when the new server listens: the next statement is its.
pub(super) fn restart_server(old: Option<u32>) -> Result<()> {
    supervisor::restart()?;
    client::wait_for_another(old)
}

/// The installed models. A model that cannot be used has a row too, with the reason in `error`.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)]
fn clip_models() -> TableIterator<
    'static,
    (
        name!(name, String),
        name!(is_default, bool),
        name!(dimension, Option<i32>),
        name!(image_size, Option<String>),
        name!(context_length, Option<i32>),
        name!(logit_scale, Option<f32>),
        name!(precision, Option<String>),
        name!(device, String),
        name!(execution_provider, Option<String>),
        name!(loaded, Vec<String>),
        name!(size_bytes, Option<i64>),
        name!(fingerprint, Option<String>),
        name!(error, Option<String>),
    ),
> {
    let default = settings::model();
    let number = |value: Option<u32>| value.map(|value| value as i32);
    TableIterator::new(or_raise(client::models()).into_iter().map(move |model| {
        (
            model.name.clone(),
            model.name == default,
            number(model.dimension),
            model.image_size.map(|(height, width)| format!("{width}x{height}")),
            number(model.context_length),
            model.logit_scale.map(|scale| scale as f32),
            model.precision,
            model.device,
            model.execution_provider,
            model.loaded,
            model.size_bytes.map(|bytes| bytes as i64),
            model.fingerprint,
            model.error,
        )
    }))
}
