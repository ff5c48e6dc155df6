//! One call on one connection, and what its failure means.

use crate::config::{Address, Datatype, EncoderConfig};
use crate::error::{Error, Kind, Result};
use crate::wire;
use bytes::Bytes;
use half::f16;
use prost::Message;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use tonic::client::Grpc;
use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Uri};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

/// Most bytes of an answer: vectors are small, and nothing else is asked for.
const MAX_ANSWER: usize = 64 << 20;
/// Most bytes of a file with certificates, a key or headers.
const MAX_FILE: u64 = 1 << 20;
/// Most characters of a server's words.
const MAX_WORDS: usize = 500;

/// What a server says of its model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// None where the server does not say.
    pub inputs: Vec<TensorInfo>,
    /// None where the server does not say.
    pub outputs: Vec<TensorInfo>,
    /// The versions that it has.
    pub versions: Vec<String>,
}

/// A tensor that a model takes or answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// The protocol's name of its type.
    pub datatype: String,
    /// Its sizes; a negative one is free.
    pub shape: Vec<i64>,
}

/// A tensor that is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Its type.
    pub datatype: Datatype,
    /// Its sizes.
    pub shape: Vec<usize>,
    /// Its values, little-endian, row by row.
    pub bytes: Bytes,
}

/// A batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Infer {
    /// What is sent.
    pub inputs: Vec<Tensor>,
    /// The output that is wanted, where the server declares its outputs; otherwise the first of [`Infer::known`] that it
    /// answers, or its only one.
    pub output: Option<String>,
    /// Names of outputs that may be vectors.
    pub known: &'static [&'static str],
    /// How many vectors have to come.
    pub rows: usize,
    /// How many values each has to have.
    pub dimension: usize,
}

/// A connection to an endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    grpc: Grpc<Channel>,
    headers: MetadataMap,
    name: String,
    model: wire::Model,
}

impl Connection {
    /// Connects to one address of an endpoint. Reads the files of the configuration, which may have changed since.
    pub async fn open(
        config: &EncoderConfig,
        folder: &Path,
        address: &Address,
        socket: SocketAddr,
        name: &str,
    ) -> Result<Self> {
        let bad = |reason: String| Error::new(Kind::Refused, name, reason).of_endpoint();
        let read = |file: &String| read(folder, file).map_err(|reason| bad(format!("{file}: {reason}")));
        let uri = |text: &str| text.parse::<Uri>().map_err(|error| bad(error.to_string()));
        let scheme = if address.is_secure { "https" } else { "http" };
        let mut endpoint = Endpoint::from(uri(&format!("{scheme}://{socket}"))?)
            .origin(uri(&address.url())?)
            .connect_timeout(config.connect_timeout())
            .tcp_keepalive(Some(std::time::Duration::from_secs(30)));
        if address.is_secure {
            let mut tls = ClientTlsConfig::new().domain_name(address.bare_host());
            tls = match &config.ca {
                Some(file) => tls.ca_certificate(Certificate::from_pem(read(file)?)),
                None => tls.with_native_roots(),
            };
            if let (Some(certificate), Some(key)) = (&config.certificate, &config.key) {
                tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
            }
            endpoint = endpoint.tls_config(tls).map_err(|error| bad(innermost(&error)))?;
        }
        let headers = match &config.headers {
            Some(file) => headers(&read(file)?).map_err(|reason| bad(format!("{file}: {reason}")))?,
            None => MetadataMap::new(),
        };
        let connecting = tokio::time::timeout(config.connect_timeout(), endpoint.connect()).await;
        let unreachable = |reason: String| Error::new(Kind::Unreachable, name, reason).of_endpoint();
        let channel = connecting
            .map_err(|_| unreachable(format!("no connection within {} ms", config.connect_timeout_ms)))?
            .map_err(|error| unreachable(innermost(&error)))?;
        let grpc = Grpc::new(channel).max_decoding_message_size(MAX_ANSWER);
        let model = wire::Model { name: config.model.clone(), version: config.version.clone() };
        Ok(Self { grpc, headers, name: name.to_owned(), model })
    }

    pub async fn server_ready(&self) -> Result<()> {
        let answer: wire::Ready = self.ask("ServerReady", wire::Empty {}).await?;
        if answer.ready { Ok(()) } else { Err(self.refused("the server is not ready")) }
    }

    pub async fn model_ready(&self) -> Result<()> {
        let answer: wire::Ready = self.ask("ModelReady", self.model.clone()).await?;
        if answer.ready { Ok(()) } else { Err(self.refused(format!("model {} is not ready", self.model.name))) }
    }

    pub async fn metadata(&self) -> Result<Metadata> {
        let answer: wire::ModelMetadata = self.ask("ModelMetadata", self.model.clone()).await?;
        let tensors = |tensors: Vec<wire::TensorMetadata>| {
            let info = |tensor: wire::TensorMetadata| TensorInfo {
                name: tensor.name,
                datatype: tensor.datatype,
                shape: tensor.shape,
            };
            tensors.into_iter().map(info).collect()
        };
        Ok(Metadata { inputs: tensors(answer.inputs), outputs: tensors(answer.outputs), versions: answer.versions })
    }

    /// Runs a batch: all values of its vectors, and the model's version.
    pub async fn infer(&self, batch: &Infer) -> Result<(Vec<f32>, String)> {
        let input = |tensor: &Tensor| wire::InferTensor {
            name: tensor.name.clone(),
            datatype: tensor.datatype.name().to_owned(),
            shape: tensor.shape.iter().map(|size| *size as i64).collect(),
            contents: None,
        };
        let request = wire::InferRequest {
            model_name: self.model.name.clone(),
            model_version: self.model.version.clone(),
            inputs: batch.inputs.iter().map(input).collect(),
            outputs: batch.output.iter().map(|name| wire::RequestedOutput { name: name.clone() }).collect(),
            raw_input_contents: batch.inputs.iter().map(|tensor| tensor.bytes.clone()).collect(),
        };
        let answer: wire::InferResponse = self.ask("ModelInfer", request).await?;
        let version = answer.model_version.clone();
        Ok((values(answer, batch).map_err(|reason| self.refused(reason))?, version))
    }

