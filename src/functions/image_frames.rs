//! `clip_image_frames`: the frames of an animation and the pages of a file. The server decodes; this process holds encoded
//! bytes only, and one part of the frames at a time.

use super::arguments::{Arguments, within};
use super::sql_function;
use crate::errors::{Error, Raise, Result};
use crate::result_rows::Rows;
use crate::{client, embedding, encoding, text};
use pgrx::pg_sys::Datum;
use protocol::{Frame, FramesRequest};

sql_function!(clip_image_frames, pg_finfo_clip_image_frames, image_frames);

/// Most frames, and the longest step from one to the next.
const MAX_FRAMES: i32 = 100_000;
/// Most bytes of all frames of an image: a few kilobytes can be frames of gigabytes.
const MAX_BYTES: usize = 1 << 30;

/// No row where there is no image.
fn image_frames(call: Arguments) -> Result<Datum> {
    let mut rows = Rows::begin(call.0);
    let max = within(call.bigint(1), "max_frames", 1, MAX_FRAMES)? as u32;
    let every = within(call.bigint(2), "every", 1, MAX_FRAMES)? as u32;
    let Some(image) = call.bytes(0) else { return Ok(Datum::null()) };
    embedding::check_image_size(image.len())?;
    let mut bytes = 0;
    client::image_frames(FramesRequest { image: image.into(), first: 1, every, max }, |file, part| {
        for Frame { number, delay_ms, image } in part.frames {
            bytes += image.as_ref().map_or(0, |image| image.len());
            if bytes > MAX_BYTES {
                return Err(Error::FramesTooLarge { frame: number, max: MAX_BYTES });
            }
            let image = image.as_ref().map_or(file, |image| image);
            rows.push(|| {
                [
                    Some(Datum::from(number as i32)),
                    delay_ms.map(|delay| Datum::from(i32::try_from(delay).unwrap_or(i32::MAX))),
                    Some(text::bytes_to_datum(image)),
                ]
            });
        }
        if let Some(damage) = part.damage {
            Error::DamagedFrames { reason: format!("The {}.", encoding::for_message(damage)) }.warn();
        }
        Ok(())
    })?;
    Ok(Datum::null())
}
