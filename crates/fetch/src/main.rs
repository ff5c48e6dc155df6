//! `fetch-url URL [ALLOW]`: fetches one image as the server would with this `clip_search.url_allow`, and says what it
//! got. To find out why a URL does not work; the tests run it with other environments than their own.

use fetch::{Fetcher, Options};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(url) = arguments.next() else {
        eprintln!("usage: fetch-url URL [ALLOW]");
        return ExitCode::from(2);
    };
    match fetch(&url, &arguments.next().unwrap_or_default()) {
        Ok(fetched) => {
            println!(
                "{} bytes, {}",
                fetched.bytes.len(),
                fetched.content_type.as_deref().unwrap_or("of no stated type")
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("fetch-url: {error}");
            ExitCode::FAILURE
        }
    }
}

fn fetch(url: &str, allow: &str) -> Result<fetch::Fetched, Box<dyn std::error::Error>> {
    let fetcher = Fetcher::new(Options {
        allow: allow.parse()?,
        ports: "1-65535".parse()?,
        max_bytes: 64 << 20,
        total_timeout: Duration::from_secs(30),
        connect_timeout: Duration::from_secs(5),
        max_redirects: 5,
        connections: 1,
        connections_per_host: 1,
        retries: 0,
        user_agent: concat!("clip_search/", env!("CARGO_PKG_VERSION")).to_owned(),
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(fetcher.fetch(url))?)
}
