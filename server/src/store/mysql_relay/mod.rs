//! The way to MySQL over a network. The driver takes no TLS settings but its own, and lets the system hold back small packets
//! for 40 ms, so it connects to a socket of this process. A relay behind that socket connects to the server, checks its
//! certificate if TLS is configured, and passes everything on at once. Decision 6 says why, and what it costs.

mod packet;
mod passage;
mod server;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::ServerConfig;
use rustls::crypto::ring;
use sea_orm::sqlx::MySqlPool;
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub(super) use self::packet::{CANNOT_CONNECT, TLS_FAILED};
use self::passage::Passage;
use self::server::MysqlServer;
use super::{Error, Result};
use crate::config::{self, MysqlEndpoint};

/// Connections beyond those of the pool: ones that the pool has given up may take a moment to end.
const SPARE: u32 = 8;

/// Pause after the socket could not be accepted from, as when the process has no file descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// Longest wait for connections to end after their pool was closed.
const ENDING: Duration = Duration::from_secs(5);

/// The folder of the socket. Removed without a file descriptor, of which there may be none left.
#[derive(Debug)]
struct SocketFolder(PathBuf);

impl SocketFolder {
    fn new() -> std::io::Result<Self> {
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix("muster-mysql-").permissions(private).tempdir()?;
        Ok(Self(folder.keep()))
    }

    fn socket(&self) -> PathBuf {
        self.0.join("socket")
    }
}

impl Drop for SocketFolder {
    fn drop(&mut self) {
        // It may be that there is no socket yet; what cannot be removed is empty and private.
        let _ = std::fs::remove_file(self.socket());
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// The socket of a pool of connections, in a folder that only this user may enter. Dropping it ends all connections and
/// removes the folder.
#[derive(Debug)]
pub(super) struct MysqlRelay {
    socket: PathBuf,
    folder: SocketFolder,
    is_encrypted: bool,
    /// Whether no more connections are to be accepted.
    ended: CancellationToken,
    accepting: AbortOnDropHandle<()>,
}

impl MysqlRelay {
    /// Begins to relay; nothing if the server is at a socket of this machine without TLS, which the driver reaches as well.
    /// `section` has the settings, and the pool has up to `connections`.
    ///
    /// # Errors
    /// When the socket cannot be made. Faults of the settings and of the server are told to whoever connects.
    pub fn start(
        config: &config::Mysql,
        endpoint: MysqlEndpoint,
        section: &'static str,
        connections: u32,
    ) -> Result<Option<Self>> {
        let server = MysqlServer::of(config, endpoint, section);
        if !server.is_encrypted() && server.is_local() {
            return Ok(None);
        }
        let is_encrypted = server.is_encrypted();
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            Error::Unavailable(format!("{section}.address: cannot make {what}: {error}; check TMPDIR"))
        };
        let folder = SocketFolder::new().map_err(|error| failed("a temporary folder", &error))?;
        let socket = folder.socket();
        let listener =
            UnixListener::bind(&socket).map_err(|error| failed(&format!("the socket {}", socket.display()), &error))?;
        let acceptor = is_encrypted.then(acceptor).transpose();
        let acceptor = acceptor.map_err(|error| failed("a certificate for the driver", &error))?;
        let passage = Arc::new(Passage { server, acceptor });
        let most = usize::try_from(connections.saturating_add(SPARE)).unwrap_or(usize::MAX);
        let ended = CancellationToken::new();
        let accepting = AbortOnDropHandle::new(tokio::spawn(accept(listener, passage, most, ended.clone())));
        Ok(Some(Self { socket, folder, is_encrypted, ended, accepting }))
    }

    /// Goes on until the pool is closed or dropped: then the folder is removed at once, and connections may say farewell.
    pub fn end_with(self, pool: &MySqlPool) {
        let closed = pool.close_event();
        tokio::spawn(async move {
            closed.await;
            drop(self.folder);
            self.ended.cancel();
            // A failure can only be a panic, which is logged.
            let _ = self.accepting.await;
        });
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Whether the driver has to ask for TLS.
    pub fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }
}

/// With TLS to the server, the driver's side of the relay is encrypted too: over anything else the driver refuses to send what some methods of
/// authentication send over TLS. Nobody checks this certificate; the folder of the socket keeps others out.
fn acceptor() -> anyhow::Result<TlsAcceptor> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])?.self_signed(&key)?;
    let key = rustls_pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())?;
    // The driver resumes no sessions.
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Accepts until the end, up to so many connections at one time; more of them wait until the pool gives them up.
async fn accept(listener: UnixListener, passage: Arc<Passage>, most: usize, ended: CancellationToken) {
    let mut passages = JoinSet::new();
    loop {
        tokio::select! {
            () = ended.cancelled() => break,
            Some(_) = passages.join_next() => {}
            accepted = listener.accept(), if passages.len() < most => match accepted {
                Ok((driver, _)) => {
                    let passage = Arc::clone(&passage);
                    passages.spawn(async move { passage.carry(driver).await });
                }
                Err(error) => {
                    tracing::error!(%error, "cannot accept a connection of the database driver; raise the limit of open files");
                    sleep(PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    // Those that are not done by then are cut off.
    let _ = timeout(ENDING, async { while passages.join_next().await.is_some() {} }).await;
}
