//! `clip_image_info`: what an image is like. Bad bytes are no error: they are what it is for.

use super::arguments::Arguments;
use super::sql_function;
use crate::errors::Result;
use crate::result_rows::Rows;
use crate::{client, encoding, text};
use pgrx::pg_sys::Datum;

sql_function!(clip_image_info, pg_finfo_clip_image_info, image_info);

/// One row; none where there is no image.
fn image_info(call: Arguments) -> Result<Datum> {
    let mut rows = Rows::begin(call.0);
    let Some(image) = call.bytes(0) else { return Ok(Datum::null()) };
    let bytes = image.len();
    let info = client::image_info(image)?;
    let number = |number: Option<u32>| number.map(|number| Datum::from(number as i32));
    rows.push(|| {
        [
            info.format.as_deref().map(text::to_datum),
            number(info.width),
            number(info.height),
            number(info.orientation.map(u32::from)),
            number(info.frames),
            info.has_alpha.map(Datum::from),
            Some(Datum::from(bytes as i32)),
            info.error.map(|error| text::to_datum(&encoding::for_message(error))),
        ]
    });
    Ok(Datum::null())
}
