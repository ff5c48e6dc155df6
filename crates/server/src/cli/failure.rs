//! What did not succeed, in words, with what to do.

use super::{STATUS_FAILED, STATUS_MODEL, STATUS_USAGE};
use crate::{proof, quantize};
use errors::{CommandClass, Report};

errors::error_table! {
    /// An error of the command line itself.
    #[derive(Debug)]
    pub enum Error: CommandClass {
        /// Nothing says where models are.
        NoModelDir => InvalidArgument {
            message: "there is no --model-dir",
            hint: "Pass the folder that clip_search.model_dir names.",
        }
        /// A shell has not expanded it.
        Tilde => InvalidArgument {
            message: "~ in --model-dir has no meaning here",
            hint: "Pass an absolute path.",
        }
        /// The folder of models.
        ModelDir {
            /// The folder.
            path: String,
            /// What the operating system said.
            reason: String,
        } => Io {
            message: "could not read \"{path}\": {reason}",
            hint: "Pass the folder that clip_search.model_dir names, as --model-dir.",
        }
        /// Weights without what texts are read with.
        NoTokenizer {
            /// Where they come from.
            source_name: String,
        } => Unusable {
            message: "{source_name} has neither tokenizer.json nor vocab.json with merges.txt",
            hint: "Install a repository that has a tokenizer, such as another model of the same family with the same \
                   vocabulary, or put it beside the weights in a folder and install that.",
        }
        /// The configuration of a model whose weights were converted.
        Config {
            /// What was tried.
            action: &'static str,
            /// The file.
            path: String,
            /// What the operating system said.
            reason: String,
        } => Io {
            message: "could not {action} \"{path}\": {reason}",
            docs: "The message says which file, and why.",
        }
        /// A file of a model repository.
        Export {
            /// The file or folder.
            path: String,
            /// What the operating system said.
            reason: String,
        } => Io {
            message: "could not write \"{path}\": {reason}",
            docs: "The message says which file, and why.",
        }
        /// A model that could be read, but not be run.
        CannotRun {
            /// What is wrong with which file.
            problem: String,
        } => Unusable {
            message: "{problem}",
            hint: "This release cannot run the model as it is published. docs/models.md lists what it can.",
        }
    }
}

/// What did not succeed.
#[derive(Debug)]
pub struct Failure {
    /// Decides the exit status and, of a command in SQL, the SQLSTATE.
    pub class: CommandClass,
    /// The fact.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Failure {
    fn new(class: CommandClass, error: &impl Report) -> Self {
        Self { class, message: error.to_string(), hint: error.hint() }
    }

    /// The exit status.
    pub fn status(&self) -> i32 {
        match self.class {
            CommandClass::InvalidArgument => STATUS_USAGE,
            CommandClass::Unusable => STATUS_MODEL,
            _ => STATUS_FAILED,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(error.code(), &error)
    }
}

impl From<hub::Error> for Failure {
    fn from(error: hub::Error) -> Self {
        Self::new(error.code(), &error)
    }
}

impl From<weights::Error> for Failure {
    fn from(error: weights::Error) -> Self {
        Self::new(error.code(), &error)
    }
}

impl From<proof::Error> for Failure {
    fn from(error: proof::Error) -> Self {
        match error {
            proof::Error::Proof(error) => Self::new(error.code(), &error),
            proof::Error::Model(cause @ clip::Error::BadModel { .. }) => {
                Error::CannotRun { problem: cause.to_string() }.into()
            }
            proof::Error::Model(cause) if is_the_machines(&cause) => Self::new(CommandClass::Io, &cause),
            proof::Error::Model(cause) => Self::new(CommandClass::Unusable, &cause),
        }
    }
}

impl From<quantize::Error> for Failure {
    fn from(error: quantize::Error) -> Self {
        match error {
            quantize::Error::Proof(error) => error.into(),
            quantize::Error::Weights(error) => error.into(),
            quantize::Error::Hub(error) => error.into(),
            quantize::Error::Refused(error) => Self::new(error.code(), &error),
        }
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
