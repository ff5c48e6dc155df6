//! Requests under way, each asked for in a thread of its own.

use crate::cluster::{Builder, Cluster, DIMENSION};
use crate::process::wait_until;
use crate::sql::{backend_pid, embed_image, embed_text};
use crate::web::{Answer, Web};
use postgres::{Client, Error};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A request that a thread waits for: of an embedding, if not said otherwise.
pub struct Request<T = Vec<f32>>(JoinHandle<(Client, Result<T, Error>)>);

impl<T: Send + 'static> Request<T> {
    fn begin(mut client: Client, ask: impl FnOnce(&mut Client) -> Result<T, Error> + Send + 'static) -> Self {
        Self(thread::spawn(move || {
            let result = ask(&mut client);
            (client, result)
        }))
    }

    /// The session, and what it was answered.
    pub fn join(self) -> (Client, Result<T, Error>) {
        self.0.join().expect("no panic")
    }
}

impl Request {
    /// Asks for a text.
    pub fn text(client: Client, text: impl Into<String>) -> Self {
        let text = text.into();
        Self::begin(client, move |client| embed_text(client, &text))
    }

    /// Asks for an image.
    pub fn image(client: Client, image: Vec<u8>) -> Self {
        Self::begin(client, move |client| embed_image(client, &image))
    }

    /// Asks for a text; returns when the backend waits for the server.
    pub fn waiting(cluster: &Cluster, mut client: Client, text: &str) -> Self {
        let backend = backend_pid(&mut client);
        let request = Self::text(client, text);
        cluster.wait_for_waiting(backend);
        request
    }

    /// The server is killed under a request, which the next one answers.
    ///
    /// # Panics
    /// Where it does not, or not in the same session.
    pub fn survives_its_server(cluster: &Cluster) {
        let mut client = cluster.connect();
        embed_text(&mut client, "before").expect("a text");
        let (backend, old) = (backend_pid(&mut client), cluster.server());
        old.freeze();
        let request = Self::waiting(cluster, client, "under way");
        old.kill();
        let (mut client, result) = request.join();
        assert_eq!(result.expect("sent once more to the new server").len(), DIMENSION);
        assert_ne!(cluster.server(), old);
        assert_eq!(backend_pid(&mut client), backend);
        assert_eq!(embed_text(&mut client, "the next").expect("a text").len(), DIMENSION);
        cluster.assert_sessions_survived();
    }
}

/// A host that never answers, so that whoever fetches from it has a request under way for as long as a test wants.
pub struct Silence(Web);

impl Silence {
    const PATH: &str = "/silent";

    /// Listens.
    pub fn start() -> Self {
        Self(Web::start([(Self::PATH, Answer::Silence)]))
    }

    /// Settings with which a cluster fetches from it, and does not give up by itself.
    pub fn cluster() -> Builder {
        Cluster::builder()
            .set("clip_search.url_fetch", "on")
            .set("clip_search.url_allow", "127.0.0.1")
            .set("clip_search.url_timeout", "10min")
    }

    /// Fetches from it.
    pub fn fetch(&self, client: Client) -> Request<Vec<u8>> {
        let url = self.0.url(Self::PATH);
        let ask = move |client: &mut Client| client.query_one("SELECT clip_fetch_image($1)", &[&url]);
        Request::begin(client, move |client| ask(client).map(|row| row.get(0)))
    }

    /// Fetches that it has now.
    pub fn held(&self) -> usize {
        self.0.held()
    }

    /// Waits until it has so many fetches, each for the so-many-th time.
    pub fn wait_for(&self, held: usize, time: usize) {
        wait_until("the server fetches for all", Duration::from_secs(30), || {
            self.0.requests(Self::PATH) == held * time && self.held() == held
        });
    }
}
