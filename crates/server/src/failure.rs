//! What a [`clip::Error`] or [`fetch::Error`] means to a client: its class, and what to do about it.

use crate::model_dir;
use clip::Error;
use lookalike::TextKind;
use protocol::{ErrorClass, Failure};

/// Describes an error for the client.
pub(crate) fn of(error: &Error) -> Failure {
    use ErrorClass as Class;
    let (class, hint) = match error {
        Error::InvalidModelName { .. } => (
            Class::InvalidModelName,
            Some("A model's name is its path below clip_search.model_dir, such as openai/clip-vit-base-patch32."),
        ),
        Error::NoSuchModel { .. } => (
            Class::NoSuchModel,
            Some(
                "SELECT name FROM clip_models() lists what is installed; a superuser can install it with clip_install_model.",
            ),
        ),
        Error::NoSuchPrecision { .. } | Error::InvalidPrecision { .. } => {
            (Class::BadModel, Some("Set clip_search.precision to one of them, or to auto."))
        }
        Error::BadModel { reason, .. } if reason.contains("ermission denied") => (
            Class::BadModel,
            Some(
                "Make the model's files readable for the user that PostgreSQL runs as; where links lead to another folder, \
                     run SELECT clip_restart_server() as a superuser.",
            ),
        ),
        Error::BadModel { reason, .. } if reason.contains("were replaced") => {
            (Class::BadModel, Some("Run SELECT clip_restart_server() as a superuser, and embed again."))
        }
        Error::BadModel { .. } => (Class::BadModel, Some("Download the model again, with all of its files.")),
        Error::TextTooLong { .. } => {
            (Class::LimitExceeded, Some("Shorten the text, or set clip_search.on_long_text to truncate."))
        }
        Error::TextTooLarge { .. } => (
            Class::LimitExceeded,
            Some("Pass its beginning, such as left(the_text, 1000): a model reads some dozen words."),
        ),
        Error::Tokenize { .. } => (Class::Internal, None),
        Error::NotAnImage { text, .. } => (Class::BadImage, Some(image_hint(*text))),
        Error::UnsupportedImage { .. } => (Class::UnsupportedImage, Some("Convert the image to JPEG or PNG.")),
        Error::CorruptImage { .. } => (Class::BadImage, Some("The file is damaged or was cut short; upload it again.")),
        Error::ImageTooLarge { .. } => {
            (Class::LimitExceeded, Some("Scale the image down, or raise clip_search.max_image_bytes."))
        }
        Error::TooManyPixels { .. } => {
            (Class::LimitExceeded, Some("Scale the image down, or raise clip_search.max_image_pixels."))
        }
        Error::ImageTimeout { .. } => {
            (Class::LimitExceeded, Some("Scale the image down, or raise clip_search.image_timeout."))
        }
        Error::ImageMemory { .. } => {
            (Class::LimitExceeded, Some("Scale the image down, or raise clip_search.max_image_pixels."))
        }
        Error::DecoderCrashed { .. } => {
            (Class::BadImage, Some("The file may be damaged; make the image anew, as JPEG or PNG."))
        }
        Error::DecoderUnavailable { .. } => {
            (Class::OutOfMemory, Some("The machine may be short of memory or processes; the kernel's log says so."))
        }
        Error::RuntimeLibrary { .. } => (
            Class::RuntimeUnavailable,
            Some("Run make install, or set clip_search.onnxruntime_library to the path of libonnxruntime.so."),
        ),
        Error::InvalidDevice { .. } => (Class::DeviceUnavailable, Some("Correct clip_search.device.")),
        Error::DeviceUnavailable { .. } => (
            Class::DeviceUnavailable,
            Some("Set clip_search.device to auto or cpu, or clip_search.onnxruntime_library to a build with CUDA."),
        ),
        Error::Inference { .. } => (Class::Internal, None),
        Error::OutOfMemory { .. } => (
            Class::OutOfMemory,
            Some(
                "Raise clip_search.max_server_memory where it is the limit, lower clip_search.max_batch, or use a smaller model.",
            ),
        ),
        Error::BadEmbedding { .. } => (
            Class::BadEmbedding,
            Some(
                "Leave this item out, or set clip_search.precision to a more exact one: other items are not affected.",
            ),
        ),
        Error::Cancelled => (Class::Cancelled, None),
        _ => (Class::Internal, None),
    };
    let message = match error {
        // Where models lie on the disk is the administrator's business.
        Error::NoSuchModel { name, .. } => format!("model \"{name}\" is not installed"),
        other => other.to_string(),
    };
    let detail = match error {
        // The first is clip_search.model_dir, the others came with the extension.
        Error::NoSuchModel { roots, .. } => {
            let problem = roots.first().and_then(|root| model_dir::problem(root));
            problem.map(|problem| sentence(&problem.to_string()))
        }
        _ => None,
    };
    Failure { class, message, detail, hint: hint.map(str::to_owned) }
}

