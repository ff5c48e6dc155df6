//! `clip_models`, `clip_restart_server`.

use super::arguments::Arguments;
use super::sql_function;
use crate::errors::Result;
use crate::result_rows::{Rows, real};
use crate::{client, encoding, settings, supervisor, text};
use pgrx::pg_sys::Datum;
use pgrx::{IntoDatum, JsonB};
use protocol::Nearness;

sql_function!(clip_models_wrapper, pg_finfo_clip_models_wrapper, models);
sql_function!(clip_restart_server, pg_finfo_clip_restart_server, |_| restart());

fn restart() -> Result<Datum> {
    // The supervisor knows, also where the server answers nobody. One of an older release does not say.
    let old = supervisor::server_pid().or_else(|| client::server_pid().ok().flatten());
    restart_server(old)?;
    Ok(Datum::from(true))
}

/// Returns when the new server listens: the next statement is its.
pub(super) fn restart_server(old: Option<u32>) -> Result<()> {
    supervisor::restart()?;
    client::wait_for_another(old)
}

/// The installed models. A model that cannot be used has a row too, with the reason in `error`.
fn models(call: Arguments) -> Result<Datum> {
    let default = settings::model();
    let models = client::models()?;
    let mut rows = Rows::begin(call.0);
    let text = |text: String| Some(text::to_datum(&encoding::for_message(text)));
    let number = |value: Option<u32>| value.map(|value| Datum::from(value as i32));
    for model in models {
        rows.push(|| {
            [
                text(model.name.clone()),
                Some(Datum::from(model.name == default)),
                number(model.dimension),
                model.image_size.and_then(|(height, width)| text(format!("{width}x{height}"))),
                number(model.context_length),
                model.logit_scale.map(|scale| real(scale as f32)),
                model.precision.and_then(text),
                text(model.device),
                model.execution_provider.and_then(text),
                model.loaded.into_datum(),
                model.size_bytes.map(|bytes| Datum::from(bytes as i64)),
                model.fingerprint.and_then(text),
                model.error.and_then(text),
                model.quantized.and_then(nearness),
            ]
        });
    }
    Ok(Datum::null())
}

/// Cosines of 8-bit vectors to those of 32 bits, as jsonb.
fn nearness([text, image]: [Nearness; 2]) -> Option<Datum> {
    let of = |near: Nearness| serde_json::json!({ "lowest": near.lowest, "median": near.median });
    JsonB(serde_json::json!({ "text": of(text), "image": of(image) })).into_datum()
}
