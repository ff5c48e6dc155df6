//! Image bytes to the input of the image encoder, and to a thumbnail.

use std::sync::OnceLock;

use clip::{Filter, FrameRange, Limits, OnTruncated, Preprocessor, Reading, Resize};

use crate::golden;
use crate::memory::peak_of;

/// Small, so that an execution takes milliseconds and an image that passes them by is noticed.
pub const LIMITS: Limits = Limits { max_bytes: 1 << 20, max_pixels: 1 << 20 };

/// Most memory of one execution in bytes: what a decoder may take (64 MiB, and 16 bytes for each pixel), and the
/// image twice more while it is converted.
pub const MEMORY: usize = (64 + 16 + 8) << 20;

const THUMBNAIL: u32 = 64;
/// Enough for all disposals, and few enough for a file of a million frames.
const FRAMES: FrameRange = FrameRange { first: 1, every: 1, max: 6 };

/// Decodes and preprocesses an image, for one of three models by its length, describes it, and makes a thumbnail and
/// images of its first frames.
///
/// # Panics
/// Where the input's shape is wrong, a value is not finite, an error is not about the image, one way to read it says
/// that it is an image and another that it is not, the first frame is another image than the file, or memory is above
/// [`MEMORY`].
pub fn image(bytes: &[u8]) {
    let preprocessors = preprocessors();
    let (preprocessor, [height, width]) = &preprocessors[bytes.len() % preprocessors.len()];
    let (result, peak) = peak_of(|| preprocessor.run(bytes, &LIMITS));
    assert!(peak <= MEMORY, "preprocessing took {peak} bytes");
    match &result {
        Ok(input) => {
            assert_eq!(input.shape(), [3, *height, *width]);
            assert!(input.iter().all(|value| value.is_finite()), "a value is not finite");
        }
        Err(error) => check_error(error),
    }

    let (info, peak) = peak_of(|| clip::image_info(bytes, &LIMITS));
    assert!(peak <= MEMORY, "a description took {peak} bytes");
    assert_eq!(info.error, result.as_ref().err().map(ToString::to_string));
    assert!(info.format.is_some() || result.is_err(), "decoded, but of no known type");

    check_frames(bytes, preprocessor, result.as_ref().ok());

    for on_truncated in [OnTruncated::Error, OnTruncated::Decode] {
        let (small, peak) = peak_of(|| clip::thumbnail(bytes, THUMBNAIL, &LIMITS, on_truncated));
        assert!(peak <= MEMORY, "a thumbnail took {peak} bytes");
        match small {
            Ok(clip::Thumbnail::Jpeg(small) | clip::Thumbnail::Png(small)) => {
                assert!(result.is_ok() || on_truncated == OnTruncated::Decode);
                preprocessor.run(&small, &LIMITS).expect("a thumbnail is an image");
            }
            Err(error) => {
                assert!(result.is_err(), "{error}");
                check_error(&error);
            }
        }
    }
}

/// Makes images of the first frames.
fn check_frames(bytes: &[u8], preprocessor: &Preprocessor, whole: Option<&clip::Array3<f32>>) {
    let (made, peak) = peak_of(|| clip::frames(bytes, &LIMITS, Reading::default(), FRAMES));
    assert!(peak <= MEMORY, "frames took {peak} bytes");
    match made {
        Ok(made) => {
            let whole = whole.expect("the file is an image");
            for (frame, number) in made.frames.iter().zip(1..) {
                assert_eq!(frame.number, number);
                let Some(png) = &frame.png else { continue };
                // A file that is longer than what it was made of may be longer than what is read.
                let limits = Limits { max_bytes: usize::MAX, ..LIMITS };
                let input = preprocessor.run(png, &limits).expect("a frame is an image");
                assert!(number > 1 || input == *whole, "the first frame is another image than the file");
            }
        }
        Err(error) => check_error(&error),
    }
}

fn check_error(error: &clip::Error) {
    assert!(error.is_about_image(), "{error}");
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
