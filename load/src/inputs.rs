//! Texts and pictures, no two of them equal: no memo, cache or request under way knows one of them.

use image::{ExtendedColorType, ImageEncoder, codecs::jpeg::JpegEncoder};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Pictures that are encoded beforehand; a picture that is asked for is one of them, with other bytes at its end.
const POOL: u32 = 256;
/// As an upload that was scaled down.
const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;
const QUALITY: u8 = 85;

/// Words in a text, and bits of a number that choose one of [`WORDS`].
const LENGTH: u32 = 4;
const BITS: u32 = 6;
/// Odd, so that multiplying by it gives each number another one: neighbours have no word in common.
const SCRAMBLE: u64 = 0x5_9E37_79B1;
const WORDS: [&str; 1 << BITS] = [
    "red", "green", "blue", "yellow", "black", "white", "happy", "sad", "round", "bright", "wet", "broken", "old",
    "new", "tiny", "big", "cat", "dog", "apple", "boat", "car", "house", "tree", "flower", "clock", "book", "fish",
    "bird", "heart", "star", "guitar", "bicycle", "umbrella", "man", "woman", "child", "face", "hand", "eye", "sun",
    "moon", "cloud", "rain", "snow", "fire", "water", "bread", "cheese", "egg", "cup", "bottle", "key", "lock", "bell",
    "phone", "pen", "box", "ball", "hat", "shoe", "ring", "train", "plane", "flag",
];

/// Where they come from. Many threads may ask.
pub struct Inputs {
    pool: Vec<Vec<u8>>,
    texts: AtomicU64,
    pictures: AtomicU64,
}

impl Inputs {
    /// Encodes the pictures.
    ///
    /// # Errors
    /// What the encoder says.
    pub fn new() -> anyhow::Result<Self> {
        let pool = (0..POOL).map(encode).collect::<Result<_, _>>()?;
        Ok(Self { pool, texts: AtomicU64::new(0), pictures: AtomicU64::new(0) })
    }

    /// A text. They begin anew after 16 million.
    pub fn text(&self) -> String {
        let scrambled = self.texts.fetch_add(1, Relaxed).wrapping_mul(SCRAMBLE);
        let word = |place| WORDS[(scrambled >> (place * BITS)) as usize % WORDS.len()];
        (0..LENGTH).map(word).collect::<Vec<_>>().join(" ")
    }

    /// A JPEG file. What follows the mark of its end is no part of the picture, but is of the bytes.
    pub fn picture(&self) -> Vec<u8> {
        let number = self.pictures.fetch_add(1, Relaxed);
        let encoded = &self.pool[number as usize % self.pool.len()];
        [&encoded[..], &number.to_le_bytes()].concat()
    }

    /// How long a picture of the pool is on average.
    pub fn bytes_of_picture(&self) -> usize {
        self.pool.iter().map(Vec::len).sum::<usize>() / self.pool.len()
    }
}

fn encode(number: u32) -> anyhow::Result<Vec<u8>> {
    let wave = |place: u32, period: u32| (f64::from(place) / f64::from(period)).sin() * 0.5 + 0.5;
    let columns: Vec<[f64; 2]> = (0..WIDTH).map(|x| [wave(x + 3 * number, 17 + number % 29), wave(x, 40)]).collect();
    let rows: Vec<[f64; 2]> = (0..HEIGHT).map(|y| [wave(y, 23 + number % 13), wave(y + number, 61)]).collect();
    let mut rgb = Vec::with_capacity((WIDTH * HEIGHT * 3) as usize);
    for [down, slow_down] in rows {
        for &[along, slow_along] in &columns {
            rgb.extend([along * down, slow_along * slow_down, slow_down].map(|value| (value * 255.0) as u8));
        }
    }
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY).write_image(&rgb, WIDTH, HEIGHT, ExtendedColorType::Rgb8)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn inputs() -> Inputs {
        let pool = (0..3).map(|number| encode(number).unwrap()).collect();
        Inputs { pool, texts: AtomicU64::new(0), pictures: AtomicU64::new(0) }
    }

    #[test]
    fn all_texts_differ() {
        const COUNT: usize = 200_000;
        let inputs = inputs();
        assert_eq!(WORDS.into_iter().collect::<HashSet<_>>().len(), WORDS.len());
        assert_eq!((0..COUNT).map(|_| inputs.text()).collect::<HashSet<_>>().len(), COUNT);
    }

    #[test]
    fn pictures_differ_in_bytes_and_show_the_same() {
        let inputs = inputs();
        let all: Vec<Vec<u8>> = (0..9).map(|_| inputs.picture()).collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
        let shown = |bytes: &[u8]| image::load_from_memory(bytes).unwrap().into_rgb8();
        assert_eq!(shown(&all[1]), shown(&all[4]));
        assert_ne!(shown(&all[1]), shown(&all[2]));
    }
}
