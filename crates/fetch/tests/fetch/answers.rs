//! Statuses, retries and time limits.

use crate::server::{self, answer, failure, ok};
use crate::{fetch, fetch_with, options};
use fetch::{Error, Fetched, Phase};
use std::future::pending;
use std::time::{Duration, Instant};

#[tokio::test]
async fn an_image_is_fetched() {
    let server = server::fixed(ok("image")).await;
    let expected = Fetched { bytes: b"image".to_vec(), content_type: Some("image/png".to_owned()) };
    assert_eq!(fetch(&server).await, Ok(expected));
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn without_a_content_type_there_is_none() {
    let server = server::fixed(answer("203 Fine", "", b"x")).await;
    assert_eq!(fetch(&server).await, Ok(Fetched { bytes: b"x".to_vec(), content_type: None }));
}

#[tokio::test]
async fn a_status_that_stays_is_not_tried_again() {
    let server = server::fixed(failure("404 Gone Fishing", "")).await;
    let url = server.url("/image");
    let error = fetch_with(crate::Options { retries: 3, ..options(&server.host()) }, &url).await.unwrap_err();
    assert_eq!(error.to_string(), format!("\"{url}\" answered 404 Not Found"));
    assert!(matches!(error, Error::Status { code: 404, retry_after: None, .. }), "{error:?}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn other_statuses_than_success_are_errors() {
    for status in ["300 Multiple Choices", "304 Not Modified", "401 Unauthorized", "999 Own"] {
        let server =
            server::fixed(format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")).await;
        let error = fetch(&server).await.unwrap_err();
        assert!(matches!(error, Error::Status { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn an_answer_without_a_body_is_empty() {
    for status in ["200 OK", "204 No Content"] {
        let server = server::fixed(answer(status, "", b"")).await;
        assert_eq!(fetch(&server).await, Err(Error::Empty { url: server.url("/image") }));
    }
}

#[tokio::test]
async fn an_error_of_the_server_is_tried_again() {
    let server = server::sequence(&[failure("500 Oops", ""), failure("503 Busy", ""), ok("image")]).await;
    let options = crate::Options { retries: 2, ..options(&server.host()) };
    assert_eq!(fetch_with(options, &server.url("/")).await.unwrap().bytes, b"image");
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn the_last_error_stays() {
    let server = server::fixed(failure("502 Oops", "")).await;
    let options = crate::Options { retries: 1, ..options(&server.host()) };
    let error = fetch_with(options, &server.url("/")).await.unwrap_err();
    assert!(matches!(error, Error::Status { code: 502, .. }), "{error:?}");
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_server_is_given_the_time_that_it_asks_for() {
    let server = server::sequence(&[failure("429 Slow Down", "Retry-After: 1\r\n"), ok("image")]).await;
    let options = crate::Options { retries: 1, ..options(&server.host()) };
    let start = Instant::now();
    assert_eq!(fetch_with(options, &server.url("/")).await.unwrap().bytes, b"image");
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn too_long_a_wait_fails_at_once() {
    let server = server::fixed(failure("429 Slow Down", "Retry-After: 3600\r\n")).await;
    let options = crate::Options { retries: 3, ..options(&server.host()) };
    let url = server.url("/");
    let error = fetch_with(options, &url).await.unwrap_err();
    assert_eq!(error.to_string(), format!("\"{url}\" answered 429 Too Many Requests and asks to wait 3600 s"));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn slow_headers_time_out() {
    let server = server::start(|stream, _| async move {
        pending::<()>().await;
        drop(stream);
    })
    .await;
    let options = crate::Options { total_timeout: Duration::from_millis(300), retries: 3, ..options(&server.host()) };
    let error = fetch_with(options, &server.url("/")).await.unwrap_err();
    assert_eq!(error, Error::Timeout { url: server.url("/"), phase: Phase::Total, ms: 300 });
    assert!(server.requests().len() <= 1, "it is not tried again");
}

#[tokio::test]
async fn a_trickling_body_times_out() {
    let server = server::start(|mut stream, _| async move {
        server::send(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n").await;
        loop {
            server::send(&mut stream, b"x").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let options = crate::Options { total_timeout: Duration::from_millis(500), ..options(&server.host()) };
    let error = fetch_with(options, &server.url("/")).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { phase: Phase::Total, ms: 500, .. }), "{error:?}");
}

#[tokio::test]
async fn time_limits_may_be_endless() {
    let server = server::fixed(ok("image")).await;
    let endless = Duration::MAX;
    let options = crate::Options { total_timeout: endless, ..options(&server.host()) };
    assert!(fetch_with(options, &server.url("/")).await.is_ok());
}

#[tokio::test]
async fn what_is_not_http_is_said_to_be() {
    let server = server::fixed("SSH-2.0-OpenSSH_9.2\r\n\r\n").await;
    let error = fetch(&server).await.unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
}

#[tokio::test]
async fn nobody_listens() {
    let server = server::fixed("").await;
    let (host, url) = (server.host(), server.url("/"));
    drop(server);
    // Until the task has given the port back.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let error = fetch_with(crate::Options { retries: 1, ..options(&host) }, &url).await.unwrap_err();
    assert!(matches!(&error, Error::Connect { reason, .. } if reason.contains("refused")), "{error:?}");
}

/// Header lines that are not to the letter, and are read by every browser.
#[tokio::test]
async fn headers_are_read_as_browsers_read_them() {
    let many: String = (0..300).map(|i| format!("X-Header-{i}: {}\r\n", "v".repeat(100))).collect();
    for lines in ["Server : x\r\n", "X-Folded: a\r\n b\r\n", "X-Latin: caf\u{e9}\r\n", "bad name: x\r\n", &many] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n{lines}Content-Type: image/png\r\n\r\nimage");
        // In Latin-1.
        let head: Vec<u8> = head.chars().map(|c| u8::try_from(c).unwrap()).collect();
        let server = server::fixed(head).await;
        let fetched = fetch(&server).await.expect(lines);
        assert_eq!(
            (&fetched.bytes[..], fetched.content_type.as_deref()),
            (&b"image"[..], Some("image/png")),
            "{lines}"
        );
    }
}
