//! The server fed by a client without PostgreSQL: what all of SQL's ways are measured by.

use anyhow::ensure;
use measure::{Connection, embed_request};
use postgres::Client;
use protocol::{Items, SocketPaths};
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// Connections to the server: one for each request that is under way.
pub struct Alone {
    model: String,
    connections: Vec<Connection>,
}

impl Alone {
    /// Opens connections to the server of the cluster.
    ///
    /// # Errors
    /// Where the server cannot be reached: its socket is for the cluster's user, and root.
    pub fn connect(client: &mut Client, model: &str, connections: usize) -> anyhow::Result<Self> {
        let data: String = client.query_one("SHOW data_directory", &[])?.get(0);
        let socket = Path::new(&data).join(SocketPaths::SOCKET);
        let connections = (0..connections).map(|_| Connection::open(&socket)).collect::<anyhow::Result<_>>()?;
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
            requests.push(embed_request(&self.model, items)?);
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
fn ask_all(connection: &mut Connection, requests: &Mutex<Vec<Vec<u8>>>) -> anyhow::Result<usize> {
    let mut embedded = 0;
    loop {
        let Some(request) = requests.lock().expect("no panic while held").pop() else { return Ok(embedded) };
        embedded += connection.embed(&request)?.len();
    }
}
