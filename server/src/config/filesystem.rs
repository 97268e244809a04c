use std::path::PathBuf;

use super::section::section;
use super::value::Bytes;

section! {
    /// The filesystem log plugin.
    "filesystem" Filesystem {
        /// File for status logs.
        status_log_file: PathBuf = PathBuf::from("logs/osquery_status"),
        /// File for result logs.
        result_log_file: PathBuf = PathBuf::from("logs/osquery_result"),
        /// Start a new file when one reaches filesystem.rotate_size; keep filesystem.rotate_keep old files.
        enable_log_rotation: bool = false,
        /// Size at which a file is rotated.
        rotate_size: Bytes = Bytes::mib(500),
        /// Number of rotated files to keep.
        rotate_keep: u32 = 3,
    }
}
