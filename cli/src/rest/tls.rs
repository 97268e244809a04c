//! TLS with the CA certificates that a context names (`rootca`).

use std::sync::Arc;

use anyhow::{Context as _, bail};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// A TLS configuration that trusts only the certificates of a PEM file.
pub fn trusting(path: &str) -> anyhow::Result<ClientConfig> {
    let pem = std::fs::read(path).with_context(|| format!("cannot read the root CA {path}"))?;
    let found = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let trusted = found.with_context(|| format!("{path} is not a PEM file"))?;
    if trusted.is_empty() {
        bail!("{path} contains no certificate; it must be a PEM file with BEGIN CERTIFICATE lines");
    }
    let mut roots = RootCertStore::empty();
    for certificate in &trusted {
        roots.add(certificate.clone()).with_context(|| format!("{path} contains a certificate that cannot be used"))?;
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = verifier(roots, trusted, &provider).with_context(|| format!("cannot trust {path}"))?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("cannot prepare TLS")?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(config)
}

fn verifier(
    roots: RootCertStore,
    trusted: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> anyhow::Result<TrustedOrSelfSigned> {
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build()?;
    Ok(TrustedOrSelfSigned { inner, trusted })
}

/// Verifies as usual, but also accepts a server certificate that is itself trusted. Self-signed certificates made with
/// openssl are marked as CA certificates, which the verifier otherwise refuses as server certificates.
#[derive(Debug)]
struct TrustedOrSelfSigned {
    inner: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
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
            Err(Error::InvalidCertificate(CertificateError::Other(other)))
                if is_authority(&other) && self.trusted.iter().any(|trusted| trusted == end_entity) =>
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

/// The library exposes this case only as text. If the text changes, such certificates are refused and the tests fail.
fn is_authority(error: &OtherError) -> bool {
    format!("{:?}", error.0) == "CaUsedAsEndEntity"
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};

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
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).unwrap();
        let verifier = verifier(roots, vec![trusted.clone()], &Arc::new(ring::default_provider())).unwrap();
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

    #[test]
    fn files_without_certificates_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let error = || format!("{:#}", trusting(&path.display().to_string()).err().unwrap());
        assert!(error().contains("ca.pem: No such file"), "{}", error());
        std::fs::write(&path, "nothing").unwrap();
        assert!(error().contains("contains no certificate"), "{}", error());
    }
}
