//! Images that are made, not kept: no file of the repository has to be there, and none is like another.

use image::{ExtendedColorType, ImageEncoder, codecs::jpeg::JpegEncoder};

/// Quality of a JPEG file.
const QUALITY: u8 = 85;
/// Levels of grain up and down that make files as large as ImageNet's.
const GRAIN: f64 = 14.0;

/// A size of images.
#[derive(Clone, Copy, Debug)]
pub struct Image {
    /// Pixels of a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Image {
    /// As an upload that was scaled down.
    pub const UPLOAD: Self = Self { width: 640, height: 480 };

    /// As in ImageNet.
    pub const PHOTOGRAPH: Self = Self { width: 500, height: 375 };

    /// A JPEG file that shows something else than those of other numbers.
    ///
    /// # Errors
    /// What the encoder says.
    pub fn jpeg(self, number: u32) -> anyhow::Result<Vec<u8>> {
        self.jpeg_with_grain(number, 0.0)
    }

    /// The same with grain, which makes a photograph's file as large as it is.
    ///
    /// # Errors
    /// What the encoder says.
    pub fn photograph(self, number: u32) -> anyhow::Result<Vec<u8>> {
        self.jpeg_with_grain(number, GRAIN)
    }

    fn jpeg_with_grain(self, number: u32, levels: f64) -> anyhow::Result<Vec<u8>> {
        let mut random = fastrand::Rng::with_seed(number.into());
        let Self { width, height } = self;
        let wave = |place: u32, period: u32| (f64::from(place) / f64::from(period)).sin() * 0.5 + 0.5;
        let columns: Vec<[f64; 2]> =
            (0..width).map(|x| [wave(x + 3 * number, 17 + number % 29), wave(x, 40)]).collect();
        let rows: Vec<[f64; 2]> = (0..height).map(|y| [wave(y, 23 + number % 13), wave(y + number, 61)]).collect();
        let mut rgb = Vec::with_capacity((width * height * 3) as usize);
        for [down, slow_down] in rows {
            for &[along, slow_along] in &columns {
                let grain = if levels > 0.0 { (random.f64() - 0.5) * 2.0 * levels } else { 0.0 };
                let values = [along * down, slow_along * slow_down, slow_down];
                rgb.extend(values.map(|value| (value * 255.0 + grain) as u8));
            }
        }
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, QUALITY).write_image(&rgb, width, height, ExtendedColorType::Rgb8)?;
        Ok(bytes)
    }
}

/// The same image in a file of other bytes: what follows the mark of a JPEG's end is no part of it.
pub fn with_mark(jpeg: &[u8], mark: u64) -> Vec<u8> {
    [jpeg, &mark.to_le_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn shown(jpeg: &[u8]) -> Vec<u8> {
        image::load_from_memory(jpeg).unwrap().into_rgb8().into_raw()
    }

    #[test]
    fn images_of_other_numbers_show_something_else() {
        let small = Image { width: 32, height: 24 };
        let all: HashSet<Vec<u8>> = (0..40).map(|number| shown(&small.jpeg(number).unwrap())).collect();
        assert_eq!(all.len(), 40);
    }

    #[test]
    fn a_mark_changes_the_bytes_alone() {
        let jpeg = Image { width: 32, height: 24 }.jpeg(1).unwrap();
        assert_ne!(with_mark(&jpeg, 1), with_mark(&jpeg, 2));
        assert_eq!(shown(&with_mark(&jpeg, 1)), shown(&with_mark(&jpeg, 2)));
    }
}
