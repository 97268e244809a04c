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

/// Whether a database is there, and in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SqliteState {
    Missing,
    /// Nobody has it open: there is no log beside it.
    AtRest,
    /// Somebody has it open, or had until the machine or the process was ended.
    InUse,
    /// There is a log without its index, as in a copy: opening the file would make that.
    Unrecovered,
}

/// Looks which files are there, and opens none.
pub(super) fn state(path: &Path) -> SqliteState {
    let beside = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        Path::new(&name).exists()
    };
    match (path.exists(), beside("-wal"), beside("-shm")) {
        (false, ..) => SqliteState::Missing,
        (true, false, _) => SqliteState::AtRest,
        (true, true, true) => SqliteState::InUse,
        (true, true, false) => SqliteState::Unrecovered,
    }
}

/// Symbolic links that may lead from one to the next, as many as Linux follows.
const MAX_LINKS: usize = 40;

/// Creates the file, readable by its owner alone because it holds enroll secrets, unless there is one. SQLite gives the
/// files beside it the same mode. A file that exists is never opened.
pub(super) fn create_private(path: &Path) -> Result<()> {
    let mut file = path.to_owned();
    for _ in 0..MAX_LINKS {
        // With O_EXCL a file that exists is not opened, so no descriptor of a database in use is ever closed here.
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::Unavailable(format!("cannot create {}: {error}", file.display()))),
        }
        // O_EXCL does not follow symbolic links, whose target may be missing.
        let Ok(target) = std::fs::read_link(&file) else { return Ok(()) };
        file = file.parent().unwrap_or(Path::new("")).join(target);
    }
    Err(Error::Unavailable(format!("{}: more than {MAX_LINKS} symbolic links follow each other", path.display())))
}

/// Sizes of the file and of those beside it, in bytes. None is opened.
pub(super) fn sizes(path: &Path) -> Vec<(&'static str, u64)> {
    let size = |(name, suffix): (&'static str, &str)| {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        Some((name, std::fs::metadata(file).ok()?.len()))
    };
    [("file_bytes", ""), ("wal_bytes", "-wal"), ("shm_bytes", "-shm")].into_iter().filter_map(size).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn the_file_is_private_also_behind_a_link() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        symlink("data/muster.db", folder.path().join("link.db")).unwrap();
        create_private(&folder.path().join("link.db")).unwrap();
        let mode = std::fs::metadata(folder.path().join("data/muster.db")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        create_private(&folder.path().join("link.db")).unwrap();
        symlink("loop.db", folder.path().join("loop.db")).unwrap();
        assert!(create_private(&folder.path().join("loop.db")).is_err());
    }
}
