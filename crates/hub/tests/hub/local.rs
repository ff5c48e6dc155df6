//! From folders, Hugging Face caches and archives.

use crate::*;
use played_hub::Content;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

const COMMIT: &str = "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268";

/// Writes the files of a repository below a folder.
fn write(folder: &Path, seed: u8) {
    for file in files(seed) {
        let path = folder.join(&file.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let Content::Bytes(bytes) = file.content else { unreachable!() };
        fs::write(path, bytes).unwrap();
    }
}

/// The same as a Hugging Face cache: links to blobs, and a branch. Returns the repository's folder in it.
fn write_cache(cache: &Path, seed: u8) -> PathBuf {
    let repository = cache.join("models--owner--model");
    let snapshot = repository.join("snapshots").join(COMMIT);
    fs::create_dir_all(repository.join("blobs")).unwrap();
    fs::create_dir_all(repository.join("refs")).unwrap();
    fs::write(repository.join("refs/main"), COMMIT).unwrap();
    for (number, file) in files(seed).into_iter().enumerate() {
        let path = snapshot.join(&file.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let Content::Bytes(bytes) = file.content else { unreachable!() };
        fs::write(repository.join(format!("blobs/blob{number}")), bytes).unwrap();
        let up = "../".repeat(file.path.matches('/').count() + 2);
        symlink(format!("{up}blobs/blob{number}"), path).unwrap();
    }
    repository
}

fn request(models: &Models, path: &Path) -> Request {
    Request { as_name: Some(name(NAME)), ..models.local(path.to_str().unwrap()) }
}

#[test]
fn a_folder() {
    let models = Models::new();
    let folder = models.0.path().join("downloaded");
    write(&folder, 7);
    let error = install(&models.local(folder.to_str().unwrap())).unwrap_err();
    assert!(matches!(error, Error::NameNeeded { .. }), "{error:?}");
    assert!(install(&request(&models, &folder)).unwrap().0);
    assert_installed(&models, 7);
    assert!(!install(&request(&models, &folder)).unwrap().0, "the second time nothing changes");
    write(&folder, 8);
    assert!(install(&request(&models, &folder)).unwrap().0);
    assert_installed(&models, 8);
    let error = install(&Request { revision: Some("main".to_owned()), ..request(&models, &folder) }).unwrap_err();
    assert!(matches!(error, Error::InvalidSource { .. }), "{error:?}");
}

#[test]
fn a_model_that_was_installed_keeps_its_name() {
    let (models, other) = (Models::new(), Models::new());
    let folder = models.0.path().join("downloaded");
    write(&folder, 7);
    install(&request(&models, &folder)).unwrap();
    install(&other.local(models.model().to_str().unwrap())).unwrap();
    assert_installed(&other, 7);
}

#[test]
fn a_cache() {
    let models = Models::new();
    let repository = write_cache(models.0.path(), 7);
    let snapshot = repository.join("snapshots").join(COMMIT);
    for path in [&repository, &snapshot] {
        let (_, manifest) = install(&models.local(path.to_str().unwrap())).unwrap();
        assert_eq!(manifest.commit.as_deref(), Some(COMMIT));
        assert_installed(&models, 7);
        hub::remove(&models.path(), &name(NAME)).unwrap();
    }
    for (revision, good) in [("main", true), (COMMIT, true), ("v9", false), ("../../etc", false)] {
        let request = Request { revision: Some(revision.to_owned()), ..models.local(repository.to_str().unwrap()) };
        assert_eq!(install(&request).is_ok(), good, "{revision}");
    }
}

#[test]
fn links_that_lead_out_are_refused() {
    for place in ["config.json", "onnx/text_model.onnx"] {
        let models = Models::new();
        let (folder, secret) = (models.0.path().join("downloaded"), models.0.path().join("secret"));
        write(&folder, 7);
        fs::write(&secret, "a secret").unwrap();
        fs::remove_file(folder.join(place)).unwrap();
        symlink(&secret, folder.join(place)).unwrap();
        let error = install(&request(&models, &folder)).unwrap_err();
        assert!(matches!(&error, Error::LinkOut { path } if path.ends_with(place)), "{error:?}");
        assert!(!models.model().exists());
    }
    // Nor are folders followed, which might be their own parents.
    let models = Models::new();
    let folder = models.0.path().join("downloaded");
    write(&folder, 7);
    symlink("/", folder.join("textual")).unwrap();
    symlink(".", folder.join("visual")).unwrap();
    install(&request(&models, &folder)).unwrap();
    assert_installed(&models, 7);
}

#[test]
fn pointers_are_not_models() {
    let models = Models::new();
    let folder = models.0.path().join("downloaded");
    write(&folder, 7);
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 12345\n", "a".repeat(64));
    fs::write(folder.join("onnx/text_model.onnx"), pointer).unwrap();
    let error = install(&request(&models, &folder)).unwrap_err();
    assert!(matches!(&error, Error::Pointer { file } if file == "onnx/text_model.onnx"), "{error:?}");
    assert!(error.hint().unwrap().contains("git lfs pull"));
    let archive = tar(&folder, &["."], &[]);
    let error = install(&request(&models, &archive)).unwrap_err();
    assert!(matches!(&error, Error::Pointer { file } if file == "onnx/text_model.onnx"), "{error:?}");
}

/// An archive made by the system's tar.
fn tar(folder: &Path, what: &[&str], options: &[&str]) -> PathBuf {
    let archive = folder.with_extension("tar");
    let mut tar = Command::new("tar");
    tar.args(options).arg("--create").arg("--file").arg(&archive).arg("--directory").arg(folder).args(what);
    assert!(tar.status().unwrap().success());
    archive
}

#[test]
fn an_archive() {
    for (below, what) in [("downloaded", "."), ("some/where", "some")] {
        let models = Models::new();
        let root = models.0.path().join("root");
        write(&root.join(below), 7);
        let archive = if what == "." { tar(&root.join(below), &["."], &[]) } else { tar(&root, &[what], &[]) };
        install(&request(&models, &archive)).unwrap();
        assert_installed(&models, 7);
        assert!(!install(&request(&models, &archive)).unwrap().0);
    }
    // The name comes from the folder in it.
    let models = Models::new();
    let root = models.0.path().join("root");
    write(&root.join(NAME), 7);
    install(&models.local(tar(&root, &["owner"], &[]).to_str().unwrap())).unwrap();
    assert_installed(&models, 7);
}

#[test]
fn archives_that_would_write_elsewhere() {
    let models = Models::new();
    let folder = models.0.path().join("downloaded");
    write(&folder, 7);
    let check = |archive: &Path| {
        let error = install(&request(&models, archive)).unwrap_err();
        assert_eq!(error.code(), CommandClass::Unusable, "{error:?}");
        assert!(!models.model().exists() && !models.0.path().join("evil").exists());
        error
    };
    check(&tar(&folder, &["."], &["--absolute-names", "--transform", "s#config.json#../../evil#"]));
    check(&tar(&folder, &["."], &["--absolute-names", "--transform", "s#./config.json#/tmp/evil#"]));
    symlink("/etc/passwd", folder.join("vocab.json")).unwrap();
    assert!(check(&tar(&folder, &["."], &[])).to_string().contains("is a link"));
    fs::remove_file(folder.join("vocab.json")).unwrap();
    fs::hard_link(folder.join("config.json"), folder.join("vocab.json")).unwrap();
    assert!(check(&tar(&folder, &["."], &[])).to_string().contains("is a link"));
    fs::remove_file(folder.join("vocab.json")).unwrap();
    assert!(Command::new("mkfifo").arg(folder.join("vocab.json")).status().unwrap().success());
    assert!(check(&tar(&folder, &["."], &[])).to_string().contains("is not a file"));
}

#[test]
fn archives_that_are_none() {
    let models = Models::new();
    let folder = models.0.path().join("downloaded");
    write(&folder, 7);
    let archive = tar(&folder, &["."], &[]);
    let whole = fs::read(&archive).unwrap();
    fs::write(&archive, &whole[..whole.len() / 2]).unwrap();
    assert!(install(&request(&models, &archive)).is_err(), "cut short");
    for content in [&b"no archive"[..], &[0x1f, 0x8b, 8, 0], &[7; 5000]] {
        fs::write(&archive, content).unwrap();
        let error = install(&request(&models, &archive)).unwrap_err();
        assert_eq!(error.code(), CommandClass::Unusable, "{error:?}");
    }
    assert!(!models.model().exists());
}

#[test]
fn sources_that_are_none() {
    for bad in
        ["", "model", "~/model", "a/b/c/d", "https://hub.example/a/b", "/no/such/folder", "/dev/null", "a\0b", "a b/c"]
    {
        let error = Source::parse(bad).unwrap_err();
        assert!(matches!(error, Error::InvalidSource { .. }) && error.hint().is_some(), "{bad}: {error:?}");
    }
}
