//! One ONNX graph, loaded: what it wants, running it, and what its errors mean.

use std::sync::Arc;

use half::f16;
use ort::ep::{ArenaExtendStrategy, CUDA, ExecutionProvider, cuda::ConvAlgorithmSearch};
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{RunOptions, Session};
use ort::value::{DynValue, Outlet, TensorElementType, ValueType};

use super::SessionOptions;
use super::stage::ImageStager;
use crate::cancel::Cancel;
use crate::device::{Device, Provider};
use crate::error::{Error, Result, shorten};
use crate::runtime::{self, Runtime};
use crate::spec::{Modality, ModelSpec};

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
        let (session, provider, note) = match options.device {
            Device::Cpu => (open(Provider::Cpu)?, Provider::Cpu, None),
            Device::Cuda(number) => (open(Provider::Cuda(number))?, Provider::Cuda(number), None),
            Device::Auto => match open(Provider::Cuda(0)) {
                Ok(session) => (session, Provider::Cuda(0), None),
                Err(Error::DeviceUnavailable { reason, .. }) => {
                    (open(Provider::Cpu)?, Provider::Cpu, Some(format!("no CUDA device: {reason}")))
                }
                Err(error) => return Err(error),
            },
        };
        let wanted = match modality {
            Modality::Text => "text_embeds",
            Modality::Image => "image_embeds",
        };
        let output = output(session.outputs(), wanted, spec.dimension).map_err(|reason| spec.bad(&file, reason))?;
        Ok(Graph { session, spec: spec.clone(), file, output, provider, note })
    }

    pub fn provider(&self) -> Provider {
        self.provider
    }

    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    pub fn inputs(&self) -> Result<Vec<Input>> {
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
        ImageStager::new(&self.spec, &self.session, self.provider, element, fixed)
    }

    /// A [`Error::BadModel`] about the graph.
    pub fn bad(&self, reason: impl Into<String>) -> Error {
        self.spec.bad(&self.file, reason)
    }

    /// Runs the graph and appends one normalised vector for each of the first `items` rows of its output.
    pub fn run(
        &mut self,
        inputs: &[(&str, &DynValue)],
        items: usize,
        cancel: &Cancel,
        vectors: &mut Vec<Vec<f32>>,
    ) -> Result<()> {
        let options = Arc::new(RunOptions::new().map_err(|error| inference(&self.spec, &error.to_string()))?);
        let answer = cancel.watch(&options, || self.run_session(inputs, &options))?;
        let answer = answer.map_err(|error| {
            if cancel.is_cancelled() { Error::Cancelled } else { inference(&self.spec, &error.to_string()) }
        })?;
        let dimension = self.spec.dimension;
        if answer.len() % dimension != 0 || answer.len() / dimension < items {
            let found = answer.len();
            return Err(self.bad(format!("{found} values came out for {items} vectors of {dimension}")));
        }
        for vector in answer.chunks_exact(dimension).take(items) {
            vectors.push(self.normalize(vector)?);
        }
        Ok(())
    }

    /// Binds the one output that is wanted, so that the others are not copied from the device.
    fn run_session(&mut self, inputs: &[(&str, &DynValue)], options: &RunOptions) -> ort::Result<Vec<f32>> {
        let mut binding = self.session.create_binding()?;
        for (name, value) in inputs {
            binding.bind_input(*name, value)?;
        }
        let memory = MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::CPUOutput)?;
        binding.bind_output_to_device(self.output.as_str(), &memory)?;
        let outputs = self.session.run_binding_with_options(&binding, options)?;
        let value = &outputs[self.output.as_str()];
        match value.dtype().tensor_type() {
            Some(TensorElementType::Float16) => {
                Ok(value.try_extract_tensor::<f16>()?.1.iter().map(|v| v.to_f32()).collect())
            }
            _ => Ok(value.try_extract_tensor::<f32>()?.1.to_vec()),
        }
    }

    /// Divides by the Euclidean length, which is summed in double precision.
    fn normalize(&self, vector: &[f32]) -> Result<Vec<f32>> {
        let bad = |reason: &str| Error::BadEmbedding { model: self.spec.name.to_string(), reason: reason.to_owned() };
        let length = vector.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt();
        if !length.is_finite() {
            return Err(bad("has values that are not finite"));
        }
        if length < f64::from(f32::MIN_POSITIVE) {
            return Err(bad("is zero"));
        }
        Ok(vector.iter().map(|&value| (f64::from(value) / length) as f32).collect())
    }
}

fn open(
    spec: &ModelSpec,
    modality: Modality,
    file: &str,
    provider: Provider,
    options: &SessionOptions,
    runtime: &Runtime,
) -> Result<Session> {
    // ONNX Runtime says numbers in place of reasons.
    let path = spec.path.join(file);
    let about = path.metadata().map_err(|error| spec.bad(file, error.to_string()))?;
    if about.is_file() {
        std::fs::File::open(&path).map_err(|error| spec.bad(file, error.to_string()))?;
    }
    runtime::forget_messages();
    let configured = || -> Result<SessionBuilder, ort::Error> {
        Ok(Session::builder(runtime.environment())?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(options.thread_count())?
            .with_inter_threads(1)?
            // Idle cores belong to Postgres.
            .with_intra_op_spinning(false)?
            // A plan for the memory of one shape; texts come in many.
            .with_memory_pattern(modality == Modality::Image)?)
    };
    let mut builder = configured().map_err(|error| inference(spec, &error.to_string()))?;
    if let Provider::Cuda(number) = provider {
        builder = with_cuda(builder, number, options.max_gpu_memory)?;
    }
    builder.commit_from_file(&path).map_err(|error| {
        let said = explain(&error.to_string());
        match provider {
            _ if is_out_of_memory(&said) => inference(spec, &said),
            Provider::Cuda(number) if is_about_cuda(&said) => unavailable(number, &said),
            _ => spec.bad(file, shorten(&said, 1000)),
        }
    })
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

fn is_out_of_memory(said: &str) -> bool {
    ["Failed to allocate memory", "bad_alloc", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "BFCArena::Alloc"]
        .iter()
        .any(|words| said.contains(words))
}

pub(super) fn inference(spec: &ModelSpec, said: &str) -> Error {
    let (model, reason) = (spec.name.to_string(), shorten(said, 1000));
    if is_out_of_memory(said) { Error::OutOfMemory { model, reason } } else { Error::Inference { model, reason } }
}

/// The output that holds the embeddings: the one of the usual name, else the only one with a vector for each item.
fn output(outputs: &[Outlet], wanted: &str, dimension: usize) -> Result<String, String> {
    let vectors: Vec<(&str, i64, TensorElementType)> = outputs
        .iter()
        .filter_map(|outlet| match outlet.dtype() {
            ValueType::Tensor { ty, shape, .. } if shape.len() == 2 => Some((outlet.name(), shape[1], *ty)),
            _ => None,
        })
        .collect();
    let named = |name: &str| vectors.iter().find(|(found, ..)| *found == name);
    let only = || if vectors.len() == 1 { vectors.first() } else { None };
    let Some((name, size, element)) = named(wanted).or_else(|| named("pooler_output")).or_else(only) else {
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
