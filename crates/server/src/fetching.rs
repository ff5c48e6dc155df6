//! Images by URL: many at a time, each in a task of its own, so that a slow reader of the answers holds up nobody.

use crate::failure;
use crate::log_warning;
use fetch::{AllowList, Fetcher, Options};
use futures_util::stream::{self, BoxStream, StreamExt};
use protocol::{Config, ErrorClass, Failure, FetchConfig, FetchRequest, Fetched, FetchedImage};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;

/// URLs of one request under way at a time, and so the most images of it in memory.
const AT_A_TIME: usize = 16;

/// The fetcher under one configuration, or why there is none.
pub(crate) struct Fetching(Result<Fetcher, Failure>);

impl Fetching {
    /// Never fails: an entry of the settings that is wrong is told to whoever fetches, and written to the log.
    pub(crate) fn new(config: &Config) -> Self {
        Self(fetcher(config).inspect_err(|failure| log_warning!("{}", failure.message)))
    }

    /// One answer for each URL. Dropping the stream gives up what is under way.
    pub(crate) fn run(self: Arc<Self>, request: FetchRequest) -> BoxStream<'static, Fetched> {
        let one = move |(index, url): (usize, String)| {
            let fetching = Arc::clone(&self);
            let task = AbortOnDropHandle::new(tokio::spawn(async move { fetching.fetch(&url).await }));
            async move {
                let lost = |error| Err(failure::internal(format!("fetching failed: {error}")));
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
        let fetched = fetcher.fetch(url).await.map_err(|error| failure::of_fetch(&error))?;
        // Many a dead image is a page that says so, with status 200.
        if clip::media_type(&fetched.bytes).is_none() {
            return Err(failure::not_an_image(url, &fetched));
        }
        Ok(FetchedImage { bytes: fetched.bytes.into(), content_type: fetched.content_type })
    }
}

fn fetcher(config: &Config) -> Result<Fetcher, Failure> {
    let FetchConfig { allow, timeout_ms, connect_timeout_ms, .. } = &config.fetch;
    let allow: AllowList = allow.parse().map_err(|error| Failure {
        class: ErrorClass::InvalidSetting,
        message: format!("clip_search.url_allow: {error}"),
        detail: None,
        hint: Some("List host names, addresses and networks, such as images.local, 10.1.0.0/16.".to_owned()),
    })?;
    let options = Options {
        allow,
        max_bytes: config.max_image_bytes,
        total_timeout: Duration::from_millis(*timeout_ms),
        connect_timeout: Duration::from_millis(*connect_timeout_ms),
        max_redirects: config.fetch.max_redirects,
        connections: config.fetch.connections,
        connections_per_host: config.fetch.connections_per_host,
        retries: config.fetch.retries,
        user_agent: config.fetch.user_agent.clone(),
    };
    Fetcher::new(options).map_err(|error| failure::of_fetch(&error))
}
