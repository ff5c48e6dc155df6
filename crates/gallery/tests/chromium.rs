//! The page in a browser: it shows what it should, and nothing in it does anything.

use browser::{DARK, DESKTOP, PHONE, Report};
use gallery::{Captioned, Image, page};
use image::{ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use std::collections::HashSet;
use std::io::Cursor;
use std::path::Path;

const TITLE: &str = "</title><script>document.title = 'changed'</script> & \"images\"";

const ATTEMPTS: [&str; 8] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "\" onload=\"alert(1)",
    "<svg onload=alert(1)>",
    "</style><style>@import 'http://127.0.0.1:9/a.css'</style>",
    "<link rel=stylesheet href=http://127.0.0.1:9/b.css><iframe src=http://127.0.0.1:9/></iframe>",
    "<a href=javascript:alert(1)>javascript:alert(1)</a>",
    "<!-- </figcaption></figure></main></body>",
];

/// Opens the page; its screenshots go to `gallery` in Cargo's target folder.
fn open(name: &str, html: &str) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(format!("{name}.html"));
    std::fs::write(&file, html).unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let report = browser::open(&file, &target.join("gallery"), &[PHONE, DESKTOP, DARK]);
    assert_eq!(report.console, [""; 0]);
    assert_eq!(report.requests, [format!("file://{}", file.canonicalize().unwrap().display())]);
    for screenshot in &report.screenshots {
        assert!(screenshot.overflow <= 0, "{screenshot:?}");
    }
    report
}

fn colours(png: &Path) -> usize {
    let image = image::open(png).unwrap().into_rgb8();
    image.pixels().collect::<HashSet<_>>().len()
}

/// Images of many shapes, which can be told apart.
fn photograph(number: u32) -> Image {
    let (width, height) = [(360, 240), (240, 360), (360, 360), (360, 90)][number as usize % 4];
    let image = RgbImage::from_fn(width, height, |x, y| {
        let wave = f64::from(x + number * 20) / 30.0 + (f64::from(y) / 25.0).sin();
        let shade = |phase: f64| (127.0 + 90.0 * (wave + phase + f64::from(number)).sin()) as u8;
        Rgb([shade(0.0), shade(2.0), (y * 255 / height) as u8])
    });
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, ImageFormat::Jpeg).unwrap();
    Image::Jpeg(out.into_inner())
}

/// A drawing on nothing.
fn drawing() -> Image {
    let image = RgbaImage::from_fn(72, 72, |x, y| {
        let inside = (x as i32 - 36).pow(2) + (y as i32 - 36).pow(2) < 900;
        Rgba(if inside { [40, 40, 40, 255] } else { [0; 4] })
    });
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, ImageFormat::Png).unwrap();
    Image::Png(out.into_inner())
}

fn images() -> Vec<Captioned> {
    let image = |image, caption: &str, similarity| Captioned { image, caption: Some(caption.to_owned()), similarity };
    let mut all = vec![
        image(photograph(0), "A red boat on a lake", Some(0.312)),
        image(drawing(), "A drawing on a transparent ground", Some(0.3)),
        image(photograph(2), &"Donaudampfschifffahrtsgesellschaft".repeat(8), Some(0.29)),
        image(Image::Missing, "A row without an image", None),
        image(Image::Broken("not an image: the first bytes are of no known format".into()), "notes.txt", Some(0.28)),
        image(Image::Broken("x".repeat(400)), "A long reason", Some(f32::NAN)),
        image(photograph(6), "قارب أحمر على البحيرة", Some(0.27)),
        Captioned { image: photograph(7), caption: None, similarity: None },
    ];
    all.extend(ATTEMPTS.map(|attempt| image(photograph(1), attempt, Some(0.2))));
    all.extend(ATTEMPTS.map(|attempt| image(Image::Broken(attempt.to_owned()), attempt, None)));
    all.extend((8..32).map(|number| image(photograph(number), &format!("Image {number}"), Some(0.1))));
    all
}

#[test]
fn the_page_shows_its_images_and_does_nothing_else() {
    let images = images();
    let report = open("images", &page(TITLE, &images, || ()));
    // A script would have changed it, and a tag in it would have ended it.
    assert_eq!(report.title, TITLE);
    assert_eq!(report.undrawn, [""; 0]);

    let count = |text: &str| report.dom.matches(text).count();
    let encoded = images.iter().filter(|image| !matches!(image.image, Image::Missing | Image::Broken(_)));
    assert_eq!(count("<img "), encoded.count());
    assert_eq!(count("<figure>"), images.len());
    for (element, times) in [("title", 1), ("style", 1), ("link", 1), ("body", 1), ("main", 1)] {
        assert_eq!(count(&format!("<{element}>")) + count(&format!("<{element} ")), times, "{element}");
    }
    for element in ["<script", "<svg", "<iframe", "<a ", "<!-- "] {
        // In an attribute, the browser writes `<` as it is; an element would have its end there, too.
        assert_eq!(without_attributes(&report.dom).matches(element).count(), 0, "{element}");
    }

    for screenshot in &report.screenshots {
        assert!(colours(&screenshot.path) > 1000, "{screenshot:?} is blank");
    }
}

/// The HTML without what stands between quotes in its tags.
fn without_attributes(html: &str) -> String {
    let (mut out, mut in_tag, mut in_value) = (String::new(), false, false);
    for character in html.chars() {
        match character {
            '<' if !in_value => in_tag = true,
            '>' if !in_value => in_tag = false,
            '"' if in_tag => in_value = !in_value,
            _ => {}
        }
        if !in_value {
            out.push(character);
        }
    }
    out
}

#[test]
fn an_empty_gallery_says_so() {
    let report = open("empty", &page("Nothing found", &[], || ()));
    assert!(report.dom.contains("There are no images in this gallery."));
    assert!(colours(&report.screenshots[0].path) > 1);
}

#[test]
#[should_panic(expected = "Content Security Policy")]
fn the_test_would_notice_a_script() {
    open("script", &page("t", &[], || ()).replace("</main>", "<script>console.log(1)</script></main>"));
}

#[test]
#[should_panic(expected = "127.0.0.1:9/x.png")]
fn the_test_would_notice_a_request() {
    open("request", &page("t", &[], || ()).replace("</main>", "<img src=http://127.0.0.1:9/x.png></main>"));
}
