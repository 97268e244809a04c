use std::net::SocketAddr;
use std::time::Duration;

use ::redis::cluster::ClusterClient;
use ::redis::io::AsyncDNSResolver;
use ::redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use ::redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _,
    ProtocolVersion, RedisConnectionInfo, RedisFuture, RedisResult, TlsCertificates, TlsMode,
};
use anyhow::{Context as _, Result, ensure};

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
    certificates: Option<TlsCertificates>,
    server_name: String,
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
        let password = match &config.password_path {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("redis.password_path: cannot read {}", path.display()))?;
                Secret::new(text.trim_end_matches(['\n', '\r']))
            }
            None => config.password.clone(),
        };
        let file = |key: &str, path: &std::path::Path| {
            std::fs::read(path).with_context(|| format!("redis.{key}: cannot read {}", path.display()))
        };
        let certificates = if config.use_tls {
            // Fails when a second server of this process has installed the provider already.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let client_tls = match (&config.tls_cert, &config.tls_key) {
                (Some(cert), Some(key)) => {
                    Some(ClientTlsConfig { client_cert: file("tls_cert", cert)?, client_key: file("tls_key", key)? })
                }
                _ => None,
            };
            let root_cert = config.tls_ca.as_ref().map(|path| file("tls_ca", path)).transpose()?;
            Some(TlsCertificates { client_tls, root_cert })
        } else {
            None
        };
        let keep_alive = TcpKeepalive::new().with_time(config.keep_alive.max(Duration::from_secs(1)));
        let handshake = if config.use_tls { config.tls_handshake_timeout } else { Duration::ZERO };
        let settings = Self {
            nodes: nodes(&config.address),
            sentinels: nodes(&config.sentinel_addresses),
            sentinel_master: config.sentinel_master.clone(),
            redis_login: login(&config.username, &password).set_db(i64::from(config.database)),
            sentinel_login: login(&config.sentinel_username, &config.sentinel_password),
            certificates,
            server_name: config.tls_server_name.clone(),
            tcp: TcpSettings::default().set_nodelay(true).set_keepalive(keep_alive),
            connect_timeout: config.connect_timeout + handshake,
            connect_attempts: config.connect_retry_attempts.saturating_add(1),
            command_timeout: config.read_timeout,
        };
        ensure!(!settings.nodes.is_empty() || !settings.sentinels.is_empty(), "redis.address: is empty");
        // Building a client finds faults of the certificates at the start, not at the first command.
        settings
            .client(settings.nodes.first().or(settings.sentinels.first()).unwrap_or(&("localhost".to_owned(), 1)))?;
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
        let address = match &self.certificates {
            None => ConnectionAddr::Tcp(host.clone(), *port),
            Some(_) => {
                let name = if self.server_name.is_empty() { host } else { &self.server_name };
                ConnectionAddr::TcpTls { host: name.clone(), port: *port, insecure: false, tls_params: None }
            }
        };
        Ok(address.into_connection_info()?.set_redis_settings(login.clone()).set_tcp_settings(self.tcp.clone()))
    }

    fn client_of(&self, info: ConnectionInfo) -> RedisResult<Client> {
        match &self.certificates {
            Some(certificates) => Client::build_with_tls(info, certificates.clone()),
            None => Client::open(info),
        }
    }

    pub fn client(&self, node: &RedisServer) -> RedisResult<Client> {
        self.client_of(self.info(node, &self.redis_login)?)
    }

    /// A client that speaks RESP3, in which published messages arrive on the same connection as answers.
    pub fn subscriber(&self, node: &RedisServer) -> RedisResult<Client> {
        self.client_of(self.info(node, &self.redis_login.clone().set_protocol(ProtocolVersion::RESP3))?)
    }

    pub fn sentinel(&self, node: &RedisServer) -> RedisResult<Client> {
        self.client_of(self.info(node, &self.sentinel_login)?)
    }

    pub fn cluster(&self) -> RedisResult<ClusterClient> {
        let nodes: Vec<ConnectionInfo> =
            self.nodes.iter().map(|node| self.info(node, &self.redis_login)).collect::<RedisResult<_>>()?;
        let mut builder = ClusterClient::builder(nodes)
            .connection_timeout(self.connect_timeout)
            .response_timeout(self.longest_time())
            .overall_response_timeout(Some(self.longest_time()))
            .tcp_settings(self.tcp.clone());
        if let Some(certificates) = &self.certificates {
            builder = builder.tls(TlsMode::Secure).certs(certificates.clone());
        }
        builder.build()
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

    pub fn connection_config(&self, node: &RedisServer) -> AsyncConnectionConfig {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(self.command_timeout));
        match self.server_name.is_empty() {
            true => config,
            // The client's address holds the name that the certificate is checked against; this finds the node itself.
            false => config.set_dns_resolver(RedisAddress(node.clone())),
        }
    }
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

/// Resolves every name to one node.
struct RedisAddress(RedisServer);

impl AsyncDNSResolver for RedisAddress {
    fn resolve<'a, 'b: 'a>(
        &'a self,
        _host: &'b str,
        _port: u16,
    ) -> RedisFuture<'a, Box<dyn Iterator<Item = SocketAddr> + Send + 'a>> {
        Box::pin(async {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((self.0.0.as_str(), self.0.1)).await?.collect();
            Ok(Box::new(found.into_iter()) as Box<dyn Iterator<Item = SocketAddr> + Send>)
        })
    }
}
