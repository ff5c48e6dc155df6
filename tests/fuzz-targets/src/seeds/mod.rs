//! What fuzzing starts from: small inputs of every kind, made by code so that they follow the formats.

pub mod bombs;

mod formats;
mod frames;
mod models;
mod texts;

pub use frames::frames;
pub use models::models;
pub use texts::texts;

/// Name and bytes.
pub type Seed = (String, Vec<u8>);

/// Images in every format, good ones, truncated ones and bombs.
pub fn images() -> Vec<Seed> {
    let mut seeds = formats::golden();
    seeds.extend(formats::encoded());
    let cut = |(name, bytes): &Seed| (format!("half-{name}"), bytes[..bytes.len() / 2].to_vec());
    let halves: Vec<Seed> = seeds.iter().filter(|(_, bytes)| bytes.len() < 3_000).map(cut).collect();
    seeds.extend(halves);
    seeds.extend(bombs::small().into_iter().map(|bomb| (format!("bomb-{}", bomb.name), bomb.bytes)));
    seeds
}

/// JPEG files of every kind, those that are small.
pub fn jpegs() -> Vec<Seed> {
    let small = parity::jpegs().into_iter().filter(|jpeg| jpeg.bytes.len() < 4_000);
    small.step_by(3).map(|jpeg| (format!("{}.jpg", jpeg.name), jpeg.bytes)).collect()
}
