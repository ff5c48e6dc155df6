//! Installing, verifying, quantising and removing models: `clip-search-server models …` as a child of the backend, which touches neither
//! network nor model itself.

mod child;

use crate::errors::{CommandClass, CommandFailure, Error, ModelError, Result};
use crate::{encoding, settings};
use child::Child;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode as Code};
use protocol::{InstalledModel, ModelLine, Quantized, VerifiedModel};
use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

/// Time between two notices of how far it is.
const NOTICE_EVERY: Duration = Duration::from_secs(5);

/// What to install.
pub struct Install {
    /// Repository, folder, or archive.
    pub source: String,
    /// Branch, tag or commit.
    pub revision: Option<String>,
    /// Such as `fp16`.
    pub precision: Option<String>,
    /// Such as `owner/name`.
    pub as_name: Option<String>,
}

/// Installs a model; notices tell how far it is.
///
/// # Errors
/// [`Error::Model`], [`Error::CannotStart`].
pub fn install(what: &Install) -> Result<InstalledModel> {
    let mut arguments = arguments("install")?;
    let mut option = |name: &str, value: Option<&str>| {
        arguments.extend(value.map(|value| OsString::from(format!("--{name}={value}"))));
    };
    option("revision", what.revision.as_deref());
    option("precision", what.precision.as_deref());
    option("as-name", what.as_name.as_deref());
    option("endpoint", settings::hub_endpoint().as_deref());
    arguments.extend(settings::hub_token_file().map(|path| option_path("--token-file=", &path)));
    arguments.extend(running());
    arguments.extend(["--".into(), OsString::from(&what.source)]);
    let mut notices = Notices::default();
    run(&arguments, |line| match line {
        ModelLine::Installed(model) | ModelLine::Unchanged(model) => Some(model),
        other => {
            notices.tell(&other);
            None
        }
    })
}

/// Compares a model's files and vectors with what they were when it was installed.
///
/// # Errors
/// As [`install`].
pub fn verify(name: &str) -> Result<VerifiedModel> {
    let mut arguments = arguments("verify")?;
    arguments.push(option_path("--also=", &settings::bundled_models()));
    arguments.extend(running());
    arguments.extend(["--".into(), OsString::from(name)]);
    run(&arguments, |line| match line {
        ModelLine::Verified(model) => Some(model),
        _ => None,
    })
}

/// Makes graphs of 8-bit integers of an installed model; notices tell how far it is.
///
/// # Errors
/// As [`install`].
pub fn quantize(name: &str, force: bool) -> Result<Quantized> {
    let mut arguments = arguments("quantize")?;
    arguments.extend(force.then(|| OsString::from("--force")));
    arguments.extend(running());
    arguments.extend(["--".into(), OsString::from(name)]);
    let mut notices = Notices::default();
    run(&arguments, |line| match line {
        ModelLine::Quantized(model) => Some(model),
        other => {
            notices.tell(&other);
            None
        }
    })
}

/// Deletes an installed model.
///
/// # Errors
/// As [`install`].
pub fn remove(name: &str) -> Result<()> {
    let mut arguments = arguments("remove")?;
    arguments.extend(["--".into(), OsString::from(name)]);
    run(&arguments, |line| matches!(line, ModelLine::Removed { .. }).then_some(()))
}

fn arguments(command: &str) -> Result<Vec<OsString>> {
    let model_dir = settings::model_dir();
    if !model_dir.is_absolute() {
        return Err(ModelError::ModelDir { value: model_dir.display().to_string() }.into());
    }
    let mut arguments: Vec<OsString> = ["models", command, "--json", "--supervised"].map(OsString::from).into();
    arguments.push(option_path("--model-dir=", &model_dir));
    Ok(arguments)
}

/// How a model is run to prove it: as the server runs it.
fn running() -> [OsString; 3] {
    let config = settings::server_config();
    [
        option_path("--onnxruntime-library=", &config.onnxruntime_library),
        format!("--device={}", config.device).into(),
        format!("--threads={}", config.threads).into(),
    ]
}

fn option_path(name: &str, path: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push(path);
    option
}

/// Runs a command to its end, and takes the result out of what it says.
fn run<T>(arguments: &[OsString], mut result: impl FnMut(ModelLine) -> Option<T>) -> Result<T> {
    let mut child = Child::start(&settings::server_program(), arguments)?;
    let mut found = None;
    while let Some(line) = child.next_line()? {
        match serde_json::from_str(&line) {
            Ok(ModelLine::Error { class, message, hint }) => {
                let class = CommandClass::from_word(&class);
                return Err(ModelError::from(CommandFailure { class, message, hint }).into());
            }
            Ok(line) => found = result(line).or(found),
            // What another release of the program says.
            Err(_) => pgrx::debug1!("clip_search: unexpected line of clip-search-server: {line}"),
        }
    }
    let how = child.end();
    found.ok_or_else(|| Error::from(ModelError::Ended { how }))
}

/// Tells the client how far it is, not too often.
#[derive(Default)]
struct Notices {
    told: Option<Instant>,
}

impl Notices {
    fn tell(&mut self, line: &ModelLine) {
        match line {
            ModelLine::Waiting => notice("another session or process changes this model; waiting for it", None),
            ModelLine::Selected { files, bytes, commit, license, .. } => {
                let commit = commit.as_deref().map(|commit| format!(", commit {commit}")).unwrap_or_default();
                let license = license.as_deref().map(|name| format!(", licence {name}")).unwrap_or_default();
                notice(&format!("{files} files, {} MB{commit}{license}", megabytes(*bytes)), None);
                self.told = Some(Instant::now());
            }
            ModelLine::Progress { done, total } if self.told.is_none_or(|told| told.elapsed() >= NOTICE_EVERY) => {
                self.told = Some(Instant::now());
                let percent = (100 * done).checked_div(*total).unwrap_or(100);
                notice(&format!("{} of {} MB ({percent} %)", megabytes(*done), megabytes(*total)), None);
            }
            ModelLine::Retry { file, reason, pause_ms } => {
                notice(&format!("{file}: {reason}; trying again in {pause_ms} ms"), None);
            }
            ModelLine::Converting => notice("converting the weights to ONNX", None),
            ModelLine::Proving => notice("embedding the probe set", None),
            ModelLine::Calibrating { encoder } => notice(&format!("calibrating the {encoder} encoder"), None),
            ModelLine::Measuring { encoder } => notice(&format!("measuring the {encoder} encoder"), None),
            _ => {}
        }
    }
}

/// Tells the client something.
pub fn notice(fact: &str, hint: Option<&str>) {
    let code = Code::ERRCODE_SUCCESSFUL_COMPLETION;
    let mut report = ErrorReport::new(code, encoding::for_message(fact.to_owned()), "clip_search");
    if let Some(hint) = hint {
        report = report.set_hint(encoding::for_message(hint.to_owned()));
    }
    report.report(PgLogLevel::NOTICE);
}

fn megabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1_000_000)
}
