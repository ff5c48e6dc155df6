//! The frames of a GIF on its screen, as PIL lays them there.

use std::io::Cursor;

use gif::{ColorOutput, DecodeOptions, Decoder, DecodingError, DisposalMethod, MemoryLimit};
use image::{DynamicImage, Rgba, RgbaImage};

use super::canvas::{Area, Undo, shown};
use super::frames::{Delay, Sequence};
use super::limits::{Limits, check_size, corrupt, truncated};
use crate::error::Result;

const NAME: &str = "GIF";

/// The first frame.
pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<DynamicImage> {
    let mut frames = Frames::new(bytes, limits)?;
    frames.advance()?.ok_or_else(|| corrupt(NAME, "it has no frame"))?;
    Ok(shown(frames.screen, frames.has_alpha))
}

/// Frame by frame.
pub(super) struct Frames<'a> {
    decoder: Decoder<Cursor<&'a [u8]>>,
    bytes: &'a [u8],
    limits: Limits,
    /// Without a pixel before the first frame.
    screen: RgbaImage,
    /// Whether the first frame has a transparent colour: as with PIL, what later ones have only lets through what is below.
    has_alpha: bool,
    /// What becomes of the latest frame before the next.
    undo: Undo,
}

impl<'a> Frames<'a> {
    pub(super) fn new(bytes: &'a [u8], limits: &Limits) -> Result<Self> {
        let mut options = DecodeOptions::new();
        options.set_color_output(ColorOutput::Indexed);
        // The size is checked below.
        options.set_memory_limit(MemoryLimit::Unlimited);
        let decoder = options.read_info(Cursor::new(bytes)).map_err(|error| failure(bytes, &error))?;
        check_size(NAME, decoder.width().into(), decoder.height().into(), limits)?;
        let screen = RgbaImage::new(0, 0);
        Ok(Self { decoder, bytes, limits: *limits, screen, has_alpha: false, undo: Undo::Nothing })
    }
}

impl Sequence for Frames<'_> {
    fn advance(&mut self) -> Result<Option<Delay>> {
        let bytes = self.bytes;
        let failed = |error| failure(bytes, &error);
        let is_first = self.screen.is_empty();
        std::mem::take(&mut self.undo).apply(&mut self.screen);
        let frame = match self.decoder.next_frame_info() {
            // Many files have no mark of their end.
            Err(DecodingError::UnexpectedEof) if !is_first => None,
            other => other.map_err(failed)?,
        };
        let Some(frame) = frame else { return Ok(None) };
        let area = Area {
            left: frame.left.into(),
            top: frame.top.into(),
            width: frame.width.into(),
            height: frame.height.into(),
        };
        let (transparent, disposal, delay) = (frame.transparent, frame.dispose, frame.delay);
        if area.width > 0 && area.height > 0 {
            check_size(NAME, area.width, area.height, &self.limits)?;
        }

        let palette = self.decoder.palette().map(<[u8]>::to_vec).unwrap_or_default();
        let colours: [Rgba<u8>; 256] = std::array::from_fn(|index| {
            // Without a palette, or beyond its end, indices are levels of gray.
            let colour = palette.get(index * 3..index * 3 + 3).map_or([index as u8; 3], |c| [c[0], c[1], c[2]]);
            let alpha = if transparent.map(usize::from) == Some(index) { 0 } else { 255 };
            Rgba([colour[0], colour[1], colour[2], alpha])
        });
        if is_first {
            // A frame that does not fit makes the screen larger.
            let width = u32::from(self.decoder.width()).max(area.left + area.width);
            let height = u32::from(self.decoder.height()).max(area.top + area.height);
            check_size(NAME, width, height, &self.limits)?;
            // Not the background colour that the file names: nobody heeds that.
            let around = colours[usize::from(transparent.unwrap_or(0))];
            self.screen = RgbaImage::from_pixel(width, height, around);
            self.has_alpha = transparent.is_some();
        }
        let mut indices = vec![0; area.width as usize * area.height as usize];
        self.decoder.read_into_buffer(&mut indices).map_err(failed)?;

        self.undo = match (disposal, transparent) {
            // Where there is no transparent colour, PIL does heed the background colour.
            (DisposalMethod::Background, _) => {
                let index = transparent.map_or(self.decoder.bg_color().unwrap_or(0), usize::from);
                Undo::Fill(area, colours[index])
            }
            (DisposalMethod::Previous, Some(transparent)) if is_first => {
                Undo::Fill(area, colours[usize::from(transparent)])
            }
            (DisposalMethod::Previous, _) if !is_first => Undo::restore(&self.screen, area),
            _ => Undo::Nothing,
        };
        let passed_over = if is_first { None } else { transparent };
        for (row, indices) in (area.top..).zip(indices.chunks_exact(area.width.max(1) as usize)) {
            for (column, index) in (area.left..).zip(indices) {
                // Later frames are cut at the edge of the screen.
                if Some(*index) != passed_over
                    && let Some(pixel) = self.screen.get_pixel_mut_checked(column, row)
                {
                    *pixel = colours[usize::from(*index)];
                }
            }
        }
        Ok(Some(Delay::Milliseconds(u32::from(delay) * 10)))
    }

    fn image(&mut self) -> Result<DynamicImage> {
        Ok(shown(self.screen.clone(), self.has_alpha))
    }
}

fn failure(bytes: &[u8], error: &DecodingError) -> crate::Error {
    match error {
        DecodingError::Io(io) if io.kind() == std::io::ErrorKind::UnexpectedEof => truncated(NAME, bytes.len()),
        _ => corrupt(NAME, &error.to_string()),
    }
}
