use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::redis::io::tcp::socket2::SockRef;
use ::redis::{ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, RedisResult};
use anyhow::{Context as _, Result};
use muster_tls::TlsPolicy;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config;
use crate::lock::lock;

/// The TLS of the clusters of this process. The library connects to the nodes of a cluster when it likes and passes
/// nothing but their addresses, so each process has one policy for all of its clusters. A server has one Redis, so a second
/// policy can only be that of a second server in the same process.
static CLUSTERS: Mutex<Option<RedisTls>> = Mutex::new(None);

/// How connections to Redis are encrypted, with all files read.
#[derive(Clone)]
pub(super) struct RedisTls {
    policy: TlsPolicy,
    connector: TlsConnector,
    timeout: Duration,
}

impl std::fmt::Debug for RedisTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisTls").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl RedisTls {
    /// The settings of the configuration; `None` without `redis.use_tls`. A connection may take `timeout`, its handshakes
    /// included.
    ///
    /// # Errors
    /// When a file cannot be read or used.
    pub fn read(config: &config::Redis, timeout: Duration) -> Result<Option<Self>> {
        if !config.use_tls {
            return Ok(None);
        }
        let mut policy = match &config.tls_ca {
            Some(path) => TlsPolicy::trusting(path),
            None => TlsPolicy::platform(),
        };
        if let (Some(certificate), Some(key)) = (&config.tls_cert, &config.tls_key) {
            policy = policy.with_identity(certificate, key);
        }
        if !config.tls_server_name.is_empty() {
            policy = policy.with_server_name(&config.tls_server_name);
            policy.name_of("").context("redis.tls_server_name")?;
        }
        let client = policy.client_config().context("redis.tls_ca, redis.tls_cert and redis.tls_key")?;
        Ok(Some(Self { policy, connector: TlsConnector::from(Arc::new(client)), timeout }))
    }

    /// Makes this the TLS of the clusters of this process.
    ///
    /// # Errors
    /// When they have another already.
    pub fn keep_for_clusters(&self) -> RedisResult<()> {
        let mut clusters = lock(&CLUSTERS);
        if let Some(other) = &*clusters
            && other.policy != self.policy
        {
            let why = format!(
                "{:?} is in use, {:?} is configured; run the servers as processes of their own",
                other.policy, self.policy
            );
            return Err((
                ErrorKind::InvalidClientConfig,
                "redis.tls_*: one process can use one policy for clusters",
                why,
            )
                .into());
        }
        // Files may have been read again since.
        *clusters = Some(self.clone());
        Ok(())
    }

    /// The TLS of the clusters of this process.
    pub fn of_clusters() -> RedisResult<Self> {
        let missing = || (ErrorKind::InvalidClientConfig, "redis.use_tls: no cluster of this process uses TLS").into();
        lock(&CLUSTERS).clone().ok_or_else(missing)
    }

    /// Connects to a server and checks its certificate.
    pub async fn stream(&self, info: &ConnectionInfo) -> RedisResult<TlsStream<TcpStream>> {
        let ConnectionAddr::TcpTls { host, port, .. } = info.addr() else {
            return Err((ErrorKind::InvalidClientConfig, "redis.address: TLS needs a host and a port").into());
        };
        let name = self.policy.name_of(host).map_err(|error| io::Error::other(format!("{error:#}")))?;
        let tcp = TcpStream::connect((host.as_str(), *port)).await?;
        tcp.set_nodelay(info.tcp_settings().nodelay())?;
        if let Some(probes) = info.tcp_settings().keepalive() {
            SockRef::from(&tcp).set_tcp_keepalive(probes)?;
        }
        let refused = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("no TLS with {host}:{port}: {error}; check redis.tls_ca and redis.tls_server_name"),
            )
        };
        Ok(self.connector.connect(name, tcp).await.map_err(refused)?)
    }

    /// Gives up a connection that takes too long.
    pub async fn in_time<T>(
        &self,
        info: &ConnectionInfo,
        connecting: impl Future<Output = RedisResult<T>>,
    ) -> RedisResult<T> {
        let late = |_| {
            let text = format!(
                "{} is not connected within {} ms (redis.connect_timeout and redis.tls_handshake_timeout)",
                info.addr(),
                self.timeout.as_millis()
            );
            RedisError::from(io::Error::new(io::ErrorKind::TimedOut, text))
        };
        timeout(self.timeout, connecting).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
    }
}
