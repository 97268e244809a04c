//! The SQLite file as a file. Nothing else in the server may touch it, or any file whose name begins with its name.
//!
//! SQLite protects the file with POSIX record locks. Those belong to the process, and closing *any* descriptor of the
//! file drops all of them, SQLite's own included, which SQLite neither notices nor takes again. From then on another
//! program that opens the file believes that nobody uses it: on closing, it copies the write-ahead log into the
//! database and deletes the log under the server, and what the server writes afterwards is lost.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::{Error, Result};

/// Creates the file, readable by its owner alone because it holds enroll secrets, unless there is one. SQLite gives the
/// files beside it the same mode. A file that exists is never opened.
pub(super) fn create_private(path: &Path) -> Result<()> {
    // With O_EXCL a file that exists is not opened, so no descriptor of a database in use is ever closed here.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::Unavailable(format!("cannot create {}: {error}", path.display()))),
    }
}
