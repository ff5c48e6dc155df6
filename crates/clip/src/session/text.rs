//! The text encoder: token ids to embeddings.

use ort::value::{DynValue, Tensor, TensorElementType};

use super::SessionOptions;
use super::graph::{Graph, Input};
use super::stage::padded_rows;
use crate::cancel::Cancel;
use crate::device::Provider;
use crate::error::{Error, Result};
use crate::runtime::Runtime;
use crate::spec::{Modality, ModelSpec};

/// The text half of a model, loaded.
#[derive(Debug)]
pub struct TextEncoder {
    graph: Graph,
    inputs: Vec<(Role, Input)>,
    /// The batch size, where the graph fixes it.
    batch: Option<usize>,
    /// The number of tokens of every text, where the graph fixes it or the model was trained so.
    length: Option<usize>,
}

/// What an input of the graph is fed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Ids,
    Mask,
    Positions,
}

impl TextEncoder {
    /// Loads the text encoder of a model.
    ///
    /// # Errors
    /// [`Error::DeviceUnavailable`] where the device that the options name cannot be had; [`Error::NoSuchPrecision`];
    /// [`Error::BadModel`] where the file cannot be loaded, or wants or answers something unknown;
    /// [`Error::OutOfMemory`].
    pub fn load(spec: &ModelSpec, options: &SessionOptions, runtime: &Runtime) -> Result<TextEncoder> {
        let graph = Graph::load(spec, Modality::Text, options, runtime)?;
        let mut inputs = Vec::new();
        let (mut batch, mut length) = (None, None);
        for input in graph.inputs()? {
            let role = match input.name.as_str() {
                "input_ids" => Role::Ids,
                "attention_mask" => Role::Mask,
                "position_ids" => Role::Positions,
                other => return Err(graph.bad(format!("it has an input {other}, which is not known"))),
            };
            if !matches!(input.element, TensorElementType::Int32 | TensorElementType::Int64) {
                return Err(graph.bad(format!("input {} is {}, not int32 or int64", input.name, input.element)));
            }
            let [input_batch, input_length] = input.shape[..] else {
                return Err(graph.bad(format!("input {} has {} dimensions, not 2", input.name, input.shape.len())));
            };
            // Positions are the same for each text, so exports leave their batch size at 1.
            if role != Role::Positions {
                batch = batch.or(input_batch);
            }
            length = length.or(input_length);
            inputs.push((role, input));
        }
        if !inputs.iter().any(|(role, _)| *role == Role::Ids) {
            return Err(graph.bad("it has no input input_ids"));
        }
        if batch == Some(0) {
            return Err(graph.bad("its batch size is 0"));
        }
        if let Some(fixed) = length
            && fixed != spec.context_length
        {
            let wanted = spec.context_length;
            return Err(
                graph.bad(format!("it takes {fixed} tokens, max_position_embeddings of config.json is {wanted}"))
            );
        }
        if !spec.is_causal() {
            length = Some(spec.context_length);
        }
        Ok(TextEncoder { graph, inputs, batch, length })
    }

    /// The embeddings of texts, each given by its token ids from [`crate::Tokenizer::encode`]: one L2-normalised vector
    /// of [`ModelSpec::dimension`] values per text, in their order.
    ///
    /// Texts are padded to the longest of the batch, which costs time: put texts of similar length together.
    ///
    /// # Errors
    /// [`Error::TextTooLong`]; [`Error::Cancelled`]; [`Error::Inference`], [`Error::OutOfMemory`] and
    /// [`Error::BadEmbedding`], for the whole batch.
    pub fn embed(&mut self, batch: &[&[u32]], cancel: &Cancel) -> Result<Vec<Vec<f32>>> {
        let context_length = self.graph.spec.context_length;
        for ids in batch {
            if ids.len() > context_length {
                return Err(Error::TextTooLong { tokens: ids.len(), is_read: true, context_length });
            }
            if ids.is_empty() || ids.iter().any(|&id| id > i32::MAX as u32) {
                let model = self.graph.spec.name.to_string();
                return Err(Error::Inference { model, reason: "the text has no tokens, or unknown ones".to_owned() });
            }
        }
        let mut vectors = Vec::with_capacity(batch.len());
        for part in batch.chunks(self.batch.unwrap_or(batch.len()).max(1)) {
            self.embed_part(part, cancel, &mut vectors)?;
        }
        Ok(vectors)
    }

    /// Runs the graph once. Where it fixes the batch size, missing texts are copies of the first.
    fn embed_part(&mut self, part: &[&[u32]], cancel: &Cancel, vectors: &mut Vec<Vec<f32>>) -> Result<()> {
        let longest = part.iter().map(|ids| ids.len()).max().unwrap_or(1);
        let on_cuda = matches!(self.graph.provider(), Provider::Cuda(_));
        let length = self.length.unwrap_or(if on_cuda {
            // Matrices whose sides are multiples of eight are what its matrix units multiply.
            longest.next_multiple_of(8).min(self.graph.spec.context_length)
        } else {
            longest
        });
        let rows = self.batch.unwrap_or(if on_cuda { padded_rows(part.len()) } else { part.len() });
        let texts = || (0..rows).map(|row| part.get(row).copied().unwrap_or(part[0]));
        let pad = self.graph.spec.tokens.pad;
        let mut values = Vec::with_capacity(self.inputs.len());
        for (role, input) in &self.inputs {
            let rows = if *role == Role::Positions { input.shape[0].unwrap_or(rows) } else { rows };
            let numbers: Vec<u32> = match role {
                Role::Ids => texts().flat_map(|ids| filled(ids.iter().copied(), pad, length)).collect(),
                Role::Mask => texts().flat_map(|ids| filled(ids.iter().map(|_| 1), 0, length)).collect(),
                Role::Positions => (0..rows).flat_map(|_| 0..length as u32).collect(),
            };
            let value = tensor([rows, length], numbers, input.element)
                .map_err(|error| self.graph.bad(format!("{}: {error}", input.name)))?;
            values.push((input.name.as_str(), value));
        }
        let values: Vec<(&str, &DynValue)> = values.iter().map(|(name, value)| (*name, value)).collect();
        self.graph.run(&values, part.len(), cancel, vectors)
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

fn filled(values: impl Iterator<Item = u32>, with: u32, length: usize) -> impl Iterator<Item = u32> {
    values.chain(std::iter::repeat(with)).take(length)
}

fn tensor(shape: [usize; 2], numbers: Vec<u32>, element: TensorElementType) -> ort::Result<DynValue> {
    Ok(match element {
        TensorElementType::Int32 => {
            let numbers: Vec<i32> = numbers.into_iter().map(|number| number as i32).collect();
            Tensor::from_array((shape, numbers))?.into_dyn()
        }
        _ => {
            let numbers: Vec<i64> = numbers.into_iter().map(i64::from).collect();
            Tensor::from_array((shape, numbers))?.into_dyn()
        }
    })
}
