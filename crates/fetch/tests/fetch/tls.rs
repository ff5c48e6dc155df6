//! Secure connections.

use crate::connections::in_child;
use crate::server::{self, ok};
use crate::{fetch_with, options};
use fetch::{Error, Phase};
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// A server with a certificate of its own for 127.0.0.1: its address, and the certificate as PEM.
async fn start() -> (SocketAddr, String) {
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![own.cert.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A client that does not trust the certificate ends here.
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(ok("image").as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        }
    });
    (address, own.cert.pem())
}

#[tokio::test]
async fn a_certificate_of_ones_own_is_not_trusted() {
    let (address, _) = start().await;
    let error = fetch_with(options("127.0.0.1"), &format!("https://{address}/")).await.unwrap_err();
    assert!(matches!(&error, Error::Tls { reason, .. } if reason.contains("certificate")), "{error:?}");
}

#[tokio::test]
async fn a_certificate_of_the_system_is_trusted() {
    let (address, pem) = start().await;
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.pem", std::process::id()));
    std::fs::write(&file, pem).unwrap();
    let url = format!("https://{address}/");
    in_child(&url, "127.0.0.1", &[("SSL_CERT_FILE", file.to_str().unwrap())]).await;
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn a_server_without_tls() {
    let server = server::start(|_, _| async {}).await;
    // The handler is never called, as there is no head of a request: the greeting itself is what is read.
    let options = crate::Options { connect_timeout: Duration::from_millis(500), ..options("127.0.0.1") };
    let error = fetch_with(options, &server.url("/").replace("http:", "https:")).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { phase: Phase::Connect, ms: 500, .. }), "{error:?}");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        server::send(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        pending::<()>().await
    });
    let error = fetch_with(crate::options("127.0.0.1"), &url).await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
}
