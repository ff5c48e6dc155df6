//! URLs that have the image in themselves.

use crate::{MAX_BYTES, fetch_with, options};
use fetch::{Error, Fetched};

async fn fetch(url: &str) -> Result<Fetched, Error> {
    fetch_with(options(""), url).await
}

#[tokio::test]
async fn data_is_decoded() {
    let cases = [
        ("data:image/png;base64,aW1hZ2U=", "image/png", &b"image"[..]),
        ("DATA:image/png;base64,aW1h Z2U", "image/png", b"image"),
        (" data:image/gif,%00%ffa b#fragment", "image/gif", b"\0\xffa b"),
        ("data:,x", "text/plain;charset=US-ASCII", b"x"),
    ];
    for (url, content_type, bytes) in cases {
        let fetched = fetch(url).await.expect(url);
        assert_eq!((fetched.bytes.as_slice(), fetched.content_type.as_deref()), (bytes, Some(content_type)), "{url}");
    }
}

#[tokio::test]
async fn too_much_data() {
    let max = usize::try_from(MAX_BYTES).unwrap();
    assert_eq!(fetch(&format!("data:,{}", "x".repeat(max))).await.unwrap().bytes.len(), max);
    assert_eq!(fetch(&format!("data:,{}", "%61".repeat(max))).await.unwrap().bytes.len(), max);
    let too_long = [
        format!("data:,{}", "x".repeat(max + 1)),
        format!("data:,{}", "x".repeat(max * 10)),
        format!("data:;base64,{}", "AAAA".repeat(max / 3 + 1)),
        format!("data:;base64,{}", " ".repeat(max * 10)),
    ];
    for url in too_long {
        let error = fetch(&url).await.unwrap_err();
        assert!(matches!(error, Error::TooLarge { max: MAX_BYTES, .. }), "{error:?}");
        assert!(error.to_string().len() < 400);
    }
}

#[tokio::test]
async fn malformed_data() {
    for url in ["data:", "data:image/png", "data:image/png;base64,A", "data:;base64,!!!!", "data:;base64,AA=A"] {
        let error = fetch(url).await.expect_err(url);
        assert!(matches!(error, Error::InvalidUrl { .. }), "{url}: {error:?}");
    }
    for url in ["data:,", "data:;base64,", "data:,#x"] {
        assert!(matches!(fetch(url).await, Err(Error::Empty { .. })), "{url}");
    }
}
