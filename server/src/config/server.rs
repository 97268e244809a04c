use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::section::section;
use super::value::Bytes;

section! {
    /// How the server listens.
    "server" Server {
        /// Address and port to listen on; port 0 picks a free port.
        address: String = "0.0.0.0:8080".to_owned(),
        /// Address and port for operators: the REST API and /metrics are then served there and nowhere else, by workers of their own, and server.address serves agents alone. Empty: server.address serves both.
        operator_address: String = String::new(),
        /// Address and port for the debug API: /debug is then served there and nowhere else. Empty: it is served where operators are. Either way it is for admins alone.
        debug_address: String = String::new(),
        /// Serve TLS. Set to false only behind a proxy that terminates TLS.
        tls: bool = true,
        /// Certificate chain (PEM). Empty: create a self-signed certificate in server.tls_dir on first start.
        cert: Option<PathBuf> = None,
        /// Private key (PEM) of server.cert.
        key: Option<PathBuf> = None,
        /// Certificates of CAs (PEM): agents must show a client certificate that one of them has issued (--tls_client_cert, --tls_client_key of the agent), operators need none. Empty: agents need none. The file is read again with server.cert. Needs server.tls.
        agent_ca: Option<PathBuf> = None,
        /// Directory of the self-signed certificate.
        tls_dir: PathBuf = PathBuf::from("tls"),
        /// Additional names and IP addresses of the self-signed certificate, comma-separated; localhost is always included.
        tls_names: Vec<String> = Vec::new(),
        /// Refuse every change of operators and every live query, while hosts go on enrolling, asking and logging. For servers whose database is changed elsewhere, or from outside alone.
        read_only: bool = false,
        /// Rules of which tables and columns of agents may be read, by whom and how: a guard.yml, which the API can neither read nor change. Empty: the guard that comes with Muster, which only warns. The file is read again with server.cert.
        guard: Option<PathBuf> = None,
        /// Path prefix of all URLs of the server, such as /muster.
        url_prefix: String = String::new(),
        /// Addresses and networks of load balancers, comma-separated, such as 10.0.0.5,10.1.0.0/16; their connections are kept open, those of agents are closed. Their X-Forwarded-For tells where a login comes from.
        trusted_proxies: Vec<IpNet> = Vec::new(),
        /// Keep connections of agents open: auto (only from trusted proxies and over plain HTTP), always or never.
        agent_keepalive: String = "auto".to_owned(),
        /// Time after which an idle connection is closed.
        idle_timeout: Duration = Duration::from_secs(75),
        /// Number of worker threads; 0 means one per core.
        workers: usize = 0,
        /// Number of worker threads of server.operator_address.
        operator_workers: usize = 2,
        /// Number of threads for the work of operators' requests: lists, searches, changes and large bodies.
        operator_threads: usize = 4,
        /// Maximum requests of operators that wait for such a thread; further ones are answered with 503.
        operator_queue: usize = 64,
        /// Maximum open connections per worker; further connections wait.
        max_connections: usize = 25_000,
        /// Time to keep serving after a stop is requested, while GET /healthz and /readyz report that the server is stopping. Set it to the time that load balancers need to notice.
        drain: Duration = Duration::ZERO,
        /// Maximum time a stop may take, including server.drain.
        shutdown_timeout: Duration = Duration::from_secs(12),
        /// Maximum size of the body of a REST request.
        max_rest_body: Bytes = Bytes::mib(16),
        /// Maximum lists and exports of hosts that are being sent at one time; further ones are answered with 503.
        max_streams: usize = 32,
        /// Time after which a long answer is broken off when its reader takes nothing of it.
        stream_timeout: Duration = Duration::from_secs(60),
        /// Maximum lists, counts and searches of a user at one time; further ones are answered with 503.
        max_lists_per_user: u32 = 16,
        /// Maximum bytes of answers, other than lists of hosts, that wait in memory for a user's clients; further ones are answered with 503. One answer may be larger.
        max_list_bytes_per_user: Bytes = Bytes::mib(64),
    }
}

