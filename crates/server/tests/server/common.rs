//! The server as the supervisor runs it, and a client of it.

use protocol::{
    Config, EmbedRequest, HEADER_LEN, Header, Hello, Items, Kind, Request, Response, Statistics, decode, encode,
};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const MODEL: &str = "golden/small";

pub fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

pub fn config() -> Config {
    let library = std::env::var_os("CLIP_SEARCH_ONNXRUNTIME_LIBRARY")
        .map_or_else(|| workspace().join("target/setup/onnxruntime/libonnxruntime.so"), PathBuf::from);
    assert!(library.is_file(), "{}: there is no such file; run `make setup`", library.display());
    Config {
        model_roots: vec![workspace().join("tests/golden/models")],
        onnxruntime_library: library,
        device: "cpu".to_owned(),
        ..Config::default()
    }
}

/// A server of one test; killed with it.
pub struct Server {
    child: Child,
    folder: TempDir,
}

impl Server {
    pub fn start(config: &Config) -> Self {
        Self::start_with_log(config, Stdio::null())
    }

    pub fn start_with_log(config: &Config, log: Stdio) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_clip-search-server"))
            .arg("--socket")
            .arg(folder.path().join("socket"))
            .stdin(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self { child, folder };
        server.configure(config);
        server
    }

    pub fn connect(&self) -> UnixStream {
        let path = self.folder.path().join("socket");
        let mut stream = until(|| UnixStream::connect(&path).ok());
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let hello: Hello = receive(&mut stream, Kind::Hello);
        assert_eq!((hello.protocol, hello.release.as_str()), (protocol::VERSION, protocol::RELEASE));
        assert_eq!(hello.pid, self.child.id());
        stream
    }

    /// With what the server writes to its log.
    pub fn logged(&mut self) -> std::process::ChildStderr {
        self.child.stderr.take().unwrap()
    }

    pub fn end_input(&mut self) {
        drop(self.child.stdin.take());
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Takes new settings.
    pub fn configure(&mut self, config: &Config) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{}", serde_json::to_string(config).unwrap()).unwrap();
    }

    pub fn exit_status(&mut self) -> Option<i32> {
        until(|| self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn until<T>(mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited for a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn receive<T: serde::de::DeserializeOwned>(stream: &mut UnixStream, kind: Kind) -> T {
    let mut head = [0; HEADER_LEN];
    stream.read_exact(&mut head).unwrap();
    let header = Header::parse(&head).unwrap().expect(kind).unwrap();
    let mut payload = vec![0; header.len];
    stream.read_exact(&mut payload).unwrap();
    decode(&payload).unwrap()
}

pub fn ask(stream: &mut UnixStream, request: &Request) -> Response {
    stream.write_all(&encode(Kind::Request, request).unwrap()).unwrap();
    receive(stream, Kind::Response)
}

pub fn texts(texts: &[&str]) -> Request {
    let texts = texts.iter().map(|text| (*text).to_owned()).collect();
    Request::Embed(EmbedRequest {
        model: MODEL.to_owned(),
        items: Items::Texts(texts),
        scope: protocol::Scope::default(),
    })
}

/// The server's statistics.
pub fn statistics(stream: &mut UnixStream) -> Statistics {
    match ask(stream, &Request::Statistics) {
        Response::Statistics(statistics) => *statistics,
        other => panic!("{other:?}"),
    }
}

/// A request to embed images.
pub fn images(images: impl IntoIterator<Item = Vec<u8>>) -> Request {
    let images = images.into_iter().map(Into::into).collect();
    Request::Embed(EmbedRequest {
        model: MODEL.to_owned(),
        items: Items::Images(images),
        scope: protocol::Scope::default(),
    })
}

/// The embeddings of a response.
pub fn embeddings(response: Response) -> Vec<Vec<f32>> {
    match response {
        Response::Embeddings { results, .. } => results.into_iter().map(|result| result.unwrap()).collect(),
        other => panic!("{other:?}"),
    }
}

/// So many images that decode the same and are not equal: what follows the end of a PNG does not count.
pub fn image_files(count: usize) -> Vec<Vec<u8>> {
    let image = std::fs::read(workspace().join("tests/golden/images/exact.png")).unwrap();
    (0..count).map(|number| [&image[..], &number.to_le_bytes()].concat()).collect()
}

pub fn send(stream: &mut UnixStream, request: &Request) {
    stream.write_all(&encode(Kind::Request, request).unwrap()).unwrap();
}
