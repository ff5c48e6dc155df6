//! JPEG files of every kind, read as Pillow reads them, to the last bit, or refused as Pillow refuses them.

use clip::{Limits, Reading, decode};
use parity::{JpegDigests, jpegs};

#[test]
fn every_pixel_is_pillows() {
    let expected = JpegDigests::read().unwrap();
    let jpegs = jpegs();
    assert_eq!(jpegs.len(), expected.len(), "run tests/golden/make_jpegs.py");
    let mut complaints = Vec::new();
    let mut read = 0;
    for jpeg in &jpegs {
        let expected = &expected[&jpeg.name];
        assert_eq!(JpegDigests::of_bytes(&jpeg.bytes), expected.file, "{} is another file", jpeg.name);
        let found = decode(&jpeg.bytes, &Limits::default(), Reading::default());
        read += i32::from(found.is_ok());
        if let Err(error) = &found {
            assert!(error.is_about_image(), "{}: {error}", jpeg.name);
        }
        if found.as_ref().ok().map(JpegDigests::of_image) != expected.strict {
            complaints.push((&jpeg.name, found.map(|image| image.dimensions())));
        }
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert!(read >= 400, "only {read} of {} were read", jpegs.len());
}
