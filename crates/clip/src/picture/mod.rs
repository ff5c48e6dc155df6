//! Pictures: encoded bytes to the input of the image tower.

mod decode;
mod jpeg;
mod preprocess;
mod resize;

pub use decode::{FORMATS, Limits, Transparency, decode, decode_with};
/// 8-bit RGB picture, row by row from the top left.
pub use image::RgbImage;
pub use preprocess::Preprocessor;
