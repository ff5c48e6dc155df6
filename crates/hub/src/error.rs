//! What can go wrong, one variant for each thing that somebody can act on.

use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Characters of a text from outside that a message shows.
const SHOWN: usize = 200;

/// An error of this crate. The text states the fact, [`Error::hint`] what to do. Neither has a token in it, nor the user
/// and password of a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Error {
    #[error("\"{name}\" is not a model name (owner/name)")]
    InvalidName { name: String },
    #[error("\"{source_name}\" is not a source of a model: {reason}")]
    InvalidSource { source_name: String, reason: String },
    #[error("\"{revision}\" is not a revision")]
    InvalidRevision { revision: String },
    #[error("\"{precision}\" is not a precision")]
    InvalidPrecision { precision: String },
    #[error("\"{endpoint}\" is not the address of a hub: {reason}")]
    InvalidEndpoint { endpoint: String, reason: String },
    #[error("could not read the token in \"{}\": {reason}", .path.display())]
    Token { path: PathBuf, reason: String },
    #[error("the token is not sent to {endpoint}, which is not encrypted")]
    TokenInClear { endpoint: String },
    #[error("could not tell under which name to install \"{source_name}\"")]
    NameNeeded { source_name: String },

    #[error("there is no model repository \"{repository}\" at {endpoint}")]
    NoSuchRepository { repository: String, endpoint: String, has_token: bool },
    #[error("model repository \"{repository}\" has no revision \"{revision}\"")]
    NoSuchRevision { repository: String, revision: String },
    #[error("access to model repository \"{repository}\" is restricted")]
    Gated { repository: String, endpoint: String, has_token: bool },
    #[error("{endpoint} refused the token")]
    TokenRefused { endpoint: String },

    #[error("could not connect to {host}: {reason}")]
    Offline { host: String, reason: String },
    #[error("connection to {host} broke {attempts} times without progress: {reason}")]
    Interrupted { host: String, attempts: u32, reason: String },
    #[error("{host} asks to wait{}", .seconds.map(|seconds| format!(" {seconds} s")).unwrap_or_default())]
    RateLimited { host: String, seconds: Option<u64> },
    #[error("{host} answered {code} for {what}")]
    Status { host: String, code: u16, what: String },
    #[error("answer of {host} for {what} cannot be used: {reason}")]
    BadAnswer { host: String, what: String, reason: String },

    #[error("file \"{file}\" has the hash {found}, not {expected}")]
    WrongHash { file: String, expected: String, found: String },
    #[error("file \"{file}\" has {found} bytes, not {expected}")]
    WrongSize { file: String, expected: u64, found: u64 },
    #[error("\"{path}\" is not an acceptable path of a file")]
    UnsafePath { path: String },
    #[error("\"{source_name}\" has no model that can be installed: {reason}")]
    NoModel { source_name: String, reason: String },
    #[error("\"{source_name}\" has several models: {}", .folders.join(", "))]
    SeveralModels { source_name: String, folders: Vec<String> },
    #[error("\"{source_name}\" has PyTorch weights only ({file})")]
    WeightsOnly { source_name: String, file: String },
    #[error("\"{source_name}\" has no {precision} files, only {}", .available.join(", "))]
    NoSuchPrecision { source_name: String, precision: String, available: Vec<String> },
    #[error("file \"{file}\" is a Git LFS pointer, not the file itself")]
    Pointer { file: String },
    #[error("\"{}\" is a link that leads out of the folder", .path.display())]
    LinkOut { path: PathBuf },
    #[error("archive \"{}\" cannot be used: {reason}", .path.display())]
    Archive { path: PathBuf, reason: String },
    #[error("\"{source_name}\" has {found} {unit}, more than {max}")]
    TooLarge { source_name: String, unit: &'static str, found: u64, max: u64 },

    #[error("no space left for \"{}\"", .path.display())]
    DiskFull { path: PathBuf, needed: Option<u64>, free: Option<u64> },
    #[error("\"{}\" exists and was not installed by clip_search", .path.display())]
    Exists { path: PathBuf, name: String },
    #[error("model \"{name}\" is not installed")]
    NotInstalled { name: String, model_dir: PathBuf },
    #[error("could not {action} \"{}\": {reason}", .path.display())]
    Io { action: &'static str, path: PathBuf, reason: String },
}

impl Error {
    /// An error of the operating system; that the disk is full has a variant of its own.
    pub(crate) fn io(action: &'static str, path: &Path, error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        match error.kind() {
            Kind::StorageFull | Kind::QuotaExceeded => {
                Self::DiskFull { path: path.to_owned(), needed: None, free: None }
            }
            _ => Self::Io { action, path: path.to_owned(), reason: error.to_string() },
        }
    }

    /// What to do, as full sentences.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::InvalidName { .. } => "A name is owner/name, such as openai/clip-vit-base-patch32.",
            Self::InvalidSource { .. } => {
                "Pass owner/name of a model repository, or the absolute path of a folder or of a .tar file."
            }
            Self::InvalidRevision { .. } => "A revision is a branch, a tag, or the hash of a commit.",
            Self::InvalidPrecision { .. } => "A precision is fp32, fp16, int8, uint8, quantized, q4, ….",
            Self::InvalidEndpoint { .. } => "Pass a URL that begins with https:// or http://.",
            Self::Token { .. } => "The file has the token in its first line, and belongs to the user that reads it.",
            Self::TokenInClear { .. } => "Use an endpoint that begins with https://, or install without a token.",
            Self::NameNeeded { .. } => "Pass the name as well, as_name (--as-name) owner/name.",
            Self::NoSuchRepository { has_token: false, .. } => {
                "Check the spelling. If the repository is private, a token is needed: clip_search.hub_token_file \
                 (--token-file), or HF_TOKEN in the environment."
            }
            Self::NoSuchRepository { .. } => "Check the spelling, and that the token may read the repository.",
            Self::NoSuchRevision { .. } => "A revision is a branch, a tag, or the hash of a commit of this repository.",
            Self::Gated { repository, endpoint, has_token } => {
                return Some(format!(
                    "Accept its conditions at {endpoint}/{repository}, and {}",
                    if *has_token {
                        "check that the token belongs to that account and may read it."
                    } else {
                        "pass a token of that account: clip_search.hub_token_file (--token-file), or HF_TOKEN in the \
                         environment."
                    }
                ));
            }
            Self::TokenRefused { .. } => "It may have expired. Make another, or install without a token.",
            Self::Offline { .. } => {
                "Check the network and the proxy (HTTPS_PROXY), name a mirror in clip_search.hub_endpoint (--endpoint), or \
                 install from a folder or a .tar file."
            }
            Self::Interrupted { .. } => "Install again: what has been downloaded is kept.",
            Self::RateLimited { .. } => "Install again later, or with a token: what has been downloaded is kept.",
            Self::Status { .. } | Self::BadAnswer { .. } => {
                "Install again later, and check clip_search.hub_endpoint (--endpoint)."
            }
            Self::WrongHash { .. } | Self::WrongSize { .. } => {
                "Install again. If it happens again, the mirror or a proxy delivers another file."
            }
            Self::UnsafePath { .. } | Self::LinkOut { .. } => "Do not use this source.",
            Self::NoModel { .. } => {
                "Name a repository with text_model.onnx and vision_model.onnx, or another layout of docs/models.md."
            }
            Self::SeveralModels { .. } => {
                "Copy one of these folders, with the tokenizer and preprocessor files, and install from there."
            }
            Self::WeightsOnly { .. } => "Name a repository with ONNX files, such as one of Xenova or onnx-community.",
            Self::NoSuchPrecision { .. } => "Pass one of these precisions, or none.",
            Self::Pointer { .. } => "Fetch the files themselves, as git lfs pull does.",
            Self::Archive { .. } => {
                "Make it with tar --dereference --create --file model.tar --directory FOLDER . , without compression."
            }
            Self::TooLarge { .. } => "Name the folder of one model.",
            Self::DiskFull { needed: Some(needed), free: Some(free), .. } => {
                return Some(format!(
                    "{} MB are needed and {} MB are free. Make room, or set clip_search.model_dir (--model-dir) to another \
                     disk.",
                    needed.div_ceil(1_000_000),
                    free / 1_000_000
                ));
            }
            Self::DiskFull { .. } => {
                "Make room and install again: what has been written is kept. Or set clip_search.model_dir (--model-dir) to \
                 another disk."
            }
            Self::Exists { name, .. } => {
                return Some(format!(
                    "Install under another name (as_name, --as-name), or remove \"{name}\" first (clip_remove_model, models \
                     remove)."
                ));
            }
            Self::NotInstalled { .. } => "clip_models() and \"clip-search-server models list\" list what is installed.",
            Self::Io { .. } => return None,
        };
        Some(hint.to_owned())
    }

    /// One word for programs, stable between releases.
    pub fn class(&self) -> &'static str {
        match self {
            Self::InvalidName { .. }
            | Self::InvalidSource { .. }
            | Self::InvalidRevision { .. }
            | Self::InvalidPrecision { .. }
            | Self::InvalidEndpoint { .. }
            | Self::NameNeeded { .. } => "invalid-argument",
            Self::NoSuchRepository { .. }
            | Self::NoSuchRevision { .. }
            | Self::NotInstalled { .. }
            | Self::NoSuchPrecision { .. } => "not-found",
            Self::Gated { .. } | Self::TokenRefused { .. } | Self::TokenInClear { .. } => "access-denied",
            Self::Offline { .. } | Self::Interrupted { .. } => "network",
            Self::RateLimited { .. } => "rate-limited",
            Self::Status { .. } | Self::BadAnswer { .. } => "hub",
            Self::WrongHash { .. } | Self::WrongSize { .. } => "corrupt",
            Self::NoModel { .. }
            | Self::SeveralModels { .. }
            | Self::WeightsOnly { .. }
            | Self::Pointer { .. }
            | Self::UnsafePath { .. }
            | Self::LinkOut { .. }
            | Self::Archive { .. } => "unusable",
            Self::TooLarge { .. } => "limit",
            Self::DiskFull { .. } => "disk-full",
            Self::Exists { .. } => "exists",
            Self::Token { .. } | Self::Io { .. } => "io",
        }
    }
}

/// Text from outside for a message: shortened, control characters escaped.
pub(crate) fn show(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}
