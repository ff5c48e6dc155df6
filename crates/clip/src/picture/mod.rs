//! Pictures: encoded bytes to the input of the image tower, or to a small picture for people.

mod decode;
mod jpeg;
mod preprocess;
mod resize;
mod thumbnail;

pub use decode::{FORMATS, Limits, Transparency, decode, decode_with, media_type};
/// 8-bit RGB picture, row by row from the top left.
pub use image::RgbImage;
pub use preprocess::Preprocessor;
pub use thumbnail::{Thumbnail, thumbnail};
