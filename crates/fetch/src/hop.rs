//! One request for one URL.

use crate::allow::AllowList;
use crate::answer;
use crate::classify::classify;
use crate::cookies::Cookies;
use crate::encoding;
use crate::error::{Error, Result, show, show_url};
use crate::fetched::Fetched;
use crate::options::Options;
use crate::ports::Ports;
use crate::resolve::Guard;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Client, Response, StatusCode, redirect};
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// How long a connection waits for the next request to its host.
const IDLE: Duration = Duration::from_secs(15);

/// Header lines of one answer. Content delivery networks send some hundred; the client's own limit on their bytes holds.
const MAX_HEADERS: usize = 1000;

/// A client for the ports on which the same is allowed.
pub(crate) struct Lane {
    client: Client,
    guard: Guard,
}

/// What a request led to.
pub(crate) enum Answer {
    Body(Fetched),
    /// The URL to go on with. Only its scheme was checked.
    Redirect(Url),
}

impl Lane {
    /// A client for one port, or for all that the allow list does not name.
    pub(crate) fn new(
        options: &Options,
        allow: &Arc<AllowList>,
        ports: &Arc<Ports>,
        port: Option<u16>,
        tls: &ClientConfig,
    ) -> Result<Self> {
        let guard = Guard::new(allow, ports, port);
        let headers = HeaderMap::from_iter([
            (ACCEPT, HeaderValue::from_static("image/*,*/*;q=0.8")),
            (ACCEPT_ENCODING, HeaderValue::from_static(encoding::ACCEPTED)),
        ]);
        let client = Client::builder()
            .user_agent(&options.user_agent)
            .default_headers(headers)
            .dns_resolver(Arc::new(guard.clone()))
            .tls_backend_preconfigured(tls.clone())
            // As browsers take them.
            .http1_allow_spaces_after_header_name_in_responses(true)
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .http1_ignore_invalid_headers_in_responses(true)
            .http1_max_headers(MAX_HEADERS)
            // A proxy of the environment would connect to addresses that were not checked.
            .no_proxy()
            // Each hop is checked, and counted, by the fetcher.
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(options.connect_timeout)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(options.connections_per_host.max(1) as usize)
            .build()
            .map_err(|error| Error::Setup { reason: crate::classify::innermost(&error) })?;
        Ok(Self { client, guard })
    }

    /// Checks what the resolver is not asked about.
    pub(crate) fn check(&self, url: &Url) -> Result<()> {
        self.guard.check_literal(url)?;
        self.guard.check_port(url)
    }

    /// Makes a request for a URL that was checked and reads the answer. Keeps the cookies that it sets.
    pub(crate) async fn get(&self, url: &Url, options: &Options, cookies: &mut Cookies) -> Result<Answer> {
        let broken = |error: reqwest::Error| classify(&error, url, options.connect_timeout);
        let response = self.client.get(url.clone()).headers(cookies.header(url)).send().await.map_err(broken)?;
        cookies.keep(response.headers(), url);
        if is_redirect(response.status()) {
            return follow(url, &response).map(Answer::Redirect);
        }
        answer::read(response, url, options).await.map(Answer::Body)
    }
}

/// Fails unless the URL is fetched over the network.
pub(crate) fn check_scheme(url: &Url) -> Result<()> {
    match url.scheme() {
        "http" | "https" => Ok(()),
        other => Err(Error::Scheme { url: show_url(url), scheme: show(other) }),
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    )
}

fn follow(from: &Url, response: &Response) -> Result<Url> {
    let bad = |reason: String| Error::Redirect { url: show_url(from), reason };
    let location = response.headers().get(LOCATION).ok_or_else(|| bad("it has no Location".to_owned()))?;
    target(from, &ascii(location.as_bytes()))
        .map_err(|error| bad(format!("its Location is not a URL: {error}")))
        .and_then(|to| {
            check_scheme(&to)?;
            Ok(to)
        })
}

/// A Location as browsers take it: its bytes, in whatever encoding, are those of the path.
fn ascii(location: &[u8]) -> String {
    let parts = location.iter().map(|byte| match byte {
        0x80.. => format!("%{byte:02X}"),
        _ => char::from(*byte).to_string(),
    });
    parts.collect()
}

/// Where a Location leads.
fn target(from: &Url, location: &str) -> Result<Url, url::ParseError> {
    let mut to = from.join(location)?;
    let same = to.origin() == from.origin();
    if !same || (to.username().is_empty() && to.password().is_none()) {
        // A user and password are for the host that they were given for, and for nobody else. Setting them fails only
        // on URLs that cannot have them.
        let (user, password) = if same { (from.username(), from.password()) } else { ("", None) };
        let _ = to.set_username(user);
        let _ = to.set_password(password);
    }
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_stay_with_their_host() {
        let to =
            |location: &str| target(&Url::parse("https://u:p@a.example/b/c").unwrap(), location).unwrap().to_string();
        assert_eq!(to("d"), "https://u:p@a.example/b/d");
        assert_eq!(to("/d"), "https://u:p@a.example/d");
        assert_eq!(to("https://a.example/d"), "https://u:p@a.example/d");
        assert_eq!(to("https://x@a.example/d"), "https://x@a.example/d");
        assert_eq!(to("https://b.example/d"), "https://b.example/d");
        assert_eq!(to("//x:y@b.example/d"), "https://b.example/d");
        assert_eq!(to("http://a.example/d"), "http://a.example/d");
        assert_eq!(to("https://a.example:444/d"), "https://a.example:444/d");
    }
}
