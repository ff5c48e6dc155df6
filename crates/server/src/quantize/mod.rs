//! A model's encoders as graphs of 8-bit integers, made on this machine from those of 32 bits.
//!
//! ```text
//! samples ─┬─ one half    ─> the encoder that answers its ranges ─> weights::quantize ─> …_w8a8.onnx
//!          └─ other half  ─> that encoder, and the new one: how near are their vectors?
//! ```
//!
//! What was measured is kept beside the model, and shown by `clip_models()`.

mod samples;

use crate::proof::{self, Setup};
use clip::{
    Cancel, Device, ImageEncoder, LongText, Modality, ModelName, ModelSpec, Precision, Preprocessor, RANGE_PREFIX,
    Runtime, SessionOptions, TextEncoder, Tokenizer,
};
use protocol::{Nearness, Quantized};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The file with what was measured, in the model's folder.
pub const FACTS: &str = "clip_search_w8a8.json";
const MAX_FACTS: u64 = 1 << 16;
/// Of the samples: what was measured with others cannot be compared.
const SAMPLES: u32 = 1;

/// Least cosine of a vector to that of 32 bits, for all that are measured.
pub const LEAST: f64 = 0.98;
/// Items of a run.
const BATCH: usize = 8;
const FROM: Precision = Precision::Fp32;
const TO: Precision = Precision::W8a8;

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Facts {
    /// Release of clip_search.
    release: String,
    samples: u32,
    text: Nearness,
    image: Nearness,
}

/// Why a model was not quantised.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum Error {
    #[error(transparent)]
    Proof(#[from] proof::Error),
    #[error(transparent)]
    Weights(#[from] weights::Error),
    #[error(transparent)]
    Hub(#[from] hub::Error),
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl From<clip::Error> for Error {
    fn from(error: clip::Error) -> Self {
        proof::Error::from(error).into()
    }
}

errors::error_table! {
    /// Models that are not quantised.
    #[derive(Debug)]
    #[allow(missing_docs)]
    pub enum Refused: errors::CommandClass {
        OneGraph { model: String } => Unusable {
            message: "model \"{model}\" has both encoders in one graph, which cannot be quantized",
            hint: "Install it from a repository with two graphs, text_model.onnx and vision_model.onnx.",
        }
        TooFar { model: String, text: f64, image: f64 } => Unusable {
            let least = LEAST;
            message: "the 8-bit vectors of model \"{model}\" are too far from those of fp32: the lowest cosine of texts is \
                      {text:.4}, of images {image:.4}, and {least} is wanted",
            hint: "Use the model in fp32 or fp16. force => true (--force) quantizes it nevertheless.",
        }
        File { action: &'static str, path: PathBuf, reason: String } => Io {
            let path = path.display();
            message: "could not {action} \"{path}\": {reason}",
            docs: "The message says which file, and why.",
        }
    }
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// An encoder's ranges are being found out.
    Calibrating(Modality),
    /// Its vectors are being compared.
    Measuring(Modality),
}

/// Makes graphs of 8-bit integers of an installed model, as part of it. What there is of them is replaced.
///
/// # Errors
/// [`Refused::TooFar`] unless forced, and [`Refused::OneGraph`]; [`proof::Error`] where the model has no graphs of 32 bits or
/// cannot be run; [`weights::Error`] where a graph cannot be rewritten; [`hub::Error::NotInstalled`].
pub fn quantize(
    model: hub::Amendment,
    name: &hub::Name,
    setup: &Setup,
    force: bool,
    told: &dyn Fn(Step),
) -> Result<Quantized, Error> {
    let model_name = ModelName::parse(&name.to_string())?;
    let spec = ModelSpec::read(&model.folder(), &model_name)?;
    let graphs = [Modality::Text, Modality::Image].map(|modality| spec.onnx_file(modality, FROM));
    let [text_graph, image_graph] = graphs.map(|graph| graph.map_err(Error::from));
    let (text_graph, image_graph) = (text_graph?, image_graph?);
    if text_graph == image_graph {
        return Err(Refused::OneGraph { model: name.to_string() }.into());
    }
    model.mirror()?;
    let work =
        Work { model: &model, spec: &spec, threads: setup.threads, runtime: &Runtime::init(&setup.library)?, told };
    let text = work.encoder(Modality::Text, &text_graph)?;
    let image = work.encoder(Modality::Image, &image_graph)?;
    // Finite, different, and the same alone as in a batch.
    let setup = Setup { precision: Some(TO.to_string()), device: Device::Cpu.to_string(), ..setup.clone() };
    proof::prove(&model.workshop(), model_name.as_str(), &setup)?;
    if !force && text.lowest.min(image.lowest) < LEAST {
        return Err(Refused::TooFar { model: name.to_string(), text: text.lowest, image: image.lowest }.into());
    }
    let facts = Facts { release: env!("CARGO_PKG_VERSION").to_owned(), samples: SAMPLES, text, image };
    work.write(&facts)?;
    let files = [quantized_file(&text_graph), quantized_file(&image_graph), FACTS.to_owned()];
    let bytes = files.iter().filter_map(|file| Some(fs::metadata(model.workshop().join(file)).ok()?.len())).sum();
    let path = model.finish(&files)?;
    Ok(Quantized { name: name.to_string(), path: path.display().to_string(), bytes, text, image })
}

/// What was measured when the model in a folder was quantised; `None` where it was not.
pub fn read(folder: &Path) -> Option<[Nearness; 2]> {
    let mut bytes = Vec::new();
    fs::File::open(folder.join(FACTS)).ok()?.take(MAX_FACTS).read_to_end(&mut bytes).ok()?;
    let facts: Facts = serde_json::from_slice(&bytes).ok()?;
    Some([facts.text, facts.image])
}

/// `text_model_w8a8.onnx` of `text_model.onnx`.
fn quantized_file(graph: &str) -> String {
    format!("{}_{TO}.onnx", graph.strip_suffix(".onnx").unwrap_or(graph))
}

struct Work<'a> {
    model: &'a hub::Amendment,
    spec: &'a ModelSpec,
    threads: usize,
    runtime: &'a Runtime,
    told: &'a dyn Fn(Step),
}

impl Work<'_> {
    /// Quantises an encoder in the workshop, and compares it with what it was.
    fn encoder(&self, modality: Modality, graph: &str) -> Result<Nearness, Error> {
        let (source, workshop) = (self.model.folder().join(graph), self.model.workshop());
        (self.told)(Step::Calibrating(modality));
        // In the place of the other name of the model's own.
        weights::observe(&source, &workshop.join(graph), RANGE_PREFIX)?;
        let samples = Samples::of(modality, self.spec)?;
        let mut observed = self.load(modality, FROM)?;
        observed.embed(&samples, true)?;
        let ranges = observed.ranges().to_vec();
        (self.told)(Step::Measuring(modality));
        let exact = observed.embed(&samples, false)?;
        drop(observed);
        weights::quantize(&source, &workshop.join(quantized_file(graph)), &ranges)?;
        let found = self.load(modality, TO)?.embed(&samples, false)?;
        let mut cosines: Vec<f64> =
            exact.iter().zip(&found).map(|(exact, found)| proof::cosine(exact, found)).collect();
        cosines.sort_by(f64::total_cmp);
        Ok(Nearness { lowest: cosines[0], median: cosines[cosines.len() / 2], count: cosines.len() as u32 })
    }

    fn load(&self, modality: Modality, precision: Precision) -> Result<Encoder, Error> {
        let spec = ModelSpec::read(&self.model.workshop(), &self.spec.name)?;
        let options = SessionOptions { device: Device::Cpu, threads: self.threads, precision, max_gpu_memory: 0 };
        Ok(match modality {
            Modality::Text => Encoder::Text(TextEncoder::load(&spec, &options, self.runtime)?),
            Modality::Image => Encoder::Image(ImageEncoder::load(&spec, &options, self.runtime)?),
        })
    }

    fn write(&self, facts: &Facts) -> Result<(), Refused> {
        let path = self.model.workshop().join(FACTS);
        let bad =
            |error: std::io::Error| Refused::File { action: "write", path: path.clone(), reason: error.to_string() };
        let text = serde_json::to_string_pretty(facts).expect("facts are plain data") + "\n";
        // The model's own may be there under another name.
        fs::remove_file(&path).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(bad(error)),
        })?;
        fs::write(&path, text).map_err(bad)
    }
}

