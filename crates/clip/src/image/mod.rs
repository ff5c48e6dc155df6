//! Images: encoded bytes to the input of the image encoder, or to a small image for people.

mod apng;
mod bmp;
mod canvas;
mod damaged;
mod decode;
mod fields;
mod frames;
mod gif;
mod heif;
mod ico;
mod info;
mod jpeg;
mod jpeg2000;
mod jpeg2000_parts;
mod jxl;
mod limits;
mod orientation;
mod png;
mod preprocess;
mod reading;
mod resize;
mod rgb;
mod samples;
mod tga;
mod thumbnail;
mod tiff;
mod tiff_fax;
mod tiff_jpeg;
mod tiff_tags;
mod unknown;
mod webp;
mod with_image;

pub use decode::{FORMATS, OTHER_FORMATS, decode, media_type};
pub use frames::{Frame, FrameRange, Frames, MAX_FRAMES_IN_PART, PART_BYTES, frames};
pub use heif::decodes_heif;
/// Loads what decoders are made of and opens files for, so that they can be called in a sandbox.
pub use heif::prepare as prepare_decoders;
/// 8-bit RGB image, row by row from the top left.
pub use image::RgbImage;
pub use info::{ImageInfo, image_info};
pub use limits::Limits;
pub use preprocess::Preprocessor;
pub use reading::{OnTruncated, Reading, Transparency};
pub use samples::Gray16;
pub use thumbnail::{Thumbnail, thumbnail};
