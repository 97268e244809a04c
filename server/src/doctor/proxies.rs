//! Proxies in front of the server: whom it believes, and what passes in plain text.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::Diagnosis;
use crate::config::Config;

const SUBJECT: &str = "proxies";

/// Shortest prefixes of networks that are still believed to hold proxies alone.
const SHORTEST_V4: u8 = 8;
const SHORTEST_V6: u8 = 32;

pub(super) fn check(config: &Config) -> Vec<Diagnosis> {
    let server = &config.server;
    let mut diagnoses: Vec<Diagnosis> = server.trusted_proxies.iter().filter_map(too_wide).collect();
    let has_proxies = !server.trusted_proxies.is_empty();
    if !server.tls && !has_proxies && !is_loopback(&server.address) {
        diagnoses.push(Diagnosis::warn(
            SUBJECT,
            format!("server.tls is off, server.trusted_proxies is empty, and {} is no loopback address", server.address),
            "name the proxy that ends TLS in server.trusted_proxies, or set server.tls=true: node keys and passwords pass in plain text",
        ));
    }
    match server.agent_keepalive.as_str() {
        "never" if has_proxies => diagnoses.push(Diagnosis::warn(
            SUBJECT,
            "server.agent_keepalive=never closes the connections of proxies, too",
            "set it to auto, so that proxies do not connect anew for each request",
        )),
        "always" if !has_proxies && server.tls => diagnoses.push(Diagnosis::warn(
            SUBJECT,
            "server.agent_keepalive=always keeps connections of agents open, which never use one again",
            "set it to auto, and name proxies in server.trusted_proxies",
        )),
        _ => {}
    }
    if diagnoses.is_empty() {
        let count = server.trusted_proxies.len();
        diagnoses.push(Diagnosis::ok(
            SUBJECT,
            if has_proxies {
                format!("{count} addresses or networks are trusted")
            } else {
                "none is trusted".to_owned()
            },
        ));
    }
    diagnoses
}

fn too_wide(network: &IpNet) -> Option<Diagnosis> {
    let shortest = if matches!(network, IpNet::V4(_)) { SHORTEST_V4 } else { SHORTEST_V6 };
    let remedy = "name the addresses or the network of the proxies alone: whoever is within can make up the address that logins \
                  count by";
    if network.prefix_len() == 0 {
        Some(Diagnosis::fail(SUBJECT, format!("server.trusted_proxies: {network} is everybody"), remedy))
    } else if network.prefix_len() < shortest {
        Some(Diagnosis::warn(SUBJECT, format!("server.trusted_proxies: {network} is very wide"), remedy))
    } else {
        None
    }
}

/// Whether only programs on this machine reach the address.
pub(super) fn is_loopback(address: &str) -> bool {
    match address.parse::<SocketAddr>() {
        Ok(socket) => socket.ip().to_canonical().is_loopback(),
        Err(_) => {
            let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
            host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Severity, worst};
    use super::*;

    fn severity(address: &str, tls: bool, proxies: &[&str], keepalive: &str) -> Severity {
        let mut config = Config::default();
        config.server.address = address.to_owned();
        config.server.tls = tls;
        config.server.trusted_proxies = proxies.iter().map(|network| network.parse().unwrap()).collect();
        config.server.agent_keepalive = keepalive.to_owned();
        worst(&check(&config))
    }

    #[test]
    fn everybody_is_no_proxy_and_plain_text_needs_one() {
        let everywhere = "0.0.0.0:8080";
        assert_eq!(severity(everywhere, true, &[], "auto"), Severity::Ok);
        assert_eq!(severity(everywhere, false, &["10.0.0.0/8"], "auto"), Severity::Ok);
        assert_eq!(severity("127.0.0.1:8080", false, &[], "auto"), Severity::Ok);
        assert_eq!(severity("localhost:8080", false, &[], "auto"), Severity::Ok);
        assert_eq!(severity(everywhere, false, &[], "auto"), Severity::Warn);
        assert_eq!(severity(everywhere, true, &["10.0.0.5/32"], "never"), Severity::Warn);
        assert_eq!(severity(everywhere, true, &[], "always"), Severity::Warn);
        assert_eq!(severity(everywhere, true, &["64.0.0.0/4"], "auto"), Severity::Warn);
        assert_eq!(severity(everywhere, true, &["10.0.0.5/32", "0.0.0.0/0"], "auto"), Severity::Fail);
        assert_eq!(severity(everywhere, true, &["::/0"], "auto"), Severity::Fail);
    }
}
