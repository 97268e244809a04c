use std::path::PathBuf;
use std::time::Duration;

use super::section::section;
use super::value::Bytes;

section! {
    /// Where and how the server listens.
    "server" Server {
        /// Address and port to listen on; port 0 takes a free one.
        address: String = "0.0.0.0:8080".to_owned(),
        /// Serve TLS. Set to false only behind a proxy that terminates it.
        tls: bool = true,
        /// Certificate chain (PEM). Empty: a self-signed one is made in server.tls_dir on first start.
        cert: Option<PathBuf> = None,
        /// Private key (PEM) of server.cert.
        key: Option<PathBuf> = None,
        /// Folder of the self-signed certificate.
        tls_dir: PathBuf = PathBuf::from("tls"),
        /// More names and addresses the self-signed certificate is for, comma separated; localhost is always in it.
        tls_names: Vec<String> = Vec::new(),
        /// Path put before every address the server answers, such as /muster.
        url_prefix: String = String::new(),
        /// Addresses of load balancers, comma separated: their connections are kept open, those of agents are not.
        trusted_proxies: Vec<String> = Vec::new(),
        /// Keep agents' connections open: auto keeps those of trusted proxies and of plain HTTP, always and never do as they say.
        agent_keepalive: String = "auto".to_owned(),
        /// Close a connection that is idle for so long.
        idle_timeout: Duration = Duration::from_secs(75),
        /// Worker threads; 0 means one per core.
        workers: usize = 0,
        /// Open connections per worker before new ones wait.
        max_connections: usize = 25_000,
        /// On stop, how long to go on as before while GET /healthz and /readyz say that the server is stopping: as long as load balancers need to notice.
        drain: Duration = Duration::ZERO,
        /// On stop, how long all of it may take, server.drain included.
        shutdown_timeout: Duration = Duration::from_secs(12),
        /// Largest body of a REST request.
        max_rest_body: Bytes = Bytes::mib(16),
    }
}

impl Server {
    pub(super) fn contradictions(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.cert.is_some() != self.key.is_some() {
            problems.push("server.cert and server.key belong together: set both or neither".to_owned());
        }
        if !self.url_prefix.is_empty() && (!self.url_prefix.starts_with('/') || self.url_prefix.ends_with('/')) {
            problems.push(format!(
                "server.url_prefix: expects a path with a leading and no trailing slash, such as /muster, not {:?}",
                self.url_prefix
            ));
        }
        if !["auto", "always", "never"].contains(&self.agent_keepalive.as_str()) {
            problems.push("server.agent_keepalive: expects auto, always or never".to_owned());
        }
        if !self.drain.is_zero() && self.drain + Duration::from_secs(2) > self.shutdown_timeout {
            problems.push("server.drain: must leave at least 2s of server.shutdown_timeout".to_owned());
        }
        for proxy in &self.trusted_proxies {
            if proxy.parse::<std::net::IpAddr>().is_err() {
                problems.push(format!("server.trusted_proxies: {proxy:?} is not an IP address"));
            }
        }
        problems
    }
}
