//! Frames of animations and pages of files, beside those that Pillow sees.

use clip::{
    Error, Frame, FrameRange, Frames, Gray16, Limits, MAX_FRAMES_IN_PART, OnTruncated, PART_BYTES, Preprocessor,
    Reading, Transparency, decode, frames,
};
use image::{DynamicImage, Rgb};
use parity::{JpegDigests, golden_dir};
use std::io::Cursor;

const ALL: FrameRange = FrameRange { first: 1, every: 1, max: u32::MAX };
/// As Pillow, which does not turn images.
const PILLOW: Reading = Reading {
    transparency: Transparency::Drop,
    apply_orientation: false,
    gray16: Gray16::Pil,
    on_truncated: OnTruncated::Error,
    jpeg_scaling: false,
};

#[derive(serde::Deserialize)]
struct Golden {
    files: Vec<(String, Vec<Expected>)>,
}

/// Milliseconds, and the digest of a frame.
type Expected = (Option<u32>, String);

fn golden() -> Golden {
    serde_json::from_slice(&std::fs::read(golden_dir().join("frames.json")).unwrap()).unwrap()
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(golden_dir().join(name)).unwrap()
}

fn of(bytes: &[u8], range: FrameRange) -> Result<Frames, Error> {
    frames(bytes, &Limits::default(), Reading::default(), range)
}

/// The image of a frame.
fn image_of(frame: &Frame, bytes: &[u8]) -> DynamicImage {
    image::load_from_memory(frame.png.as_deref().unwrap_or(bytes)).unwrap()
}

