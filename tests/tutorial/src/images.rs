//! The HTTP server of the tutorial's images. It answers this machine only.
//!
//! | path | answer |
//! |---|---|
//! | `/NAME.png` | the image |
//! | `/moved/NAME.png` | a redirect to the image |
//! | `/page/…` | a page of HTML |
//! | `/slow/…` | none |
//! | anything else | 404 |

use crate::captions::Collection;
use anyhow::{Context, Result, bail};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use tiny_http::{Header, Request, Response, Server};

/// The address in the tutorial, which is also that of the server unless the port is taken.
pub const SHOWN: &str = "127.0.0.1:8471";
/// All with as many digits as the one that is shown: outputs keep their width.
const PORTS: std::ops::RangeInclusive<u16> = 8471..=8499;

/// A running server; it ends with the process.
pub struct ImageServer {
    real: String,
}

impl ImageServer {
    /// Starts it on the first free port.
    ///
    /// # Errors
    /// No port is free.
    pub fn start(collection: Collection) -> Result<Self> {
        let listener = listen()?;
        let real = listener.local_addr()?.to_string();
        let server = match Server::from_listener(listener, None) {
            Ok(server) => server,
            Err(error) => bail!("could not serve images on {real}: {error}"),
        };
        std::thread::spawn(move || serve(&server, &collection));
        Ok(Self { real })
    }

    /// Text of the tutorial, with the address where the server really is.
    pub fn to_real(&self, text: &str) -> String {
        text.replace(SHOWN, &self.real)
    }

    /// The other way round.
    pub fn to_shown(&self, text: &str) -> String {
        text.replace(&self.real, SHOWN)
    }
}

fn listen() -> Result<TcpListener> {
    for port in PORTS {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            bound => return bound.with_context(|| format!("could not listen on 127.0.0.1, port {port}")),
        }
    }
    bail!("the ports {} to {} of 127.0.0.1 are all taken\n  End what uses one of them.", PORTS.start(), PORTS.end())
}

fn serve(server: &Server, collection: &Collection) {
    // Dropped, a request would be answered.
    let mut never_answered = Vec::new();
    for request in server.incoming_requests() {
        let path = request.url().trim_start_matches('/').to_owned();
        let sent = match path.split_once('/') {
            Some(("slow", _)) => {
                never_answered.push(request);
                continue;
            }
            Some(("moved", file)) => {
                request.respond(Response::empty(302).with_header(header("Location", &format!("/{file}"))))
            }
            Some(("page", _)) => {
                let page = Response::from_string("<p>Please log in to see this image.</p>\n");
                request.respond(page.with_header(header("Content-Type", "text/html")))
            }
            _ => answer(request, collection.image(&path)),
        };
        // Who asked may have gone.
        drop(sent);
    }
}

fn answer(request: Request, image: Option<Vec<u8>>) -> std::io::Result<()> {
    match image {
        Some(png) => request.respond(Response::from_data(png).with_header(header("Content-Type", "image/png"))),
        None => request.respond(Response::from_string("There is no such image.\n").with_status_code(404)),
    }
}

fn header(name: &str, value: &str) -> Header {
    Header::from_bytes(name, value).expect("names and values here are plain ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clip_search_demo::emoji::FONT;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::path::Path;
    use std::time::Duration;

    /// What the server sends for a path; `None` if that is nothing for a while.
    fn get(server: &ImageServer, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&server.real).unwrap();
        let patience = if path.starts_with("/slow") { Duration::from_millis(500) } else { Duration::from_secs(60) };
        stream.set_read_timeout(Some(patience)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).ok()?;
        Some(String::from_utf8_lossy(&response).into_owned())
    }

    #[test]
    fn answers_and_misbehaves_as_the_table_says() {
        let server = ImageServer::start(Collection::open(Path::new(FONT)).unwrap()).unwrap();
        let image = get(&server, "/red-apple.png").unwrap();
        assert!(image.starts_with("HTTP/1.1 200") && image.contains("image/png") && image.contains("PNG"));
        let moved = get(&server, "/moved/penguin.png").unwrap();
        assert!(moved.starts_with("HTTP/1.1 302") && moved.contains("Location: /penguin.png"), "{moved}");
        let page = get(&server, "/page/peacock.png").unwrap();
        assert!(page.starts_with("HTTP/1.1 200") && page.contains("text/html"), "{page}");
        assert!(get(&server, "/gone/dodo.png").unwrap().starts_with("HTTP/1.1 404"));
        assert_eq!(get(&server, "/slow/sloth.png"), None);

        let second = ImageServer::start(Collection::open(Path::new(FONT)).unwrap()).unwrap();
        assert_ne!(server.real, second.real);
        assert_eq!(second.to_shown(&second.to_real("http://127.0.0.1:8471/a.png")), "http://127.0.0.1:8471/a.png");
    }
}