/// Samples as an encoder takes them: those of the calibration, and those that are measured.
enum Samples {
    Texts([Vec<Vec<u32>>; 2]),
    Images([Vec<clip::Array3<f32>>; 2]),
}

impl Samples {
    fn of(modality: Modality, spec: &ModelSpec) -> Result<Samples, Error> {
        let halves = [true, false];
        Ok(match modality {
            Modality::Text => {
                let tokenizer = Tokenizer::load(spec)?;
                let encode = |text: &String| tokenizer.encode(text, LongText::Truncate);
                let of = |first| samples::half(samples::texts(), samples::TEXT_KINDS, first);
                let [one, other] = halves.map(|first| of(first).iter().map(encode).collect::<Result<_, _>>());
                Samples::Texts([one?, other?])
            }
            Modality::Image => {
                let preprocessor = Preprocessor::new(spec);
                let of = |first| samples::half(samples::images(), samples::IMAGE_KINDS, first);
                Samples::Images(halves.map(|first| of(first).iter().map(|image| preprocessor.input(image)).collect()))
            }
        })
    }
}

enum Encoder {
    Text(TextEncoder),
    Image(ImageEncoder),
}

impl Encoder {
    /// The vectors of a half of the samples.
    fn embed(&mut self, samples: &Samples, first: bool) -> Result<Vec<Vec<f32>>, Error> {
        let half = usize::from(!first);
        let cancel = Cancel::new();
        let mut vectors = Vec::new();
        match (self, samples) {
            (Encoder::Text(encoder), Samples::Texts(texts)) => {
                for texts in texts[half].chunks(BATCH) {
                    vectors.extend(encoder.embed(&texts.iter().map(Vec::as_slice).collect::<Vec<_>>(), &cancel)?);
                }
            }
            (Encoder::Image(encoder), Samples::Images(images)) => {
                for images in images[half].chunks(BATCH) {
                    let views: Vec<_> = images.iter().map(|image| image.view()).collect();
                    vectors.extend(encoder.embed(&views, &cancel)?);
                }
            }
            _ => unreachable!("both are of one modality"),
        }
        Ok(vectors)
    }

    fn ranges(&self) -> &[Vec<f32>] {
        match self {
            Encoder::Text(encoder) => encoder.ranges(),
            Encoder::Image(encoder) => encoder.ranges(),
        }
    }
}
