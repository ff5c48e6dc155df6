//! What is expected of each picture of the corpus: equal pixels, but for what is listed here with its reason.

/// How far a picture may be from the reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    /// Most levels of 8 bits that a channel of a pixel may be off.
    pub levels: u8,
    /// Least cosine of the embeddings.
    pub cosine: f64,
}

/// What is expected of a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Expected {
    /// It is decoded, with this distance at most.
    Within(Bound),
    /// It is decoded here, PIL refuses it.
    OnlyHere,
    /// It is refused with an error about the picture.
    Refused,
}

use Expected::{OnlyHere, Refused, Within};

const EXACT: Expected = Within(Bound { levels: 0, cosine: 0.9999 });

const fn within(levels: u8, cosine: f64) -> Expected {
    Within(Bound { levels, cosine })
}

/// Beginnings of file names, what is expected of those files, and why. The longest beginning counts.
const RULES: &[(&str, Expected, &str)] = &[];

/// What is expected of a file, and why if it is not equality.
pub fn expected(file: &str) -> (Expected, &'static str) {
    let rules = RULES.iter().filter(|(start, ..)| file.starts_with(start));
    rules.max_by_key(|(start, ..)| start.len()).map_or((EXACT, ""), |(_, expected, why)| (*expected, why))
}
