//! Verifiers of server certificates.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::certificate_errors::is_authority;

/// Verifies as usual, but also accepts a server certificate that is itself trusted. Self-signed certificates made with
/// openssl are marked as CA certificates, which the verifier otherwise refuses as server certificates.
#[derive(Debug)]
pub struct TrustedOrSelfSigned {
    inner: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

impl TrustedOrSelfSigned {
    /// # Errors
    /// When one of the certificates cannot be used as a CA.
    pub fn new(trusted: Vec<CertificateDer<'static>>, provider: &Arc<CryptoProvider>) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in &trusted {
            roots.add(certificate.clone()).context("it contains a certificate that cannot be used")?;
        }
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build()?;
        Ok(Self { inner, trusted })
    }
}

impl ServerCertVerifier for TrustedOrSelfSigned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The verifier reports this only after it has checked the validity period.
            Err(Error::InvalidCertificate(error))
                if is_authority(&error) && self.trusted.iter().any(|trusted| trusted == end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Accepts every server. The signatures of the handshake are not checked either: they prove that the server has the key of
/// a certificate that nobody has verified, and checking them would refuse X.509 v1, which the library does not read.
#[derive(Debug)]
pub struct AnyServer(Vec<SignatureScheme>);

impl AnyServer {
    pub fn new(provider: &CryptoProvider) -> Self {
        Self(provider.signature_verification_algorithms.supported_schemes())
    }
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
    use rustls::crypto::ring;

    use super::*;

    fn certificate(is_ca: IsCa, last_year: i32) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.is_ca = is_ca;
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(last_year, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn authority(last_year: i32) -> CertificateDer<'static> {
        certificate(IsCa::Ca(BasicConstraints::Unconstrained), last_year)
    }

    fn is_accepted(trusted: &CertificateDer<'static>, shown: &CertificateDer<'_>, name: &'static str) -> bool {
        let verifier = TrustedOrSelfSigned::new(vec![trusted.clone()], &Arc::new(ring::default_provider())).unwrap();
        let name = ServerName::try_from(name).unwrap();
        verifier.verify_server_cert(shown, &[], &name, &[], UnixTime::now()).is_ok()
    }

    #[test]
    fn a_trusted_certificate_may_be_the_servers_own() {
        let plain = certificate(IsCa::NoCa, 4000);
        assert!(is_accepted(&plain, &plain, "localhost"));
        let authority = authority(4000);
        assert!(is_accepted(&authority, &authority, "localhost"));
    }

    #[test]
    fn name_period_and_identity_still_count() {
        let trusted = authority(4000);
        assert!(!is_accepted(&trusted, &trusted, "fleet.example.com"));
        assert!(!is_accepted(&trusted, &authority(4000), "localhost"));
        let expired = authority(2001);
        assert!(!is_accepted(&expired, &expired, "localhost"));
    }
}
