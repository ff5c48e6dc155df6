//! Resizing against PIL, and a crop against the whole.

mod common;

use clip::{Filter, ImageSpec, Preprocessor, Resize, RgbImage};
use common::*;
use proptest::prelude::*;
use serde::Deserialize;

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

const FILTERS: [Filter; 6] =
    [Filter::Nearest, Filter::Lanczos, Filter::Bilinear, Filter::Bicubic, Filter::Box, Filter::Hamming];

/// The noise of make_golden.py.
fn noise(width: u32, height: u32, seed: u32) -> RgbImage {
    let byte = |index: u32| {
        let x = index.wrapping_add(seed.wrapping_mul(1_000_003)).wrapping_mul(0x9E37_79B1);
        let x = (x ^ (x >> 15)).wrapping_mul(0x85EB_CA6B);
        (x >> 13) as u8
    };
    RgbImage::from_raw(width, height, (0..width * height * 3).map(byte).collect()).unwrap()
}

/// 8-bit pixels after resizing and cropping, row by row.
fn pixels(picture: &RgbImage, height: u32, width: u32, resize: Resize, center_crop: bool, filter: Filter) -> Vec<u8> {
    let mut spec = spec();
    spec.image = ImageSpec { height, width, resize: Some(resize), filter, center_crop, rescale: None, normalize: None };
    let input = Preprocessor::new(&spec).input(picture);
    assert_eq!(input.shape(), [3, height as usize, width as usize]);
    input.permuted_axes([1, 2, 0]).iter().map(|value| *value as u8).collect()
}

#[test]
fn resizing_is_pils() {
    let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(golden_dir().join("resize.json")).unwrap()).unwrap();
    let results = std::fs::read(golden_dir().join("resize.bin")).unwrap();
    let mut at = 0;
    let mut largest = [0u8; FILTERS.len()];
    for case in &cases {
        let size = (case.out_width * case.out_height * 3) as usize;
        let wanted = &results[at..at + size];
        at += size;
        let resize = match case.edge {
            Some(edge) => Resize::ShortestEdge(edge),
            None => Resize::Exact { height: case.out_height, width: case.out_width },
        };
        let picture = noise(case.width, case.height, case.seed);
        let filter = FILTERS[case.resample];
        let found = pixels(&picture, case.out_height, case.out_width, resize, case.edge.is_some(), filter);
        let difference = found.iter().zip(wanted).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0);
        if difference > 0 {
            println!("{case:?}: {difference}");
        }
        largest[case.resample] = largest[case.resample].max(difference);
    }
    assert_eq!(at, results.len());
    println!("{} cases, largest difference in levels: {FILTERS:?} {largest:?}", cases.len());
    assert_eq!(largest, [0; FILTERS.len()]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// The part of the resized picture that a crop keeps is the same as in the whole.
    #[test]
    fn a_crop_is_a_part_of_the_whole(
        (width, height) in (1u32..60, 1u32..60),
        edge in 1u32..40,
        (crop_width, crop_height) in (1u32..40, 1u32..40),
        filter in 0usize..6,
    ) {
        let filter = FILTERS[filter];
        let picture = noise(width, height, edge);
        let (short, long) = (width.min(height), width.max(height));
        let longer = (f64::from(edge) * f64::from(long) / f64::from(short)) as u32;
        let (full_width, full_height) = if width <= height { (edge, longer) } else { (longer, edge) };
        prop_assume!(full_width * full_height < 100_000);
        let exact = Resize::Exact { height: full_height, width: full_width };
        let whole = pixels(&picture, full_height, full_width, exact, false, filter);
        let part = pixels(&picture, crop_height, crop_width, Resize::ShortestEdge(edge), true, filter);
        let left = (i64::from(full_width) - i64::from(crop_width)).div_euclid(2);
        let top = (i64::from(full_height) - i64::from(crop_height)).div_euclid(2);
        for y in 0..i64::from(crop_height) {
            for x in 0..i64::from(crop_width) {
                let (wx, wy) = (x + left, y + top);
                let inside = (0..i64::from(full_width)).contains(&wx) && (0..i64::from(full_height)).contains(&wy);
                for c in 0..3 {
                    let found = part[((y * i64::from(crop_width) + x) * 3 + c) as usize];
                    let wanted = if inside { whole[((wy * i64::from(full_width) + wx) * 3 + c) as usize] } else { 0 };
                    prop_assert_eq!(found, wanted);
                }
            }
        }
    }
}

#[test]
fn extreme_shapes_take_little_time_and_memory() {
    for (width, height) in [(1, 1), (1, 50_000), (50_000, 1), (3, 70_000)] {
        for filter in FILTERS {
            let picture = noise(width, height, 1);
            assert_eq!(pixels(&picture, 224, 224, Resize::ShortestEdge(224), true, filter).len(), 224 * 224 * 3);
        }
    }
}
