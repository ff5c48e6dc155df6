//! Secure connections.

use crate::connections::in_child;
use crate::server::{self, ok};
use crate::{fetch_with, options};
use fetch::{Error, Phase};
use rcgen::{Certificate, CertificateParams};
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A server with a certificate of its own for 127.0.0.1: its address, and the certificate as PEM.
async fn start() -> (SocketAddr, String) {
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    (start_with(vec![own.cert.der().clone()], &own.signing_key).await, own.cert.pem())
}

/// A server that sends these certificates.
async fn start_with(sent: Vec<CertificateDer<'static>>, key: &rcgen::KeyPair) -> SocketAddr {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(sent, key).unwrap();
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
    address
}

/// An authority's certificate, signed by `issuer` or by itself.
fn authority(
    name: &str,
    issuer: Option<&rcgen::Issuer<'_, &rcgen::KeyPair>>,
    key: &rcgen::KeyPair,
) -> (CertificateParams, Certificate) {
    let mut params = CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let certificate = match issuer {
        Some(issuer) => params.signed_by(key, issuer),
        None => params.self_signed(key),
    };
    (params, certificate.unwrap())
}

/// Root, authority, server: what is sent decides, and only what is trusted is fetched from.
#[tokio::test]
async fn a_chain_that_is_not_whole() {
    let [root_key, authority_key, key] = std::array::from_fn(|_| rcgen::KeyPair::generate().unwrap());
    let (root_params, root) = authority("root", None, &root_key);
    let issuer = rcgen::Issuer::from_params(&root_params, &root_key);
    let (params, between) = authority("between", Some(&issuer), &authority_key);
    let issuer = rcgen::Issuer::from_params(&params, &authority_key);
    let own = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let [own, between, root_der] = [own.der(), between.der(), root.der()].map(Clone::clone);

    for (sent, whole) in [
        (vec![own.clone()], false),
        (vec![own.clone(), between.clone()], false),
        (vec![own.clone(), root_der.clone()], false),
        (vec![own.clone(), between.clone(), root_der.clone()], true),
    ] {
        let count = sent.len();
        let address = start_with(sent, &key).await;
        let error = fetch_with(options("127.0.0.1"), &format!("https://{address}/")).await.unwrap_err();
        let is_of_the_chain = matches!(error, Error::Chain { .. });
        assert!(
            is_of_the_chain != whole && (is_of_the_chain || matches!(error, Error::Tls { .. })),
            "{count}: {error:?}"
        );
    }
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("root-{}.pem", std::process::id()));
    std::fs::write(&file, root.pem()).unwrap();
    let address = start_with(vec![own, between], &key).await;
    in_child(&format!("https://{address}/"), "127.0.0.1", &[("SSL_CERT_FILE", file.to_str().unwrap())]).await;
    std::fs::remove_file(file).unwrap();
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
