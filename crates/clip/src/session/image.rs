//! The image encoder: preprocessed images to embeddings.

use std::sync::Arc;

use ndarray::{Array3, ArrayView3};
use ort::value::TensorElementType;

use super::SessionOptions;
use super::graph::Graph;
use super::role::Role;
use super::stage::{ImageStager, StagedImages, StagedRun};
use crate::cancel::Cancel;
use crate::device::Provider;
use crate::error::Result;
use crate::runtime::Runtime;
use crate::spec::{Modality, ModelSpec};

/// The image half of a model, loaded.
#[derive(Debug)]
pub struct ImageEncoder {
    graph: Graph,
    /// The name of its input.
    input: String,
    stager: Arc<ImageStager>,
}

impl ImageEncoder {
    /// Loads the image encoder of a model.
    ///
    /// # Errors
    /// [`crate::Error::DeviceUnavailable`] where the device that the options name cannot be had;
    /// [`crate::Error::NoSuchPrecision`]; [`crate::Error::BadModel`] where the file cannot be loaded, or wants or answers
    /// something unknown; [`crate::Error::OutOfMemory`].
    pub fn load(spec: &ModelSpec, options: &SessionOptions, runtime: &Runtime) -> Result<ImageEncoder> {
        let graph = Graph::load(spec, Modality::Image, options, runtime)?;
        let mut inputs = graph.inputs()?;
        let input = match (inputs.pop(), inputs.is_empty()) {
            (Some(input), true) if Role::of(&input.name) == Some(Role::Pixels) => input,
            _ => return Err(graph.bad("its input is not pixel_values alone")),
        };
        if !matches!(input.element, TensorElementType::Float32 | TensorElementType::Float16) {
            return Err(graph.bad(format!("input {} is {}, not float32 or float16", input.name, input.element)));
        }
        let wanted = [None, Some(3), Some(spec.image.height as usize), Some(spec.image.width as usize)];
        let fits = input.shape.len() == 4
            && input.shape[0] != Some(0)
            && input.shape.iter().zip(wanted).skip(1).all(|(has, wants)| has.is_none() || *has == wants);
        if !fits {
            let (height, width) = (spec.image.height, spec.image.width);
            let shape: Vec<String> =
                input.shape.iter().map(|size| size.map_or("?".to_owned(), |size| size.to_string())).collect();
            return Err(graph.bad(format!(
                "input {} is {}, preprocessor_config.json makes ? x 3 x {height} x {width}",
                input.name,
                shape.join(" x ")
            )));
        }
        let stager = Arc::new(graph.stager(input.element, input.shape[0])?);
        let mut encoder = ImageEncoder { graph, input: input.name, stager };
        encoder.probe()?;
        Ok(encoder)
    }

    /// Embeds a gray image, which shows that the graph runs and answers vectors.
    fn probe(&mut self) -> Result<()> {
        let shape = (3, self.graph.spec.image.height as usize, self.graph.spec.image.width as usize);
        let gray = Array3::zeros(shape);
        let mut outcome = self.embed(&[gray.view()], &Cancel::new());
        if outcome.is_err() && self.graph.feed_others() {
            outcome = self.embed(&[gray.view()], &Cancel::new());
        }
        self.graph.check_probe(outcome).map(|_| ())
    }

    /// The embeddings of images, each (3, height, width) from [`crate::Preprocessor::run`]: one L2-normalised vector of
    /// [`ModelSpec::dimension`] values per image, in their order. An image's vector does not depend on the others: graphs in
    /// which it would, which quantise activations as they go, take one image a run.
    ///
    /// # Errors
    /// [`crate::Error::Cancelled`]; [`crate::Error::Inference`], also where an image has another shape,
    /// [`crate::Error::OutOfMemory`] and [`crate::Error::BadEmbedding`], for the whole batch.
    pub fn embed(&mut self, batch: &[ArrayView3<'_, f32>], cancel: &Cancel) -> Result<Vec<Vec<f32>>> {
        let staged = self.stager.stage(batch)?;
        self.run(&staged, cancel)
    }

    /// The embeddings of images that were staged by [`ImageEncoder::stager`].
    ///
    /// # Errors
    /// Those of [`ImageEncoder::embed`].
    pub fn run(&mut self, staged: &StagedImages, cancel: &Cancel) -> Result<Vec<Vec<f32>>> {
        let mut vectors = Vec::new();
        for StagedRun { input, rows, items } in &staged.runs {
            vectors.extend(self.graph.run(&[(self.input.as_str(), input)], *rows, *items, cancel)?);
        }
        Ok(vectors)
    }

    /// What makes batches for this encoder.
    pub fn stager(&self) -> Arc<ImageStager> {
        Arc::clone(&self.stager)
    }

    /// The largest magnitudes so far of what the outputs named by [`crate::RANGE_PREFIX`] answer, by channel; empty for
    /// graphs without such outputs.
    pub fn ranges(&self) -> &[Vec<f32>] {
        self.graph.ranges.most()
    }

    /// The execution provider that runs the encoder.
    pub fn provider(&self) -> Provider {
        self.graph.provider()
    }

    /// Why [`crate::Device::Auto`] chose the CPU.
    pub fn note(&self) -> Option<&str> {
        self.graph.note()
    }
}
