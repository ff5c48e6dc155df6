//! A client of the inference server without PostgreSQL.

use anyhow::{Context, bail, ensure};
use protocol::{EmbedRequest, HEADER_LEN, Header, Hello, Items, Kind, Request, Response, Scope, decode, encode};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A connection to the server.
pub struct Connection(UnixStream);

impl Connection {
    /// Connects to the server's socket.
    ///
    /// # Errors
    /// Where the server cannot be reached, or is of another release.
    pub fn open(socket: &Path) -> anyhow::Result<Self> {
        let (folder, name) = (socket.parent().context("no folder")?, socket.file_name().context("no name")?);
        // By way of the open folder: a socket's path may have 107 bytes at most.
        let folder = File::open(folder).with_context(|| folder.display().to_string())?;
        let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
        let mut stream = UnixStream::connect(path).context("connecting to clip-search-server")?;
        let hello: Hello = receive(&mut stream, Kind::Hello)?;
        ensure!(
            (hello.protocol, &*hello.release) == (protocol::VERSION, protocol::RELEASE),
            "the server is of release {}",
            hello.release
        );
        Ok(Self(stream))
    }

    /// Sends a request that [`encode`] made, and waits for its response.
    ///
    /// # Errors
    /// Where the connection is lost.
    pub fn ask(&mut self, request: &[u8]) -> anyhow::Result<Response> {
        self.0.write_all(request)?;
        receive(&mut self.0, Kind::Response)
    }

    /// Has items embedded: as many vectors as there are items.
    ///
    /// # Errors
    /// Where one is not embedded.
    pub fn embed(&mut self, request: &[u8]) -> anyhow::Result<Vec<Vec<f32>>> {
        match self.ask(request)? {
            Response::Embeddings { results, .. } => results
                .into_iter()
                .map(|result| result.map_err(|failure| anyhow::anyhow!("{}", failure.message)))
                .collect(),
            other => bail!("the server answered {other:?}"),
        }
    }
}

/// A request to embed items, as it is sent.
///
/// # Errors
/// Where it is too long.
pub fn embed_request(model: &str, items: Items) -> anyhow::Result<Vec<u8>> {
    Ok(encode(
        Kind::Request,
        &Request::Embed(EmbedRequest { model: model.to_owned(), items, scope: Scope::default() }),
    )?)
}

fn receive<T: serde::de::DeserializeOwned>(stream: &mut UnixStream, kind: Kind) -> anyhow::Result<T> {
    let mut head = [0; HEADER_LEN];
    stream.read_exact(&mut head)?;
    let header = Header::parse(&head)?.expect(kind)?;
    let mut payload = vec![0; header.len];
    stream.read_exact(&mut payload)?;
    Ok(decode(&payload)?)
}
