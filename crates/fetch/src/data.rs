//! URLs that have the image in themselves.

use crate::error::{Error, Result, show};
use crate::fetched::Fetched;
use data_url::forgiving_base64::DecodeError;
use data_url::{DataUrl, DataUrlError};

/// Characters of a `data:` URL before its data, at most.
const HEADER: u64 = 4096;

/// Decodes a `data:` URL. None if it is another URL.
pub(crate) fn decode(text: &str, max_bytes: u64) -> Option<Result<Fetched>> {
    let data = match DataUrl::process(text) {
        Ok(data) => data,
        Err(DataUrlError::NotADataUrl) => return None,
        Err(DataUrlError::NoComma) => return Some(Err(invalid(text, "it has no comma before the data".to_owned()))),
    };
    Some(read(text, &data, max_bytes))
}

fn read(text: &str, data: &DataUrl<'_>, max_bytes: u64) -> Result<Fetched> {
    let too_large = || Error::TooLarge { url: show(text), max: max_bytes };
    // A byte takes at most three characters (%FF), so a longer text need not be decoded.
    if text.len() as u64 > max_bytes.saturating_mul(3).saturating_add(HEADER) {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let decoded = data.decode(|part| {
        if (bytes.len() + part.len()) as u64 > max_bytes {
            return Err(());
        }
        bytes.extend_from_slice(part);
        Ok(())
    });
    match decoded {
        Ok(_) if bytes.is_empty() => Err(Error::Empty { url: show(text) }),
        Ok(_) => Ok(Fetched { bytes, content_type: Some(data.mime_type().to_string()) }),
        Err(DecodeError::WriteError(())) => Err(too_large()),
        Err(DecodeError::InvalidBase64(error)) => Err(invalid(text, format!("malformed base64: {error}"))),
    }
}

fn invalid(text: &str, reason: String) -> Error {
    Error::InvalidUrl { url: show(text), reason }
}
