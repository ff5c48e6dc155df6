//! One installation from its source to the place where the server looks for models.

use crate::archive::Archive;
use crate::client::Client;
use crate::download::{Download, Job};
use crate::error::{Error, Result};
use crate::folder::Folder;
use crate::installed_file::InstalledFile;
use crate::listing::{Listing, RemoteFile};
use crate::manifest::{MANIFEST, Manifest};
use crate::name::{Name, check_revision, is_commit, is_safe_path};
use crate::part::{Part, matching, sha256_of};
use crate::place::{Lock, Place, delete, make_folder, sync};
use crate::progress::Event;
use crate::retry::Pauses;
use crate::select::{Layout, Selection, precision, select};
use crate::source::Source;
use crate::sys::free_space;
use crate::token::Token;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Where files are kept that are not whole, in the folder that is being prepared.
const PARTS: &str = ".parts";
/// The branch that is meant where no revision is given.
const DEFAULT_REVISION: &str = "main";
/// Retries of the first question: somebody waits, and nothing would be lost.
const LISTING_RETRIES: u32 = 3;

/// What to install, and how.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where it comes from.
    pub source: Source,
    /// Branch, tag or commit; `None` is `main`.
    pub revision: Option<String>,
    /// `fp32`, `fp16`, …; `None` and `auto` are the most exact that there is.
    pub precision: Option<String>,
    /// The name under which it is installed; `None` is that of the source.
    pub as_name: Option<Name>,
    /// The folder of installed models.
    pub model_dir: PathBuf,
    /// Address of the hub.
    pub endpoint: String,
    /// For restricted repositories.
    pub token: Option<Token>,
    /// Files that are downloaded at a time.
    pub connections: usize,
    /// Attempts after the first, as long as nothing comes.
    pub retries: u32,
    /// Pause before the first of them; each further is twice as long.
    pub first_pause: Duration,
    /// Whether a source that has the weights of PyTorch only may be staged; the caller converts them then.
    pub accept_weights: bool,
}

impl Request {
    /// A request with everything else as usual.
    pub fn new(source: Source, model_dir: PathBuf) -> Self {
        Self {
            source,
            revision: None,
            precision: None,
            as_name: None,
            model_dir,
            endpoint: crate::DEFAULT_ENDPOINT.to_owned(),
            token: None,
            connections: 4,
            retries: 6,
            first_pause: Duration::from_millis(500),
            accept_weights: false,
        }
    }
}

/// What came of [`stage`].
pub enum Outcome {
    /// This very revision is installed already.
    Unchanged(PathBuf, Box<Manifest>),
    /// All files are there and verified; [`Staged::finish`] installs them.
    Staged(Box<Staged>),
}

/// A model that is whole and not installed yet. Dropped, it stays, and the next installation takes what it needs of it.
pub struct Staged {
    place: Place,
    manifest: Manifest,
    _lock: Lock,
}

impl Staged {
    /// Its folder, for now.
    pub fn folder(&self) -> PathBuf {
        self.place.staging()
    }

    /// What it consists of.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Whether something is installed under this name, which it will replace.
    pub fn replaces(&self) -> bool {
        self.place.target().exists()
    }

    /// Writes down a file that was made from the others, such as by converting weights. `path` is relative to the folder.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read; [`Error::UnsafePath`].
    pub fn add_derived(&mut self, path: &str) -> Result<()> {
        if !is_safe_path(path) {
            return Err(Error::UnsafePath { path: crate::error::show(path) });
        }
        let file = self.folder().join(path);
        let bad = |error| Error::io("read", &file, &error);
        let sha256 = sha256_of(&file).map_err(bad)?;
        let size = fs::metadata(&file).map_err(bad)?.len();
        self.manifest.derived.retain(|known| known.path != path);
        self.manifest.derived.push(InstalledFile { path: path.to_owned(), size, sha256 });
        self.manifest.write(&self.folder())
    }

    /// Deletes the weights that other files were made of. The source has them still.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn delete_weights(&mut self) -> Result<()> {
        const WEIGHTS: [&str; 4] = [".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json"];
        let is_weights = |file: &InstalledFile| WEIGHTS.iter().any(|end| file.path.ends_with(end));
        let (weights, others) = std::mem::take(&mut self.manifest.files).into_iter().partition(is_weights);
        (self.manifest.converted, self.manifest.files) = (weights, others);
        let folder = self.folder();
        self.manifest.converted.iter().try_for_each(|file| delete(&folder.join(&file.path)))?;
        self.manifest.write(&folder)
    }

    /// Puts it in its place. What was there is replaced in one step, and deleted.
    ///
    /// # Errors
    /// [`Error::Io`]; what was installed before stays then.
    pub fn finish(self) -> Result<(PathBuf, Manifest)> {
        sync(&self.place.staging())?;
        self.place.swap()?;
        Ok((self.place.target(), self.manifest))
    }

    /// Deletes it: nothing in it is worth another attempt.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn discard(self) -> Result<()> {
        delete(&self.place.staging())
    }
}

