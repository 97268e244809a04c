//! The rules by which the programs of Muster decide which server they talk to over TLS. They are the same for MySQL, Redis
//! and the REST API, so that a certificate that one of them accepts is accepted by all.

pub mod certificate_errors;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls_platform_verifier::Verifier;

use crate::verify::{AnyServer, TrustedOrSelfSigned};

/// Which servers are trusted, under which name, and the certificate shown to them. Names files and reads none of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsPolicy {
    trust: ServerTrust,
    identity: Option<ClientIdentity>,
    server_name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum ServerTrust {
    Platform,
    CaFile(PathBuf),
    Unverified,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ClientIdentity {
    certificate: PathBuf,
    key: PathBuf,
}

impl TlsPolicy {
    /// Trusts the CAs that the operating system trusts.
    pub fn platform() -> Self {
        Self::of(ServerTrust::Platform)
    }

    /// Trusts only the certificates of a PEM file: servers whose certificate one of them has signed, and servers that show
    /// one of them.
    pub fn trusting(path: impl Into<PathBuf>) -> Self {
        Self::of(ServerTrust::CaFile(path.into()))
    }

    /// Talks to whoever answers: what is sent is encrypted, but the server is not authenticated, so whoever can redirect the
    /// connection can read and change everything. Certificates are not looked at, and may be expired, for another name or
    /// of an old format.
    pub fn unverified() -> Self {
        Self::of(ServerTrust::Unverified)
    }

    fn of(trust: ServerTrust) -> Self {
        Self { trust, identity: None, server_name: None }
    }

    /// Shows a client certificate to servers that ask for one. Both files are PEM.
    #[must_use]
    pub fn with_identity(mut self, certificate: &Path, key: &Path) -> Self {
        self.identity = Some(ClientIdentity { certificate: certificate.to_owned(), key: key.to_owned() });
        self
    }

    /// Expects this name in the certificate instead of the host in the address.
    #[must_use]
    pub fn with_server_name(mut self, name: &str) -> Self {
        self.server_name = Some(name.to_owned());
        self
    }

    /// The name that the certificate of the server at `host` must have.
    ///
    /// # Errors
    /// When it is neither a host name nor an IP address.
    pub fn name_of(&self, host: &str) -> Result<ServerName<'static>> {
        let name = self.server_name.as_deref().unwrap_or(host);
        ServerName::try_from(name.to_owned())
            .with_context(|| format!("{name:?} is not a name that a certificate can have"))
    }

    /// Reads the files.
    ///
    /// # Errors
    /// When a file cannot be read or used; the text names the file.
    pub fn client_config(&self) -> Result<ClientConfig> {
        let provider = Arc::new(ring::default_provider());
        let verifier = self.verifier(&provider)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("cannot prepare TLS")?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let Some(ClientIdentity { certificate, key }) = &self.identity else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = certificates(certificate)?;
        let key_der = PrivateKeyDer::from_pem_slice(&read(key)?)
            .with_context(|| format!("{} is not a private key in PEM format", key.display()))?;
        builder
            .with_client_auth_cert(chain, key_der)
            .with_context(|| format!("{} and {} cannot be used together", certificate.display(), key.display()))
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>> {
        Ok(match &self.trust {
            ServerTrust::Platform => {
                Arc::new(Verifier::new(Arc::clone(provider)).context(
                    "cannot use the CA certificates of the system; install ca-certificates or name a CA file",
                )?)
            }
            ServerTrust::CaFile(path) => Arc::new(
                TrustedOrSelfSigned::new(certificates(path)?, provider)
                    .with_context(|| format!("cannot trust {}", path.display()))?,
            ),
            ServerTrust::Unverified => Arc::new(AnyServer::new(provider)),
        })
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = read(path)?;
    let found = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let found = found.with_context(|| format!("{} is not a PEM file", path.display()))?;
    if found.is_empty() {
        bail!("{} contains no certificate; it must be a PEM file with BEGIN CERTIFICATE lines", path.display());
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn refusal(policy: &TlsPolicy) -> String {
        format!("{:#}", policy.client_config().err().unwrap())
    }

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let policy = TlsPolicy::trusting(&path);
        assert!(refusal(&policy).contains("ca.pem: No such file"), "{}", refusal(&policy));
        std::fs::write(&path, "nothing").unwrap();
        assert!(refusal(&policy).contains("contains no certificate"), "{}", refusal(&policy));
    }

    #[test]
    fn a_client_certificate_needs_its_own_key() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("client.pem"), folder.path().join("client.key"));
        let (own, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let params = CertificateParams::new(vec!["muster.test".to_owned()]).unwrap();
        std::fs::write(&certificate, params.self_signed(&own).unwrap().pem()).unwrap();
        let policy = TlsPolicy::unverified().with_identity(&certificate, &key);
        std::fs::write(&key, "nothing").unwrap();
        assert!(refusal(&policy).contains("client.key is not a private key"), "{}", refusal(&policy));
        std::fs::write(&key, other.serialize_pem()).unwrap();
        assert!(refusal(&policy).contains("cannot be used together"), "{}", refusal(&policy));
        std::fs::write(&key, own.serialize_pem()).unwrap();
        assert!(policy.client_config().is_ok());
    }

    #[test]
    fn the_name_is_the_host_unless_one_is_set() {
        let policy = TlsPolicy::platform();
        assert_eq!(policy.name_of("db.test").unwrap().to_str(), "db.test");
        assert_eq!(policy.name_of("::1").unwrap().to_str(), "::1");
        assert_eq!(policy.with_server_name("other.test").name_of("db.test").unwrap().to_str(), "other.test");
        assert!(TlsPolicy::platform().name_of("no name").is_err());
    }
}
