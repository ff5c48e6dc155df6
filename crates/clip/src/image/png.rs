//! PNG files without what is not the image: a few hundred kilobytes of a compressed profile or text can be gigabytes.

use std::borrow::Cow;

const SIGNATURE: usize = 8;
/// Length, type and checksum of a chunk.
const FRAME: usize = 12;

/// The file without colour profiles and texts, which are not used here. A file that is damaged stays as it is, for the
/// decoder to say so.
pub(super) fn without_metadata(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut kept = Vec::new();
    let (mut at, mut copied) = (SIGNATURE, 0);
    while let Some(head) = bytes.get(at..at + 8) {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let Some(end) = at.checked_add(length + FRAME).filter(|end| *end <= bytes.len()) else { break };
        if matches!(&head[4..], b"iCCP" | b"zTXt" | b"iTXt" | b"tEXt") {
            kept.extend_from_slice(&bytes[copied..at]);
            copied = end;
        }
        at = end;
    }
    if copied == 0 {
        return Cow::Borrowed(bytes);
    }
    kept.extend_from_slice(&bytes[copied..]);
    Cow::Owned(kept)
}
