//! What can be wrong with installing, verifying or removing a model.

use crate::{CommandClass, Report, Sqlstate};
use std::fmt;

crate::error_table! {
    /// Why a command on a model did not succeed.
    #[derive(Debug)]
    pub enum ModelError: Sqlstate {
        /// It said nothing.
        Ended {
            /// Its exit status or signal.
            how: String,
        } => SYSTEM_ERROR {
            message: "clip-search-server {how} while it worked on a model",
            hint: "The server log may say why. What has been downloaded is kept.",
        }
        /// A warning, where somebody sets it.
        NotInstalled {
            /// `owner/name`.
            name: String,
        } => UNDEFINED_OBJECT {
            message: "model \"{name}\" is not installed",
            hint: "SELECT name FROM clip_models() lists the models that are; clip_install_model installs one.",
        }
        /// The setting names no folder that everybody understands alike.
        ModelDir {
            /// Its value.
            value: String,
        } => INVALID_PARAMETER_VALUE {
            message: "clip_search.model_dir is not an absolute path: \"{value}\"",
            hint: "Set it to an absolute path, without ~, or to nothing for clip_search_models in the data directory.",
        }
        @wrap {
            /// What the command itself says.
            Command(CommandFailure),
        }
    }
}

/// What `clip-search-server models …` says of itself.
#[derive(Debug)]
pub struct CommandFailure {
    /// Decides the SQLSTATE.
    pub class: CommandClass,
    /// The fact.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl fmt::Display for CommandFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Report for CommandFailure {
    fn sqlstate(&self) -> Sqlstate {
        self.class.sqlstate()
    }

    fn detail(&self) -> Option<String> {
        None
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}
