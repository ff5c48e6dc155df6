//! Encoded bytes to 8-bit RGB, with the meaning of PIL's `Image.open(…).convert("RGB")`.

use std::borrow::Cow;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::error::{ImageError, LimitErrorKind};
use image::metadata::Orientation;
use image::{DynamicImage, GrayAlphaImage, ImageDecoder, ImageFormat, ImageReader, RgbImage};
use serde::{Deserialize, Serialize};

use super::ico::{self, Inside};
use super::samples::{Gray16, high};
use super::{bmp, damaged, fields, gif, heif, jpeg, jpeg2000, jxl, orientation, png, tga, tiff, tiff_tags, webp};
use crate::error::{Error, Result, shorten};

/// The formats that are decoded with the crate `image` or beside it, with their names in messages.
pub const FORMATS: [(ImageFormat, &str); 10] = [
    (ImageFormat::Jpeg, "JPEG"),
    (ImageFormat::Png, "PNG"),
    (ImageFormat::Gif, "GIF"),
    (ImageFormat::WebP, "WebP"),
    (ImageFormat::Bmp, "BMP"),
    (ImageFormat::Tiff, "TIFF"),
    (ImageFormat::Pnm, "PNM"),
    (ImageFormat::Ico, "ICO"),
    (ImageFormat::Tga, "TGA"),
    (ImageFormat::Qoi, "QOI"),
];

/// The formats that the crate `image` does not know, and that are decoded.
pub const OTHER_FORMATS: [&str; 2] = [jpeg2000::NAME, jxl::NAME];

/// What a decoder may take beside the image itself: tables, one row of tiles, a compressed block.
const DECODER_SCRATCH: u64 = 64 << 20;
/// Most bytes that a decoder may take for a pixel: the image and a copy, with four channels of 16 bits.
pub(super) const BYTES_PER_PIXEL: u64 = 16;

/// Bounds on an image, checked before it is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Most bytes of the encoded image.
    pub max_bytes: usize,
    /// Most pixels, width times height. Decoding takes up to 8 bytes for each, usually 3 or 4.
    pub max_pixels: u64,
}

impl Limits {
    /// Most bytes that decoding an image, resizing it and making a thumbnail take: 16 for each pixel, the file and a copy of
    /// it, and what does not depend on the image.
    pub fn memory(&self) -> u64 {
        let pixels = self.max_pixels.saturating_mul(BYTES_PER_PIXEL);
        pixels.saturating_add(2 * self.max_bytes as u64).saturating_add(2 * DECODER_SCRATCH)
    }
}

impl Default for Limits {
    /// 64 MiB, and the 89,478,485 pixels from which on PIL warns of a decompression bomb.
    fn default() -> Limits {
        Limits { max_bytes: 64 << 20, max_pixels: 89_478_485 }
    }
}

/// What becomes of transparent pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Transparency {
    /// The alpha channel is left out and the colours below it show, as with PIL's `convert("RGB")`, and so with
    /// OpenAI's CLIP, open_clip, and transformers before it composited.
    #[default]
    Drop,
    /// The image is laid on white, as the reference's `convert_to_rgb` (transformers 5.23) does, and as people see it
    /// on a page: what colours lie below transparent pixels is an accident of the program that wrote the file.
    White,
}

/// How an image is to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// What becomes of transparent pixels.
    pub transparency: Transparency,
    /// Whether the image is turned the way EXIF says that people see it. PIL and the reference do not do that.
    pub apply_orientation: bool,
    /// What becomes of gray of more than 8 bits.
    pub gray16: Gray16,
    /// What becomes of a file that ends too early.
    pub on_truncated: OnTruncated,
}

/// What becomes of a file that ends too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OnTruncated {
    /// It is refused, as PIL does.
    #[default]
    Error,
    /// What there is of it is decoded, as PIL does with `LOAD_TRUNCATED_IMAGES`.
    Decode,
}

impl Default for Reading {
    /// The way people see it, and transparency as PIL's `convert("RGB")` has it.
    fn default() -> Self {
        Self {
            transparency: Transparency::default(),
            apply_orientation: true,
            gray16: Gray16::default(),
            on_truncated: OnTruncated::default(),
        }
    }
}

/// Decodes an image. The first frame of an animation is taken.
///
/// # Errors
/// [`Error::NotAnImage`], [`Error::UnsupportedImage`], [`Error::CorruptImage`], [`Error::ImageTooLarge`],
/// [`Error::TooManyPixels`].
pub fn decode(bytes: &[u8], limits: &Limits, reading: Reading) -> Result<RgbImage> {
    decode_damaged(bytes, limits, reading).map(|(image, _)| image)
}

