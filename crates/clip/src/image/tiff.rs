//! TIFF: its many kinds of samples to 8 bits, with the meaning that PIL gives them.

use std::io::{Cursor, ErrorKind, Read, Seek};
use std::num::NonZeroUsize;

use image::{DynamicImage, GrayAlphaImage, GrayImage, RgbImage, RgbaImage};
use tiff::decoder::{BufferLayoutPreference, Decoder, DecodingResult, Limits as TiffLimits};
use tiff::tags::Tag;
use tiff::{ColorType, TiffError, TiffResult};

use super::frames::{Delay, Sequence};
use super::info::MOST_FRAMES;
use super::limits::{Limits, check_size, corrupt, memory, truncated, unsupported};
use super::reading::Reading;
use super::samples::{Gray16, cmyk_to_rgb, high, palette_to_rgb, to_8_bits, unmultiply, unpack, ycbcr_to_rgb};
use super::tiff_tags::{Prepared, prepare};
use super::{decode, orientation, tiff_fax, tiff_jpeg, tiff_tags};
use crate::error::{Error, Result};

const NAME: &str = "TIFF";

/// Decodes the first page and turns it the way its orientation says, which PIL does too, for this format alone.
pub(super) fn read(bytes: &[u8], limits: &Limits, gray16: Gray16) -> Result<DynamicImage> {
    let failed = |error| failure(bytes.len(), error);
    let Prepared { bytes, has_palette, is_inverted, twelve_bits, lzw_tiles } = prepare(bytes);
    let mut decoder = Decoder::new(Cursor::new(&bytes[..])).map_err(failed)?;
    let (mut width, height) = decoder.dimensions().map_err(failed)?;
    let (shown_width, shown_height) = lzw_tiles.unwrap_or((width, height));
    let pixels = check_size(NAME, shown_width, shown_height, limits)?;
    let tiff_limits = tiff_limits(pixels);
    decoder = decoder.with_limits(tiff_limits.clone());

    check_parts(&mut decoder, bytes.len() as u64, pixels)?;

    let colour = decoder.colortype().map_err(failed)?;
    let (channels, bits) = channels(colour)?;
    let levels = match tiff_jpeg::read(&mut decoder, &bytes, colour, channels)? {
        Some(levels) => levels,
        None => {
            let levels = levels(&mut decoder, &bytes, (channels, bits), has_palette, lzw_tiles, gray16, &tiff_limits)?;
            if matches!(colour, ColorType::YCbCr(_)) { ycbcr_to_rgb(levels) } else { levels }
        }
    };
    let levels = match twelve_bits {
        Some(true_width) => {
            width = true_width;
            // Each sample as three levels of 4 bits.
            levels
                .chunks_exact(3)
                .map(|part| gray16.level(part.iter().fold(0, |sum, part| sum << 4 | u16::from(part & 15)), 12))
                .collect()
        }
        None => levels,
    };
    // PIL does not turn gray of more bits.
    let levels = if is_inverted && (gray16 == Gray16::Scale || bits <= 8 && twelve_bits.is_none()) {
        levels.into_iter().map(|level| !level).collect()
    } else {
        levels
    };

    let tag = |decoder: &mut Decoder<_>, tag| decoder.find_tag_unsigned_vec::<u16>(tag).ok().flatten();
    let premultiplied = tag(&mut decoder, Tag::ExtraSamples).is_some_and(|kinds| kinds.first() == Some(&1));
    let image = match colour {
        ColorType::Gray(_) if has_palette => {
            let map = tag(&mut decoder, Tag::ColorMap).ok_or_else(|| corrupt(NAME, "it has no palette"))?;
            let map: Vec<u8> = map.into_iter().map(high).collect();
            RgbImage::from_raw(width, height, palette_to_rgb(&levels, &map)).map(DynamicImage::from)
        }
        ColorType::Gray(_) => GrayImage::from_raw(width, height, levels).map(DynamicImage::from),
        ColorType::RGB(_) | ColorType::YCbCr(_) => RgbImage::from_raw(width, height, levels).map(DynamicImage::from),
        ColorType::RGBA(_) if premultiplied => {
            RgbaImage::from_raw(width, height, unmultiply(levels)).map(DynamicImage::from)
        }
        ColorType::RGBA(_) => RgbaImage::from_raw(width, height, levels).map(DynamicImage::from),
        ColorType::CMYK(_) => RgbImage::from_raw(width, height, cmyk_to_rgb(&levels)).map(DynamicImage::from),
        _ => GrayAlphaImage::from_raw(width, height, levels).map(DynamicImage::from),
    };
    let mut image = image.ok_or_else(|| corrupt(NAME, "it has fewer samples than pixels"))?;
    if lzw_tiles.is_some() {
        image = image.crop_imm(0, 0, shown_width, shown_height);
    }
    image.apply_orientation(orientation::of_tiff(&bytes));
    Ok(image)
}

