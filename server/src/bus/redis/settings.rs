use std::path::Path;
use std::time::Duration;

use ::redis::cluster::ClusterClient;
use ::redis::cluster_async::ClusterConnection;
use ::redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use ::redis::{
    AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion, PushInfo,
    RedisConnectionInfo, RedisResult,
};
use anyhow::{Context as _, Result, ensure};
use tokio::sync::mpsc;

use super::server_connection::ServerConnection;
use super::tls::RedisTls;
use crate::config::{self, Secret, split_address};

/// A command has one more second for so many bytes.
const BYTES_PER_SECOND: f64 = 8_388_608.0;

/// A command that is larger than this has no more time for it.
const LARGEST_COMMAND: usize = 32 << 20;

/// Host and port of a Redis or a Sentinel.
pub(super) type RedisServer = (String, u16);

/// How to reach Redis, with all files read.
#[derive(Debug)]
pub(super) struct RedisSettings {
    /// Redis itself, or nodes of the cluster. Empty with Sentinels.
    pub nodes: Vec<RedisServer>,
    pub sentinels: Vec<RedisServer>,
    pub sentinel_master: String,
    redis_login: RedisConnectionInfo,
    sentinel_login: RedisConnectionInfo,
    tls: Option<RedisTls>,
    tcp: TcpSettings,
    /// Time a connection may take, its TLS handshake included.
    pub connect_timeout: Duration,
    pub connect_attempts: u32,
    /// Time a small command may take.
    pub command_timeout: Duration,
}

impl RedisSettings {
    /// # Errors
    /// When a file of the configuration cannot be read.
    pub fn read(config: &config::Redis) -> Result<Self> {
        let nodes = |list: &[String]| list.iter().filter_map(|address| split_address(address)).collect();
        let password = read_password("redis.password_path", &config.password, config.password_path.as_deref())?;
        let sentinel_password = read_password(
            "redis.sentinel_password_path",
            &config.sentinel_password,
            config.sentinel_password_path.as_deref(),
        )?;
        let keep_alive = TcpKeepalive::new().with_time(config.keep_alive.max(Duration::from_secs(1)));
        let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keep_alive);
        // What a connection that was given up has still to send must not arrive behind newer commands of this node.
        #[cfg(target_os = "linux")]
        let tcp = tcp.set_user_timeout(config.read_timeout.max(Duration::from_secs(1)));
        let handshake = if config.use_tls { config.tls_handshake_timeout } else { Duration::ZERO };
        let connect_timeout = config.connect_timeout + handshake;
        let settings = Self {
            nodes: nodes(&config.address),
            sentinels: nodes(&config.sentinel_addresses),
            sentinel_master: config.sentinel_master.clone(),
            redis_login: login(&config.username, &password).set_db(i64::from(config.database)),
            sentinel_login: login(&config.sentinel_username, &sentinel_password),
            tls: RedisTls::read(config, connect_timeout)?,
            tcp,
            connect_timeout,
            connect_attempts: config.connect_retry_attempts.saturating_add(1),
            command_timeout: config.read_timeout,
        };
        ensure!(!settings.nodes.is_empty() || !settings.sentinels.is_empty(), "redis.address: is empty");
        Ok(settings)
    }

    /// The name of Redis in log lines and errors.
    pub fn name(&self) -> String {
        let list =
            |nodes: &[RedisServer]| nodes.iter().map(|(host, port)| format!("{host}:{port}")).collect::<Vec<_>>();
        match self.sentinels.is_empty() {
            true => list(&self.nodes).join(","),
            false => format!("{} of the Sentinels {}", self.sentinel_master, list(&self.sentinels).join(",")),
        }
    }

    pub fn database(&self) -> i64 {
        self.redis_login.db()
    }

    fn info(&self, (host, port): &RedisServer, login: &RedisConnectionInfo) -> RedisResult<ConnectionInfo> {
        let (host, port) = (host.clone(), *port);
        let address = match &self.tls {
            None => ConnectionAddr::Tcp(host, port),
            Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        };
        Ok(address.into_connection_info()?.set_redis_settings(login.clone()).set_tcp_settings(self.tcp.clone()))
    }

    /// Connects to a single server, or to one node of a cluster.
    pub async fn connect(&self, node: &RedisServer) -> RedisResult<ServerConnection> {
        let info = self.info(node, &self.redis_login)?;
        ServerConnection::new(info, self.tls.as_ref(), self.connection_config()).await
    }

    /// Connects with RESP3, in which published messages arrive on the same connection as answers.
    pub async fn connect_subscriber(
        &self,
        node: &RedisServer,
        messages: mpsc::UnboundedSender<PushInfo>,
    ) -> RedisResult<ServerConnection> {
        let info = self.info(node, &self.redis_login.clone().set_protocol(ProtocolVersion::RESP3))?;
        ServerConnection::new(info, self.tls.as_ref(), self.connection_config().set_push_sender(messages)).await
    }

    pub async fn connect_sentinel(&self, node: &RedisServer) -> RedisResult<ServerConnection> {
        let info = self.info(node, &self.sentinel_login)?;
        ServerConnection::new(info, self.tls.as_ref(), self.connection_config()).await
    }

    pub async fn connect_cluster(&self) -> RedisResult<ClusterConnection<ServerConnection>> {
        let nodes: Vec<ConnectionInfo> =
            self.nodes.iter().map(|node| self.info(node, &self.redis_login)).collect::<RedisResult<_>>()?;
        if let Some(tls) = &self.tls {
            tls.keep_for_clusters()?;
        }
        let client = ClusterClient::builder(nodes)
            .connection_timeout(self.connect_timeout)
            .response_timeout(self.longest_time())
            .overall_response_timeout(Some(self.longest_time()))
            .tcp_settings(self.tcp.clone())
            .build()?;
        client.get_async_generic_connection().await
    }

    /// How long a command of so many bytes may take.
    pub fn time_for(&self, bytes: usize) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "commands are far below 2^52 bytes")]
        let extra = bytes.min(LARGEST_COMMAND) as f64 / BYTES_PER_SECOND;
        self.command_timeout + Duration::from_secs_f64(extra)
    }

    /// How long any command may take. Connections have this timeout, because each command is timed by its size.
    pub fn longest_time(&self) -> Duration {
        self.time_for(LARGEST_COMMAND)
    }

    fn connection_config(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(self.command_timeout))
    }
}

/// The password that is set, or what the file of this key contains.
fn read_password(key: &str, password: &Secret, path: Option<&Path>) -> Result<Secret> {
    let Some(path) = path else { return Ok(password.clone()) };
    let text = std::fs::read_to_string(path).with_context(|| format!("{key}: cannot read {}", path.display()))?;
    Ok(Secret::new(text.trim_end_matches(['\n', '\r'])))
}

fn login(username: &str, password: &Secret) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default();
    if !username.is_empty() {
        login = login.set_username(username);
    }
    if !password.is_empty() {
        login = login.set_password(password.reveal());
    }
    login
}
