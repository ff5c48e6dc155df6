//! The text encoder: token ids to embeddings.

use ort::value::{DynValue, Tensor, TensorElementType};

use super::SessionOptions;
use super::graph::{Graph, Input};
use super::role::Role;
use super::stage::padded_rows;
use crate::cancel::Cancel;
use crate::device::Provider;
use crate::error::{Error, Result};
use crate::runtime::Runtime;
use crate::spec::{Modality, ModelSpec, TextFamily};

/// The text half of a model, loaded.
#[derive(Debug)]
pub struct TextEncoder {
    graph: Graph,
    inputs: Vec<(Role, Input)>,
    /// The batch size, where the graph fixes it.
    batch: Option<usize>,
    padding: Padding,
}

/// How many tokens a text is filled up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Padding {
    /// Those of the longest text of its run: the encoder is causal, or masks what follows the text.
    Longest,
    /// So many, whatever the text: the graph takes no other number, or the encoder sees the padding and was trained so.
    Fixed(usize),
    /// None: the encoder sees the padding and was trained without, or rounds otherwise with it. A run has texts of one
    /// length.
    None,
}

impl Padding {
    /// What the vectors of the same texts, alone and padded to the context, tell.
    pub(crate) fn of(spec: &ModelSpec, alone: &[Vec<f32>], padded: &[Vec<f32>], enough: f64) -> Padding {
        match spec.text.family {
            _ if alone.iter().zip(padded).all(|(a, b)| cosine(a, b) >= enough) => Padding::Longest,
            // What an encoder that was trained with a mask makes of padding without one is not what it was trained for.
            TextFamily::Masked => Padding::None,
            _ => Padding::Fixed(spec.context_length),
        }
    }
}

/// Cosine of a text's vectors, alone and padded, from which on they are the same. Runs of other lengths add up in another
/// order, and half precision has three decimals.
pub(crate) const SAME: f64 = 0.9999;
/// The same of graphs that quantise activations: by as much the length changes their scale, and the vector with it.
const SAME_QUANTIZED: f64 = 0.99;

impl TextEncoder {
    /// Loads the text encoder of a model, and embeds short texts to see whether padding changes their vectors.
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
            let role = match Role::of(&input.name) {
                Some(role) if role.modality() == Modality::Text => role,
                _ => return Err(graph.bad(format!("it has an input {}, which is not known", input.name))),
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
        let positions = spec.positions.unwrap_or(spec.context_length);
        if let Some(fixed) = length
            && fixed != spec.context_length
            && fixed != positions
        {
            let reason = format!("it takes {fixed} tokens, max_position_embeddings of config.json is {positions}");
            return Err(graph.bad(reason));
        }
        let padding = Padding::Fixed(length.unwrap_or(spec.context_length));
        let mut encoder = TextEncoder { graph, inputs, batch, padding };
        encoder.padding = match length {
            None => encoder.probe()?,
            Some(fixed) => encoder.check_fixed(fixed)?,
        };
        Ok(encoder)
    }

    /// The length to which every text is padded, where that does not depend on the text.
    pub fn fixed_length(&self) -> Option<usize> {
        match self.padding {
            Padding::Fixed(length) => Some(length),
            Padding::Longest | Padding::None => None,
        }
    }

    /// Finds out what padding does, by embedding texts at their own length and at full length.
    fn probe(&mut self) -> Result<Padding> {
        let full = self.padding;
        let texts = probe_texts(&self.graph.spec, self.graph.spec.context_length);
        let padded = self.embed_probe(&texts, full);
        // Graphs of both encoders may need something to work on in the other half.
        let padded = if padded.is_err() && self.graph.feed_others() { self.embed_probe(&texts, full) } else { padded };
        let alone = match self.embed_probe(&texts, Padding::None) {
            Err(error @ (Error::OutOfMemory { .. } | Error::BadEmbedding { .. })) => {
                return self.graph.check_probe(Err(error));
            }
            Err(error) => {
                // It takes texts of full length only, although it does not say so; or nothing at all.
                self.graph.check_probe(padded.map_err(|_| error))?;
                return Ok(full);
            }
            Ok(alone) => alone,
        };
        let padded = self.graph.check_probe(padded)?;
        let enough = if self.graph.is_quantized { SAME_QUANTIZED } else { SAME };
        Ok(match Padding::of(&self.graph.spec, &alone, &padded, enough) {
            // Another length adds up in another order, which may be another level of an activation.
            Padding::Longest if self.graph.is_quantized => Padding::None,
            padding => padding,
        })
    }

    /// Looks whether a graph that takes texts of one length only can tell padding from text, where its family must.
    fn check_fixed(&mut self, length: usize) -> Result<Padding> {
        let full = Padding::Fixed(length);
        let mut texts = probe_texts(&self.graph.spec, self.graph.spec.context_length);
        let padded = self.embed_probe(&texts, full);
        let padded = if padded.is_err() && self.graph.feed_others() { self.embed_probe(&texts, full) } else { padded };
        let padded = self.graph.check_probe(padded)?;
        let has_mask = self.inputs.iter().any(|(role, _)| *role == Role::Mask);
        let is_masked = self.graph.spec.text.family == TextFamily::Masked;
        // open_clip's graphs make the mask themselves.
        if is_masked && !has_mask && self.inputs.iter().any(|(_, input)| input.name == "input_ids") {
            let room = self.graph.spec.context_length;
            texts.iter_mut().for_each(|text| text.extend(std::iter::repeat_n(OTHER, room.saturating_sub(text.len()))));
            let other = self.embed_probe(&texts, full)?;
            if padded.iter().zip(&other).any(|(a, b)| cosine(a, b) < SAME) {
                return Err(self
                    .graph
                    .bad("it has no input attention_mask, and padding would change the vectors of texts"));
            }
        }
        Ok(full)
    }

