//! A server on loopback that answers like a model hub: a listing of files with their hashes, small files from the hub
//! itself after a relative redirect, large ones from a "CDN" on another port, ranges, restricted repositories. Told to, it
//! cuts connections, asks to wait, or delivers something else.
//!
//! The program `played-hub FOLDER` serves `FOLDER/<owner>/<name>/…` until it is ended.

mod http;
mod repository;

pub use repository::{Content, File};

use http::{Request, Response};
use repository::Repository;
use std::collections::{HashMap, VecDeque};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// What happens to one request for a file.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This status, with these further lines of the head.
    Status(u16, &'static str),
    /// The connection is closed after so many bytes of the body.
    Cut(usize),
    /// The whole body is this.
    Replace(Vec<u8>),
    /// The whole file, whatever range was asked for.
    IgnoreRange,
    /// A range that nobody asked for.
    WrongRange,
    /// A redirect to this address.
    Redirect(String),
    /// So many bytes of the body, and then nothing for this long.
    Stall(usize, Duration),
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Whether it came to the CDN's port.
    pub to_cdn: bool,
    /// Path and query.
    pub path: String,
    /// The head, line by line.
    pub head: String,
}

/// A hub and its CDN; both listen until the process ends.
pub struct Hub {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    cdn_port: u16,
    repositories: Mutex<HashMap<String, Repository>>,
    faults: Mutex<HashMap<String, VecDeque<Fault>>>,
    seen: Mutex<Vec<Seen>>,
}

impl Hub {
    /// Listens on two free ports of 127.0.0.1.
    ///
    /// # Panics
    /// Where there are none.
    pub fn start() -> Self {
        let hub = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let cdn = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = hub.local_addr().expect("an address").port();
        let cdn_port = cdn.local_addr().expect("an address").port();
        let state = Arc::new(State { cdn_port, ..State::default() });
        for (listener, is_cdn) in [(hub, false), (cdn, true)] {
            let state = Arc::clone(&state);
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let state = Arc::clone(&state);
                    thread::spawn(move || {
                        // Whoever leaves in the middle is not this thread's business.
                        let _ = http::serve(stream, |request| state.answer(request, is_cdn));
                    });
                }
            });
        }
        Self { port, state }
    }

    /// The address to pass as the hub's endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The address of the CDN.
    pub fn cdn(&self) -> String {
        format!("http://127.0.0.1:{}", self.state.cdn_port)
    }

    /// Makes the branch `main` of a repository these files; returns the commit.
    pub fn publish(&self, name: &str, files: Vec<File>) -> String {
        let mut repositories = lock(&self.state.repositories);
        repositories.entry(name.to_owned()).or_default().commit(files)
    }

    /// Publishes the files of a folder; `.onnx` and what else is large lies on the CDN.
    ///
    /// # Panics
    /// Where the folder cannot be read.
    pub fn publish_folder(&self, name: &str, folder: &Path) -> String {
        self.publish(name, repository::files_of(folder))
    }

    /// Has the files of a repository need this token.
    ///
    /// # Panics
    /// Where there is no such repository.
    pub fn restrict(&self, name: &str, token: &str) {
        lock(&self.state.repositories).get_mut(name).expect("a repository").token = Some(token.to_owned());
    }

    /// The next request for this path, of a repository's file or `listing`, meets this fault; further calls are for those
    /// after it.
    pub fn fault(&self, path: &str, fault: Fault) {
        lock(&self.state.faults).entry(path.to_owned()).or_default().push_back(fault);
    }

    /// Takes back the faults that have not happened yet.
    pub fn mend(&self) {
        lock(&self.state.faults).clear();
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.state.seen).clone()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        lock(&self.state.seen).clear();
    }
}

impl State {
    fn answer(&self, request: &Request, to_cdn: bool) -> Response {
        let (path, head) = (request.path.clone(), request.head.clone());
        lock(&self.seen).push(Seen { to_cdn, path, head });
        let repositories = lock(&self.repositories);
        let parts: Vec<String> = request.path_parts();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match (&parts[..], to_cdn) {
            (["api", "models", owner, name, "revision", revision], false) => {
                if let Some(fault) = self.next_fault("listing") {
                    return Response::of_fault(fault, &[], request);
                }
                let repository = repositories.get(&format!("{owner}/{name}"));
                // So the hub answers whom it does not know.
                let Some(repository) = repository else {
                    return Response::status(401, "X-Error-Code: RepoNotFound\r\n");
                };
                match repository.listing(&format!("{owner}/{name}"), revision) {
                    Some(json) => Response::whole("application/json", json.into_bytes()),
                    None => Response::status(404, "X-Error-Code: RevisionNotFound\r\n"),
                }
            }
            ([owner, name, "resolve", commit, path @ ..], false) => {
                let (repository, path) = (format!("{owner}/{name}"), path.join("/"));
                let Some(found) = repositories.get(&repository) else { return Response::status(404, "") };
                if let Some(token) = &found.token
                    && request.header("authorization") != Some(format!("Bearer {token}").as_str())
                {
                    let status = if request.header("authorization").is_some() { 403 } else { 401 };
                    return Response::status(status, "X-Error-Code: GatedRepo\r\n");
                }
                let Some(file) = found.file(commit, &path) else {
                    return Response::status(404, "X-Error-Code: EntryNotFound\r\n");
                };
                if file.is_large {
                    let sha256 = found.sha256(commit, &path).unwrap_or_default();
                    let (size, cdn) = (file.content.len(), self.cdn_port);
                    let linked = format!("X-Linked-Etag: \"{sha256}\"\r\nX-Linked-Size: {size}\r\n");
                    let to = format!("http://127.0.0.1:{cdn}/blobs/{repository}/{commit}/{path}?Signature=abc");
                    return Response::redirect(302, &to, &linked);
                }
                Response::redirect(307, &format!("/api/resolve-cache/models/{repository}/{commit}/{path}"), "")
            }
            (["api", "resolve-cache", "models", owner, name, commit, path @ ..], false)
            | (["blobs", owner, name, commit, path @ ..], true) => {
                // A CDN that is shown two authorisations refuses both.
                if to_cdn && request.header("authorization").is_some() {
                    return Response::status(400, "");
                }
                let path = path.join("/");
                let found = repositories.get(&format!("{owner}/{name}")).and_then(|found| found.file(commit, &path));
                let Some(file) = found else { return Response::status(404, "") };
                match self.next_fault(&path) {
                    Some(fault) => Response::of_fault(fault, &file.content.bytes(), request),
                    None => Response::of_file(&file.content, request),
                }
            }
            _ => Response::status(404, ""),
        }
    }

    fn next_fault(&self, path: &str) -> Option<Fault> {
        lock(&self.faults).get_mut(path)?.pop_front()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
