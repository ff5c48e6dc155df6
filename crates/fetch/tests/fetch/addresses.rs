//! What must not be reached.

use crate::server::{self, Server, ok};
use crate::{fetch_with, options};
use fetch::Error;

async fn refused(url: &str, allow: &str) {
    let error = fetch_with(options(allow), url).await.expect_err(url);
    assert!(matches!(error, Error::NotAllowed { .. }), "{url}: {error:?}");
}

/// The same server under all names that lead to it.
fn aliases(server: &Server) -> Vec<String> {
    let hosts = [
        "127.0.0.1",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "127.1",
        "127.0.0.1.",
        "0.0.0.0",
        "0",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "localhost",
        "LocalHost",
        "%6c%6fcalhost",
        "１２７.0.0.1",
        "127。0。0。1",
        "public.example@127.0.0.1",
    ];
    hosts.iter().map(|host| format!("http://{host}:{}/", server.address.port())).collect()
}

#[tokio::test]
async fn loopback_is_refused_in_every_notation_without_a_connection() {
    let server = server::fixed(ok("secret")).await;
    for url in aliases(&server) {
        refused(&url, "").await;
        refused(&url.replace("http:", "https:"), "").await;
        // What is allowed on another port, or for another host, changes nothing.
        refused(&url, "127.0.0.1:9, localhost:9, other.example, 10.0.0.0/8, *.localhost").await;
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn private_networks_and_metadata_services_are_refused() {
    let hosts = [
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "[::1]",
        "[::]",
        "[::ffff:169.254.169.254]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[fc00::1]",
        "[ff02::1]",
        "[2002:a00:1::]",
        "2852039166",
        "0xA9FEA9FE",
        "255.255.255.255",
        "224.0.0.1",
    ];
    for host in hosts {
        refused(&format!("http://{host}/latest/meta-data/"), "").await;
    }
}

#[tokio::test]
async fn the_message_has_host_and_address() {
    let error = fetch_with(options(""), "http://user:secret@10.0.0.1/").await.unwrap_err();
    assert_eq!(error.to_string(), "the address of the URL is 10.0.0.1, which is not public");
    let error = fetch_with(options(""), "http://localhost/").await.unwrap_err();
    assert!(error.to_string().starts_with("host \"localhost\" has the address "), "{error}");
    assert!(error.to_string().ends_with(", which is not public"), "{error}");
}

#[tokio::test]
async fn what_is_allowed_is_fetched() {
    let server = server::fixed(ok("image")).await;
    let port = server.address.port();
    let cases = [
        ("127.0.0.1", "127.0.0.1".to_owned()),
        ("127.0.0.1", format!("127.0.0.1:{port}")),
        ("127.0.0.1", "127.0.0.0/8".to_owned()),
        ("0x7f.1", "127.0.0.1".to_owned()),
        ("localhost", "LOCALHOST".to_owned()),
        ("localhost", format!("localhost:{port}")),
        ("localhost", "127.0.0.0/8, ::1".to_owned()),
    ];
    for (host, allow) in cases {
        let fetched = fetch_with(options(&allow), &format!("http://{host}:{port}/")).await;
        assert_eq!(fetched.unwrap_or_else(|error| panic!("{host} {allow}: {error:?}")).bytes, b"image");
    }
}

#[tokio::test]
async fn an_allowed_name_does_not_allow_its_address() {
    refused("http://127.0.0.1:9/", "localhost").await;
}

#[tokio::test]
async fn names_that_do_not_exist() {
    let error = fetch_with(options(""), "http://no-such-host.invalid/").await.unwrap_err();
    assert!(matches!(&error, Error::Resolve { host, .. } if host == "no-such-host.invalid"), "{error:?}");
}

#[tokio::test]
async fn other_schemes_are_refused() {
    let urls = [
        "ftp://example.com/a",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "gopher://127.0.0.1:6379/_INFO",
        "ws://example.com/",
        "FILE:/etc/passwd",
        "unix:/run/socket",
        "about:blank",
        "blob:https://example.com/1",
    ];
    for url in urls {
        let error = fetch_with(options("127.0.0.1"), url).await.expect_err(url);
        assert!(matches!(error, Error::Scheme { .. }), "{url}: {error:?}");
    }
    let error = fetch_with(options(""), "ftp://user:secret@example.com/a").await.unwrap_err();
    assert_eq!(error.to_string(), "\"ftp://example.com/a\" has the scheme \"ftp\", which is not fetched");
}

#[tokio::test]
async fn what_is_no_url_is_said_to_be() {
    let long = format!("http://127.0.0.1/{}", "x".repeat(100_000));
    let urls = [
        "",
        " ",
        "image.png",
        "/etc/passwd",
        "//example.com/",
        "http://",
        "http://a b/",
        "http://[::1",
        "http://1.2.3.4.5/",
        "http://256.0.0.1/",
        "http://example.com:99999/",
        "http://exa\0mple.com/",
        "http:///",
        &long,
    ];
    for url in urls {
        let error = fetch_with(options("127.0.0.1"), url).await.expect_err(url);
        assert!(matches!(error, Error::InvalidUrl { .. }), "{url}: {error:?}");
        assert!(error.to_string().len() < 400);
    }
}
