//! Pictures: one call for each, and many in one call.

use crate::report::table;
use crate::target::Target;
use image::{ExtendedColorType, ImageEncoder, codecs::jpeg::JpegEncoder};
use std::time::{Duration, Instant};

/// As an upload that was scaled down.
const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;
const QUALITY: u8 = 85;
/// Turns that the pictures are divided into.
const TURNS: usize = 4;

/// Embeds half of the pictures of each turn one by one, and the other half in one call; the halves change sides.
///
/// # Errors
/// What PostgreSQL says.
pub fn measure(target: &mut Target, pictures: u32) -> anyhow::Result<()> {
    let one = target.client.prepare("SELECT clip_embed_image($1)")?;
    let many = target.client.prepare("SELECT clip_embed_images($1)")?;
    let pictures = pictures as usize;
    // Number 0 was embedded before.
    let all: Vec<Vec<u8>> = (1..=2 * pictures as u32).map(picture).collect::<Result<_, _>>()?;
    let (mut one_by_one, mut in_arrays) = (Duration::ZERO, Duration::ZERO);
    let (first, second) = all.split_at(pictures);
    let size = pictures.div_ceil(TURNS);
    for (singles, array) in first.chunks(size).zip(second.chunks(size)) {
        let began = Instant::now();
        for picture in singles {
            target.client.query_one(&one, &[picture])?;
        }
        one_by_one += began.elapsed();
        let began = Instant::now();
        target.client.query_one(&many, &[&array])?;
        in_arrays += began.elapsed();
    }
    let rate = |time: Duration| pictures as f64 / time.as_secs_f64();
    println!("\nPictures, {pictures} JPEG files of {WIDTH} x {HEIGHT} in each way:\n");
    let rows = [
        ["clip_embed_image, one by one".to_owned(), format!("{:.0}", rate(one_by_one)), "1.00".to_owned()],
        [
            format!("clip_embed_images, {size} at a time"),
            format!("{:.0}", rate(in_arrays)),
            format!("{:.2}", rate(in_arrays) / rate(one_by_one)),
        ],
    ];
    println!("{}", table(["", "pictures/s", "ratio"], rows));
    Ok(())
}

/// A picture that differs from those of other numbers.
///
/// # Errors
/// What the encoder says.
pub fn picture(number: u32) -> anyhow::Result<Vec<u8>> {
    let wave = |x: u32, period: u32| (f64::from(x) / f64::from(period)).sin() * 0.5 + 0.5;
    let mut rgb = Vec::with_capacity((WIDTH * HEIGHT * 3) as usize);
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            let shade = wave(x + 3 * number, 17 + number % 29) * wave(y, 23 + number % 13);
            let colours = [shade, wave(x + y, 40 + number % 31), wave(y + number, 61)];
            rgb.extend(colours.map(|value| (value * 255.0) as u8));
        }
    }
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY).write_image(&rgb, WIDTH, HEIGHT, ExtendedColorType::Rgb8)?;
    Ok(bytes)
}
