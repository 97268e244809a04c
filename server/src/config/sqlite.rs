use std::path::PathBuf;
use std::time::Duration;

use super::section::section;

section! {
    /// The embedded database.
    "sqlite" Sqlite {
        /// Database file; created on first start.
        path: PathBuf = PathBuf::from("muster.db"),
        /// Time a statement waits while another process locks the file.
        busy_timeout: Duration = Duration::from_millis(1_000),
        /// Number of connections for reading; one more connection writes.
        readers: u32 = 4,
    }
}
