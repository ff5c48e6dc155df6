//! Models from a folder, or from a Hugging Face cache, whose snapshots are links to its blobs.

use crate::error::{Error, Result};
use crate::listing::{FileId, Listing, MAX_FILES, RemoteFile};
use crate::manifest::Manifest;
use crate::name::{Name, check_revision, is_commit};
use crate::source::{cache_of, name_in_cache};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// How deep files of a model lie.
const MAX_DEPTH: usize = 4;
/// How a Git LFS pointer begins.
pub(crate) const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// A folder that was listed.
pub(crate) struct Folder {
    /// Of the files: a snapshot, where a cache was named.
    pub root: PathBuf,
    pub listing: Listing,
    /// What links may lead to.
    limits: PathBuf,
}

impl Folder {
    pub(crate) fn list(path: &Path, revision: Option<&str>) -> Result<Self> {
        let io = |error| Error::io("read", path, &error);
        let cache = cache_of(path);
        let root = match &cache {
            Some(cache) if path.canonicalize().map_err(io)? == *cache => snapshot(cache, revision)?,
            _ => {
                check_no_revision(path, revision)?;
                path.canonicalize().map_err(io)?
            }
        };
        let commit = cache.as_ref().and_then(|_| root.file_name()?.to_str().filter(|name| is_commit(name)));
        let commit = commit.map(str::to_owned);
        let name = match Manifest::read(&root) {
            Some(manifest) => Name::parse(&manifest.name).ok(),
            None => name_in_cache(&root),
        };
        let limits = cache.unwrap_or_else(|| root.clone());
        let mut folder = Self { root, limits, listing: Listing { commit, name, ..Listing::default() } };
        folder.walk("", MAX_DEPTH)?;
        folder.listing.check_count(&path.display().to_string())?;
        Ok(folder)
    }

    fn walk(&mut self, below: &str, depth: usize) -> Result<()> {
        let folder = self.root.join(below);
        for entry in fs::read_dir(&folder).map_err(|error| Error::io("read", &folder, &error))? {
            let entry = entry.map_err(|error| Error::io("read", &folder, &error))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with('.') || self.listing.files.len() > MAX_FILES {
                continue;
            }
            let path = format!("{below}{name}");
            // A link that leads nowhere is like no file. Where links lead is looked at when a file is taken.
            let Ok(about) = fs::metadata(entry.path()) else { continue };
            if about.is_dir() && depth > 0 && !entry.path().is_symlink() {
                self.walk(&format!("{path}/"), depth - 1)?;
            } else if about.is_file() {
                self.listing.files.push(RemoteFile::new(path, Some(about.len()), self.blob_of(&entry.path())));
            }
        }
        Ok(())
    }

    /// In a cache, a blob is named by the hash that the hub knows it by.
    fn blob_of(&self, path: &Path) -> Option<FileId> {
        let blob = fs::read_link(path).ok()?;
        blob.parent()?.ends_with("blobs").then(|| FileId::from_hex(blob.file_name()?.to_str()?))?
    }

    /// Opens a file that was listed.
    ///
    /// # Errors
    /// [`Error::LinkOut`], and [`Error::Pointer`] for what is only a pointer to the file.
    pub(crate) fn open(&self, file: &RemoteFile) -> Result<fs::File> {
        let path = self.root.join(&file.path);
        let real = path.canonicalize().map_err(|error| Error::io("read", &path, &error))?;
        if !real.starts_with(&self.limits) {
            return Err(Error::LinkOut { path });
        }
        if is_pointer(&real, file.size) {
            return Err(Error::Pointer { file: file.path.clone() });
        }
        fs::File::open(&real).map_err(|error| Error::io("read", &path, &error))
    }
}

/// Whether a file is what git has in the place of a large one.
fn is_pointer(path: &Path, size: Option<u64>) -> bool {
    let mut start = Vec::new();
    size.is_some_and(|size| size < 1024)
        && fs::File::open(path).is_ok_and(|file| file.take(1024).read_to_end(&mut start).is_ok())
        && start.starts_with(POINTER)
}

fn check_no_revision(path: &Path, revision: Option<&str>) -> Result<()> {
    match revision {
        None => Ok(()),
        Some(_) => Err(Error::InvalidSource {
            source_name: path.display().to_string(),
            reason: "a folder has no revisions".to_owned(),
        }),
    }
}

/// The snapshot of a revision: named by a branch in `refs`, by its commit, or the only one.
fn snapshot(cache: &Path, revision: Option<&str>) -> Result<PathBuf> {
    let snapshots = cache.join("snapshots");
    let asked = revision.unwrap_or("main");
    check_revision(asked)?;
    let commit = fs::read_to_string(cache.join("refs").join(asked)).unwrap_or_else(|_| asked.to_owned());
    let named = snapshots.join(commit.trim());
    if is_commit(commit.trim()) && named.is_dir() {
        return Ok(named);
    }
    let mut all = fs::read_dir(&snapshots).map_err(|error| Error::io("read", &snapshots, &error))?.flatten();
    match (revision, all.next(), all.next()) {
        (None, Some(only), None) => Ok(only.path()),
        _ => Err(Error::NoSuchRevision { repository: cache.display().to_string(), revision: asked.to_owned() }),
    }
}
