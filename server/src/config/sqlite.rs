use std::path::PathBuf;
use std::time::Duration;

use super::section::section;

section! {
    /// The embedded database.
    "sqlite" Sqlite {
        /// File of the database; made on first start.
        path: PathBuf = PathBuf::from("muster.db"),
        /// How long a statement waits for another process that holds the file.
        busy_timeout: Duration = Duration::from_millis(1_000),
        /// Connections that read while one writes.
        readers: u32 = 4,
    }
}
