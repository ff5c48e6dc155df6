//! The fetcher: redirects, retries, time and turns.

use crate::allow::AllowList;
use crate::cookies::Cookies;
use crate::data;
use crate::error::{Error, Phase, Result, show_text, show_url};
use crate::fetched::Fetched;
use crate::hop::{Answer, Lane, check_scheme};
use crate::options::Options;
use crate::pause::Pauses;
use crate::slots::Slots;
use crate::tls;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};
use url::Url;

/// Longer than any fetch: what stands for a time limit that is too long to be added to a clock.
const FOR_EVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// Fetches images. One for all requests: it keeps connections for a while and counts them.
pub struct Fetcher {
    options: Options,
    slots: Arc<Slots>,
    /// For the ports that the allow list names. A resolver is told a name but no port, so that each of these ports has
    /// a client and a resolver of its own, which allows what is allowed there.
    ports: HashMap<u16, Lane>,
    /// For all other ports.
    other_ports: Lane,
}

impl Fetcher {
    /// Reads the system's certificates. Fails with [`Error::Setup`].
    pub fn new(options: Options) -> Result<Self> {
        let (allow, open) = (Arc::new(options.allow.clone()), Arc::new(options.ports.clone()));
        let tls = tls::config()?;
        let lane = |port| Lane::new(&options, &allow, &open, port, &tls);
        let ports =
            AllowList::ports(&allow).into_iter().map(|port| Ok((port, lane(Some(port))?))).collect::<Result<_>>()?;
        let other_ports = lane(None)?;
        let slots = Slots::new(options.connections, options.connections_per_host);
        Ok(Self { options, slots, ports, other_ports })
    }

    /// Fetches an `http:`, `https:` or `data:` URL. Must run in a tokio runtime with I/O and time enabled.
    ///
    /// Dropping the future gives the fetch up and closes its connection; only a lookup of a name that is under way goes
    /// on until the system's resolver ends it.
    pub async fn fetch(&self, url: &str) -> Result<Fetched> {
        if let Some(decoded) = data::decode(url, self.options.max_bytes) {
            return decoded;
        }
        let first = Url::parse(url)
            .map_err(|error| Error::InvalidUrl { url: show_text(url), reason: error.to_string() })
            .and_then(|url| check_scheme(&url).map(|()| url))?;
        let mut run = Run {
            fetcher: self,
            deadline: later(Instant::now(), self.options.total_timeout),
            pauses: Pauses::new(self.options.retries),
            cookies: Cookies::default(),
        };
        let mut at = first.clone();
        for _ in 0..=self.options.max_redirects {
            match run.answer(&at).await? {
                Answer::Body(fetched) => return Ok(fetched),
                Answer::Redirect(to) => at = to,
            }
        }
        Err(Error::TooManyRedirects { url: show_url(&first), max: self.options.max_redirects })
    }

    fn lane(&self, url: &Url) -> &Lane {
        let lane = url.port_or_known_default().and_then(|port| self.ports.get(&port));
        lane.unwrap_or(&self.other_ports)
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").field("options", &self.options).finish_non_exhaustive()
    }
}

/// One fetch.
struct Run<'a> {
    fetcher: &'a Fetcher,
    deadline: Instant,
    pauses: Pauses,
    cookies: Cookies,
}

impl Run<'_> {
    /// Asks for one URL until there is an answer or an error that stays.
    async fn answer(&mut self, url: &Url) -> Result<Answer> {
        loop {
            let error = match self.attempt(url).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let left = self.deadline.saturating_duration_since(Instant::now());
            sleep(self.pauses.after(&error, left).ok_or(error)?).await;
        }
    }

    async fn attempt(&mut self, url: &Url) -> Result<Answer> {
        let Fetcher { options, slots, .. } = self.fetcher;
        let lane = self.fetcher.lane(url);
        // Before the wait for a turn: who asks for what is forbidden need not queue for it.
        lane.check(url)?;
        let queued = Instant::now();
        let _slot = slots.acquire(url.host_str().unwrap_or_default()).await;
        self.deadline = later(self.deadline, queued.elapsed());
        match timeout_at(self.deadline, lane.get(url, options, &mut self.cookies)).await {
            Ok(answer) => answer,
            Err(_) => {
                let ms = u64::try_from(options.total_timeout.as_millis()).unwrap_or(u64::MAX);
                Err(Error::Timeout { url: show_url(url), phase: Phase::Total, ms })
            }
        }
    }
}

fn later(from: Instant, by: Duration) -> Instant {
    from.checked_add(by).unwrap_or_else(|| from + FOR_EVER)
}
