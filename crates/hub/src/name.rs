//! Names of models, revisions and files: what may become a path or a part of a URL.

use crate::error::{Error, Result, show};
use std::fmt;

/// Longest name, in bytes.
const MAX_NAME: usize = 200;
const MAX_PATH: usize = 500;

/// `owner/name`: of a repository of the hub, and of an installed model, whose path below the model directory it is.
///
/// Each part starts with an ASCII letter or digit and goes on with letters, digits, `.`, `_` and `-`, without `..`: it cannot
/// leave the folder that it is joined to, nor name a hidden one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    owner: String,
    name: String,
}

impl Name {
    /// # Errors
    /// [`Error::InvalidName`].
    pub fn parse(text: &str) -> Result<Self> {
        let parts = text.split_once('/').filter(|(owner, name)| is_part(owner) && is_part(name));
        match parts {
            Some((owner, name)) if text.len() <= MAX_NAME => {
                Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
            }
            _ => Err(Error::InvalidName { name: show(text) }),
        }
    }

    /// What stands before the slash.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// What stands behind the slash.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

pub(crate) fn is_part(part: &str) -> bool {
    part.starts_with(|first: char| first.is_ascii_alphanumeric())
        && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && !part.contains("..")
}

/// A branch, a tag or a commit, as git names them.
pub(crate) fn check_revision(revision: &str) -> Result<()> {
    let good = !revision.is_empty()
        && revision.len() <= MAX_NAME
        && !revision.starts_with(['/', '-', '.'])
        && !revision.contains("..")
        && revision.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/+".contains(&byte));
    if good { Ok(()) } else { Err(Error::InvalidRevision { revision: show(revision) }) }
}

/// Whether a revision is the whole hash of a commit, which always stands for the same files.
pub(crate) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A relative path with plain components only: it stays below the folder that it is joined to.
pub(crate) fn is_safe_path(path: &str) -> bool {
    !path.is_empty()
        && path.len() <= MAX_PATH
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        && !path.chars().any(|letter| letter.is_control() || letter == '\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_the_folder_are_refused() {
        for bad in
            ["", "a", "a/", "/a", "a/b/c", "../b", "a/..", "a/.b", ".a/b", "a/b..c", "a b/c", "ä/b", "a/b\n", "~/b"]
        {
            assert!(matches!(Name::parse(bad), Err(Error::InvalidName { .. })), "{bad:?}");
        }
        assert!(Name::parse(&format!("a/{}", "b".repeat(200))).is_err());
        assert_eq!(Name::parse("openai/clip-vit_b.32").unwrap().to_string(), "openai/clip-vit_b.32");
    }

    #[test]
    fn revisions() {
        for bad in ["", "-x", "/x", "a..b", "a b", "a?b", "a#b", "a%2f", "ä", ".git"] {
            assert!(check_revision(bad).is_err(), "{bad:?}");
        }
        for good in ["main", "refs/pr/1", "v1.0", "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268"] {
            check_revision(good).unwrap();
        }
        assert!(is_commit("3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268") && !is_commit("3d74acf"));
    }

    #[test]
    fn paths() {
        for bad in ["", "/a", "a//b", "a/../b", "..", "./a", "a/", "a\\b", "a\0b", "a\nb"] {
            assert!(!is_safe_path(bad), "{bad:?}");
        }
        assert!(is_safe_path("onnx/text_model.onnx") && is_safe_path("a..b"));
    }
}
