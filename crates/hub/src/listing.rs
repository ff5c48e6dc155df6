//! What a source has, before any of it is taken.

use crate::error::{Error, Result};
use crate::name::Name;
use serde::Deserialize;

/// Most files of a repository, folder or archive. Real ones have some dozens.
pub(crate) const MAX_FILES: usize = 20_000;

/// The hash by which the content of a file is known beforehand, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileId {
    /// SHA-256 of the content: what Git LFS knows a file by.
    Sha256(String),
    /// SHA-1 of git's blob: of all other files of a repository.
    GitBlob(String),
}

impl FileId {
    /// Tells by its length which hash it is; `None` for what is none.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        match (text.len(), text.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            (64, true) => Some(Self::Sha256(text)),
            (40, true) => Some(Self::GitBlob(text)),
            _ => None,
        }
    }

    pub(crate) fn as_hex(&self) -> &str {
        match self {
            Self::Sha256(hex) | Self::GitBlob(hex) => hex,
        }
    }
}

/// A file of a source. What the source does not tell is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// Relative to the model's folder.
    pub path: String,
    /// Relative to the source, where that is another path.
    pub moved_from: Option<String>,
    /// The repository and its commit, where the source is more than one.
    pub(crate) repository: Option<(Name, String)>,
    /// In bytes.
    pub size: Option<u64>,
    /// What the content has to hash to.
    pub id: Option<FileId>,
}

impl RemoteFile {
    /// A file that lies at the same path in source and model.
    pub fn new(path: String, size: Option<u64>, id: Option<FileId>) -> Self {
        Self { path, moved_from: None, repository: None, size, id }
    }

    /// The path relative to the source.
    pub(crate) fn source_path(&self) -> &str {
        self.moved_from.as_deref().unwrap_or(&self.path)
    }
}

/// The files of a source at one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    pub files: Vec<RemoteFile>,
    /// The commit that the revision stands for; `None` for what has no history.
    pub commit: Option<String>,
    /// The licence that the repository states.
    pub license: Option<String>,
    /// The name that the source gives the model.
    pub name: Option<Name>,
}

impl Listing {
    /// The files of two repositories with one encoder each, as the folders `text` and `vision` of one.
    pub(crate) fn pair(text: (&Name, Self), image: (&Name, Self)) -> Self {
        let moved = |folder: &str, name: &Name, listing: &Self| -> Vec<RemoteFile> {
            let has = |path: &str| listing.files.iter().any(|file| file.path == path);
            let move_one = |file: &RemoteFile| {
                let path = file.path.strip_prefix("onnx/").unwrap_or(&file.path);
                // Of two of the same name, that in onnx/.
                let is_second = path == file.path && has(&format!("onnx/{path}"));
                (!is_second).then(|| RemoteFile {
                    path: format!("{folder}/{path}"),
                    moved_from: Some(file.path.clone()),
                    repository: listing.commit.clone().map(|commit| (name.clone(), commit)),
                    ..file.clone()
                })
            };
            listing.files.iter().filter_map(move_one).collect()
        };
        let files = [moved("text", text.0, &text.1), moved("vision", image.0, &image.1)].concat();
        let commit = text.1.commit.zip(image.1.commit).map(|(text, image)| format!("{text}+{image}"));
        let mut licenses = [text.1.license, image.1.license].into_iter().flatten().collect::<Vec<_>>();
        licenses.dedup();
        let license = (!licenses.is_empty()).then(|| licenses.join(", "));
        Self { files, commit, license, name: None }
    }

