use std::path::PathBuf;
use std::time::Duration;

use super::section::section;
use super::value::Bytes;

section! {
    /// Live queries.
    "live" Live {
        /// Folder of the answers, one file per live query. Empty: a folder named live beside the database.
        dir: Option<PathBuf> = None,
        /// Bytes of rows kept of one host's answer; more are cut off and counted.
        max_answer: Bytes = Bytes::mib(8),
        /// Bytes of rows kept of one live query; after that only counts are kept.
        max_results: Bytes = Bytes::mib(1024),
        /// Answers are kept for so long after a live query has ended.
        retention: Duration = Duration::from_secs(24 * 3600),
        /// How long hosts may take to come online and answer, unless a live query says otherwise.
        deadline: Duration = Duration::from_secs(24 * 3600),
        /// The longest deadline a live query may ask for.
        max_deadline: Duration = Duration::from_secs(7 * 24 * 3600),
        /// Live queries open at one time.
        max_open: usize = 500,
        /// Live queries followed at one time, over all operators; each follower may hold some MiB of answers.
        max_followers: usize = 200,
        /// How long GET queries/run waits for hosts that are online.
        rest_period: Duration = Duration::from_secs(90),
        /// Bytes of answers that all GET queries/run together hold in memory; more are left out, which is said.
        max_rest_results: Bytes = Bytes::mib(64),
    }
}