    fn embed_probe(&mut self, texts: &[Vec<u32>], padding: Padding) -> Result<Vec<Vec<f32>>> {
        let before = std::mem::replace(&mut self.padding, padding);
        let outcome = texts.iter().map(|text| Ok(self.embed_part(&[text], &Cancel::new())?.swap_remove(0))).collect();
        self.padding = before;
        outcome
    }

    /// The embeddings of texts, each given by its token ids from [`crate::Tokenizer::encode`]: one L2-normalised vector
    /// of [`ModelSpec::dimension`] values per text, in their order. A text's vector does not depend on the others.
    ///
    /// Texts are padded to the longest of the batch where padding changes nothing, which costs time: put texts of similar
    /// length together. Graphs that quantise activations as they go take one text a run.
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
        let mut order: Vec<usize> = (0..batch.len()).collect();
        if self.padding == Padding::None {
            order.sort_by_key(|&index| batch[index].len());
        }
        let most = if self.graph.one_by_one { 1 } else { self.batch.unwrap_or(batch.len()).max(1) };
        let fits_together = |a: &usize, b: &usize| self.padding != Padding::None || batch[*a].len() == batch[*b].len();
        let parts: Vec<&[usize]> = order.chunk_by(fits_together).flat_map(|part| part.chunks(most)).collect();
        let mut vectors = vec![Vec::new(); batch.len()];
        for part in parts {
            let texts: Vec<&[u32]> = part.iter().map(|&index| batch[index]).collect();
            for (index, vector) in part.iter().zip(self.embed_part(&texts, cancel)?) {
                vectors[*index] = vector;
            }
        }
        Ok(vectors)
    }

    /// Runs the graph once. Where it fixes the batch size, missing texts are copies of the first.
    fn embed_part<T: AsRef<[u32]>>(&mut self, part: &[T], cancel: &Cancel) -> Result<Vec<Vec<f32>>> {
        let longest = part.iter().map(|ids| ids.as_ref().len()).max().unwrap_or(1);
        let on_cuda = matches!(self.graph.provider(), Provider::Cuda(_));
        let length = match self.padding {
            Padding::Fixed(length) => length,
            // Matrices whose sides are multiples of eight are what its matrix units multiply.
            Padding::Longest if on_cuda => longest.next_multiple_of(8).min(self.graph.spec.context_length),
            Padding::Longest | Padding::None => longest,
        };
        let rows = self.batch.unwrap_or(if on_cuda { padded_rows(part.len()) } else { part.len() });
        let texts = || (0..rows).map(|row| part.get(row).unwrap_or(&part[0]).as_ref());
        let mut values = Vec::with_capacity(self.inputs.len());
        for (role, input) in &self.inputs {
            let rows = if *role == Role::Positions { input.shape[0].unwrap_or(rows) } else { rows };
            let numbers = numbers(*role, &self.graph.spec, texts().cycle().take(rows), length);
            let value = tensor([rows, length], numbers, input.element)
                .map_err(|error| self.graph.bad(format!("{}: {error}", input.name)))?;
            values.push((input.name.as_str(), value));
        }
        let values: Vec<(&str, &DynValue)> = values.iter().map(|(name, value)| (*name, value)).collect();
        self.graph.run(&values, rows, part.len(), cancel)
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

/// What an input is fed for texts that are padded to a length.
pub(crate) fn numbers<'a>(
    role: Role,
    spec: &ModelSpec,
    texts: impl Iterator<Item = &'a [u32]>,
    length: usize,
) -> Vec<u32> {
    // SigLIP was trained to see its padding.
    let masked = u32::from(spec.text.family == TextFamily::Siglip);
    match role {
        Role::Ids => texts.flat_map(|ids| filled(ids.iter().copied(), spec.tokens.pad, length)).collect(),
        Role::Mask => texts.flat_map(|ids| filled(ids.iter().map(|_| 1), masked, length)).collect(),
        Role::Positions => texts.flat_map(|_| 0..length as u32).collect(),
        Role::Types | Role::Pixels => texts.flat_map(|_| std::iter::repeat_n(0, length)).collect(),
    }
}

/// Texts of some tokens that any vocabulary has.
pub(crate) fn probe_texts(spec: &ModelSpec, longest: usize) -> Vec<Vec<u32>> {
    let tokens = spec.tokens;
    let special = [tokens.bos, tokens.eos, Some(tokens.pad), Some(OTHER)];
    let words: Vec<u32> = (5..).filter(|id| !special.contains(&Some(*id))).take(8).collect();
    [&words[..3], &words[2..8], &words[5..6]]
        .map(|words| {
            let words = &words[..words.len().min(longest.saturating_sub(2))];
            let bos = tokens.bos.filter(|_| spec.text.family != TextFamily::Siglip);
            bos.into_iter().chain(words.iter().copied()).chain(tokens.eos).collect()
        })
        .into()
}

/// A token that is no padding.
const OTHER: u32 = 6;

/// Cosine of vectors of length 1.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
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
