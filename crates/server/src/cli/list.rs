//! `models list`

use super::{CommandError, Common, Failure, Report, STATUS_DONE};
use clip::{ModelName, ModelSpec, catalog, diagnosis};
use hub::Manifest;
use protocol::ModelLine;
use std::path::Path;

#[derive(Debug, clap::Args)]
pub struct Arguments {}

pub fn run(_: &Arguments, common: &Common, report: &Report) -> Result<i32, Failure> {
    let model_dir = common.model_dir()?;
    std::fs::read_dir(&model_dir).map_err(|error| {
        let path = model_dir.display().to_string();
        CommandError::ModelDir { path, reason: error.to_string() }
    })?;
    for (name, path) in catalog::list(&[&model_dir]) {
        report.line(&describe(&name, &path));
    }
    Ok(STATUS_DONE)
}

fn describe(name: &ModelName, path: &Path) -> ModelLine {
    let manifest = Manifest::read(path);
    let spec = ModelSpec::read(path, name);
    let reason = || diagnosis::damage(path, &[], || None).or_else(|| diagnosis::without_graphs(path));
    let error = spec.as_ref().err().map(|error| reason().unwrap_or_else(|| error.to_string()));
    let spec = spec.ok();
    ModelLine::Model {
        name: name.to_string(),
        path: path.display().to_string(),
        dimension: spec.as_ref().map(|spec| spec.dimension as u32),
        precisions: spec
            .as_ref()
            .map(|spec| spec.precisions().iter().map(ToString::to_string).collect())
            .unwrap_or_default(),
        bytes: spec.as_ref().map(|spec| spec.size_on_disk),
        source: manifest.as_ref().map(|manifest| manifest.source.clone()),
        commit: manifest.and_then(|manifest| manifest.commit),
        error,
    }
}
