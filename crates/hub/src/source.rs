//! Where a model comes from.

use crate::error::{Error, Result, show};
use crate::name::{Name, is_part};
use std::path::{Path, PathBuf};

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A repository of a hub, or one of its models, by the folder that has its graphs.
    Hub(Name, Option<String>),
    /// Two repositories of a hub with one encoder each: that of texts, and that of images.
    Pair(Name, Name),
    /// A folder: of a model, or of a repository in a Hugging Face cache (`models--owner--name`), or one of its snapshots.
    Folder(PathBuf),
    /// A tar archive, not compressed.
    Archive(PathBuf),
}

impl Source {
    /// Reads `owner/name`, `owner/name/folder`, `owner/text+owner/image`, or the path of a folder or of a `.tar` file, which begins with `/`, `./` or `../`.
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
        let problem = "it is neither owner/name, owner/name/folder, owner/text+owner/image nor an absolute path";
        if let Some((text, image)) = text.split_once('+') {
            let names = Name::parse(text).and_then(|text| Ok((text, Name::parse(image)?)));
            return names.map(|(text, image)| Self::Pair(text, image)).map_err(|_| bad(problem));
        }
        // A name has one slash; a folder of graphs is called as a name's part may be.
        let (name, folder) = match text.match_indices('/').nth(1) {
            Some((at, _)) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        match Name::parse(name) {
            Ok(name) if folder.is_none_or(is_part) => Ok(Self::Hub(name, folder.map(str::to_owned))),
            _ => Err(bad(problem)),
        }
    }

    /// For messages, and what a manifest has.
    pub fn describe(&self) -> String {
        match self {
            Self::Hub(name, None) => name.to_string(),
            Self::Hub(name, Some(folder)) => format!("{name}/{folder}"),
            Self::Pair(text, image) => format!("{text}+{image}"),
            Self::Folder(path) | Self::Archive(path) => path.display().to_string(),
        }
    }

    /// The name that a model has by its source: that of the repository, or of the cache's folder.
    pub fn name(&self) -> Option<Name> {
        match self {
            Self::Hub(name, None) => Some(name.clone()),
            Self::Hub(name, Some(folder)) => Name::parse(&format!("{name}-{folder}")).ok(),
            Self::Pair(text, image) => name_of_pair(text, image),
            Self::Folder(path) => name_in_cache(path),
            Self::Archive(_) => None,
        }
    }
}

/// The words that two names begin and end with, as `a/clip-v2` of `a/clip-text-v2` and `a/clip-vision-v2`.
fn name_of_pair(text: &Name, image: &Name) -> Option<Name> {
    let (first, second): (Vec<&str>, Vec<&str>) = (text.name().split('-').collect(), image.name().split('-').collect());
    let begin = first.iter().zip(&second).take_while(|(first, second)| first == second).count();
    let rest = first.len().min(second.len()) - begin;
    let ends = first.iter().rev().zip(second.iter().rev()).take(rest);
    let end = ends.take_while(|(first, second)| first == second).count();
    let name = [&first[..begin], &first[first.len() - end..]].concat().join("-");
    Name::parse(&format!("{}/{name}", text.owner())).ok().filter(|_| text.owner() == image.owner() && begin > 0)
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
