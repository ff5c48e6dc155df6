//! What can go wrong, one variant for each thing that users must be told apart.

use crate::public::PublicError;
use std::fmt;
use std::net::IpAddr;
use url::Url;

/// Characters of a URL, or of what a server said, that a message shows.
const SHOWN: usize = 200;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. The text states the fact; what to do about it is for the caller to say.
///
/// Every `url` is the one that failed, which after a redirect is not the one that was asked for. It is shortened, and
/// has neither a user name and password nor control characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not a URL.
    #[error("\"{url}\" is not a URL: {reason}")]
    InvalidUrl {
        /// The text that was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The URL, or one that it redirects to, has a scheme that is not fetched.
    #[error("\"{url}\" has the scheme \"{scheme}\", which is not fetched")]
    Scheme {
        /// The URL.
        url: String,
        /// Its scheme. `data` only after a redirect.
        scheme: String,
    },
    /// The host has an address that is neither public nor allowed. No connection was made.
    #[error("{}, which is not public", describe_host(.host, .address))]
    NotAllowed {
        /// Host of the URL.
        host: String,
        /// The first of its addresses that is not public.
        address: IpAddr,
    },
    /// The port is neither one that is fetched from nor allowed with its host. No connection was made.
    #[error("\"{url}\" has the port {port}, which is not fetched from")]
    Port {
        /// The URL.
        url: String,
        /// Its port.
        port: u16,
    },
    /// The name has no address, or name service failed.
    #[error("host \"{host}\" cannot be resolved: {reason}")]
    Resolve {
        /// Host of the URL.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// No connection to any of the host's addresses.
    #[error("cannot connect for \"{url}\": {reason}")]
    Connect {
        /// The URL.
        url: String,
        /// What the operating system said.
        reason: String,
    },
    /// The host's certificate is not trusted, or TLS failed in another way.
    #[error("no secure connection for \"{url}\": {reason}")]
    Tls {
        /// The URL.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The host does not send its whole chain of certificates, or its authority is not trusted.
    #[error(
        "no secure connection for \"{url}\": the host does not send the certificate of its issuer, which is not trusted here"
    )]
    Chain {
        /// The URL.
        url: String,
    },
    /// It took too long.
    #[error("\"{url}\" {phase} within {ms} ms")]
    Timeout {
        /// The URL.
        url: String,
        /// What took too long.
        phase: Phase,
        /// The limit, in milliseconds.
        ms: u64,
    },
    /// Redirects do not end.
    #[error("\"{url}\" redirects more than {max} times")]
    TooManyRedirects {
        /// The URL that was asked for.
        url: String,
        /// Redirects that are followed.
        max: u32,
    },
    /// A redirect does not say where to, or not in a way that can be followed.
    #[error("\"{url}\" answered with a redirect that cannot be followed: {reason}")]
    Redirect {
        /// The URL.
        url: String,
        /// What is wrong with its Location.
        reason: String,
    },
    /// The server answered with a status that is neither success nor a redirect.
    #[error("\"{url}\" answered {code}{}{}", prefixed(" ", .name), asks_to_wait(.retry_after))]
    Status {
        /// The URL.
        url: String,
        /// The status code.
        code: u16,
        /// Its standard name, empty where it has none.
        name: String,
        /// Seconds that the server asks to wait before the next request.
        retry_after: Option<u64>,
    },
    /// The body is too long; it was not read to its end.
    #[error("\"{url}\" is longer than {max} bytes")]
    TooLarge {
        /// The URL.
        url: String,
        /// Bytes that are fetched at most.
        max: u64,
    },
    /// The connection broke before the end of the answer.
    #[error("the connection for \"{url}\" broke in the middle: {reason}")]
    Interrupted {
        /// The URL.
        url: String,
        /// What happened.
        reason: String,
    },
    /// What was answered is not HTTP.
    #[error("\"{url}\" did not answer in HTTP: {reason}")]
    Protocol {
        /// The URL.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The answer's body begins as its Content-Encoding does, and is damaged further on.
    #[error("\"{url}\" is encoded in a way that cannot be decoded: {reason}")]
    Encoding {
        /// The URL.
        url: String,
        /// What the decoder said.
        reason: String,
    },
    /// The answer is a success and has no body.
    #[error("\"{url}\" is empty")]
    Empty {
        /// The URL.
        url: String,
    },
    /// An entry of an [`AllowList`](crate::AllowList) is malformed.
    #[error("\"{entry}\" is not a host, an address or a network: {reason}")]
    AllowList {
        /// The entry.
        entry: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An entry of [`Ports`](crate::Ports) is malformed.
    #[error("\"{entry}\" is not a port from 1 to 65535, or a range such as 8000-8999")]
    Ports {
        /// The entry.
        entry: String,
    },
    /// A [`Fetcher`](crate::Fetcher) cannot be made: no usable certificate store, or a bad user agent.
    #[error("images cannot be fetched: {reason}")]
    Setup {
        /// What is missing.
        reason: String,
    },
}

impl Error {
    /// Whether the name or address of the URL that was asked for says all that there is to know: it is an address, and not
    /// public. Of a name it is not said whether it has no address or one that is not public: names of the own network are
    /// nobody else's business.
    pub fn is_about_the_address_asked_for(&self, asked: &str) -> bool {
        matches!(self, Self::NotAllowed { host, .. } if is_literal(host) && host_of(asked).as_ref() == Some(host))
    }

    /// What somebody may know who has asked for `asked`: no address, no port that is open or closed, nothing that other hosts
    /// have said or where they redirect to. The whole is for the log.
    pub fn to_user(&self, asked: &str) -> PublicError {
        use PublicError as P;
        let shown = show_text(asked);
        let is_of_it = |url: &String| *url == show_without_query(asked);
        match self {
            Self::NotAllowed { host, address } if self.is_about_the_address_asked_for(asked) => {
                P::NotPublic { address: describe_host(host, address) }
            }
            Self::NotAllowed { host, .. } if host_of(asked).as_ref() == Some(host) => P::Host { host: host.clone() },
            Self::Resolve { host, .. } if host_of(asked).as_ref() == Some(host) => P::Host { host: host.clone() },
            Self::Port { url, port } if is_of_it(url) => P::Port { url: shown, port: *port },
            Self::InvalidUrl { url, reason } if *url == shown || is_of_it(url) => {
                P::InvalidUrl { url: url.clone(), reason: reason.clone() }
            }
            Self::Scheme { url, scheme } if is_of_it(url) => P::Scheme { url: shown, scheme: scheme.clone() },
            Self::NotAllowed { .. } | Self::Resolve { .. } => P::RedirectToHost { url: shown },
            Self::Port { .. } => P::RedirectToPort { url: shown },
            Self::Scheme { .. } | Self::InvalidUrl { .. } => P::RedirectToNoUrl { url: shown },
            Self::Connect { .. } => P::Connect { url: shown },
            Self::Timeout { phase: Phase::Connect, .. } => P::ConnectTimeout { url: shown },
            Self::Tls { .. } => P::Tls { url: shown },
            Self::Chain { .. } => P::Chain { url: shown },
            Self::Timeout { phase: Phase::Total, ms, .. } => P::Timeout { url: shown, ms: *ms },
            Self::TooManyRedirects { max, .. } => P::TooManyRedirects { url: shown, max: *max },
            Self::Redirect { .. } => P::Redirect { url: shown },
            Self::Status { code, name, retry_after, .. } => {
                let status = format!("{code}{}{}", prefixed(" ", name), asks_to_wait(retry_after));
                P::Status { url: shown, status }
            }
            Self::TooLarge { max, .. } => P::TooLarge { url: shown, max: *max },
            Self::Interrupted { .. } => P::Interrupted { url: shown },
            Self::Protocol { .. } => P::Protocol { url: shown },
            Self::Encoding { .. } => P::Encoding { url: shown },
            Self::Empty { .. } => P::Empty { url: shown },
            Self::AllowList { .. } => P::AllowList,
            Self::Ports { .. } => P::Ports,
            Self::Setup { .. } => P::Setup,
        }
    }
}

/// The host of a URL as errors name it.
fn host_of(url: &str) -> Option<String> {
    Url::parse(url).ok()?.host_str().map(show)
}

fn is_literal(host: &str) -> bool {
    host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

/// What an [`Error::Timeout`] was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Resolving the name and making one connection.
    Connect,
    /// The whole fetch.
    Total,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Connect => "accepted no connection",
            Phase::Total => "was not fetched",
        })
    }
}

