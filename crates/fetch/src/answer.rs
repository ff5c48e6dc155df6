//! Reads an answer that is not a redirect.

use crate::classify::classify;
use crate::error::{Error, Result, show, show_url};
use crate::fetcher::Fetched;
use crate::options::Options;
use crate::pause::retry_after;
use reqwest::Response;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use std::time::SystemTime;
use url::Url;

/// Bytes that a server gets reserved for its word alone.
const RESERVED: u64 = 64 * 1024;

/// Reads an image. The limit holds for the decoded bytes, whatever the headers say.
pub(crate) async fn read(mut response: Response, url: &Url, options: &Options) -> Result<Fetched> {
    check(&response, url)?;
    let max = options.max_bytes;
    let too_large = || Error::TooLarge { url: show_url(url), max };
    let announced = response.content_length().unwrap_or(0);
    if announced > max {
        return Err(too_large());
    }
    let content_type = header(&response, CONTENT_TYPE.as_str());
    let mut bytes = Vec::with_capacity(usize::try_from(announced.min(RESERVED)).unwrap_or(0));
    let broken = |error: reqwest::Error| classify(&error, url, options.connect_timeout);
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if (bytes.len() + chunk.len()) as u64 > max {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    if bytes.is_empty() {
        return Err(Error::Empty { url: show_url(url) });
    }
    Ok(Fetched { bytes, content_type })
}

/// Fails unless the answer is a success with a body that can be read.
fn check(response: &Response, url: &Url) -> Result<()> {
    let status = response.status();
    if !status.is_success() {
        return Err(Error::Status {
            url: show_url(url),
            code: status.as_u16(),
            name: status.canonical_reason().unwrap_or_default().to_owned(),
            retry_after: header(response, RETRY_AFTER.as_str())
                .and_then(|value| retry_after(&value, SystemTime::now())),
        });
    }
    // The client takes out the header of what it decodes.
    for value in response.headers().get_all(CONTENT_ENCODING) {
        if !value.as_bytes().eq_ignore_ascii_case(b"identity") {
            let reason = show(&String::from_utf8_lossy(value.as_bytes()));
            return Err(Error::Encoding { url: show_url(url), reason });
        }
    }
    Ok(())
}

fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name).and_then(|value| value.to_str().ok()).map(show)
}
