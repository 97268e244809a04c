//! The file of the guard.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use arc_swap::ArcSwap;
use muster_sql::{DEFAULT_GUARD, Guard};

use crate::lock::lock;

/// Guards read since the start.
static GUARDS: AtomicU64 = AtomicU64::new(0);

/// A guard that was read.
#[derive(Debug)]
pub(super) struct ReadGuard {
    pub guard: Guard,
    /// Tells guards apart.
    pub number: u64,
    text: String,
}

impl ReadGuard {
    fn of(text: String) -> Result<Self> {
        // why: reading YAML takes more of the stack than a task that is many calls deep has left.
        let parsed = thread::scope(|scope| scope.spawn(|| Guard::parse(&text)).join());
        let parsed = parsed.map_err(|_| anyhow!("reading it has failed; please report this"))?;
        let guard = parsed.map_err(|problem| anyhow!("{problem}"))?;
        Ok(Self { guard, number: GUARDS.fetch_add(1, Ordering::Relaxed), text })
    }
}

/// The file, and the guard that was read from it last.
#[derive(Debug)]
pub(super) struct GuardFile {
    /// `None` for the guard that is shipped.
    path: Option<PathBuf>,
    read: ArcSwap<ReadGuard>,
    /// Why the file could not be used when it was looked at last, so that the log says it once.
    problem: Mutex<Option<String>>,
}

impl GuardFile {
    pub fn load(path: Option<&Path>) -> Result<Self> {
        let text = path.map_or_else(|| Ok(DEFAULT_GUARD.to_owned()), text)?;
        let read = ReadGuard::of(text).context(path.map_or_else(String::new, |path| path.display().to_string()))?;
        Ok(Self { path: path.map(Path::to_owned), read: ArcSwap::from_pointee(read), problem: Mutex::default() })
    }

    pub fn guard(&self) -> Arc<ReadGuard> {
        self.read.load_full()
    }

    /// Reads the file again. One that cannot be used changes nothing, and the log says why.
    pub fn reload(&self) {
        let Some(path) = &self.path else { return };
        let outcome = text(path)
            .and_then(|text| if text == self.read.load().text { Ok(None) } else { Ok(Some(ReadGuard::of(text)?)) });
        let problem = match outcome {
            Ok(None) => None,
            Ok(Some(read)) => {
                self.read.store(Arc::new(read));
                tracing::info!(path = %path.display(), "loaded a new table guard");
                None
            }
            Err(error) => Some(format!("{error:#}")),
        };
        let mut before = lock(&self.problem);
        if let Some(error) = problem.as_ref().filter(|problem| before.as_ref() != Some(*problem)) {
            tracing::error!(
                path = %path.display(),
                error,
                "cannot load the table guard again; the server continues with the one it has. Correct the file"
            );
        }
        *before = problem;
    }
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_file_keeps_the_guard_that_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guard.yml");
        fs::write(&path, "mode: warn\nrules:\n  - {name: a, reason: b, tables: [curl], deny: true}\n").unwrap();
        let file = GuardFile::load(Some(&path)).unwrap();
        let first = file.guard().number;
        file.reload();
        assert_eq!(file.guard().number, first, "nothing has changed");
        fs::write(&path, "mode: off\n").unwrap();
        file.reload();
        assert_eq!(file.guard().number, first);
        assert!(lock(&file.problem).as_ref().unwrap().starts_with("line 1, column 7: "));
        let error = format!("{:#}", GuardFile::load(Some(&path)).unwrap_err());
        assert!(error.contains("guard.yml: line 1, column 7: "), "{error}");
        fs::remove_file(&path).unwrap();
        file.reload();
        assert_eq!(file.guard().number, first);
        fs::write(&path, "mode: enforce\n").unwrap();
        file.reload();
        assert!(file.guard().number > first && file.guard().guard.enforces());
        assert_eq!(*lock(&file.problem), None);
    }
}
