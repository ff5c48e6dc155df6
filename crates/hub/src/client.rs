//! Questions to a hub: addresses, redirects, the token, and what a status means.

use crate::error::{Error, Result, show};
use crate::listing::{FileId, Listing};
use crate::name::Name;
use crate::retry::{Failure, Pauses, retry_after};
use crate::tls;
use crate::token::Token;
use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue, LOCATION, RANGE, RETRY_AFTER,
};
use reqwest::{Response, StatusCode, redirect};
use std::error::Error as StdError;
use std::time::{Duration, SystemTime};
use url::{Host, Url};

const USER_AGENT: &str = concat!("clip_search/", env!("CARGO_PKG_VERSION"));
/// Redirects that are followed for one file.
const MAX_REDIRECTS: u32 = 10;
/// Most bytes of a listing.
const MAX_LISTING: usize = 64 << 20;
/// Time without a byte after which a connection counts as broken.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A hub, and what is known to it.
pub(crate) struct Client {
    http: reqwest::Client,
    endpoint: Url,
    token: Option<Token>,
}

/// An answer with a body, of the endpoint or of where it has redirected to.
pub(crate) struct Reply {
    pub response: Response,
    /// What the endpoint itself says of the file.
    pub id: Option<FileId>,
}

impl Client {
    /// # Errors
    /// [`Error::InvalidEndpoint`], [`Error::TokenInClear`].
    pub(crate) fn new(endpoint: &str, token: Option<Token>) -> Result<Self> {
        let bad = |reason: &str| Error::InvalidEndpoint { endpoint: show(endpoint), reason: reason.to_owned() };
        let url = Url::parse(endpoint).map_err(|error| bad(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(bad("it is not an http or https URL"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad("it has a query or a fragment"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            // Shown in settings, manifests and messages.
            return Err(Error::InvalidEndpoint {
                endpoint: format!("{}://…", url.scheme()),
                reason: "it has a user name or a password; pass a token".to_owned(),
            });
        }
        if token.is_some() && url.scheme() == "http" && !is_loopback(&url) {
            return Err(Error::TokenInClear { endpoint: show_endpoint(&url) });
        }
        let tls = tls::config().map_err(|reason| bad(&reason))?;
        let http = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .tls_backend_preconfigured(tls)
            .default_headers(HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("identity"))]))
            // Other crates of the program turn these on; ranges and hashes are of the bytes as they are.
            .no_gzip()
            .no_deflate()
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .build()
            .map_err(|error| bad(&innermost(&error)))?;
        Ok(Self { http, endpoint: url, token })
    }

    /// The endpoint as it is shown.
    pub(crate) fn endpoint(&self) -> String {
        show_endpoint(&self.endpoint)
    }

    /// The files of a repository at a revision.
    ///
    /// # Errors
    /// Those of the network and of the hub; [`Error::NoSuchRepository`], [`Error::NoSuchRevision`], [`Error::Gated`].
    pub(crate) async fn listing(&self, name: &Name, revision: &str, pauses: &mut Pauses) -> Result<Listing> {
        let mut url = self.url(&["api", "models", name.owner(), name.name(), "revision", revision]);
        url.set_query(Some("blobs=true"));
        let question = Question { url, name, revision, what: "the list of files" };
        loop {
            match self.try_listing(&question).await {
                Ok(listing) => return Ok(listing),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(error, wait)) => match pauses.next(wait) {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => return Err(with_attempts(error, pauses.attempts)),
                },
            }
        }
    }

