//! `models remove`

use super::{Common, Failure, Report, STATUS_DONE};
use hub::Name;
use protocol::ModelLine;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Name of the model
    #[arg(value_name = "OWNER/NAME")]
    name: String,
}

pub fn run(arguments: &Arguments, common: &Common, report: &Report) -> Result<i32, Failure> {
    let name = Name::parse(&arguments.name)?;
    let path = hub::remove(&common.model_dir()?, &name)?;
    report.line(&ModelLine::Removed { name: name.to_string(), path: path.display().to_string() });
    Ok(STATUS_DONE)
}
