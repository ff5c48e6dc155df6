//! What can be wrong with installing, verifying or removing a model.

use pgrx::PgSqlErrorCode as Code;
use std::path::PathBuf;

/// Why a command on a model did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// What the command itself says.
    #[error("{message}")]
    Command {
        /// One word, as `hub::Error::class` has it.
        class: String,
        /// The fact.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// It said nothing.
    #[error("clip-search-server {how} while it worked on a model")]
    Ended {
        /// Its exit status or signal.
        how: String,
    },
    /// The setting names no folder that everybody understands alike.
    #[error("clip_search.model_dir is not an absolute path: \"{}\"", .value.display())]
    ModelDir {
        /// Its value.
        value: PathBuf,
    },
}

impl ModelError {
    /// The SQLSTATE.
    pub fn code(&self) -> Code {
        match self {
            Self::Command { class, .. } => match class.as_str() {
                "invalid-argument" => Code::ERRCODE_INVALID_PARAMETER_VALUE,
                "not-found" => Code::ERRCODE_UNDEFINED_OBJECT,
                "access-denied" => Code::ERRCODE_INSUFFICIENT_PRIVILEGE,
                "rate-limited" => Code::ERRCODE_INSUFFICIENT_RESOURCES,
                "corrupt" => Code::ERRCODE_DATA_CORRUPTED,
                "unusable" => Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                "limit" => Code::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                "disk-full" => Code::ERRCODE_DISK_FULL,
                "exists" => Code::ERRCODE_DUPLICATE_OBJECT,
                // "network", "hub", "io"
                _ => Code::ERRCODE_IO_ERROR,
            },
            Self::Ended { .. } => Code::ERRCODE_SYSTEM_ERROR,
            Self::ModelDir { .. } => Code::ERRCODE_INVALID_PARAMETER_VALUE,
        }
    }

    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Command { hint, .. } => hint.clone(),
            Self::Ended { .. } => Some("The server log may say why. What has been downloaded is kept.".to_owned()),
            Self::ModelDir { .. } => Some(
                "Set it to an absolute path, without ~, or to nothing for clip_search_models in the data directory."
                    .to_owned(),
            ),
        }
    }
}