    /// The files of one of several models: those of `folder/` and `onnx/folder/` as if they lay one folder higher, and
    /// the settings at the root that it does not have itself. `None` where there is no such folder.
    pub(crate) fn of_folder(mut self, folder: &str) -> Option<Self> {
        let inner = format!("{folder}/");
        let onnx = format!("onnx/{folder}/");
        let lift = |file: &RemoteFile| {
            let path = match file.path.strip_prefix(&onnx) {
                Some(rest) => format!("onnx/{rest}"),
                None => file.path.strip_prefix(&inner)?.to_owned(),
            };
            Some(RemoteFile { moved_from: Some(file.path.clone()), path, ..file.clone() })
        };
        let mut files: Vec<RemoteFile> = self.files.iter().filter_map(lift).collect();
        if files.is_empty() {
            return None;
        }
        // Graphs and weights of the root are those of another model.
        const MODELS: [&str; 6] = [".onnx", ".onnx_data", ".onnx.data", ".safetensors", ".bin", ".index.json"];
        let is_settings = |path: &str| !path.contains('/') && !MODELS.iter().any(|end| path.ends_with(end));
        let shared = self.files.iter().filter(|file| is_settings(&file.path));
        let shared: Vec<RemoteFile> =
            shared.filter(|file| files.iter().all(|own| own.path != file.path)).cloned().collect();
        files.extend(shared);
        self.files = files;
        Some(self)
    }
}

/// The answer of `/api/models/{owner}/{name}/revision/{revision}?blobs=true`.
#[derive(Deserialize)]
struct RepositoryInfo {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
    #[serde(rename = "cardData")]
    card: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    #[serde(alias = "oid")]
    sha256: Option<String>,
    size: Option<u64>,
}

impl Listing {
    /// Reads the hub's description of a repository, or says what is wrong with it.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, String> {
        let info: RepositoryInfo = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if !crate::name::is_commit(&info.sha) {
            return Err("it does not name a commit".to_owned());
        }
        if info.siblings.len() > MAX_FILES {
            return Err(format!("it has {} files, more than {MAX_FILES}", info.siblings.len()));
        }
        let license = info.card.as_ref().and_then(|card| card.get("license")?.as_str()).map(crate::error::show);
        let files = info.siblings.into_iter().map(Sibling::into_file).collect();
        Ok(Self { files, commit: Some(info.sha.to_ascii_lowercase()), license, name: None })
    }

    /// Fails where the source has more files than any model.
    pub(crate) fn check_count(&self, source_name: &str) -> Result<()> {
        let found = self.files.len();
        if found <= MAX_FILES {
            return Ok(());
        }
        let (source_name, found, max) = (source_name.to_owned(), found as u64, MAX_FILES as u64);
        Err(Error::TooLarge { source_name, unit: "files", found, max })
    }
}

impl Sibling {
    fn into_file(self) -> RemoteFile {
        let Self { rfilename: path, size, blob_id, lfs } = self;
        match lfs {
            // The blob of such a file is its pointer.
            Some(Lfs { sha256, size: real }) => {
                let id = sha256.as_deref().and_then(FileId::from_hex);
                RemoteFile::new(path, real.or(size), id.filter(|id| matches!(id, FileId::Sha256(_))))
            }
            None => RemoteFile::new(path, size, blob_id.as_deref().and_then(FileId::from_hex)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268";

    #[test]
    fn a_listing() {
        let sha256 = "a".repeat(64);
        let json = format!(
            r#"{{"sha": "{COMMIT}", "cardData": {{"license": "mit"}}, "more": [1], "siblings": [
                {{"rfilename": "config.json", "size": 12, "blobId": "{COMMIT}"}},
                {{"rfilename": "a.onnx", "size": 134, "blobId": "{COMMIT}", "lfs": {{"sha256": "{sha256}", "size": 99}}}},
                {{"rfilename": "b"}}]}}"#
        );
        let listing = Listing::parse(json.as_bytes()).unwrap();
        assert_eq!((listing.commit.as_deref(), listing.license.as_deref()), (Some(COMMIT), Some("mit")));
        let file = |path: &str, size, id| RemoteFile::new(path.to_owned(), size, id);
        let expected = [
            file("config.json", Some(12), Some(FileId::GitBlob(COMMIT.to_owned()))),
            file("a.onnx", Some(99), Some(FileId::Sha256(sha256))),
            file("b", None, None),
        ];
        assert_eq!(listing.files, expected);
    }

    #[test]
    fn what_is_no_listing() {
        for bad in ["", "{}", "[]", "<html>", r#"{"sha": "main"}"#, r#"{"sha": 1, "siblings": []}"#] {
            assert!(Listing::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
