//! Truncated and damaged files, decoded as far as they go, beside Pillow with `LOAD_TRUNCATED_IMAGES`.

use jpeg::{Decoder, Header, Limits, Output};
use parity::{JpegDigests, jpegs};

const LIMITS: Limits = Limits { max_memory: 1 << 30, max_scans: 100 };

/// The digest of gray or RGB, and whether something was missing.
fn digest(bytes: &[u8]) -> Option<(String, bool)> {
    let decoder = Decoder::new(None, bytes, true).ok()?;
    let Header { width, height, components, .. } = decoder.header();
    let (pixels, padded) = decoder.decode(Output::Colours, LIMITS).ok()?;
    let rgb = match components {
        1 => pixels.iter().flat_map(|gray| [*gray; 3]).collect(),
        _ => pixels,
    };
    Some((JpegDigests::of_bytes(&[format!("{width}x{height}").as_bytes(), &rgb].concat()), padded))
}

#[test]
fn what_there_is_of_truncated_files_is_pillows() {
    let expected = JpegDigests::read().unwrap();
    let mut compared = 0;
    for jpeg in jpegs().iter().filter(|jpeg| jpeg.name.starts_with("end_") && !jpeg.name.contains("_22_11_11_22_")) {
        let expected = &expected[&jpeg.name];
        // Only what the strict reading refuses is of interest here.
        let (None, Some(lenient)) = (&expected.strict, &expected.lenient) else { continue };
        let (found, padded) = digest(&jpeg.bytes).unwrap_or_else(|| panic!("{} is refused", jpeg.name));
        assert_eq!(&found, lenient, "{}", jpeg.name);
        assert!(padded, "{}: nothing was missing", jpeg.name);
        compared += 1;
    }
    assert!(compared >= 30, "only {compared} files were compared");
}

#[test]
fn a_whole_file_is_not_padded() {
    let whole = jpegs().into_iter().find(|jpeg| jpeg.name == "sampling_22_11_11_0").unwrap();
    let (_, padded) = digest(&whole.bytes).unwrap();
    assert!(!padded);
}
