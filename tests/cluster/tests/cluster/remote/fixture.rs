//! Model repositories, certificates, and models whose encoders are elsewhere.

use cluster_tests::Cluster;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// Writes a model repository of the golden model; gives the folder, and what remote.json has to say of it.
pub fn export(options: &[&str]) -> (TempDir, serde_json::Value) {
    let folder = tempfile::tempdir().unwrap();
    let config = std::env::var("PG_CONFIG").unwrap_or_else(|_| "pg_config".to_owned());
    let library = Command::new(config).arg("--pkglibdir").output().unwrap();
    let program = Path::new(String::from_utf8(library.stdout).unwrap().trim()).join("clip_search/clip-search-server");
    let mut command = Command::new(program);
    command.args(["models", "export-triton", "golden/small"]).arg(folder.path()).args(options);
    command.arg("--json").arg("--model-dir").arg(Path::new(ROOT).join("tests/golden/models"));
    let exported = command.output().unwrap();
    let said = String::from_utf8_lossy(&exported.stdout);
    assert!(exported.status.success(), "{said}");
    let line: serde_json::Value = serde_json::from_str(&said).unwrap();
    (folder, serde_json::from_str(line["remote"].as_str().unwrap()).unwrap())
}

/// Makes the model golden/remote, with these graphs of the golden model and a remote.json.
pub fn install(cluster: &Cluster, graphs: &[&str], remote: &str) -> PathBuf {
    let (from, to) = (cluster.models().join("golden/small"), cluster.models().join("golden/remote"));
    fs::create_dir_all(to.join("onnx")).unwrap();
    let graphs = graphs.iter().map(|graph| format!("onnx/{graph}_model.onnx"));
    let settings = ["config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"];
    for file in settings.map(str::to_owned).into_iter().chain(graphs) {
        fs::copy(from.join(&file), to.join(&file)).unwrap();
    }
    fs::write(to.join("remote.json"), remote).unwrap();
    to
}

/// An authority, and what it has issued for both sides.
pub struct Certificates(TempDir);

impl Certificates {
    pub fn new() -> Self {
        use rcgen::{CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        // OpenSSL takes a certificate with its issuer's name for one that has signed itself.
        params.distinguished_name.push(DnType::CommonName, "authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        write("ca.pem", authority.pem());
        for (file, name) in [("server", "localhost"), ("client", "clip-search")] {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new([name.to_owned()]).unwrap();
            write(&format!("{file}.pem"), params.signed_by(&key, &authority).unwrap().pem());
            write(&format!("{file}.key"), key.serialize_pem());
        }
        Self(folder)
    }

    pub fn copy_to(&self, folder: &Path) {
        for file in ["ca.pem", "client.pem", "client.key"] {
            fs::copy(self.0.path().join(file), folder.join(file)).unwrap();
        }
    }

    pub fn of_triton(&self) -> Vec<String> {
        let file = |name: &str| self.0.path().join(name).display().to_string();
        [
            ("--grpc-use-ssl", "true".to_owned()),
            ("--grpc-use-ssl-mutual", "true".to_owned()),
            ("--grpc-server-cert", file("server.pem")),
            ("--grpc-server-key", file("server.key")),
            ("--grpc-root-cert", file("ca.pem")),
        ]
        .into_iter()
        .flat_map(|(option, value)| [option.to_owned(), value])
        .collect()
    }
}