fn sentence(fact: &str) -> String {
    let mut letters = fact.chars();
    // The name of a setting stays as it is written.
    let first =
        letters.next().map(|first| if fact.starts_with("clip_search.") { first } else { first.to_ascii_uppercase() });
    first.into_iter().chain(letters).chain(['.']).collect()
}

/// Describes why a URL gave no image, to whoever has asked for it: what else is known is the administrator's business.
pub(crate) fn of_fetch(error: &fetch::Error, asked: &str) -> Failure {
    const PUBLIC: &str =
        "Only public addresses are fetched from; an administrator can list others in clip_search.url_allow.";
    use ErrorClass as Class;
    use fetch::Error as E;
    let (class, hint) = match error {
        E::InvalidUrl { .. } | E::Scheme { .. } => {
            (Class::InvalidUrl, Some("Pass a URL that begins with http://, https:// or data:."))
        }
        E::NotAllowed { .. } if error.is_about_the_address_asked_for(asked) => (Class::UrlNotAllowed, Some(PUBLIC)),
        // The same, whether there is such a name in the own network or not.
        E::NotAllowed { .. } | E::Resolve { .. } => (Class::UrlFailed, Some(PUBLIC)),
        E::Port { .. } => (
            Class::UrlNotAllowed,
            Some("An administrator can list ports in clip_search.url_ports, or one host's in clip_search.url_allow."),
        ),
        E::AllowList { .. } | E::Ports { .. } | E::Setup { .. } => {
            (Class::InvalidSetting, Some("The server log says what is wrong."))
        }
        E::Connect { .. } | E::Tls { .. } => (Class::UrlFailed, Some("The server log says what happened.")),
        E::TooLarge { .. } => {
            (Class::LimitExceeded, Some("Raise clip_search.max_image_bytes if images may be so large."))
        }
        E::Timeout { .. } => (Class::UrlFailed, Some("Try again, or raise clip_search.url_timeout.")),
        E::TooManyRedirects { .. } => (Class::UrlFailed, Some("Pass the URL that the image has now.")),
        _ => (Class::UrlFailed, None),
    };
    Failure { class, message: error.to_user(asked), detail: None, hint: hint.map(str::to_owned) }
}

/// What whoever passed text in the place of an image has to do.
fn image_hint(text: Option<TextKind>) -> &'static str {
    match text {
        Some(TextKind::Url) => "They are a URL: clip_fetch_image fetches the image.",
        Some(TextKind::DataUrl) => {
            "They are a data URL: pass decode(split_part(the_url, ',', 2), 'base64'), or clip_fetch_image(the_url)."
        }
        Some(TextKind::Path) => {
            "They are a path: pass the content of the file. A superuser reads a file of the server with pg_read_binary_file."
        }
        Some(TextKind::Hex) => {
            "They are hexadecimal digits: pass decode(the_digits, 'hex'), without a prefix such as \\x."
        }
        Some(TextKind::Base64) => "They are base64: pass decode(the_text, 'base64').",
        Some(TextKind::Other) => "They are text: pass the bytes of an image file, or call clip_embed_text.",
        None => "Pass the bytes of an image file: JPEG, PNG, GIF, WebP, BMP, TIFF, …",
    }
}

/// What a URL answered is not an image in a format that anybody here knows.
pub(crate) fn not_an_image(url: &str, fetched: &fetch::Fetched) -> Failure {
    let kind = fetched.content_type.as_deref().unwrap_or("of no stated type");
    Failure {
        class: ErrorClass::UrlFailed,
        message: format!("\"{}\" is not an image", fetch::show_text(url)),
        detail: Some(format!("The answer has {} bytes, {kind}.", fetched.bytes.len())),
        hint: None,
    }
}

/// A failure of the server itself.
pub(crate) fn internal(message: impl Into<String>) -> Failure {
    Failure { class: ErrorClass::Internal, message: message.into(), detail: None, hint: None }
}
