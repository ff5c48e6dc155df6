//! The gallery: one HTML file with the queries and their images in it, and nothing outside it.

use crate::image::preview;
use crate::progress::number;
use crate::report::milliseconds;
use crate::search::{Answer, Hit};
use gallery::{Image, document, figure};
use maud::{Markup, html};
use std::collections::HashMap;

/// Images shown of one answer.
const SHOWN: usize = 24;

/// What the gallery says besides the answers.
pub struct About {
    /// The model's name.
    pub model: String,
    /// What the images are.
    pub source: String,
    /// How many they are.
    pub images: usize,
    /// The command line that opens the database.
    pub psql: String,
}

/// The whole page. `images` has the encoded images of the hits by id.
pub fn page(about: &About, answers: &[Answer], images: &HashMap<i64, Vec<u8>>) -> String {
    let images = images.iter().map(|(id, image)| (*id, preview(image))).collect();
    let body = html! {
        header {
            h1 { "clip_search" }
            p {
                (number(about.images)) " images (" (about.source) "), searched by SQL with " code { (about.model) } "."
            }
        }
        main { @for answer in answers { (section(answer, &images)) } }
        footer {
            p { "To go on by hand:" }
            pre { code { (about.psql) } }
        }
    };
    document(&format!("clip_search: {}", about.model), include_str!("gallery.css"), &body)
}

fn section(answer: &Answer, images: &HashMap<i64, Image>) -> Markup {
    let more = answer.hits.len().saturating_sub(SHOWN);
    html! {
        section {
            h2 { (answer.title) " " small { (answer.kind) ", " (milliseconds(answer.took)) } }
            div class="images" {
                @if let Some(image) = &answer.image { (shown(image, images, true)) }
                @for hit in answer.hits.iter().take(SHOWN) { (shown(hit, images, false)) }
            }
            @if answer.hits.is_empty() { p { "Nothing is similar enough." } }
            @if more > 0 { p { "… and " (number(more)) " more." } }
            pre { code { (answer.sql) } }
        }
    }
}

fn shown(hit: &Hit, images: &HashMap<i64, Image>, is_query: bool) -> Markup {
    let note = if is_query { "searched with".to_owned() } else { format!("{:.3} · {}", hit.similarity, hit.id) };
    figure(images.get(&hit.id).unwrap_or(&Image::Missing), Some(&hit.name), Some(&note), is_query)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn about() -> About {
        About { model: "a/b".into(), source: "a <folder>".into(), images: 1391, psql: "psql -d demo".into() }
    }

    fn png() -> Vec<u8> {
        let mut out = std::io::Cursor::new(Vec::new());
        image::RgbImage::new(2, 2).write_to(&mut out, image::ImageFormat::Png).unwrap();
        out.into_inner()
    }

    #[test]
    fn everything_is_inside_and_escaped() {
        let hit = |id, name: &str| Hit { id, name: name.to_owned(), similarity: 0.25 };
        let answer = Answer {
            kind: "image → image",
            title: "<script>alert(1)</script>".into(),
            image: Some(hit(1, "query")),
            sql: "SELECT 1 < 2;".into(),
            hits: vec![hit(2, "a \"cat\" & <dog>"), hit(3, "unreadable")],
            took: Duration::from_millis(1),
        };
        let images = HashMap::from([(1, png()), (2, png()), (3, b"no image".to_vec())]);
        let page = page(&about(), &[answer], &images);
        assert!(!page.contains("<script") && !page.contains("<dog>") && !page.contains("<folder>"));
        assert!(page.contains("a &quot;cat&quot; &amp; &lt;dog&gt;"));
        assert!(page.contains("SELECT 1 &lt; 2;"));
        assert_eq!(page.matches("data:image/png;base64,").count(), 2);
        assert_eq!(page.matches("no preview").count(), 1);
        for outside in ["http:", "https:", "src=\"/", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn an_empty_answer_says_so() {
        let answer = Answer {
            kind: "text → image, threshold",
            title: "nothing".into(),
            image: None,
            sql: String::new(),
            hits: Vec::new(),
            took: Duration::ZERO,
        };
        assert!(page(&about(), &[answer], &HashMap::new()).contains("Nothing is similar enough."));
    }
}
