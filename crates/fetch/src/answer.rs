//! Reads an answer that is not a redirect.

use crate::classify::classify;
use crate::encoding;
use crate::error::{Error, Result, show, show_url};
use crate::fetched::Fetched;
use crate::options::Options;
use crate::pause::retry_after;
use reqwest::Response;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use std::io;
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
    let encodings = encodings(&response);
    let content_type = header(&response, CONTENT_TYPE.as_str());
    let mut bytes = Vec::with_capacity(usize::try_from(announced.min(RESERVED)).unwrap_or(0));
    let broken = |error: reqwest::Error| classify(&error, url, options.connect_timeout);
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if (bytes.len() + chunk.len()) as u64 > max {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    let bytes = decode(bytes, encodings, url, max).await?;
    if bytes.is_empty() {
        return Err(Error::Empty { url: show_url(url) });
    }
    Ok(Fetched { bytes, content_type })
}

/// Fails unless the answer is a success.
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
    Ok(())
}

/// The entries of all headers `Content-Encoding`, in lower case.
fn encodings(response: &Response) -> Vec<String> {
    let values = response.headers().get_all(CONTENT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|entry| entry.trim().to_ascii_lowercase()).collect()
}

async fn decode(bytes: Vec<u8>, encodings: Vec<String>, url: &Url, max: u64) -> Result<Vec<u8>> {
    if encodings.is_empty() {
        return Ok(bytes);
    }
    // Not on the thread of all connections: it takes time.
    let decoded = tokio::task::spawn_blocking(move || encoding::decode(bytes, &encodings, max)).await;
    let decoded = decoded.unwrap_or_else(|ended| Err(io::Error::other(ended)));
    let url = show_url(url);
    match decoded {
        Ok(bytes) => bytes.ok_or(Error::TooLarge { url, max }),
        // The body may have been cut off before it was sent.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(Error::Interrupted { url, reason: show(&error.to_string()) })
        }
        Err(error) => Err(Error::Encoding { url, reason: show(&error.to_string()) }),
    }
}

fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name).and_then(|value| value.to_str().ok()).map(show)
}
