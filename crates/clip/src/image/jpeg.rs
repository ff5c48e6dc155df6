//! Checks that the JPEG decoder does not make: it fills the missing part of a truncated image with gray, and takes
//! kinds of JPEG that it does not know for damaged ones.

use super::decode::{truncated, unsupported};
use crate::error::Result;

const NAME: &str = "JPEG";
const START_OF_SCAN: u8 = 0xda;
const END_OF_IMAGE: u8 = 0xd9;

/// Walks the markers of a JPEG file up to its end marker, or says where the file stops. PIL refuses such files too.
pub(super) fn check(bytes: &[u8]) -> Result<()> {
    let truncated = || truncated(NAME, bytes.len());
    let mut at = 2;
    loop {
        let marker = next_marker(bytes, at).ok_or_else(truncated)?;
        at = marker + 2;
        match bytes[marker + 1] {
            END_OF_IMAGE => return Ok(()),
            // Restart markers, a temporary marker and a start marker have no length.
            0xd0..=0xd8 | 0x01 => {}
            code => {
                check_kind(code)?;
                let length = bytes.get(at..at + 2).ok_or_else(truncated)?;
                at += usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
                if code == START_OF_SCAN && at >= bytes.len() {
                    return Err(truncated());
                }
            }
        }
    }
}

/// The marker of a frame says how it is coded: baseline, extended and progressive are decoded.
fn check_kind(marker: u8) -> Result<()> {
    match marker {
        0xc3 => Err(unsupported(NAME, "it is lossless JPEG")),
        0xc5..=0xc7 => Err(unsupported(NAME, "it is hierarchical JPEG")),
        0xc9..=0xcb | 0xcd..=0xcf => Err(unsupported(NAME, "it is JPEG with arithmetic coding")),
        _ => Ok(()),
    }
}

/// Position of the next `0xff` that a marker code follows. A zero after it is a byte of the scan, another `0xff` fills.
fn next_marker(bytes: &[u8], from: usize) -> Option<usize> {
    let window = bytes.get(from..)?.windows(2);
    window.into_iter().position(|pair| pair[0] == 0xff && pair[1] != 0 && pair[1] != 0xff).map(|at| from + at)
}
