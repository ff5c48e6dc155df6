//! Pictures: encoded bytes to the input of the image tower, or to a small picture for people.

mod decode;
mod fields;
mod gif;
mod heif;
mod ico;
mod info;
mod jpeg;
mod png;
mod preprocess;
mod resize;
mod samples;
mod tga;
mod thumbnail;
mod tiff;
mod tiff_tags;
mod webp;

pub use decode::{FORMATS, Limits, Reading, Transparency, decode, media_type};
/// 8-bit RGB picture, row by row from the top left.
pub use image::RgbImage;
pub use info::{PictureInfo, picture_info};
pub use preprocess::Preprocessor;
pub use thumbnail::{Thumbnail, thumbnail};
