//! Secure connections: the system's certificates, and what is wrong with those of a server.

use crate::error::{Error, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, OtherError, RootCertStore,
    SignatureScheme,
};
use std::sync::Arc;

/// The cause of an [`Error::Chain`], within the errors of the HTTP client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the chain of certificates ends at one that is not trusted and whose issuer is not sent")]
pub(crate) struct ChainEnds;

/// What the HTTP client makes secure connections with. Fails with [`Error::Setup`].
pub(crate) fn config() -> Result<ClientConfig> {
    let setup = |reason: String| Error::Setup { reason };
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if let (true, Some(error)) = (roots.is_empty(), found.errors.first()) {
        return Err(setup(format!("the system's certificates cannot be read: {error}")));
    }
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| setup(error.to_string()))?;
    // Small containers have no certificates at all. There is http: all the same; nothing is trusted for https:.
    let builder = if roots.is_empty() {
        builder.with_root_certificates(roots)
    } else {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| setup(error.to_string()))?;
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Verifier(verifier)))
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The usual verifier, which accepts what it accepts and nothing more. Where it does not know who issued a certificate, this says
/// whether the server has left out a part of the chain: browsers fetch such a part by themselves, so that nobody notices it there.
#[derive(Debug)]
struct Verifier(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let verified = self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| match error {
            TlsError::InvalidCertificate(CertificateError::UnknownIssuer)
                if lacks_issuer(end_entity, intermediates) =>
            {
                TlsError::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(ChainEnds))))
            }
            error => error,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Whether the chain as it was sent ends at a certificate that another one has issued. One that ends at itself is somebody's own.
fn lacks_issuer(end_entity: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> bool {
    let names = |der: &CertificateDer<'_>| {
        let certificate = webpki::EndEntityCert::try_from(der).ok()?;
        Some((certificate.subject().to_vec(), certificate.issuer().to_vec()))
    };
    let mut others: Vec<_> = intermediates.iter().filter_map(names).collect();
    let Some(mut last) = names(end_entity) else { return false };
    while let Some(at) = others.iter().position(|(subject, _)| *subject == last.1 && last.0 != last.1) {
        last = others.swap_remove(at);
    }
    last.0 != last.1
}
