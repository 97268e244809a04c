//! Contents of the tables of a simulated host.

mod empty;
pub(super) mod functions;
mod network;
mod people;
mod processes;
mod protection;
mod services;
mod software;
mod storage;
mod system;

use crate::agent::{Identity, Platform, Version, chance};

use super::OwnTable;

/// Values of columns, row by row.
type Rows = Vec<Vec<String>>;

/// The platforms that have a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On {
    All,
    Posix,
    Linux,
    Darwin,
    Windows,
}

impl On {
    pub(super) fn includes(self, platform: Platform) -> bool {
        match self {
            Self::All => true,
            Self::Posix => platform.is_posix(),
            Self::Linux => platform == Platform::Linux,
            Self::Darwin => platform == Platform::Darwin,
            Self::Windows => platform == Platform::Windows,
        }
    }
}

/// One table.
pub(super) struct TableDef {
    pub name: &'static str,
    pub on: On,
    /// Column definitions.
    pub columns: &'static str,
    /// Whether its rows depend on the time.
    pub moves: bool,
    /// About how long reading it takes, in milliseconds.
    pub weight: u64,
    /// As many values per row as there are columns.
    pub rows: fn(&Facts<'_>) -> Rows,
}

/// Input from which rows are made.
pub(super) struct Facts<'a> {
    pub identity: &'a Identity,
    pub seed: u64,
    pub now_s: u64,
    pub boot_s: u64,
    pub ip: String,
    pub mac: String,
    pub login: &'static str,
    /// Process id and start time of the agent.
    pub agent: (u64, u64),
}

impl<'a> Facts<'a> {
    pub(super) fn of(identity: &'a Identity, now_s: u64, agent: (u64, u64)) -> Self {
        let seed = identity.seed;
        let octet = |salt| chance::below(seed, salt, 254) + 1;
        let mac: Vec<String> = (40..45).map(|salt| format!("{:02x}", chance::below(seed, salt, 256))).collect();
        // Hosts are rebooted every 40 days, each on its own day.
        let period_s = 40 * 86_400;
        let uptime_s = (now_s + chance::below(seed, 46, period_s)) % period_s;
        Self {
            identity,
            seed,
            now_s,
            boot_s: now_s.saturating_sub(uptime_s),
            ip: format!("10.{}.{}.{}", octet(30) % 16, octet(31), octet(32)),
            mac: format!("02:{}", mac.join(":")),
            login: chance::pick(seed, 47, &["amara", "bjorn", "chidi", "dana", "emre", "freya", "goran", "hana"]),
            agent,
        }
    }

    pub(super) fn platform(&self) -> Platform {
        self.identity.platform
    }

    /// Whether this host has an optional trait of which `percent` of hosts have it.
    pub(super) fn has(&self, salt: u64, percent: u64) -> bool {
        chance::below(self.seed, salt, 100) < percent
    }
}

/// A row from anything that can be displayed.
macro_rules! row {
    ($($value:expr),* $(,)?) => { vec![$($value.to_string()),*] };
}
pub(super) use row;

/// All tables of all platforms, except those about the agent.
pub(super) fn tables() -> impl Iterator<Item = &'static TableDef> + Clone {
    [
        system::TABLES,
        people::TABLES,
        processes::TABLES,
        protection::TABLES,
        services::TABLES,
        storage::TABLES,
        network::TABLES,
        software::TABLES,
        empty::TABLES,
    ]
    .into_iter()
    .flatten()
}

/// A table that the configuration of some hosts makes of a file (ATC).
const ATC_TABLE: &str = "chrome_browser_history";

/// The share of hosts that have [`ATC_TABLE`], in percent.
const ATC_PERCENT: u64 = 30;

/// Whether a host has a table.
pub(super) fn has_table(table: &TableDef, facts: &Facts<'_>) -> bool {
    table.on.includes(facts.platform()) && (table.name != ATC_TABLE || facts.has(90, ATC_PERCENT))
}

/// Column definitions of a table about the agent.
pub(super) fn own_columns(table: OwnTable, version: Version) -> String {
    match table {
        OwnTable::Info => "pid INTEGER, uuid TEXT, instance_id TEXT, version TEXT, config_hash TEXT, \
            config_valid INTEGER, extensions TEXT, build_platform TEXT, build_distro TEXT, start_time INTEGER, \
            watcher INTEGER, platform_mask INTEGER"
            .to_owned(),
        OwnTable::Packs => "name TEXT, platform TEXT, version TEXT, shard INTEGER, discovery_cache_hits INTEGER, \
            discovery_executions INTEGER, active INTEGER"
            .to_owned(),
        OwnTable::Flags => {
            "name TEXT, type TEXT, description TEXT, default_value TEXT, value TEXT, shell_only INTEGER".to_owned()
        }
        OwnTable::Schedule => {
            let timed = version.at_least(5, 3, 0);
            let denylisted = if version.at_least(4, 4, 0) { "denylisted" } else { "blacklisted" };
            let mut columns = vec!["interval", "executions", "last_executed", denylisted, "output_size", "wall_time"];
            if timed {
                columns.extend(["wall_time_ms", "last_wall_time_ms", "user_time", "last_user_time", "system_time"]);
                columns.extend(["last_system_time", "average_memory", "last_memory"]);
            } else {
                columns.extend(["user_time", "system_time", "average_memory"]);
            }
            format!("name TEXT, query TEXT, {} BIGINT", columns.join(" BIGINT, "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_value_for_every_column() {
        for platform in [Platform::Linux, Platform::Darwin, Platform::Windows] {
            for index in 0..4 {
                let identity = Identity::simulated(1, index, platform);
                let facts = Facts::of(&identity, 1_795_190_018, (812, 1_795_190_000));
                for table in tables().filter(|table| table.on.includes(platform)) {
                    let columns = table.columns.split(',').count();
                    for row in (table.rows)(&facts) {
                        assert_eq!(row.len(), columns, "{} on {platform:?}", table.name);
                    }
                }
            }
        }
    }

    #[test]
    fn names_are_unique_per_platform() {
        for platform in [Platform::Linux, Platform::Darwin, Platform::Windows] {
            let mut seen = std::collections::BTreeSet::new();
            for table in tables().filter(|table| table.on.includes(platform)) {
                assert!(seen.insert(table.name), "{} twice on {platform:?}", table.name);
            }
        }
    }
}
