//! Headers, connections, turns and giving up.

use crate::server::{self, ok};
use crate::{fetch, options};
use fetch::{Error, Fetcher};
use futures_util::future::join_all;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// More than anything takes.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn requests_have_these_headers_and_no_others() {
    let cookie =
        "HTTP/1.1 302 Found\r\nSet-Cookie: a=b\r\nLocation: /b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let server = server::sequence(&[cookie.to_owned(), ok("image")]).await;
    assert!(fetch(&server).await.is_ok());
    for (number, request) in server.requests().iter().enumerate() {
        let mut names: Vec<_> = request
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .map(|(name, _)| name.to_lowercase())
            .collect();
        names.sort();
        // What the first answer has set.
        assert_eq!(names.contains(&"cookie".to_owned()), number == 1);
        names.retain(|name| name != "cookie");
        assert_eq!(names, ["accept", "accept-encoding", "host", "user-agent"]);
        let request = request.to_lowercase();
        assert!(request.contains("\r\nuser-agent: fetch-test/1\r\n"), "{request}");
        assert!(request.contains("\r\naccept: image/*,*/*;q=0.8\r\n"), "{request}");
    }
}

#[tokio::test]
async fn a_bad_user_agent_is_refused() {
    let bad = crate::Options { user_agent: "a\nb".to_owned(), ..options("") };
    assert!(matches!(Fetcher::new(bad), Err(Error::Setup { .. })));
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = server::start(|mut stream, _| async move {
        loop {
            server::send(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx").await;
            if server::read_head(&mut stream).await.is_none() {
                return;
            }
        }
    })
    .await;
    let fetcher = Fetcher::new(options(&server.host())).unwrap();
    for _ in 0..5 {
        assert_eq!(fetcher.fetch(&server.url("/")).await.unwrap().bytes, b"x");
        // The client takes a connection back in a task of its own.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(server.connections() < 5, "{}", server.connections());
}

/// Fetches eight images at once, each with a pause; how many requests the server had at the same time, at most.
async fn busiest(connections: u32, connections_per_host: u32, pause: Duration, total_timeout: Duration) -> usize {
    let (active, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let server = server::start(move |mut stream, _| {
        let (active, most) = (Arc::clone(&active), Arc::clone(&seen));
        async move {
            most.fetch_max(active.fetch_add(1, SeqCst) + 1, SeqCst);
            tokio::time::sleep(pause).await;
            // Before the answer, after which the next request may come.
            active.fetch_sub(1, SeqCst);
            server::send(&mut stream, ok("image").as_bytes()).await;
        }
    })
    .await;
    let options = crate::Options { connections, connections_per_host, total_timeout, ..options(&server.host()) };
    let fetcher = Fetcher::new(options).unwrap();
    let url = server.url("/");
    for fetched in join_all((0..8).map(|_| fetcher.fetch(&url))).await {
        assert_eq!(fetched.unwrap().bytes, b"image");
    }
    most.load(SeqCst)
}

#[tokio::test]
async fn a_host_has_so_many_requests_at_a_time() {
    let (pause, timeout) = (Duration::from_millis(300), Duration::from_secs(60));
    assert!(busiest(16, 3, pause, timeout).await <= 3);
    assert!(busiest(2, 3, pause, timeout).await <= 2);
}

#[tokio::test]
async fn the_wait_for_a_turn_does_not_count() {
    assert_eq!(busiest(0, 0, Duration::from_secs(1), Duration::from_secs(6)).await, 1);
}

#[tokio::test]
async fn a_fetch_that_is_given_up_closes_its_connection_and_gives_its_turn_back() {
    for head in ["", "HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\nbegin"] {
        let (asked, is_asked) = oneshot::channel();
        let (closed, is_closed) = oneshot::channel();
        let signals = Arc::new(Mutex::new(Some((asked, closed))));
        let server = server::start(move |mut stream, before| {
            let signals = Arc::clone(&signals);
            async move {
                if before > 0 {
                    return server::send(&mut stream, ok("image").as_bytes()).await;
                }
                let (asked, closed) = signals.lock().unwrap().take().expect("the first request");
                server::send(&mut stream, head.as_bytes()).await;
                asked.send(()).unwrap();
                let _ = stream.read(&mut [0]).await;
                closed.send(()).unwrap();
            }
        })
        .await;
        let options = crate::Options { connections: 1, connections_per_host: 1, ..options(&server.host()) };
        let fetcher = Arc::new(Fetcher::new(options).unwrap());
        let url = server.url("/");
        let fetch = tokio::spawn({
            let (fetcher, url) = (Arc::clone(&fetcher), url.clone());
            async move { fetcher.fetch(&url).await }
        });
        timeout(PATIENCE, is_asked).await.expect("a request").unwrap();
        fetch.abort();
        timeout(PATIENCE, is_closed).await.expect("the connection ends").unwrap();
        assert_eq!(fetcher.fetch(&url).await.unwrap().bytes, b"image");
    }
}

/// Fetches in a process of its own that has these environment variables; the answer has to be "image".
pub async fn in_child(url: &str, allow: &str, environment: &[(&str, &str)]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fetch-url"));
    command.args([url, allow]).envs(environment.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.starts_with("5 bytes"), "{said}{failed}");
}

#[tokio::test]
async fn proxies_of_the_environment_are_not_used() {
    let server = server::fixed(ok("image")).await;
    let proxy = server::fixed(ok("the proxy")).await;
    let proxy_url = proxy.url("");
    let names = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    let mut environment: Vec<_> = names.iter().map(|name| (*name, proxy_url.as_str())).collect();
    environment.extend([("no_proxy", ""), ("NO_PROXY", "")]);
    in_child(&server.url("/"), &server.host(), &environment).await;
    assert_eq!((server.connections(), proxy.connections()), (1, 0));
}
