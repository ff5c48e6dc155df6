//! Finds the models that are installed: directories `<root>/<owner>/<name>` with a file that models have, usable or not.
//!
//! Links are followed, also out of the root: whoever may write below a model root decides what is in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::diagnosis::looks_like_a_model;
use crate::error::{Error, Result};
use crate::layouts::CONFIGURATIONS;
use crate::name::ModelName;

/// Names and directories of all models below the roots, by name. Where two roots have the same name the first wins.
///
/// Roots and entries that cannot be read, and names that [`ModelName`] does not accept, are passed over.
pub fn list<P: AsRef<Path>>(roots: &[P]) -> BTreeMap<ModelName, PathBuf> {
    let mut models = BTreeMap::new();
    for root in roots {
        for owner in entries(root.as_ref()) {
            for model in entries(&root.as_ref().join(&owner)) {
                let path = root.as_ref().join(&owner).join(&model);
                if let Ok(name) = ModelName::parse(&format!("{owner}/{model}"))
                    && looks_like_a_model(&path)
                {
                    // One that cannot be used stands behind one that may.
                    let known = models.entry(name).or_insert_with(|| path.clone());
                    if !is_model(known) && is_model(&path) {
                        *known = path;
                    }
                }
            }
        }
    }
    models
}

/// Directory of a model, from the first root that has it.
///
/// # Errors
/// [`Error::NoSuchModel`] with the roots that were searched.
pub fn find<P: AsRef<Path>>(roots: &[P], name: &ModelName) -> Result<PathBuf> {
    let paths = || roots.iter().map(|root| root.as_ref().join(name.as_str()));
    let found = paths().find(|path| is_model(path)).or_else(|| paths().find(|path| looks_like_a_model(path)));
    found.ok_or_else(|| Error::NoSuchModel {
        name: name.to_string(),
        roots: roots.iter().map(|root| root.as_ref().to_owned()).collect(),
    })
}

fn is_model(path: &Path) -> bool {
    CONFIGURATIONS.iter().any(|file| path.join(file).is_file())
}

/// Names of the entries of a directory that are UTF-8; none where it cannot be read.
fn entries(directory: &Path) -> Vec<String> {
    let Ok(entries) = directory.read_dir() else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}
