//! Trusting the server.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};

use super::SetupError;

/// Which server certificates are accepted.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Those issued by a certificate in this PEM file.
    CaFile(PathBuf),
    /// Those issued by a certificate in this PEM text.
    CaPem(String),
    /// All of them, whatever they say. The server still proves that it holds the key of its certificate.
    Anyone,
    /// All of them, without that proof. For generators, which share a machine with the server they measure: checking
    /// the proof costs them more than the whole handshake costs the server.
    Unverified,
}

/// TLS with full handshakes, as stock agents make them.
///
/// # Errors
/// If the certificates cannot be used.
pub fn client_config(trust: &Trust) -> Result<Arc<ClientConfig>, SetupError> {
    let provider = Arc::new(ring::default_provider());
    let failed = |error: &dyn std::fmt::Display| SetupError::Certificates(error.to_string());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?;
    let pem = match trust {
        Trust::CaFile(path) => std::fs::read(path).map_err(|error| failed(&format!("{}: {error}", path.display())))?,
        Trust::CaPem(text) => text.clone().into_bytes(),
        Trust::Anyone | Trust::Unverified => {
            let checks_proof = matches!(trust, Trust::Anyone);
            let verifier = Arc::new(AcceptAnyone { provider, checks_proof });
            let config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
            return Ok(Arc::new(without_resumption(config)));
        }
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| failed(&error))?;
        roots.add(certificate).map_err(|error| failed(&error))?;
    }
    if roots.is_empty() {
        return Err(SetupError::Certificates("no certificate found".to_owned()));
    }
    Ok(Arc::new(without_resumption(builder.with_root_certificates(roots).with_no_client_auth())))
}

/// Stock agents make a full handshake for every request.
fn without_resumption(mut config: ClientConfig) -> ClientConfig {
    config.resumption = rustls::client::Resumption::disabled();
    config
}

/// Accepts every certificate.
#[derive(Debug)]
struct AcceptAnyone {
    provider: Arc<CryptoProvider>,
    /// Whether the server must prove that it holds the key of its certificate.
    checks_proof: bool,
}

impl ServerCertVerifier for AcceptAnyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if !self.checks_proof {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if !self.checks_proof {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
