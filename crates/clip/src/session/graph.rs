//! One ONNX graph, loaded: what it wants, running it, and what its errors mean.

use std::sync::Arc;

use half::f16;
use ort::ep::{ArenaExtendStrategy, CUDA, ExecutionProvider, cuda::ConvAlgorithmSearch};
use ort::error::ErrorCode;
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{RunOptions, Session};
use ort::value::{DynValue, Outlet, Tensor, TensorElementType, ValueType};

use super::SessionOptions;
use super::failure::{inference, is_out_of_memory};
use super::ranges::Ranges;
use super::role::Role;
use super::stage::ImageStager;
use crate::cancel::Cancel;
use crate::device::{Device, Provider};
use crate::error::{Error, Result, shorten};
use crate::layouts::GraphFile;
use crate::name::ModelName;
use crate::runtime::{self, Runtime};
use crate::spec::{Modality, ModelSpec};

/// How much ONNX Runtime changes a graph, the fastest first, and its name of each level.
const OPTIMIZATION_LEVELS: [(GraphOptimizationLevel, &str); 4] = [
    (GraphOptimizationLevel::All, "all"),
    (GraphOptimizationLevel::Level2, "extended"),
    (GraphOptimizationLevel::Level1, "basic"),
    (GraphOptimizationLevel::Disable, "disabled"),
];

/// A graph with one embedding for each item as its output.
#[derive(Debug)]
pub(super) struct Graph {
    session: Session,
    pub spec: ModelSpec,
    /// The ONNX file, relative to the model's directory.
    pub file: String,
    output: String,
    provider: Provider,
    note: Option<String>,
    /// Whether an item's vector would depend on the others of its run.
    pub one_by_one: bool,
    /// Whether activations are quantised.
    pub is_quantized: bool,
    /// Of a graph that was made for a calibration.
    pub ranges: Ranges,
    /// Inputs of the other encoder, where both are one graph.
    others: Vec<Other>,
}

/// An input that is not of this encoder, and what it is fed: nothing where the graph can run so, and one row of zeros
/// otherwise.
#[derive(Debug)]
struct Other {
    input: Input,
    rows: usize,
}

/// An input of the graph. A size is `None` where the graph leaves it free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Input {
    pub name: String,
    pub element: TensorElementType,
    pub shape: Vec<Option<usize>>,
}

impl Graph {
    /// Loads an encoder's graph on the device that the options name.
    pub fn load(spec: &ModelSpec, modality: Modality, options: &SessionOptions, runtime: &Runtime) -> Result<Graph> {
        let file = spec.onnx_file(modality, options.precision)?;
        let open = |provider| open(spec, modality, &file, provider, options, runtime);
        let (opened, provider, no_device) = match options.device {
            Device::Cpu => (open(Provider::Cpu)?, Provider::Cpu, None),
            Device::Cuda(number) => (open(Provider::Cuda(number))?, Provider::Cuda(number), None),
            Device::Auto => match open(Provider::Cuda(0)) {
                Ok(opened) => (opened, Provider::Cuda(0), None),
                Err(Error::DeviceUnavailable { reason, .. }) => {
                    (open(Provider::Cpu)?, Provider::Cpu, Some(format!("no CUDA device: {reason}")))
                }
                Err(error) => return Err(error),
            },
        };
        let (session, less_optimized) = opened;
        let notes: Vec<String> = no_device.into_iter().chain(less_optimized).collect();
        let note = (!notes.is_empty()).then(|| notes.join("; "));
        let output = output(session.outputs(), modality, spec).map_err(|reason| spec.bad(&file, reason))?;
        let about = GraphFile::read(&spec.path.join(&file)).map_err(|reason| spec.bad(&file, reason))?;
        let (one_by_one, is_quantized) = (about.is_quantized_by_batch(), about.is_quantized());
        let ranges = Ranges::of(session.outputs());
        let (spec, others) = (spec.clone(), Vec::new());
        let mut graph = Graph { session, spec, file, output, provider, note, one_by_one, is_quantized, ranges, others };
        let others = graph
            .all_inputs()?
            .into_iter()
            .filter(|input| Role::of(&input.name).is_some_and(|role| role.modality() != modality));
        // Only with both kinds of inputs is it a graph of both encoders.
        let is_own = |input: &Input| Role::of(&input.name).is_none_or(|role| role.modality() == modality);
        if graph.all_inputs()?.iter().any(is_own) {
            graph.others = others
                .map(|input| Other { rows: input.shape.first().copied().flatten().unwrap_or(0), input })
                .collect();
        }
        Ok(graph)
    }