/// The pages, each in the place of the first.
pub(super) struct Pages {
    bytes: Vec<u8>,
    directories: std::vec::IntoIter<u64>,
    limits: Limits,
    reading: Reading,
}

impl Pages {
    pub(super) fn new(bytes: &[u8], limits: &Limits, reading: Reading) -> Self {
        let directories = tiff_tags::pages(bytes, MOST_FRAMES).into_iter();
        Self { bytes: bytes.to_vec(), directories, limits: *limits, reading }
    }
}

impl Sequence for Pages {
    fn advance(&mut self) -> Result<Option<Delay>> {
        let Some(directory) = self.directories.next() else { return Ok(None) };
        tiff_tags::begin_with(&mut self.bytes, directory);
        Ok(Some(Delay::Unknown))
    }

    fn image(&mut self) -> Result<DynamicImage> {
        decode::open(&self.bytes, &self.limits, self.reading, None).map(|opened| opened.image)
    }
}

/// Strips and tiles that share bytes of the file may have so many times its bytes together. Some programs write equal tiles
/// once; a few kilobytes that thousands of strips name take hours.
const MAX_SHARED: u64 = 4;

/// Checks where the strips and tiles are. Together they have no more bytes than [`MAX_SHARED`] files, or one for each pixel.
/// And the decoder of JPEG inside fills what is missing of it with gray.
fn check_parts<R: Read + Seek>(decoder: &mut Decoder<R>, length: u64, pixels: u64) -> Result<()> {
    const JPEG: u64 = 7;
    let mut values = |tag| decoder.find_tag_unsigned_vec::<u64>(tag).ok().flatten().unwrap_or_default();
    let is_jpeg = values(Tag::Compression) == [JPEG];
    for (starts, lengths) in [(Tag::StripOffsets, Tag::StripByteCounts), (Tag::TileOffsets, Tag::TileByteCounts)] {
        let (starts, lengths) = (values(starts), values(lengths));
        let mut ends = starts.into_iter().zip(&lengths).map(|(start, length)| start.saturating_add(*length));
        if is_jpeg && ends.any(|end| end > length) {
            return Err(truncated(NAME, length as usize));
        }
        let sum = lengths.iter().fold(0_u64, |sum, length| sum.saturating_add(*length));
        let most = length.saturating_mul(MAX_SHARED).max(pixels);
        if sum > most {
            let reason = format!("its strips or tiles have {sum} bytes together, and the file has {length}");
            return Err(corrupt(NAME, &reason));
        }
    }
    Ok(())
}

/// The channels of all pixels, interleaved, 8 bits each; indices where there is a palette.
fn levels<R: Read + Seek>(
    decoder: &mut Decoder<R>,
    bytes: &[u8],
    (channels, bits): (usize, u8),
    has_palette: bool,
    lzw_tiles: Option<(u32, u32)>,
    gray16: Gray16,
    limits: &TiffLimits,
) -> Result<Vec<u8>> {
    let failed = |error| failure(bytes.len(), error);
    let width = decoder.dimensions().map_err(failed)?.0 as usize;
    if (channels, bits) == (1, 1)
        && let Some(rows) = tiff_fax::read(decoder, bytes)?
    {
        return Ok(unpack(&rows, width, 1, has_palette));
    }
    let mut samples = DecodingResult::U8(Vec::new());
    let layout = match lzw_tiles {
        Some(_) => read_tiles(decoder, &mut samples, limits),
        None => decoder.read_image_to_buffer(&mut samples),
    };
    let layout = layout.map_err(failed)?;
    let planes = layout.planes.min(channels);
    if samples.as_buffer(0).byte_len() < layout.complete_len {
        return Err(unsupported(NAME, "decoding takes too much memory"));
    }
    let levels = match samples {
        DecodingResult::U8(packed) if bits < 8 => unpack(&packed, width * channels / planes, bits.into(), has_palette),
        samples => to_8_bits(samples, channels == 1, gray16)
            .ok_or_else(|| unsupported(NAME, &format!("samples of {bits} bits")))?,
    };
    Ok(if planes > 1 { interleave(&levels, planes) } else { levels })
}