/// The same, and what is wrong with the file where [`Reading::on_truncated`] passes over it.
pub(super) fn decode_damaged(bytes: &[u8], limits: &Limits, reading: Reading) -> Result<(RgbImage, Option<Error>)> {
    let Opened { mut image, orientation, damage, .. } = open(bytes, limits, reading)?;
    if reading.apply_orientation {
        image.apply_orientation(orientation);
    }
    Ok((to_rgb(image, reading), damage))
}

/// The media type of an image in a format that is known by its first bytes, whether this build decodes it or not.
pub fn media_type(bytes: &[u8]) -> Option<&'static str> {
    match heif::name_of(bytes) {
        Some("AVIF") => return Some("image/avif"),
        Some(_) => return Some("image/heic"),
        None if jpeg2000::is_one(bytes) => return Some("image/jp2"),
        None if jxl::is_one(bytes) => return Some("image/jxl"),
        None => {}
    }
    let known = format_of(bytes).map(|(format, _)| format);
    known.or_else(|| image::guess_format(bytes).ok()).map(|format| format.to_mime_type())
}

/// An image as its file has it.
pub(super) struct Opened {
    pub image: DynamicImage,
    /// How people see it; not applied.
    pub orientation: Orientation,
    /// The format's name in messages.
    pub name: &'static str,
    /// What is wrong with the file, of which what there is was decoded.
    pub damage: Option<Error>,
}

/// Decodes an image.
pub(super) fn open(bytes: &[u8], limits: &Limits, reading: Reading) -> Result<Opened> {
    if bytes.len() > limits.max_bytes {
        return Err(Error::ImageTooLarge { bytes: bytes.len(), max: limits.max_bytes });
    }
    if let Some(name) = heif::name_of(bytes) {
        return guarded(name, || heif::open(bytes, name, limits));
    }
    if jpeg2000::is_one(bytes) {
        return guarded(jpeg2000::NAME, || jpeg2000::open(bytes, limits));
    }
    if jxl::is_one(bytes) {
        return guarded(jxl::NAME, || jxl::open(bytes, limits));
    }
    let (format, name) = format_of(bytes).ok_or_else(|| not_decoded(bytes))?;
    let damage = match guarded(name, || read(bytes, format, name, limits, reading.gray16)) {
        Err(error @ Error::CorruptImage { .. }) if reading.on_truncated == OnTruncated::Decode => error,
        result => return result,
    };
    match guarded(name, || damaged::read(bytes, format, name, limits, reading)) {
        Ok(opened) => Ok(Opened { damage: Some(damage), ..opened }),
        Err(_) => Err(damage),
    }
}

/// Decoders see whatever users upload: a bug in one costs one image, not the process.
fn guarded(name: &'static str, decode: impl FnOnce() -> Result<(DynamicImage, Orientation)>) -> Result<Opened> {
    let decoded = catch_unwind(AssertUnwindSafe(decode));
    let (image, orientation) = decoded.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(corrupt(name, &format!("the decoder gave up ({})", said.unwrap_or("panic"))))
    })?;
    Ok(Opened { image, orientation, name, damage: None })
}

/// The format by its first bytes. TGA has none that are its own; see [`tga::is_tga`].
pub(super) fn format_of(bytes: &[u8]) -> Option<(ImageFormat, &'static str)> {
    let is_big_tiff = || bytes.starts_with(b"II\x2b\0") || bytes.starts_with(b"MM\0\x2b");
    let guessed = image::guess_format(bytes).ok().or_else(|| is_big_tiff().then_some(ImageFormat::Tiff));
    let format = guessed.or_else(|| tga::is_tga(bytes).then_some(ImageFormat::Tga))?;
    FORMATS.into_iter().find(|(known, _)| *known == format)
}

fn read(
    bytes: &[u8],
    format: ImageFormat,
    name: &str,
    limits: &Limits,
    gray16: Gray16,
) -> Result<(DynamicImage, Orientation)> {
    let orientation = orientation::of(bytes, format);
    let bytes = &*harmless(bytes, format, name, limits)?;
    match format {
        ImageFormat::Gif => return Ok((gif::read(bytes, limits)?, Orientation::NoTransforms)),
        ImageFormat::Tiff => return Ok((tiff::read(bytes, limits, gray16)?, Orientation::NoTransforms)),
        ImageFormat::Ico => {
            let image = match ico::largest(bytes)? {
                Inside::Png(png) => read_png(&png::without_metadata(&png), name, limits, gray16),
                Inside::Icon(icon) => read_with_image(&icon, format, name, limits),
            };
            return Ok((image?, orientation));
        }
        ImageFormat::Jpeg => return Ok((jpeg::read(bytes, limits, OnTruncated::Error)?, orientation)),
        ImageFormat::WebP => return Ok((webp::read(bytes, limits)?, orientation)),
        _ => {}
    }
    let mut image = match format {
        ImageFormat::Png => read_png(bytes, name, limits, gray16)?,
        _ => read_with_image(bytes, format, name, limits)?,
    };
    fields::spread(&mut image, bytes, format);
    Ok((image, orientation))
}

