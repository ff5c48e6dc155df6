//! A check that the WebP decoder does not make: it takes memory for what a chunk says that it is long.

use super::decode::truncated;
use crate::error::Result;

const NAME: &str = "WebP";

/// The WebP file without what lies behind its end, all of its chunks complete; or where the file stops. libwebp, and so
/// PIL, refuses such files too: what is missing may be no more than the orientation, but nobody knows.
pub(super) fn complete(bytes: &[u8]) -> Result<&[u8]> {
    let truncated = || truncated(NAME, bytes.len());
    let number = |at: usize| -> Option<usize> {
        let four = bytes.get(at..at + 4)?;
        Some(u32::from_le_bytes([four[0], four[1], four[2], four[3]]) as usize)
    };
    let end = number(4).ok_or_else(truncated)? + 8;
    let file = bytes.get(..end).ok_or_else(truncated)?;
    // The first chunk begins after "RIFF", the length and "WEBP".
    let mut at = 12;
    while at + 8 <= end {
        at += 8 + number(at + 4).ok_or_else(truncated)?;
        if at > end {
            return Err(truncated());
        }
        // Chunks of an odd length are followed by a byte that does not count.
        at += at % 2;
    }
    Ok(file)
}