    /// Feeds one row of zeros to the inputs of the other encoder from now on, where they were fed none: false where they
    /// have no other size.
    pub fn feed_others(&mut self) -> bool {
        let mut changed = false;
        for other in self.others.iter_mut().filter(|other| other.rows == 0) {
            (other.rows, changed) = (1, true);
        }
        changed
    }

    pub fn provider(&self) -> Provider {
        self.provider
    }

    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// The inputs of this encoder.
    pub fn inputs(&self) -> Result<Vec<Input>> {
        let is_other = |input: &Input| self.others.iter().any(|other| other.input == *input);
        Ok(self.all_inputs()?.into_iter().filter(|input| !is_other(input)).collect())
    }

    fn all_inputs(&self) -> Result<Vec<Input>> {
        self.session.inputs().iter().map(|outlet| self.input(outlet)).collect()
    }

    fn input(&self, outlet: &Outlet) -> Result<Input> {
        let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else {
            return Err(self.bad(format!("input {} is not a tensor", outlet.name())));
        };
        let shape = shape.iter().map(|&size| usize::try_from(size).ok()).collect();
        Ok(Input { name: outlet.name().to_owned(), element: *ty, shape })
    }

    /// What makes batches of images for this graph.
    pub fn stager(&self, element: TensorElementType, fixed: Option<usize>) -> Result<ImageStager> {
        ImageStager::new(&self.spec, &self.session, self.provider, element, fixed, self.one_by_one)
    }

    /// A [`Error::BadModel`] about the graph.
    pub fn bad(&self, reason: impl Into<String>) -> Error {
        self.spec.bad(&self.file, reason)
    }

    /// Runs the graph on `rows` rows: one normalised vector for each of the first `items` rows of its output.
    pub fn run(
        &mut self,
        inputs: &[(&str, &DynValue)],
        rows: usize,
        items: usize,
        cancel: &Cancel,
    ) -> Result<Vec<Vec<f32>>> {
        let mut others = Vec::with_capacity(self.others.len());
        for Other { input, rows } in &self.others {
            let value =
                nothing(input, *rows, &self.spec).map_err(|error| self.bad(format!("{}: {error}", input.name)))?;
            others.push((input.name.clone(), value));
        }
        let others = others.iter().map(|(name, value)| (name.as_str(), value));
        let inputs: Vec<(&str, &DynValue)> = inputs.iter().copied().chain(others).collect();
        let options = Arc::new(RunOptions::new().map_err(|error| inference(&self.spec, &error.to_string()))?);
        let answer = cancel.watch(&options, || self.run_session(&inputs, &options))?;
        let (shape, answer) = answer.map_err(|error| {
            if cancel.is_cancelled() { Error::Cancelled } else { inference(&self.spec, &error.to_string()) }
        })?;
        let dimension = self.spec.dimension;
        // Anything else would be read as other rows' values.
        if shape != [rows as i64, dimension as i64] {
            let shape: Vec<String> = shape.iter().map(i64::to_string).collect();
            let (output, shape) = (&self.output, shape.join(" x "));
            return Err(self.bad(format!("output {output} is {shape} for {rows} items, not {rows} x {dimension}")));
        }
        answer.chunks_exact(dimension).take(items).map(|vector| normalize(&self.spec.name, vector)).collect()
    }

    /// A run whose vectors are not wanted: a model that answers no vector at all, or one of NaN, even now is not usable.
    pub fn check_probe<T>(&self, outcome: Result<T>) -> Result<T> {
        outcome.map_err(|error| match error {
            Error::BadEmbedding { reason, .. } => {
                self.bad(format!("it answers a vector that {reason} whatever it is given"))
            }
            Error::Inference { reason, .. } => self.bad(format!("it cannot be run: {reason}")),
            other => other,
        })
    }

    /// Binds the one output that is wanted, so that the others are not copied from the device.
    fn run_session(&mut self, inputs: &[(&str, &DynValue)], options: &RunOptions) -> ort::Result<(Vec<i64>, Vec<f32>)> {
        let mut binding = self.session.create_binding()?;
        for (name, value) in inputs {
            binding.bind_input(*name, value)?;
        }
        let memory = MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::CPUOutput)?;
        for output in [&self.output].into_iter().chain(self.ranges.outputs()) {
            binding.bind_output_to_device(output.as_str(), &memory)?;
        }
        let outputs = self.session.run_binding_with_options(&binding, options)?;
        self.ranges.widen(&outputs)?;
        let value = &outputs[self.output.as_str()];
        match value.dtype().tensor_type() {
            Some(TensorElementType::Float16) => {
                let (shape, values) = value.try_extract_tensor::<f16>()?;
                Ok((shape.to_vec(), values.iter().map(|value| value.to_f32()).collect()))
            }
            _ => {
                let (shape, values) = value.try_extract_tensor::<f32>()?;
                Ok((shape.to_vec(), values.to_vec()))
            }
        }
    }
}

