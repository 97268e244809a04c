use std::path::PathBuf;
use std::time::Duration;

use super::section::section;
use super::value::Bytes;

section! {
    /// Files that agents send (carves).
    "carves" Carves {
        /// Directory of the contents, one folder per carve; all nodes must share it, and no other installation may use it. Empty: the directory carves beside the SQLite file; with MySQL, carves are then refused unless s3.bucket is set.
        dir: Option<PathBuf> = None,
        /// Maximum size of a carve; larger ones are refused when they begin.
        max_size: Bytes = Bytes::mib(1024),
        /// Maximum size of what is kept of one host; carves count in full from their beginning until they expire.
        max_host_bytes: Bytes = Bytes::mib(2048),
        /// Maximum size of what is kept of all hosts together, counted in the same way.
        max_total_bytes: Bytes = Bytes::mib(10 * 1024),
        /// Maximum size of a block, which agents choose with --carver_block_size.
        max_block_size: Bytes = Bytes::mib(16),
        /// Maximum number of blocks of a carve.
        max_blocks: u32 = 65_536,
        /// Maximum number of carves that are received at one time, of all hosts together; 0 refuses every carve.
        max_receiving: u32 = 100,
        /// Maximum number of carves that are received from one host at one time.
        max_host_receiving: u32 = 4,
        /// Time without a block after which a carve has failed.
        stalled_after: Duration = Duration::from_secs(15 * 60),
        /// Time after its beginning at which the contents of a carve are removed.
        expiry: Duration = Duration::from_secs(24 * 3600),
        /// Time that the list shows a carve after it has expired.
        retention: Duration = Duration::from_secs(7 * 24 * 3600),
    }
}

/// Largest `max_block_size`: a block is in memory while it is kept.
const LARGEST_BLOCK: Bytes = Bytes::mib(256);

/// Shortest time-outs: agents send a block again within seconds.
const LEAST_TIME: Duration = Duration::from_secs(60);

impl Carves {
    pub(super) fn contradictions(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.max_size > self.max_host_bytes || self.max_host_bytes > self.max_total_bytes {
            problems.push(
                "carves.max_size: must be carves.max_host_bytes at most, and that carves.max_total_bytes at most"
                    .to_owned(),
            );
        }
        if self.max_block_size.0 == 0 || self.max_block_size > LARGEST_BLOCK {
            problems.push("carves.max_block_size: must be between 1 and 256MiB".to_owned());
        }
        for (key, time) in [("stalled_after", self.stalled_after), ("expiry", self.expiry)] {
            if time < LEAST_TIME {
                problems.push(format!("carves.{key}: must be at least 1m"));
            }
        }
        problems
    }
}
