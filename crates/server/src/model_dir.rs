//! What is wrong with the folder that `clip_search.model_dir` names.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What is wrong with the folder of models. Its text has no path: it is for everybody who may embed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Problem {
    /// It begins with `~`, which only a shell expands.
    Tilde,
    /// It is relative, to the data directory.
    Relative,
    /// There is no such folder.
    Missing,
    /// It is something else.
    NotAFolder,
    /// It cannot be read.
    Unreadable(String),
    /// It is a model itself.
    IsAModel,
    /// The models are directly in it.
    TooDeep,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tilde => f.write_str("clip_search.model_dir begins with ~, which has no meaning here"),
            Self::Relative => f.write_str("clip_search.model_dir is not an absolute path"),
            Self::Missing => f.write_str("the folder that clip_search.model_dir names does not exist"),
            Self::NotAFolder => f.write_str("what clip_search.model_dir names is not a folder"),
            Self::Unreadable(reason) => {
                write!(f, "the folder that clip_search.model_dir names cannot be read: {reason}")
            }
            Self::IsAModel => {
                f.write_str("clip_search.model_dir names a model itself; it has to name the folder two levels above")
            }
            Self::TooDeep => f.write_str("clip_search.model_dir names an owner's folder; it has to name the one above"),
        }
    }
}

/// Looks at a folder of models.
pub(crate) fn problem(folder: &Path) -> Option<Problem> {
    if folder.starts_with("~") || folder.to_string_lossy().starts_with('~') {
        return Some(Problem::Tilde);
    }
    if folder.is_relative() {
        return Some(Problem::Relative);
    }
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            return Some(match error.kind() {
                ErrorKind::NotFound => Problem::Missing,
                ErrorKind::NotADirectory => Problem::NotAFolder,
                _ => Problem::Unreadable(error.to_string()),
            });
        }
    };
    if is_model(folder) {
        return Some(Problem::IsAModel);
    }
    let below: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let owners = || below.iter().filter_map(|owner| fs::read_dir(owner).ok()).flatten();
    let has_models = owners().any(|entry| entry.is_ok_and(|entry| is_model(&entry.path())));
    (!has_models && below.iter().any(|path| is_model(path))).then_some(Problem::TooDeep)
}

fn is_model(folder: &Path) -> bool {
    folder.join("config.json").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_wrong() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir_all(root.join("models/owner/name")).unwrap();
        assert_eq!(problem(&root.join("models")), None, "nothing is in it yet");
        fs::write(root.join("models/owner/name/config.json"), "{}").unwrap();
        assert_eq!(problem(&root.join("models")), None);
        assert_eq!(problem(&root.join("models/owner")), Some(Problem::TooDeep));
        assert_eq!(problem(&root.join("models/owner/name")), Some(Problem::IsAModel));
        assert_eq!(problem(&root.join("models/owner/name/config.json")), Some(Problem::NotAFolder));
        assert_eq!(problem(&root.join("none")), Some(Problem::Missing));
        assert_eq!(problem(Path::new("models")), Some(Problem::Relative));
        assert_eq!(problem(Path::new("~/models")), Some(Problem::Tilde));
        assert_eq!(problem(Path::new("~user/models")), Some(Problem::Tilde));
    }
}
