//! What people pass by mistake, and what they do not.

use lookalike::TextKind::{Base64, DataUrl, Hex, Other, Path, Url};
use lookalike::{image_in_place_of_words, text_in_place_of_an_image, vector_in_place_of_words};
use proptest::prelude::*;

const PNG_BASE64: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";

#[test]
fn text_where_an_image_should_be() {
    let wrapped = format!("{}\n{}\n", &PNG_BASE64[..60], &PNG_BASE64[60..]);
    for (text, kind) in [
        ("https://example.com/a.jpg", Url),
        ("s3://bucket/a b.jpg".split(' ').next().unwrap(), Url),
        ("file:///srv/a.png\n", Url),
        ("data:image/png;base64,iVBORw0KGgo=", DataUrl),
        ("/srv/images/a.jpg", Path),
        ("~/a", Path),
        ("C:\\images\\a", Path),
        ("holiday 2024.JPG", Path),
        ("\\xffd8ffe000104a464946", Hex),
        ("\\xff", Hex),
        ("FFD8FFE000104A46", Hex),
        ("/9j/4AAQSkZJRgABAQAAAQABAAD", Base64),
        (PNG_BASE64, Base64),
        (&wrapped, Base64),
        ("AAAAIGZ0eXBhdmlmAAAAAGF2aWY", Base64),
        ("a dog on a beach", Other),
        ("internationalization", Other),
        ("<svg xmlns=\"http://www.w3.org/2000/svg\"/>", Other),
        ("привет", Other),
    ] {
        assert_eq!(text_in_place_of_an_image(text.as_bytes()), Some(kind), "{text}");
    }
    for bytes in [&b""[..], b" \n", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a\x01\0", b"BM\x1a\0"] {
        assert_eq!(text_in_place_of_an_image(bytes), None, "{bytes:?}");
    }
    // Long, and cut within a character.
    assert_eq!(text_in_place_of_an_image("ä".repeat(5000).as_bytes()), Some(Other));
    assert_eq!(text_in_place_of_an_image(format!("x{}", "ä".repeat(5000)).as_bytes()), Some(Other));
    assert_eq!(text_in_place_of_an_image(PNG_BASE64.repeat(100).as_bytes()), Some(Base64));
}

#[test]
fn an_image_where_words_should_be() {
    for (text, kind) in [
        ("data:image/png;base64,iVBORw0KGgo=", DataUrl),
        ("\\x89504e470d0a1a0a0000000d", Hex),
        ("FFD8FFE000104A46", Hex),
        ("\\x000000206674797061766966", Hex),
        (PNG_BASE64, Base64),
        ("/9j/4AAQSkZJRgABAQAAAQABAAD", Base64),
    ] {
        assert_eq!(image_in_place_of_words(text), Some(kind), "{text}");
    }
    for text in [
        "",
        "a dog",
        "/9j/",
        "UklGR",
        "R0lGODdh",
        "\\x",
        "deadbeefdeadbeef",
        "data:",
        "https://example.com/a.jpg",
        "/9j/ is how a JPEG begins in base64",
        "iVBORw0KGgo and more words",
    ] {
        assert_eq!(image_in_place_of_words(text), None, "{text}");
    }
}

#[test]
fn a_vector_where_words_should_be() {
    assert_eq!(vector_in_place_of_words("[0.1,-2e-3, 4]"), Some(3));
    assert_eq!(vector_in_place_of_words(" [1,2] "), Some(2));
    for text in ["", "[]", "[1]", "[1,]", "[1,dog]", "1,2,3", "[1,2", "(1,2)", "[2020] a year"] {
        assert_eq!(vector_in_place_of_words(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn anything_is_looked_at(bytes in proptest::collection::vec(any::<u8>(), 0..64), text in ".{0,64}") {
        text_in_place_of_an_image(&bytes);
        image_in_place_of_words(&text);
        vector_in_place_of_words(&text);
    }

    #[test]
    fn words_are_words(text in "[a-z]{1,12}( [a-z]{1,12}){1,8}") {
        prop_assert_eq!(image_in_place_of_words(&text), None);
        prop_assert_eq!(vector_in_place_of_words(&text), None);
    }
}
