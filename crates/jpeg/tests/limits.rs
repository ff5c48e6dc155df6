//! What libjpeg may take is limited, and is not taken where the header already says too much.

use jpeg::{Decoder, Error, Limits, Output};
use parity::jpegs;

fn decode(name: &str, limits: Limits) -> Result<usize, Error> {
    let jpeg = jpegs().into_iter().find(|jpeg| jpeg.name == name).unwrap();
    let decoder = Decoder::new(None, &jpeg.bytes, false)?;
    decoder.decode(Output::Colours, limits).map(|(pixels, _)| pixels.len())
}

#[test]
fn memory_for_coefficients_is_limited() {
    // 12 megapixels in 4:2:0: a coefficient of two bytes for each of 18 million samples.
    let limits = |max_memory| Limits { max_memory, max_scans: 100 };
    assert_eq!(decode("large_progressive", limits(64 << 20)), Ok(4000 * 3000 * 3));
    assert_eq!(decode("large_progressive", limits(32 << 20)), Err(Error::TooMuchMemory));
    // One scan needs no coefficients of the whole image.
    assert_eq!(decode("large_baseline", limits(32 << 20)), Ok(4000 * 3000 * 3));
}

#[test]
fn scans_are_limited() {
    let limits = |max_scans| Limits { max_memory: 1 << 30, max_scans };
    // It has 14.
    assert!(decode("progressive_11_11_11_1", limits(14)).is_ok());
    assert_eq!(decode("progressive_11_11_11_1", limits(13)), Err(Error::TooManyScans(13)));
}

#[test]
fn a_header_alone_takes_no_memory_for_pixels() {
    let mut jpeg = jpegs().into_iter().find(|jpeg| jpeg.name == "sampling_11_11_11_0").unwrap().bytes;
    let frame = jpeg.windows(2).position(|two| two == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
    let header = Decoder::new(None, &jpeg, false).unwrap().header();
    assert_eq!((header.width, header.height), (65_500, 65_500));
}
