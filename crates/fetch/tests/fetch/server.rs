//! A server whose answers are written by hand, so that they can be wrong.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Runs until it is dropped.
pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: Mutex<Vec<String>>,
}

impl Server {
    /// Connections that were made so far.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(SeqCst)
    }

    /// Heads of the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().unwrap().clone()
    }

    /// Address and port.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts a server on a free port of 127.0.0.1. The handler gets each connection after the head of its request was read,
/// and how many requests there were before; the connection ends with it.
pub async fn start<F, R>(handler: F) -> Server
where
    F: Fn(TcpStream, usize) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    start_at("127.0.0.1:0", handler).await.expect("a port of loopback")
}

pub async fn start_at<F, R>(address: &str, handler: F) -> std::io::Result<Server>
where
    F: Fn(TcpStream, usize) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let seen = Arc::new(Seen::default());
    let handler = Arc::new(handler);
    let shared = Arc::clone(&seen);
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            shared.connections.fetch_add(1, SeqCst);
            let (handler, seen) = (Arc::clone(&handler), Arc::clone(&shared));
            tokio::spawn(async move {
                if let Some(head) = read_head(&mut stream).await {
                    let before = {
                        let mut requests = seen.requests.lock().unwrap();
                        requests.push(head);
                        requests.len() - 1
                    };
                    handler(stream, before).await;
                }
            });
        }
    });
    Ok(Server { address, seen, task })
}

/// A server that always gives the same answer.
pub async fn fixed(answer: impl Into<Vec<u8>>) -> Server {
    let answer = Arc::new(answer.into());
    start(move |mut stream, _| {
        let answer = Arc::clone(&answer);
        async move { send(&mut stream, &answer).await }
    })
    .await
}

/// A server that gives these answers one after the other, and the last one again and again.
pub async fn sequence(answers: &[String]) -> Server {
    let answers = answers.to_vec();
    start(move |mut stream, before| {
        let answer = answers[before.min(answers.len() - 1)].clone();
        async move { send(&mut stream, answer.as_bytes()).await }
    })
    .await
}

/// Reads until the empty line. None if the connection ends before.
pub async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).expect("a head in UTF-8"))
}

/// Sends; that the client does not listen any more is no failure of the server.
pub async fn send(stream: &mut TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes).await;
    let _ = stream.flush().await;
}

/// A whole answer.
pub fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

pub fn ok(body: &str) -> String {
    String::from_utf8(answer("200 OK", "Content-Type: image/png\r\n", body.as_bytes())).expect("text")
}

pub fn failure(status: &str, headers: &str) -> String {
    String::from_utf8(answer(status, headers, b"no image")).expect("text")
}

pub fn redirect(status: &str, location: &str) -> String {
    failure(status, &format!("Location: {location}\r\n"))
}
