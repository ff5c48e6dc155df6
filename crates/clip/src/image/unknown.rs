//! What bytes are that cannot be decoded.

use image::ImageFormat;

use super::limits::unsupported;
use crate::error::Error;

/// Says of bytes that cannot be decoded what they are, if anybody knows.
pub(super) fn not_decoded(bytes: &[u8]) -> Error {
    let no_decoder = |name: &str| unsupported(name, "this build has no decoder for it");
    match image::guess_format(bytes) {
        Ok(ImageFormat::Dds) => return no_decoder("DDS"),
        Ok(ImageFormat::Farbfeld) => return no_decoder("farbfeld"),
        Ok(ImageFormat::Hdr) => return no_decoder("Radiance HDR"),
        Ok(ImageFormat::OpenExr) => return no_decoder("OpenEXR"),
        _ if is_svg(bytes) => return no_decoder("SVG"),
        _ => {}
    }
    match infer::get(bytes) {
        Some(kind) if kind.matcher_type() == infer::MatcherType::Image => no_decoder(&name_of(kind)),
        // Of text, such as a page that says that there is no image, the error says what to do.
        Some(kind) if kind.matcher_type() != infer::MatcherType::Text => Error::OtherFile { kind: name_of(kind) },
        _ => not_an_image(bytes),
    }
}

fn name_of(kind: infer::Type) -> String {
    kind.extension().to_uppercase()
}

/// A drawing in XML, whose element may come behind a declaration and comments.
fn is_svg(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(1024)];
    let begins = start.trim_ascii_start();
    begins.strip_prefix(b"\xef\xbb\xbf").unwrap_or(begins).starts_with(b"<")
        && start.windows(4).any(|window| window == b"<svg")
}

fn not_an_image(bytes: &[u8]) -> Error {
    let starts: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let text = lookalike::text_in_place_of_an_image(bytes);
    Error::NotAnImage { bytes: bytes.len(), starts: starts.join(" "), text }
}