/// Divides by the Euclidean length, which is summed in double precision.
pub(crate) fn normalize(model: &ModelName, vector: &[f32]) -> Result<Vec<f32>> {
    let bad = |reason: &str| Error::BadEmbedding { model: model.to_string(), reason: reason.to_owned() };
    let length = vector.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt();
    if !length.is_finite() {
        return Err(bad("has values that are not finite"));
    }
    if length < f64::from(f32::MIN_POSITIVE) {
        return Err(bad("is zero"));
    }
    Ok(vector.iter().map(|&value| (f64::from(value) / length) as f32).collect())
}

/// Opens a graph at the highest optimisation level at which ONNX Runtime can, and says so where that is not the first.
fn open(
    spec: &ModelSpec,
    modality: Modality,
    file: &str,
    provider: Provider,
    options: &SessionOptions,
    runtime: &Runtime,
) -> Result<(Session, Option<String>)> {
    // ONNX Runtime says numbers in place of reasons.
    let path = spec.path.join(file);
    let about = path.metadata().map_err(|error| spec.bad(file, error.to_string()))?;
    if about.is_file() {
        std::fs::File::open(&path).map_err(|error| spec.bad(file, error.to_string()))?;
    }
    let builder = |level| -> Result<SessionBuilder> {
        let configured = || -> Result<SessionBuilder, ort::Error> {
            Ok(Session::builder(runtime.environment())?
                .with_optimization_level(level)?
                .with_intra_threads(options.thread_count())?
                .with_inter_threads(1)?
                // To wake a thread for each operator takes longer than that it waits for the next. Only in a run: idle cores
                // belong to Postgres.
                .with_intra_op_spinning(true)?
                .with_config_entry("session.force_spinning_stop", "1")?
                // A plan for the memory of one shape; texts come in many.
                .with_memory_pattern(modality == Modality::Image)?)
        };
        let builder = configured().map_err(|error| inference(spec, &error.to_string()))?;
        match provider {
            Provider::Cuda(number) => with_cuda(builder, number, options.max_gpu_memory),
            Provider::Cpu => Ok(builder),
        }
    };
    let mut refused: Option<String> = None;
    for (level, name) in OPTIMIZATION_LEVELS {
        runtime::forget_messages();
        let error = match builder(level)?.commit_from_file(&path) {
            Ok(session) => return Ok((session, refused.map(|said| less_optimized(name, &said)))),
            Err(error) => error,
        };
        let said = explain(&error.to_string());
        match provider {
            _ if is_out_of_memory(&said) => return Err(inference(spec, &said)),
            Provider::Cuda(number) if is_about_cuda(&said) => return Err(unavailable(number, &said)),
            _ => {}
        }
        let may_be_optimization = may_be_optimization(error.code(), &said);
        refused.get_or_insert(said);
        if !may_be_optimization {
            break;
        }
    }
    Err(spec.bad(file, shorten(&refused.unwrap_or_default(), 1000)))
}

fn less_optimized(level: &str, reason: &str) -> String {
    format!("graph optimization level {level}, since ONNX Runtime fails above it: {}", shorten(reason, 300))
}

/// Whether another optimisation level may help: not where the file itself cannot be read.
fn may_be_optimization(code: ErrorCode, said: &str) -> bool {
    matches!(code, ErrorCode::GenericFailure | ErrorCode::NotImplemented | ErrorCode::RuntimeException)
        && !said.starts_with("Load model from ")
}

fn with_cuda(builder: SessionBuilder, number: u32, max_memory: u64) -> Result<SessionBuilder> {
    if !CUDA::is_available().unwrap_or(false) {
        return Err(unavailable(number, "the ONNX Runtime library was built without CUDA"));
    }
    let mut cuda = CUDA::default()
        .with_device_id(number as i32)
        .with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested)
        // The exhaustive search, the default, takes seconds for each new shape.
        .with_conv_algorithm_search(ConvAlgorithmSearch::Heuristic)
        // Ten bits of mantissa are too few for the parity that this crate promises in fp32.
        .with_tf32(false)
        // Layer normalisation of fp16 values in fp32, also where it is fused with the addition before it.
        .with_skip_layer_norm_strict_mode(true);
    if max_memory > 0 {
        cuda = cuda.with_memory_limit(usize::try_from(max_memory).unwrap_or(usize::MAX));
    }
    builder
        .with_execution_providers([cuda.build().error_on_failure()])
        .map_err(|error| unavailable(number, &explain(&error.to_string())))
}

