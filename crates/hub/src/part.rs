//! A file while it is being received: appended to, hashed on the way, and renamed when it is whole and right.

use crate::error::{Error, Result};
use crate::installed_file::InstalledFile;
use crate::listing::{FileId, RemoteFile};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes that are read at a time.
const CHUNK: usize = 1 << 18;

/// A file that is not whole yet.
pub(crate) struct Part {
    path: PathBuf,
    file: File,
    hashes: Hashes,
    len: u64,
    /// Bytes that an earlier run has left.
    kept: u64,
}

struct Hashes {
    sha256: Sha256,
    /// Of git's blob, where that is what the source knows the file by. Its header has the length, so that has to be known.
    git: Option<Sha1>,
}

impl Hashes {
    fn new(wanted: &RemoteFile) -> Self {
        let git = match (&wanted.id, wanted.size) {
            (Some(FileId::GitBlob(_)), Some(size)) => Some(Sha1::new_with_prefix(format!("blob {size}\0"))),
            _ => None,
        };
        Self { sha256: Sha256::new(), git }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(git) = &mut self.git {
            git.update(bytes);
        }
    }
}

impl Part {
    /// Opens what an earlier run has left of this file, or makes it. What is longer than the file can be is dropped.
    pub(crate) fn open(path: &Path, wanted: &RemoteFile) -> Result<Self> {
        let open = || {
            let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
            if wanted.size.is_some_and(|size| file.metadata().is_ok_and(|about| about.len() > size)) {
                file.set_len(0)?;
            }
            let mut hashes = Hashes::new(wanted);
            let len = read_all(&mut file, |bytes| hashes.update(bytes))?;
            Ok(Self { path: path.to_owned(), file, hashes, len, kept: len })
        };
        open().map_err(|error| Error::io("write", path, &error))
    }

    /// Bytes that are there.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Whether an earlier run has left a part of it.
    pub(crate) fn is_resumed(&self) -> bool {
        self.kept > 0
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| Error::io("write", &self.path, &error))?;
        self.hashes.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Forgets what is there.
    pub(crate) fn restart(&mut self, wanted: &RemoteFile) -> Result<()> {
        let empty = |file: &mut File| file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0)));
        empty(&mut self.file).map_err(|error| Error::io("write", &self.path, &error))?;
        (self.hashes, self.len, self.kept) = (Hashes::new(wanted), 0, 0);
        Ok(())
    }

    /// Compares size and hash, and moves the file to its place. Where it is wrong it is deleted.
    pub(crate) fn finish(self, wanted: &RemoteFile, target: &Path) -> Result<InstalledFile> {
        let Self { path, file, hashes, len, .. } = self;
        let sha256 = hex(&hashes.sha256.finalize());
        let git = hashes.git.map(|git| hex(&git.finalize()));
        if let Err(error) = check(wanted, len, &sha256, git.as_deref()) {
            // It would be resumed otherwise, and be wrong again.
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        let move_ = || {
            file.sync_all()?;
            std::fs::rename(&path, target)
        };
        move_().map_err(|error| Error::io("write", target, &error))?;
        Ok(InstalledFile { path: wanted.path.clone(), size: len, sha256 })
    }
}

/// Compares what came with what the source has promised, as far as it has.
fn check(wanted: &RemoteFile, size: u64, sha256: &str, git: Option<&str>) -> Result<()> {
    let file = wanted.path.clone();
    if let Some(expected) = wanted.size
        && expected != size
    {
        return Err(Error::WrongSize { file, expected, found: size });
    }
    let (expected, found) = match (&wanted.id, git) {
        (Some(FileId::Sha256(expected)), _) => (expected, sha256),
        (Some(FileId::GitBlob(expected)), Some(git)) => (expected, git),
        _ => return Ok(()),
    };
    if expected == found {
        return Ok(());
    }
    Err(Error::WrongHash { file, expected: expected.clone(), found: found.to_owned() })
}

/// The file as installed, if the one at `path` is what is wanted. Without a hash to compare with, none is.
pub(crate) fn matching(path: &Path, wanted: &RemoteFile) -> Option<InstalledFile> {
    wanted.id.as_ref()?;
    let about = std::fs::symlink_metadata(path).ok()?;
    if !about.is_file() || wanted.size.is_some_and(|size| size != about.len()) {
        return None;
    }
    let mut hashes = Hashes::new(wanted);
    let size = read_all(&mut File::open(path).ok()?, |bytes| hashes.update(bytes)).ok()?;
    let sha256 = hex(&hashes.sha256.finalize());
    check(wanted, size, &sha256, hashes.git.map(|git| hex(&git.finalize())).as_deref()).ok()?;
    Some(InstalledFile { path: wanted.path.clone(), size, sha256 })
}

/// Hashes a file.
pub(crate) fn sha256_of(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    read_all(&mut File::open(path)?, |bytes| hash.update(bytes))?;
    Ok(hex(&hash.finalize()))
}

/// Reads to the end; returns the number of bytes.
pub(crate) fn read_all(source: &mut impl Read, mut each: impl FnMut(&[u8])) -> io::Result<u64> {
    let (mut buffer, mut total) = (vec![0; CHUNK], 0);
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(read) => {
                each(&buffer[..read]);
                total += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gits_hash_of_a_blob() {
        // What `printf hello | git hash-object --stdin` says.
        let id = FileId::from_hex("b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0");
        let wanted = RemoteFile::new("a".to_owned(), Some(5), id);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "hello").unwrap();
        assert_eq!(matching(&path, &wanted).unwrap().size, 5);
        std::fs::write(&path, "hallo").unwrap();
        assert_eq!(matching(&path, &wanted), None);
    }
}
