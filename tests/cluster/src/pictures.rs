//! Pictures that are larger than those of tests/golden.

/// A picture of many pixels and an eighth as many bytes: one bit for each, in the simplest of formats. Different seeds give
/// different pictures.
pub fn bits(width: usize, height: usize, seed: u8) -> Vec<u8> {
    let mut picture = format!("P4\n{width} {height}\n").into_bytes();
    picture.extend((0..width.div_ceil(8) * height).map(|place| (place / 7) as u8 ^ seed));
    picture
}
