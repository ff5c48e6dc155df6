//! Names of models.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result, shorten};

/// Longest name, in bytes.
const MAX_LENGTH: usize = 200;

/// Name of a model: `owner/name`, which is also its path below a model root.
///
/// Each part starts with an ASCII letter or digit and goes on with letters, digits, `.`, `_` and `-`, and has no `..`:
/// such a name cannot leave the directory that it is joined to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelName(String);

impl ModelName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`Error::InvalidModelName`] for anything that is not `owner/name` as described above, or longer than 200 bytes.
    pub fn parse(name: &str) -> Result<ModelName> {
        let well_formed = name.len() <= MAX_LENGTH
            && name.split_once('/').is_some_and(|(owner, model)| is_part(owner) && is_part(model));
        if well_formed {
            Ok(ModelName(name.to_owned()))
        } else {
            Err(Error::InvalidModelName { name: shorten(name, 100) })
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_part(part: &str) -> bool {
    part.starts_with(|first: char| first.is_ascii_alphanumeric())
        && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && !part.contains("..")
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ModelName {
    type Err = Error;

    fn from_str(name: &str) -> Result<ModelName> {
        ModelName::parse(name)
    }
}

impl AsRef<str> for ModelName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}
