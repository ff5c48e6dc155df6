//! Opening the ONNX Runtime library. A file of its own, since a process opens one library only.

mod common;

use std::path::Path;

use clip::{Error, Runtime};
use common::*;

fn refused(path: &Path) -> String {
    match Runtime::init(path) {
        Err(Error::RuntimeLibrary { path: named, reason }) => {
            assert_eq!(named, path);
            reason
        }
        other => panic!("{}: {other:?}", path.display()),
    }
}

#[test]
fn libraries_that_cannot_be_used() {
    let folder = tempfile::TempDir::new().unwrap();
    assert_eq!(refused(&folder.path().join("libonnxruntime.so")), "there is no such file");
    assert_eq!(refused(folder.path()), "it is not a regular file");
    let text = folder.path().join("text.so");
    std::fs::write(&text, "not a library").unwrap();
    assert!(refused(&text).contains("text.so"), "{}", refused(&text));
    // Some library that this process has open already.
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let libc = maps.split_whitespace().find(|word| word.contains("/libc.so") || word.contains("/libc-")).unwrap();
    assert_eq!(refused(Path::new(libc)), "it is not an ONNX Runtime library (no OrtGetApiBase)");
    // After all of these the right one can still be opened; then no other.
    let runtime = runtime();
    assert!(runtime.version().starts_with("1."), "{}", runtime.version());
    assert_eq!(Runtime::init(&library()).unwrap().library(), runtime.library());
    assert!(refused(Path::new(libc)).starts_with("this process already uses "));
}
