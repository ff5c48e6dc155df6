//! Cookies of one fetch: some servers redirect to themselves until a client comes back with what they have set.

use cookie_store::{CookieStore, RawCookie};
use reqwest::header::{COOKIE, HeaderMap, HeaderValue, SET_COOKIE};
use url::Url;

/// What the servers of one fetch have set. Gone with it, so that nobody is followed from one fetch to the next.
#[derive(Debug, Default)]
pub(crate) struct Cookies(CookieStore);

impl Cookies {
    /// Keeps what an answer sets. What is malformed or for another site is passed over.
    pub(crate) fn keep(&mut self, headers: &HeaderMap, url: &Url) {
        let cookies = headers.get_all(SET_COOKIE).iter().filter_map(|value| {
            let text = str::from_utf8(value.as_bytes()).ok()?;
            Some(RawCookie::parse(text).ok()?.into_owned())
        });
        self.0.store_response_cookies(cookies, url);
    }

    /// The header of a request for `url`, if there is anything to send.
    pub(crate) fn header(&self, url: &Url) -> HeaderMap {
        let pairs: Vec<_> = self.0.get_request_values(url).map(|(name, value)| format!("{name}={value}")).collect();
        let value = HeaderValue::from_str(&pairs.join("; ")).ok().filter(|value| !value.is_empty());
        value.map(|value| (COOKIE, value)).into_iter().collect()
    }
}
