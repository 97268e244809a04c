//! The server's certificate: the operator's, or a self-signed one made on first start. It is read again while the server
//! runs, so that a renewed certificate needs no restart.

mod agents;
mod chain;
mod expiry;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use arc_swap::ArcSwap;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::clock::{Clock, Moment};
use crate::config::Server;
use crate::lock::lock;
use crate::telemetry::Metrics;

pub use self::agents::{AgentCa, ShownCertificate, check as check_agent_ca};
pub use self::chain::{ChainFacts, examine};

/// How often the log warns of the same certificate.
const WARN_EVERY: Duration = Duration::from_secs(24 * 3600);

/// The certificate that the listener shows to new connections. Clones are one.
#[derive(Debug, Clone)]
pub struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    /// Whose certificates agents have to show, if anybody's.
    pub agent_ca: Option<AgentCa>,
    shown: Arc<Shown>,
    clock: Clock,
    /// When the log last warned that the certificate in use expires.
    warned_at: Arc<Mutex<Option<Moment>>>,
}

#[derive(Debug)]
struct Shown(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Certificate {
    /// Reads the configured files, or creates a self-signed certificate.
    ///
    /// # Errors
    /// When a file cannot be read or written, or certificate and key do not belong together.
    pub fn load(config: &Server, clock: Clock) -> Result<Self> {
        let (cert, key) = match certificate_files(config)? {
            CertificateFiles::Configured(cert, key) | CertificateFiles::SelfSigned(cert, key) => (cert, key),
            CertificateFiles::NotMadeYet => make_self_signed(config)?,
        };
        let shown = Arc::new(Shown(ArcSwap::from_pointee(read(&cert, &key)?)));
        let agent_ca = config.agent_ca.as_deref().map(|path| AgentCa::load(path, clock.clone())).transpose();
        let agent_ca = agent_ca.context("server.agent_ca")?;
        Ok(Self { cert, key, agent_ca, shown, clock, warned_at: Arc::default() })
    }

    /// What a listener needs. One for agents asks its clients for a certificate if `server.agent_ca` is set.
    ///
    /// # Errors
    /// When the library supports none of its own protocol versions.
    pub fn server_config(&self, is_for_agents: bool) -> Result<ServerConfig> {
        let shown: Arc<dyn ResolvesServerCert> = Arc::clone(&self.shown) as _;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?;
        let config = match self.agent_ca.as_ref().filter(|_| is_for_agents) {
            Some(agent_ca) => config.with_client_cert_verifier(agent_ca.verifier()),
            None => config.with_no_client_auth(),
        };
        Ok(config.with_cert_resolver(shown))
    }

    /// Reads the files again. New connections get a certificate that has changed; connections that exist keep theirs.
    /// Files that cannot be used change nothing, and the log says why.
    pub fn reload(&self) {
        if let Some(agent_ca) = &self.agent_ca {
            agent_ca.reload();
        }
        match read(&self.cert, &self.key) {
            Ok(new) if new.cert == self.shown.0.load().cert => {}
            Ok(new) => {
                self.shown.0.store(Arc::new(new));
                *lock(&self.warned_at) = None;
                tracing::info!(path = %self.cert.display(), "loaded a new certificate; new connections get it");
            }
            Err(error) => tracing::error!(
                error = format!("{error:#}"),
                "cannot load the certificate again; the server continues with the one it has"
            ),
        }
    }

    /// Sets the metric of the end of the certificate in use, and warns when that is near or past, once a day.
    pub fn watch_expiry(&self, metrics: &Metrics) {
        let expires_at = expiry::of_chain(&self.shown.0.load().cert);
        metrics.certificate_expires.set(expires_at.map_or(0, |at| at.seconds()));
        let now = self.clock.now();
        let Some((expires_at, warning)) = expires_at.and_then(|at| Some((at, expiry::warning(at, now)?))) else {
            return;
        };
        let mut warned_at = lock(&self.warned_at);
        if warned_at.is_none_or(|at| now.since(at) >= WARN_EVERY) {
            *warned_at = Some(now);
            let expires_at = expires_at.to_utc().to_rfc3339();
            tracing::warn!(path = %self.cert.display(), expires_at, "{warning}");
        }
    }
}

/// The certificate and its key that a server with these settings shows.
#[derive(Debug, PartialEq, Eq)]
pub enum CertificateFiles {
    Configured(PathBuf, PathBuf),
    /// In `server.tls_dir`.
    SelfSigned(PathBuf, PathBuf),
    /// As above, before the first start.
    NotMadeYet,
}

/// Finds them, and makes nothing.
///
/// # Errors
/// When only one file of a self-signed certificate is there.
pub fn certificate_files(config: &Server) -> Result<CertificateFiles> {
    if let (Some(cert), Some(key)) = (&config.cert, &config.key) {
        return Ok(CertificateFiles::Configured(cert.clone(), key.clone()));
    }
    let folder = &config.tls_dir;
    let (cert, key) = (folder.join("server.crt"), folder.join("server.key"));
    match (cert.exists(), key.exists()) {
        (true, true) => Ok(CertificateFiles::SelfSigned(cert, key)),
        (false, false) => Ok(CertificateFiles::NotMadeYet),
        _ => Err(anyhow!(
            "{} has only one of server.crt and server.key; restore the other, or remove both to have new ones made (agents then need the new certificate)",
            folder.display()
        )),
    }
}

/// Whether the log already warns of a certificate that ends then.
pub fn expires_soon(end: Moment, now: Moment) -> bool {
    expiry::warning(end, now).is_some()
}

/// Checks that the configured files can be read and belong together.
///
/// # Errors
/// What is wrong with them.
pub fn check(cert: &Path, key: &Path) -> Result<()> {
    read(cert, key).map(drop)
}

fn read(cert: &Path, key: &Path) -> Result<CertifiedKey> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(|error| anyhow!("the certificate {} cannot be read as PEM: {error}", cert.display()))?;
    if chain.is_empty() {
        bail!("the file {} contains no certificate; it must have BEGIN CERTIFICATE lines", cert.display());
    }
    let key_der = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| anyhow!("the private key {} cannot be read as PEM: {error}", key.display()))?;
    CertifiedKey::from_der(chain, key_der, &ring::default_provider())
        .with_context(|| format!("{} and {} cannot be used together", cert.display(), key.display()))
}

