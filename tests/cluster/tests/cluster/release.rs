//! What a release is made of names one version, and does not change afterwards; and META.json is what PGXN takes.

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn file(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_file_names_this_version() {
    assert!(file("clip_search.control").contains(&format!("\ndefault_version = '{VERSION}'\n")));
    assert!(file("debian/changelog").starts_with(&format!("clip-search ({VERSION}) ")));
    assert!(file("CHANGELOG.md").contains(&format!("\n## [{VERSION}] - ")));
    let meta: Value = serde_json::from_str(&file("META.json")).unwrap();
    assert_eq!(meta["version"], VERSION);
    assert_eq!(meta["provides"]["clip_search"]["version"], VERSION);
}

/// The SHA-256 of each released script: databases were made by it. A change belongs into the next version's scripts.
const RELEASED: [(&str, &str); 1] =
    [("clip_search--0.1.0.sql", "2b21b267a80dbcbc5f567dc844b3b936996df1c803219273e95cc4f94a4e8482")];

#[test]
fn released_scripts_do_not_change() {
    let this = format!("--{VERSION}.sql");
    let names =
        fs::read_dir(root().join("sql")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut released: Vec<String> = names.filter(|name| !name.ends_with(&this)).collect();
    released.sort();
    assert_eq!(released, RELEASED.map(|(name, _)| name));
    for (name, hash) in RELEASED {
        let found: String =
            Sha256::digest(file(&format!("sql/{name}"))).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, hash, "{name}");
    }
}

/// The required keys of version 1.0.0 of the PGXN Meta Spec, and what they may be. `pgxn_meta META.json` checks the rest.
#[test]
fn meta_json_is_what_pgxn_takes() {
    let meta: Value = serde_json::from_str(&file("META.json")).unwrap();
    for key in ["name", "version", "abstract", "maintainer", "license"] {
        let value = meta[key].as_str().unwrap_or_else(|| panic!("{key} is no string"));
        assert!(!value.is_empty(), "{key}");
    }
    let name = meta["name"].as_str().unwrap();
    assert!(name.len() >= 2 && !name.contains(|c: char| c.is_whitespace() || c.is_control() || "/\\".contains(c)));
    assert_eq!(meta["license"], "postgresql");
    assert_eq!(meta["meta-spec"]["version"], "1.0.0");
    for (extension, provided) in meta["provides"].as_object().expect("provides is a map") {
        assert!(root().join(format!("{extension}.control")).exists(), "{extension}");
        for key in ["file", "docfile"] {
            let path = provided[key].as_str().unwrap_or_else(|| panic!("{extension}: {key} is no string"));
            assert!(root().join(path).exists(), "{path}");
        }
    }
    let semantic =
        |value: &str| value.split('.').count() == 3 && value.split('.').all(|part| part.parse::<u32>().is_ok());
    for (needed, version) in meta["prereqs"]["runtime"]["requires"].as_object().expect("a map") {
        assert!(version.as_str().is_some_and(semantic), "{needed}: {version}");
    }
}
