//! TLS, with a certificate of the client's own where the server wants one.

use played_oip::Server;
use rcgen::{CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use remote::{Client, Config, Datatype, Infer, Kind, Metadata, Probe, Result, Tensor};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

struct Any;

fn batch() -> Infer {
    let inputs =
        vec![Tensor { name: "x".into(), datatype: Datatype::Uint8, shape: vec![1, 1], bytes: vec![1_u8].into() }];
    Infer { inputs, output: None, known: &[], rows: 1, dimension: 1 }
}

impl Probe for Any {
    fn batch(&self, _: &Metadata) -> Result<Infer, String> {
        Ok(batch())
    }

    fn check(&self, _: &[f32]) -> Result<(), String> {
        Ok(())
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key as PEM, and as DER.
fn issue(
    issuer: &CertifiedIssuer<'static, KeyPair>,
    name: &str,
    usage: ExtendedKeyUsagePurpose,
) -> (String, String, CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.extended_key_usages = vec![usage];
    let certificate = params.signed_by(&key, issuer).unwrap();
    let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    (certificate.pem(), key.serialize_pem(), certificate.der().clone(), der)
}

fn client(folder: &Path, url: String, more: &str) -> Client {
    let text = format!(r#"{{"image": {{"endpoints": ["{url}"], "model": "m" {more}}}}}"#);
    let config = Config::parse(text.as_bytes()).unwrap().image.unwrap();
    Client::new(config, folder.to_owned(), Arc::new(Any))
}

#[tokio::test]
async fn both_sides_are_who_they_say() {
    let ours = authority();
    let (_, _, certificate, key) = issue(&ours, "localhost", ExtendedKeyUsagePurpose::ServerAuth);
    let (pem, key_pem, ..) = issue(&ours, "search", ExtendedKeyUsagePurpose::ClientAuth);
    let mut roots = RootCertStore::empty();
    roots.add(ours.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let config = ServerConfig::builder().with_client_cert_verifier(verifier);
    let config = config.with_single_cert(vec![certificate], key).unwrap();
    let answer = |_: &remote::wire::InferRequest| Ok(("image_embeds".to_owned(), 1, vec![1.0]));
    let server = Server::start_at("127.0.0.1:0".parse().unwrap(), Some(config), answer);
    let url = format!("https://localhost:{}", server.address().port());

    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("ca.pem", &ours.pem());
    write("client.pem", &pem);
    write("client.key", &key_pem);
    write("other.pem", &authority().pem());
    let identity = r#", "connect_timeout_ms": 30000, "certificate": "client.pem", "key": "client.key""#;

    let good = client(folder.path(), url.clone(), &format!(r#", "ca": "ca.pem" {identity}"#));
    good.ready().await.unwrap();
    assert_eq!(good.infer(&batch()).await.unwrap(), [1.0]);

    for (more, wanted) in [
        // The system does not know this authority.
        (identity.to_owned(), "certificate"),
        (format!(r#", "ca": "other.pem" {identity}"#), "certificate"),
        // The server wants to know who asks, and may close the connection before its words are read.
        (r#", "ca": "ca.pem""#.to_owned(), ""),
        (format!(r#", "ca": "missing.pem" {identity}"#), "missing.pem: No such file"),
        (format!(r#", "ca": "client.key" {identity}"#), ""),
    ] {
        let error = client(folder.path(), url.clone(), &more).ready().await.unwrap_err();
        assert!(error.to_string().contains(wanted), "{more}: {error}");
        assert!(matches!(error.kind, Kind::Unreachable | Kind::Refused), "{more}: {error}");
    }
    // The name has to be the certificate's.
    let other = url.replace("localhost", "127.0.0.1");
    let error = client(folder.path(), other, &format!(r#", "ca": "ca.pem" {identity}"#)).ready().await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
}
