//! `models verify`

use super::{Common, Failure, Report, Running, STATUS_DONE, STATUS_MODEL};
use crate::proof::{self, SAME};
use clap::Args;
use hub::{Manifest, Name};
use protocol::{ModelLine, VerifiedModel};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Name of the model
    #[arg(value_name = "OWNER/NAME")]
    name: String,
    /// Another folder of models, searched after the model directory
    #[arg(long, value_name = "DIR")]
    also: Vec<PathBuf>,
    #[command(flatten)]
    running: Running,
}

pub fn run(arguments: &Arguments, common: &Common, report: &Report) -> Result<i32, Failure> {
    let (name, path) = common.find(&arguments.name, &arguments.also)?;
    let verified = verify(&name, &path, arguments)?;
    let ok = verified.ok;
    report.line(&ModelLine::Verified(verified));
    Ok(if ok { STATUS_DONE } else { STATUS_MODEL })
}

fn verify(name: &Name, path: &Path, arguments: &Arguments) -> Result<VerifiedModel, Failure> {
    let manifest = Manifest::read(path);
    let differences = manifest.as_ref().map(|manifest| manifest.differences(path)).transpose()?.unwrap_or_default();
    let damaged: Vec<String> =
        differences.into_iter().map(|found| format!("{} {}", found.path, found.problem)).collect();
    let then = proof::read(path);
    let precision = then.as_ref().map(|then| then.precision.clone());
    let now = proof::prove(path, &name.to_string(), &arguments.running.setup(precision));
    let compared = match (&then, &now) {
        (Some(then), Ok(now)) => proof::compare(then, now),
        _ => None,
    };
    let identical = then.as_ref().zip(now.as_ref().ok()).map(|(then, now)| then.digest == now.digest);
    // What cannot be compared is no better than what differs.
    let same = match (&then, &compared) {
        (None, _) => true,
        (Some(_), Some(worst)) => worst.text >= SAME && worst.image >= SAME,
        (Some(_), None) => false,
    };
    Ok(VerifiedModel {
        name: name.to_string(),
        ok: damaged.is_empty() && now.is_ok() && same,
        files: manifest.as_ref().map_or(0, |manifest| manifest.files.len() as u64),
        damaged,
        text_cosine: compared.map(|worst| worst.text),
        image_cosine: compared.map(|worst| worst.image),
        identical,
        error: now.err().map(|error| error.to_string()),
        installed_at: manifest.map(|manifest| manifest.installed_at),
    })
}
