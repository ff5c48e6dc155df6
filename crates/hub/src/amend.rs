//! Files that are made of an installed model's, and become part of it.

use crate::error::{Error, Result};
use crate::installed_file::InstalledFile;
use crate::manifest::Manifest;
use crate::name::{Name, is_safe_path};
use crate::part::sha256_of;
use crate::place::{Lock, Place, delete, make_folder, sync};
use std::fs;
use std::path::{Path, PathBuf};

/// An installed model that nobody else changes meanwhile, with a folder beside it in which files are made. The folder is
/// deleted when this is dropped, or by the next who changes the model.
pub struct Amendment {
    place: Place,
    manifest: Option<Manifest>,
    _lock: Lock,
}

/// Takes hold of an installed model. `waiting` is called once, where somebody else has it.
///
/// # Errors
/// [`Error::NotInstalled`], [`Error::Io`].
pub fn amend(model_dir: &Path, name: &Name, waiting: impl FnOnce()) -> Result<Amendment> {
    let place = Place::new(model_dir, name);
    let check = || {
        let not_installed = || Error::NotInstalled { name: name.to_string(), model_dir: model_dir.to_owned() };
        place.target().is_dir().then_some(()).ok_or_else(not_installed)
    };
    check()?;
    let lock = place.lock(waiting)?;
    place.recover()?;
    check()?;
    let manifest = Manifest::read(&place.target());
    delete(&place.workshop())?;
    make_folder(&place.workshop())?;
    Ok(Amendment { place, manifest, _lock: lock })
}

impl Amendment {
    /// The model's folder.
    pub fn folder(&self) -> PathBuf {
        self.place.target()
    }

    /// The folder in which files are made.
    pub fn workshop(&self) -> PathBuf {
        self.place.workshop()
    }

    /// Has all of the model's files in the workshop, too, under their paths: as other names of the same content, or as
    /// copies where the file system has no such names. What is changed there has to be replaced, not written to.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn mirror(&self) -> Result<()> {
        mirror(&self.folder(), &self.workshop(), MAX_DEPTH)
    }

    /// Puts files of the workshop into the model's folder, each in one step, and writes them down where the model has a
    /// manifest.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::UnsafePath`].
    pub fn finish(mut self, files: &[String]) -> Result<PathBuf> {
        let folder = self.folder();
        for path in files {
            if !is_safe_path(path) {
                return Err(Error::UnsafePath { path: crate::error::show(path) });
            }
            let (from, to) = (self.workshop().join(path), folder.join(path));
            let bad = |error| Error::io("read", &from, &error);
            let (size, sha256) = (fs::metadata(&from).map_err(bad)?.len(), sha256_of(&from).map_err(bad)?);
            fs::rename(&from, &to).map_err(|error| Error::io("write", &to, &error))?;
            sync(to.parent().unwrap_or(&folder))?;
            if let Some(manifest) = &mut self.manifest {
                manifest.derived.retain(|known| known.path != *path);
                manifest.derived.push(InstalledFile { path: path.clone(), size, sha256 });
            }
        }
        // Beside the old one and in its place: half a manifest is none.
        if let Some(manifest) = &self.manifest {
            manifest.write(&self.workshop())?;
            let (from, to) = (self.workshop().join(crate::MANIFEST), folder.join(crate::MANIFEST));
            fs::rename(&from, &to).map_err(|error| Error::io("write", &to, &error))?;
            sync(&folder)?;
        }
        Ok(folder)
    }
}

impl Drop for Amendment {
    fn drop(&mut self) {
        // What stays is deleted by the next.
        let _ = delete(&self.place.workshop());
    }
}

/// Folders below the model's.
const MAX_DEPTH: usize = 4;

fn mirror(from: &Path, to: &Path, depth: usize) -> Result<()> {
    make_folder(to)?;
    for entry in fs::read_dir(from).map_err(|error| Error::io("read", from, &error))? {
        let entry = entry.map_err(|error| Error::io("read", from, &error))?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        // Links are followed: a model may be made of links to a cache.
        let Ok(real) = path.canonicalize() else { continue };
        if real.is_dir() {
            if depth > 0 {
                mirror(&path, &copy, depth - 1)?;
            }
        } else if real.is_file() && fs::hard_link(&real, &copy).is_err() {
            fs::copy(&real, &copy).map_err(|error| Error::io("copy", &path, &error))?;
        }
    }
    Ok(())
}
