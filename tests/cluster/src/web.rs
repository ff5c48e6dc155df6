//! A web server on loopback that may misbehave.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How a path answers.
#[derive(Clone)]
pub enum Answer {
    /// With these bytes.
    Image(Vec<u8>),
    /// With this status and an empty page.
    Status(u16),
    /// With a page of text.
    Page(&'static str),
    /// With a redirect.
    Redirect(String),
    /// Never, until the client leaves.
    Silence,
    /// With bytes that do not end.
    Endless,
    /// With these bytes, each time after so long.
    Late(Vec<u8>, Duration),
}

/// The server; it lives as long as the process.
pub struct Web {
    port: u16,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    requests: Mutex<HashMap<String, usize>>,
    silent: AtomicUsize,
}

impl Web {
    /// Listens on a free port; paths without an answer are 404.
    pub fn start(answers: impl IntoIterator<Item = (&'static str, Answer)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let answers: HashMap<String, Answer> =
            answers.into_iter().map(|(path, answer)| (path.to_owned(), answer)).collect();
        let (answers, counts) = (Arc::new(answers), Arc::new(Counts::default()));
        let shared = Arc::clone(&counts);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answers, counts) = (Arc::clone(&answers), Arc::clone(&shared));
                thread::spawn(move || serve(stream, &answers, &counts));
            }
        });
        Self { port, counts }
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// How often a path was asked for.
    pub fn requests(&self, path: &str) -> usize {
        self.counts.requests.lock().expect("no panic while held").get(path).copied().unwrap_or(0)
    }

    /// Clients that wait for [`Answer::Silence`] or read [`Answer::Endless`] now.
    pub fn held(&self) -> usize {
        self.counts.silent.load(SeqCst)
    }
}

/// One request for each connection.
fn serve(mut stream: TcpStream, answers: &HashMap<String, Answer>, counts: &Counts) {
    let mut lines = BufReader::new(stream.try_clone().expect("a handle")).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    while lines.next().is_some_and(|line| !line.is_empty()) {}
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    *counts.requests.lock().expect("no panic while held").entry(path.clone()).or_default() += 1;
    // Whoever leaves in the middle is not this thread's business.
    let _ = match answers.get(path.split('?').next().unwrap_or_default()) {
        None => answer(&mut stream, "404 Not Found", "text/html", b"<h1>gone</h1>"),
        Some(Answer::Image(bytes)) => answer(&mut stream, "200 OK", "image/png", bytes),
        Some(Answer::Status(code)) => answer(&mut stream, &format!("{code} X"), "text/plain", b""),
        Some(Answer::Page(text)) => answer(&mut stream, "200 OK", "text/html", text.as_bytes()),
        Some(Answer::Redirect(to)) => {
            write!(stream, "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
        Some(Answer::Late(bytes, pause)) => {
            thread::sleep(*pause);
            answer(&mut stream, "200 OK", "image/png", bytes)
        }
        Some(Answer::Silence) => held(counts, || stream.read(&mut [0]).map(drop)),
        Some(Answer::Endless) => held(counts, || {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nConnection: close\r\n\r\n")?;
            loop {
                stream.write_all(&[0; 4096])?;
            }
        }),
    };
}

fn held<T>(counts: &Counts, during: impl FnOnce() -> T) -> T {
    counts.silent.fetch_add(1, SeqCst);
    let result = during();
    counts.silent.fetch_sub(1, SeqCst);
    result
}

fn answer(stream: &mut TcpStream, status: &str, kind: &str, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(body)
}
