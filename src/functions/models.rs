//! `clip_install_model`, `clip_verify_model`, `clip_quantize_model`, `clip_remove_model`.

use super::arguments::{Arguments, required};
use super::{server, sql_function};
use crate::errors::Result;
use crate::models::{self, Install, notice};
use crate::result_rows::Rows;
use crate::{encoding, settings, supervisor, text};
use pgrx::IntoDatum;
use pgrx::pg_sys::Datum;

sql_function!(clip_install_model, pg_finfo_clip_install_model, install);
sql_function!(clip_verify_model, pg_finfo_clip_verify_model, verify);
sql_function!(clip_quantize_model, pg_finfo_clip_quantize_model, quantize);
sql_function!(clip_remove_model, pg_finfo_clip_remove_model, remove);

/// The name of the model.
fn install(call: Arguments) -> Result<Datum> {
    let what = Install {
        source: required(call.text(0), "source")?,
        revision: call.text(1),
        precision: call.text(2),
        as_name: call.text(3),
    };
    let is_first = !settings::model_dir().exists();
    let model = models::install(&what)?;
    // The server's sandbox has no rule for a folder that was not there when it started. It would notice within seconds.
    if is_first && let Some(pid) = supervisor::server_pid() {
        server::restart_server(Some(pid))?;
    }
    if model.replaced {
        notice(
            &format!("model \"{}\" was replaced by another revision", model.name),
            Some("SELECT clip_restart_server() has it used; embed again what the old one has embedded."),
        );
    }
    Ok(text::to_datum(&model.name))
}

/// One row.
fn verify(call: Arguments) -> Result<Datum> {
    let model = models::verify(&required(call.text(0), "name")?)?;
    let mut rows = Rows::begin(call.0);
    rows.push(|| {
        let damaged: Vec<String> = model.damaged.into_iter().map(encoding::for_message).collect();
        [
            model.ok.into_datum(),
            (model.files as i32).into_datum(),
            damaged.into_datum(),
            model.text_cosine.into_datum(),
            model.image_cosine.into_datum(),
            model.identical.into_datum(),
            model.error.map(|error| text::to_datum(&encoding::for_message(error))),
        ]
    });
    Ok(Datum::null())
}

/// One row.
fn quantize(call: Arguments) -> Result<Datum> {
    let model = models::quantize(&required(call.text(0), "name")?, call.boolean(1).unwrap_or(false))?;
    let mut rows = Rows::begin(call.0);
    rows.push(|| {
        [model.text.lowest, model.text.median, model.image.lowest, model.image.median].map(IntoDatum::into_datum)
    });
    Ok(Datum::null())
}

/// STRICT.
fn remove(call: Arguments) -> Result<Datum> {
    models::remove(&call.text(0).expect("STRICT"))?;
    Ok(Datum::null())
}
