//! What shows that a model works on this machine, and later that it still answers the same.
//!
//! A probe set of texts and images, drawn by this program, is embedded: each alone, and all in one batch. The vectors have
//! to be finite, differ from each other, and be the same alone and in the batch. They are kept beside the model: its
//! proof. [`compare`] tells how far this machine's vectors are from them.

mod probe;

use clip::{
    Cancel, Device, Devices, ImageEncoder, LongText, Modality, ModelName, ModelSpec, Precision, Precisions,
    Preprocessor, RemoteEncoder, RemoteInput, RemoteProbe, Runtime, SessionOptions, TextEncoder, Tokenizer,
};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The proof's file, in the model's folder.
pub const PROOF: &str = "clip_search_proof.json";
const MAX_PROOF: u64 = 16 << 20;

/// Least cosine of a vector alone and in a batch, and of a vector then and now.
pub const SAME: f64 = 0.9999;
/// Where even the least similar two of the probe set have a higher cosine, the model tells nothing apart.
const ALIKE: f64 = 0.9999;

/// With what a model is run.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The ONNX Runtime library.
    pub library: PathBuf,
    /// What `clip_search.device` takes.
    pub device: String,
    /// Threads of a run; 0 means one for each core.
    pub threads: usize,
    /// `None` and `auto` are the most exact that the model has.
    pub precision: Option<String>,
}

/// The vectors of the probe set, and by what they were made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// Of the probe set: vectors of others cannot be compared.
    pub probe: u32,
    /// SHA-256 of all vectors: where it is equal, all of them are equal in every bit.
    pub digest: String,
    /// Hash of the model's files.
    pub fingerprint: String,
    /// The precision that was run.
    pub precision: String,
    /// The execution provider of the text encoder and of the image encoder.
    pub providers: [String; 2],
    /// Version of ONNX Runtime.
    pub onnxruntime: String,
    /// Length of a vector.
    pub dimension: usize,
    /// Least cosine of a vector alone and in a batch.
    pub batch: Worst,
    /// Cosine of the two that are least alike.
    pub spread: Worst,
    /// One for each text of the probe set.
    pub texts: Vec<Vec<f32>>,
    /// One for each image of the probe set.
    pub images: Vec<Vec<f32>>,
}

/// The least cosine of each half.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Worst {
    /// Of texts.
    pub text: f64,
    /// Of images.
    pub image: f64,
}