    async fn try_listing(&self, question: &Question<'_>) -> Result<Listing, Failure> {
        let mut response = self.get(question, None).await?.response;
        let host = show_host(response.url());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error, &question.url))? {
            if body.len() + chunk.len() > MAX_LISTING {
                let (unit, found, max) = ("bytes in its list of files", MAX_LISTING as u64 + 1, MAX_LISTING as u64);
                return Err(Error::TooLarge { source_name: question.name.to_string(), unit, found, max }.into());
            }
            body.extend_from_slice(&chunk);
        }
        let what = question.what.to_owned();
        Ok(Listing::parse(&body).map_err(|reason| Error::BadAnswer { host, what, reason })?)
    }

    /// The address of a file.
    pub(crate) fn file_url(&self, name: &Name, commit: &str, path: &str) -> Url {
        let mut parts = vec![name.owner(), name.name(), "resolve", commit];
        parts.extend(path.split('/'));
        self.url(&parts)
    }

    fn url(&self, parts: &[&str]) -> Url {
        let mut url = self.endpoint.clone();
        // A slash within a part, as in the revision refs/pr/1, is encoded.
        url.path_segments_mut().expect("an http URL has a path").pop_if_empty().extend(parts);
        url
    }

    /// Asks, from a byte on, and follows redirects. The answer is a success, or 416 where a range was asked for.
    pub(crate) async fn get(&self, question: &Question<'_>, from: Option<u64>) -> Result<Reply, Failure> {
        let (mut url, mut id) = (question.url.clone(), None);
        for _ in 0..=MAX_REDIRECTS {
            let response = self.ask(&url, from).await.map_err(|error| broken(&error, &url))?;
            let of_endpoint = self.is_endpoint(&url);
            if of_endpoint {
                id = id.or_else(|| linked_id(response.headers()));
            }
            match response.status() {
                status if is_redirect(status) => url = follow(&url, &response, question.what)?,
                status if status.is_success() => {
                    check_encoding(&response, question.what)?;
                    return Ok(Reply { response, id });
                }
                StatusCode::RANGE_NOT_SATISFIABLE if from.is_some() => return Ok(Reply { response, id }),
                _ => return Err(self.refused(&response, of_endpoint, question)),
            }
        }
        let reason = format!("it redirects more than {MAX_REDIRECTS} times");
        Err(Error::BadAnswer { host: show_host(&question.url), what: question.what.to_owned(), reason }.into())
    }

    async fn ask(&self, url: &Url, from: Option<u64>) -> reqwest::Result<Response> {
        let mut request = self.http.get(url.clone());
        if let Some(from) = from {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        // The token is for the endpoint. Where files really are, on a CDN, the URL has a signature of its own.
        if let Some(token) = &self.token
            && self.is_endpoint(url)
        {
            request = request.header(AUTHORIZATION, token.header());
        }
        request.send().await
    }

    fn is_endpoint(&self, url: &Url) -> bool {
        url.origin() == self.endpoint.origin()
    }

    /// What a status that is no success means.
    fn refused(&self, response: &Response, of_endpoint: bool, question: &Question<'_>) -> Failure {
        let status = response.status();
        let wait = header(response.headers(), RETRY_AFTER).and_then(|value| retry_after(&value, SystemTime::now()));
        let host = show_host(response.url());
        let failed =
            |host: &str| Error::Status { host: host.to_owned(), code: status.as_u16(), what: question.what.to_owned() };
        match status.as_u16() {
            429 => Failure::Passing(Error::RateLimited { host, seconds: wait.map(|wait| wait.as_secs()) }, wait),
            408 | 500 | 502 | 503 | 504 => Failure::Passing(failed(&host), wait),
            // The signature of a URL may have expired; the endpoint gives another.
            _ if !of_endpoint => Failure::Passing(failed(&host), None),
            code => Failure::Final(self.denied(code, response, question).unwrap_or_else(|| failed(&host))),
        }
    }

    fn denied(&self, code: u16, response: &Response, question: &Question<'_>) -> Option<Error> {
        let word = header(response.headers(), HeaderName::from_static("x-error-code")).unwrap_or_default();
        let (repository, endpoint) = (question.name.to_string(), self.endpoint());
        let has_token = self.token.is_some();
        let unknown = |repository, endpoint| match has_token {
            true => Error::NoSuchRepositoryForToken { repository, endpoint },
            false => Error::NoSuchRepository { repository, endpoint },
        };
        match (code, word.as_str()) {
            (401 | 403, "GatedRepo") | (403, _) if has_token => Some(Error::GatedForToken { repository, endpoint }),
            (401 | 403, "GatedRepo") | (403, _) => Some(Error::Gated { repository, endpoint }),
            // So the hub answers for what does not exist, to those whom it does not know.
            (401, "RepoNotFound") => Some(unknown(repository, endpoint)),
            (401, _) if has_token => Some(Error::TokenRefused { endpoint }),
            (401, _) => Some(unknown(repository, endpoint)),
            (404, "RevisionNotFound") => {
                Some(Error::NoSuchRevision { repository, revision: question.revision.to_owned() })
            }
            (404, "EntryNotFound") => None,
            (404, _) => Some(unknown(repository, endpoint)),
            _ => None,
        }
    }
}

