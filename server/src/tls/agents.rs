//! Certificates of agents (`server.agent_ca`).
//!
//! A handshake never fails for lack of a good one: operators come to the same address, and an agent is told what is wrong only by an
//! answer. So each connection is judged once, when its handshake is over, and the endpoints of agents refuse by that. Whoever shows a certificate has to
//! prove in the handshake that the key is theirs.

use std::any::Any;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use anyhow::{Context as _, Result, anyhow, bail};
use arc_swap::ArcSwap;
use muster_tls::certificate_errors::{describe, is_of_version_1};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::clock::Clock;
use crate::lock::lock;
use crate::telemetry::LogLimit;

/// What a connection has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShownCertificate {
    None,
    /// One of a CA in `server.agent_ca`.
    Good,
    /// One that is not; why.
    Bad(String),
}

/// The CAs whose certificates agents have to show. Clones are one.
#[derive(Debug, Clone)]
pub struct AgentCa(Arc<AgentCaParts>);

#[derive(Debug)]
struct AgentCaParts {
    path: PathBuf,
    current: ArcSwap<LoadedCa>,
    clock: Clock,
    /// Names of CAs by the file that had them. They are never freed, as handshakes borrow them; there are as many as files that differ.
    names: Mutex<HashMap<Vec<u8>, &'static [DistinguishedName]>>,
    /// Log lines about handshakes that fail, by why.
    failures: LogLimit<HandshakeFailure>,
}

/// Why the handshake with a client certificate fails: it cannot be read, so that nobody can say whose key has signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum HandshakeFailure {
    Version1,
    Certificate,
    Signature,
}

impl HandshakeFailure {
    fn of(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(error) if is_of_version_1(error) => Self::Version1,
            Error::InvalidCertificate(CertificateError::BadSignature) => Self::Signature,
            Error::InvalidCertificate(_) => Self::Certificate,
            _ => Self::Signature,
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::Version1 => {
                "issue it anew with an extension, such as extendedKeyUsage=clientAuth, which makes it one of version 3"
            }
            Self::Certificate => "issue it anew, as a certificate of X.509 version 3",
            Self::Signature => "give the agent the key that belongs to its certificate",
        }
    }
}

/// A reason for which handshakes fail is logged this often at most.
const FAILURES_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct LoadedCa {
    pem: Vec<u8>,
    verifier: Arc<dyn ClientCertVerifier>,
    names: &'static [DistinguishedName],
}

impl AgentCa {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, or has no certificate of a CA.
    pub fn load(path: &Path, clock: Clock) -> Result<Self> {
        let (pem, verifier) = read(path)?;
        let names = Mutex::default();
        let failures = LogLimit::new(FAILURES_EVERY);
        let loaded = LoadedCa { names: names_of(&names, &pem, &*verifier), pem, verifier };
        Ok(Self(Arc::new(AgentCaParts {
            path: path.to_owned(),
            current: ArcSwap::from_pointee(loaded),
            clock,
            names,
            failures,
        })))
    }

    /// Reads the file again. Connections that exist keep what was said of them. A file that cannot be used changes nothing, and
    /// the log says why.
    pub fn reload(&self) {
        let AgentCaParts { path, current, names, clock, failures } = &*self.0;
        for (why, left_out) in failures.overdue(clock.now()) {
            tracing::warn!(?why, left_out, "more handshakes with client certificates failed");
        }
        match read(path) {
            Ok((pem, _)) if pem == current.load().pem => {}
            Ok((pem, verifier)) => {
                let names = names_of(names, &pem, &*verifier);
                current.store(Arc::new(LoadedCa { pem, verifier, names }));
                tracing::info!(path = %path.display(), "loaded other CAs of agents; new connections are judged by them");
            }
            Err(error) => tracing::error!(
                error = format!("{error:#}"),
                "cannot load server.agent_ca again; the server continues with the CAs it has"
            ),
        }
    }

    /// For the handshakes of a listener.
    pub fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::new(AnyCertificate(self.clone()))
    }

    /// Notes with a connection what it has shown.
    pub fn judge(&self, connection: &dyn Any, noted: &mut Extensions) {
        let Some(stream) = connection.downcast_ref::<TlsStream<TcpStream>>() else { return };
        let (_, session) = stream.get_ref();
        noted.insert(self.shown(session.peer_certificates().unwrap_or_default()));
    }

    fn shown(&self, chain: &[CertificateDer<'_>]) -> ShownCertificate {
        let Some((own, others)) = chain.split_first() else { return ShownCertificate::None };
        let now = Duration::from_secs(u64::try_from(self.0.clock.now().seconds()).unwrap_or(0));
        let now = UnixTime::since_unix_epoch(now);
        match self.0.current.load().verifier.verify_client_cert(own, others, now) {
            Ok(_) => ShownCertificate::Good,
            Err(Error::InvalidCertificate(reason)) => ShownCertificate::Bad(describe(&reason)),
            Err(other) => ShownCertificate::Bad(other.to_string()),
        }
    }
}

/// Checks that a file can be used.
///
/// # Errors
/// What is wrong with it.
pub fn check(path: &Path) -> Result<()> {
    read(path).map(drop)
}

fn read(path: &Path) -> Result<(Vec<u8>, Arc<dyn ClientCertVerifier>)> {
    let pem = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| anyhow!("{} cannot be read as PEM: {error}", path.display()))?;
        roots
            .add(certificate)
            .with_context(|| format!("{} has a certificate that cannot be used as a CA", path.display()))?;
    }
    if roots.is_empty() {
        bail!("the file {} contains no certificate; it must have BEGIN CERTIFICATE lines", path.display());
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .with_context(|| format!("{} cannot be used", path.display()))?;
    Ok((pem, verifier))
}

fn names_of(
    known: &Mutex<HashMap<Vec<u8>, &'static [DistinguishedName]>>,
    pem: &[u8],
    verifier: &dyn ClientCertVerifier,
) -> &'static [DistinguishedName] {
    let names = || &*Box::leak(verifier.root_hint_subjects().to_vec().into_boxed_slice());
    lock(known).entry(pem.to_vec()).or_insert_with(names)
}

/// Takes any certificate, and none, if the client has its key. What it is worth is judged afterwards ([`AgentCa::judge`]).
#[derive(Debug)]
struct AnyCertificate(AgentCa);

impl AnyCertificate {
    /// Notes why a handshake fails: the agent is told no more than that it has.
    fn note(&self, verified: Result<HandshakeSignatureValid, Error>) -> Result<HandshakeSignatureValid, Error> {
        if let Err(error) = &verified {
            let why = HandshakeFailure::of(error);
            if let Some(left_out) = self.0.0.failures.pass(why, self.0.0.clock.now()) {
                let reason = match error {
                    Error::InvalidCertificate(error) if why != HandshakeFailure::Signature => describe(error),
                    _ => "the client has not proved that it has the key of its certificate".to_owned(),
                };
                tracing::warn!(
                    reason,
                    remedy = why.remedy(),
                    left_out,
                    "the handshake with a client certificate failed"
                );
            }
        }
        verified
    }

    fn current(&self) -> arc_swap::Guard<Arc<LoadedCa>> {
        self.0.0.current.load()
    }
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    // Browsers ask their users only if they have a certificate of one of these.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.current().names
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.note(self.current().verifier.verify_tls12_signature(message, cert, dss))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.note(self.current().verifier.verify_tls13_signature(message, cert, dss))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current().verifier.supported_verify_schemes()
    }
}
