//! Bodies that are too long, cut short or encoded.

use crate::server::{self, Server, answer, send};
use crate::{MAX_BYTES, fetch, fetch_with, options};
use fetch::{Error, Fetcher};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use std::future::pending;
use std::io::Write;

fn too_large(server: &Server) -> Result<fetch::Fetched, Error> {
    Err(Error::TooLarge { url: server.url("/image"), max: MAX_BYTES })
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn encoded(encoding: &str, body: &[u8]) -> Vec<u8> {
    answer("200 OK", &format!("Content-Encoding: {encoding}\r\n"), body)
}

#[tokio::test]
async fn the_limit_is_exact() {
    let longest = "x".repeat(MAX_BYTES as usize);
    let server = server::fixed(server::ok(&longest)).await;
    assert_eq!(fetch(&server).await.unwrap().bytes, longest.as_bytes());
    let server = server::fixed(server::ok(&format!("{longest}x"))).await;
    assert_eq!(fetch(&server).await, too_large(&server));
}

#[tokio::test]
async fn an_endless_body_is_too_large() {
    for head in ["HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"] {
        let server = server::start(move |mut stream, _| async move {
            send(&mut stream, head.as_bytes()).await;
            let part = "3e8\r\n".to_owned() + &"x".repeat(1000) + "\r\n";
            while tokio::io::AsyncWriteExt::write_all(&mut stream, part.as_bytes()).await.is_ok() {}
        })
        .await;
        assert_eq!(fetch(&server).await, too_large(&server));
    }
}

#[tokio::test]
async fn a_huge_content_length_is_too_large_without_a_body() {
    let server = server::start(|mut stream, _| async move {
        send(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000000\r\n\r\n").await;
        pending().await
    })
    .await;
    assert_eq!(fetch(&server).await, too_large(&server));
}

#[tokio::test]
async fn a_body_that_ends_early_is_interrupted() {
    let heads = [
        "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort",
    ];
    for answer in heads {
        let server = server::fixed(answer).await;
        let url = server.url("/");
        let error = fetch_with(crate::Options { retries: 2, ..options(&server.host()) }, &url).await.unwrap_err();
        assert!(matches!(error, Error::Interrupted { .. }), "{error:?}");
        assert_eq!(server.requests().len(), 3);
    }
}

#[tokio::test]
async fn nothing_is_read_beyond_the_content_length() {
    let server = server::fixed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n0123456789").await;
    let fetcher = Fetcher::new(options(&server.host())).unwrap();
    for _ in 0..3 {
        assert_eq!(fetcher.fetch(&server.url("/")).await.unwrap().bytes, b"01234");
    }
}

#[tokio::test]
async fn a_reset_is_interrupted() {
    for head in ["", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort"] {
        let server = server::start(move |mut stream, _| async move {
            send(&mut stream, head.as_bytes()).await;
            stream.set_zero_linger().unwrap();
        })
        .await;
        let url = server.url("/");
        let error = fetch_with(crate::Options { retries: 1, ..options(&server.host()) }, &url).await.unwrap_err();
        assert!(matches!(error, Error::Interrupted { .. }), "{error:?}");
        assert_eq!(server.requests().len(), 2);
    }
}

#[tokio::test]
async fn encoded_bodies_are_decoded() {
    let image = b"image".repeat(1000);
    let mut deflated = ZlibEncoder::new(Vec::new(), Compression::fast());
    deflated.write_all(&image).unwrap();
    let deflated = deflated.finish().unwrap();
    for (encoding, body) in [("gzip", gzip(&image)), ("deflate", deflated), ("identity", image.clone())] {
        let server = server::fixed(encoded(encoding, &body)).await;
        assert_eq!(fetch(&server).await.expect(encoding).bytes, image, "{encoding}");
        let request = server.requests().remove(0).replace(' ', "").to_lowercase();
        assert!(request.contains("\r\naccept-encoding:gzip,deflate\r\n"), "{request}");
    }
}

#[tokio::test]
async fn a_bomb_is_too_large() {
    let server = server::fixed(encoded("gzip", &gzip(&vec![0; 20_000_000]))).await;
    assert_eq!(fetch(&server).await, too_large(&server));
}

/// What storage services and misconfigured servers claim of bytes that are in no encoding, or in another one.
#[tokio::test]
async fn encodings_that_are_not_true_are_passed_over() {
    let image = b"certainly an image";
    for encoding in ["", "none", "UTF-8", "aws-chunked", "gzip", "x-gzip", "deflate", "br", "gzip, gzip", ",", "zstd"] {
        let server = server::fixed(encoded(encoding, image)).await;
        assert_eq!(fetch(&server).await.expect(encoding).bytes, image, "{encoding}");
    }
    for encoding in ["aws-chunked, gzip", "GZIP", "gzip,none", "gzip, gzip", "gzip\r\nContent-Encoding: identity"] {
        let server = server::fixed(encoded(encoding, &gzip(image))).await;
        assert_eq!(fetch(&server).await.expect(encoding).bytes, image, "{encoding}");
    }
    let server = server::fixed(encoded("gzip, gzip", &gzip(&gzip(image)))).await;
    assert_eq!(fetch(&server).await.unwrap().bytes, image);
}

#[tokio::test]
async fn damaged_encodings_are_errors() {
    let whole = gzip(&b"image".repeat(1000));
    let mut damaged = whole.clone();
    damaged[20..25].fill(0xff);
    let server = server::fixed(encoded("gzip", &damaged)).await;
    let error = fetch(&server).await.unwrap_err();
    assert!(matches!(error, Error::Encoding { .. }), "{error:?}");
    let server = server::fixed(encoded("gzip", &whole[..30])).await;
    let error = fetch(&server).await.unwrap_err();
    assert!(matches!(error, Error::Interrupted { .. }), "{error:?}");
    let server = server::fixed(encoded("gzip", &gzip(b""))).await;
    let error = fetch(&server).await.unwrap_err();
    assert!(matches!(error, Error::Empty { .. }), "{error:?}");
}
