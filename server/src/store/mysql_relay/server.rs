//! The server behind the relay: where it is, and whether it is the right one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use muster_tls::TlsPolicy;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::{self, MysqlEndpoint, MysqlTls};

/// Pause before a server that refuses connections is tried again, as the driver does without a relay: it may be starting.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(100);

/// Idle time before a connection is probed, and how long a server may leave bytes or probes unacknowledged: what is under way
/// to a server that has vanished is not kept for ever.
const ALIVE: Duration = Duration::from_secs(60);

/// A stream of bytes in both directions.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// Where the server is, and how it is recognised.
#[derive(Debug)]
pub struct MysqlServer {
    endpoint: MysqlEndpoint,
    /// Without one, the connection is in the clear.
    policy: Option<TlsPolicy>,
    section: &'static str,
}

impl MysqlServer {
    /// The server at `endpoint`, trusted as the configuration says.
    pub fn of(config: &config::Mysql, endpoint: MysqlEndpoint, section: &'static str) -> Self {
        let mut policy = match (config.tls(), &config.tls_ca) {
            (MysqlTls::Off, _) => return Self { endpoint, policy: None, section },
            (MysqlTls::Unverified, _) => TlsPolicy::unverified(),
            (MysqlTls::Verified, Some(path)) => TlsPolicy::trusting(path),
            (MysqlTls::Verified, None) => TlsPolicy::platform(),
        };
        if let (Some(certificate), Some(key)) = (&config.tls_cert, &config.tls_key) {
            policy = policy.with_identity(certificate, key);
        }
        if !config.tls_server_name.is_empty() {
            policy = policy.with_server_name(&config.tls_server_name);
        }
        Self { endpoint, policy: Some(policy), section }
    }

    pub fn is_encrypted(&self) -> bool {
        self.policy.is_some()
    }

    /// Whether it is at a socket of this machine.
    pub fn is_local(&self) -> bool {
        matches!(self.endpoint, MysqlEndpoint::Socket(_))
    }

    /// Where it is, and the setting that says so.
    pub fn address(&self) -> String {
        let shown = match &self.endpoint {
            MysqlEndpoint::Tcp { host, port } => format!("{host}:{port}"),
            MysqlEndpoint::Socket(path) => path.display().to_string(),
        };
        format!("{shown} ({}.address)", self.section)
    }

    /// The settings that decide whether it is trusted.
    pub fn trust_settings(&self) -> String {
        format!("{0}.tls_config, {0}.tls_ca, {0}.tls_cert and {0}.tls_server_name", self.section)
    }

    /// Connects. A server that refuses connections is tried again until shortly before the deadline.
    ///
    /// # Errors
    /// When there is no way to the server.
    pub async fn dial(&self, deadline: Instant) -> io::Result<Box<dyn ByteStream>> {
        loop {
            match self.dial_once().await {
                Err(error)
                    if error.kind() == io::ErrorKind::ConnectionRefused
                        && Instant::now() + 2 * BETWEEN_ATTEMPTS < deadline =>
                {
                    sleep(BETWEEN_ATTEMPTS).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn dial_once(&self) -> io::Result<Box<dyn ByteStream>> {
        match &self.endpoint {
            MysqlEndpoint::Socket(path) => Ok(Box::new(UnixStream::connect(path).await?)),
            MysqlEndpoint::Tcp { host, port } => {
                let tcp = TcpStream::connect((host.as_str(), *port)).await?;
                tcp.set_nodelay(true)?;
                let socket = SockRef::from(&tcp);
                socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(ALIVE))?;
                #[cfg(target_os = "linux")]
                socket.set_tcp_user_timeout(Some(ALIVE))?;
                Ok(Box::new(tcp))
            }
        }
    }

    /// Encrypts a connection whose server expects that, and checks who the server is. The files are read for each
    /// connection, so that renewed ones need no restart.
    ///
    /// # Errors
    /// When a file cannot be used, the server is not trusted, or it does not trust this client.
    pub async fn encrypt(&self, stream: Box<dyn ByteStream>) -> anyhow::Result<TlsStream<Box<dyn ByteStream>>> {
        let host = match &self.endpoint {
            MysqlEndpoint::Tcp { host, .. } => host,
            MysqlEndpoint::Socket(_) => "localhost",
        };
        let Some(policy) = self.policy.clone() else { anyhow::bail!("no TLS is configured") };
        let name = policy.name_of(host)?;
        let client = tokio::task::spawn_blocking(move || policy.client_config()).await??;
        Ok(TlsConnector::from(Arc::new(client)).connect(name, stream).await?)
    }
}