#[test]
fn they_are_pillows() {
    let golden = golden();
    assert!(golden.files.len() > 50);
    let mut wrong = Vec::new();
    for (name, expected) in &golden.files {
        let bytes = file(name);
        let made = match frames(&bytes, &Limits::default(), PILLOW, ALL) {
            Ok(made) => made,
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        assert_eq!((made.next, made.damage), (None, None), "{name}");
        if made.frames.len() != expected.len() {
            wrong.push(format!("{name}: {} frames, not {}", made.frames.len(), expected.len()));
        }
        for ((frame, (delay, digest)), number) in made.frames.iter().zip(expected).zip(1..) {
            assert_eq!(frame.number, number);
            let is_still = made.frames.len() == 1;
            assert_eq!(frame.png.is_none(), is_still, "{name}");
            if is_still {
                continue;
            }
            let image = image_of(frame, &bytes).into_rgba8();
            let size = format!("{}x{}", image.width(), image.height());
            if *digest != JpegDigests::of_bytes(&[size.as_bytes(), image.as_raw()].concat()) {
                wrong.push(format!("{name}: the pixels of frame {number}"));
            }
            if frame.delay_ms != *delay && !name.ends_with(".jxl") {
                wrong.push(format!("{name}: frame {number} is shown for {:?}, not {delay:?}", frame.delay_ms));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Also where images are turned, laid on white, or gray in the way of PIL: what is embedded of the first frame is what is
/// embedded of the file.
#[test]
fn the_first_is_what_the_file_is() {
    let preprocessor = || Preprocessor::new(&golden_spec());
    let (mut stills, mut animations) = (0, 0);
    let readings = [
        Reading::default(),
        PILLOW,
        Reading { transparency: Transparency::White, gray16: Gray16::Pil, ..Reading::default() },
        Reading { transparency: Transparency::White, on_truncated: OnTruncated::Decode, ..PILLOW },
    ];
    let mut folders = vec![golden_dir().join("images"), golden_dir().join("frames"), golden_dir().join("heif")];
    folders.extend(std::fs::read_dir(golden_dir().join("formats")).unwrap().map(|entry| entry.unwrap().path()));
    for folder in folders.into_iter().filter(|folder| folder.is_dir()) {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let bytes = std::fs::read(&path).unwrap();
            for reading in readings {
                let preprocessor = preprocessor().with_reading(reading);
                let whole = preprocessor.pixels(&bytes, &Limits::default());
                let first = frames(&bytes, &Limits::default(), reading, FrameRange { max: 1, ..ALL });
                let (whole, first) = match (whole, first) {
                    (Ok(whole), Ok(first)) => (whole, first),
                    (Err(whole), Err(first)) => {
                        assert_eq!(whole, first, "{}", path.display());
                        continue;
                    }
                    (whole, first) => panic!("{}: {:?}, {:?}", path.display(), whole.err(), first.err()),
                };
                assert_eq!((first.frames.len(), first.next, first.damage), (1, None, None));
                let frame = &first.frames[0];
                assert_eq!(frame.number, 1);
                let again = preprocessor.pixels(frame.png.as_deref().unwrap_or(&bytes), &Limits::default()).unwrap();
                assert!(again == whole, "{} as {reading:?}", path.display());
                *if frame.png.is_some() { &mut animations } else { &mut stills } += 1;
            }
        }
    }
    assert!(stills > 2000 && animations > 200, "{stills}, {animations}");
}

fn golden_spec() -> clip::ModelSpec {
    let name = clip::ModelName::parse("golden/small").unwrap();
    clip::ModelSpec::read(&golden_dir().join("models/golden/small"), &name).unwrap()
}

#[test]
fn a_range_is_a_part_of_all() {
    for name in ["frames/gif_mixed.gif", "frames/png_mixed_over.png", "frames/webp_over1.webp", "frames/tiff_lzw.tiff"]
    {
        let bytes = file(name);
        let all = of(&bytes, ALL).unwrap().frames;
        for (first, every, max) in
            [(1, 1, 2), (2, 1, 100), (1, 2, 100), (2, 3, 1), (3, 1, 1), (1, 1000, 5), (100, 1, 5)]
        {
            let made = of(&bytes, FrameRange { first, every, max }).unwrap();
            let expected = all.iter().skip(first as usize - 1).step_by(every as usize).take(max as usize);
            assert!(made.frames.iter().eq(expected), "{name}: {first}, {every}, {max}");
            assert_eq!((made.next, made.damage), (None, None));
        }
    }
}

#[test]
fn a_still_image_has_one_frame() {
    for name in
        ["images/photo_420.jpg", "images/alpha.png", "images/photo.webp", "formats/tiff/rgb16.tiff", "images/photo.gif"]
    {
        let still = Frame { number: 1, delay_ms: None, png: None };
        let bytes = file(name);
        assert_eq!(of(&bytes, ALL).unwrap(), Frames { frames: vec![still], ..Frames::default() }, "{name}");
        assert_eq!(of(&bytes, FrameRange { first: 2, ..ALL }).unwrap(), Frames::default(), "{name}");
    }
}

/// All parts of an image's frames, and how many parts.
fn in_parts(bytes: &[u8], mut range: FrameRange) -> (Vec<Frame>, usize) {
    let (mut all, mut parts) = (Vec::new(), 0);
    loop {
        let made = of(bytes, range).unwrap();
        parts += 1;
        assert!(made.frames.len() <= MAX_FRAMES_IN_PART);
        range.max -= made.frames.len() as u32;
        all.extend(made.frames);
        match made.next {
            Some(next) => range.first = next,
            None => return (all, parts),
        }
    }
}

/// A GIF of so many frames: a dot that moves.
fn gif(frames: usize, side: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = gif::Encoder::new(&mut bytes, side, side, &[0, 0, 0, 255, 255, 255]).unwrap();
    encoder
        .write_frame(&gif::Frame::from_indexed_pixels(side, side, vec![0; side as usize * side as usize], None))
        .unwrap();
    for index in 1..frames {
        let mut frame = gif::Frame::from_indexed_pixels(1, 1, vec![1], None);
        frame.left = (index % side as usize) as u16;
        frame.top = (index / side as usize % side as usize) as u16;
        encoder.write_frame(&frame).unwrap();
    }
    drop(encoder);
    bytes
}

#[test]
fn many_come_in_parts() {
    let bytes = gif(2300, 60);
    let (all, parts) = in_parts(&bytes, FrameRange { max: 10_000, ..ALL });
    assert_eq!((all.len(), parts), (2300, 3));
    for (frame, number) in all.iter().zip(1..) {
        assert_eq!(frame.number, number);
        let white = image_of(frame, &bytes).into_rgb8().pixels().filter(|pixel| **pixel == Rgb([255; 3])).count();
        assert_eq!(white as u32, number - 1);
    }
    let (some, parts) = in_parts(&bytes, FrameRange { every: 2, max: 1010, ..ALL });
    assert_eq!((some.len(), parts), (1010, 2));
    assert!(some.iter().zip(all.iter().step_by(2)).all(|(some, all)| some == all));
}

/// Nine million pixels each, of which one changes: a part ends before it takes too long.
#[test]
fn large_ones_come_in_small_parts() {
    let bytes = gif(100, 3000);
    let made = of(&bytes, ALL).unwrap();
    assert!((2..10).contains(&made.frames.len()) && made.next == Some(made.frames.len() as u32 + 1), "{:?}", made.next);
    let sum: usize = made.frames.iter().filter_map(|frame| frame.png.as_ref()).map(Vec::len).sum();
    assert!(sum <= PART_BYTES + (1 << 20), "{sum}");
}

/// A hundred thousand frames in two megabytes, of which one is wanted.
#[test]
fn what_is_not_wanted_is_not_made() {
    let bytes = gif(100_000, 300);
    let first = of(&bytes, FrameRange { max: 1, ..ALL }).unwrap();
    assert_eq!((first.frames.len(), first.next), (1, None));
    let last = of(&bytes, FrameRange { first: 100_000, ..ALL }).unwrap();
    assert_eq!((last.frames.len(), last.next), (1, None));
}

#[test]
fn damaged_files_say_which_frame() {
    for (name, part) in
        [("frames/gif_mixed.gif", 88), ("frames/png_mixed_over.png", 60), ("formats/tiff/pages.tiff", 60)]
    {
        let whole = file(name);
        let cut = &whole[..whole.len() * part / 100];
        let Err(Error::CorruptImage { reason, .. }) = of(cut, ALL) else { panic!("{name}: no frame is damaged") };
        let number: u32 = reason.strip_prefix("frame ").unwrap().split(':').next().unwrap().parse().unwrap();
        assert!(number > 1, "{reason}");
        // What comes before it can be had.
        let before = of(cut, FrameRange { max: number - 1, ..ALL }).unwrap();
        let expected = of(&whole, FrameRange { max: number - 1, ..ALL }).unwrap();
        assert_eq!(before, expected, "{name}");
        let lenient = Reading { on_truncated: OnTruncated::Decode, ..Reading::default() };
        let made = frames(cut, &Limits::default(), lenient, ALL).unwrap();
        assert_eq!(made.frames, expected.frames);
        assert!(matches!(made.damage, Some(Error::CorruptImage { reason: said, .. }) if said == reason));
    }
    // The first one is refused as everywhere, and so is a WebP file that is not whole.
    for (name, part) in [("frames/gif_mixed.gif", 45), ("frames/webp_over1.webp", 80)] {
        let whole = file(name);
        let cut = &whole[..whole.len() * part / 100];
        let refused = decode(cut, &Limits::default(), Reading::default()).unwrap_err();
        assert_eq!(of(cut, ALL).unwrap_err(), refused, "{name}");
    }
}

#[test]
fn what_is_no_image_is_refused_as_everywhere() {
    let limits = Limits { max_bytes: 5000, max_pixels: 100 };
    let refused = |bytes: &[u8]| frames(bytes, &limits, Reading::default(), ALL).unwrap_err();
    assert!(matches!(refused(b""), Error::NotAnImage { .. }));
    assert!(matches!(refused(b"This is a text."), Error::NotAnImage { .. }));
    assert!(matches!(refused(&[0; 6000]), Error::ImageTooLarge { .. }));
    for name in ["gif_keep.gif", "png_keep_over.png", "webp_over0.webp", "tiff_plain.tiff", "jxl_rgb.jxl"] {
        assert!(matches!(refused(&file(&format!("frames/{name}"))), Error::TooManyPixels { .. }), "{name}");
    }
}

/// A small screen, and a frame that is far larger than it.
#[test]
fn each_frame_is_within_the_limits() {
    let mut bytes = gif(1, 8);
    bytes.pop();
    bytes.extend(b",\0\0\0\0\xff\xff\xff\xff\0\x02\x02\x4c\x01\0;");
    let error = of(&bytes, ALL).unwrap_err();
    assert!(matches!(error, Error::TooManyPixels { width: 65_535, height: 65_535, .. }), "{error}");
    // A page that is larger than those before.
    let mut file = Cursor::new(Vec::new());
    let mut encoder = tiff::encoder::TiffEncoder::new(&mut file).unwrap();
    encoder.write_image::<tiff::encoder::colortype::Gray8>(2, 2, &[0; 4]).unwrap();
    encoder.write_image::<tiff::encoder::colortype::Gray8>(20, 20, &[0; 400]).unwrap();
    let small = Limits { max_pixels: 100, ..Limits::default() };
    let error = frames(file.get_ref(), &small, Reading::default(), ALL).unwrap_err();
    assert!(matches!(error, Error::TooManyPixels { width: 20, height: 20, .. }), "{error}");
}

/// EXIF turns all frames, and a PNG of them states nothing any more.
#[test]
fn frames_are_turned_as_the_file_says() {
    let bytes = file("frames/png_turned.png");
    let stored = frames(&bytes, &Limits::default(), PILLOW, ALL).unwrap().frames;
    let shown = of(&bytes, ALL).unwrap().frames;
    for (stored, shown) in stored.iter().zip(&shown) {
        let (stored, shown) = (image_of(stored, &bytes).into_rgba8(), image_of(shown, &bytes).into_rgba8());
        assert_eq!(image::imageops::rotate90(&stored), shown);
    }
}

#[test]
fn what_is_nowhere_transparent_has_no_alpha_channel() {
    let made = of(&file("frames/gif_keep.gif"), ALL).unwrap();
    assert!(made.frames.iter().all(|frame| !image_of(frame, b"").color().has_alpha()));
    let made = of(&file("frames/webp_over0.webp"), ALL).unwrap();
    assert!(made.frames.iter().all(|frame| image_of(frame, b"").color().has_alpha()));
}