impl Server {
    pub(super) fn contradictions(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let named = [
            ("server.address", &self.address),
            ("server.operator_address", &self.operator_address),
            ("server.debug_address", &self.debug_address),
        ];
        let named = named.into_iter().filter(|(key, address)| *key == "server.address" || !address.is_empty());
        for (key, address) in named {
            if !is_address(address) {
                problems.push(format!("{key}: expects an address and a port such as 0.0.0.0:8080, not {address:?}"));
            }
        }
        if self.operator_address == self.address && !self.address.ends_with(":0") {
            problems.push(format!(
                "server.operator_address: is the same as server.address ({}); set another one, or leave it empty to serve \
                 agents and operators at one address",
                self.address
            ));
        }
        let others = [&self.address, &self.operator_address];
        if !self.debug_address.is_empty()
            && !self.debug_address.ends_with(":0")
            && others.contains(&&self.debug_address)
        {
            problems.push(format!(
                "server.debug_address: {} serves others already; set another one, or leave it empty to serve /debug where \
                 operators are served",
                self.debug_address
            ));
        }
        if self.stream_timeout.is_zero() {
            problems.push("server.stream_timeout: must be more than 0".to_owned());
        }
        if self.cert.is_some() != self.key.is_some() {
            problems.push("server.cert and server.key: set both or neither".to_owned());
        }
        if self.agent_ca.is_some() && !self.tls {
            problems.push(
                "server.agent_ca: needs server.tls, as certificates of agents are shown in the handshake; behind a proxy \
                 that ends TLS let the proxy check them"
                    .to_owned(),
            );
        }
        let is_prefix = self.url_prefix.starts_with('/') && !self.url_prefix.ends_with('/');
        if !self.url_prefix.is_empty() && (!is_prefix || self.url_prefix.contains(['{', '}', '%'])) {
            problems.push(format!(
                "server.url_prefix: expects a plain path with a leading and no trailing slash, such as /muster, not {:?}",
                self.url_prefix
            ));
        }
        if !["auto", "always", "never"].contains(&self.agent_keepalive.as_str()) {
            problems.push("server.agent_keepalive: expects auto, always or never".to_owned());
        }
        if !self.drain.is_zero() && self.drain + Duration::from_secs(2) > self.shutdown_timeout {
            problems.push("server.drain: must leave at least 2s of server.shutdown_timeout".to_owned());
        }
        problems
    }
}

/// Whether this is a host and a port.
fn is_address(text: &str) -> bool {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
    port.is_some_and(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        let at = |address: &str| Server { address: address.to_owned(), ..Server::default() }.contradictions().len();
        for good in ["0.0.0.0:8080", "[::]:8080", "localhost:0"] {
            assert_eq!(at(good), 0, "{good}");
        }
        for bad in ["127.0.0.1:99999", "localhost", ":8080", "localhost:http", "127.0.0.1:"] {
            assert_eq!(at(bad), 1, "{bad}");
        }
    }
    #[test]
    fn operators_may_have_an_address_of_their_own() {
        let at = |address: &str, operator_address: &str| {
            let [address, operator_address] = [address, operator_address].map(str::to_owned);
            Server { address, operator_address, ..Server::default() }.contradictions()
        };
        for (agents, operators) in
            [("0.0.0.0:8080", ""), ("0.0.0.0:8080", "127.0.0.1:9443"), ("127.0.0.1:0", "127.0.0.1:0")]
        {
            assert_eq!(at(agents, operators), Vec::<String>::new());
        }
        for (operators, reason) in
            [("0.0.0.0:8080", "is the same as server.address"), ("localhost", "expects an address")]
        {
            let problems = at("0.0.0.0:8080", operators);
            assert!(problems.len() == 1 && problems[0].starts_with("server.operator_address: "), "{problems:?}");
            assert!(problems[0].contains(reason), "{problems:?}");
        }
    }
}
