//! Texts that nobody can mean as words: an image or a vector that a driver, or a forgotten cast, has made a text.

use crate::errors::{ArgumentError, Raise, Result};
use crate::scope::OnceInStatement;
use lookalike::TextKind;

/// Vectors of fewer dimensions are no embeddings.
const FEWEST_DIMENSIONS: usize = 16;

/// Fails where a text is an image, or a vector of this dimension; of any that embeddings have, where there is none.
///
/// # Errors
/// [`ArgumentError::ImageAsWords`], [`ArgumentError::VectorAsWords`].
pub fn check(text: &str, dimension: Option<usize>) -> Result<()> {
    let (written, remedy) = match lookalike::image_in_place_of_words(text) {
        Some(TextKind::DataUrl) => ("a data URL", "Pass it as bytea: decode(split_part(the_url, ',', 2), 'base64')."),
        Some(TextKind::Hex) => {
            ("hexadecimal digits", "Pass it as bytea: the_text::bytea, or decode(the_digits, 'hex').")
        }
        Some(_) => ("base64", "Pass it as bytea: decode(the_text, 'base64')."),
        None => {
            return match lookalike::vector_in_place_of_words(text) {
                Some(found) if dimension.map_or(found >= FEWEST_DIMENSIONS, |expected| found == expected) => {
                    Err(ArgumentError::VectorAsWords { dimension: found }.into())
                }
                _ => Ok(()),
            };
        }
    };
    Err(ArgumentError::ImageAsWords { written, remedy }.into())
}

/// Warns of such a text, once in a statement.
pub fn warn(text: &str) {
    thread_local! {
        static WARNED: OnceInStatement = const { OnceInStatement::new() };
    }
    if let Err(error) = check(text, None)
        && WARNED.with(OnceInStatement::is_first)
    {
        error.warn();
    }
}