/// Gets all files of a model ready, beside the place where it will be.
///
/// # Errors
/// [`Error`]; what has been received is kept for the next attempt.
pub fn stage(request: &Request, progress: &(dyn Fn(Event<'_>) + Sync)) -> Result<Outcome> {
    precision(request.precision.as_deref())?;
    request.revision.as_deref().map_or(Ok(()), check_revision)?;
    let origin = Origin::open(request)?;
    let source_name = request.source.describe();
    let known = request.as_name.clone().or_else(|| request.source.name());
    // A local source is listed first where only that tells its name.
    let listed = match (&known, &origin) {
        (None, Origin::Folder(_) | Origin::Archive(_)) => Some(origin.list(request)?),
        _ => None,
    };
    let name = known.or_else(|| listed.as_ref()?.name.clone());
    let name = name.ok_or_else(|| Error::NameNeeded { source_name: source_name.clone() })?;
    let place = Place::new(&request.model_dir, &name);
    place.make(&request.model_dir)?;
    let outcome = stage_in(&place, &name, request, &origin, listed, progress);
    if outcome.is_err() {
        place.remove_owner_if_empty();
    }
    outcome
}

/// The part of it that is done under the lock.
fn stage_in(
    place: &Place,
    name: &Name,
    request: &Request,
    origin: &Origin,
    listed: Option<Listing>,
    progress: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Outcome> {
    let source_name = request.source.describe();
    let lock = place.lock(|| progress(Event::Waiting))?;
    place.recover()?;

    let target = place.target();
    let before = Manifest::read(&target);
    if before.is_none() && target.exists() {
        return Err(Error::Exists { path: target, name: name.to_string() });
    }
    // A commit always has the same files: nobody has to be asked.
    if let (Origin::Hub(..), Some(manifest)) = (origin, &before)
        && request.revision.as_deref().is_some_and(is_commit)
        && manifest.commit == request.revision.as_deref().map(str::to_ascii_lowercase)
        && is_same(manifest, request, origin, &target)
    {
        return Ok(Outcome::Unchanged(target, Box::new(manifest.clone())));
    }
    let listing = match listed {
        Some(listing) => listing,
        None => origin.list(request)?,
    };
    let selection = select(&listing.files, request.precision.as_deref(), &source_name)?;
    if selection.layout == Layout::Weights && !request.accept_weights {
        let file = selection.files.first().map(|file| file.path.clone()).unwrap_or_default();
        return Err(Error::WeightsOnly { source_name, file });
    }
    if let Some(manifest) = &before
        && listing.commit.is_some()
        && manifest.commit == listing.commit
        && is_same(manifest, request, origin, &target)
    {
        return Ok(Outcome::Unchanged(target, Box::new(manifest.clone())));
    }
    let (commit, license) = (listing.commit.as_deref(), listing.license.as_deref());
    progress(Event::Selected { selection: &selection, commit, license });
    let work = Work { place, selection: &selection, target: &target, progress };
    let files = work.gather(origin, request, commit)?;
    // A folder or an archive has no commit: the same content is the same.
    if let Some(manifest) = &before
        && !matches!(origin, Origin::Hub(..))
        && manifest.is_made_of(&files)
        && is_same(manifest, request, origin, &target)
    {
        delete(&place.staging())?;
        return Ok(Outcome::Unchanged(target, Box::new(manifest.clone())));
    }
    let manifest = Manifest {
        format: Manifest::FORMAT,
        name: name.to_string(),
        source: source_name,
        endpoint: origin.endpoint(),
        revision: request.revision.clone(),
        commit: listing.commit,
        asked_precision: asked(request),
        precision: selection.precision,
        layout: selection.layout,
        license: listing.license,
        installed_at: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        release: env!("CARGO_PKG_VERSION").to_owned(),
        files,
        derived: Vec::new(),
        converted: Vec::new(),
    };
    manifest.write(&place.staging())?;
    Ok(Outcome::Staged(Box::new(Staged { place: place.clone(), manifest, _lock: lock })))
}

/// Deletes an installed model, and what an interrupted installation has left of it.
///
/// # Errors
/// [`Error::NotInstalled`], [`Error::Io`].
pub fn remove(model_dir: &Path, name: &Name) -> Result<PathBuf> {
    let place = Place::new(model_dir, name);
    let not_installed = || Error::NotInstalled { name: name.to_string(), model_dir: model_dir.to_owned() };
    let there = || place.target().exists() || place.staging().exists();
    if !there() {
        return Err(not_installed());
    }
    let lock = place.lock(|| ())?;
    place.recover()?;
    // Somebody else may have been faster.
    if !there() {
        return Err(not_installed());
    }
    place.remove()?;
    drop(lock);
    place.remove_owner_if_empty();
    Ok(place.target())
}

fn asked(request: &Request) -> Option<String> {
    precision(request.precision.as_deref()).ok().flatten().map(str::to_owned)
}

/// Whether the same was asked for before, and is there.
fn is_same(manifest: &Manifest, request: &Request, origin: &Origin, target: &Path) -> bool {
    manifest.source == request.source.describe()
        && manifest.endpoint == origin.endpoint()
        && manifest.asked_precision == asked(request)
        && manifest.looks_whole(target)
}

/// A source that was opened.
enum Origin {
    Hub(Name, Box<Client>, tokio::runtime::Runtime),
    Folder(Box<Folder>),
    Archive(Box<Archive>),
}

impl Origin {
    fn open(request: &Request) -> Result<Self> {
        Ok(match &request.source {
            Source::Hub(name, _) | Source::Pair(name, _) => {
                let client = Client::new(&request.endpoint, request.token.clone())?;
                let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
                let runtime = runtime.map_err(|error| Error::io("start threads for", &request.model_dir, &error))?;
                Self::Hub(name.clone(), Box::new(client), runtime)
            }
            Source::Folder(path) => Self::Folder(Box::new(Folder::list(path, request.revision.as_deref())?)),
            Source::Archive(path) if request.revision.is_some() => {
                let (source_name, reason) = (path.display().to_string(), "an archive has no revisions".to_owned());
                return Err(Error::InvalidSource { source_name, reason });
            }
            Source::Archive(path) => Self::Archive(Box::new(Archive::list(path)?)),
        })
    }

    fn endpoint(&self) -> Option<String> {
        match self {
            Self::Hub(_, client, _) => Some(client.endpoint()),
            Self::Folder(_) | Self::Archive(_) => None,
        }
    }

    fn list(&self, request: &Request) -> Result<Listing> {
        match self {
            Self::Hub(name, client, runtime) => {
                let revision = request.revision.as_deref().unwrap_or(DEFAULT_REVISION);
                let mut pauses = Pauses::new(request.retries.min(LISTING_RETRIES), request.first_pause);
                let mut listing = |name, revision| runtime.block_on(client.listing(name, revision, &mut pauses));
                if let Source::Pair(text, image) = &request.source {
                    // One for both, or one for each.
                    let (first, second) = revision.split_once('+').unwrap_or((revision, revision));
                    return Ok(Listing::pair((text, listing(text, first)?), (image, listing(image, second)?)));
                }
                let listing = listing(name, revision)?;
                let Source::Hub(_, Some(folder)) = &request.source else { return Ok(listing) };
                let reason = || format!("there is no folder \"{folder}\" or \"onnx/{folder}\"");
                let source_name = request.source.describe();
                listing.of_folder(folder).ok_or_else(|| Error::NoModel { source_name, reason: reason() })
            }
            Self::Folder(folder) => Ok(folder.listing.clone()),
            Self::Archive(archive) => Ok(archive.listing.clone()),
        }
    }
}

/// The files of one installation.
struct Work<'a> {
    place: &'a Place,
    selection: &'a Selection,
    target: &'a Path,
    progress: &'a (dyn Fn(Event<'_>) + Sync),
}

