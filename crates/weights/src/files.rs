//! Files of the target: written under a name of their own, then renamed, so that nobody sees half of one.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use tempfile::NamedTempFile;

use crate::error::{Error, Result};
use crate::layout::{Model, is_of_timm};
use crate::source::read_json;

/// What a model's reader wants beside the graphs. Copied where the target is another directory and lacks them.
const COPIED: [&str; 13] = [
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "spiece.model",
    "tokenizer.model",
    "sentencepiece.bpe.model",
];
/// Most bytes of such a file. The largest tokenizers have 35 MB.
const MAX_COPIED: u64 = 128 << 20;

/// A file with the rights of any new file, gone when dropped.
pub(crate) fn new_file(directory: &Path) -> std::io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(".new-").permissions(Permissions::from_mode(0o666)).tempfile_in(directory)
}

/// Gives a file its name.
pub(crate) fn rename(file: NamedTempFile, path: &Path) -> std::io::Result<()> {
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Puts the files beside the graphs that are not there yet: those of the source, and those that its layout lacks. What
/// the target has is left alone. Returns the names of what was written.
pub(crate) fn complete(source: &Path, target: &Path, model: &Model) -> Result<Vec<String>> {
    let mut written = Vec::new();
    for name in COPIED {
        let (from, to) = (source.join(name), target.join(name));
        if to.exists() || model.files.iter().any(|(made, _)| *made == name) {
            continue;
        }
        let Ok(about) = from.metadata() else { continue };
        if !about.is_file() || about.len() > MAX_COPIED {
            return Err(Error::bad(name, format!("it is no regular file of at most {MAX_COPIED} bytes")));
        }
        let mut bytes = std::fs::read(&from).map_err(|error| Error::bad(name, error.to_string()))?;
        // The configuration of transformers does not say what the weights do.
        if name == "config.json"
            && let Ok(mut config) = serde_json::from_slice::<Value>(&bytes)
        {
            crate::layout::add_logits(&mut config, model.logit_scale, model.logit_bias);
            bytes = pretty(&config);
        }
        put(target, name, &bytes)?;
        written.push(name.to_owned());
    }
    for (name, value) in &model.files {
        if !target.join(name).exists()
            || (*name == "config.json" && read_json(target, name).is_ok_and(|config| is_of_timm(&config)))
        {
            put(target, name, &pretty(value))?;
            written.push((*name).to_owned());
        }
    }
    Ok(written)
}

fn pretty(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

fn put(target: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let write = || {
        let mut file = new_file(target)?;
        file.write_all(bytes)?;
        rename(file, &target.join(name))
    };
    write().map_err(|error| Error::Write { file: name.to_owned(), reason: error.to_string() })
}
