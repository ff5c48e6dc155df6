//! The demo's gallery in a browser. What all pages of images have in common is tested in crates/gallery.

use browser::{DARK, DESKTOP, PHONE};
use clip_search_demo::gallery::{About, page};
use clip_search_demo::search::{Answer, Hit};
use image::{ImageFormat, Rgb, RgbImage};
use std::collections::HashMap;
use std::io::Cursor;
use std::path::Path;
use std::time::Duration;

fn image(id: i64) -> Vec<u8> {
    let image = RgbImage::from_fn(72, 72, |x, y| Rgb([(x * 3) as u8, (y * 3) as u8, (id * 16) as u8]));
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, ImageFormat::Png).unwrap();
    out.into_inner()
}

#[test]
fn the_gallery_is_shown_and_asks_for_nothing() {
    let hit = |id| Hit { id, name: format!("image {id}"), similarity: 0.9 - id as f64 / 50.0 };
    let sql = "SELECT id, name, 1 - (embedding <=> clip_embed_text('fish')) AS similarity FROM images LIMIT 8;";
    let answer = |title: &str, image: Option<Hit>, hits: Vec<Hit>| Answer {
        kind: "image → image",
        title: title.to_owned(),
        image,
        sql: sql.to_owned(),
        hits,
        took: Duration::from_millis(12),
    };
    let answers = [
        answer("fish", None, (1..9).map(hit).collect()),
        answer("image 9", Some(hit(9)), (1..8).map(hit).collect()),
        answer("nothing", None, Vec::new()),
    ];
    let images = (1..9).map(|id| (id, image(id))).collect::<HashMap<_, _>>();
    let about = About { model: "a/b".into(), source: "emoji".into(), images: 1391, psql: "psql -d demo".into() };

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("demo.html");
    std::fs::write(&file, page(&about, &answers, &images)).unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let report = browser::open(&file, &target.join("gallery"), &[PHONE, DESKTOP, DARK]);
    assert_eq!(report.console, [""; 0]);
    assert_eq!(report.requests, [format!("file://{}", file.canonicalize().unwrap().display())]);
    assert_eq!((report.title.as_str(), report.undrawn.len()), ("clip_search: a/b", 0));
    assert_eq!(report.dom.matches("<img ").count(), 15);
    for screenshot in &report.screenshots {
        assert!(screenshot.overflow <= 0, "{screenshot:?}");
        // The style is in force: without it, the background would be white.
        let paper = image::open(&screenshot.path).unwrap().into_rgb8().get_pixel(1, 1).0;
        assert_eq!(paper, if screenshot.view.dark { [0x15, 0x18, 0x1b] } else { [0xfb, 0xfb, 0xfa] });
    }
}
