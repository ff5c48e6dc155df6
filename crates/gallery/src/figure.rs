//! One image with what is written under it.

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, html};

/// What is shown of an image: its encoded bytes in a format that browsers know, or why there are none.
#[derive(Clone, Debug, PartialEq)]
pub enum Image {
    /// A GIF.
    Gif(Vec<u8>),
    /// A JPEG.
    Jpeg(Vec<u8>),
    /// A PNG.
    Png(Vec<u8>),
    /// A WebP.
    WebP(Vec<u8>),
    /// There is no image.
    Missing,
    /// There is one that cannot be shown, with the reason.
    Broken(String),
}

impl Image {
    fn encoded(&self) -> Result<(&'static str, &[u8]), &str> {
        match self {
            Self::Gif(bytes) => Ok(("image/gif", bytes)),
            Self::Jpeg(bytes) => Ok(("image/jpeg", bytes)),
            Self::Png(bytes) => Ok(("image/png", bytes)),
            Self::WebP(bytes) => Ok(("image/webp", bytes)),
            Self::Missing => Err("no image"),
            Self::Broken(reason) => Err(reason),
        }
    }
}

/// An image with its caption, and below that a short note. One that is `marked` is of the class `marked`, for the
/// page's own style.
pub fn figure(image: &Image, caption: Option<&str>, note: Option<&str>, marked: bool) -> Markup {
    let caption = caption.filter(|caption| !caption.trim().is_empty());
    html! {
        figure class=[marked.then_some("marked")] {
            @match image.encoded() {
                Ok((media_type, bytes)) => {
                    img src={ "data:" (media_type) ";base64," (Base64Display::new(bytes, &STANDARD)) }
                        alt=(caption.unwrap_or("image without a caption")) loading="lazy";
                }
                Err(reason) => div class="blank" { span { (reason) } }
            }
            @if caption.is_some() || note.is_some() {
                figcaption {
                    // A caption may be in a language that is written from right to left.
                    @if let Some(caption) = caption { span class="name" dir="auto" { (caption) } }
                    @if let Some(note) = note { span class="note" { (note) } }
                }
            }
        }
    }
}
