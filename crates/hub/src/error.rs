//! What can go wrong, one variant for each thing that somebody can act on.

use errors::CommandClass;
use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Characters of a text from outside that a message shows.
const SHOWN: usize = 200;

errors::error_table! {
    /// An error of this crate. Neither its text nor its hint has a token in it, nor the user and password of a URL.
    #[derive(Debug, Clone, PartialEq, Eq)]
    #[non_exhaustive]
    #[allow(missing_docs)]
    pub enum Error: CommandClass {
        InvalidName { name: String } => InvalidArgument {
            message: "\"{name}\" is not a model name (owner/name)",
            hint: "A name is owner/name, such as openai/clip-vit-base-patch32.",
        }
        InvalidSource { source_name: String, reason: String } => InvalidArgument {
            message: "\"{source_name}\" is not a source of a model: {reason}",
            hint: "Pass owner/name of a model repository, owner/name/folder, owner/text+owner/image of two repositories \
                   with one encoder each, or the absolute path of a folder or of a .tar file.",
        }
        InvalidRevision { revision: String } => InvalidArgument {
            message: "\"{revision}\" is not a revision",
            hint: "A revision is a branch, a tag, or the hash of a commit.",
        }
        InvalidPrecision { precision: String } => InvalidArgument {
            message: "\"{precision}\" is not a precision",
            hint: "A precision is fp32, fp16, int8, uint8, quantized, q4, ….",
        }
        InvalidEndpoint { endpoint: String, reason: String } => InvalidArgument {
            message: "\"{endpoint}\" is not the address of a hub: {reason}",
            hint: "Pass a URL that begins with https:// or http://.",
        }
        Token { path: PathBuf, reason: String } => Io {
            let path = path.display();
            message: "could not read the token in \"{path}\": {reason}",
            hint: "The file has the token in its first line, and belongs to the user that reads it.",
        }
        TokenInClear { endpoint: String } => AccessDenied {
            message: "the token is not sent to {endpoint}, which is not encrypted",
            hint: "Use an endpoint that begins with https://, or install without a token.",
        }
        NameNeeded { source_name: String } => InvalidArgument {
            message: "could not tell under which name to install \"{source_name}\"",
            hint: "Pass the name as well, as_name (--as-name) owner/name.",
        }

        NoSuchRepository { repository: String, endpoint: String } => NotFound {
            message: "there is no model repository \"{repository}\" at {endpoint}",
            hint: "Check the spelling. If the repository is private, a token is needed: clip_search.hub_token_file (--token-file), or \
                   HF_TOKEN in the environment.",
        }
        /// Asked with a token.
        NoSuchRepositoryForToken { repository: String, endpoint: String } => NotFound {
            message: "there is no model repository \"{repository}\" at {endpoint}",
            hint: "Check the spelling, and that the token may read the repository.",
        }
        NoSuchRevision { repository: String, revision: String } => NotFound {
            message: "model repository \"{repository}\" has no revision \"{revision}\"",
            hint: "A revision is a branch, a tag, or the hash of a commit of this repository.",
        }
        Gated { repository: String, endpoint: String } => AccessDenied {
            message: "access to model repository \"{repository}\" is restricted",
            hint: "Accept its conditions at {endpoint}/{repository}, and pass a token of that account: clip_search.hub_token_file \
                   (--token-file), or HF_TOKEN in the environment.",
        }
        /// Asked with a token.
        GatedForToken { repository: String, endpoint: String } => AccessDenied {
            message: "access to model repository \"{repository}\" is restricted",
            hint: "Accept its conditions at {endpoint}/{repository}, and check that the token belongs to that account and may read it.",
        }
        TokenRefused { endpoint: String } => AccessDenied {
            message: "{endpoint} refused the token",
            hint: "It may have expired. Make another, or install without a token.",
        }

        Offline { host: String, reason: String } => Network {
            message: "could not connect to {host}: {reason}",
            hint: "Check the network and the proxy (HTTPS_PROXY), name a mirror in clip_search.hub_endpoint (--endpoint), or install \
                   from a folder or a .tar file.",
        }
        Interrupted { host: String, attempts: u32, reason: String } => Network {
            message: "connection to {host} broke {attempts} times without progress: {reason}",
            hint: "Install again: what has been downloaded is kept.",
        }
        RateLimited { host: String, seconds: Option<u64> } => RateLimited {
            let time = seconds.map(|seconds| format!(" {seconds} s")).unwrap_or_default();
            message: "{host} asks to wait{time}",
            hint: "Install again later, or with a token: what has been downloaded is kept.",
        }
        Status { host: String, code: u16, what: String } => Hub {
            message: "{host} answered {code} for {what}",
            hint: "Install again later, and check clip_search.hub_endpoint (--endpoint).",
        }
        BadAnswer { host: String, what: String, reason: String } => Hub {
            message: "answer of {host} for {what} cannot be used: {reason}",
            hint: "Install again later, and check clip_search.hub_endpoint (--endpoint).",
        }

        WrongHash { file: String, expected: String, found: String } => Corrupt {
            message: "file \"{file}\" has the hash {found}, not {expected}",
            hint: "Install again. If it happens again, the mirror or a proxy delivers another file.",
        }
        WrongSize { file: String, expected: u64, found: u64 } => Corrupt {
            message: "file \"{file}\" has {found} bytes, not {expected}",
            hint: "Install again. If it happens again, the mirror or a proxy delivers another file.",
        }
        UnsafePath { path: String } => Unusable {
            message: "\"{path}\" is not an acceptable path of a file",
            hint: "Do not use this source.",
        }
        NoModel { source_name: String, reason: String } => Unusable {
            message: "\"{source_name}\" has no model that can be installed: {reason}",
            hint: "Name a repository with text_model.onnx and vision_model.onnx, or another layout of docs/models.md.",
        }
        SeveralModels { source_name: String, folders: Vec<String> } => Unusable {
            let first = folders.first().cloned().unwrap_or_default();
            let folders = folders.join(", ");
            message: "\"{source_name}\" has its models in folders: {folders}",
            hint: "Append the folder to the name of a hub's repository, as in owner/name/{first}. Of a local source, install a \
                   folder with the tokenizer and preprocessor files beside its graphs.",
        }
        WeightsOnly { source_name: String, file: String } => Unusable {
            message: "\"{source_name}\" has PyTorch weights only ({file})",
            hint: "Name a repository with ONNX files, such as one of Xenova or onnx-community.",
        }
        NoSuchPrecision { source_name: String, precision: String, available: Vec<String> } => NotFound {
            let available = available.join(", ");
            message: "\"{source_name}\" has no {precision} files, only {available}",
            hint: "Pass one of these precisions, or none.",
        }
        Pointer { file: String } => Unusable {
            message: "file \"{file}\" is a Git LFS pointer, not the file itself",
            hint: "Fetch the files themselves, as git lfs pull does.",
        }
        LinkOut { path: PathBuf } => Unusable {
            let path = path.display();
            message: "\"{path}\" is a link that leads out of the folder",
            hint: "Do not use this source.",
        }
        Archive { path: PathBuf, reason: String } => Unusable {
            let path = path.display();
            message: "archive \"{path}\" cannot be used: {reason}",
            hint: "Make it with tar --dereference --create --file model.tar --directory FOLDER . , without compression.",
        }
        TooLarge { source_name: String, unit: &'static str, found: u64, max: u64 } => Limit {
            message: "\"{source_name}\" has {found} {unit}, more than {max}",
            hint: "Name the folder of one model.",
        }

        /// Seen before the first byte.
        NoRoom { path: PathBuf, needed: u64, free: u64 } => DiskFull {
            let path = path.display();
            let needed = needed.div_ceil(1_000_000);
            let free = free / 1_000_000;
            message: "no space left for \"{path}\"",
            hint: "{needed} MB are needed and {free} MB are free. Make room, or set clip_search.model_dir (--model-dir) to another disk.",
        }
        DiskFull { path: PathBuf } => DiskFull {
            let path = path.display();
            message: "no space left for \"{path}\"",
            hint: "Make room and install again: what has been written is kept. Or set clip_search.model_dir (--model-dir) to another \
                   disk.",
        }
        Exists { path: PathBuf, name: String } => Exists {
            let path = path.display();
            message: "\"{path}\" exists and was not installed by clip_search",
            hint: "Install under another name (as_name, --as-name), or remove \"{name}\" first (clip_remove_model, models remove).",
        }
        NotInstalled { name: String, model_dir: PathBuf } => NotFound {
            message: "model \"{name}\" is not installed",
            hint: "clip_models() and \"clip-search-server models list\" list what is installed.",
        }
        Io { action: &'static str, path: PathBuf, reason: String } => Io {
            let path = path.display();
            message: "could not {action} \"{path}\": {reason}",
            docs: "The message says which file, and why.",
        }
    }
}

impl Error {
    /// An error of the operating system; that the disk is full has a variant of its own.
    pub(crate) fn io(action: &'static str, path: &Path, error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        match error.kind() {
            Kind::StorageFull | Kind::QuotaExceeded => Self::DiskFull { path: path.to_owned() },
            _ => Self::Io { action, path: path.to_owned(), reason: error.to_string() },
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