/// What is asked, for messages.
pub(crate) struct Question<'a> {
    pub url: Url,
    pub name: &'a Name,
    pub revision: &'a str,
    pub what: &'a str,
}

/// The number of attempts, where an error tells it.
pub(crate) fn with_attempts(error: Error, attempts: u32) -> Error {
    match error {
        Error::Interrupted { host, reason, .. } => Error::Interrupted { host, attempts, reason },
        other => other,
    }
}

/// What an error of the HTTP client means. Another attempt may help, whatever it is.
pub(crate) fn broken(error: &reqwest::Error, url: &Url) -> Failure {
    let (host, reason) = (show_host(error.url().unwrap_or(url)), innermost(error));
    let error = match error.is_connect() {
        true => Error::Offline { host, reason },
        false => Error::Interrupted { host, attempts: 1, reason },
    };
    Failure::Passing(error, None)
}

fn follow(from: &Url, response: &Response, what: &str) -> Result<Url> {
    let bad = |reason: &str| {
        let reason = format!("its redirect {reason}");
        Error::BadAnswer { host: show_host(from), what: what.to_owned(), reason }
    };
    let location = response.headers().get(LOCATION).ok_or_else(|| bad("leads nowhere"))?;
    let location = str::from_utf8(location.as_bytes()).map_err(|_| bad("is not text"))?;
    let to = from.join(location).map_err(|_| bad("is not a URL"))?;
    match (from.scheme(), to.scheme()) {
        ("http", "http") | (_, "https") => Ok(to),
        ("https", "http") => Err(bad("leads from https to http")),
        _ => Err(bad("leads to another scheme than https")),
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Fails where the body is not the file's bytes as they are.
fn check_encoding(response: &Response, what: &str) -> Result<()> {
    match response.headers().get(CONTENT_ENCODING) {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"identity") => Err(Error::BadAnswer {
            host: show_host(response.url()),
            what: what.to_owned(),
            reason: "it is compressed, which was not asked for".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// What the hub says of a file that lies elsewhere.
fn linked_id(headers: &HeaderMap) -> Option<FileId> {
    let tag = header(headers, HeaderName::from_static("x-linked-etag"))?;
    FileId::from_hex(tag.trim_matches('"')).filter(|id| matches!(id, FileId::Sha256(_)))
}

pub(crate) fn header(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// Host and port, without what may be secret in a URL.
pub(crate) fn show_host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    show(&url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

fn show_endpoint(url: &Url) -> String {
    show(url.as_str().trim_end_matches('/'))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The words of the first cause, which is what happened; those above it say what failed by that.
fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    show(&error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        for bad in ["", "hub.example", "ftp://hub.example", "https://", "https://h/?a=b", "https://h/#a", "file:///a"] {
            assert!(matches!(Client::new(bad, None), Err(Error::InvalidEndpoint { .. })), "{bad}");
        }
        let error = Client::new("https://user:secret@hub.example", None).err().unwrap();
        assert!(!format!("{error:?}").contains("secret"), "{error}");
        let token = Token::new("hf_secret");
        assert!(matches!(Client::new("http://hub.example", token.clone()), Err(Error::TokenInClear { .. })));
        Client::new("http://127.0.0.1:1", token.clone()).unwrap();
        Client::new("https://hub.example", token).unwrap();
    }

    #[test]
    fn addresses_of_files() {
        let client = Client::new("https://mirror.example/hub/", None).unwrap();
        let name = Name::parse("owner/name").unwrap();
        let url = client.file_url(&name, "refs/pr/1", "onnx/a b?.onnx");
        assert_eq!(url.as_str(), "https://mirror.example/hub/owner/name/resolve/refs%2Fpr%2F1/onnx/a%20b%3F.onnx");
        assert_eq!(client.endpoint(), "https://mirror.example/hub");
    }
}
