//! `models quantize`

use super::{Common, Failure, Report, Running, STATUS_DONE};
use crate::quantize::{Step, quantize};
use hub::Name;
use protocol::ModelLine;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Name of the model
    #[arg(value_name = "OWNER/NAME")]
    name: String,
    /// Also where its vectors are too far from those of fp32
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    running: Running,
}

pub fn run(arguments: &Arguments, common: &Common, report: &Report) -> Result<i32, Failure> {
    let name = Name::parse(&arguments.name)?;
    let model = hub::amend(&common.model_dir()?, &name, || report.line(&ModelLine::Waiting))?;
    let told = |step| {
        report.line(&match step {
            Step::Calibrating(modality) => ModelLine::Calibrating { encoder: modality.name().to_owned() },
            Step::Measuring(modality) => ModelLine::Measuring { encoder: modality.name().to_owned() },
        });
    };
    let quantized = quantize(model, &name, &arguments.running.setup(None), arguments.force, &told)?;
    report.line(&ModelLine::Quantized(quantized));
    Ok(STATUS_DONE)
}
