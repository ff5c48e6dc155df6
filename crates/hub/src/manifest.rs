//! What is written down of an installation, beside the model's own files.

use crate::error::{Error, Result};
use crate::installed_file::InstalledFile;
use crate::name::is_safe_path;
use crate::part::sha256_of;
use crate::select::Layout;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// Its file, in the model's folder.
pub const MANIFEST: &str = "clip_search.json";

/// The form that this release writes and reads.
const FORMAT: u32 = 1;
const MAX_BYTES: u64 = 16 << 20;

/// Where a model came from, and what it consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of this file.
    pub format: u32,
    /// Name under which it was installed.
    pub name: String,
    /// Repository, folder or archive.
    pub source: String,
    /// Address of the hub; `None` for local sources.
    pub endpoint: Option<String>,
    /// The revision that was asked for.
    pub revision: Option<String>,
    /// The commit that it stood for.
    pub commit: Option<String>,
    /// The precision that was asked for.
    pub asked_precision: Option<String>,
    /// The precision that was taken.
    pub precision: Option<String>,
    /// How the files are arranged.
    pub layout: Layout,
    /// What the repository states.
    pub license: Option<String>,
    /// Seconds since 1970.
    pub installed_at: u64,
    /// Release of clip_search.
    pub release: String,
    /// The files that were taken from the source.
    pub files: Vec<InstalledFile>,
    /// The files that were made from these, or changed: one that is in both lists is as it is here.
    #[serde(default)]
    pub derived: Vec<InstalledFile>,
    /// The files that were taken from the source, made into others, and deleted: weights.
    #[serde(default)]
    pub converted: Vec<InstalledFile>,
}

/// A file that is not what was installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Relative to the model's folder.
    pub path: String,
    /// "is missing", "has 3 bytes, not 4", …
    pub problem: String,
}

impl Manifest {
    pub(crate) const FORMAT: u32 = FORMAT;

    /// The manifest of a model's folder; `None` where there is none, or one that cannot be read: such a model was not
    /// installed by this program.
    pub fn read(folder: &Path) -> Option<Self> {
        Self::read_from(fs::File::open(folder.join(MANIFEST)).ok()?)
    }

    pub(crate) fn read_from(source: impl Read) -> Option<Self> {
        let mut bytes = Vec::new();
        source.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
        let manifest: Self = serde_json::from_slice(&bytes).ok()?;
        let safe = manifest.all().all(|file| is_safe_path(&file.path));
        (manifest.format == FORMAT && safe).then_some(manifest)
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(MANIFEST);
        let mut text = serde_json::to_string_pretty(self).expect("a manifest is plain data");
        text.push('\n');
        let write = || {
            fs::write(&path, &text)?;
            fs::File::open(&path)?.sync_all()
        };
        write().map_err(|error| Error::io("write", &path, &error))
    }

    /// Whether all files are there with their size. Their content is not read.
    pub fn looks_whole(&self, folder: &Path) -> bool {
        let same = |file: &InstalledFile| {
            fs::metadata(folder.join(&file.path)).is_ok_and(|about| about.is_file() && about.len() == file.size)
        };
        self.all().all(same)
    }

    /// Whether the same files were taken from the source, those that were deleted included.
    pub(crate) fn is_made_of(&self, files: &[InstalledFile]) -> bool {
        let mut taken: Vec<&InstalledFile> = self.files.iter().chain(&self.converted).collect();
        let mut others: Vec<&InstalledFile> = files.iter().collect();
        for list in [&mut taken, &mut others] {
            list.sort_by_key(|file| &file.path);
        }
        taken == others
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.all().map(|file| file.size).sum()
    }

    fn all(&self) -> impl Iterator<Item = &InstalledFile> {
        let is_derived = |file: &InstalledFile| self.derived.iter().any(|derived| derived.path == file.path);
        self.files.iter().filter(move |file| !is_derived(file)).chain(&self.derived)
    }

    /// Reads all files and compares their hashes.
    ///
    /// # Errors
    /// [`Error::Io`] where a file cannot be read.
    pub fn differences(&self, folder: &Path) -> Result<Vec<Difference>> {
        let mut found = Vec::new();
        for InstalledFile { path, size, sha256 } in self.all() {
            let file = folder.join(path);
            let problem = match fs::metadata(&file) {
                Err(error) if error.kind() == ErrorKind::NotFound => "is missing".to_owned(),
                Err(error) => return Err(Error::io("read", &file, &error)),
                Ok(about) if !about.is_file() => "is not a file".to_owned(),
                Ok(about) if about.len() != *size => format!("has {} bytes, not {size}", about.len()),
                Ok(_) => match sha256_of(&file).map_err(|error| Error::io("read", &file, &error))? {
                    same if same == *sha256 => continue,
                    _ => "has another content".to_owned(),
                },
            };
            found.push(Difference { path: path.clone(), problem });
        }
        Ok(found)
    }
}
