use muster_api::osquery::{HostDetails, Rows};
use sea_orm::Set;

use super::{DetailQuery, HostAnswers, Platforms};
use crate::fleet::hosts::set_details;

pub(super) const OSQUERY_INFO: DetailQuery = DetailQuery {
    name: "osquery_info",
    sql: "SELECT * FROM osquery_info LIMIT 1",
    platforms: Platforms::All,
    fill: |said, rows| {
        set_details(&mut said.host, &HostDetails { osquery_info: first_row(rows), ..HostDetails::default() });
    },
};

pub(super) const SYSTEM_INFO: DetailQuery = DetailQuery {
    name: "system_info",
    sql: "SELECT * FROM system_info LIMIT 1",
    platforms: Platforms::All,
    fill: |said, rows| {
        let mut system_info = first_row(rows);
        // The agent's own UUID is the better one: known placeholders are replaced there.
        system_info.remove("uuid");
        set_details(&mut said.host, &HostDetails { system_info, ..HostDetails::default() });
    },
};

pub(super) const OS_VERSION: DetailQuery = DetailQuery {
    name: "os_version",
    sql: "SELECT * FROM os_version LIMIT 1",
    platforms: Platforms::NotWindows,
    fill: fill_os_version,
};

pub(super) const OS_VERSION_WINDOWS: DetailQuery = DetailQuery {
    name: "os_version_windows",
    sql: "SELECT * FROM os_version LIMIT 1",
    platforms: Platforms::Windows,
    fill: fill_os_version,
};

fn fill_os_version(said: &mut HostAnswers, rows: Rows<'_>) {
    set_details(&mut said.host, &HostDetails { os_version: first_row(rows), ..HostDetails::default() });
}

pub(super) const OSQUERY_FLAGS: DetailQuery = DetailQuery {
    name: "osquery_flags",
    sql: "SELECT name, value FROM osquery_flags WHERE name IN \
          ('distributed_interval', 'logger_tls_period', 'config_refresh', 'config_tls_refresh')",
    platforms: Platforms::All,
    fill: |said, rows| {
        for row in rows.iter() {
            let (mut flag, mut value) = (String::new(), None);
            for (column, text) in row.columns() {
                match column.as_ref() {
                    "name" => flag = text.into_owned(),
                    "value" => value = text.trim().parse::<i64>().ok().filter(|seconds| *seconds > 0),
                    _ => {}
                }
            }
            match (flag.as_str(), value) {
                ("distributed_interval", Some(seconds)) => said.host.distributed_interval = Set(seconds),
                ("logger_tls_period", Some(seconds)) => said.host.logger_tls_period = Set(seconds),
                ("config_refresh" | "config_tls_refresh", Some(seconds)) => said.host.config_refresh = Set(seconds),
                _ => {}
            }
        }
    },
};

pub(super) const UPTIME: DetailQuery = DetailQuery {
    name: "uptime",
    sql: "SELECT total_seconds FROM uptime LIMIT 1",
    platforms: Platforms::All,
    fill: |said, rows| {
        if let Some(seconds) = first_row(rows).get("total_seconds").and_then(|text| text.trim().parse().ok()) {
            said.host.uptime_secs = Set(seconds);
        }
    },
};

/// The columns of the first row by name.
pub(super) fn first_row(rows: Rows<'_>) -> std::collections::BTreeMap<String, String> {
    let first = rows.iter().next();
    first
        .map(|row| row.columns().map(|(column, text)| (column.into_owned(), text.into_owned())).collect())
        .unwrap_or_default()
}
