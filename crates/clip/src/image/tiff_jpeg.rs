//! JPEG inside TIFF, strip by strip or tile by tile, as libtiff reads it: with libjpeg.

use std::io::{Read, Seek};

use ::jpeg::{Decoder as JpegDecoder, Header, Output};
use tiff::ColorType;
use tiff::decoder::Decoder;
use tiff::tags::Tag;

use super::jpeg;
use super::limits::{corrupt, truncated};
use crate::error::Result;

const NAME: &str = "TIFF";
const JPEG: u64 = 7;

/// The image's channels as they are, but RGB for YCbCr; interleaved, 8 bits each. `None` if it is not JPEG.
pub(super) fn read<R: Read + Seek>(
    decoder: &mut Decoder<R>,
    bytes: &[u8],
    colour: ColorType,
    channels: usize,
) -> Result<Option<Vec<u8>>> {
    let mut values = |tag| decoder.find_tag_unsigned_vec::<u64>(tag).ok().flatten().unwrap_or_default();
    if values(Tag::Compression) != [JPEG] {
        return Ok(None);
    }
    let (mut starts, mut lengths) = (values(Tag::StripOffsets), values(Tag::StripByteCounts));
    if starts.is_empty() {
        (starts, lengths) = (values(Tag::TileOffsets), values(Tag::TileByteCounts));
    }
    let planes = if values(Tag::PlanarConfiguration) == [2] { channels } else { 1 };
    let failed = |error: tiff::TiffError| corrupt(NAME, &error.to_string());
    let tables = decoder.find_tag(Tag::JPEGTables).map_err(failed)?.map(|tables| tables.into_u8_vec());
    let tables = tables.transpose().map_err(failed)?;
    let (width, height) = decoder.dimensions().map_err(failed)?;
    let (chunk_width, chunk_height) = decoder.chunk_dimensions();
    let (across, down) = (width.div_ceil(chunk_width) as usize, height.div_ceil(chunk_height) as usize);
    if starts.len() != across * down * planes || lengths.len() != starts.len() {
        return Err(corrupt(NAME, &format!("it has {} strips or tiles of JPEG", starts.len())));
    }
    let output = match colour {
        ColorType::YCbCr(_) if planes == 1 => Output::RgbOfYcbcr,
        _ => Output::Components,
    };
    let (width, height) = (width as usize, height as usize);
    let mut pixels = vec![0; width * height * channels];
    for (index, (start, length)) in starts.into_iter().zip(lengths).enumerate() {
        let (x, y) = (index % across * chunk_width as usize, index / across % down * chunk_height as usize);
        let first_channel = index / across / down;
        let part = usize::try_from(start).ok().zip(usize::try_from(start.saturating_add(length)).ok());
        let part = part.and_then(|(start, end)| bytes.get(start..end)).ok_or_else(|| truncated(NAME, bytes.len()))?;

        let decoder = JpegDecoder::new(tables.as_deref(), part, false)
            .map_err(|error| jpeg::failure(NAME, bytes.len(), error))?;
        let header = decoder.header();
        let (wanted_width, wanted_height) =
            ((width - x).min(chunk_width as usize), (height - y).min(chunk_height as usize));
        let is_sound = (wanted_width..=chunk_width as usize).contains(&(header.width as usize))
            && (wanted_height..=chunk_height as usize).contains(&(header.height as usize))
            && header.components as usize * planes == channels;
        if !is_sound {
            let Header { width, height, components, .. } = header;
            return Err(corrupt(NAME, &format!("JPEG in it is {width} x {height} with {components} components")));
        }
        let bounds = jpeg::bounds(u64::from(header.width) * u64::from(header.height));
        let (levels, _) = decoder.decode(output, bounds).map_err(|error| jpeg::failure(NAME, bytes.len(), error))?;
        let components = header.components as usize;
        for (row, levels) in levels.chunks_exact(header.width as usize * components).take(wanted_height).enumerate() {
            let at = ((y + row) * width + x) * channels;
            let to = &mut pixels[at..at + wanted_width * channels];
            if planes == 1 {
                to.copy_from_slice(&levels[..to.len()]);
            } else {
                to[first_channel..].iter_mut().step_by(channels).zip(levels).for_each(|(to, from)| *to = *from);
            }
        }
    }
    Ok(Some(pixels))
}
