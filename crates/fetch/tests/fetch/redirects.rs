//! Redirects, each of which is checked like the first URL.

use crate::server::{self, Server, failure, ok, redirect};
use crate::{fetch, fetch_with, options};
use fetch::Error;

async fn redirected(location: &str) -> Result<fetch::Fetched, Error> {
    let server = server::fixed(redirect("302 Found", location)).await;
    let answer = fetch(&server).await;
    assert_eq!(server.requests().len(), 1, "{location}");
    answer
}

#[tokio::test]
async fn redirects_are_followed() {
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
        for location in ["/other?a#b", "other?a", "//HOST/other?a", "http://HOST/other?a"] {
            let server = server::start(move |mut stream, before| async move {
                let host = stream.local_addr().unwrap().to_string();
                let answer = if before == 0 { redirect(status, &location.replace("HOST", &host)) } else { ok("image") };
                server::send(&mut stream, answer.as_bytes()).await;
            })
            .await;
            assert_eq!(fetch(&server).await.unwrap().bytes, b"image");
            assert!(server.requests()[1].starts_with("GET /other?a HTTP/1.1\r\n"), "{}", server.requests()[1]);
        }
    }
}

#[tokio::test]
async fn redirects_end() {
    let server = server::fixed(redirect("302 Found", "/image")).await;
    assert_eq!(fetch(&server).await, Err(Error::TooManyRedirects { url: server.url("/image"), max: 5 }));
    assert_eq!(server.requests().len(), 6);
    let options = crate::Options { max_redirects: 0, ..options(&server.host()) };
    let error = fetch_with(options, &server.url("/")).await.unwrap_err();
    assert!(matches!(error, Error::TooManyRedirects { max: 0, .. }), "{error:?}");
    assert_eq!(server.requests().len(), 7);
}

/// The second server must see no connection at all.
async fn not_reached(second: &Server, url: &str) {
    let error = redirected(url).await.expect_err(url);
    assert!(matches!(error, Error::NotAllowed { .. }), "{url}: {error:?}");
    assert_eq!(second.connections(), 0, "{url}");
}

#[tokio::test]
async fn a_redirect_does_not_lead_to_what_is_not_allowed() {
    let same_address = server::fixed(ok("secret")).await;
    let port = same_address.address.port();
    for host in ["127.0.0.1", "0x7f.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        not_reached(&same_address, &format!("http://{host}:{port}/")).await;
    }
    not_reached(&same_address, &format!("//127.0.0.1:{port}/")).await;
    not_reached(&same_address, &format!("https://127.0.0.1:{port}/")).await;
    for address in ["127.0.0.2:0", "[::1]:0"] {
        // Not every machine has IPv6.
        if let Ok(other) = server::start_at(address, |_, _| async {}).await {
            not_reached(&other, &other.url("/")).await;
        }
    }
}

#[tokio::test]
async fn a_redirect_does_not_lead_to_another_scheme() {
    for location in ["file:///etc/passwd", "data:image/png;base64,AAAA", "ftp://example.com/", "javascript:1"] {
        let error = redirected(location).await.expect_err(location);
        assert!(matches!(error, Error::Scheme { .. }), "{location}: {error:?}");
    }
}

#[tokio::test]
async fn a_redirect_must_say_where_to() {
    let error = redirected("http://[::1").await.unwrap_err();
    assert!(matches!(error, Error::Redirect { .. }), "{error:?}");
    let server = server::fixed(failure("301 Moved", "")).await;
    let error = fetch(&server).await.unwrap_err();
    assert!(matches!(error, Error::Redirect { .. }), "{error:?}");
    let server = server::fixed(server::answer("301 Moved", "Location: /\u{fc}\r\n", b"")).await;
    let error = fetch(&server).await.unwrap_err();
    assert!(matches!(error, Error::TooManyRedirects { .. }), "{error:?}");
}

