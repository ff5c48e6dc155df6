//! Texts to token ids: what the family cleans, then its tokenizer.

mod clean;
mod tokenizer;
pub(crate) mod vocabulary;

pub(crate) use clean::Cleaning;
pub use tokenizer::{LongText, Tokenizer};
