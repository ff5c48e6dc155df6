//! The kinds of failure of the server and of its command line, and the SQLSTATE of each.

use crate::{Report, Sqlstate};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why something failed, in the terms of a PostgreSQL error report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Decides the SQLSTATE.
    pub class: ErrorClass,
    /// The fact.
    pub message: String,
    /// What else is known.
    pub detail: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// An error as it goes over the wire.
    pub fn new(class: ErrorClass, error: &impl Report) -> Self {
        Self { class, message: error.to_string(), detail: error.detail(), hint: error.hint() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Report for Failure {
    fn sqlstate(&self) -> Sqlstate {
        self.class.sqlstate()
    }

    fn detail(&self) -> Option<String> {
        self.detail.clone()
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

/// Classes of failure of the inference server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ErrorClass {
    /// The bytes are not an image that can be decoded.
    BadImage,
    /// A known image format that this build does not decode.
    UnsupportedImage,
    /// The input is over a configured limit.
    LimitExceeded,
    /// A model name that is not of the form `owner/name`.
    InvalidModelName,
    /// No such model is installed.
    NoSuchModel,
    /// The model's files are malformed or incomplete.
    BadModel,
    /// The model answered one item with no usable vector: NaN, infinity or zeros.
    BadEmbedding,
    /// The configured device cannot be had.
    DeviceUnavailable,
    /// The ONNX Runtime library is missing or unusable.
    RuntimeUnavailable,
    /// The server is out of memory.
    OutOfMemory,
    /// A setting of the server that makes no sense.
    InvalidSetting,
    /// A text that is not a URL, or one of a scheme that is not fetched.
    InvalidUrl,
    /// A URL that leads to where the server must not connect to.
    UrlNotAllowed,
    /// A URL that gave no image: no such host, no answer, an error, a page.
    UrlFailed,
    /// The server has more to do than it accepts.
    Busy,
    /// The server has as many connections as it may have, and all are in use.
    TooManyConnections,
    /// No model server of a remote encoder can be reached.
    RemoteUnreachable,
    /// A model server has not answered in time.
    RemoteTimeout,
    /// A model server does not have the model, or does not answer as it should.
    RemoteRefused,
    /// A model server wants other credentials.
    RemoteDenied,
    /// A request is too large for a model server.
    RemoteTooLarge,
    /// The request was given up.
    Cancelled,
    /// The two sides do not understand each other.
    Protocol,
    /// Anything that should not happen.
    Internal,
}

impl ErrorClass {
    /// Its SQLSTATE.
    pub const fn sqlstate(self) -> Sqlstate {
        match self {
            Self::BadImage => Sqlstate::INVALID_BINARY_REPRESENTATION,
            Self::UnsupportedImage => Sqlstate::FEATURE_NOT_SUPPORTED,
            Self::LimitExceeded => Sqlstate::PROGRAM_LIMIT_EXCEEDED,
            Self::InvalidModelName | Self::InvalidSetting | Self::InvalidUrl => Sqlstate::INVALID_PARAMETER_VALUE,
            Self::NoSuchModel => Sqlstate::UNDEFINED_OBJECT,
            Self::BadModel => Sqlstate::OBJECT_NOT_IN_PREREQUISITE_STATE,
            Self::BadEmbedding => Sqlstate::DATA_EXCEPTION,
            Self::DeviceUnavailable | Self::RuntimeUnavailable => Sqlstate::SYSTEM_ERROR,
            Self::OutOfMemory => Sqlstate::OUT_OF_MEMORY,
            Self::UrlNotAllowed => Sqlstate::INSUFFICIENT_PRIVILEGE,
            Self::UrlFailed => Sqlstate::IO_ERROR,
            Self::Busy => Sqlstate::INSUFFICIENT_RESOURCES,
            Self::TooManyConnections => Sqlstate::TOO_MANY_CONNECTIONS,
            Self::RemoteUnreachable => Sqlstate::CONNECTION_FAILURE,
            Self::RemoteTimeout => Sqlstate::INSUFFICIENT_RESOURCES,
            Self::RemoteRefused => Sqlstate::OBJECT_NOT_IN_PREREQUISITE_STATE,
            Self::RemoteDenied => Sqlstate::INSUFFICIENT_PRIVILEGE,
            Self::RemoteTooLarge => Sqlstate::OUT_OF_MEMORY,
            Self::Cancelled => Sqlstate::QUERY_CANCELED,
            Self::Protocol => Sqlstate::PROTOCOL_VIOLATION,
            Self::Internal => Sqlstate::INTERNAL_ERROR,
        }
    }
}

macro_rules! command_classes {
    ($($(#[$doc:meta])* $class:ident = $word:literal, $state:ident;)*) => {
        /// Classes of failure of `clip-search-server models …`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum CommandClass {
            $($(#[$doc])* $class,)*
        }

        impl CommandClass {
            /// One word for programs, stable between releases.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$class => $word,)*
                }
            }

            /// Its SQLSTATE.
            pub const fn sqlstate(self) -> Sqlstate {
                match self {
                    $(Self::$class => Sqlstate::$state,)*
                }
            }

            /// The class of a word; [`CommandClass::Io`] for one of another release.
            pub fn from_word(word: &str) -> Self {
                match word {
                    $($word => Self::$class,)*
                    _ => Self::Io,
                }
            }
        }
    };
}

command_classes! {
    /// An argument or setting that makes no sense.
    InvalidArgument = "invalid-argument", INVALID_PARAMETER_VALUE;
    /// No such repository, revision, precision or model.
    NotFound = "not-found", UNDEFINED_OBJECT;
    /// The hub wants another token.
    AccessDenied = "access-denied", INSUFFICIENT_PRIVILEGE;
    /// The hub cannot be reached.
    Network = "network", IO_ERROR;
    /// The hub asks to wait.
    RateLimited = "rate-limited", INSUFFICIENT_RESOURCES;
    /// The hub answers with something else.
    Hub = "hub", IO_ERROR;
    /// A file is not what the hub says that it is.
    Corrupt = "corrupt", DATA_CORRUPTED;
    /// There is no model in it that this release runs.
    Unusable = "unusable", OBJECT_NOT_IN_PREREQUISITE_STATE;
    /// The source is over a limit.
    Limit = "limit", PROGRAM_LIMIT_EXCEEDED;
    /// The disk is full.
    DiskFull = "disk-full", DISK_FULL;
    /// Something else is in the model's place.
    Exists = "exists", DUPLICATE_OBJECT;
    /// A file cannot be read or written.
    Io = "io", IO_ERROR;
}
