//! `models install`

use super::failure::is_the_machines;
use super::{Common, Failure, Report, Running, STATUS_DONE, STATUS_MODEL, convert};
use crate::proof::{self, Proof};
use clap::Args;
use hub::{Layout, Manifest, Name, Outcome, Request, Source, Staged, Token};
use protocol::{InstalledModel, ModelLine};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub struct Arguments {
    /// owner/name or owner/name/folder of a repository, owner/text+owner/image of two, or the path (with / or ./) of a folder, a Hugging Face cache or a .tar file
    source: String,
    /// Branch, tag or commit [default: main]
    #[arg(long)]
    revision: Option<String>,
    /// fp32, fp16, int8, … [default: the most exact that there is]
    #[arg(long)]
    precision: Option<String>,
    /// Name to install it under [default: that of the repository]
    #[arg(long, value_name = "OWNER/NAME")]
    as_name: Option<String>,
    /// Address of the hub or of a mirror
    #[arg(long, value_name = "URL", default_value = hub::DEFAULT_ENDPOINT)]
    endpoint: String,
    /// File with a token for restricted repositories [default: HF_TOKEN of the environment]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    running: Running,
}

pub fn run(arguments: &Arguments, common: &Common, report: &Report) -> Result<i32, Failure> {
    let request = request(arguments, &common.model_dir()?)?;
    let mut staged = match hub::stage(&request, &|event| report.event(&event))? {
        Outcome::Unchanged(path, manifest) => {
            report.line(&ModelLine::Unchanged(describe(&path, &manifest, proof::read(&path).as_ref(), false)));
            return Ok(STATUS_DONE);
        }
        Outcome::Staged(staged) => *staged,
    };
    if staged.manifest().layout == Layout::Weights {
        report.line(&ModelLine::Converting);
        if let Err(failure) = convert::finish_install(&mut staged) {
            // A full disk is put right without another download.
            if failure.status() == STATUS_MODEL {
                staged.discard()?;
            }
            return Err(failure);
        }
    }
    report.line(&ModelLine::Proving);
    let proof = match prove(&staged, arguments) {
        Ok(proof) => proof,
        Err(error) => {
            // What is wrong with the machine is put right without another download.
            if !matches!(&error, proof::Error::Model(cause) if is_the_machines(cause)) {
                staged.discard()?;
            }
            return Err(error.into());
        }
    };
    if staged.manifest().layout == Layout::Weights {
        staged.delete_weights()?;
    }
    let replaced = staged.replaces();
    let (path, manifest) = staged.finish()?;
    report.line(&ModelLine::Installed(describe(&path, &manifest, Some(&proof), replaced)));
    Ok(STATUS_DONE)
}

fn request(arguments: &Arguments, model_dir: &Path) -> Result<Request, Failure> {
    let Arguments { source, revision, precision, as_name, endpoint, token_file, running: _ } = arguments;
    let token = match token_file {
        Some(path) => Some(Token::from_file(path)?),
        None => Token::from_environment(),
    };
    Ok(Request {
        revision: revision.clone(),
        precision: precision.clone(),
        as_name: as_name.as_deref().map(Name::parse).transpose()?,
        endpoint: endpoint.clone(),
        token,
        accept_weights: true,
        ..Request::new(Source::parse(source)?, model_dir.to_owned())
    })
}

fn prove(staged: &Staged, arguments: &Arguments) -> Result<Proof, proof::Error> {
    let setup = arguments.running.setup(arguments.precision.clone());
    let proof = proof::prove(&staged.folder(), &staged.manifest().name, &setup)?;
    proof::write(&staged.folder(), &proof)?;
    Ok(proof)
}

fn describe(path: &Path, manifest: &Manifest, proof: Option<&Proof>, replaced: bool) -> InstalledModel {
    InstalledModel {
        name: manifest.name.clone(),
        path: path.display().to_string(),
        source: manifest.source.clone(),
        commit: manifest.commit.clone(),
        license: manifest.license.clone(),
        bytes: manifest.bytes(),
        precision: proof.map(|proof| proof.precision.clone()),
        dimension: proof.map(|proof| proof.dimension as u32),
        replaced,
    }
}
