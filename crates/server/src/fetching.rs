//! Images by URL: many at a time, each in a task of its own, so that a slow reader of the answers holds up nobody.

use crate::failure;
use crate::log::Limit;
use crate::{log_info, log_warning};
use fetch::{Fetcher, Options};
use futures_util::stream::{self, BoxStream, StreamExt};
use protocol::{Config, Failure, FetchConfig, FetchRequest, Fetched, FetchedImage};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

/// URLs of one request under way at a time, and so the most images of it in memory.
const AT_A_TIME: usize = 16;

/// Lines of the log about URLs that gave no image: whoever fetches could fill it.
static REASONS: Limit = Limit::new(10, Duration::from_secs(10));

/// The fetcher under one configuration, or why there is none.
pub(crate) struct Fetching(Result<Fetcher, Failure>);

impl Fetching {
    /// Never fails. An entry of the settings that is wrong is named in the log; whoever fetches learns that there is one.
    pub(crate) fn new(config: &Config) -> Self {
        let warned = |error: fetch::Error| {
            let setting = match error {
                fetch::Error::AllowList { .. } => "clip_search.url_allow: ",
                fetch::Error::Ports { .. } => "clip_search.url_ports: ",
                _ => "",
            };
            log_warning!("{setting}{error}");
            failure::of_fetch(&error, "")
        };
        Self(fetcher(config).map_err(warned))
    }

    /// One answer for each URL. Dropping the stream gives up what is under way.
    pub(crate) fn run(self: Arc<Self>, request: FetchRequest) -> BoxStream<'static, Fetched> {
        let one = move |(index, url): (usize, String)| {
            let fetching = Arc::clone(&self);
            let task = AbortOnDropHandle::new(tokio::spawn(async move { fetching.fetch(&url).await }));
            async move {
                let lost = |error: JoinError| Err(failure::Error::FetchFailed { reason: error.to_string() }.into());
                Fetched { index: index as u32, result: task.await.unwrap_or_else(lost) }
            }
        };
        let fetches = stream::iter(request.urls.into_iter().enumerate()).map(one);
        match request.in_order {
            true => fetches.buffered(AT_A_TIME).boxed(),
            false => fetches.buffer_unordered(AT_A_TIME).boxed(),
        }
    }

    async fn fetch(&self, url: &str) -> Result<FetchedImage, Failure> {
        let fetcher = self.0.as_ref().map_err(Failure::clone)?;
        let fetched = fetcher.fetch(url).await.map_err(|error| {
            let failure = failure::of_fetch(&error, url);
            let reason = error.to_string();
            if reason != failure.message
                && let Some(more) = REASONS.admit()
            {
                log_info!("could not fetch: {reason}{more}");
            }
            failure
        })?;
        // Many a dead image is a page that says so, with status 200.
        if clip::media_type(&fetched.bytes).is_none() {
            return Err(failure::not_an_image(url, &fetched));
        }
        Ok(FetchedImage { bytes: fetched.bytes.into(), content_type: fetched.content_type })
    }
}

fn fetcher(config: &Config) -> Result<Fetcher, fetch::Error> {
    let FetchConfig { allow, ports, timeout_ms, connect_timeout_ms, .. } = &config.fetch;
    let options = Options {
        allow: allow.parse()?,
        ports: ports.parse()?,
        max_bytes: config.max_image_bytes,
        total_timeout: Duration::from_millis(*timeout_ms),
        connect_timeout: Duration::from_millis(*connect_timeout_ms),
        max_redirects: config.fetch.max_redirects,
        connections: config.fetch.connections,
        connections_per_host: config.fetch.connections_per_host,
        retries: config.fetch.retries,
        user_agent: config.fetch.user_agent.clone(),
    };
    Fetcher::new(options)
}
