//! The probe set. Whatever changes here changes its version: stored vectors are of one version.

use clip::RgbImage;

/// Stored with the vectors.
pub const VERSION: u32 = 1;

/// Texts of several lengths, scripts and cases.
pub fn texts() -> Vec<String> {
    let long = "a long description of a photograph with many details: ".to_owned()
        + &"a red bicycle leans against a white wall, two children play with a small brown dog; ".repeat(6);
    let short = [
        "a dog",
        "blue",
        "a photo of a cat on a red sofa",
        "two people ride bicycles along the beach at sunset",
        "A BLACK-AND-WHITE PORTRAIT (1920)!",
        "invoice no. 4711: total 99.95 EUR",
        "ein altes Fahrrad im Schnee, an eine Mauer gelehnt",
        "собака бежит по пляжу",
        "雪山上的日出",
    ];
    short.into_iter().map(str::to_owned).chain([long]).collect()
}

/// Images of several shapes. Integers only, so that they are the same everywhere.
pub fn images() -> Vec<RgbImage> {
    let mut noise = 0x2545_f491_4f6c_dd1d_u64;
    vec![
        draw(320, 240, |x, y| [(x * 255 / 319) as u8, (y * 255 / 239) as u8, 96]),
        draw(240, 320, |x, y| if (x / 40 + y / 40) % 2 == 0 { [250, 250, 250] } else { [10, 10, 10] }),
        draw(256, 256, |x, y| {
            let distance = (x as i64 - 128).pow(2) + (y as i64 - 128).pow(2);
            if distance < 90 * 90 { [220, 30, 30] } else { [240, 240, 235] }
        }),
        draw(400, 200, |x, y| if ((x + y) / 25) % 2 == 0 { [30, 60, 200] } else { [250, 220, 40] }),
        draw(224, 224, |_, _| {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            [(noise >> 8) as u8, (noise >> 24) as u8, (noise >> 40) as u8]
        }),
        draw(300, 300, |x, y| match (x < 150, y < 150) {
            (true, true) => [255, 0, 0],
            (false, true) => [0, 160, 0],
            (true, false) => [0, 0, 255],
            (false, false) => [255, 255, 0],
        }),
        draw(500, 333, |x, y| if y < 180 { [120, 180, 250] } else { [40, (90 + x / 8) as u8, 30] }),
        draw(64, 48, |x, y| [((x * y) % 251) as u8, ((x * x + y) % 241) as u8, ((x + y * y) % 239) as u8]),
    ]
}

fn draw(width: u32, height: u32, mut pixel: impl FnMut(u32, u32) -> [u8; 3]) -> RgbImage {
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let pixels: Vec<u8> = places.flat_map(|(x, y)| pixel(x, y)).collect();
    RgbImage::from_raw(width, height, pixels).expect("three bytes for each pixel")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors that are stored somewhere are of exactly these.
    #[test]
    fn the_probe_set_of_this_version() {
        let mut bytes: Vec<u8> = texts().concat().into_bytes();
        images().iter().for_each(|image| bytes.extend_from_slice(image.as_raw()));
        let digest = hub::sha256(&bytes);
        assert_eq!(
            (VERSION, digest.as_str()),
            (1, "80989f2dd79fc4a174293dae20f3e9b9f64a1b852998f51d9671933148fd4699"),
            "a change of the probe set needs another version"
        );
    }
}
