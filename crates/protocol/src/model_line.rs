//! What `clip-search-server models … --json` writes to standard output: one JSON object a line. Read by the backend, and by
//! programs of users; so what is here stays, and what is unknown is to be passed over.

use serde::{Deserialize, Serialize};

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ModelLine {
    /// Another process installs this model; it is waited for.
    Waiting,
    /// What is to be taken is known.
    Selected {
        /// Number of files.
        files: u64,
        /// Bytes of them.
        bytes: u64,
        /// Commit of the repository.
        commit: Option<String>,
        /// Licence that the repository states.
        license: Option<String>,
        /// How the files are arranged.
        layout: String,
        /// The precision, where the layout has names for it.
        precision: Option<String>,
    },
    /// How far it is; at most twice a second.
    Progress {
        /// Bytes that are there.
        done: u64,
        /// Bytes of all files.
        total: u64,
    },
    /// A request is made again after a pause.
    Retry {
        /// The file.
        file: String,
        /// What happened.
        reason: String,
        /// Length of the pause in milliseconds.
        pause_ms: u64,
    },
    /// Weights are being converted to ONNX.
    Converting,
    /// All files are there; the probe set is being embedded.
    Proving,
    /// This revision is installed already.
    Unchanged(InstalledModel),
    /// The model can be used from now on.
    Installed(InstalledModel),
    /// The model is gone.
    Removed {
        /// Its name.
        name: String,
        /// Where it was.
        path: String,
    },
    /// A model repository was written.
    Exported {
        /// The model.
        name: String,
        /// The repository.
        path: String,
        /// What remote.json may have, with `HOST` in place of the host.
        remote: String,
    },
    /// A model of a list.
    Model {
        /// Its name.
        name: String,
        /// Where it lies.
        path: String,
        /// Length of its vectors.
        dimension: Option<u32>,
        /// The precisions that it has.
        precisions: Vec<String>,
        /// Bytes on disk.
        bytes: Option<u64>,
        /// Where it came from, if it was installed.
        source: Option<String>,
        /// The commit of that.
        commit: Option<String>,
        /// Why it cannot be used.
        error: Option<String>,
    },
    /// What became of a model since it was installed.
    Verified(VerifiedModel),
    /// The ranges of an encoder's activations are being found out.
    Calibrating {
        /// `text` or `image`.
        encoder: String,
    },
    /// An encoder of 8-bit integers is being compared with that of 32 bits.
    Measuring {
        /// `text` or `image`.
        encoder: String,
    },
    /// The model can be run with 8-bit integers from now on.
    Quantized(Quantized),
    /// It did not succeed. The last line.
    Error {
        /// One word, such as `network` or `not-found`.
        class: String,
        /// The fact.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// Something of a later release.
    #[serde(other)]
    Unknown,
}

/// A model that is installed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstalledModel {
    /// Its name.
    pub name: String,
    /// Where it lies.
    pub path: String,
    /// Repository, folder or archive.
    pub source: String,
    /// Commit of the repository.
    pub commit: Option<String>,
    /// Licence that the repository states.
    pub license: Option<String>,
    /// Bytes of its files.
    pub bytes: u64,
    /// The precision that is run, where it is known.
    pub precision: Option<String>,
    /// Length of its vectors, where it is known.
    pub dimension: Option<u32>,
    /// Whether another revision was there before.
    pub replaced: bool,
}

/// What became of a model since it was installed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerifiedModel {
    /// Its name.
    pub name: String,
    /// Whether all files are what was installed, and all vectors what they were.
    pub ok: bool,
    /// Files that were compared; 0 where nothing is known of the model.
    pub files: u64,
    /// Files that are missing or different, with what is the matter.
    pub damaged: Vec<String>,
    /// Least cosine of a text's vector then and now; `None` where there is nothing to compare with.
    pub text_cosine: Option<f64>,
    /// The same of images.
    pub image_cosine: Option<f64>,
    /// Whether all vectors are equal in every bit.
    pub identical: Option<bool>,
    /// Why there are no vectors of now.
    pub error: Option<String>,
    /// When it was installed, in seconds since 1970.
    pub installed_at: Option<u64>,
}

/// A model that was quantised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantized {
    /// Its name.
    pub name: String,
    /// Where it lies.
    pub path: String,
    /// Bytes of the files that were added.
    pub bytes: u64,
    /// How near the vectors of texts are to those of 32 bits.
    pub text: Nearness,
    /// The same of images.
    pub image: Nearness,
}

/// Cosines of vectors to those of 32 bits, of samples that the calibration has not seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Nearness {
    /// The lowest.
    pub lowest: f64,
    /// Half are higher.
    pub median: f64,
    /// Number of samples.
    pub count: u32,
}
