//! Model servers that are started for a test.

use cluster_tests::{Cluster, Process, wait_until};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// A model server loads Python and its libraries, on a machine that is busy.
const STARTS_WITHIN: Duration = Duration::from_secs(120);

/// A model server that listens, and is killed when dropped.
pub struct ModelServer {
    child: Child,
    pub port: u16,
    _folder: TempDir,
}

impl ModelServer {
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn process(&self) -> Process {
        Process(self.child.id() as i32)
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and waits until it has.
    pub fn terminate(mut self) {
        self.process().terminate();
        self.child.wait().unwrap();
    }

    fn started(mut self, log: &Path) -> Option<Self> {
        wait_until("the model server listens", STARTS_WITHIN, || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the model server ended with {status}: {}", fs::read_to_string(log).unwrap_or_default());
            }
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
        Some(self)
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        self.process().thaw();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder of what scripts/setup has installed; `None`, with the reason on standard error, where the machine cannot have it.
fn installed(name: &str) -> Option<PathBuf> {
    let folder = Path::new(ROOT).join("target/remote").join(name);
    assert!(folder.join(".installed").exists(), "{name} is not there: run `make setup-tests`");
    match fs::read_to_string(folder.join(".left-out")) {
        Ok(reason) => {
            eprintln!("left out: {name}, since {}", reason.trim());
            None
        }
        Err(_) => Some(folder.canonicalize().unwrap()),
    }
}

/// A port that nothing listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

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

/// Starts Triton on a model repository.
pub fn triton(repository: &TempDir, options: &[String]) -> Option<ModelServer> {
    let venv = installed("triton")?;
    let libraries = fs::read_dir(venv.join("lib")).unwrap().flatten().next().unwrap().path();
    let minor = libraries.file_name().unwrap().to_string_lossy().trim_start_matches("python").to_owned();
    let packages = libraries.join("site-packages");
    let server = packages.join("pytriton/tritonserver");
    let folder = tempfile::tempdir().unwrap();
    // The backend and the program that runs models of this version of Python, beside each other.
    let backend = folder.path().join("python");
    fs::create_dir(&backend).unwrap();
    for file in fs::read_dir(server.join("backends/python")).unwrap().flatten().filter(|file| file.path().is_file()) {
        fs::copy(file.path(), backend.join(file.file_name())).unwrap();
    }
    let stub = "triton_python_backend_stub";
    fs::copy(server.join("python_backend_stubs").join(&minor).join(stub), backend.join(stub)).unwrap();
    let log = folder.path().join("log");
    let (port, http) = (free_port(), free_port());
    let child = Command::new(server.join("bin/tritonserver"))
        .env("LD_LIBRARY_PATH", packages.join("nvidia_pytriton.libs"))
        .env("PYTHONPATH", &packages)
        .arg("--model-repository")
        .arg(repository.path())
        .arg("--backend-directory")
        .arg(folder.path())
        .args(["--http-address", "127.0.0.1", "--grpc-address", "127.0.0.1", "--allow-metrics", "false"])
        .args(["--http-port", &http.to_string(), "--grpc-port", &port.to_string()])
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    ModelServer { child, port, _folder: folder }.started(&log)
}

/// Starts MLServer on the same repository, with the files that docs/remote.md shows.
pub fn mlserver(repository: &TempDir, max_message: usize) -> Option<ModelServer> {
    let venv = installed("mlserver")?;
    let page = fs::read_to_string(Path::new(ROOT).join("docs/remote.md")).unwrap();
    let shown = |language: &str| {
        let (_, rest) = page.split_once(&format!("```{language}\n")).expect("the page has it");
        rest.split_once("```").expect("it ends").0.to_owned()
    };
    fs::write(repository.path().join("clip_runtime.py"), shown("python")).unwrap();
    for entry in fs::read_dir(repository.path()).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let settings = format!(
            r#"{{"name": "{name}", "implementation": "clip_runtime.ClipEncoder", "parameters": {{"uri": "./1/model.onnx", "version": "1"}}}}"#
        );
        fs::write(entry.path().join("model-settings.json"), settings).unwrap();
    }
    let (folder, port, http) = (tempfile::tempdir().unwrap(), free_port(), free_port());
    let settings = format!(
        r#"{{"host": "127.0.0.1", "http_port": {http}, "grpc_port": {port}, "metrics_endpoint": null, "parallel_workers": 0,
            "grpc_max_message_length": {max_message}}}"#
    );
    fs::write(repository.path().join("settings.json"), settings).unwrap();
    let log = folder.path().join("log");
    let child = Command::new(venv.join("bin/mlserver"))
        .args(["start", "."])
        .env("PYTHONPATH", repository.path())
        .current_dir(repository.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    ModelServer { child, port, _folder: folder }.started(&log)
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
