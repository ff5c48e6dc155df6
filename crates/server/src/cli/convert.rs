//! The place where the weights of PyTorch become ONNX.

use super::CommandError;
use super::failure::Failure;
use hub::Staged;
use serde_json::Value;
use std::path::Path;

const CONFIG: &str = "config.json";

/// Makes the ONNX files of a staged model that has only weights (`hub::Layout::Weights`): reads `staged.folder()`, writes
/// `onnx/text_model.onnx` and `onnx/vision_model.onnx` below it, and what else such a model needs and the source has not.
/// Each is told with [`Staged::add_derived`].
///
/// # Errors
/// What cannot be converted; a source without a tokenizer, before anything is converted.
pub fn finish_install(staged: &mut Staged) -> Result<(), Failure> {
    let folder = staged.folder();
    check_tokenizer(&staged.manifest().source, &folder)?;
    let converted = weights::convert(&folder, &folder)?;
    for file in &converted.files {
        staged.add_derived(file)?;
    }
    let values = [("logit_scale", converted.logit_scale), ("logit_bias", converted.logit_bias)];
    if add_to_config(&folder, &values)? {
        staged.add_derived(CONFIG)?;
    }
    Ok(())
}

/// Texts cannot be embedded without one.
fn check_tokenizer(source: &str, folder: &Path) -> Result<(), Failure> {
    let has = |files: &[&str]| files.iter().all(|file| folder.join(file).is_file());
    if has(&["tokenizer.json"]) || has(&["vocab.json", "merges.txt"]) {
        return Ok(());
    }
    Err(CommandError::NoTokenizer { source_name: source.to_owned() }.into())
}

/// Adds what only the weights say and the configuration lacks; returns whether it was changed.
fn add_to_config(folder: &Path, values: &[(&str, Option<f64>)]) -> Result<bool, Failure> {
    let path = folder.join(CONFIG);
    let failed = |action, reason| CommandError::Config { action, path: path.display().to_string(), reason };
    let text = std::fs::read(&path).map_err(|error| failed("read", error.to_string()))?;
    let mut config: Value = serde_json::from_slice(&text).map_err(|error| failed("read", error.to_string()))?;
    let Some(object) = config.as_object_mut() else { return Ok(false) };
    let before = object.len();
    for (key, value) in values {
        if let Some(value) = value {
            object.entry(*key).or_insert((*value).into());
        }
    }
    if object.len() == before {
        return Ok(false);
    }
    std::fs::write(&path, format!("{config:#}\n")).map_err(|error| failed("write", error.to_string()))?;
    Ok(true)
}
