//! Resizing against PIL, and a crop against the whole.

use clip::Resize;
use parity::{FILTERS, noise, pixels};
use proptest::prelude::*;

#[test]
fn resizing_is_pils() {
    let worst = parity::worst_of_each_filter().unwrap();
    println!("cases, largest difference in levels: {FILTERS:?} {worst:?}");
    assert_eq!(worst.map(|(_, levels)| levels), [0; FILTERS.len()]);
    assert!(worst.iter().all(|(cases, _)| *cases >= 10));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// The part of the resized image that a crop keeps is the same as in the whole.
    #[test]
    fn a_crop_is_a_part_of_the_whole(
        (width, height) in (1u32..60, 1u32..60),
        edge in 1u32..40,
        (crop_width, crop_height) in (1u32..40, 1u32..40),
        filter in 0usize..6,
    ) {
        let filter = FILTERS[filter];
        let image = noise(width, height, edge);
        let (short, long) = (width.min(height), width.max(height));
        let longer = (f64::from(edge) * f64::from(long) / f64::from(short)) as u32;
        let (full_width, full_height) = if width <= height { (edge, longer) } else { (longer, edge) };
        prop_assume!(full_width * full_height < 100_000);
        let exact = Resize::Exact { height: full_height, width: full_width };
        let whole = pixels(&image, full_height, full_width, exact, false, filter);
        let part = pixels(&image, crop_height, crop_width, Resize::ShortestEdge(edge), true, filter);
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
            let image = noise(width, height, 1);
            assert_eq!(pixels(&image, 224, 224, Resize::ShortestEdge(224), true, filter).len(), 224 * 224 * 3);
        }
    }
}
