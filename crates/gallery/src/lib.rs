//! One HTML page of images: the images and the style are in it, and it asks for nothing from anywhere.
//!
//! ```text
//! Captioned ─ figure ─> <figure> ─┐
//!                                 ├─ document ─> one HTML file
//! gallery.css, own style ─────────┘
//! ```
//!
//! [`page`] is the whole way. Another page with images puts together its own body from [`figure`]s in a
//! `<div class="images">` and makes it a [`document`]. Captions and titles are anybody's text: they are escaped, and
//! the page's Content-Security-Policy forbids scripts and requests besides. Nothing here decodes an image or opens a
//! file.

mod document;
mod figure;

pub use document::{STYLE, document};
pub use figure::{Image, figure};
pub use maud::Markup;

use maud::html;

/// One image of the page.
#[derive(Clone, Debug, PartialEq)]
pub struct Captioned {
    /// What is shown.
    pub image: Image,
    /// What it is called.
    pub caption: Option<String>,
    /// How similar it is to what was searched for.
    pub similarity: Option<f32>,
}

/// The whole page, with the images in the order given. `check` is called before each of them: a page takes long, and may not be
/// wanted any more.
pub fn page(title: &str, images: &[Captioned], check: impl Fn()) -> String {
    // HTML wants a title that is not empty.
    let title = if title.trim().is_empty() { "Images" } else { title };
    let body = html! {
        header {
            h1 dir="auto" { (title) }
            @match images.len() {
                0 => {}
                1 => p { "1 image" }
                many => p { (many) " images" }
            }
        }
        main {
            @if images.is_empty() {
                p { "There are no images in this gallery." }
            } @else {
                div class="images" {
                    @for image in images {
                        @let () = check();
                        (figure(&image.image, image.caption.as_deref(), note(image.similarity).as_deref(), false))
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
