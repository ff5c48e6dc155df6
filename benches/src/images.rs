//! Images: one call for each, and many in one call.

use crate::target::Target;
use measure::{Image, heading, table};
use std::time::{Duration, Instant};

/// Turns that the images are divided into.
const TURNS: usize = 4;

/// Embeds half of the images of each turn one by one, and the other half in one call; the halves change sides.
///
/// # Errors
/// What PostgreSQL says.
pub fn measure(target: &mut Target, images: u32) -> anyhow::Result<()> {
    let one = target.client.prepare("SELECT clip_embed_image($1)")?;
    let many = target.client.prepare("SELECT clip_embed_images($1)")?;
    let images = images as usize;
    // Number 0 was embedded before.
    let all: Vec<Vec<u8>> =
        (1..=2 * images as u32).map(|number| Image::UPLOAD.jpeg(number)).collect::<Result<_, _>>()?;
    let (mut one_by_one, mut in_arrays) = (Duration::ZERO, Duration::ZERO);
    let (first, second) = all.split_at(images);
    let size = images.div_ceil(TURNS);
    for (singles, array) in first.chunks(size).zip(second.chunks(size)) {
        let began = Instant::now();
        for image in singles {
            target.client.query_one(&one, &[image])?;
        }
        one_by_one += began.elapsed();
        let began = Instant::now();
        target.client.query_one(&many, &[&array])?;
        in_arrays += began.elapsed();
    }
    let rate = |time: Duration| images as f64 / time.as_secs_f64();
    let Image { width, height } = Image::UPLOAD;
    heading(format!("Images, {images} JPEG files of {width} x {height} in each way"));
    let rows = [
        ["clip_embed_image, one by one".to_owned(), format!("{:.0}", rate(one_by_one)), "1.00".to_owned()],
        [
            format!("clip_embed_images, {size} at a time"),
            format!("{:.0}", rate(in_arrays)),
            format!("{:.2}", rate(in_arrays) / rate(one_by_one)),
        ],
    ];
    println!("{}", table(["", "images/s", "ratio"], rows));
    Ok(())
}
