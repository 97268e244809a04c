use std::path::PathBuf;
use std::time::Duration;

use super::section::section;
use super::value::Bytes;

section! {
    /// Live queries.
    "live" Live {
        /// Directory of the results, one file per live query. Empty: the directory live beside the database.
        dir: Option<PathBuf> = None,
        /// Maximum size of the rows kept per host and live query; further rows are cut off and counted.
        max_answer: Bytes = Bytes::mib(8),
        /// Maximum size of the rows kept per live query; beyond it, only counts are kept.
        max_results: Bytes = Bytes::mib(1024),
        /// Maximum size of the results of all live queries together; those of finished ones are removed first, oldest first, then rows are cut off and counted.
        max_all_results: Bytes = Bytes::mib(4096),
        /// How long results are kept after a live query has ended.
        retention: Duration = Duration::from_secs(24 * 3600),
        /// Time hosts have to come online and answer, unless a live query sets another.
        deadline: Duration = Duration::from_secs(24 * 3600),
        /// Longest deadline that a live query may set.
        max_deadline: Duration = Duration::from_secs(7 * 24 * 3600),
        /// Maximum number of hosts a second that are given a live query, unless it sets another; 0 is no limit.
        rate: u32 = 0,
        /// Live queries with more targets than this are given to a few canaries first, and to the others when these have answered; 0 gives all live queries to all targets at one time.
        canaries_above: u64 = 1000,
        /// Number of hosts that are given such a live query first.
        canaries: u32 = 20,
        /// Longest time the other targets wait for the canaries.
        canary_wait: Duration = Duration::from_secs(180),
        /// Number of canaries whose agents are probably stopped by a live query, denylist it or take more CPU time than live.cpu_budget, at which it is stopped.
        canary_suspects: u64 = 2,
        /// CPU time that a live query may take on one host; 0 is no limit. One that takes more on three hosts, and on one in a hundred of those that report theirs, is stopped.
        cpu_budget: Duration = Duration::from_secs(60),
        /// CPU time that a live query may take on all hosts together; 0 is no limit.
        fleet_cpu_budget: Duration = Duration::ZERO,
        /// Label of the hosts that consent to have new queries tried on them, as fleetctl plan --try does. Empty: none do.
        try_label: String = String::new(),
        /// Maximum number of open live queries.
        max_open: usize = 500,
        /// Maximum number of clients that follow live queries, over all operators; each can hold some MiB of results in memory.
        max_followers: usize = 200,
        /// How long GET queries/run waits for online hosts.
        rest_period: Duration = Duration::from_secs(90),
        /// Memory for the results of all GET queries/run requests; further results are left out, and the response says so.
        max_rest_results: Bytes = Bytes::mib(64),
    }
}

/// Most canaries of a live query.
pub const MAX_CANARIES: u32 = 1000;

/// Highest rate of a live query, in hosts a second. No cluster asks more.
pub const MAX_LIVE_RATE: u32 = 100_000;

impl Live {
    pub(super) fn contradictions(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.rate > MAX_LIVE_RATE {
            found.push(format!("live.rate: must be {MAX_LIVE_RATE} at most; 0 is no limit"));
        }
        if !(1..=MAX_CANARIES).contains(&self.canaries) {
            found.push(format!("live.canaries: must be 1 to {MAX_CANARIES}; live.canaries_above: 0 turns them off"));
        }
        if self.canary_wait.is_zero() {
            found.push("live.canary_wait: must be longer than 0; live.canaries_above: 0 turns canaries off".to_owned());
        }
        if self.canary_suspects == 0 {
            found.push("live.canary_suspects: must be at least 1".to_owned());
        }
        found
    }
}
