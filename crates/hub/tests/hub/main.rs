//! Installations from a played hub, from folders and from archives, that go well and that do not.

mod downloads;
mod faults;
mod local;
mod places;

use errors::{CommandClass, Report};
use hub::{Error, Event, Manifest, Name, Outcome, Request, Source, stage};
use played_hub::{File, Hub};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

const NAME: &str = "owner/model";

/// Large enough for several reads of a socket.
fn weights(seed: u8) -> Vec<u8> {
    (0..600_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8 ^ seed).collect()
}

/// A repository with more than is needed.
fn files(seed: u8) -> Vec<File> {
    vec![
        File::small(".gitattributes", "*.onnx filter=lfs"),
        File::small("README.md", "---\nlicense: mit\n---\n"),
        File::small("config.json", format!("{{\"seed\": {seed}}}")),
        File::small("tokenizer.json", "{}"),
        File::small("preprocessor_config.json", "{}"),
        File::large("onnx/text_model.onnx", weights(seed)),
        File::large("onnx/vision_model.onnx", weights(seed ^ 0x55)),
        File::large("onnx/text_model_fp16.onnx", weights(1)),
        File::large("onnx/vision_model_fp16.onnx", weights(2)),
        File::large("model.safetensors", weights(3)),
    ]
}

const CHOSEN: [&str; 6] = [
    "README.md",
    "config.json",
    "onnx/text_model.onnx",
    "onnx/vision_model.onnx",
    "preprocessor_config.json",
    "tokenizer.json",
];

/// A folder of models, and a request that does not wait long.
struct Models(pub TempDir);

impl Models {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("models")
    }

    fn model(&self) -> PathBuf {
        self.path().join(NAME)
    }

    fn request(&self, hub: &Hub) -> Request {
        Request { endpoint: hub.endpoint(), ..self.local(NAME) }
    }

    fn local(&self, source: &str) -> Request {
        let source = Source::parse(source).unwrap();
        Request { first_pause: Duration::from_millis(5), retries: 3, ..Request::new(source, self.path()) }
    }

    /// All that is there below the folder of the owner, but for the model.
    fn leftovers(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path().join("owner")).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|name| name != "model").collect()
    }
}

/// Installs, if that is needed; says whether it was.
fn install(request: &Request) -> Result<(bool, Manifest), Error> {
    install_with(request, &|_| ())
}

fn install_with(request: &Request, progress: &(dyn Fn(Event<'_>) + Sync)) -> Result<(bool, Manifest), Error> {
    match stage(request, progress)? {
        Outcome::Unchanged(_, manifest) => Ok((false, *manifest)),
        Outcome::Staged(staged) => staged.finish().map(|(_, manifest)| (true, manifest)),
    }
}

/// The files below a folder.
fn tree(folder: &Path) -> Vec<String> {
    let (mut files, mut folders) = (Vec::new(), vec![String::new()]);
    while let Some(below) = folders.pop() {
        for entry in std::fs::read_dir(folder.join(&below)).unwrap().flatten() {
            let path = format!("{below}{}", entry.file_name().into_string().unwrap());
            if entry.file_type().unwrap().is_dir() { folders.push(format!("{path}/")) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

/// Fails unless exactly the chosen files of this seed are installed, and the manifest says so.
fn assert_installed(models: &Models, seed: u8) {
    let folder = models.model();
    let mut wanted: Vec<String> = CHOSEN.iter().map(|path| (*path).to_owned()).collect();
    wanted.push(hub::MANIFEST.to_owned());
    wanted.sort();
    assert_eq!(tree(&folder), wanted);
    assert_eq!(std::fs::read(folder.join("onnx/text_model.onnx")).unwrap(), weights(seed));
    assert_eq!(std::fs::read(folder.join("onnx/vision_model.onnx")).unwrap(), weights(seed ^ 0x55));
    let manifest = Manifest::read(&folder).unwrap();
    assert_eq!(manifest.files.len(), CHOSEN.len());
    assert_eq!(manifest.differences(&folder).unwrap(), []);
    assert_eq!(manifest.name, NAME);
    assert_eq!(models.leftovers(), [""; 0]);
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}
