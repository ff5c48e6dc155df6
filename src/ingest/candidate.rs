//! A row on its way: its source, and what is known of it.

use super::rows::{Found, Hash, hash};
use super::target::{Kind, Target};
use crate::embedding::Input;
use crate::errors::Result;
use crate::text::{self, bytes_of};

/// Bytes of sources in one request, but for the last.
pub const REQUEST_BYTES: usize = 16 << 20;

/// A row that is being embedded.
pub struct Candidate {
    /// The row.
    pub row: Found,
    /// Its key as JSON.
    pub key: String,
    /// Of the source.
    pub source: Hash,
    /// The image at its URL, where it is kept.
    pub image: Option<Vec<u8>>,
}

impl Candidate {
    /// The row and its source, which is not NULL; an error where that is a text that is not UTF-8.
    pub fn of(row: Found, kind: Kind) -> (Self, Result<Input>) {
        // SAFETY: the statement has cast it to the type that `Target` found, which is bytea or text.
        let bytes = unsafe { bytes_of(row.source().expect("not NULL")) };
        let input = if kind == Kind::Image { Ok(bytes) } else { text::checked(bytes) };
        // As `convert_to(…, 'UTF8')` has it.
        let source = input.as_ref().map_or([0; 32], |input| hash(input));
        (Self { row, key: row.key(), source, image: None }, input)
    }

    /// What its embedding is made of, as a provenance column has it.
    pub fn provenance(&self, target: &Target) -> String {
        let hexadecimal: String = self.source.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{} {hexadecimal}", target.origin)
    }
}