fn unavailable(number: u32, reason: &str) -> Error {
    Error::DeviceUnavailable { device: Device::Cuda(number).to_string(), reason: shorten(reason, 1000) }
}

/// Adds what was logged where the error itself does not say it: why a library could not be opened, for one.
fn explain(error: &str) -> String {
    let mut said = fact(error).to_owned();
    for message in runtime::logged_messages() {
        let message = fact(&message);
        if !said.contains(message) {
            said = format!("{said}; {message}");
        }
    }
    said
}

/// The message behind ONNX Runtime's "file:line function [ONNXRuntimeError] : number : code : ".
fn fact(message: &str) -> &str {
    let behind = message.split_once("[ONNXRuntimeError] : ").and_then(|(_, coded)| coded.splitn(3, " : ").nth(2));
    behind.unwrap_or(message).trim()
}

fn is_about_cuda(said: &str) -> bool {
    ["CUDA", "cuda", "cuDNN", "CUDNN", "cudnn", "cublas", "CUBLAS"].iter().any(|word| said.contains(word))
}

/// The names under which exports have embeddings.
pub(crate) fn output_names(modality: Modality) -> &'static [&'static str] {
    match modality {
        Modality::Text => &[
            "text_embeds",
            "text_embeddings",
            "text_features",
            "l2norm_text_embeddings",
            "embedding",
            "embeddings",
            "sentence_embedding",
        ],
        Modality::Image => &[
            "image_embeds",
            "image_embeddings",
            "image_features",
            "l2norm_image_embeddings",
            "embedding",
            "embeddings",
            "sentence_embedding",
        ],
    }
}

/// The output that holds the embeddings: one of a known name, else the only one with a vector for each item. What a
/// transformer pools, `pooler_output`, is an embedding in SigLIP's models alone: others project it first.
fn output(outputs: &[Outlet], modality: Modality, spec: &ModelSpec) -> Result<String, String> {
    const POOLED: &str = "pooler_output";
    let dimension = spec.dimension;
    let vectors: Vec<(&str, i64, TensorElementType)> = outputs
        .iter()
        .filter_map(|outlet| match outlet.dtype() {
            ValueType::Tensor { ty, shape, .. } if shape.len() == 2 => Some((outlet.name(), shape[1], *ty)),
            _ => None,
        })
        .collect();
    let named = |name: &str| vectors.iter().find(|(found, ..)| *found == name);
    let known = || output_names(modality).iter().copied().find_map(named);
    let pooled = || named(POOLED).filter(|_| spec.model_type.starts_with("siglip"));
    let only =
        || vectors.first().filter(|(name, ..)| vectors.len() == 1 && *name != POOLED && !name.starts_with("logits"));
    let Some((name, size, element)) = known().or_else(pooled).or_else(only) else {
        let wanted = output_names(modality)[0];
        if named(POOLED).is_some() {
            return Err(format!("it has no output {wanted}; {POOLED} is not projected to the model's embeddings"));
        }
        let names: Vec<&str> = outputs.iter().map(Outlet::name).collect();
        return Err(format!("no output is named {wanted} and has two dimensions; outputs are {}", names.join(", ")));
    };
    if *size > 0 && *size != dimension as i64 {
        return Err(format!("output {name} has {size} values, projection_dim of config.json is {dimension}"));
    }
    if !matches!(element, TensorElementType::Float32 | TensorElementType::Float16) {
        return Err(format!("output {name} is {element}, not float32 or float16"));
    }
    Ok((*name).to_owned())
}

/// So many rows of zeros for an input of the other encoder.
fn nothing(input: &Input, rows: usize, spec: &ModelSpec) -> ort::Result<DynValue> {
    let sizes = match Role::of(&input.name) {
        Some(Role::Pixels) => vec![rows, 3, spec.image.height as usize, spec.image.width as usize],
        _ => vec![rows, spec.context_length],
    };
    let shape: Vec<usize> = sizes
        .iter()
        .enumerate()
        .map(|(axis, size)| input.shape.get(axis).copied().flatten().unwrap_or(*size))
        .collect();
    let count = shape.iter().product();
    Ok(match input.element {
        TensorElementType::Float16 => Tensor::from_array((shape, vec![f16::ZERO; count]))?.into_dyn(),
        TensorElementType::Int32 => Tensor::from_array((shape, vec![0_i32; count]))?.into_dyn(),
        TensorElementType::Int64 => Tensor::from_array((shape, vec![0_i64; count]))?.into_dyn(),
        _ => Tensor::from_array((shape, vec![0_f32; count]))?.into_dyn(),
    })
}
