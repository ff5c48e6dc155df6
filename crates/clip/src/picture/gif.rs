//! The first frame of a GIF on its screen, as PIL lays it there.

use std::io::Cursor;

use gif::{ColorOutput, DecodeOptions, DecodingError, MemoryLimit};
use image::{DynamicImage, RgbaImage};

use super::decode::{Limits, check_size, corrupt, truncated};
use crate::error::Result;

const NAME: &str = "GIF";

pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<DynamicImage> {
    let failed = |error: DecodingError| match &error {
        DecodingError::Io(io) if io.kind() == std::io::ErrorKind::UnexpectedEof => truncated(NAME, bytes.len()),
        _ => corrupt(NAME, &error.to_string()),
    };
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    // The size is checked below.
    options.set_memory_limit(MemoryLimit::Unlimited);
    let mut decoder = options.read_info(Cursor::new(bytes)).map_err(failed)?;
    let (screen_width, screen_height) = (u32::from(decoder.width()), u32::from(decoder.height()));
    check_size(NAME, screen_width, screen_height, limits)?;

    let frame = decoder.next_frame_info().map_err(failed)?.ok_or_else(|| corrupt(NAME, "it has no frame"))?;
    let (left, top) = (u32::from(frame.left), u32::from(frame.top));
    let (width, height) = (u32::from(frame.width), u32::from(frame.height));
    let transparent = frame.transparent;
    // A frame that does not fit makes the screen larger.
    let (screen_width, screen_height) = (screen_width.max(left + width), screen_height.max(top + height));
    check_size(NAME, screen_width, screen_height, limits)?;

    let palette = decoder.palette().map(<[u8]>::to_vec).unwrap_or_default();
    let mut indices = vec![0; width as usize * height as usize];
    decoder.read_into_buffer(&mut indices).map_err(failed)?;

    let pixel = |index: u8| {
        let colour = palette.get(usize::from(index) * 3..usize::from(index) * 3 + 3);
        // Without a palette, or beyond its end, indices are levels of gray.
        let [red, green, blue] = colour.map_or([index; 3], |colour| [colour[0], colour[1], colour[2]]);
        image::Rgba([red, green, blue, if transparent == Some(index) { 0 } else { 255 }])
    };
    // Not the background colour that the file names: nobody heeds that.
    let mut screen = RgbaImage::from_pixel(screen_width, screen_height, pixel(transparent.unwrap_or(0)));
    for (index, at) in indices.iter().zip(0u32..) {
        screen.put_pixel(left + at % width, top + at / width, pixel(*index));
    }
    let screen = DynamicImage::from(screen);
    Ok(if transparent.is_some() { screen } else { DynamicImage::from(screen.into_rgb8()) })
}
