//! Where a model comes from.

use crate::error::{Error, Result, show};
use crate::name::{Name, is_part};
use std::path::{Path, PathBuf};

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A repository of a hub, or one of its models, by the folder that has its graphs.
    Hub(Name, Option<String>),
    /// A folder: of a model, or of a repository in a Hugging Face cache (`models--owner--name`), or one of its snapshots.
    Folder(PathBuf),
    /// A tar archive, not compressed.
    Archive(PathBuf),
}

impl Source {
    /// Reads `owner/name`, `owner/name/folder`, or the path of a folder or of a `.tar` file, which begins with `/`, `./` or `../`.
    ///
    /// # Errors
    /// [`Error::InvalidSource`]; whether there is such a repository is found out later.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |reason: &str| Error::InvalidSource { source_name: show(text), reason: reason.to_owned() };
        if text.starts_with('~') {
            return Err(bad("~ has no meaning here"));
        }
        if text.contains('\0') {
            return Err(bad("it has a null character"));
        }
        if text.contains("://") {
            return Err(bad("it is a URL"));
        }
        if text.starts_with(['/', '.']) {
            let path = PathBuf::from(text);
            return match std::fs::metadata(&path) {
                Ok(about) if about.is_dir() => Ok(Self::Folder(path)),
                Ok(about) if about.is_file() => Ok(Self::Archive(path)),
                Ok(_) => Err(bad("it is neither a folder nor a file")),
                Err(error) => Err(bad(&error.to_string())),
            };
        }
        // A name has one slash; a folder of graphs is called as a name's part may be.
        let (name, folder) = match text.match_indices('/').nth(1) {
            Some((at, _)) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        match Name::parse(name) {
            Ok(name) if folder.is_none_or(is_part) => Ok(Self::Hub(name, folder.map(str::to_owned))),
            _ => Err(bad("it is neither owner/name, owner/name/folder nor an absolute path")),
        }
    }

    /// For messages, and what a manifest has.
    pub fn describe(&self) -> String {
        match self {
            Self::Hub(name, None) => name.to_string(),
            Self::Hub(name, Some(folder)) => format!("{name}/{folder}"),
            Self::Folder(path) | Self::Archive(path) => path.display().to_string(),
        }
    }

    /// The name that a model has by its source: that of the repository, or of the cache's folder.
    pub(crate) fn name(&self) -> Option<Name> {
        match self {
            Self::Hub(name, None) => Some(name.clone()),
            Self::Hub(name, Some(folder)) => Name::parse(&format!("{name}-{folder}")).ok(),
            Self::Folder(path) => name_in_cache(path),
            Self::Archive(_) => None,
        }
    }
}

/// The repository that a folder of a Hugging Face cache is of: `…/models--owner--name[/snapshots/<commit>]`.
pub(crate) fn name_in_cache(path: &Path) -> Option<Name> {
    cache_of(path).and_then(|cache| {
        let rest = cache.file_name()?.to_str()?.strip_prefix("models--")?;
        let (owner, name) = rest.split_once("--")?;
        Name::parse(&format!("{owner}/{name}")).ok()
    })
}

/// The folder `models--owner--name` that a path is or is below of.
pub(crate) fn cache_of(path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    let is_cache = |path: &Path| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("models--"))
            && path.join("snapshots").is_dir()
    };
    path.ancestors().take(3).find(|ancestor| is_cache(ancestor)).map(Path::to_owned)
}
