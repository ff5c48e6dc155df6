//! Images that are larger than those of tests/golden.

/// An image of many pixels and an eighth as many bytes: one bit for each, in the simplest of formats. Different seeds give
/// different images.
pub fn bits(width: usize, height: usize, seed: u8) -> Vec<u8> {
    let mut image = format!("P4\n{width} {height}\n").into_bytes();
    image.extend((0..width.div_ceil(8) * height).map(|place| (place / 7) as u8 ^ seed));
    image
}
