//! What somebody passed by mistake: text in the place of an image, an image or a vector in the place of words. No I/O, no
//! decoding; the first kilobytes decide.

use serde::{Deserialize, Serialize};

/// Bytes that are looked at.
const LOOKED_AT: usize = 4096;
/// Fewer characters may be a word in hexadecimal or base64 by chance.
const FEWEST: usize = 16;
/// No word is so long.
const UNLIKELY_WORD: usize = 48;
/// Longest path or URL.
const LONGEST_PATH: usize = 4096;

/// What a text stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TextKind {
    /// `https://…`, `file:///…`
    Url,
    /// `data:image/png;base64,…`
    DataUrl,
    /// `/srv/images/a.jpg`, `C:\images\a.jpg`, `a.jpg`
    Path,
    /// `\xffd8ff…`, or the digits alone.
    Hex,
    /// `/9j/4AAQ…`
    Base64,
    /// Anything else that can be read.
    Other,
}

/// What bytes that should be an image are, where they are text; `None` where they are not, or there are none.
pub fn text_in_place_of_an_image(bytes: &[u8]) -> Option<TextKind> {
    let text = readable(bytes)?.trim();
    if text.is_empty() {
        return None;
    }
    Some(if is_data_url(text) {
        TextKind::DataUrl
    } else if is_url(text, bytes.len()) {
        TextKind::Url
    } else if is_hex(text) {
        TextKind::Hex
    } else if is_base64(text) && has_image_in_base64(text) {
        TextKind::Base64
    } else if is_path(text, bytes.len()) {
        TextKind::Path
    } else if is_base64(text) && text.len() >= UNLIKELY_WORD {
        TextKind::Base64
    } else {
        TextKind::Other
    })
}

/// How an image is written in a text that should be words; `None` where it is not one.
pub fn image_in_place_of_words(text: &str) -> Option<TextKind> {
    let text = beginning(text).trim();
    if is_data_url(text) {
        Some(TextKind::DataUrl)
    } else if is_hex(text) && has_image_in_hex(text) {
        Some(TextKind::Hex)
    } else if is_base64(text) && has_image_in_base64(text) {
        Some(TextKind::Base64)
    } else {
        None
    }
}

/// The dimension of the vector that a text is, as pgvector reads it; `None` where it is none. One number in brackets may be
/// meant as words.
pub fn vector_in_place_of_words(text: &str) -> Option<usize> {
    let numbers = text.trim().strip_prefix('[')?.strip_suffix(']')?.split(',');
    let mut dimension = 0;
    for number in numbers {
        number.trim().parse::<f32>().ok()?;
        dimension += 1;
    }
    (dimension > 1).then_some(dimension)
}

/// The beginning of what can be read: UTF-8 without control characters.
fn readable(bytes: &[u8]) -> Option<&str> {
    let looked_at = &bytes[..bytes.len().min(LOOKED_AT)];
    let text = match str::from_utf8(looked_at) {
        Ok(text) => text,
        // A character may have been cut.
        Err(error) if looked_at.len() < bytes.len() && error.valid_up_to() + 4 > looked_at.len() => {
            str::from_utf8(&looked_at[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    text.chars().all(|character| !character.is_control() || character.is_ascii_whitespace()).then_some(text)
}

fn beginning(text: &str) -> &str {
    let mut end = text.len().min(LOOKED_AT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn has_prefix(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|found| found.eq_ignore_ascii_case(prefix))
}

fn is_data_url(text: &str) -> bool {
    has_prefix(text, "data:image/")
}

fn is_url(text: &str, bytes: usize) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let is_scheme = scheme.starts_with(|character: char| character.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    bytes <= LONGEST_PATH && is_scheme && !rest.is_empty() && !rest.contains(char::is_whitespace)
}

fn is_path(text: &str, bytes: usize) -> bool {
    const ENDINGS: [&str; 14] = [
        ".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".avif", ".ico", ".tga", ".svg",
        ".jxl",
    ];
    let has_drive = || text.as_bytes().get(1..3) == Some(b":\\") && text.as_bytes()[0].is_ascii_alphabetic();
    let ends = || ENDINGS.iter().any(|ending| text.len() > ending.len() && text.to_ascii_lowercase().ends_with(ending));
    let begins = || ["/", "./", "../", "~/", "\\\\"].iter().any(|start| text.starts_with(start)) || has_drive();
    bytes <= LONGEST_PATH && !text.contains('\n') && (begins() || ends())
}

/// The digits, without PostgreSQL's prefix.
fn digits(text: &str) -> &str {
    text.strip_prefix("\\x").or_else(|| text.strip_prefix("0x")).unwrap_or(text)
}

fn is_hex(text: &str) -> bool {
    let digits = digits(text);
    let is_long = digits.len() >= FEWEST || digits.len() < text.len() && !digits.is_empty();
    is_long && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let is_of_it = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte) || byte.is_ascii_whitespace();
    // Words have blanks, base64 has line breaks.
    body.len() >= FEWEST && body.bytes().all(is_of_it) && !body.contains(' ')
}

/// JPEG, PNG, GIF, WebP, TIFF of both byte orders, and HEIF.
fn has_image_in_hex(text: &str) -> bool {
    const MAGIC: [&str; 6] = ["ffd8ff", "89504e470d0a1a0a", "474946383", "52494646", "49492a00", "4d4d002a"];
    let digits = digits(text);
    MAGIC.iter().any(|magic| has_prefix(digits, magic))
        || digits.get(8..16).is_some_and(|box_name| box_name == "66747970")
}

fn has_image_in_base64(text: &str) -> bool {
    const MAGIC: [&str; 7] = ["/9j/", "iVBORw0KGgo", "R0lGODdh", "R0lGODlh", "UklGR", "SUkqA", "TU0AK"];
    // Bytes 4 to 8 of HEIF and AVIF are "ftyp", behind three zeros and a length.
    MAGIC.iter().any(|magic| text.starts_with(magic)) || text.starts_with("AAAA") && text.get(5..11) == Some("GZ0eXB")
}
