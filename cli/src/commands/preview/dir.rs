use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

const LOCK: &str = "preview.lock";
const FOLDERS: [&str; 3] = ["tls", "logs", "live"];
const FILES: [&str; 4] = [LOCK, "fleetctl.yml", "hosts.json", "muster.log"];
/// The database; SQLite keeps further files beside it.
const DATABASE: &str = "muster.db";

/// The directory of a preview.
pub struct PreviewDir {
    root: PathBuf,
}

impl PreviewDir {
    pub fn at(root: &Path) -> anyhow::Result<Self> {
        let root = std::path::absolute(root).with_context(|| format!("cannot use the directory {}", root.display()))?;
        // Collecting the components removes `.` from the path.
        Ok(Self { root: root.components().collect() })
    }

    pub fn database(&self) -> PathBuf {
        self.root.join(DATABASE)
    }

    pub fn tls(&self) -> PathBuf {
        self.root.join("tls")
    }

    pub fn certificate(&self) -> PathBuf {
        self.tls().join("server.crt")
    }

    pub fn results(&self) -> PathBuf {
        self.root.join("logs").join("osquery_result")
    }

    pub fn statuses(&self) -> PathBuf {
        self.root.join("logs").join("osquery_status")
    }

    pub fn server_log(&self) -> PathBuf {
        self.root.join("muster.log")
    }

    pub fn contexts(&self) -> PathBuf {
        self.root.join("fleetctl.yml")
    }

    pub fn host_keys(&self) -> PathBuf {
        self.root.join("hosts.json")
    }

    /// The `--dir` flag for this directory; empty for the default.
    pub fn as_flag(&self) -> String {
        match shown(&self.root).as_str() {
            "preview" => String::new(),
            name => format!(" --dir {name}"),
        }
    }

    /// Creates the directory and locks it until the returned file is dropped or the process ends.
    pub fn create_and_lock(&self) -> anyhow::Result<File> {
        let make = |path: &Path| {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.with_context(|| format!("cannot create the directory {}", shown(path)))
        };
        make(&self.root)?;
        let mut lock = self.lock()?;
        make(&self.root.join("logs"))?;
        // The process ID is only shown in messages; the lock itself ends with the process.
        let written = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
        written.with_context(|| format!("cannot write {}", shown(&self.root.join(LOCK))))?;
        Ok(lock)
    }

    fn lock(&self) -> anyhow::Result<File> {
        let path = self.root.join(LOCK);
        let cannot = || format!("cannot lock {}", shown(&path));
        let options =
            fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = options.with_context(cannot)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                let mut process = String::new();
                let _ = file.read_to_string(&mut process);
                bail!(
                    "a preview is already running in {} (process {}); stop it, or choose another directory with --dir",
                    shown(&self.root),
                    process.trim()
                )
            }
            Err(TryLockError::Error(error)) => Err(error).with_context(cannot),
        }
    }

    /// Deletes the directory and returns a message. Deletes nothing if there are files that no preview wrote.
    pub fn reset(&self) -> anyhow::Result<String> {
        let name = shown(&self.root);
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries.collect::<Result<Vec<_>, _>>().with_context(|| format!("cannot read {name}"))?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(format!("nothing to delete at {name}"));
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read {name}")),
        };
        let mut names: Vec<String> =
            entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        if !names.is_empty() && !names.iter().any(|name| name == LOCK) {
            bail!("{name} is not a preview directory; nothing was deleted");
        }
        let foreign: Vec<&str> = names.iter().map(String::as_str).filter(|name| !is_known(name)).collect();
        if !foreign.is_empty() {
            bail!(
                "{name} contains files that no preview wrote: {}; move them first, nothing was deleted",
                foreign.join(", ")
            );
        }
        let _lock = self.lock()?;
        // The lock is deleted last, so that an interrupted reset can be repeated.
        for entry in names.iter().filter(|name| *name != LOCK).chain([&LOCK.to_owned()]) {
            delete(&self.root.join(entry))?;
        }
        fs::remove_dir(&self.root).with_context(|| format!("cannot delete {name}"))?;
        Ok(format!("deleted {name}"))
    }
}

fn is_known(name: &str) -> bool {
    FOLDERS.contains(&name) || FILES.contains(&name) || name == DATABASE || name.starts_with("muster.db-")
}

fn delete(path: &Path) -> anyhow::Result<()> {
    let deleted = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match deleted {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot delete {}", shown(path)))
        }
        _ => Ok(()),
    }
}

/// A path relative to the current directory if it is below it.
pub fn shown(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let short =
        here.as_ref().and_then(|here| path.strip_prefix(here).ok()).filter(|short| !short.as_os_str().is_empty());
    short.unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preview(root: &Path) -> PreviewDir {
        let dir = PreviewDir::at(root).unwrap();
        drop(dir.create_and_lock().unwrap());
        for file in ["muster.db", "muster.db-wal", "logs/osquery_result", "fleetctl.yml"] {
            fs::write(root.join(file), "x").unwrap();
        }
        dir
    }

    #[test]
    fn reset_deletes_what_previews_wrote() {
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path().join("preview");
        let dir = preview(&root);
        assert_eq!(dir.reset().unwrap(), format!("deleted {}", root.display()));
        assert!(!root.exists());
        assert_eq!(dir.reset().unwrap(), format!("nothing to delete at {}", root.display()));
    }

    #[test]
    fn reset_leaves_foreign_files_alone() {
        let root = tempfile::tempdir().unwrap();
        let dir = preview(root.path());
        fs::write(root.path().join("thesis.txt"), "x").unwrap();
        let error = dir.reset().unwrap_err().to_string();
        assert!(error.contains("that no preview wrote: thesis.txt;"), "{error}");
        assert!(root.path().join("muster.db").exists());
    }

    #[test]
    fn reset_requires_a_preview_directory() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("logs")).unwrap();
        let error = PreviewDir::at(root.path()).unwrap().reset().unwrap_err().to_string();
        assert!(error.ends_with("is not a preview directory; nothing was deleted"), "{error}");
        assert!(root.path().join("logs").exists());
    }

    #[test]
    fn one_preview_runs_per_directory() {
        let root = tempfile::tempdir().unwrap();
        let dir = preview(root.path());
        let lock = dir.create_and_lock().unwrap();
        let expected = format!("(process {})", std::process::id());
        for error in [dir.create_and_lock().unwrap_err(), dir.reset().unwrap_err()] {
            assert!(error.to_string().contains(&expected), "{error}");
        }
        drop(lock);
        dir.reset().unwrap();
    }
}
