use super::weights::PRECISION;
use super::*;
use proptest::prelude::*;

const FILTERS: [Filter; 5] = [Filter::Lanczos, Filter::Bilinear, Filter::Bicubic, Filter::Box, Filter::Hamming];

/// Each set of instructions that the processor has and that there is code for.
fn levels() -> Vec<Level> {
    let best = Level::new();
    #[cfg(target_arch = "x86_64")]
    let lesser = [
        best.as_avx512().map(Level::Avx512),
        best.as_avx2().map(Level::Avx2),
        best.as_sse4_2().map(Level::Sse4_2),
        best.as_sse2().map(Level::Sse2),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let lesser = [Some(Level::baseline())];
    lesser.into_iter().flatten().chain([best]).collect()
}

/// Pixel by pixel, channel by channel: what `resize` has to be equal to.
fn reference(image: &RgbImage, x: Axis, y: Axis, filter: Filter) -> RgbImage {
    let sum = |pixels: &mut dyn Iterator<Item = (image::Rgb<u8>, i32)>| {
        let mut sums = [1i64 << (PRECISION - 1); 3];
        for (pixel, weight) in pixels {
            (0..3).for_each(|c| sums[c] += i64::from(pixel[c]) * i64::from(weight));
        }
        image::Rgb(sums.map(|sum| (sum >> PRECISION).clamp(0, 255) as u8))
    };
    let along_rows = |image: &RgbImage| {
        let mut made = RgbImage::new(x.length, image.height());
        for (column, (first, weights)) in Taps::new(x, filter).iter().enumerate() {
            for row in 0..image.height() {
                let mut pixels = (first as u32..).zip(weights).map(|(at, weight)| (*image.get_pixel(at, row), *weight));
                made.put_pixel(column as u32, row, sum(&mut pixels));
            }
        }
        made
    };
    let along_columns = |image: &RgbImage| {
        let mut made = RgbImage::new(image.width(), y.length);
        for (row, (first, weights)) in Taps::new(y, filter).iter().enumerate() {
            for column in 0..image.width() {
                let mut pixels =
                    (first as u32..).zip(weights).map(|(at, weight)| (*image.get_pixel(column, at), *weight));
                made.put_pixel(column, row as u32, sum(&mut pixels));
            }
        }
        made
    };
    let cut = |image: &RgbImage, x: (u64, u32), y: (u64, u32)| {
        image::imageops::crop_imm(image, x.0 as u32, y.0 as u32, x.1, y.1).to_image()
    };
    let width = |image: &RgbImage| match u64::from(x.input) == x.output {
        true => cut(image, (x.start, x.length), (0, image.height())),
        false => along_rows(image),
    };
    let height = |image: &RgbImage| match u64::from(y.input) == y.output {
        true => cut(image, (0, image.width()), (y.start, y.length)),
        false => along_columns(image),
    };
    if is_vertical_first(x, y) { width(&height(image)) } else { height(&width(image)) }
}

fn noise(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([0, 1, 2].map(|c| (blake3::hash(&[x, y, c].map(u32::to_le_bytes).concat()).as_bytes())[0]))
    })
}

fn whole(input: u32, output: u32) -> Axis {
    Axis { input, output: output.into(), start: 0, length: output }
}

/// A side, what it becomes, and the part of that which is wanted. A fifth keep their size.
fn axis() -> impl Strategy<Value = Axis> {
    (1u32..150, 1u32..100, 0..5).prop_flat_map(|(input, output, kind)| {
        let output = if kind == 0 { input } else { output };
        (0..output).prop_flat_map(move |start| {
            (1..=output - start).prop_map(move |length| Axis {
                input,
                output: output.into(),
                start: start.into(),
                length,
            })
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// All instructions make what plain sums make, of noise and of the extremes, of which sums overshoot.
    #[test]
    fn every_set_of_instructions_makes_the_same(x in axis(), y in axis(), filter in 0..FILTERS.len(), extreme: bool) {
        let mut image = noise(x.input, y.input);
        if extreme {
            image.iter_mut().for_each(|level| *level = if *level < 128 { 0 } else { 255 });
        }
        let expected = reference(&image, x, y, FILTERS[filter]);
        for level in levels() {
            prop_assert_eq!(&resize_with(level, &image, x, y, FILTERS[filter]), &expected, "{:?}", level);
        }
    }
}

/// Sizes of photographs, which have whole chunks of rows and columns.
#[test]
fn photographs_are_resized_the_same() {
    let part = |input, output: u32, length: u32| Axis {
        input,
        output: output.into(),
        start: u64::from(output - length) / 2,
        length,
    };
    for (x, y) in [
        (part(500, 298, 224), part(375, 224, 224)),
        (part(300, 224, 224), part(1000, 746, 224)),
        (part(640, 224, 224), part(480, 224, 224)),
    ] {
        let image = noise(x.input, y.input);
        for filter in FILTERS {
            let expected = reference(&image, x, y, filter);
            for level in levels() {
                assert!(resize_with(level, &image, x, y, filter) == expected, "{x:?} {y:?} {filter:?} {level:?}");
            }
        }
    }
}

/// Weights that are made one by one give what a table of them gives, along both axes.
#[test]
fn without_a_table() {
    let image = noise(131, 7);
    for filter in FILTERS {
        let (x, same) = (whole(131, 10), whole(7, 7));
        assert_eq!(rows_at_once(&image, &Scale::new(x, filter)), reference(&image, x, same, filter), "{filter:?}");
    }
}

/// Images whose weights are not kept have the same result as with a table of them. (So many pixels make one that fixed point
/// is far from exact, with PIL too.)
#[test]
fn an_image_of_millions_of_columns_or_rows() {
    const LONG: u32 = 3_000_000;
    let pixel = |x: u32, y: u32| image::Rgb([x % 251, y % 241, (x + y) % 239].map(|level| level as u8));
    let (wide, high) = (RgbImage::from_fn(LONG, 1, pixel), RgbImage::from_fn(1, LONG, pixel));
    for filter in [Filter::Lanczos, Filter::Bicubic] {
        let (long, one) = (whole(LONG, 2), whole(1, 1));
        assert!(weights_size(long, filter) > MAX_WEIGHTS);
        assert_eq!(resize(&wide, long, one, filter), reference(&wide, long, one, filter), "{filter:?}");
        assert_eq!(resize(&high, one, long, filter), reference(&high, one, long, filter), "{filter:?}");
    }
}
