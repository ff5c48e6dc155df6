//! Fetches from servers on loopback that behave and misbehave.

mod addresses;
mod answers;
mod bodies;
mod connections;
mod data;
mod redirects;
mod server;
mod tls;

use fetch::{Error, Fetched, Fetcher, Options};
use std::time::Duration;

const MAX_BYTES: u64 = 100_000;

/// Options that allow nothing but what is said, and have patience with a busy machine.
fn options(allow: &str) -> Options {
    Options {
        allow: allow.parse().expect("a good list"),
        ports: "1-65535".parse().expect("all ports"),
        max_bytes: MAX_BYTES,
        total_timeout: Duration::from_secs(60),
        connect_timeout: Duration::from_secs(30),
        max_redirects: 5,
        connections: 16,
        connections_per_host: 8,
        retries: 0,
        user_agent: "fetch-test/1".to_owned(),
    }
}

async fn fetch_with(options: Options, url: &str) -> Result<Fetched, Error> {
    Fetcher::new(options).expect("a fetcher").fetch(url).await
}

/// Fetches from a server that is allowed.
async fn fetch(server: &server::Server) -> Result<Fetched, Error> {
    fetch_with(options(&server.host()), &server.url("/image")).await
}
