//! Interfaces, routes and names.

use super::{Facts, On, TableDef, row};
use crate::agent::{Platform, chance};

pub(super) const TABLES: &[TableDef] = &[
    TableDef {
        name: "interface_addresses",
        on: On::All,
        columns: "interface TEXT, address TEXT, mask TEXT, broadcast TEXT, point_to_point TEXT, type TEXT, friendly_name TEXT",
        moves: false,
        weight: 5,
        rows: |facts| {
            let name = interface(facts);
            vec![
                row![loopback(facts), "127.0.0.1", "255.0.0.0", "", "127.0.0.1", "unknown", ""],
                row![name, facts.ip, "255.255.255.0", "", "", "dhcp", name],
                row![name, "fe80::1c2d:3eff:fe4f:5061", "ffff:ffff:ffff:ffff::", "", "", "auto", name],
            ]
        },
    },
    TableDef {
        name: "interface_details",
        on: On::All,
        columns: "interface TEXT, mac TEXT, type INTEGER, mtu INTEGER, metric INTEGER, flags INTEGER, ipackets BIGINT, \
            opackets BIGINT, ibytes BIGINT, obytes BIGINT, ierrors BIGINT, oerrors BIGINT, idrops BIGINT, odrops BIGINT, \
            collisions BIGINT, last_change BIGINT, link_speed BIGINT",
        moves: true,
        weight: 5,
        rows: |facts| {
            let packets = facts.now_s.saturating_sub(facts.boot_s) * (20 + chance::below(facts.seed, 400, 200));
            let bytes = packets * 600;
            vec![row![
                interface(facts),
                facts.mac,
                1,
                1500,
                0,
                4163,
                packets,
                packets / 2,
                bytes,
                bytes / 3,
                0,
                0,
                0,
                0,
                0,
                facts.boot_s,
                1000
            ]]
        },
    },
    TableDef {
        name: "routes",
        on: On::All,
        columns: "destination TEXT, netmask INTEGER, gateway TEXT, source TEXT, flags INTEGER, interface TEXT, \
            mtu INTEGER, metric INTEGER, type TEXT, hopcount INTEGER",
        moves: false,
        weight: 6,
        rows: |facts| {
            vec![
                row!["0.0.0.0", 0, gateway(facts), "", 0, interface(facts), 0, 100, "gateway", 0],
                row![network(facts, 0), 24, "", facts.ip, 0, interface(facts), 0, 100, "local", 0],
            ]
        },
    },
    TableDef {
        name: "arp_cache",
        on: On::All,
        columns: "address TEXT, mac TEXT, interface TEXT, permanent TEXT",
        moves: true,
        weight: 5,
        rows: |facts| {
            let mut rows = vec![row![gateway(facts), "02:00:5e:00:01:01", interface(facts), "0"]];
            for at in 0..chance::below(facts.seed, facts.now_s / 900, 4) {
                let last = 2 + chance::below(facts.seed, facts.now_s / 900 + at, 250);
                rows.push(row![network(facts, last), format!("02:aa:00:00:00:{last:02x}"), interface(facts), "0"]);
            }
            rows
        },
    },
    TableDef {
        name: "dns_resolvers",
        on: On::Posix,
        columns: "id INTEGER, type TEXT, address TEXT, netmask TEXT, options BIGINT, pid_with_namespace INTEGER",
        moves: false,
        weight: 2,
        rows: |_| {
            vec![
                row![0, "nameserver", "10.0.0.53", "32", 705, 0],
                row![1, "nameserver", "10.0.1.53", "32", 705, 0],
                row![0, "search", "corp.example", "", 705, 0],
            ]
        },
    },
    TableDef {
        name: "etc_hosts",
        on: On::All,
        columns: "address TEXT, hostnames TEXT, pid_with_namespace INTEGER",
        moves: false,
        weight: 1,
        rows: |facts| {
            let mut rows = vec![row!["127.0.0.1", "localhost", 0], row!["127.0.1.1", facts.identity.hostname, 0]];
            if facts.has(410, 10) {
                rows.push(row!["10.0.9.9", "old-registry.corp.example", 0]);
            }
            rows
        },
    },
];

fn interface(facts: &Facts<'_>) -> &'static str {
    match facts.platform() {
        Platform::Linux => "ens3",
        Platform::Darwin => "en0",
        Platform::Windows => "Ethernet",
    }
}

fn loopback(facts: &Facts<'_>) -> &'static str {
    match facts.platform() {
        Platform::Linux => "lo",
        Platform::Darwin => "lo0",
        Platform::Windows => "Loopback Pseudo-Interface 1",
    }
}

fn gateway(facts: &Facts<'_>) -> String {
    network(facts, 1)
}

/// An address in the host's network.
fn network(facts: &Facts<'_>, last: u64) -> String {
    let prefix = facts.ip.rsplit_once('.').map_or("10.0.0", |(prefix, _)| prefix);
    format!("{prefix}.{last}")
}
