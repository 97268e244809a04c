use std::path::PathBuf;
use std::time::Duration;

use super::section::section;
use super::value::{Secret, without_password};

section! {
    /// State shared by several nodes; a single node does not need Redis.
    "redis" Redis {
        /// Redis server as host:port, or nodes of a cluster, comma-separated (clusters are detected). Empty (unlike Fleet, whose default is localhost:6379): run as a single node without Redis.
        address: Vec<String> = Vec::new(),
        /// User name (ACL).
        username: String = String::new(),
        /// Password.
        password: Secret = Secret::default(),
        /// File that contains the password.
        password_path: Option<PathBuf> = None,
        /// Number of the database; a cluster has only database 0.
        database: u32 = 0,
        /// Connect with TLS, also to Sentinels.
        use_tls: bool = false,
        /// Client certificate (PEM).
        tls_cert: Option<PathBuf> = None,
        /// Private key (PEM) of redis.tls_cert.
        tls_key: Option<PathBuf> = None,
        /// CA certificates (PEM) to trust, or the certificate of Redis itself. Empty: trust the CAs of the system.
        tls_ca: Option<PathBuf> = None,
        /// Name in the certificate of Redis, if it is not the host in the address; the same for all nodes of a cluster, and for Sentinels.
        tls_server_name: String = String::new(),
        /// Maximum time for the TLS handshake, in addition to redis.connect_timeout.
        tls_handshake_timeout: Duration = Duration::from_secs(10),
        /// Maximum time to connect; requests wait no longer than redis.read_timeout for a connection.
        connect_timeout: Duration = Duration::from_secs(5),
        /// Interval of keep-alive probes on idle connections.
        keep_alive: Duration = Duration::from_secs(10),
        /// Number of further attempts to connect before the connection counts as failed.
        connect_retry_attempts: u32 = 0,
        /// Maximum time to wait for a reply (Fleet: 10s); after three timeouts in a row, Redis is not asked for one second. Log batches wait 250 ms, whatever this is.
        read_timeout: Duration = Duration::from_secs(1),
        /// Sentinels as host:port, comma-separated; set instead of redis.address.
        sentinel_addresses: Vec<String> = Vec::new(),
        /// Name under which the Sentinels monitor Redis.
        sentinel_master: String = "mymaster".to_owned(),
        /// User name for the Sentinels, if they require one.
        sentinel_username: String = String::new(),
        /// Password for the Sentinels, if they require one.
        sentinel_password: Secret = Secret::default(),
        /// File that contains the password for the Sentinels.
        sentinel_password_path: Option<PathBuf> = None,
        /// No effect (accepted for Fleet): the timeout of reading includes sending.
        write_timeout: Duration = Duration::from_secs(1),
        /// No effect (accepted for Fleet): commands share four connections.
        max_open_conns: u32 = 0,
        /// No effect (accepted for Fleet): commands share four connections.
        max_idle_conns: u32 = 3,
        /// No effect (accepted for Fleet): connections are kept.
        conn_max_lifetime: Duration = Duration::ZERO,
        /// No effect (accepted for Fleet): connections are kept.
        idle_timeout: Duration = Duration::from_secs(240),
        /// No effect (accepted for Fleet): connections are shared, so nothing waits for a free one.
        conn_wait_timeout: Duration = Duration::ZERO,
        /// No effect (accepted for Fleet): redirections of a cluster are always followed.
        cluster_follow_redirections: bool = false,
        /// No effect (accepted for Fleet): replicas can lag behind and are never read.
        cluster_read_from_replica: bool = false,
        /// No effect (accepted for Fleet): results of live queries can be read repeatedly by REST.
        duplicate_results: bool = false,
    }
}

impl Redis {
    /// Whether Redis is configured.
    pub fn is_used(&self) -> bool {
        !self.address.is_empty() || !self.sentinel_addresses.is_empty()
    }

    pub(super) fn contradictions(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (key, list) in [("redis.address", &self.address), ("redis.sentinel_addresses", &self.sentinel_addresses)] {
            for address in list {
                if split_address(address).is_none() {
                    let shown = without_password(address);
                    problems.push(format!("{key}: {shown:?} is not a host and port such as redis.example.com:6379"));
                }
            }
        }
        if !self.address.is_empty() && !self.sentinel_addresses.is_empty() {
            problems.push("redis.address and redis.sentinel_addresses: set one of them, not both".to_owned());
        }
        if self.password_path.is_some() && !self.password.is_empty() {
            problems.push("redis.password and redis.password_path: set one of them, not both".to_owned());
        }
        if self.sentinel_password_path.is_some() && !self.sentinel_password.is_empty() {
            problems
                .push("redis.sentinel_password and redis.sentinel_password_path: set one of them, not both".to_owned());
        }
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            problems.push("redis.tls_cert and redis.tls_key: set both or neither".to_owned());
        }
        let names_tls = self.tls_cert.is_some() || self.tls_ca.is_some() || !self.tls_server_name.is_empty();
        if names_tls && !self.use_tls {
            problems.push("redis.tls_*: have no effect without redis.use_tls=true".to_owned());
        }
        if self.read_timeout.is_zero() || self.connect_timeout.is_zero() {
            problems.push("redis.read_timeout and redis.connect_timeout: must be longer than 0".to_owned());
        }
        problems
    }
}

/// Host and port of `host:port` or `[address]:port`.
pub fn split_address(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match inner {
        Some(host) => host,
        None if host.contains([':', '/']) => return None,
        None => host,
    };
    let port = port.parse().ok().filter(|port| *port > 0)?;
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_a_port() {
        assert_eq!(split_address("redis:6379"), Some(("redis".to_owned(), 6379)));
        assert_eq!(split_address("[::1]:6379"), Some(("::1".to_owned(), 6379)));
        for bad in ["redis", "redis:", ":6379", "redis:0", "redis://host:6379", "::1:6379", "redis:70000"] {
            assert_eq!(split_address(bad), None, "{bad}");
        }
    }

    #[test]
    fn contradictions_are_named() {
        let redis = Redis {
            address: vec!["one".to_owned()],
            sentinel_addresses: vec!["two:26379".to_owned()],
            password: Secret::new("hunter2"),
            password_path: Some(PathBuf::from("file")),
            sentinel_password: Secret::new("hunter2"),
            sentinel_password_path: Some(PathBuf::from("file")),
            tls_cert: Some(PathBuf::from("cert")),
            ..Redis::default()
        };
        let problems = redis.contradictions();
        assert_eq!(problems.len(), 6, "{problems:#?}");
        assert!(!format!("{redis:?}{problems:?}").contains("hunter2"));
        assert_eq!(Redis::default().contradictions(), [""; 0]);
    }
}
