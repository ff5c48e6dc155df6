//! The image encoder: preprocessed images to embeddings.

use half::f16;
use ndarray::{Array3, ArrayView3};
use ort::value::{DynValue, Tensor, TensorElementType};

use super::SessionOptions;
use super::graph::{Graph, Input};
use super::role::Role;
use crate::cancel::Cancel;
use crate::device::Provider;
use crate::error::{Error, Result};
use crate::runtime::Runtime;
use crate::spec::{Modality, ModelSpec};

/// The image half of a model, loaded.
#[derive(Debug)]
pub struct ImageEncoder {
    graph: Graph,
    input: Input,
}

impl ImageEncoder {
    /// Loads the image encoder of a model.
    ///
    /// # Errors
    /// [`Error::DeviceUnavailable`] where the device that the options name cannot be had; [`Error::NoSuchPrecision`];
    /// [`Error::BadModel`] where the file cannot be loaded, or wants or answers something unknown;
    /// [`Error::OutOfMemory`].
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
        let mut encoder = ImageEncoder { graph, input };
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
    /// [`Error::Cancelled`]; [`Error::Inference`], also where an image has another shape, [`Error::OutOfMemory`] and
    /// [`Error::BadEmbedding`], for the whole batch.
    pub fn embed(&mut self, batch: &[ArrayView3<'_, f32>], cancel: &Cancel) -> Result<Vec<Vec<f32>>> {
        let image = &self.graph.spec.image;
        let shape = [3, image.height as usize, image.width as usize];
        if let Some(image) = batch.iter().find(|image| image.shape() != shape) {
            let reason = format!("an image has the shape {:?}, not {shape:?}", image.shape());
            return Err(Error::Inference { model: self.graph.spec.name.to_string(), reason });
        }
        let fixed = self.input.shape[0];
        let mut vectors = Vec::with_capacity(batch.len());
        let most = if self.graph.one_by_one { 1 } else { batch.len() };
        for part in batch.chunks(fixed.unwrap_or(most).max(1)) {
            // Where the graph fixes the batch size, missing images are copies of the first.
            let rows = fixed.unwrap_or(part.len());
            let images = || (0..rows).map(|row| part.get(row).unwrap_or(&part[0]));
            let shape = [rows, shape[0], shape[1], shape[2]];
            let mut values = Vec::with_capacity(shape.iter().product());
            images().for_each(|image| values.extend(image.iter()));
            let value = tensor(shape, values, self.input.element)
                .map_err(|error| self.graph.bad(format!("{}: {error}", self.input.name)))?;
            vectors.extend(self.graph.run(vec![(self.input.name.clone(), value)], rows, part.len(), cancel)?);
        }
        Ok(vectors)
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

fn tensor(shape: [usize; 4], values: Vec<f32>, element: TensorElementType) -> ort::Result<DynValue> {
    Ok(match element {
        TensorElementType::Float16 => {
            let values: Vec<f16> = values.into_iter().map(f16::from_f32).collect();
            Tensor::from_array((shape, values))?.into_dyn()
        }
        _ => Tensor::from_array((shape, values))?.into_dyn(),
    })
}
