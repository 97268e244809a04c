use std::net::IpAddr;

use muster_api::osquery::Rows;
use sea_orm::Set;

use super::{DetailQuery, HostAnswers, Platforms};

/// The busiest interface first.
pub(super) const NETWORK_INTERFACE: DetailQuery = DetailQuery {
    name: "network_interface",
    sql: "SELECT a.address AS address, d.mac AS mac, a.interface AS interface FROM interface_addresses AS a \
          JOIN interface_details AS d ON d.interface = a.interface \
          WHERE length(d.mac) > 0 AND d.mac <> '00:00:00:00:00:00' \
          ORDER BY (CAST(d.ibytes AS INTEGER) + CAST(d.obytes AS INTEGER)) DESC",
    platforms: Platforms::All,
    fill,
};

/// Takes the first address others can reach the host at, IPv4 before IPv6.
fn fill(said: &mut HostAnswers, rows: Rows<'_>) {
    let mut best: Option<(IpAddr, String)> = None;
    for row in rows.iter() {
        let (mut address, mut mac, mut interface) = (None, String::new(), String::new());
        for (column, text) in row.columns() {
            match column.as_ref() {
                // Link-local ones carry their interface behind a percent sign.
                "address" => address = text.split('%').next().and_then(|text| text.trim().parse::<IpAddr>().ok()),
                "mac" => mac = text.into_owned(),
                "interface" => interface = text.into_owned(),
                _ => {}
            }
        }
        let Some(address) = address.filter(|address| is_reachable(*address)) else { continue };
        if interface.starts_with("docker") || interface.starts_with("veth") || interface.starts_with("br-") {
            continue;
        }
        if best.as_ref().is_none_or(|(chosen, _)| chosen.is_ipv6() && address.is_ipv4()) {
            best = Some((address, mac));
        }
    }
    if let Some((address, mac)) = best {
        said.host.primary_ip = Set(address.to_string());
        said.host.primary_mac = Set(mac.chars().take(64).collect());
    }
}

fn is_reachable(address: IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !is_link_local && !address.is_loopback() && !address.is_unspecified() && !address.is_multicast()
}
