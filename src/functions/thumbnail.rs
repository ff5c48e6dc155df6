//! `clip_thumbnail`: an image made small. The server decodes; this process holds encoded bytes only.

use super::arguments::{Arguments, required, within};
use super::sql_function;
use crate::errors::{Error, Result};
use crate::{client, embedding, text};
use pgrx::pg_sys::Datum;

sql_function!(clip_thumbnail, pg_finfo_clip_thumbnail, thumbnail);

/// Longest side that can be asked for, in pixels: beyond it, an image is no thumbnail.
pub const MAX_SIDE: i32 = 4096;

/// NULL where there is no image.
fn thumbnail(call: Arguments) -> Result<Option<Datum>> {
    let max_side = within(call.bigint(1), "max_side", 1, MAX_SIDE)?;
    let Some(image) = call.bytes(0) else { return Ok(None) };
    embedding::check_image_size(image.len())?;
    let mut made = client::thumbnails(vec![image], max_side as u32)?;
    let small = required(made.pop(), "image")?.map_err(Error::Server)?;
    Ok(Some(text::bytes_to_datum(&small.bytes)))
}