/// In UTF-8 or Latin-1, the bytes of a Location are those of the path.
#[tokio::test]
async fn a_location_need_not_be_ascii() {
    for (location, asked) in [(&b"/f\xc3\xbcr"[..], "GET /f%C3%BCr "), (b"f\xfcr?a=\xe4", "GET /f%FCr?a=%E4 ")] {
        let redirect =
            [b"HTTP/1.1 302 Found\r\nConnection: close\r\nContent-Length: 0\r\nLocation: ", location, b"\r\n\r\n"];
        let redirect = redirect.concat();
        let server = server::start(move |mut stream, before| {
            let answer = if before == 0 { redirect.clone() } else { ok("image").into() };
            async move { server::send(&mut stream, &answer).await }
        })
        .await;
        assert_eq!(fetch(&server).await.unwrap().bytes, b"image");
        assert!(server.requests()[1].starts_with(asked), "{}", server.requests()[1]);
    }
}

/// The header `Cookie` of a request.
fn cookie(request: &str) -> Option<&str> {
    request
        .lines()
        .find_map(|line| line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("cookie")))
        .map(|(_, value)| value)
}

#[tokio::test]
async fn cookies_last_for_one_fetch() {
    let set = "Set-Cookie: seen=1; Path=/; HttpOnly\r\nSet-Cookie: bad\u{1}\r\nSet-Cookie: x=y; Domain=example.com\r\nLocation: /image\r\n";
    let server = server::start(move |mut stream, _| async move {
        let answer = failure("302 Found", set);
        server::send(&mut stream, answer.as_bytes()).await;
    })
    .await;
    let fetcher = fetch::Fetcher::new(options(&server.host())).unwrap();
    for _ in 0..2 {
        fetcher.fetch(&server.url("/image")).await.unwrap_err();
    }
    let sent: Vec<_> = server.requests().iter().map(|request| cookie(request).map(str::to_owned)).collect();
    let one_fetch = [&[None][..], &vec![Some("seen=1".to_owned()); 5]].concat();
    assert_eq!(sent, [one_fetch.clone(), one_fetch].concat());
}

#[tokio::test]
async fn cookies_stay_with_their_host() {
    let second = server::start_at("127.0.0.2:0", |mut stream, _| async move {
        server::send(&mut stream, ok("image").as_bytes()).await;
    })
    .await
    .unwrap();
    let location = format!("Set-Cookie: secret=1\r\nLocation: {}\r\n", second.url("/"));
    let first = server::fixed(failure("302 Found", &location)).await;
    let allow = format!("{}, {}", first.host(), second.host());
    assert_eq!(fetch_with(options(&allow), &first.url("/")).await.unwrap().bytes, b"image");
    assert_eq!(cookie(&second.requests()[0]), None);
}

#[tokio::test]
async fn user_and_password_are_not_given_to_another_host() {
    let second = server::fixed(ok("image")).await;
    let first = server::sequence(&[redirect("302 Found", "/again"), redirect("302 Found", &second.url("/"))]).await;
    let allow = format!("{}, {}", first.host(), second.host());
    let url = format!("http://user:secret@{}/", first.host());
    assert_eq!(fetch_with(options(&allow), &url).await.unwrap().bytes, b"image");
    for request in first.requests() {
        assert!(request.to_lowercase().contains("\r\nauthorization: basic "), "{request}");
    }
    assert!(!second.requests()[0].to_lowercase().contains("authorization"), "{}", second.requests()[0]);
}

#[tokio::test]
async fn retries_are_counted_over_all_hops() {
    let busy = failure("503 Busy", "");
    let server = server::sequence(&[busy.clone(), redirect("302 Found", "/b"), busy.clone(), busy, ok("late")]).await;
    let options = crate::Options { retries: 2, ..options(&server.host()) };
    let error = fetch_with(options, &server.url("/a")).await.unwrap_err();
    assert!(matches!(&error, Error::Status { code: 503, url, .. } if url.ends_with("/b")), "{error:?}");
    assert_eq!(server.requests().len(), 4);
}
