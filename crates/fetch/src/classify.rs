//! What an error of the HTTP client means.

use crate::error::{Error, Phase, show, show_url};
use crate::tls::ChainEnds;
use std::error::Error as StdError;
use std::io;
use std::time::Duration;
use url::Url;

/// Tells an error of the client by what it was caused by.
pub(crate) fn classify(error: &reqwest::Error, url: &Url, connect_timeout: Duration) -> Error {
    // What the resolver refused.
    if let Some(own) = cause::<Error>(error) {
        return own.clone();
    }
    let url = show_url(url);
    let reason = innermost(error);
    if error.is_builder() {
        return Error::InvalidUrl { url, reason };
    }
    if let Some(tls) = cause::<rustls::Error>(error) {
        return if is_chain_ends(tls) { Error::Chain { url } } else { Error::Tls { url, reason } };
    }
    if error.is_connect() {
        return if error.is_timeout() {
            let ms = u64::try_from(connect_timeout.as_millis()).unwrap_or(u64::MAX);
            Error::Timeout { url, phase: Phase::Connect, ms }
        } else {
            Error::Connect { url, reason }
        };
    }
    match cause::<hyper::Error>(error) {
        Some(http) if http.is_parse() => Error::Protocol { url, reason },
        _ => Error::Interrupted { url, reason },
    }
}

fn is_chain_ends(error: &rustls::Error) -> bool {
    use rustls::{CertificateError, Error::InvalidCertificate};
    matches!(error, InvalidCertificate(CertificateError::Other(other)) if other.0.is::<ChainEnds>())
}

/// The words of the first cause, which is what happened; those above it say what failed by that.
pub(crate) fn innermost(error: &(dyn StdError + 'static)) -> String {
    show(&causes(error).last().unwrap_or(error).to_string())
}

fn cause<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    causes(error).find_map(|error| error.downcast_ref())
}

/// The error and what caused it.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| {
        let error: &'a (dyn StdError + 'static) = *error;
        // As the source of a wrapper the standard library names not what it wraps but the source of that.
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        }
    })
}
