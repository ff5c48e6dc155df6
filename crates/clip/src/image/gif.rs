//! The first frame of a GIF on its screen, as PIL lays it there.

use std::io::Cursor;

use gif::{ColorOutput, DecodeOptions, DecodingError, MemoryLimit};
use image::{DynamicImage, RgbaImage};

use super::limits::{Limits, check_size, corrupt, truncated};
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

    let colours: [image::Rgba<u8>; 256] = std::array::from_fn(|index| {
        // Without a palette, or beyond its end, indices are levels of gray.
        let colour = palette.get(index * 3..index * 3 + 3).map_or([index as u8; 3], |c| [c[0], c[1], c[2]]);
        let alpha = if transparent.map(usize::from) == Some(index) { 0 } else { 255 };
        image::Rgba([colour[0], colour[1], colour[2], alpha])
    });
    // Not the background colour that the file names: nobody heeds that.
    let around = colours[usize::from(transparent.unwrap_or(0))];
    let mut screen = RgbaImage::from_pixel(screen_width, screen_height, around);
    for (index, at) in indices.iter().zip(0u32..) {
        screen.put_pixel(left + at % width, top + at / width, colours[usize::from(*index)]);
    }
    let screen = DynamicImage::from(screen);
    Ok(if transparent.is_some() { screen } else { DynamicImage::from(screen.into_rgb8()) })
}
