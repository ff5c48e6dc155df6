//! `models export-triton`: a model repository for Triton, and what remote.json has to say of it.

use super::{CommandError, Common, Failure, Report, STATUS_DONE};
use crate::proof;
use clap::{Args, ValueEnum};
use clip::{Modality, ModelName, ModelSpec, Precision};
use protocol::ModelLine;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Runs ONNX files in Triton's Python backend.
const MODEL_PY: &str = include_str!("triton_model.py");

#[derive(Debug, Args)]
pub struct Arguments {
    /// Name of the model
    #[arg(value_name = "OWNER/NAME")]
    name: String,
    /// The model repository; a folder for each encoder is made in it
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Which encoders
    #[arg(long, value_enum, default_value_t = Encoders::Both)]
    encoders: Encoders,
    /// What images are sent as
    #[arg(long, value_enum, default_value_t = Images::Uint8)]
    images: Images,
    /// Triton's backend
    #[arg(long, value_enum, default_value_t = Backend::Onnxruntime)]
    backend: Backend,
    /// Which of the model's files [default: the most exact]
    #[arg(long)]
    precision: Option<String>,
    /// Most items of a batch
    #[arg(long, default_value_t = 64)]
    max_batch: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Encoders {
    Text,
    Image,
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Images {
    /// 8-bit pixels; the graph rescales and normalises
    Uint8,
    /// 32-bit numbers, normalised
    Fp32,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Backend {
    /// Of NVIDIA's containers
    Onnxruntime,
    /// Where there is no other, with Python's onnxruntime
    Python,
}

pub fn run(arguments: &Arguments, common: &Common, report: &Report) -> Result<i32, Failure> {
    let (name, path) = common.find(&arguments.name, &[])?;
    let parsed = ModelName::parse(&arguments.name).map_err(proof::Error::Model)?;
    let spec = ModelSpec::read(&path, &parsed).map_err(proof::Error::Model)?;
    let mut remote = serde_json::Map::new();
    for (modality, other) in [(Modality::Text, Encoders::Image), (Modality::Image, Encoders::Text)] {
        if arguments.encoders != other {
            let (model, datatype) = export(&spec, modality, arguments)?;
            let encoder = serde_json::json!({
                "endpoints": ["http://HOST:8001"], "model": model, "version": "1", "datatype": datatype,
            });
            remote.insert(modality.name().to_owned(), encoder);
        }
    }
    let remote = serde_json::to_string(&remote).expect("plain data");
    report.line(&ModelLine::Exported { name: name.to_string(), path: arguments.folder.display().to_string(), remote });
    Ok(STATUS_DONE)
}

/// Writes the folder of an encoder: the name that it has in Triton, and the type of its input.
fn export(spec: &ModelSpec, modality: Modality, arguments: &Arguments) -> Result<(String, &'static str), Failure> {
    let model_error = |error| Failure::from(proof::Error::Model(error));
    let precision = match &arguments.precision {
        Some(precision) => Precision::from_str(precision).map_err(model_error)?,
        None => spec.choose(None).map_err(model_error)?.of(modality),
    };
    let files = spec.encoder_files(modality, precision).map_err(model_error)?;
    let graph = spec.onnx_file(modality, precision).map_err(model_error)?;
    let name: String = spec.name.as_str().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let name = format!("{name}_{}", modality.name());
    let folder = arguments.folder.join(&name);
    let version = folder.join("1");
    let failed = |path: &Path, error: std::io::Error| {
        Failure::from(CommandError::Export { path: path.display().to_string(), reason: error.to_string() })
    };
    std::fs::create_dir_all(&version).map_err(|error| failed(&version, error))?;
    for file in files.iter().map(Path::new).filter(|file| !file.ends_with(&graph)) {
        // The graph knows its weights by this name.
        let to = version.join(file.file_name().unwrap_or_default());
        std::fs::copy(spec.path.join(file), &to).map_err(|error| failed(&to, error))?;
    }
    let (source, target) = (spec.path.join(&graph), version.join("model.onnx"));
    let (height, width) = (spec.image.height, spec.image.width);
    let (mut inputs, output) = spec.graph_names(modality, precision).map_err(model_error)?;
    let (datatype, dims) = match (modality, arguments.images) {
        (Modality::Text, _) => ("INT64", "-1".to_owned()),
        (Modality::Image, Images::Fp32) => ("FP32", format!("3, {height}, {width}")),
        (Modality::Image, Images::Uint8) => ("UINT8", format!("{height}, {width}, 3")),
    };
    if datatype == "UINT8" {
        inputs = vec!["pixels".to_owned()];
        let (scale, shift) = spec.image.factors();
        let reverse = spec.image.reverse_channels;
        let levels = weights::Levels { name: "pixels".to_owned(), size: (height, width), scale, shift, reverse };
        weights::take_levels(&source, &target, &levels)?;
    } else {
        std::fs::copy(&source, &target).map_err(|error| failed(&target, error))?;
    }
    let input = |name: &String| format!("{{ name: \"{name}\" data_type: TYPE_{datatype} dims: [ {dims} ] }}");
    let inputs: Vec<String> = inputs.iter().map(input).collect();
    let backend = match arguments.backend {
        Backend::Onnxruntime => "onnxruntime",
        Backend::Python => "python",
    };
    let config = format!(
        "backend: \"{backend}\"\nmax_batch_size: {}\ninput [ {} ]\noutput [ {{ name: \"{output}\" data_type: \
         TYPE_FP32 dims: [ {} ] }} ]\ndynamic_batching {{ max_queue_delay_microseconds: 500 }}\n",
        arguments.max_batch,
        inputs.join(", "),
        spec.dimension
    );
    let mut written = vec![("config.pbtxt", config)];
    if arguments.backend == Backend::Python {
        written.push(("1/model.py", MODEL_PY.to_owned()));
    }
    for (file, text) in written {
        let path = folder.join(file);
        std::fs::write(&path, text).map_err(|error| failed(&path, error))?;
    }
    Ok((name, datatype))
}