/// The file as it may be given to a decoder that takes memory for metadata, whatever they say that they need.
pub(super) fn harmless<'a>(bytes: &'a [u8], format: ImageFormat, name: &str, limits: &Limits) -> Result<Cow<'a, [u8]>> {
    match format {
        ImageFormat::Png => Ok(png::without_metadata(bytes)),
        ImageFormat::WebP => webp::complete(bytes).map(Cow::Borrowed),
        ImageFormat::Bmp => bmp::prepared(bytes, limits),
        ImageFormat::Tiff if !tiff_tags::are_there(bytes) => Err(truncated(name, bytes.len())),
        _ => Ok(Cow::Borrowed(bytes)),
    }
}

/// PNG, repaired where it is damaged in a way that PIL passes over.
pub(super) fn read_png(bytes: &[u8], name: &str, limits: &Limits, gray16: Gray16) -> Result<DynamicImage> {
    let image = match read_with_image(bytes, ImageFormat::Png, name, limits) {
        Err(error @ Error::CorruptImage { .. }) => {
            let repaired = png::repaired(bytes, limits.max_pixels, OnTruncated::Error);
            let repaired = repaired.ok_or_else(|| error.clone())?;
            read_with_image(&repaired, ImageFormat::Png, name, limits).map_err(|_| error)?
        }
        result => result?,
    };
    match image {
        // One transparent level: to PIL it is an image without alpha, whose 16 bits it understands in another way.
        DynamicImage::ImageLumaA16(image) if bytes.get(24..26) == Some(&[16, 0]) => {
            let (width, height) = image.dimensions();
            let cut = |pixel: &image::LumaA<u16>| [gray16.level(pixel.0[0], 16), high(pixel.0[1])];
            let cut = image.pixels().flat_map(cut).collect();
            let image = GrayAlphaImage::from_raw(width, height, cut).expect("two bytes for each pixel");
            Ok(image.into())
        }
        image => Ok(image),
    }
}

/// With the decoders of the crate `image`.
pub(super) fn read_with_image(bytes: &[u8], format: ImageFormat, name: &str, limits: &Limits) -> Result<DynamicImage> {
    let failed = |error| failure(name, bytes.len(), error);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(memory(limits.max_pixels));
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    let pixels = check_size(name, width, height, limits)?;
    decoder.set_limits(memory(pixels)).map_err(failed)?;
    DynamicImage::from_decoder(decoder).map_err(failed)
}

/// The number of pixels, if they are not too many.
pub(super) fn check_size(name: &str, width: u32, height: u32, limits: &Limits) -> Result<u64> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels > limits.max_pixels {
        return Err(Error::TooManyPixels { width, height, max: limits.max_pixels });
    }
    if pixels == 0 {
        return Err(corrupt(name, &format!("it is {width} x {height} pixels")));
    }
    Ok(pixels)
}

/// The memory that a decoder may take for so many pixels. Not all decoders heed it, so the dimensions are checked too.
pub(super) fn memory(pixels: u64) -> image::Limits {
    let mut limits = image::Limits::no_limits();
    limits.max_alloc = Some(pixels.saturating_mul(BYTES_PER_PIXEL).saturating_add(DECODER_SCRATCH));
    limits
}

fn failure(name: &str, length: usize, error: ImageError) -> Error {
    match error {
        error if is_end_of_file(&error) => truncated(name, length),
        ImageError::Unsupported(error) => unsupported(name, &error.to_string()),
        ImageError::Limits(error) if !matches!(error.kind(), LimitErrorKind::DimensionError) => {
            unsupported(name, "decoding takes too much memory")
        }
        error => corrupt(name, &error.to_string()),
    }
}

pub(super) fn corrupt(name: &str, reason: &str) -> Error {
    Error::CorruptImage { format: name.to_owned(), reason: shorten(reason.trim_end(), 200) }
}

pub(super) fn truncated(name: &str, length: usize) -> Error {
    corrupt(name, &format!("it is truncated after {length} bytes"))
}

pub(super) fn unsupported(name: &str, reason: &str) -> Error {
    Error::UnsupportedImage { format: name.to_owned(), reason: shorten(reason.trim_end(), 200) }
}

