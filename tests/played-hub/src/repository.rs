//! Repositories and their commits.

use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// From so many bytes on, a file lies on the CDN.
const LARGE: u64 = 10 << 20;

/// What is in a file.
#[derive(Debug, Clone)]
pub enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Those of a file of this machine.
    Disk(PathBuf),
}

impl Content {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Disk(path) => fs::metadata(path).map_or(0, |about| about.len()),
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Disk(path) => fs::read(path).unwrap_or_default(),
        }
    }
}

/// A file of a repository.
#[derive(Debug, Clone)]
pub struct File {
    /// Its path in the repository.
    pub path: String,
    /// What is in it.
    pub content: Content,
    /// Whether it lies on the CDN, as what Git LFS keeps.
    pub is_large: bool,
}

impl File {
    /// A file of the repository itself.
    pub fn small(path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.to_owned(), content: Content::Bytes(bytes.into()), is_large: false }
    }

    /// A file on the CDN.
    pub fn large(path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self { is_large: true, ..Self::small(path, bytes) }
    }

    fn sha256(&self) -> String {
        hex(&Sha256::digest(self.content.bytes()))
    }

    fn blob_id(&self, content: &[u8]) -> String {
        let mut hash = Sha1::new_with_prefix(format!("blob {}\0", content.len()));
        hash.update(content);
        hex(&hash.finalize())
    }

    fn describe(&self) -> Value {
        if !self.is_large {
            let content = self.content.bytes();
            return json!({"rfilename": self.path, "size": content.len(), "blobId": self.blob_id(&content)});
        }
        let (sha256, size) = (self.sha256(), self.content.len());
        let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n");
        json!({
            "rfilename": self.path, "size": size, "blobId": self.blob_id(pointer.as_bytes()),
            "lfs": {"sha256": sha256, "size": size, "pointerSize": pointer.len()},
        })
    }
}

/// The files of a commit, and how the listing describes each.
type Commit = (Vec<File>, Vec<Value>);

/// All commits of a repository.
#[derive(Default)]
pub(crate) struct Repository {
    commits: HashMap<String, Commit>,
    main: String,
    pub token: Option<String>,
}

impl Repository {
    pub fn commit(&mut self, files: Vec<File>) -> String {
        let described: Vec<Value> = files.iter().map(File::describe).collect();
        let id = hex(&Sha1::digest(Value::from(described.clone()).to_string()));
        self.commits.insert(id.clone(), (files, described));
        self.main.clone_from(&id);
        id
    }

    fn resolve(&self, revision: &str) -> Option<(&String, &Commit)> {
        let commit = if revision == "main" { &self.main } else { revision };
        self.commits.get_key_value(commit)
    }

    pub fn listing(&self, name: &str, revision: &str) -> Option<String> {
        let (sha, (_, described)) = self.resolve(revision)?;
        let json = json!({"id": name, "sha": sha, "cardData": {"license": "mit"}, "siblings": described});
        Some(json.to_string())
    }

    pub fn file(&self, commit: &str, path: &str) -> Option<&File> {
        self.resolve(commit)?.1.0.iter().find(|file| file.path == path)
    }

    /// The hash of a file on the CDN, as the listing has it.
    pub fn sha256(&self, commit: &str, path: &str) -> Option<&str> {
        let (_, (_, described)) = self.resolve(commit)?;
        described.iter().find(|file| file["rfilename"] == path)?["lfs"]["sha256"].as_str()
    }
}

/// The files of a folder.
pub(crate) fn files_of(folder: &Path) -> Vec<File> {
    let (mut files, mut folders) = (Vec::new(), vec![String::new()]);
    while let Some(below) = folders.pop() {
        for entry in fs::read_dir(folder.join(&below)).expect("a folder").flatten() {
            let path = format!("{below}{}", entry.file_name().to_string_lossy());
            let about = fs::metadata(entry.path()).expect("a file");
            if about.is_dir() {
                folders.push(format!("{path}/"));
                continue;
            }
            let is_large = about.len() >= LARGE || path.ends_with(".onnx");
            files.push(File { path, content: Content::Disk(entry.path()), is_large });
        }
    }
    files
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
