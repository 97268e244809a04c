use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::HttpRequest;
use actix_web::http::header::X_FORWARDED_FOR;
use ipnet::IpNet;

use crate::config;

/// The load balancers that are believed when they say for whom they forward.
#[derive(Debug, Clone)]
pub(crate) struct Proxies {
    trusted: Arc<[IpNet]>,
    has_warned: Arc<AtomicBool>,
}

impl Proxies {
    pub(crate) fn of(config: &config::Server) -> Self {
        Self { trusted: config.trusted_proxies.as_slice().into(), has_warned: Arc::default() }
    }

    /// Whether this is one of them, however its address is written.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|network| network.contains(&address))
    }

    /// Where a request comes from: the last address before those of the load balancers. What stands before it in the header,
    /// and the header of everybody else, can be made up.
    pub(crate) fn client(&self, request: &HttpRequest) -> Option<IpAddr> {
        let connected = request.peer_addr().map(|address| address.ip().to_canonical());
        if !connected.is_some_and(|address| self.contains(address)) {
            if request.headers().contains_key(X_FORWARDED_FOR) {
                self.warn(connected);
            }
            return connected;
        }
        let headers = request.headers().get_all(X_FORWARDED_FOR).filter_map(|value| value.to_str().ok());
        let forwarded: Vec<&str> = headers.flat_map(|value| value.split(',')).map(str::trim).collect();
        let addresses = forwarded.iter().rev().map_while(|text| address(text));
        let client = addresses.map(|address| address.to_canonical()).find(|address| !self.contains(*address));
        client.or(connected)
    }

    /// Says once that somebody forwards who is not named. It may be a load balancer, or a client that makes the header up.
    fn warn(&self, connected: Option<IpAddr>) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                address = connected.map(tracing::field::display),
                "a request came with X-Forwarded-For from an address that server.trusted_proxies does not name; if that is a \
                 load balancer, name it there, or everybody behind it counts as one client"
            );
        }
    }
}

/// An address with or without a port, as load balancers write it.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn client(connected: &str, forwarded: &[&str]) -> Option<IpAddr> {
        let config = config::Server {
            trusted_proxies: ["10.0.0.0/30", "2001:db8:1::/64"].map(|network| network.parse().unwrap()).to_vec(),
            ..config::Server::default()
        };
        let mut request = TestRequest::default().peer_addr(format!("{connected}:1").parse().unwrap());
        for value in forwarded {
            request = request.append_header((X_FORWARDED_FOR, *value));
        }
        Proxies::of(&config).client(&request.to_http_request())
    }

    #[test]
    fn load_balancers_say_for_whom_they_forward_and_nobody_else_does() {
        for (connected, forwarded, expected) in [
            ("192.0.2.1", vec![], "192.0.2.1"),
            ("192.0.2.1", vec!["192.0.2.9"], "192.0.2.1"),
            ("10.0.0.1", vec![], "10.0.0.1"),
            ("10.0.0.1", vec!["192.0.2.9"], "192.0.2.9"),
            ("10.0.0.1", vec!["198.51.100.7, 192.0.2.9"], "192.0.2.9"),
            ("10.0.0.1", vec!["198.51.100.7", "192.0.2.9, 10.0.0.2"], "192.0.2.9"),
            ("10.0.0.1", vec!["192.0.2.9, made up"], "10.0.0.1"),
            ("10.0.0.3", vec!["192.0.2.9"], "192.0.2.9"),
            ("10.0.0.4", vec!["192.0.2.9"], "10.0.0.4"),
            ("[2001:db8:1::7]", vec!["192.0.2.9"], "192.0.2.9"),
            ("[2001:db8:2::7]", vec!["192.0.2.9"], "2001:db8:2::7"),
            // As a server that listens on [::] sees them.
            ("[::ffff:10.0.0.2]", vec!["192.0.2.9"], "192.0.2.9"),
            ("[::ffff:192.0.2.1]", vec!["192.0.2.9"], "192.0.2.1"),
            ("10.0.0.1", vec!["198.51.100.7, 192.0.2.9:51234"], "192.0.2.9"),
            ("10.0.0.1", vec!["[2001:db8::9]:51234"], "2001:db8::9"),
            ("10.0.0.1", vec!["[2001:db8::9]"], "2001:db8::9"),
        ] {
            assert_eq!(client(connected, &forwarded), Some(expected.parse().unwrap()), "{connected} {forwarded:?}");
        }
    }
}
