//! Resizing beside PIL's, on noise of random sizes: resize.json and resize.bin of make_golden.py.

use anyhow::Result;
use clip::{Filter, ImageSpec, Preprocessor, Resize, RgbImage};
use serde::Deserialize;

use crate::golden::{golden_dir, spec};

#[derive(Deserialize, Debug)]
struct Case {
    width: u32,
    height: u32,
    out_width: u32,
    out_height: u32,
    /// Shortest edge before a crop to the size; without it the size is exact.
    edge: Option<u32>,
    resample: usize,
    seed: u32,
}

/// The filters, by PIL's numbers.
pub const FILTERS: [Filter; 6] =
    [Filter::Nearest, Filter::Lanczos, Filter::Bilinear, Filter::Bicubic, Filter::Box, Filter::Hamming];

/// The noise of make_golden.py.
///
/// # Panics
/// Not: the number of bytes is that of the size.
pub fn noise(width: u32, height: u32, seed: u32) -> RgbImage {
    let byte = |index: u32| {
        let x = index.wrapping_add(seed.wrapping_mul(1_000_003)).wrapping_mul(0x9E37_79B1);
        let x = (x ^ (x >> 15)).wrapping_mul(0x85EB_CA6B);
        (x >> 13) as u8
    };
    RgbImage::from_raw(width, height, (0..width * height * 3).map(byte).collect()).expect("that many bytes")
}

/// 8-bit pixels after resizing and cropping, row by row.
pub fn pixels(image: &RgbImage, height: u32, width: u32, resize: Resize, center_crop: bool, filter: Filter) -> Vec<u8> {
    let mut spec = spec();
    let (resize, rescale, normalize) = (Some(resize), None, None);
    spec.image = ImageSpec { height, width, resize, filter, center_crop, rescale, normalize, ..spec.image };
    let input = Preprocessor::new(&spec).input(image);
    assert_eq!(input.shape(), [3, height as usize, width as usize]);
    input.permuted_axes([1, 2, 0]).iter().map(|value| *value as u8).collect()
}

/// For each filter the number of cases and the largest difference from PIL, in levels of 8 bits.
///
/// # Errors
/// If the golden files cannot be read.
pub fn worst_of_each_filter() -> Result<[(usize, u8); FILTERS.len()]> {
    let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(golden_dir().join("resize.json"))?)?;
    let results = std::fs::read(golden_dir().join("resize.bin"))?;
    let mut rest = results.as_slice();
    let mut worst = [(0, 0); FILTERS.len()];
    for case in &cases {
        let (wanted, behind) = rest.split_at((case.out_width * case.out_height * 3) as usize);
        rest = behind;
        let resize = match case.edge {
            Some(edge) => Resize::ShortestEdge(edge),
            None => Resize::Exact { height: case.out_height, width: case.out_width },
        };
        let image = noise(case.width, case.height, case.seed);
        let filter = FILTERS[case.resample];
        let found = pixels(&image, case.out_height, case.out_width, resize, case.edge.is_some(), filter);
        let difference = found.iter().zip(wanted).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0);
        let (count, largest) = &mut worst[case.resample];
        *count += 1;
        *largest = difference.max(*largest);
    }
    anyhow::ensure!(rest.is_empty(), "resize.bin has more than resize.json says");
    Ok(worst)
}
