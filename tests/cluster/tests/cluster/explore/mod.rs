//! `clip-search-explore`: its answers, and its page in a browser.

mod answers;
mod page;

use clip_search_explore::{Options, options, serve};
use cluster_tests::{Cluster, image};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// The program, in this process; it ends with this.
struct Explore {
    address: SocketAddr,
    _runtime: Runtime,
}

/// What it answered.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Explore {
    fn start(dsn: &str) -> Self {
        Self::with(dsn, None, Duration::from_secs(30))
    }

    fn with(dsn: &str, token: Option<&str>, statement_timeout: Duration) -> Self {
        let options = Options {
            config: options::connection(dsn, |_| None).unwrap(),
            tls: options::tls(None).unwrap(),
            statement_timeout,
            connections: 2,
            token: token.map(str::to_owned),
        };
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { serve(listener, options, std::future::pending()).await.unwrap() });
        Self { address, _runtime: runtime }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Asks, with these lines in the head.
    fn ask(&self, method: &str, path: &str, lines: &str, body: &[u8]) -> Answer {
        let mut stream = self.send(method, path, lines, body);
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    fn send(&self, method: &str, path: &str, lines: &str, body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let host = if lines.to_ascii_lowercase().contains("host:") {
            String::new()
        } else {
            format!("Host: {}\r\n", self.address)
        };
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\n{host}{lines}Content-Length: {length}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        // It may answer, and close, before it has read all.
        let _ = stream.write_all(body);
        stream
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "", b"")
    }
}

/// A form with an image, as a browser posts it.
fn form(search: &str, image: &[u8]) -> (&'static str, Vec<u8>) {
    let part = |name: &str, more: &str| {
        format!("--limit\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n").into_bytes()
    };
    let body = [
        &part("search", "")[..],
        search.as_bytes(),
        b"\r\n",
        &part("image", "; filename=\"x\""),
        image,
        b"\r\n--limit--\r\n",
    ];
    ("Content-Type: multipart/form-data; boundary=limit\r\n", body.concat())
}

/// A table of images with names, places and dates.
fn photos(cluster: &Cluster) {
    let mut client = cluster.connect();
    client
        .batch_execute(
            "CREATE TABLE photos (id bigint PRIMARY KEY, name text, place text, taken date, image bytea,
                 embedding vector(128) GENERATED ALWAYS AS (clip_embed_image(image, 'clip-search/emoji')) STORED)",
        )
        .unwrap();
    let images = [
        "photo_420.jpg",
        "photo_444.jpg",
        "alpha.png",
        "photo.gif",
        "photo.webp",
        "photo.tiff",
        "tall.png",
        "wide.png",
        "gray.png",
        "black.png",
    ];
    for (at, name) in images.iter().enumerate() {
        let place = if at % 2 == 0 { "Ulm" } else { "Köln & <b>Bonn</b>" };
        let statement = "INSERT INTO photos (id, name, place, taken, image) VALUES ($1, $2, $3, date '2026-01-01' + $4::integer, $5)";
        client.execute(statement, &[&(at as i64 + 1), name, &place, &((at as i32 * 7) % 10), &image(name)]).unwrap();
    }
    client.batch_execute("ANALYZE photos").unwrap();
}
