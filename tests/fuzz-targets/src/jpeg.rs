//! JPEG bytes through libjpeg, in each way that `clip` calls it.

use ::jpeg::{Decoder, Error, Header, Limits, Output};

/// Small, so that an execution takes milliseconds.
const MAX_PIXELS: u64 = 1 << 18;
const LIMITS: Limits = Limits { max_memory: 16 << 20, max_scans: 20 };

/// Decodes an image in each output, strictly and with what is missing padded. Where the bytes of another image follow,
/// what is before them is also taken for the tables of a TIFF file.
///
/// # Panics
/// Where the number of bytes is not that of the header, an error has no message, or padding changes an image of which
/// nothing is missing.
pub fn jpeg(bytes: &[u8]) {
    decode(None, bytes);
    const START: [u8; 3] = [0xff, 0xd8, 0xff];
    if let Some(at) = bytes.windows(START.len()).rposition(|three| three == START).filter(|at| *at > 0) {
        let (tables, image) = bytes.split_at(at);
        decode(Some(tables), image);
    }
}

fn decode(tables: Option<&[u8]>, bytes: &[u8]) {
    for output in [Output::Colours, Output::Components, Output::RgbOfYcbcr] {
        let strict = pixels(tables, bytes, false, output);
        let padded = pixels(tables, bytes, true, output);
        match strict {
            Some((pixels, was_padded)) => {
                assert!(!was_padded, "padded, though it was not to be");
                assert_eq!(padded.map(|(pixels, _)| pixels), Some(pixels), "padding changes a whole image");
            }
            None => drop(padded),
        }
    }
}

fn pixels(tables: Option<&[u8]>, bytes: &[u8], pads: bool, output: Output) -> Option<(Vec<u8>, bool)> {
    let decoder = Decoder::new(tables, bytes, pads).map_err(check).ok()?;
    let Header { width, height, components, .. } = decoder.header();
    assert!(width > 0 && height > 0 && (1..=10).contains(&components), "{width} x {height} x {components}");
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return None;
    }
    let (pixels, padded) = decoder.decode(output, LIMITS).map_err(check).ok()?;
    assert_eq!(pixels.len(), width as usize * height as usize * components as usize);
    Some((pixels, padded))
}

fn check(error: Error) {
    assert!(!error.to_string().is_empty(), "{error:?}");
}
