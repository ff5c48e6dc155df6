//! What there is of images that end too early, beside what Pillow reads of them with `LOAD_TRUNCATED_IMAGES`.

use clip::{Gray16, Limits, OnTruncated, Reading, decode};
use parity::{JpegDigests, golden_dir, jpegs};

const LENIENT: Reading = Reading {
    transparency: clip::Transparency::Drop,
    apply_orientation: false,
    gray16: Gray16::Pil,
    on_truncated: OnTruncated::Decode,
    jpeg_scaling: false,
};

#[derive(serde::Deserialize)]
struct Truncated {
    files: Vec<(String, usize, String)>,
}

fn digest(bytes: &[u8], reading: Reading) -> Option<String> {
    decode(bytes, &Limits::default(), reading).ok().as_ref().map(JpegDigests::of_image)
}

#[test]
fn jpegs_are_read_as_far_as_pillow_reads_them() {
    let expected = JpegDigests::read().unwrap();
    let mut read = 0;
    for jpeg in jpegs() {
        let expected = &expected[&jpeg.name];
        if expected.strict.is_some() || expected.lenient.is_some() {
            assert_eq!(digest(&jpeg.bytes, LENIENT), expected.lenient, "{}", jpeg.name);
        }
        read += i32::from(expected.strict.is_none() && expected.lenient.is_some());
    }
    assert!(read > 20, "only {read} are truncated");
}

#[test]
fn so_are_pngs() {
    let json = std::fs::read(golden_dir().join("truncated.json")).unwrap();
    let truncated: Truncated = serde_json::from_slice(&json).unwrap();
    assert!(truncated.files.len() > 300);
    let mut complaints = Vec::new();
    for (file, length, expected) in &truncated.files {
        let bytes = std::fs::read(golden_dir().join("formats").join(file)).unwrap();
        assert!(digest(&bytes[..*length], Reading { on_truncated: OnTruncated::Error, ..LENIENT }).is_none());
        let found = digest(&bytes[..*length], LENIENT);
        if found.as_ref() != Some(expected) {
            complaints.push((file, length, found.is_some()));
        }
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
}

/// A file of which nothing is there but its header, and one that is no image, are refused as ever.
#[test]
fn nothing_is_made_up() {
    for (name, length) in [("jpeg/baseline_444.jpg", 2), ("png/animated.png", 60), ("gif/animated.gif", 20)] {
        let bytes = &std::fs::read(golden_dir().join("formats").join(name)).unwrap()[..length];
        let refused = |reading| decode(bytes, &Limits::default(), reading).unwrap_err();
        assert_eq!(refused(LENIENT), refused(Reading::default()), "{name}");
    }
    assert_eq!(digest(b"no image", LENIENT), None);
}
