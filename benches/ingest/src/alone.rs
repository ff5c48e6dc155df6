//! The server fed by a client without PostgreSQL: what all of SQL's ways are measured by.

use anyhow::{Context, bail, ensure};
use postgres::Client;
use protocol::{EmbedRequest, HEADER_LEN, Header, Hello, Items, Kind, Request, Response, SocketPaths, decode, encode};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// Connections to the server: one for each request that is under way.
pub struct Alone {
    model: String,
    connections: Vec<UnixStream>,
}

impl Alone {
    /// Opens connections to the server of the cluster.
    ///
    /// # Errors
    /// Where the server cannot be reached: its socket is for the cluster's user, and root.
    pub fn connect(client: &mut Client, model: &str, connections: usize) -> anyhow::Result<Self> {
        let data: String = client.query_one("SHOW data_directory", &[])?.get(0);
        let connections = (0..connections).map(|_| connect(Path::new(&data))).collect::<anyhow::Result<_>>()?;
        Ok(Self { model: model.to_owned(), connections })
    }

    /// Has images embedded, in requests of `array` of them, with a request under way on each of so many connections.
    ///
    /// # Errors
    /// Where one is not embedded.
    pub fn embed(&mut self, images: Vec<Vec<u8>>, array: usize, under_way: usize) -> anyhow::Result<Duration> {
        let count = images.len();
        let mut images = images.into_iter().peekable();
        let mut requests = Vec::new();
        while images.peek().is_some() {
            let items = Items::Images(images.by_ref().take(array).map(Into::into).collect());
            let request =
                Request::Embed(EmbedRequest { model: self.model.clone(), items, scope: protocol::Scope::default() });
            requests.push(encode(Kind::Request, &request)?);
        }
        // All that can be done before is: the server is what is measured.
        let requests = Mutex::new(requests);
        let began = Instant::now();
        let embedded = thread::scope(|scope| {
            let ask = |connection| scope.spawn(|| ask_all(connection, &requests));
            let threads: Vec<_> = self.connections.iter_mut().take(under_way).map(ask).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum::<anyhow::Result<usize>>()
        })?;
        let took = began.elapsed();
        ensure!(embedded == count, "{embedded} of {count} images were embedded");
        Ok(took)
    }
}

/// How many embeddings came.
fn ask_all(connection: &mut UnixStream, requests: &Mutex<Vec<Vec<u8>>>) -> anyhow::Result<usize> {
    let mut embedded = 0;
    loop {
        let Some(request) = requests.lock().expect("no panic while held").pop() else { return Ok(embedded) };
        connection.write_all(&request)?;
        match receive(connection, Kind::Response)? {
            Response::Embeddings(results) => {
                for result in results {
                    result.map_err(|failure| anyhow::anyhow!("{}", failure.message))?;
                    embedded += 1;
                }
            }
            other => bail!("the server answered {other:?}"),
        }
    }
}

fn connect(data: &Path) -> anyhow::Result<UnixStream> {
    let socket = data.join(SocketPaths::SOCKET);
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
    Ok(stream)
}

fn receive<T: serde::de::DeserializeOwned>(stream: &mut UnixStream, kind: Kind) -> anyhow::Result<T> {
    let mut head = [0; HEADER_LEN];
    stream.read_exact(&mut head)?;
    let header = Header::parse(&head)?.expect(kind)?;
    let mut payload = vec![0; header.len];
    stream.read_exact(&mut payload)?;
    Ok(decode(&payload)?)
}
