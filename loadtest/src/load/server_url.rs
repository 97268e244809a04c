//! Addresses of servers.

use std::net::{SocketAddr, ToSocketAddrs as _};

/// The parts of a server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerUrl {
    pub is_https: bool,
    pub name: String,
    /// Value of the `Host` header.
    pub host: String,
    pub prefix: String,
    pub address: SocketAddr,
}

impl ServerUrl {
    /// Reads `http[s]://host[:port][/prefix]` and looks the host up.
    pub fn find(url: &str) -> Result<Self, String> {
        let bad = || format!("--server {url:?} is not http:// or https:// with a host and perhaps a port and a path");
        let (scheme, rest) = url.split_once("://").ok_or_else(bad)?;
        let is_https = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(bad()),
        };
        let (authority, prefix) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (name, port) = match authority.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, port.parse().map_err(|_| bad())?),
            _ => (authority, if is_https { 443 } else { 80 }),
        };
        let name = name.trim_start_matches('[').trim_end_matches(']');
        if name.is_empty() || name.contains(|letter: char| letter.is_whitespace() || "?#@".contains(letter)) {
            return Err(bad());
        }
        let found =
            (name, port).to_socket_addrs().map_err(|error| format!("--server: {name} is not found: {error}"))?;
        let all: Vec<_> = found.collect();
        // Servers listen on the older kind of address more often.
        let address = all.iter().find(|address| address.is_ipv4()).or(all.first()).copied();
        let address = address.ok_or_else(|| format!("--server: {name} has no address"))?;
        Ok(Self {
            is_https,
            host: authority.to_owned(),
            name: name.to_owned(),
            prefix: prefix.trim_end_matches('/').to_owned(),
            address,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_parts() {
        let server = ServerUrl::find("https://127.0.0.1:8443/muster/").unwrap();
        assert_eq!(
            (server.is_https, server.host.as_str(), server.prefix.as_str()),
            (true, "127.0.0.1:8443", "/muster")
        );
        assert_eq!(server.address, "127.0.0.1:8443".parse().unwrap());
        assert_eq!(ServerUrl::find("http://[::1]:80").unwrap().address, "[::1]:80".parse().unwrap());
        assert_eq!(ServerUrl::find("http://127.0.0.1").unwrap().address.port(), 80);
        for bad in ["127.0.0.1:1", "ftp://x", "https://", "https://h:port", "https://a b", "https://u@h"] {
            assert!(ServerUrl::find(bad).is_err(), "{bad}");
        }
    }
}
