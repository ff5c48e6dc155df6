//! For tests and benchmarks: the model servers that `scripts/setup --tests` installs, Triton and MLServer.
//!
//! What a machine cannot have is left out, and why is said on standard error. The packages of both are pinned beside this.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// A model server loads Python and its libraries, on a machine that is busy.
const STARTS_WITHIN: Duration = Duration::from_secs(120);

/// A model server that listens, and is killed when dropped.
pub struct ModelServer {
    child: Child,
    /// Where it speaks gRPC, on loopback.
    pub port: u16,
    _folder: TempDir,
}

impl ModelServer {
    /// Host and port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and waits until it has.
    pub fn terminate(mut self) {
        self.signal(Signal::TERM);
        self.child.wait().unwrap();
    }

    fn signal(&self, signal: Signal) {
        // Where it has ended, nobody is signalled: its parent, this, has not waited for it.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    fn started(mut self, log: &Path, is_ready: impl Fn() -> bool) -> Option<Self> {
        let began = Instant::now();
        while !is_ready() {
            let said = || fs::read_to_string(log).unwrap_or_default();
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the model server ended with {status}: {}", said());
            }
            assert!(began.elapsed() < STARTS_WITHIN, "the model server is not ready: {}", said());
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(self)
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        self.signal(Signal::CONT);
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

/// A port that nothing listens on, and that the system gives to nobody who does not ask for it.
///
/// # Panics
/// There is none.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    // Other processes of the same tests begin elsewhere.
    let first = (std::process::id() % 40) as u16 * 250;
    let ports = std::iter::repeat_with(|| 20_000 + (first + NEXT.fetch_add(1, Relaxed)) % 10_000);
    ports.take(10_000).find(is_free).expect("a free port")
}

/// Starts Triton on a model repository, with these options besides.
///
/// # Panics
/// It was not installed, or does not start.
pub fn triton(repository: &Path, options: &[String]) -> Option<ModelServer> {
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
    // It listens when it has loaded its models.
    let is_ready = || TcpStream::connect(("127.0.0.1", port)).is_ok();
    let child = Command::new(server.join("bin/tritonserver"))
        .env("LD_LIBRARY_PATH", packages.join("nvidia_pytriton.libs"))
        .env("PYTHONPATH", &packages)
        .arg("--model-repository")
        .arg(repository)
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
    ModelServer { child, port, _folder: folder }.started(&log, is_ready)
}

/// Starts MLServer on the same repository, with the files that docs/remote.md shows.
///
/// # Panics
/// It was not installed, or does not start.
pub fn mlserver(repository: &Path, max_message: usize) -> Option<ModelServer> {
    let venv = installed("mlserver")?;
    let page = fs::read_to_string(Path::new(ROOT).join("docs/remote.md")).unwrap();
    let shown = |language: &str| {
        let (_, rest) = page.split_once(&format!("```{language}\n")).expect("the page has it");
        rest.split_once("```").expect("it ends").0.to_owned()
    };
    fs::write(repository.join("clip_runtime.py"), shown("python")).unwrap();
    for entry in fs::read_dir(repository).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
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
    fs::write(repository.join("settings.json"), settings).unwrap();
    let log = folder.path().join("log");
    // It listens before it has loaded its models.
    let is_ready = || {
        let mut said = String::new();
        let asked = TcpStream::connect(("127.0.0.1", http)).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(b"GET /v2/health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
            stream.read_to_string(&mut said)
        });
        asked.is_ok() && said.starts_with("HTTP/1.1 200") && TcpStream::connect(("127.0.0.1", port)).is_ok()
    };
    let child = Command::new(venv.join("bin/mlserver"))
        .args(["start", "."])
        .env("PYTHONPATH", repository)
        .current_dir(repository)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    ModelServer { child, port, _folder: folder }.started(&log, is_ready)
}