/// Makes the self-signed certificate, and gives its paths.
fn make_self_signed(config: &Server) -> Result<(PathBuf, PathBuf)> {
    let folder = &config.tls_dir;
    let (cert, key) = (folder.join("server.crt"), folder.join("server.key"));
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    names.extend(fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned()));
    names.extend(config.tls_names.iter().cloned());
    names.retain(|name| !name.is_empty());
    names.sort_unstable();
    names.dedup();
    let mut params =
        CertificateParams::new(names.clone()).context("server.tls_names has a name no certificate can have")?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Muster self-signed");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key_pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.self_signed(&key_pair)?;
    write_new(&key, &key_pair.serialize_pem(), 0o600)?;
    write_new(&cert, &certificate.pem(), 0o644)?;
    tracing::info!(
        path = %cert.display(), names = names.join(", "),
        "a self-signed certificate was made; give it to agents as --tls_server_certs"
    );
    Ok((cert, key))
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .with_context(|| format!("cannot make {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_self_signed_certificate_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let config = Server { tls_dir: folder.path().join("tls"), ..Server::default() };
        Certificate::load(&config, Clock::system()).unwrap();
        let first = fs::read(folder.path().join("tls/server.crt")).unwrap();
        Certificate::load(&config, Clock::system()).unwrap();
        assert_eq!(fs::read(folder.path().join("tls/server.crt")).unwrap(), first);
        fs::remove_file(folder.path().join("tls/server.key")).unwrap();
        let error = Certificate::load(&config, Clock::system()).unwrap_err();
        assert!(error.to_string().contains("only one of"));
    }
}