impl Work<'_> {
    /// Has all chosen files in the folder that is being prepared, and nothing else; in the order of the selection.
    fn gather(&self, origin: &Origin, request: &Request, commit: Option<&str>) -> Result<Vec<InstalledFile>> {
        let staging = self.place.staging();
        make_folder(&staging.join(PARTS))?;
        self.clean(&staging)?;
        let (mut done, mut missing) = (Vec::new(), Vec::new());
        for file in &self.selection.files {
            match self.reuse(file, &staging)? {
                Some(there) => {
                    (self.progress)(Event::Received(there.size));
                    (self.progress)(Event::Whole(&file.path));
                    done.push(there);
                }
                None => missing.push(file.clone()),
            }
        }
        self.check_space(&staging, &missing)?;
        let new = match origin {
            Origin::Hub(name, client, runtime) => {
                let download = Download {
                    client,
                    name,
                    commit: commit.unwrap_or(DEFAULT_REVISION),
                    connections: request.connections,
                    retries: request.retries,
                    first_pause: request.first_pause,
                    progress: self.progress,
                };
                let jobs = missing.into_iter().map(|file| self.job(file, &staging)).collect::<Result<_>>()?;
                runtime.block_on(download.all(jobs))?
            }
            Origin::Folder(folder) => {
                let copy = |file| self.copy(&file, &mut folder.open(&file)?, &staging);
                missing.into_iter().map(copy).collect::<Result<Vec<_>>>()?
            }
            Origin::Archive(archive) => {
                let mut copied = Vec::new();
                archive.read(&missing, |file, content| {
                    copied.push(self.copy(file, content, &staging)?);
                    Ok(())
                })?;
                copied
            }
        };
        done.extend(new);
        delete(&staging.join(PARTS))?;
        let folders: HashSet<PathBuf> =
            done.iter().filter_map(|file| Some(staging.join(&file.path).parent()?.to_owned())).collect();
        folders.iter().try_for_each(|folder| sync(folder))?;
        let found = |file: &RemoteFile| done.iter().find(|done| done.path == file.path).cloned();
        self.selection.files.iter().map(|file| found(file).ok_or_else(|| incomplete(file, request))).collect()
    }

    /// A file that is there already: in what an interrupted installation has left, or in the revision that is installed.
    fn reuse(&self, file: &RemoteFile, staging: &Path) -> Result<Option<InstalledFile>> {
        let here = staging.join(&file.path);
        if let Some(found) = matching(&here, file) {
            return Ok(Some(found));
        }
        delete(&here)?;
        let Some(found) = matching(&self.target.join(&file.path), file) else { return Ok(None) };
        make_parent(&here)?;
        // Both names mean one file until the old one is deleted.
        Ok(fs::hard_link(self.target.join(&file.path), &here).is_ok().then_some(found))
    }

    fn job(&self, file: RemoteFile, staging: &Path) -> Result<Job> {
        let target = staging.join(&file.path);
        make_parent(&target)?;
        Ok(Job { part: staging.join(PARTS).join(part_name(&file)), target, file })
    }

    fn copy(&self, file: &RemoteFile, content: &mut dyn Read, staging: &Path) -> Result<InstalledFile> {
        let Job { file, part: path, target } = self.job(file.clone(), staging)?;
        let mut part = Part::open(&path, &file)?;
        part.restart(&file)?;
        let mut written = Ok(());
        // As much as was announced and one more byte: what grows meanwhile is told by its size.
        let limit = file.size.map_or(u64::MAX, |size| size.saturating_add(1));
        let read = crate::part::read_all(&mut content.take(limit), |bytes| {
            if written.is_ok() {
                written = part.append(bytes);
                (self.progress)(Event::Received(bytes.len() as u64));
            }
        });
        written?;
        read.map_err(|error| Error::io("read", &target, &error))?;
        let file = part.finish(&file, &target)?;
        (self.progress)(Event::Whole(&file.path));
        Ok(file)
    }

    /// Fails where the disk is too small for what is missing.
    fn check_space(&self, staging: &Path, missing: &[RemoteFile]) -> Result<()> {
        let there =
            |file: &RemoteFile| fs::metadata(staging.join(PARTS).join(part_name(file))).map_or(0, |about| about.len());
        let needed: u64 =
            missing.iter().map(|file| file.size.unwrap_or(0).saturating_sub(there(file))).fold(0, u64::saturating_add);
        match free_space(staging) {
            Some(free) if free < needed => Err(Error::NoRoom { path: staging.to_owned(), needed, free }),
            _ => Ok(()),
        }
    }

    /// Deletes what an earlier attempt has left and this one has no use for.
    fn clean(&self, staging: &Path) -> Result<()> {
        let files = &self.selection.files;
        let parts: HashSet<PathBuf> = files.iter().map(|file| Path::new(PARTS).join(part_name(file))).collect();
        let wanted: HashSet<PathBuf> = files.iter().map(|file| PathBuf::from(&file.path)).chain(parts).collect();
        let mut folders = vec![PathBuf::new()];
        while let Some(below) = folders.pop() {
            let folder = staging.join(&below);
            for entry in fs::read_dir(&folder).map_err(|error| Error::io("read", &folder, &error))?.flatten() {
                let path = below.join(entry.file_name());
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if is_folder && wanted.iter().any(|file| file.starts_with(&path) && *file != path) {
                    folders.push(path);
                } else if is_folder || !wanted.contains(&path) {
                    delete(&staging.join(&path))?;
                }
            }
        }
        make_folder(&staging.join(PARTS))?;
        debug_assert!(!staging.join(MANIFEST).exists(), "it is not among the files of a source");
        Ok(())
    }
}

fn incomplete(file: &RemoteFile, request: &Request) -> Error {
    let source_name = request.source.describe();
    Error::NoModel { source_name, reason: format!("\"{}\" was listed and is not there", file.path) }
}

fn make_parent(path: &Path) -> Result<()> {
    path.parent().map_or(Ok(()), make_folder)
}

/// The name of a file that is not whole. It has the content's hash in it: what belongs to another revision is not resumed.
fn part_name(file: &RemoteFile) -> String {
    let id = file.id.as_ref().map_or("", |id| id.as_hex());
    let digest = Sha256::digest(format!("{id}\0{}", file.path));
    crate::part::hex(&digest[..16])
}
