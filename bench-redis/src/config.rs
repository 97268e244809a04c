use std::path::PathBuf;
use std::time::Duration;

/// The keys of the server's configuration that its connections read, with its defaults.
#[derive(Debug)]
pub struct Redis {
    pub address: Vec<String>,
    pub username: String,
    pub password: Secret,
    pub password_path: Option<PathBuf>,
    pub database: u32,
    pub use_tls: bool,
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub tls_ca: Option<PathBuf>,
    pub tls_server_name: String,
    pub tls_handshake_timeout: Duration,
    pub connect_timeout: Duration,
    pub keep_alive: Duration,
    pub connect_retry_attempts: u32,
    pub read_timeout: Duration,
    pub sentinel_addresses: Vec<String>,
    pub sentinel_master: String,
    pub sentinel_username: String,
    pub sentinel_password: Secret,
    pub sentinel_password_path: Option<PathBuf>,
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            address: Vec::new(),
            username: String::new(),
            password: Secret,
            password_path: None,
            database: 0,
            use_tls: false,
            tls_cert: None,
            tls_key: None,
            tls_ca: None,
            tls_server_name: String::new(),
            tls_handshake_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            keep_alive: Duration::from_secs(10),
            connect_retry_attempts: 0,
            read_timeout: Duration::from_secs(1),
            sentinel_addresses: Vec::new(),
            sentinel_master: "mymaster".to_owned(),
            sentinel_username: String::new(),
            sentinel_password: Secret,
            sentinel_password_path: None,
        }
    }
}

/// A password; the processes measured here have none.
#[derive(Debug, Clone)]
pub struct Secret;

impl Secret {
    pub fn new(_: &str) -> Self {
        Self
    }

    pub fn is_empty(&self) -> bool {
        true
    }

    pub fn reveal(&self) -> &str {
        ""
    }
}

pub fn split_address(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    Some((host.to_owned(), port.parse().ok()?))
}
