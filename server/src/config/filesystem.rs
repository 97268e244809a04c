use std::path::PathBuf;

use super::section::section;
use super::value::Bytes;

section! {
    /// Where the filesystem log plugin writes.
    "filesystem" Filesystem {
        /// File of the agents' status lines.
        status_log_file: PathBuf = PathBuf::from("logs/osquery_status"),
        /// File of the agents' result lines.
        result_log_file: PathBuf = PathBuf::from("logs/osquery_result"),
        /// Start a new file when one has grown to filesystem.rotate_size, and keep filesystem.rotate_keep old ones.
        enable_log_rotation: bool = false,
        /// Size at which a file is rotated.
        rotate_size: Bytes = Bytes::mib(500),
        /// Rotated files that are kept.
        rotate_keep: u32 = 3,
    }
}
