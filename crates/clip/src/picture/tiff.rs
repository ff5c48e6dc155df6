//! TIFF: its many kinds of samples to 8 bits, with the meaning that PIL gives them.

use std::io::{Cursor, ErrorKind};

use image::metadata::Orientation;
use image::{DynamicImage, GrayAlphaImage, GrayImage, RgbImage, RgbaImage};
use tiff::decoder::{Decoder, DecodingResult, Limits as TiffLimits};
use tiff::tags::Tag;
use tiff::{ColorType, TiffError};

use super::decode::{DECODER_SCRATCH, Limits, check_size, corrupt, memory, truncated, unsupported};
use super::samples::{cmyk_to_rgb, high, palette_to_rgb, to_8_bits, unmultiply, unpack, ycbcr_to_rgb};
use super::tiff_tags::{Prepared, prepare};
use crate::error::{Error, Result};

const NAME: &str = "TIFF";

/// Decodes the first page and turns it the way its orientation says, which PIL does too, for this format alone.
pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<DynamicImage> {
    let failed = |error| failure(bytes.len(), error);
    let Prepared { bytes, has_palette, width: cut_to } = prepare(bytes);
    let mut decoder = Decoder::new(Cursor::new(&bytes[..])).map_err(failed)?;
    let (width, height) = decoder.dimensions().map_err(failed)?;
    let pixels = check_size(NAME, width, height, limits)?;
    decoder = decoder.with_limits(tiff_limits(pixels));

    let colour = decoder.colortype().map_err(failed)?;
    let (channels, bits) = channels(colour)?;
    let mut samples = DecodingResult::U8(Vec::new());
    let layout = decoder.read_image_to_buffer(&mut samples).map_err(failed)?;
    let planes = layout.planes.min(channels);
    if samples.as_buffer(0).byte_len() < layout.complete_len {
        return Err(unsupported(NAME, "decoding takes too much memory"));
    }
    let is_gray = channels == 1;
    let levels = match samples {
        DecodingResult::U8(packed) if bits < 8 => {
            unpack(&packed, width as usize * channels / planes, bits.into(), has_palette)
        }
        samples => to_8_bits(samples, is_gray).ok_or_else(|| unsupported(NAME, &format!("samples of {bits} bits")))?,
    };
    let levels = if planes > 1 { interleave(&levels, pixels as usize, planes) } else { levels };

    let tag = |decoder: &mut Decoder<_>, tag| decoder.find_tag_unsigned_vec::<u16>(tag).ok().flatten();
    let premultiplied = tag(&mut decoder, Tag::ExtraSamples).is_some_and(|kinds| kinds.first() == Some(&1));
    let picture = match colour {
        ColorType::Gray(_) if has_palette => {
            let map = tag(&mut decoder, Tag::ColorMap).ok_or_else(|| corrupt(NAME, "it has no palette"))?;
            let map: Vec<u8> = map.into_iter().map(high).collect();
            RgbImage::from_raw(width, height, palette_to_rgb(&levels, &map)).map(DynamicImage::from)
        }
        ColorType::Gray(_) => GrayImage::from_raw(width, height, levels).map(DynamicImage::from),
        ColorType::RGB(_) => RgbImage::from_raw(width, height, levels).map(DynamicImage::from),
        ColorType::RGBA(_) if premultiplied => {
            RgbaImage::from_raw(width, height, unmultiply(levels)).map(DynamicImage::from)
        }
        ColorType::RGBA(_) => RgbaImage::from_raw(width, height, levels).map(DynamicImage::from),
        ColorType::CMYK(_) => RgbImage::from_raw(width, height, cmyk_to_rgb(&levels)).map(DynamicImage::from),
        ColorType::YCbCr(_) => RgbImage::from_raw(width, height, ycbcr_to_rgb(levels)).map(DynamicImage::from),
        _ => GrayAlphaImage::from_raw(width, height, levels).map(DynamicImage::from),
    };
    let mut picture = picture.ok_or_else(|| corrupt(NAME, "it has fewer samples than pixels"))?;
    if let Some(width) = cut_to {
        picture = picture.crop_imm(0, 0, width, height);
    }
    let orientation = tag(&mut decoder, Tag::Orientation).and_then(|values| values.first().copied());
    let orientation = orientation.and_then(|value| Orientation::from_exif(value.try_into().ok()?));
    picture.apply_orientation(orientation.unwrap_or(Orientation::NoTransforms));
    Ok(picture)
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

fn interleave(levels: &[u8], pixels: usize, planes: usize) -> Vec<u8> {
    let mut interleaved = vec![0; pixels * planes];
    for (plane, values) in levels.chunks_exact(pixels).enumerate().take(planes) {
        interleaved[plane..].iter_mut().step_by(planes).zip(values).for_each(|(to, from)| *to = *from);
    }
    interleaved
}

fn tiff_limits(pixels: u64) -> TiffLimits {
    let mut limits = TiffLimits::default();
    limits.decoding_buffer_size =
        memory(pixels).max_alloc.and_then(|bytes| bytes.try_into().ok()).unwrap_or(usize::MAX);
    limits.intermediate_buffer_size = limits.decoding_buffer_size;
    limits.ifd_value_size = DECODER_SCRATCH as usize;
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
