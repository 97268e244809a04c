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

/// Highest rate of a live query, in hosts a second. No cluster asks more.
pub const MAX_LIVE_RATE: u32 = 100_000;

impl Live {
    pub(super) fn contradictions(&self) -> Vec<String> {
        if self.rate <= MAX_LIVE_RATE {
            return Vec::new();
        }
        vec![format!("live.rate: must be {MAX_LIVE_RATE} at most; 0 is no limit")]
    }
}
