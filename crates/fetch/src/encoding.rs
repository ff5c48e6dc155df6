//! The Content-Encoding of an answer, as far as it is true.
//!
//! Storage services and misconfigured servers send encodings that are empty, unknown (`aws-chunked`, `none`, `UTF-8`) or not what
//! the bytes are in. So the bytes decide: what does not begin as the encoding does is taken as it is.

use flate2::read::{GzDecoder, ZlibDecoder};
use std::io::{self, Read};

/// What is asked for. Images are compressed already, but some servers have nothing else.
pub(crate) const ACCEPTED: &str = "gzip, deflate";

/// Decodes a body that went through `encodings`, in the order of the header. None if that is more than `max` bytes.
pub(crate) fn decode(mut bytes: Vec<u8>, encodings: &[String], max: u64) -> io::Result<Option<Vec<u8>>> {
    for encoding in encodings.iter().rev() {
        let decoded = match encoding.as_str() {
            "gzip" | "x-gzip" if bytes.starts_with(&[0x1f, 0x8b]) => read(GzDecoder::new(&bytes[..]), max)?,
            "deflate" if is_zlib(&bytes) => read(ZlibDecoder::new(&bytes[..]), max)?,
            _ => continue,
        };
        let Some(decoded) = decoded else { return Ok(None) };
        bytes = decoded;
    }
    Ok(Some(bytes))
}

/// RFC 1950: method 8, and a check of the first two bytes.
fn is_zlib(bytes: &[u8]) -> bool {
    matches!(bytes, [method, flags, ..] if method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31))
}

fn read(decoder: impl Read, max: u64) -> io::Result<Option<Vec<u8>>> {
    let mut decoded = Vec::new();
    decoder.take(max.saturating_add(1)).read_to_end(&mut decoded)?;
    Ok(Some(decoded).filter(|decoded| decoded.len() as u64 <= max))
}