/// Reads tile by tile, each as a whole, an image whose sides are multiples of its tiles'.
fn read_tiles<R: Read + Seek>(
    decoder: &mut Decoder<R>,
    samples: &mut DecodingResult,
    limits: &TiffLimits,
) -> TiffResult<BufferLayoutPreference> {
    let layout = decoder.image_buffer_layout()?;
    samples.resize_to(&layout, limits)?;
    let mut buffer = samples.as_buffer(0);
    let (tile_width, tile_height) = decoder.chunk_dimensions();
    let (width, height) = decoder.dimensions()?;
    let (across, down) = ((width / tile_width) as usize, (height / tile_height) as usize);
    let stride = |stride: Option<NonZeroUsize>| stride.map_or(0, NonZeroUsize::get);
    for index in 0..across * down * layout.planes {
        let tile_layout = decoder.image_chunk_buffer_layout(index as u32)?;
        let mut tile = vec![0; tile_layout.len];
        decoder.read_chunk_bytes(index as u32, &mut tile)?;
        let row_length = stride(tile_layout.row_stride);
        let (x, y, plane) = (index % across, index / across % down, index / across / down);
        for (row, from) in tile.chunks_exact(row_length).enumerate() {
            let row = y * tile_height as usize + row;
            let at = plane * stride(layout.plane_stride) + row * stride(layout.row_stride) + x * row_length;
            buffer.as_bytes_mut()[at..at + row_length].copy_from_slice(from);
        }
    }
    Ok(layout)
}

/// Channels, and bits of each.
fn channels(colour: ColorType) -> Result<(usize, u8)> {
    match colour {
        ColorType::Gray(bits @ (1 | 2 | 4 | 8 | 16 | 32)) => Ok((1, bits)),
        ColorType::Multiband { bit_depth: 8, num_samples: 2 } => Ok((2, 8)),
        ColorType::RGB(bits @ (8 | 16 | 32)) => Ok((3, bits)),
        ColorType::RGBA(bits @ (8 | 16 | 32)) | ColorType::CMYK(bits @ (8 | 16)) => Ok((4, bits)),
        ColorType::YCbCr(8) => Ok((3, 8)),
        other => Err(unsupported(NAME, &format!("its colours are {other:?}"))),
    }
}

fn interleave(levels: &[u8], planes: usize) -> Vec<u8> {
    let pixels = levels.len() / planes;
    let mut interleaved = vec![0; levels.len()];
    for (plane, values) in levels.chunks_exact(pixels).enumerate() {
        interleaved[plane..].iter_mut().step_by(planes).zip(values).for_each(|(to, from)| *to = *from);
    }
    interleaved
}

fn tiff_limits(pixels: u64) -> TiffLimits {
    let mut limits = TiffLimits::default();
    limits.decoding_buffer_size =
        memory(pixels).max_alloc.and_then(|bytes| bytes.try_into().ok()).unwrap_or(usize::MAX);
    limits.intermediate_buffer_size = limits.decoding_buffer_size;
    // Each value of a tag takes 32 bytes in memory, however short it is in the file.
    limits.ifd_value_size = 1 << 20;
    limits
}

fn failure(length: usize, error: TiffError) -> Error {
    match error {
        TiffError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => truncated(NAME, length),
        TiffError::UnsupportedError(error) => unsupported(NAME, &error.to_string()),
        TiffError::LimitsExceeded => unsupported(NAME, "decoding takes too much memory"),
        error => corrupt(NAME, &error.to_string()),
    }
}
