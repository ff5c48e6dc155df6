//! The secret that opens restricted repositories.

use crate::error::{Error, Result};
use reqwest::header::HeaderValue;
use std::fmt;
use std::io::Read;
use std::path::Path;

/// The variable of the environment that Hugging Face's own tools read.
pub(crate) const VARIABLE: &str = "HF_TOKEN";
/// Most bytes of a token's file. A token has some 40.
const MAX_FILE: u64 = 4096;

/// A token. It is never shown, and marked as sensitive where it is sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(HeaderValue);

impl Token {
    /// The token in the first line of a file.
    ///
    /// # Errors
    /// [`Error::Token`], without the content.
    pub fn from_file(path: &Path) -> Result<Self> {
        let bad = |reason: String| Error::Token { path: path.to_owned(), reason };
        // Asked before opening: opening a pipe would wait for its other end.
        let is_file = std::fs::metadata(path).map_err(|error| bad(error.to_string()))?.is_file();
        if !is_file {
            return Err(bad("it is not a regular file".to_owned()));
        }
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(|error| bad(error.to_string()))?;
        file.take(MAX_FILE).read_to_string(&mut text).map_err(|_| bad("it is not text".to_owned()))?;
        let line = text.lines().next().unwrap_or_default();
        Self::new(line).ok_or_else(|| bad("its first line is not a token".to_owned()))
    }

    /// The token that the environment has (`HF_TOKEN`), if any.
    pub fn from_environment() -> Option<Self> {
        Self::new(&std::env::var(VARIABLE).ok()?)
    }

    /// `None` for what cannot be a token: nothing, or characters that a header cannot have.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {text}")).ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_shown() {
        let token = Token::new(" hf_secret\n").unwrap();
        assert!(!format!("{token:?} {:?}", token.header()).contains("secret"));
        assert_eq!(token.header(), "Bearer hf_secret");
        for bad in ["", " ", "a b", "ä", "a\nb"] {
            assert_eq!(Token::new(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn files_that_hold_no_token() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        for content in [&b""[..], b"\nhf_secret", b"two words", b"\xff\xfe"] {
            std::fs::write(&file, content).unwrap();
            let error = Token::from_file(&file).unwrap_err();
            assert!(matches!(error, Error::Token { .. }) && !error.to_string().contains("secret"), "{error}");
        }
        assert!(Token::from_file(folder.path()).is_err());
        assert!(Token::from_file(&folder.path().join("none")).is_err());
        std::fs::write(&file, "hf_secret\nmore\n").unwrap();
        assert_eq!(Token::from_file(&file).unwrap(), Token::new("hf_secret").unwrap());
    }
}
