//! What is expected of each image of the corpus: equal pixels, but for what is listed here with its reason.

use crate::measure::Measured;

/// How far an image may be from the reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    /// Most levels of 8 bits that a channel of a pixel may be off.
    pub levels: u8,
    /// Least cosine of the embeddings.
    pub cosine: f64,
}

/// What is expected of an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Expected {
    /// It is decoded, with this distance at most.
    Within(Bound),
    /// It is decoded, but not to PIL's pixels.
    Differs,
    /// It is decoded here, PIL refuses it.
    OnlyHere,
    /// It is refused with an error about the image.
    Refused,
}

use Expected::{Differs, OnlyHere, Refused, Within};

const EXACT: Expected = Within(Bound { levels: 0, cosine: 0.9999 });

const fn within(levels: u8, cosine: f64) -> Expected {
    Within(Bound { levels, cosine })
}

const NO_DECODER: &str = "the decoder here has it not";
const NOT_OF_THE_IMAGE: &str = "what is damaged is no part of the image";
const WAVELETS: &str = "rounding of the wavelets";
const JXL: &str = "rounding of the colours' conversion";
const PNM: &str = "PIL rounds to 8 bits, the decoder here cuts";

/// Beginnings of file names, what is expected of those files, and why. The longest beginning counts.
const RULES: &[(&str, Expected, &str)] = &[
    ("png/palette_missing.png", Refused, "PIL makes a black image of it"),
    ("png/palette_late.png", Refused, "PIL makes a black image of it"),
    ("png/header_checksum.png", Refused, ""),
    ("png/text_cut.png", Refused, ""),
    ("png/half_row_missing.png", Refused, ""),
    ("png/filter.png", Refused, ""),
    ("png/text_checksum.png", OnlyHere, NOT_OF_THE_IMAGE),
    ("png/gamma_checksum.png", OnlyHere, NOT_OF_THE_IMAGE),
    ("png/private_checksum.png", OnlyHere, NOT_OF_THE_IMAGE),
    ("png/late_text_cut.png", OnlyHere, NOT_OF_THE_IMAGE),
    ("png/trns_short.png", OnlyHere, "it is ignored"),
    ("png/adler.png", OnlyHere, "the checksum behind complete data is not looked at"),
    ("bmp/rle4_cut.bmp", Refused, ""),
    ("bmp/rle8_cut.bmp", Refused, ""),
    ("bmp/os2_16.bmp", Refused, ""),
    ("bmp/pixel_cut.bmp", Refused, ""),
    ("bmp/row_cut.bmp", Refused, ""),
    ("bmp/palette_long.bmp", Refused, ""),
    ("bmp/palette2.bmp", OnlyHere, ""),
    ("bmp/fields32_bgr.bmp", OnlyHere, ""),
    ("bmp/fields444.bmp", OnlyHere, ""),
    ("tiff/gray8_white_reversed", OnlyHere, ""),
    ("tiff/palette1_reversed", OnlyHere, ""),
    ("tiff/palette2_reversed", OnlyHere, ""),
    ("tiff/palette4_reversed", OnlyHere, ""),
    ("tiff/gray4_deflate2.tiff", Refused, ""),
    ("tiff/rgb_signed.tiff", Refused, ""),
    ("tiff/gray12_big.tiff", OnlyHere, ""),
    ("tiff/gray12dark_big.tiff", OnlyHere, ""),
    ("tiff/gray12_white.tiff", OnlyHere, ""),
    ("tiff/ycbcr.tiff", within(1, 0.9999), "rounding of the colours' conversion"),
    ("tiff/zstd.tiff", Refused, NO_DECODER),
    ("tiff/lab.tiff", Refused, NO_DECODER),
    ("tiff/double.tiff", Refused, ""),
    ("tiff/gray32_big.tiff", OnlyHere, "as the little-endian one"),
    ("tiff/rgb_float.tiff", OnlyHere, "0 to 1 are taken for black to white"),
    ("jpeg2000/rgb_lossy", within(1, 0.9999), WAVELETS),
    ("jpeg2000/gray_lossy", within(1, 0.9999), WAVELETS),
    ("jpeg2000/layers", within(1, 0.9999), WAVELETS),
    ("jpeg2000/tiles_lossy", within(1, 0.9999), WAVELETS),
    ("jpeg2000/cut.jp2", Refused, ""),
    ("jpegxl/lossy", within(1, 0.9999), JXL),
    ("jpegxl/gray_lossy", within(1, 0.9999), JXL),
    ("jpegxl/rgba_lossy", within(1, 0.9999), JXL),
    ("jpegxl/progressive", within(1, 0.9999), JXL),
    ("jpegxl/cut.jxl", Refused, ""),
    ("pnm/p2_100", within(1, 0.9999), PNM),
    ("pnm/p5_100", within(1, 0.9999), PNM),
    ("pnm/p3_", within(1, 0.9999), PNM),
    ("pnm/p6_", within(1, 0.9999), PNM),
    ("pnm/rgb.pam", OnlyHere, ""),
    ("pnm/gray.pam", OnlyHere, ""),
    ("pnm/float.pfm", Refused, NO_DECODER),
];

/// What is expected of a file, and why if it is not equality.
pub fn expected(file: &str) -> (Expected, &'static str) {
    let rules = RULES.iter().filter(|(start, ..)| file.starts_with(start));
    rules.max_by_key(|(start, ..)| start.len()).map_or((EXACT, ""), |(_, expected, why)| (*expected, why))
}

impl Expected {
    /// What is wrong with a result, if something is.
    pub fn complaint(self, measured: &Measured) -> Option<String> {
        match (self, measured) {
            (Within(bound), Measured::Compared(found)) => {
                let is_near = found.levels.is_some_and(|levels| levels <= bound.levels) && found.cosine >= bound.cosine;
                (!is_near).then(|| format!("{found:?} is beyond {bound:?}"))
            }
            (Differs, Measured::Compared(_)) | (OnlyHere, Measured::OnlyHere) => None,
            (Refused, Measured::Refused(error)) => (!error.is_about_image()).then(|| error.to_string()),
            _ => Some(format!("{measured:?} where {self:?} was expected")),
        }
    }
}
