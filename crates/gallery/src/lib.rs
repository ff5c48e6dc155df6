//! One HTML page of pictures: the pictures and the style are in it, and it asks for nothing from anywhere.
//!
//! ```text
//! Picture ─ figure ─> <figure> ─┐
//!                               ├─ document ─> one HTML file
//! gallery.css, own style ───────┘
//! ```
//!
//! [`page`] is the whole way. Another page with pictures puts together its own body from [`figure`]s in a
//! `<div class="pictures">` and makes it a [`document`]. Captions and titles are anybody's text: they are escaped, and
//! the page's Content-Security-Policy forbids scripts and requests besides. Nothing here decodes a picture or opens a
//! file.

mod document;
mod figure;

pub use document::document;
pub use figure::{Image, figure};
pub use maud::Markup;

use maud::html;

/// One picture of the page.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// What is shown.
    pub image: Image,
    /// What it is called.
    pub caption: Option<String>,
    /// How similar it is to what was searched for.
    pub similarity: Option<f32>,
}

/// The whole page, with the pictures in the order given.
pub fn page(title: &str, pictures: &[Picture]) -> String {
    // HTML wants a title that is not empty.
    let title = if title.trim().is_empty() { "Pictures" } else { title };
    let body = html! {
        header {
            h1 dir="auto" { (title) }
            @match pictures.len() {
                0 => {}
                1 => p { "1 picture" }
                many => p { (many) " pictures" }
            }
        }
        main {
            @if pictures.is_empty() {
                p { "There are no pictures in this gallery." }
            } @else {
                div class="pictures" {
                    @for picture in pictures {
                        (figure(&picture.image, picture.caption.as_deref(), note(picture.similarity).as_deref(), false))
                    }
                }
            }
        }
    };
    document(title, "", &body)
}

/// Nothing for what is no number, such as the distance of a vector of zeros.
fn note(similarity: Option<f32>) -> Option<String> {
    let number = format!("{:.3}", similarity.filter(|number| number.is_finite())?);
    Some(format!("similarity {}", if number == "-0.000" { "0.000" } else { &number }))
}

#[cfg(test)]
mod tests;
