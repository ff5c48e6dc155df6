//! HEIC and AVIF: decoded where libheif is, and an error that says what is missing where it is not.
//!
//! The images were made of `tests/golden/images/exact.png` by `tests/golden/make_heif.sh`.

use clip::{Error, Limits, Reading, decode};
use std::path::Path;

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)).unwrap()
}

const FILES: [(&str, &str); 2] = [("heif/exact.heic", "HEIC"), ("heif/exact.avif", "AVIF")];

/// scripts/setup --tests installs libheif, so it has to be there where everything is tested.
fn has_libheif() -> bool {
    let has = clip::decodes_heif();
    assert!(has || std::env::var_os("CI").is_none(), "libheif is missing: make setup-tests");
    has
}

#[test]
fn without_libheif_the_error_names_it() {
    if has_libheif() {
        return;
    }
    for (file, name) in FILES {
        match decode(&golden(file), &Limits::default(), Reading::default()) {
            Err(Error::UnsupportedImage { format, reason }) => {
                assert_eq!(format, name);
                assert!(reason.contains("libheif"), "{reason}");
            }
            other => panic!("{name}: {other:?}"),
        }
        let info = clip::image_info(&golden(file), &Limits::default());
        assert!(info.error.is_some_and(|error| error.contains(name)));
    }
}

#[test]
fn media_types_need_no_libheif() {
    for (file, name) in FILES {
        let info = clip::image_info(&golden(file), &Limits::default());
        assert_eq!(info.format, Some(if name == "AVIF" { "image/avif" } else { "image/heic" }));
    }
}

#[test]
fn images_are_decoded() {
    if !has_libheif() {
        return;
    }
    let original = decode(&golden("images/exact.png"), &Limits::default(), Reading::default()).unwrap();
    for (file, name) in FILES {
        let found = decode(&golden(file), &Limits::default(), Reading::default()).unwrap();
        assert_eq!(found.dimensions(), original.dimensions(), "{name}");
        let difference: f64 =
            found.iter().zip(original.iter()).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / found.len() as f64;
        assert!(difference < 6.0, "{name}: mean difference {difference} levels");
        let few = Limits { max_pixels: 10, ..Limits::default() };
        assert!(matches!(decode(&golden(file), &few, Reading::default()), Err(Error::TooManyPixels { .. })));
        let bytes = golden(file);
        for length in [12, 40, bytes.len() / 2, bytes.len() - 10] {
            let error = decode(&bytes[..length], &Limits::default(), Reading::default()).unwrap_err();
            assert!(matches!(error, Error::CorruptImage { .. } | Error::UnsupportedImage { .. }), "{name}: {error}");
        }
    }
}
