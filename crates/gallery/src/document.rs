//! The HTML around the images.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

/// The style that all pages of images have.
pub const STYLE: &str = include_str!("gallery.css");

/// A whole HTML file. `style` comes after the common style and is trusted: it is put in as it is.
pub fn document(title: &str, style: &str, body: &Markup) -> String {
    let style = format!("{STYLE}{style}");
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy(&style));
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                // Otherwise a browser that gets the page from a server asks that server for /favicon.ico.
                link rel="icon" href="data:,";
                style { (PreEscaped(&style)) }
            }
            body { (body) }
        }
    }
    .into_string()
}

/// Only this one style, only images that are in the page, and nothing else: no script, no request, no form.
fn policy(style: &str) -> String {
    let hash = STANDARD.encode(Sha256::digest(style));
    format!("default-src 'none'; img-src data:; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'")
}