fn describe_host(host: &str, address: &IpAddr) -> String {
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(literal) if literal == *address => format!("the address of the URL is {address}"),
        _ => format!("host \"{host}\" has the address {address}"),
    }
}

fn prefixed(prefix: &str, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{prefix}{text}") }
}

fn asks_to_wait(seconds: &Option<u64>) -> String {
    seconds.map_or_else(String::new, |seconds| format!(" and asks to wait {seconds} s"))
}

/// A URL as messages show it.
pub(crate) fn show_url(url: &Url) -> String {
    if url.cannot_be_a_base() {
        return show_malformed(url.as_str());
    }
    let mut url = url.clone();
    // Both fail only on URLs that cannot have them.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    // What comes after it may be somebody's key, and errors go to the log.
    url.set_fragment(None);
    if url.query().is_some() {
        url.set_query(Some("…"));
    }
    show(&url.as_str().replace("?%E2%80%A6", "?…"))
}

/// As [`show_url`].
fn show_without_query(text: &str) -> String {
    Url::parse(text).map_or_else(|_| show_malformed(text), |url| show_url(&url))
}

/// A text that is perhaps a URL as messages show it: shortened, without user name, password and control characters.
pub fn show_text(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else { return show_malformed(text) };
    if url.cannot_be_a_base() {
        return show_malformed(url.as_str());
    }
    // Both fail only on URLs that cannot have them.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    show(url.as_str())
}