/// Why a model is not proven.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum Error {
    #[error(transparent)]
    Model(#[from] clip::Error),
    #[error(transparent)]
    Proof(#[from] ProofError),
}

errors::error_table! {
    /// What a model's vectors show.
    #[derive(Debug)]
    #[allow(missing_docs)]
    pub enum ProofError: errors::CommandClass {
        Alike { model: String, what: &'static str, cosine: f64 } => Unusable {
            message: "model \"{model}\" gives nearly the same vector for all {what} (least cosine {cosine:.6})",
            hint: "The files are damaged, or the model has not been trained. Install another.",
        }
        Batch { model: String, what: &'static str, cosine: f64 } => Unusable {
            message: "model \"{model}\" gives another vector for {what} in a batch than alone (cosine {cosine:.6})",
            hint: "Its vectors would depend on what is embedded beside them. Install another precision, such as fp32.",
        }
        File { action: &'static str, path: PathBuf, reason: String } => Io {
            let path = path.display();
            message: "could not {action} \"{path}\": {reason}",
            docs: "The message says which file, and why.",
        }
    }
}

/// Embeds the probe set with the model in a folder.
///
/// # Errors
/// [`Error::Model`] where it cannot be loaded or run, or a vector is not finite; [`ProofError::Alike`], [`ProofError::Batch`].
pub fn prove(folder: &Path, name: &str, setup: &Setup) -> Result<Proof, Error> {
    let name = ModelName::parse(name)?;
    let spec = ModelSpec::read(folder, &name)?;
    let precisions = precisions(&spec, setup)?;
    let is_remote = |modality| spec.remote(modality).is_some();
    let runtime = || Runtime::init(&setup.library);
    let version = match is_remote(Modality::Text) && is_remote(Modality::Image) {
        true => "remote".to_owned(),
        false => runtime()?.version().to_owned(),
    };
    // All devices have the same model; one shows that it works.
    let device = match Devices::from_str(&setup.device)? {
        Devices::Each(devices) => devices[0],
        Devices::AllCuda => Device::Cuda(0),
    };
    let options = |precision| SessionOptions { device, threads: setup.threads, precision, max_gpu_memory: 0 };
    let (texts, alone_text, text_provider) = match is_remote(Modality::Text) {
        true => embed_remotely(&spec, Modality::Text)?,
        false => embed_texts(&spec, &options(precisions.text), &runtime()?)?,
    };
    let (images, alone_image, image_provider) = match is_remote(Modality::Image) {
        true => embed_remotely(&spec, Modality::Image)?,
        false => embed_images(&spec, &options(precisions.image), &runtime()?)?,
    };
    let batch = Worst { text: least(&texts, &alone_text), image: least(&images, &alone_image) };
    let spread = Worst { text: spread(&texts), image: spread(&images) };
    check(name.as_str(), batch, spread)?;
    Ok(Proof {
        probe: probe::VERSION,
        digest: digest(&texts, &images),
        fingerprint: spec.fingerprint(precisions)?,
        precision: spec.describe(precisions),
        providers: [text_provider, image_provider],
        onnxruntime: version,
        dimension: spec.dimension,
        batch,
        spread,
        texts,
        images,
    })
}

/// What a model server has to embed before it is used, with the vector that the model's proof has for it.
pub(crate) fn remote_probe(spec: &ModelSpec, tokenizer: &Tokenizer, modality: Modality) -> clip::Result<RemoteProbe> {
    let known = read(&spec.path).filter(|proof| proof.probe == probe::VERSION && proof.dimension == spec.dimension);
    let mut vectors = known.map(|proof| if modality == Modality::Text { proof.texts } else { proof.images });
    let vector = vectors.as_mut().filter(|vectors| !vectors.is_empty()).map(|vectors| vectors.swap_remove(0));
    let (mut ids, mut levels) = (Vec::new(), Vec::new());
    match modality {
        Modality::Text => ids = tokenizer.encode(&probe::texts()[0], LongText::Truncate)?,
        Modality::Image => levels = Preprocessor::new(spec).levels(&probe::images()[0]),
    }
    Ok(RemoteProbe { ids, levels, vector })
}

fn check(model: &str, batch: Worst, spread: Worst) -> Result<(), Error> {
    let model = model.to_owned();
    for (what, cosine) in [("a text", batch.text), ("an image", batch.image)] {
        if cosine < SAME {
            return Err(ProofError::Batch { model, what, cosine }.into());
        }
    }
    for (what, cosine) in [("texts", spread.text), ("images", spread.image)] {
        if cosine > ALIKE {
            return Err(ProofError::Alike { model, what, cosine }.into());
        }
    }
    Ok(())
}

fn precisions(spec: &ModelSpec, setup: &Setup) -> Result<Precisions, Error> {
    let wanted = match setup.precision.as_deref() {
        None | Some("" | "auto") => None,
        // As a proof of another arrangement has it.
        Some(name) if name.contains("remote") || spec.remote.encoders().next().is_some() && name.contains(' ') => None,
        Some(name) => Some(Precision::from_str(name)?),
    };
    Ok(spec.choose(wanted)?)
}

type Vectors = Vec<Vec<f32>>;

/// The vectors in a batch, and one by one.
fn embed_texts(
    spec: &ModelSpec,
    options: &SessionOptions,
    runtime: &Runtime,
) -> Result<(Vectors, Vectors, String), Error> {
    let tokenizer = Tokenizer::load(spec)?;
    let texts = probe::texts();
    let ids = texts.iter().map(|text| tokenizer.encode(text, LongText::Truncate)).collect::<Result<Vec<_>, _>>()?;
    let ids: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
    let mut encoder = TextEncoder::load(spec, options, runtime)?;
    let batch = encoder.embed(&ids, &Cancel::new())?;
    let mut alone = Vec::with_capacity(ids.len());
    for ids in &ids {
        alone.extend(encoder.embed(&[*ids], &Cancel::new())?);
    }
    Ok((batch, alone, encoder.provider().to_string()))
}

fn embed_images(
    spec: &ModelSpec,
    options: &SessionOptions,
    runtime: &Runtime,
) -> Result<(Vectors, Vectors, String), Error> {
    let preprocessor = Preprocessor::new(spec);
    let pixels: Vec<_> = probe::images().iter().map(|image| preprocessor.input(image)).collect();
    let pixels: Vec<_> = pixels.iter().map(|pixels| pixels.view()).collect();
    let mut encoder = ImageEncoder::load(spec, options, runtime)?;
    let batch = encoder.embed(&pixels, &Cancel::new())?;
    let mut alone = Vec::with_capacity(pixels.len());
    for pixels in &pixels {
        alone.extend(encoder.embed(&[*pixels], &Cancel::new())?);
    }
    Ok((batch, alone, encoder.provider().to_string()))
}

/// The same by model servers.
fn embed_remotely(spec: &ModelSpec, modality: Modality) -> Result<(Vectors, Vectors, String), Error> {
    let tokenizer = Tokenizer::load(spec)?;
    let preprocessor = Preprocessor::new(spec);
    let (texts, images) = match modality {
        Modality::Text => (probe::texts(), Vec::new()),
        Modality::Image => (Vec::new(), probe::images()),
    };
    let ids = texts.iter().map(|text| tokenizer.encode(text, LongText::Truncate)).collect::<Result<Vec<_>, _>>()?;
    let levels: Vec<Vec<u8>> = images.iter().map(|image| preprocessor.levels(image)).collect();
    let pixels: Vec<_> = levels.iter().filter_map(|levels| preprocessor.values(levels)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        ProofError::File { action: "start threads for", path: spec.path.clone(), reason: error.to_string() }
    })?;
    let embed = async {
        let probe = remote_probe(spec, &tokenizer, modality)?;
        let encoder = RemoteEncoder::new(spec, modality, probe).expect("it is remote");
        encoder.load().await?;
        let inputs: Vec<RemoteInput<'_>> = match modality {
            Modality::Text => ids.iter().map(|ids| RemoteInput::Ids(ids)).collect(),
            Modality::Image if encoder.takes_levels() => {
                levels.iter().map(|levels| RemoteInput::Levels(levels)).collect()
            }
            Modality::Image => pixels.iter().map(|pixels| RemoteInput::Pixels(pixels.view())).collect(),
        };
        let batch = encoder.embed(&inputs).await?.into_iter().collect::<clip::Result<Vectors>>()?;
        let mut alone = Vectors::with_capacity(inputs.len());
        for input in &inputs {
            alone.extend(encoder.embed(&[*input]).await?.into_iter().collect::<clip::Result<Vectors>>()?);
        }
        Ok((batch, alone, "remote".to_owned()))
    };
    runtime.block_on(embed)
}

