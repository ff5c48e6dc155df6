//! What a fetcher may do.

use crate::allow::AllowList;
use crate::ports::Ports;
use std::time::Duration;

/// What a [`Fetcher`](crate::Fetcher) may do. Other options need another fetcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What may be fetched from besides public addresses.
    pub allow: AllowList,
    /// Ports of the hosts. Where an entry of the allow list names another, that host is fetched from on it, too.
    pub ports: Ports,
    /// Bytes of one image, after decoding of a Content-Encoding.
    pub max_bytes: u64,
    /// Time of one fetch with its redirects, retries and pauses. The time in which it waits for its turn
    /// ([`Options::connections`]) does not count: whoever queues a thousand URLs of one host must not see the last of
    /// them fail for the time that the first ones took.
    pub total_timeout: Duration,
    /// Time in which a name is resolved and a connection, with TLS, is made.
    pub connect_timeout: Duration,
    /// Redirects that are followed in one fetch.
    pub max_redirects: u32,
    /// Requests at the same time, of the whole fetcher. Zero counts as one.
    pub connections: u32,
    /// Requests at the same time to one host, on all of its ports. Zero counts as one.
    pub connections_per_host: u32,
    /// How often one fetch tries again, redirects included.
    pub retries: u32,
    /// The User-Agent header.
    pub user_agent: String,
}