/// Without anything before an @: the password of a malformed URL, or of one without its scheme, is a password all the
/// same.
fn show_malformed(text: &str) -> String {
    let start = text.find("//").map(|at| at + 2).or_else(|| text.find(':').map(|at| at + 1)).unwrap_or(0);
    match text[start..].rfind('@') {
        Some(at) => show(&format!("{}{}", &text[..start], &text[start + at + 1..])),
        None => show(text),
    }
}

/// A text of a user or of a server without control characters, and not too long.
pub(crate) fn show(text: &str) -> String {
    let mut printable = text.chars().filter(|c| !c.is_control());
    let mut shown: String = printable.by_ref().take(SHOWN).collect();
    if printable.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_urls_have_no_password_and_no_control_characters() {
        assert_eq!(show_text("http://user:secret@example.com/a"), "http://example.com/a");
        assert_eq!(show_text("http://user:sec/ret@example.com:x/a\n\u{1b}[31m"), "http://example.com:x/a[31m");
        assert_eq!(show_text("http://user:secret@exa mple.com/a\0"), "http://exa mple.com/a");
        assert_eq!(show_text("user:secret@example.com/a"), "user:example.com/a");
        let long = show_text(&format!("http://example.com/{}", "ä".repeat(5000)));
        assert_eq!((long.chars().count(), long.chars().last()), (SHOWN + 1, Some('…')));
    }

    #[test]
    fn errors_have_no_query() {
        assert_eq!(show_url(&Url::parse("http://u:p@x/a?key=secret#b").unwrap()), "http://x/a?…");
        assert_eq!(show_url(&Url::parse("http://x/a#b").unwrap()), "http://x/a");
    }

    /// A name of the own network is answered for as one that does not exist.
    #[test]
    fn users_learn_nothing_of_the_network() {
        let asked = "http://db1/a?b";
        let private = Error::NotAllowed { host: "db1".into(), address: "10.1.2.3".parse().unwrap() };
        let unknown = Error::Resolve { host: "db1".into(), reason: "Name or service not known".into() };
        assert_eq!(private.to_user(asked), unknown.to_user(asked));
        let text = |error: &Error| error.to_user(asked).to_string();
        let url = || "http://10.9.8.7:6379/?…".to_owned();
        let reason = || "10.9.8.7:6379 said SECRET".to_owned();
        let hidden = [
            private,
            Error::NotAllowed { host: "10.9.8.7".into(), address: "10.9.8.7".parse().unwrap() },
            Error::Port { url: url(), port: 6379 },
            Error::Resolve { host: "SECRET".into(), reason: reason() },
            Error::Scheme { url: url(), scheme: "SECRET".into() },
            Error::Connect { url: url(), reason: reason() },
            Error::Tls { url: url(), reason: reason() },
            Error::Chain { url: url() },
            Error::Timeout { url: url(), phase: Phase::Connect, ms: 1 },
            Error::Timeout { url: url(), phase: Phase::Total, ms: 1 },
            Error::TooManyRedirects { url: url(), max: 1 },
            Error::Redirect { url: url(), reason: reason() },
            Error::Status { url: url(), code: 404, name: "Not Found".into(), retry_after: None },
            Error::TooLarge { url: url(), max: 1 },
            Error::Interrupted { url: url(), reason: reason() },
            Error::Protocol { url: url(), reason: reason() },
            Error::Encoding { url: url(), reason: reason() },
            Error::Empty { url: url() },
            Error::AllowList { entry: "10.9.8.7".into(), reason: reason() },
            Error::Ports { entry: "6379".into() },
            Error::Setup { reason: reason() },
        ];
        for error in hidden {
            let told = text(&error);
            for secret in ["10.1.2.3", "10.9.8.7", "6379", "SECRET"] {
                assert!(!told.contains(secret), "{told}");
            }
        }
    }

    #[test]
    fn of_an_address_in_the_url_it_is_said_why() {
        let refused = Error::NotAllowed { host: "10.0.0.1".into(), address: "10.0.0.1".parse().unwrap() };
        assert!(refused.is_about_the_address_asked_for("http://10.0.0.1/a"));
        assert_eq!(refused.to_user("http://10.0.0.1/a").to_string(), refused.to_string());
        assert!(!refused.is_about_the_address_asked_for("http://x/a"));
        assert_eq!(
            refused.to_user("http://x/a").to_string(),
            "\"http://x/a\" redirects to where nothing is fetched from"
        );
    }

    #[test]
    fn messages_are_sentences() {
        let url = "http://x/".to_owned();
        let status =
            |name: &str, retry_after| Error::Status { url: url.clone(), code: 429, name: name.into(), retry_after };
        assert_eq!(status("Too Many Requests", None).to_string(), "\"http://x/\" answered 429 Too Many Requests");
        assert_eq!(status("", Some(9)).to_string(), "\"http://x/\" answered 429 and asks to wait 9 s");
        let refused =
            |host: &str, address: &str| Error::NotAllowed { host: host.into(), address: address.parse().unwrap() };
        assert_eq!(refused("x", "10.0.0.1").to_string(), "host \"x\" has the address 10.0.0.1, which is not public");
        assert_eq!(refused("[::1]", "::1").to_string(), "the address of the URL is ::1, which is not public");
        let timeout = Error::Timeout { url, phase: Phase::Total, ms: 9 };
        assert_eq!(timeout.to_string(), "\"http://x/\" was not fetched within 9 ms");
    }
}