    async fn ask<Q, A>(&self, method: &str, request: Q) -> Result<A>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let mut grpc = self.grpc.clone();
        let gone =
            |error: tonic::transport::Error| Error::new(Kind::Unreachable, &self.name, innermost(&error)).of_endpoint();
        grpc.ready().await.map_err(gone)?;
        let mut request = tonic::Request::new(request);
        *request.metadata_mut() = self.headers.clone();
        let path = format!("{}{method}", wire::SERVICE).parse().expect("a path");
        let answer = grpc.unary(request, path, ProstCodec::<Q, A>::default()).await;
        answer.map(tonic::Response::into_inner).map_err(|status| meaning(&status, &self.name))
    }

    /// An answer that makes the endpoint useless.
    pub fn refused(&self, reason: impl Into<String>) -> Error {
        Error::new(Kind::Refused, &self.name, reason).of_endpoint()
    }
}

/// What a status means.
fn meaning(status: &Status, endpoint: &str) -> Error {
    let is_of_transport = std::error::Error::source(status).is_some();
    let (kind, is_of_endpoint) = match status.code() {
        // Triton's words where a header that its --grpc-restricted-protocol wants is missing.
        Code::Unavailable if status.message().contains("restricted") => (Kind::Denied, true),
        // Other credentials may lie in the file by now: a check reads it.
        Code::Unauthenticated | Code::PermissionDenied => (Kind::Denied, true),
        Code::ResourceExhausted => (Kind::TooLarge, false),
        Code::Unavailable | Code::Cancelled => (Kind::Unreachable, true),
        Code::DeadlineExceeded => (Kind::Timeout, true),
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => (Kind::Refused, false),
        _ if is_of_transport => (Kind::Unreachable, true),
        _ => (Kind::Refused, true),
    };
    let said = match status.message() {
        _ if is_of_transport => innermost(status),
        "" => format!("{:?}", status.code()),
        message => message.to_owned(),
    };
    let error = Error::new(kind, endpoint, shorten(&said));
    if is_of_endpoint { error.of_endpoint() } else { error }
}

/// The vectors of an answer.
fn values(answer: wire::InferResponse, batch: &Infer) -> Result<Vec<f32>, String> {
    let names = || answer.outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>().join(", ");
    let at = |name: &str| answer.outputs.iter().position(|output| output.name == name);
    let place = match &batch.output {
        Some(name) => at(name),
        None => batch.known.iter().find_map(|name| at(name)).or((answer.outputs.len() == 1).then_some(0)),
    };
    let place =
        place.ok_or_else(|| format!("no output of the answer is the vectors (outputs: {})", shorten(&names())))?;
    let output = &answer.outputs[place];
    let expected = [batch.rows as i64, batch.dimension as i64];
    if output.shape != expected {
        return Err(format!("output {} has the shape {:?}, not {expected:?}", shorten(&output.name), output.shape));
    }
    let count = batch.rows * batch.dimension;
    let wrong = |found: usize, what: &str| {
        Err(format!("output {} has {found} {what} for {count} values", shorten(&output.name)))
    };
    match (answer.raw_output_contents.get(place), &output.contents, output.datatype.as_str()) {
        (Some(raw), _, "FP32") if raw.len() == 4 * count => {
            Ok(raw.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
        }
        (Some(raw), _, "FP16") if raw.len() == 2 * count => {
            Ok(raw.as_chunks::<2>().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect())
        }
        (Some(raw), _, "FP32" | "FP16") => wrong(raw.len(), "bytes"),
        (None, Some(contents), "FP32") if contents.fp32_contents.len() == count => Ok(contents.fp32_contents.clone()),
        (None, contents, "FP32") => {
            wrong(contents.as_ref().map_or(0, |contents| contents.fp32_contents.len()), "values")
        }
        (_, _, other) => Err(format!("output {} is {}, not FP32 or FP16", shorten(&output.name), shorten(other))),
    }
}

fn headers(text: &[u8]) -> Result<MetadataMap, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())?;
    let mut headers = MetadataMap::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        // What it says may be a secret.
        let bad = || format!("line {} is not \"name: value\"", number + 1);
        let (name, value) = line.split_once(':').ok_or_else(bad)?;
        let name = MetadataKey::<Ascii>::from_str(&name.trim().to_ascii_lowercase()).map_err(|_| bad())?;
        let mut value = MetadataValue::try_from(value.trim()).map_err(|_| bad())?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

fn read(folder: &Path, file: &str) -> Result<Vec<u8>, String> {
    let path = folder.join(file);
    let about = std::fs::metadata(&path).map_err(|error| error.to_string())?;
    if !about.is_file() || about.len() > MAX_FILE {
        return Err(format!("it is not a file of at most {MAX_FILE} bytes"));
    }
    std::fs::read(&path).map_err(|error| error.to_string())
}

/// The first cause: the others say that there is one.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    shorten(&last.to_string())
}

/// For a message: at most so many characters, control characters escaped.
fn shorten(text: &str) -> String {
    let mut short: String = text
        .chars()
        .take(MAX_WORDS)
        .flat_map(|character| match character {
            '\'' | '"' | '\\' => vec![character],
            _ => character.escape_debug().collect(),
        })
        .collect();
    if text.chars().nth(MAX_WORDS).is_some() {
        short.push('…');
    }
    short
}
