use std::sync::Arc;

use agent_compat::tables::{Context, Cost, Row};
use agent_compat::{Agent, SqliteHost, Tables};

/// A part of the SQL of the query that costs much, `preview_file_hashes`.
const HEAVY: &str = "/usr/bin/%%";

/// The host on which the heavy query stops the worker, and the one whose schedule stands still, by number.
const STOPPED: u32 = 1;
const STILL: u32 = 2;

/// The tables of a host on which one query costs much.
#[derive(Default)]
pub struct StoryTables {
    tables: SqliteHost,
    runs: u64,
    /// Of the last query, if it was the heavy one.
    heavy: Option<Cost>,
}

impl Tables for StoryTables {
    fn query(&mut self, sql: &str, context: &Context<'_>) -> Result<Vec<Row>, String> {
        self.runs += 1;
        self.heavy = sql.contains(HEAVY).then(|| cost(context.identity.seed, self.runs));
        self.tables.query(sql, context)
    }

    fn last_cost(&self) -> Cost {
        self.heavy.unwrap_or_else(|| self.tables.last_cost())
    }
}

/// Some seconds of CPU time, other ones on each host and with each run.
fn cost(seed: u64, runs: u64) -> Cost {
    let user_ms = 3_600 + seed % 1_900 + runs * 37 % 500;
    Cost { wall_ms: user_ms * 3 / 2, user_ms, system_ms: user_ms / 5, memory_bytes: 60_000_000 + user_ms * 900 }
}

/// Lets a host of a preview suffer what its number says, so that there is something to see: its worker is stopped by the heavy
/// query, its schedule stands still, or nothing.
pub fn suffer(agent: &mut Agent, number: u32) {
    match number {
        STOPPED => agent.set_killer(Some(Arc::new(|sql: &str| sql.contains(HEAVY)))),
        STILL => agent.set_stands_still(true),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use agent_compat::{Flags, Identity, Platform};

    use super::*;

    #[test]
    fn one_query_costs_much_and_others_do_not() {
        let identity = Identity::simulated(1, 0, Platform::Linux);
        let mut agent = Agent::new(identity, Flags::default(), Box::new(StoryTables::default()), 1_000);
        let scheduled = include_str!("heartbeat.yml");
        assert!(scheduled.contains(HEAVY), "the query is scheduled");
        let (rows, heavy) = agent.ask("SELECT path, sha256 FROM hash WHERE path LIKE '/usr/bin/%%'", 2_000);
        assert!(rows.is_ok() && heavy.user_ms + heavy.system_ms >= 4_000, "{heavy:?}");
        let (rows, light) = agent.ask("SELECT version FROM osquery_info", 3_000);
        assert!(rows.is_ok() && light.user_ms < 1_000, "{light:?}");
    }
}
