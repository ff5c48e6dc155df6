//! `clip-search-server models …`: installs, lists, verifies, quantizes and removes models, without PostgreSQL.
//!
//! Facts go to standard output: sentences, or with `--json` one [`protocol::ModelLine`] a line. On a terminal a bar shows
//! how far it is. Exit status: 0 done, 1 failed, 2 called wrongly, 3 a model that cannot be used or is not what it was.

mod convert;
mod export_triton;
mod failure;
mod install;
mod list;
mod quantize;
mod remove;
mod report;
mod verify;

use crate::proof::Setup;
use crate::{log_warning, process, proof};
use clap::{Args, Subcommand};
use clip::{ModelName, catalog};
pub use failure::Error as CommandError;

use failure::Failure;
use hub::Name;
use report::Report;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Everything is as it was asked for.
const STATUS_DONE: i32 = 0;
/// It did not succeed.
const STATUS_FAILED: i32 = 1;
/// It was called wrongly.
const STATUS_USAGE: i32 = 2;
/// A model cannot be used, or is not what was installed.
const STATUS_MODEL: i32 = 3;

/// The commands below `models`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Install a model from a hub, a folder, a Hugging Face cache or a .tar file
    Install(install::Arguments),
    /// List what lies in the model directory, and why it cannot be used where it cannot
    List(list::Arguments),
    /// Tell whether a model's files and vectors are still what was installed
    Verify(verify::Arguments),
    /// Make graphs of 8-bit integers, which CPUs run faster, of a model's graphs of 32 bits
    Quantize(quantize::Arguments),
    /// Delete an installed model
    Remove(remove::Arguments),
    /// Write a model repository for Triton, with dynamic batching
    ExportTriton(export_triton::Arguments),
}

/// Install, list, verify, quantize and remove models.
#[derive(Debug, Args)]
pub struct Models {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Common {
    /// Folder of installed models, as clip_search.model_dir [default: CLIP_SEARCH_MODEL_DIR of the environment]
    #[arg(long, global = true, value_name = "DIR")]
    model_dir: Option<PathBuf>,
    /// Write one JSON object a line
    #[arg(long, global = true)]
    json: bool,
    /// A child of PostgreSQL: put right what was inherited, and end with standard input
    #[arg(long, global = true, hide = true)]
    supervised: bool,
}

#[derive(Debug, Args)]
struct Running {
    /// ONNX Runtime library, as clip_search.onnxruntime_library [default: libonnxruntime.so beside this program]
    #[arg(long, value_name = "FILE")]
    onnxruntime_library: Option<PathBuf>,
    /// Where the model is run to prove it: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: String,
    /// Threads of a run; 0 means one for each core
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

impl Running {
    fn setup(&self, precision: Option<String>) -> Setup {
        let beside = || std::env::current_exe().ok().map(|program| program.with_file_name("libonnxruntime.so"));
        let library = self.onnxruntime_library.clone().or_else(beside).unwrap_or_else(|| "libonnxruntime.so".into());
        Setup { library, device: self.device.clone(), threads: self.threads, precision }
    }
}

impl Common {
    fn model_dir(&self) -> Result<PathBuf, Failure> {
        let from_environment = || std::env::var_os("CLIP_SEARCH_MODEL_DIR").map(PathBuf::from);
        let folder = self.model_dir.clone().or_else(from_environment).ok_or(CommandError::NoModelDir)?;
        // A shell that did not expand it would have us make a folder of this name.
        if folder.starts_with("~") {
            return Err(CommandError::Tilde.into());
        }
        Ok(folder)
    }

    /// A model in the model directory or, after it, in other folders.
    fn find(&self, name: &str, also: &[PathBuf]) -> Result<(Name, PathBuf), Failure> {
        let name = Name::parse(name)?;
        let model_dir = self.model_dir()?;
        let roots: Vec<&Path> = [model_dir.as_path()].into_iter().chain(also.iter().map(PathBuf::as_path)).collect();
        let parsed = ModelName::parse(&name.to_string()).map_err(proof::Error::Model)?;
        let path = catalog::find(&roots, &parsed)
            .map_err(|_| hub::Error::NotInstalled { name: name.to_string(), model_dir: model_dir.clone() })?;
        Ok((name, path))
    }
}

/// Runs a command to its end; returns the exit status.
pub fn run(models: &Models) -> i32 {
    if models.common.supervised {
        process::prepare();
        leave_with_standard_input();
    }
    let report = Report::new(models.common.json);
    let done = match &models.command {
        Command::Install(arguments) => install::run(arguments, &models.common, &report),
        Command::List(arguments) => list::run(arguments, &models.common, &report),
        Command::Verify(arguments) => verify::run(arguments, &models.common, &report),
        Command::Quantize(arguments) => quantize::run(arguments, &models.common, &report),
        Command::Remove(arguments) => remove::run(arguments, &models.common, &report),
        Command::ExportTriton(arguments) => export_triton::run(arguments, &models.common, &report),
    };
    done.unwrap_or_else(|failure| {
        report.failure(&failure);
        failure.status()
    })
}

/// The backend holds the other end: should it be killed, nobody waits for this process any more.
fn leave_with_standard_input() {
    std::thread::spawn(|| {
        let mut buffer = [0; 64];
        while std::io::stdin().read(&mut buffer).is_ok_and(|read| read > 0) {}
        log_warning!("the session that asked for this is gone");
        process::leave(STATUS_FAILED);
    });
}
