//! Tests of the text of the page; `tests/chromium.rs` looks at it in a browser.

use super::*;

fn captioned(caption: &str) -> Captioned {
    Captioned { image: Image::Png(vec![1, 2, 3]), caption: Some(caption.to_owned()), similarity: Some(0.25) }
}

#[test]
fn text_stays_text() {
    for attempt in [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "' onload='alert(1)",
        "</style><script>alert(1)</script>",
        "</title><script>alert(1)</script>",
        "--></figcaption><a href=javascript:alert(1)>",
        "&lt;script&gt;",
    ] {
        let mut broken = captioned(attempt);
        broken.image = Image::Broken(attempt.to_owned());
        let page = page(attempt, &[captioned(attempt), broken], || ());
        let harmless = attempt.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        // The title, its heading, the two captions, the alternative text and the reason.
        assert_eq!(page.matches(&harmless).count(), 6, "{attempt}");
        assert!(!page.contains("<script") && !page.contains("<a"), "{attempt}");
        assert_eq!(page.matches("<img").count(), 1, "{attempt}");
        assert_eq!(page.matches("</style>").count(), 1, "{attempt}");
        assert_eq!(page.matches("</title>").count(), 1, "{attempt}");
    }
    // Not in a place where it would be an address.
    assert!(page("t", &[captioned("javascript:alert(1)")], || ()).contains(" alt=\"javascript:alert(1)\""));
}

#[test]
fn images_are_inside_with_their_media_type() {
    let bytes = vec![0xff, 0xfb, 0xf0, 0];
    for (image, uri) in [
        (Image::Gif(bytes.clone()), "data:image/gif;base64,//vwAA=="),
        (Image::Jpeg(bytes.clone()), "data:image/jpeg;base64,//vwAA=="),
        (Image::Png(bytes.clone()), "data:image/png;base64,//vwAA=="),
        (Image::WebP(bytes.clone()), "data:image/webp;base64,//vwAA=="),
    ] {
        let page = page("t", &[Captioned { image, ..captioned("a cat") }], || ());
        assert!(page.contains(&format!("<img src=\"{uri}\" alt=\"a cat\" loading=\"lazy\">")), "{page}");
    }
}

#[test]
fn what_cannot_be_shown_says_why() {
    let missing = Captioned { image: Image::Missing, ..captioned("gone") };
    let broken = Captioned { image: Image::Broken("a TIFF of 2 GB".into()), ..captioned("large") };
    let page = page("t", &[missing, broken], || ());
    assert!(page.contains("no image</span>") && page.contains("a TIFF of 2 GB</span>"));
    assert!(page.contains(">gone<") && page.contains(">large<") && !page.contains("<img"));
}

#[test]
fn similarities_have_three_decimals_or_are_left_out() {
    let with = |similarity| page("t", &[Captioned { similarity, ..captioned("c") }], || ());
    for (similarity, text) in [(0.123_46, "0.123"), (1.0, "1.000"), (-0.5, "-0.500"), (-0.0001, "0.000")] {
        assert!(with(Some(similarity)).contains(&format!("\"note\">similarity {text}</span>")), "{similarity}");
    }
    for similarity in [None, Some(f32::NAN), Some(f32::INFINITY), Some(f32::NEG_INFINITY)] {
        assert!(!with(similarity).contains("similarity"), "{similarity:?}");
    }
}

#[test]
fn nothing_is_written_under_an_image_where_there_is_nothing() {
    let bare = page("t", &[Captioned { image: Image::Png(vec![1]), caption: None, similarity: None }], || ());
    assert!(!bare.contains("<figcaption") && bare.contains("alt=\"image without a caption\""));
    assert_eq!(bare, page("t", &[Captioned { similarity: None, image: Image::Png(vec![1]), ..captioned(" \n") }], || ()));
}

#[test]
fn the_page_counts_its_images() {
    assert!(page("t", &[], || ()).contains("There are no images in this gallery."));
    assert!(page("t", &[captioned("a")], || ()).contains("<p>1 image</p>"));
    assert!(page("t", &[captioned("a"), captioned("b")], || ()).contains("<p>2 images</p>"));
    assert!(page(" ", &[], || ()).contains("<title>Images</title>"));
}

#[test]
fn nothing_outside_is_referred_to() {
    let page = page("t", &[captioned("a"), Captioned { image: Image::Missing, ..captioned("b") }], || ());
    for outside in ["http:", "https:", "//", "url(", "@import", "src=\"/", "href=\"/"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert_eq!(page.matches("href=").count(), 1);
    assert!(page.contains("<link rel=\"icon\" href=\"data:,\">"));
    assert!(page.contains("default-src 'none'; img-src data:; style-src 'sha256-"));
}

/// Whoever waits for a page may give it up before each image.
#[test]
fn the_page_looks_whether_it_is_wanted() {
    let looks = std::cell::Cell::new(0);
    page("t", &[captioned("a"), captioned("b"), captioned("c")], || looks.set(looks.get() + 1));
    assert_eq!(looks.get(), 3);
}
