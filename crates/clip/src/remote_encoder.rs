//! An encoder that a model server runs: the same inputs as those of a graph here, and vectors that are checked as theirs are.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use half::f16;
use ndarray::ArrayView3;
use remote::{Client, Datatype, EncoderConfig, EndpointStatus, Infer, Kind, Metadata, Probe, Tensor, TensorInfo};

use crate::error::{Error, Result};
use crate::session::{Padding, Role, SAME, cosine, normalize, numbers, output_names, probe_texts};
use crate::spec::{Modality, ModelSpec, TextFamily};

/// Cosine of a vector to the one that is known, from which on a server runs the same model. Half precision has 0.9999 and
/// more, 8-bit weights 0.98 to 0.999; other models' vectors have nothing in common.
const SAME_MODEL: f64 = 0.98;

/// What a remote encoder embeds.
#[derive(Debug, Clone, Copy)]
pub enum RemoteInput<'a> {
    /// Token ids from [`crate::Tokenizer::encode`].
    Ids(&'a [u32]),
    /// An image from [`crate::Preprocessor::run`].
    Pixels(ArrayView3<'a, f32>),
    /// An image from [`crate::Preprocessor::pixels`], where [`RemoteEncoder::takes_levels`].
    Levels(&'a [u8]),
}

/// What every endpoint embeds before it is used.
#[derive(Debug, Clone)]
pub struct RemoteProbe {
    /// A text's ids, of a text encoder.
    pub ids: Vec<u32>,
    /// An image's 8-bit pixels from [`crate::Preprocessor::pixels`], of an image encoder.
    pub levels: Vec<u8>,
    /// Its vector as the model is known to answer; the first endpoint's, where none is.
    pub vector: Option<Vec<f32>>,
}

/// One half of a model, run by model servers.
#[derive(Debug)]
pub struct RemoteEncoder {
    inner: Arc<Inner>,
    client: Client,
    padding: Mutex<Option<Padding>>,
}

/// What is known without asking, and what the servers declare.
#[derive(Debug)]
struct Inner {
    spec: ModelSpec,
    modality: Modality,
    config: EncoderConfig,
    probe: RemoteProbe,
    /// The vector of the probe.
    known: OnceLock<Vec<f32>>,
    /// As the first endpoint declares it; all others have to.
    plan: OnceLock<Plan>,
}

/// What the served model takes and answers.
#[derive(Debug, Clone, PartialEq)]
struct Plan {
    inputs: Vec<(Role, String, Datatype)>,
    /// The number of tokens, where it is fixed.
    length: Option<usize>,
    output: Option<String>,
}

impl RemoteEncoder {
    /// Begins to look for endpoints, in the tokio runtime that it is called in. `None` where the encoder is not remote.
    pub fn new(spec: &ModelSpec, modality: Modality, probe: RemoteProbe) -> Option<RemoteEncoder> {
        let config = spec.remote(modality)?.clone();
        let known = probe.vector.clone().map(OnceLock::from).unwrap_or_default();
        let (plan, folder) = (OnceLock::new(), spec.path.clone());
        let inner = Arc::new(Inner { spec: spec.clone(), modality, config: config.clone(), probe, known, plan });
        let client = Client::new(config, folder, Arc::clone(&inner) as Arc<dyn Probe>);
        Some(RemoteEncoder { inner, client, padding: Mutex::default() })
    }

    /// Waits for an endpoint, and finds out what padding does to texts. Fails at once where all endpoints have failed.
    ///
    /// # Errors
    /// [`Error::RemoteUnreachable`], [`Error::RemoteTimeout`], [`Error::RemoteRefused`], [`Error::RemoteDenied`],
    /// [`Error::RemoteTooLarge`].
    pub async fn load(&self) -> Result<()> {
        self.client.ready().await.map_err(|error| self.inner.failed(&error))?;
        if self.inner.modality == Modality::Text && self.padding().is_none() {
            let padding = self.find_padding().await?;
            *self.padding.lock().unwrap_or_else(PoisonError::into_inner) = Some(padding);
        }
        if self.max_items(self.inner.spec.context_length) == 0 {
            let limit = self.inner.config.max_message_bytes;
            let reason = format!("one item takes more than max_message_bytes of remote.json, {limit}");
            return Err(self.inner.error(Kind::TooLarge, reason));
        }
        Ok(())
    }

    fn padding(&self) -> Option<Padding> {
        *self.padding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The length to which every text is padded, where that does not depend on the text.
    pub fn fixed_length(&self) -> Option<usize> {
        match self.padding() {
            Some(Padding::Fixed(length)) => Some(length),
            _ => None,
        }
    }

    /// Whether images are sent as the 8-bit pixels that they are before they are normalised.
    pub fn takes_levels(&self) -> bool {
        self.inner.takes_levels()
    }

    /// Most items of a batch, of texts such as have so many tokens.
    pub fn max_items(&self, tokens: usize) -> usize {
        let plan = self.inner.plan();
        let size: usize = plan.inputs.iter().map(|(.., datatype)| datatype.size()).sum();
        let values = match self.inner.modality {
            Modality::Text => tokens,
            Modality::Image => self.inner.pixels(),
        };
        self.client.items_per_request(size * values)
    }

    /// How many batches may be under way.
    pub fn capacity(&self) -> usize {
        self.client.capacity()
    }

    /// The URLs that remote.json has.
    pub fn urls(&self) -> &[String] {
        &self.inner.config.endpoints
    }

    /// What is known of each endpoint.
    pub fn endpoints(&self) -> Vec<EndpointStatus> {
        self.client.endpoints()
    }

    /// The embeddings of a batch of the encoder's kind of inputs, in their order: L2-normalised vectors. An item whose vector
    /// cannot be normalised fails alone, with [`Error::BadEmbedding`]. Dropping the future drops the call.
    ///
    /// # Errors
    /// Those of [`RemoteEncoder::load`], for the whole batch.
    pub async fn embed(&self, batch: &[RemoteInput<'_>]) -> Result<Vec<Result<Vec<f32>>>> {
        let padding = self.padding().unwrap_or(Padding::Fixed(self.inner.spec.context_length));
        self.embed_padded(batch, padding).await
    }

    async fn embed_padded(&self, batch: &[RemoteInput<'_>], padding: Padding) -> Result<Vec<Result<Vec<f32>>>> {
        let tokens = |index: &usize| match batch[*index] {
            RemoteInput::Ids(ids) => ids.len(),
            _ => 1,
        };
        let mut order: Vec<usize> = (0..batch.len()).collect();
        if padding == Padding::None {
            order.sort_by_key(tokens);
        }
        let goes_together = |a: &usize, b: &usize| padding != Padding::None || tokens(a) == tokens(b);
        let mut vectors: Vec<Result<Vec<f32>>> = vec![Err(Error::Cancelled); batch.len()];
        for group in order.chunk_by(goes_together) {
            let length = match padding {
                Padding::Fixed(length) => length,
                _ => group.iter().map(tokens).max().unwrap_or(1),
            };
            for part in group.chunks(self.max_items(length).max(1)) {
                let inputs: Vec<RemoteInput<'_>> = part.iter().map(|index| batch[*index]).collect();
                let batch = self.inner.batch(&self.inner.plan(), &inputs, length);
                let values = self.client.infer(&batch).await.map_err(|error| self.inner.failed(&error))?;
                let rows = values.chunks_exact(self.inner.spec.dimension);
                for (index, row) in part.iter().zip(rows) {
                    vectors[*index] = normalize(&self.inner.spec.name, row);
                }
            }
        }
        Ok(vectors)
    }

    async fn find_padding(&self) -> Result<Padding> {
        let full = self.inner.spec.context_length;
        if let Some(length) = self.inner.plan().length {
            return Ok(Padding::Fixed(length));
        }
        let texts = probe_texts(&self.inner.spec, full);
        let padded = self.embed_probe(&texts, Padding::Fixed(full)).await?;
        let alone = match self.embed_probe(&texts, Padding::None).await {
            // It takes texts of full length only, although it does not say so.
            Err(Error::RemoteRefused { .. }) => return Ok(Padding::Fixed(full)),
            alone => alone?,
        };
        Ok(Padding::of(&self.inner.spec, &alone, &padded, SAME))
    }

    async fn embed_probe(&self, texts: &[Vec<u32>], padding: Padding) -> Result<Vec<Vec<f32>>> {
        let texts: Vec<RemoteInput<'_>> = texts.iter().map(|ids| RemoteInput::Ids(ids)).collect();
        let vectors = self.embed_padded(&texts, padding).await?.into_iter().collect::<Result<_>>();
        vectors.map_err(|error| self.inner.error(Kind::Refused, error.to_string()))
    }
}

impl Inner {
    fn takes_levels(&self) -> bool {
        self.config.datatype == Some(Datatype::Uint8)
    }

    fn datatype(&self) -> Datatype {
        self.config.datatype.unwrap_or(match self.modality {
            Modality::Text => Datatype::Int64,
            Modality::Image => Datatype::Fp32,
        })
    }

    fn pixels(&self) -> usize {
        3 * self.spec.image.height as usize * self.spec.image.width as usize
    }

    fn plan(&self) -> Plan {
        self.plan.get().cloned().unwrap_or_else(|| self.undeclared())
    }

    /// For servers that declare nothing.
    fn undeclared(&self) -> Plan {
        let datatype = self.datatype();
        let input = |role, name: &str| (role, name.to_owned(), datatype);
        let inputs = match (self.modality, self.spec.text.family) {
            (Modality::Image, _) if datatype == Datatype::Uint8 => vec![input(Role::Pixels, "pixels")],
            (Modality::Image, _) => vec![input(Role::Pixels, "pixel_values")],
            (Modality::Text, TextFamily::Masked) => {
                vec![input(Role::Ids, "input_ids"), input(Role::Mask, "attention_mask")]
            }
            (Modality::Text, _) => vec![input(Role::Ids, "input_ids")],
        };
        Plan { inputs, length: None, output: None }
    }

    fn plan_of(&self, metadata: &Metadata) -> Result<Plan, String> {
        let mut plan = self.undeclared();
        if !metadata.inputs.is_empty() {
            plan.inputs = metadata.inputs.iter().map(|info| self.input(info)).collect::<Result<_, _>>()?;
            let main = if self.modality == Modality::Text { Role::Ids } else { Role::Pixels };
            if !plan.inputs.iter().any(|(role, ..)| *role == main) {
                return Err(format!("it has no input {}", self.undeclared().inputs[0].1));
            }
            if self.modality == Modality::Text {
                let length = metadata.inputs.iter().find_map(|info| usize::try_from(info.shape[1]).ok());
                plan.length = length.filter(|length| *length > 0);
            }
        }
        if let Some(length) = plan.length.filter(|length| *length < self.spec.context_length) {
            return Err(format!("it takes {length} tokens, the model reads {}", self.spec.context_length));
        }
        plan.output = self.output(&metadata.outputs)?;
        Ok(plan)
    }

    fn input(&self, info: &TensorInfo) -> Result<(Role, String, Datatype), String> {
        let name = &info.name;
        let role = Role::of(name).filter(|role| role.modality() == self.modality);
        let role = role.ok_or_else(|| format!("it takes an input {name}, which is not known"))?;
        let types: &[Datatype] = match role {
            Role::Pixels => &[Datatype::Fp32, Datatype::Fp16, Datatype::Uint8],
            _ => &[Datatype::Int64, Datatype::Int32],
        };
        let datatype = types.iter().copied().find(|datatype| datatype.name() == info.datatype);
        let datatype = datatype.ok_or_else(|| format!("input {name} is {}", info.datatype))?;
        if matches!(role, Role::Ids | Role::Pixels) && datatype != self.datatype() {
            let wanted = self.datatype().name();
            return Err(format!("input {name} is {}, and datatype of remote.json is {wanted}", info.datatype));
        }
        let (height, width) = (i64::from(self.spec.image.height), i64::from(self.spec.image.width));
        let wanted = match (role, datatype) {
            (Role::Pixels, Datatype::Uint8) => vec![-1, height, width, 3],
            (Role::Pixels, _) => vec![-1, 3, height, width],
            _ => vec![-1, -1],
        };
        let fits = info.shape.len() == wanted.len()
            && info.shape.iter().zip(&wanted).all(|(has, wants)| *has < 0 || *wants < 0 || has == wants);
        if !fits || info.shape[0] >= 0 {
            return Err(format!("input {name} has the shape {:?}, not {wanted:?}", info.shape));
        }
        Ok((role, name.clone(), datatype))
    }

    fn output(&self, declared: &[TensorInfo]) -> Result<Option<String>, String> {
        let known = output_names(self.modality);
        let named = known.iter().find_map(|name| declared.iter().find(|info| info.name == *name));
        let found = named.or(if let [only] = declared { Some(only) } else { None });
        match found {
            Some(info) => Ok(Some(info.name.clone())),
            None if declared.is_empty() => Ok(None),
            None => {
                let names: Vec<&str> = declared.iter().map(|info| info.name.as_str()).collect();
                Err(format!("none of its outputs is named {}: {}", known[0], names.join(", ")))
            }
        }
    }

    fn batch(&self, plan: &Plan, items: &[RemoteInput<'_>], length: usize) -> Infer {
        let (rows, image) = (items.len(), &self.spec.image);
        let (height, width) = (image.height as usize, image.width as usize);
        let ids = || items.iter().filter_map(|item| if let RemoteInput::Ids(ids) = item { Some(*ids) } else { None });
        let tensor = |(role, name, datatype): &(Role, String, Datatype)| {
            let (shape, bytes) = match (role, datatype) {
                (Role::Pixels, Datatype::Uint8) => (vec![rows, height, width, 3], pixels(items, *datatype)),
                (Role::Pixels, _) => (vec![rows, 3, height, width], pixels(items, *datatype)),
                _ => (vec![rows, length], integers(&numbers(*role, &self.spec, ids(), length), *datatype)),
            };
            Tensor { name: name.clone(), datatype: *datatype, shape, bytes }
        };
        Infer {
            inputs: plan.inputs.iter().map(tensor).collect(),
            output: plan.output.clone(),
            known: output_names(self.modality),
            rows,
            dimension: self.spec.dimension,
        }
    }

    fn failed(&self, error: &remote::Error) -> Error {
        self.error(error.kind, error.to_string())
    }

    fn error(&self, kind: Kind, reason: String) -> Error {
        let (model, encoder) = (self.spec.name.to_string(), self.modality.name().to_owned());
        match kind {
            Kind::Unreachable => Error::RemoteUnreachable { model, encoder, reason },
            Kind::Timeout => Error::RemoteTimeout { model, encoder, reason },
            Kind::Refused => Error::RemoteRefused { model, encoder, reason },
            Kind::Denied => Error::RemoteDenied { model, encoder, reason },
            Kind::TooLarge => Error::RemoteTooLarge { model, encoder, reason },
        }
    }
}

impl Probe for Inner {
    fn batch(&self, metadata: &Metadata) -> Result<Infer, String> {
        let plan = self.plan_of(metadata)?;
        if *self.plan.get_or_init(|| plan.clone()) != plan {
            return Err("it declares other inputs or outputs than another endpoint, or than before".to_owned());
        }
        let ids = &self.probe.ids;
        let sees_padding =
            self.spec.text.family == TextFamily::Masked && !plan.inputs.iter().any(|(role, ..)| *role == Role::Mask);
        let length = plan.length.unwrap_or(if sees_padding { ids.len() } else { self.spec.context_length });
        let values;
        let item = match self.modality {
            Modality::Text => RemoteInput::Ids(ids),
            Modality::Image if self.takes_levels() => RemoteInput::Levels(&self.probe.levels),
            Modality::Image => {
                let preprocessor = crate::Preprocessor::new(&self.spec);
                values = preprocessor.values(&self.probe.levels).ok_or("the probe is of another size")?;
                RemoteInput::Pixels(values.view())
            }
        };
        Ok(Inner::batch(self, &plan, &[item], length))
    }

    fn check(&self, values: &[f32]) -> Result<(), String> {
        let vector = normalize(&self.spec.name, values).map_err(|error| match error {
            Error::BadEmbedding { reason, .. } => format!("it answers a vector that {reason}"),
            other => other.to_string(),
        })?;
        let known = self.known.get_or_init(|| vector.clone());
        let cosine = if known.len() == vector.len() { cosine(known, &vector) } else { 0.0 };
        if cosine >= SAME_MODEL {
            return Ok(());
        }
        Err(format!("it answers with another model's vectors (cosine {cosine:.3} of a probe to what is known)"))
    }
}

fn pixels(items: &[RemoteInput<'_>], datatype: Datatype) -> Bytes {
    let mut bytes = Vec::new();
    for item in items {
        match (item, datatype) {
            (RemoteInput::Levels(levels), Datatype::Uint8) => bytes.extend_from_slice(levels),
            (RemoteInput::Pixels(values), Datatype::Fp16) => {
                values.iter().for_each(|value| bytes.extend_from_slice(&f16::from_f32(*value).to_le_bytes()));
            }
            (RemoteInput::Pixels(values), Datatype::Fp32) => {
                values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
            }
            // What does not fit is missing, and the server refuses a batch that is too short.
            _ => {}
        }
    }
    bytes.into()
}

fn integers(numbers: &[u32], datatype: Datatype) -> Bytes {
    let bytes: Vec<u8> = match datatype {
        Datatype::Int32 => numbers.iter().flat_map(|number| (*number as i32).to_le_bytes()).collect(),
        _ => numbers.iter().flat_map(|number| i64::from(*number).to_le_bytes()).collect(),
    };
    bytes.into()
}