/// How far a model's vectors of now are from those of its proof.
///
/// `None` where they cannot be compared: other probes, or other dimensions.
pub fn compare(then: &Proof, now: &Proof) -> Option<Worst> {
    let same_shape = then.probe == now.probe
        && [(&then.texts, &now.texts), (&then.images, &now.images)].into_iter().all(|(then, now)| {
            then.len() == now.len() && then.iter().zip(now.iter()).all(|(then, now)| then.len() == now.len())
        });
    same_shape.then(|| Worst { text: least(&then.texts, &now.texts), image: least(&then.images, &now.images) })
}

/// Writes a proof into its model's folder.
///
/// # Errors
/// [`ProofError::File`].
pub fn write(folder: &Path, proof: &Proof) -> Result<(), Error> {
    let path = folder.join(PROOF);
    let text = serde_json::to_string(proof).expect("a proof is plain data");
    let write = || {
        fs::write(&path, text)?;
        fs::File::open(&path)?.sync_all()
    };
    write().map_err(|error| ProofError::File { action: "write", path: path.clone(), reason: error.to_string() }.into())
}

/// The proof in a model's folder; `None` where there is none that can be read.
pub fn read(folder: &Path) -> Option<Proof> {
    let mut bytes = Vec::new();
    fs::File::open(folder.join(PROOF)).ok()?.take(MAX_PROOF).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// SHA-256 of all values, in order.
fn digest(texts: &Vectors, images: &Vectors) -> String {
    let values = texts.iter().chain(images).flatten();
    hub::sha256(values.flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().as_slice())
}

/// The cosine of the two vectors that are least alike.
fn spread(vectors: &Vectors) -> f64 {
    let pairs = (0..vectors.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
    pairs.map(|(a, b)| cosine(&vectors[a], &vectors[b])).fold(1.0, f64::min)
}

/// The least cosine of vectors with their counterparts.
fn least(a: &Vectors, b: &Vectors) -> f64 {
    a.iter().zip(b).map(|(a, b)| cosine(a, b)).fold(1.0, f64::min)
}

/// Of what need not be exactly of length 1: a proof may have been edited.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    if cosine.is_finite() { cosine } else { -1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_tells_nothing_apart_or_depends_on_its_batch_is_not_proven() {
        let (good, bad) = (Worst { text: 1.0, image: 0.99995 }, Worst { text: 1.0, image: 0.9998 });
        let (apart, alike) = (Worst { text: 0.9, image: -0.1 }, Worst { text: 0.99999, image: 0.1 });
        check("a/b", good, apart).unwrap();
        assert!(matches!(check("a/b", bad, apart), Err(Error::Proof(ProofError::Batch { what: "an image", .. }))));
        assert!(matches!(check("a/b", good, alike), Err(Error::Proof(ProofError::Alike { what: "texts", .. }))));
        let one = vec![vec![1.0, 0.0]; 3];
        assert!(spread(&one) > ALIKE && spread(&vec![vec![1.0, 0.0], vec![0.0, 1.0], vec![1.0, 0.0]]) < 0.1);
        assert!(least(&one, &vec![vec![1.0, 0.0], vec![1.0, 0.1], vec![1.0, 0.0]]) < 0.996);
    }

    #[test]
    fn what_is_no_vector_is_like_nothing() {
        assert_eq!(cosine(&[0.0, 0.0], &[0.0, 0.0]), -1.0);
        assert_eq!(cosine(&[f32::NAN, 0.0], &[1.0, 0.0]), -1.0);
        assert!((cosine(&[3.0, 4.0], &[6.0, 8.0]) - 1.0).abs() < 1e-12);
    }
}
