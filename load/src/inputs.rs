//! Texts and images, no two of them equal: no memo, cache or request under way knows one of them.

use measure::{Image, with_mark};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Images that are encoded beforehand; an image that is asked for is one of them, with other bytes at its end.
const POOL: u32 = 256;
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
    images: AtomicU64,
}

impl Inputs {
    /// Encodes the images.
    ///
    /// # Errors
    /// What the encoder says.
    pub fn new() -> anyhow::Result<Self> {
        let pool = (0..POOL).map(|number| Image::UPLOAD.jpeg(number)).collect::<Result<_, _>>()?;
        Ok(Self { pool, texts: AtomicU64::new(0), images: AtomicU64::new(0) })
    }

    /// A text. They begin anew after 16 million.
    pub fn text(&self) -> String {
        let scrambled = self.texts.fetch_add(1, Relaxed).wrapping_mul(SCRAMBLE);
        let word = |place| WORDS[(scrambled >> (place * BITS)) as usize % WORDS.len()];
        (0..LENGTH).map(word).collect::<Vec<_>>().join(" ")
    }

    /// A JPEG file.
    pub fn image(&self) -> Vec<u8> {
        let number = self.images.fetch_add(1, Relaxed);
        let encoded = &self.pool[number as usize % self.pool.len()];
        with_mark(encoded, number)
    }

    /// How long an image of the pool is on average.
    pub fn bytes_of_image(&self) -> usize {
        self.pool.iter().map(Vec::len).sum::<usize>() / self.pool.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn all_texts_differ() {
        const COUNT: usize = 200_000;
        let inputs = Inputs { pool: Vec::new(), texts: AtomicU64::new(0), images: AtomicU64::new(0) };
        assert_eq!(WORDS.into_iter().collect::<HashSet<_>>().len(), WORDS.len());
        assert_eq!((0..COUNT).map(|_| inputs.text()).collect::<HashSet<_>>().len(), COUNT);
    }
}
