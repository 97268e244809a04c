//! What does not come along.

use super::{FleetSource, Result};

/// Most rows that are counted of a table: some have millions.
const COUNTED: i64 = 1_000;

/// A table of Fleet that is left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftTable {
    /// What its rows are, in the plural.
    pub what: &'static str,
    pub table: &'static str,
    pub why: &'static str,
}

/// Tables whose rows somebody may miss.
const LEFT: [LeftTable; 13] = [
    LeftTable { what: "policies", table: "policies", why: "there are no policies here" },
    LeftTable {
        what: "teams",
        table: "teams",
        why: "there are no teams here; their secrets come, their agent options, schedules, queries and roles do not",
    },
    LeftTable { what: "invites", table: "invites", why: "no mail is sent from here; create the users" },
    LeftTable {
        what: "sessions",
        table: "sessions",
        why: "everybody signs in again, and programs need a new API token",
    },
    LeftTable { what: "carves", table: "carve_metadata", why: "download them while Fleet is there" },
    LeftTable { what: "software titles", table: "software", why: "there is no software inventory here" },
    LeftTable { what: "users of hosts", table: "host_users", why: "there is nothing like it here" },
    LeftTable {
        what: "results of additional queries",
        table: "host_additional",
        why: "which details hosts are asked for is fixed here",
    },
    LeftTable { what: "results in reports", table: "query_results", why: "results go to the log alone here" },
    LeftTable {
        what: "statistics of scheduled queries",
        table: "scheduled_query_stats",
        why: "hosts tell the cost of their queries anew, within an hour",
    },
    LeftTable { what: "activities", table: "activities", why: "history stays with Fleet's database" },
    LeftTable {
        what: "devices under management",
        table: "nano_enrollments",
        why: "there is no device management here",
    },
    LeftTable { what: "scripts", table: "scripts", why: "there are no scripts here" },
];

impl FleetSource {
    /// What is there and does not come along, each with the number of its rows; `None` if there are more than a thousand.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn left_behind(&self) -> Result<Vec<(LeftTable, Option<i64>)>> {
        let mut found = Vec::new();
        for left in LEFT.into_iter().filter(|left| self.tables.contains_key(left.table)) {
            let some = format!("SELECT 1 FROM `{}` LIMIT {}", left.table, COUNTED + 1);
            match self.number(&format!("SELECT COUNT(*) FROM ({some}) AS some_rows")).await? {
                0 => {}
                rows => found.push((left, (rows <= COUNTED).then_some(rows))),
            }
        }
        Ok(found)
    }
}
