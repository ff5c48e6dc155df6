//! Images of a folder and of the folders in it.

use crate::source::{Item, Source, revision_of};
use anyhow::{Context, Result, bail};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// Endings of the files that are taken. What is in a file is for the database to find out.
const ENDINGS: [&str; 13] =
    ["jpg", "jpeg", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff", "ico", "qoi", "tga", "pnm"];

/// Longest file that is taken; a `bytea` ends at 1 GiB.
const MAX_BYTES: u64 = 512 << 20;

/// The image files of a folder.
pub struct FolderSource {
    folder: PathBuf,
    files: Vec<(PathBuf, Item)>,
}

impl FolderSource {
    /// Lists the folder. Hidden files and folders are passed over.
    ///
    /// # Errors
    /// It is not a folder, or there is no image in it.
    pub fn open(folder: &Path) -> Result<Self> {
        let folder =
            folder.canonicalize().with_context(|| format!("could not open the folder {}", folder.display()))?;
        if !folder.is_dir() {
            bail!("{} is not a folder", folder.display());
        }
        let mut seen = HashSet::new();
        let mut files = Vec::new();
        for entry in WalkDir::new(&folder).follow_links(true).sort_by_file_name().into_iter().filter_entry(is_visible) {
            // What cannot be listed (a broken link, a folder of somebody else) is not there.
            let Ok(entry) = entry else { continue };
            if !entry.file_type().is_file() || !has_image_ending(entry.path()) {
                continue;
            }
            let Ok(revision) = revision_of(entry.path()) else { continue };
            let name = entry.path().strip_prefix(&folder).unwrap_or(entry.path()).to_string_lossy().into_owned();
            let item = Item { key: format!("{name} {revision}"), name };
            if seen.insert(item.key.clone()) {
                files.push((entry.into_path(), item));
            }
        }
        if files.is_empty() {
            bail!("there is no image in {}\n  Looked for files that end in {}.", folder.display(), ENDINGS.join(", "));
        }
        Ok(Self { folder, files })
    }

    /// The folder, as an absolute path.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Source for FolderSource {
    fn title(&self) -> String {
        format!("files of {}", self.folder.display())
    }

    fn items(&self) -> Vec<Item> {
        self.files.iter().map(|(_, item)| item.clone()).collect()
    }

    fn read(&self, index: usize) -> Result<Vec<u8>> {
        let path = &self.files[index].0;
        let length = path.metadata()?.len();
        if length > MAX_BYTES {
            bail!("{} MB are too much", length >> 20);
        }
        Ok(std::fs::read(path)?)
    }
}

fn is_visible(entry: &DirEntry) -> bool {
    entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".")
}

fn has_image_ending(path: &Path) -> bool {
    let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase();
    ENDINGS.contains(&ending.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_images_in_order_and_passes_over_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.PNG", "a.jpeg", "deep/er/c.webp", "notes.txt", ".hidden/d.png", ".e.png", "jpg"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }
        let source = FolderSource::open(folder.path()).unwrap();
        let names: Vec<String> = source.items().into_iter().map(|item| item.name).collect();
        assert_eq!(names, ["a.jpeg", "b.PNG", "deep/er/c.webp"]);
        assert_eq!(source.read(2).unwrap(), b"deep/er/c.webp");
    }

    #[test]
    fn a_changed_file_is_another_image() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        std::fs::write(&path, "one").unwrap();
        let before = FolderSource::open(folder.path()).unwrap().items();
        std::fs::write(&path, "another").unwrap();
        assert_ne!(FolderSource::open(folder.path()).unwrap().items(), before);
    }

    #[test]
    fn says_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let error = FolderSource::open(folder.path()).err().unwrap().to_string();
        assert!(error.contains("there is no image in"), "{error}");
        let error = FolderSource::open(&folder.path().join("none")).err().unwrap().to_string();
        assert!(error.contains("could not open the folder"), "{error}");
    }
}
