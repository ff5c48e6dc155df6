//! Fetches images by URL on behalf of database users, from inside the organisation's network.
//!
//! ```text
//! url ─┬─ data: ─────────────────────────────────────────────────────────────────────> bytes
//!      └─ http(s): slot of the host ─> slot ─> checked address ─> answer ─┬─ 2xx ──> bytes
//!               ^                                                         ├─ 3xx ─┐
//!               └──────────── at most `max_redirects` times ──────────────┼───────┘
//!                          └─ at most `retries` times, after a pause <────┘
//! ```
//!
//! Users choose the URLs, so what they can reach must not be more than what anybody on the internet can reach: a
//! connection is made only to an address that is public ([`is_public`]) or that the administrator has allowed
//! ([`AllowList`]). Names are resolved here and the connection goes to the very addresses that were checked; redirects
//! are followed by hand so that each hop is checked like the first; proxies of the environment and referers are not
//! used, and cookies last for one fetch.

mod address;
mod allow;
mod answer;
mod classify;
mod cookies;
mod data;
mod encoding;
mod error;
mod fetched;
mod fetcher;
mod hop;
mod options;
mod pause;
mod ports;
mod public;
mod resolve;
mod slots;
mod tls;

pub use address::is_public;
pub use allow::AllowList;
pub use error::{Error, Phase, Result, show_text};
pub use fetched::Fetched;
pub use fetcher::Fetcher;
pub use options::Options;
pub use ports::Ports;
pub use public::PublicError;
