//! The tables that describe the agent itself.

use super::{
    Process,
    config::ConfigState,
    flags::Flags,
    identity::{Identity, Platform},
    schedule::{QueryState, Schedule},
    version::Version,
};
use crate::tables::{OwnRows, OwnTable, Row};

pub(super) struct OwnView<'a> {
    pub identity: &'a Identity,
    pub version: Version,
    pub process: Process,
    pub config: &'a ConfigState,
    pub schedule: &'a Schedule,
    pub flags: &'a Flags,
}

impl OwnRows for OwnView<'_> {
    fn rows(&self, table: OwnTable) -> Vec<Row> {
        match table {
            OwnTable::Info => vec![info_row(self.identity, self.process, self.config)],
            OwnTable::Schedule => self.schedule_rows(),
            OwnTable::Packs => self.pack_rows(),
            OwnTable::Flags => {
                let listing = self.flags.listing().into_iter();
                listing
                    .map(|(name, kind, value)| {
                        own(&[
                            ("name", name),
                            ("type", kind),
                            ("description", ""),
                            ("default_value", ""),
                            ("value", &value),
                            ("shell_only", "0"),
                        ])
                    })
                    .collect()
            }
        }
    }
}

/// The row of `osquery_info`, in the order of that table.
pub(super) fn info_row(identity: &Identity, process: Process, config: &ConfigState) -> Row {
    own(&[
        ("pid", &process.pid.to_string()),
        ("uuid", &identity.uuid),
        ("instance_id", &identity.instance_id),
        ("version", &identity.osquery_version),
        ("config_hash", &config.hash),
        ("config_valid", if config.hash.is_empty() { "0" } else { "1" }),
        ("extensions", "inactive"),
        ("build_platform", identity.platform.word()),
        (
            "build_distro",
            match identity.platform {
                Platform::Linux => "centos7",
                Platform::Darwin => "10.15",
                Platform::Windows => "10",
            },
        ),
        ("start_time", &process.start_time_s.to_string()),
        ("watcher", &(process.pid.saturating_sub(1)).to_string()),
        ("platform_mask", identity.platform.mask()),
    ])
}

impl OwnView<'_> {
    fn schedule_rows(&self) -> Vec<Row> {
        let none = QueryState::default();
        self.schedule
            .active()
            .map(|(entry, query)| {
                let state = self.schedule.state(&entry.name).unwrap_or(&none);
                self.schedule_row(&entry.name, &query.sql, entry.interval_s, state)
            })
            .collect()
    }

    fn schedule_row(&self, name: &str, sql: &str, interval_s: u64, state: &QueryState) -> Row {
        let stats = &state.stats;
        let timed = self.version.at_least(5, 3, 0);
        let denylisted = if self.version.at_least(4, 4, 0) { "denylisted" } else { "blacklisted" };
        let mut row = own(&[("name", name), ("query", sql)]);
        let mut number = |name: &str, value: u64| row.push((name.to_owned(), value.to_string()));
        number("interval", interval_s);
        number("executions", stats.executions);
        number("last_executed", stats.last_executed_s);
        number(denylisted, u64::from(state.denied_until_s.is_some()));
        number("output_size", stats.output_bytes);
        number("wall_time", stats.wall_s);
        if timed {
            number("wall_time_ms", stats.total.wall_ms);
            number("last_wall_time_ms", stats.last.wall_ms);
        }
        number("user_time", stats.total.user_ms);
        if timed {
            number("last_user_time", stats.last.user_ms);
        }
        number("system_time", stats.total.system_ms);
        if timed {
            number("last_system_time", stats.last.system_ms);
        }
        number("average_memory", stats.average_memory_bytes);
        if timed {
            number("last_memory", stats.last.memory_bytes);
        }
        row
    }

    fn pack_rows(&self) -> Vec<Row> {
        let document = self.schedule.document();
        let states = self.schedule.packs.iter();
        document
            .packs
            .iter()
            .zip(states)
            .map(|(pack, state)| {
                own(&[
                    ("name", &pack.name),
                    ("platform", &pack.filter.platform),
                    ("version", &pack.filter.version),
                    ("shard", &pack.filter.shard.to_string()),
                    ("discovery_cache_hits", &state.discovery_cache_hits.to_string()),
                    ("discovery_executions", &state.discovery_runs.to_string()),
                    ("active", if state.active { "1" } else { "0" }),
                ])
            })
            .collect()
    }
}

fn own(columns: &[(&str, &str)]) -> Row {
    columns.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
