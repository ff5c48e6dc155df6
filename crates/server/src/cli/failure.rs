//! What did not succeed, in words, with what to do.

use super::{STATUS_FAILED, STATUS_MODEL};
use crate::{failure, proof};

/// What did not succeed.
pub struct Failure {
    /// One word for programs.
    pub class: &'static str,
    /// The fact.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// The exit status.
    pub status: i32,
}

impl Failure {
    pub fn usage(message: &str, hint: &str) -> Self {
        Self { class: "invalid-argument", message: message.to_owned(), hint: Some(hint.to_owned()), status: 2 }
    }
}

impl From<hub::Error> for Failure {
    fn from(error: hub::Error) -> Self {
        let class = error.class();
        let status = match class {
            "invalid-argument" => 2,
            "unusable" => STATUS_MODEL,
            _ => STATUS_FAILED,
        };
        Self { class, message: error.to_string(), hint: error.hint(), status }
    }
}

impl From<weights::Error> for Failure {
    fn from(error: weights::Error) -> Self {
        let (class, status, hint) = match &error {
            weights::Error::Write { .. } => ("io", STATUS_FAILED, "The disk may be full. Install it again."),
            _ => (
                "unusable",
                STATUS_MODEL,
                "docs/models-pytorch.md lists which weights can be converted. Install a repository that has ONNX files.",
            ),
        };
        Self { class, message: error.to_string(), hint: Some(hint.to_owned()), status }
    }
}

impl From<proof::Error> for Failure {
    fn from(error: proof::Error) -> Self {
        let model = |hint: &str| (("unusable", STATUS_MODEL), Some(hint.to_owned()));
        let ((class, status), hint) = match &error {
            proof::Error::Model(clip::Error::BadModel { reason, .. }) if !reason.contains("ermission denied") => {
                model("This release cannot run the model as it is published. docs/models.md lists what it can.")
            }
            proof::Error::Model(cause) if is_the_machines(cause) => (("io", STATUS_FAILED), failure::of(cause).hint),
            proof::Error::Model(cause) => (("unusable", STATUS_MODEL), failure::of(cause).hint),
            proof::Error::Alike { .. } => {
                model("The files are damaged, or the model has not been trained. Install another.")
            }
            proof::Error::Batch { .. } => model(
                "Its vectors would depend on what is embedded beside them. Install another precision, such as fp32.",
            ),
            proof::Error::File { .. } => (("io", STATUS_FAILED), None),
        };
        Self { class, message: error.to_string(), hint, status }
    }
}

/// Whether it is not the model that is at fault: another attempt, with other settings, may succeed.
pub fn is_the_machines(error: &clip::Error) -> bool {
    use clip::Error as E;
    matches!(
        error,
        E::RuntimeLibrary { .. } | E::InvalidDevice { .. } | E::DeviceUnavailable { .. } | E::OutOfMemory { .. }
    )
}
