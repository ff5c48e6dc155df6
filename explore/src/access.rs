//! Who may ask, and what each answer forbids.

use crate::error::Failure;
use crate::routes::App;
use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HOST, LOCATION, ORIGIN, REFERRER_POLICY, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// Own style, script and images, and nothing from anywhere else.
const POLICY: &str = "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The name of the cookie that has the token.
const TOKEN: &str = "clip_search_explore";

/// Lets a request through, or answers it.
pub async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut response = match check(&app.token, request.method(), request.uri(), request.headers()) {
        Ok(None) => next.run(request).await,
        Ok(Some(answer)) => answer,
        Err(failure) => failure.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Not "no-referrer", with which a form of this page would have no origin either.
        (REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// What a request is answered with at once, if anything.
fn check(token: &Option<String>, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Option<Response>, Failure> {
    let host = text(headers, &HOST);
    let refused = |status, message: &str| Failure { status, ..Failure::of_request(message) };
    match token {
        // Another site's name may lead here: its pages could then read the answers.
        None if !is_here(host) => {
            return Err(refused(
                StatusCode::MISDIRECTED_REQUEST,
                "this page is asked for by an address of this machine only",
            ));
        }
        None => {}
        Some(token) => {
            if let Some(answer) = login(token, uri) {
                return Ok(Some(answer));
            }
            let bearer = text(headers, &AUTHORIZATION).strip_prefix("Bearer ").unwrap_or_default();
            let cookies = headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
            let mut given = cookies
                .flat_map(|cookies| cookies.split(';'))
                .filter_map(|cookie| cookie.trim().strip_prefix(TOKEN)?.strip_prefix('='))
                .chain([bearer]);
            if !given.any(|given| is_same(given, token)) {
                return Err(refused(StatusCode::UNAUTHORIZED, "this page needs a token").with(
                    "Open the address that clip-search-explore printed, with ?token= and the token at its end.",
                ));
            }
        }
    }
    // Another site's form may not have this one search, or keep images.
    let origin = text(headers, &ORIGIN);
    let is_own = origin.is_empty() || origin.split_once("://").is_some_and(|(_, from)| from == host);
    if method == Method::POST && !is_own {
        return Err(refused(StatusCode::FORBIDDEN, "only this page's own forms are answered"));
    }
    Ok(None)
}

/// The token in the address becomes a cookie, and leaves the address.
fn login(token: &str, uri: &Uri) -> Option<Response> {
    let given = form_urlencoded::parse(uri.query()?.as_bytes()).find(|(name, _)| name == "token")?.1;
    if !is_same(&given, token) {
        return None;
    }
    let cookie = format!("{TOKEN}={token}; HttpOnly; SameSite=Strict; Path=/");
    Some((StatusCode::SEE_OTHER, [(SET_COOKIE, cookie.as_str()), (LOCATION, "/")]).into_response())
}

fn is_same(given: &str, token: &str) -> bool {
    given.as_bytes().ct_eq(token.as_bytes()).into()
}

/// Whether a Host header names this machine, whatever the port.
fn is_here(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(token: Option<&str>, method: Method, uri: &str, headers: &[(HeaderName, &str)]) -> StatusCode {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        match check(&token.map(str::to_owned), &method, &uri.parse().unwrap(), &headers) {
            Ok(None) => StatusCode::OK,
            Ok(Some(answer)) => answer.status(),
            Err(failure) => failure.status,
        }
    }

    #[test]
    fn without_a_token_only_names_of_this_machine() {
        let host = |host| asked(None, Method::GET, "/", &[(HOST, host)]);
        for here in ["localhost", "LOCALHOST:80", "127.0.0.1:8642", "127.1.2.3", "[::1]:80", "[::1]"] {
            assert_eq!(host(here), StatusCode::OK, "{here}");
        }
        for elsewhere in ["evil.example", "localhost.evil.example", "10.0.0.1", "127.0.0.1.evil.example:80", ""] {
            assert_eq!(host(elsewhere), StatusCode::MISDIRECTED_REQUEST, "{elsewhere}");
        }
    }

    #[test]
    fn the_token_comes_in_the_address_once_and_then_in_a_cookie() {
        let token = "0123456789abcdef";
        let get = |uri: &str, headers: &[(HeaderName, &str)]| asked(Some(token), Method::GET, uri, headers);
        assert_eq!(get("/", &[]), StatusCode::UNAUTHORIZED);
        assert_eq!(get("/?token=0123456789abcdeX", &[]), StatusCode::UNAUTHORIZED);
        assert_eq!(get("/?token=0123456789abcdef", &[]), StatusCode::SEE_OTHER);
        assert_eq!(get("/", &[(COOKIE, "a=b; clip_search_explore=0123456789abcdef")]), StatusCode::OK);
        assert_eq!(get("/", &[(COOKIE, "clip_search_explore=0123456789abcde")]), StatusCode::UNAUTHORIZED);
        assert_eq!(get("/", &[(AUTHORIZATION, "Bearer 0123456789abcdef")]), StatusCode::OK);
    }

    #[test]
    fn other_sites_cannot_post() {
        let post = |origin| asked(None, Method::POST, "/image", &[(HOST, "localhost:80"), (ORIGIN, origin)]);
        assert_eq!(post("http://localhost:80"), StatusCode::OK);
        for other in ["http://evil.example", "http://localhost:81", "null"] {
            assert_eq!(post(other), StatusCode::FORBIDDEN, "{other}");
        }
        assert_eq!(asked(None, Method::POST, "/image", &[(HOST, "localhost:80")]), StatusCode::OK);
    }
}
