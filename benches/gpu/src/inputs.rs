//! What is embedded.

use clip::Array3;
use measure::{Image, with_mark};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Different images.
const POOL: u32 = 64;
/// Tokens of a text, as in a search of a few words.
pub const TOKENS: usize = 16;

/// JPEG files of ImageNet's size. No two that are handed out are equal: the server runs equal ones once.
pub struct Photographs {
    pool: Vec<Vec<u8>>,
    marks: AtomicU64,
}

impl Photographs {
    /// Encodes them.
    ///
    /// # Errors
    /// What the encoder says.
    pub fn new() -> anyhow::Result<Self> {
        let pool = (0..POOL).map(|number| Image::PHOTOGRAPH.photograph(number));
        Ok(Self { pool: pool.collect::<Result<_, _>>()?, marks: AtomicU64::default() })
    }

    /// Their size on average.
    pub fn kilobytes(&self) -> f64 {
        self.pool.iter().map(Vec::len).sum::<usize>() as f64 / self.pool.len() as f64 / 1e3
    }

    /// The different ones.
    pub fn pool(&self) -> &[Vec<u8>] {
        &self.pool
    }

    /// So many of them.
    pub fn take(&self, count: usize) -> Vec<Vec<u8>> {
        let numbered = (0..count).map(|_| self.marks.fetch_add(1, Relaxed));
        numbered.map(|mark| with_mark(&self.pool[mark as usize % self.pool.len()], mark)).collect()
    }
}

/// Texts that nobody has asked for before.
pub struct Texts(AtomicU64);

impl Texts {
    /// Begins with the first.
    pub fn new() -> Self {
        Self(AtomicU64::default())
    }

    /// So many of them.
    pub fn take(&self, count: usize) -> Vec<String> {
        let numbers = (0..count).map(|_| self.0.fetch_add(1, Relaxed));
        numbers.map(|number| format!("a red dog on a green hill, number {number}")).collect()
    }
}

/// Pixels of random images, normalised as a preprocessor does.
pub fn pixels(count: usize, height: u32, width: u32) -> Vec<Array3<f32>> {
    let mut random = fastrand::Rng::with_seed(7);
    let shape = (3, height as usize, width as usize);
    (0..count).map(|_| Array3::from_shape_simple_fn(shape, || random.f32() * 4.0 - 2.0)).collect()
}

/// Token ids of random texts: start, words, end.
pub fn ids(count: usize, bos: u32, eos: u32) -> Vec<Vec<u32>> {
    let mut random = fastrand::Rng::with_seed(7);
    let text = |_| {
        let mut text = vec![bos];
        text.extend((2..TOKENS).map(|_| random.u32(1..1000)));
        text.push(eos);
        text
    };
    (0..count).map(text).collect()
}
