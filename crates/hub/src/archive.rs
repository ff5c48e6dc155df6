//! Models from a tar archive. Only what was chosen is unpacked, and only plain files.

use crate::error::{Error, Result, show};
use crate::folder::POINTER;
use crate::listing::{Listing, MAX_FILES, RemoteFile};
use crate::manifest::{MANIFEST, Manifest};
use crate::name::{Name, is_safe_path};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// An archive that was listed.
pub(crate) struct Archive {
    path: PathBuf,
    pub listing: Listing,
    /// The folder in the archive that has the model, with a slash at its end, or nothing.
    prefix: String,
}

impl Archive {
    pub(crate) fn list(path: &Path) -> Result<Self> {
        let mut archive = Self { path: path.to_owned(), listing: Listing::default(), prefix: String::new() };
        let mut files = Vec::new();
        archive.each(|path, entry| {
            files.push(RemoteFile::new(path, Some(entry.size()), None));
            Ok(files.len() <= MAX_FILES)
        })?;
        archive.prefix = common_folder(&files);
        for file in &mut files {
            file.path.drain(..archive.prefix.len());
        }
        archive.listing = Listing { files, name: archive.name()?, ..Listing::default() };
        archive.listing.check_count(&path.display().to_string())?;
        Ok(archive)
    }

    /// The name that the archive's own manifest has, or `owner/name/` in it.
    fn name(&self) -> Result<Option<Name>> {
        let mut name = Name::parse(self.prefix.trim_end_matches('/')).ok();
        let manifest = format!("{}{MANIFEST}", self.prefix);
        self.each(|path, entry| {
            if path != manifest {
                return Ok(true);
            }
            if let Some(found) = Manifest::read_from(entry) {
                name = Name::parse(&found.name).ok();
            }
            Ok(false)
        })?;
        Ok(name)
    }

    /// Reads the chosen files, in the order of the archive.
    pub(crate) fn read(
        &self,
        wanted: &[RemoteFile],
        mut each: impl FnMut(&RemoteFile, &mut dyn Read) -> Result<()>,
    ) -> Result<()> {
        let mut left = wanted.len();
        self.each(|path, entry| {
            let inner = path.strip_prefix(self.prefix.as_str()).unwrap_or(&path);
            if let Some(file) = wanted.iter().find(|file| file.path == inner) {
                let mut start = Vec::new();
                let bad = |error: std::io::Error| self.bad(&error.to_string());
                entry.take(POINTER.len() as u64).read_to_end(&mut start).map_err(bad)?;
                if start == POINTER {
                    return Err(Error::Pointer { file: file.path.clone() });
                }
                each(file, &mut start.as_slice().chain(entry))?;
                left -= 1;
            }
            Ok(left > 0)
        })
    }

    /// All plain files, until told to stop.
    fn each(&self, mut each: impl FnMut(String, &mut dyn Entry) -> Result<bool>) -> Result<()> {
        let bad = |error: std::io::Error| self.bad(&error.to_string());
        let file = File::open(&self.path).map_err(|error| Error::io("read", &self.path, &error))?;
        let mut archive = tar::Archive::new(BufReader::new(file));
        for entry in archive.entries().map_err(bad)? {
            let mut entry = entry.map_err(bad)?;
            let kind = entry.header().entry_type();
            if kind.is_dir() || kind.is_pax_global_extensions() {
                continue;
            }
            let bytes = entry.path_bytes().into_owned();
            let name = String::from_utf8(bytes).map_err(|_| self.bad("the name of a file is not UTF-8"))?;
            let name = name.trim_start_matches("./").to_owned();
            if !is_safe_path(&name) {
                return Err(Error::UnsafePath { path: show(&name) });
            }
            if kind.is_symlink() || kind.is_hard_link() {
                return Err(self.bad(&format!("\"{}\" is a link", show(&name))));
            }
            if !kind.is_file() && !kind.is_contiguous() {
                return Err(self.bad(&format!("\"{}\" is not a file", show(&name))));
            }
            if !each(name, &mut entry)? {
                break;
            }
        }
        Ok(())
    }

    fn bad(&self, reason: &str) -> Error {
        Error::Archive { path: self.path.clone(), reason: show(reason) }
    }
}

/// A file in the archive.
trait Entry: Read {
    fn size(&self) -> u64;
}

impl<R: Read> Entry for tar::Entry<'_, R> {
    fn size(&self) -> u64 {
        tar::Entry::size(self)
    }
}

/// The folder that all files are in, with a slash at its end.
fn common_folder(files: &[RemoteFile]) -> String {
    let Some(first) = files.first() else { return String::new() };
    let mut common = first.path.rfind('/').map_or("", |slash| &first.path[..=slash]);
    while !files.iter().all(|file| file.path.starts_with(common)) {
        common = common[..common.len() - 1].rfind('/').map_or("", |slash| &common[..=slash]);
    }
    common.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_that_all_files_are_in() {
        let common = |paths: &[&str]| {
            let file = |path: &&str| RemoteFile::new((*path).to_owned(), None, None);
            common_folder(&paths.iter().map(file).collect::<Vec<_>>())
        };
        assert_eq!(common(&[]), "");
        assert_eq!(common(&["a"]), "");
        assert_eq!(common(&["a/b/c", "a/b/d/e"]), "a/b/");
        assert_eq!(common(&["a/b/c", "a/bc"]), "a/");
        assert_eq!(common(&["a/b", "c"]), "");
    }
}