/// Decoders hand on what reading said, at one remove or another.
fn is_end_of_file(error: &(dyn std::error::Error + 'static)) -> bool {
    let is_end = |error: &std::io::Error| error.kind() == std::io::ErrorKind::UnexpectedEof;
    match error.downcast_ref::<ImageError>() {
        Some(ImageError::IoError(error)) => is_end(error),
        _ => error.downcast_ref::<std::io::Error>().is_some_and(is_end) || error.source().is_some_and(is_end_of_file),
    }
}

/// Says of bytes that cannot be decoded what they are, if anybody knows.
fn not_decoded(bytes: &[u8]) -> Error {
    let no_decoder = |name: &str| unsupported(name, "this build has no decoder for it");
    match image::guess_format(bytes) {
        Ok(ImageFormat::Dds) => return no_decoder("DDS"),
        Ok(ImageFormat::Farbfeld) => return no_decoder("farbfeld"),
        Ok(ImageFormat::Hdr) => return no_decoder("Radiance HDR"),
        Ok(ImageFormat::OpenExr) => return no_decoder("OpenEXR"),
        _ if is_svg(bytes) => return no_decoder("SVG"),
        _ => {}
    }
    match infer::get(bytes) {
        Some(kind) if kind.matcher_type() == infer::MatcherType::Image => no_decoder(&name_of(kind)),
        // Of text, such as a page that says that there is no image, the error says what to do.
        Some(kind) if kind.matcher_type() != infer::MatcherType::Text => Error::OtherFile { kind: name_of(kind) },
        _ => not_an_image(bytes),
    }
}

fn name_of(kind: infer::Type) -> String {
    kind.extension().to_uppercase()
}

/// A drawing in XML, whose element may come behind a declaration and comments.
fn is_svg(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(1024)];
    let begins = start.trim_ascii_start();
    begins.strip_prefix(b"\xef\xbb\xbf").unwrap_or(begins).starts_with(b"<")
        && start.windows(4).any(|window| window == b"<svg")
}

fn not_an_image(bytes: &[u8]) -> Error {
    let starts: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let text = lookalike::text_in_place_of_an_image(bytes);
    Error::NotAnImage { bytes: bytes.len(), starts: starts.join(" "), text }
}

/// The colours as PIL has them. It reads 16 bits per channel by leaving out the lower byte.
fn to_rgb(image: DynamicImage, Reading { transparency, gray16, .. }: Reading) -> RgbImage {
    let (width, height) = (image.width(), image.height());
    let under = |colour: u8, alpha: u8| match transparency {
        Transparency::Drop => colour,
        Transparency::White => over_white(colour, alpha),
    };
    let gray = |value: u8| [value; 3];
    let mut rgb = Vec::with_capacity(width as usize * height as usize * 3);
    match &image {
        DynamicImage::ImageRgb8(_) => return image.into_rgb8(),
        DynamicImage::ImageLuma8(p) => rgb.extend(p.iter().flat_map(|&v| gray(v))),
        DynamicImage::ImageLuma16(p) => rgb.extend(p.iter().flat_map(|&v| gray(gray16.level(v, 16)))),
        DynamicImage::ImageLumaA8(p) => rgb.extend(p.pixels().flat_map(|p| gray(under(p.0[0], p.0[1])))),
        DynamicImage::ImageLumaA16(p) => {
            rgb.extend(p.pixels().flat_map(|p| gray(under(high(p.0[0]), high(p.0[1])))));
        }
        DynamicImage::ImageRgba8(p) => {
            rgb.extend(p.pixels().flat_map(|p| [p.0[0], p.0[1], p.0[2]].map(|v| under(v, p.0[3]))));
        }
        DynamicImage::ImageRgb16(p) => rgb.extend(p.iter().map(|&v| high(v))),
        DynamicImage::ImageRgba16(p) => {
            rgb.extend(p.pixels().flat_map(|p| [p.0[0], p.0[1], p.0[2]].map(|v| under(high(v), high(p.0[3])))));
        }
        _ => return image.into_rgb8(),
    }
    RgbImage::from_raw(width, height, rgb).expect("three bytes were pushed for each pixel")
}

/// PIL's `alpha_composite` on opaque white: fixed point with 7 extra bits.
fn over_white(colour: u8, alpha: u8) -> u8 {
    let (colour, alpha) = (u32::from(colour), u32::from(alpha));
    let sum = (colour * alpha + 255 * (255 - alpha)) * 128 + (128 << 7);
    ((((sum >> 8) + sum) >> 8) >> 7) as u8
}
