//! Image bytes to the input of the image tower, and to a thumbnail.

use std::sync::OnceLock;

use clip::{Filter, Limits, Preprocessor, Resize};

use crate::golden;
use crate::memory::peak_of;

/// Small, so that an execution takes milliseconds and a picture that passes them by is noticed.
pub const LIMITS: Limits = Limits { max_bytes: 1 << 20, max_pixels: 1 << 20 };

/// Most memory of one execution in bytes: what a decoder may take (64 MiB, and 16 bytes for each pixel), and the
/// picture twice more while it is converted.
pub const MEMORY: usize = (64 + 16 + 8) << 20;

const THUMBNAIL: u32 = 64;

/// Decodes and preprocesses a picture, for one of three models by its length, and makes a thumbnail of it.
///
/// # Panics
/// Where the input tower's shape is wrong, a value is not finite, an error is not about the picture, the two ways to
/// read a picture disagree about whether it is one, or memory is above [`MEMORY`].
pub fn image(bytes: &[u8]) {
    let preprocessors = preprocessors();
    let (preprocessor, [height, width]) = &preprocessors[bytes.len() % preprocessors.len()];
    let ((), peak) = peak_of(|| {
        let known = clip::media_type(bytes);
        match preprocessor.run(bytes, &LIMITS) {
            Ok(input) => {
                assert_eq!(input.shape(), [3, *height, *width]);
                assert!(input.iter().all(|value| value.is_finite()), "a value is not finite");
                assert!(known.is_some(), "decoded, but of no known type");
            }
            Err(error) => check_error(&error),
        }
    });
    assert!(peak <= MEMORY, "preprocessing took {peak} bytes");

    let ((), peak) = peak_of(|| match clip::thumbnail(bytes, THUMBNAIL, &LIMITS) {
        Ok(clip::Thumbnail::Jpeg(small) | clip::Thumbnail::Png(small)) => {
            // What is made must be readable.
            preprocessor.run(&small, &LIMITS).expect("a thumbnail is a picture");
        }
        Err(error) => check_error(&error),
    });
    assert!(peak <= MEMORY, "a thumbnail took {peak} bytes");
}

fn check_error(error: &clip::Error) {
    assert!(error.is_about_picture(), "{error}");
    let text = error.to_string();
    assert!(text.len() < 2_000 && !text.contains(char::is_control), "{text:?}");
}

/// The golden model's preprocessing, one that squashes, and one that takes pixels as they are; with height and width.
fn preprocessors() -> &'static [(Preprocessor, [usize; 2]); 3] {
    static PREPROCESSORS: OnceLock<[(Preprocessor, [usize; 2]); 3]> = OnceLock::new();
    PREPROCESSORS.get_or_init(|| {
        let crop = golden::spec().clone();
        let mut squash = crop.clone();
        squash.image.resize = Some(Resize::Exact { height: 20, width: 30 });
        squash.image.filter = Filter::Lanczos;
        squash.image.center_crop = false;
        (squash.image.height, squash.image.width) = (20, 30);
        let mut nearest = crop.clone();
        nearest.image.resize = Some(Resize::ShortestEdge(7));
        nearest.image.filter = Filter::Nearest;
        [crop, squash, nearest].map(|spec| {
            let size = [spec.image.height as usize, spec.image.width as usize];
            (Preprocessor::new(&spec), size)
        })
    })
}
