//! Pictures: one call for each, and many in one call.

use crate::target::Target;
use measure::{Picture, heading, table};
use std::time::{Duration, Instant};

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
    let all: Vec<Vec<u8>> =
        (1..=2 * pictures as u32).map(|number| Picture::UPLOAD.jpeg(number)).collect::<Result<_, _>>()?;
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
    let Picture { width, height } = Picture::UPLOAD;
    heading(format!("Pictures, {pictures} JPEG files of {width} x {height} in each way"));
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
