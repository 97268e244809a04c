//! The bus of a single process: claims in memory, answers in one append-only file per job. The cursor is the offset.
//! Events are kept until they were read; after a restart they begin with the answers that the file still has.
//!
//! An answer is kept once it is flushed, and can be read only then, so that no cursor ever points at what a loss of
//! power takes away. The state in memory is never locked while a disk is waited for: a slow disk delays answers, and
//! neither claims nor other hosts.

mod job_file;

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use self::job_file::JobFile;
use super::{BusError, BusFuture, Claim, EventPiece, EventPosition, JobKey, LiveBus, LivePace, Opened, Piece, Start};
use crate::clock::Moment;
use crate::lock::{lock, lock_file};

/// Groups of jobs, each of which opens one file at a time, so that only one caller makes it. A file that takes long to
/// read holds up the jobs of its group alone.
const OPENING_GROUPS: u8 = 64;

/// Reads the note of [`JobChange::Settled`](super::JobChange::Settled) from a line that is kept, for events that were
/// forgotten.
pub type NoteOf = fn(&[u8]) -> Vec<u8>;

/// See the module.
#[derive(Debug)]
pub struct MemoryBus {
    folder: PathBuf,
    note_of: NoteOf,
    jobs: Arc<Mutex<HashMap<JobKey, Arc<JobFile>>>>,
    opening: Vec<Arc<tokio::sync::Mutex<()>>>,
    /// Held as long as the bus, so that no other process uses the folder.
    _lock: File,
}

impl MemoryBus {
    /// Keeps answers in `folder`, which is made.
    ///
    /// # Errors
    /// When the folder cannot be made, or another process uses it.
    pub fn new(folder: &Path, note_of: NoteOf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let lock = locked(folder)?;
        let opening = std::iter::repeat_with(Arc::default).take(usize::from(OPENING_GROUPS)).collect();
        Ok(Self { folder: folder.to_owned(), note_of, jobs: Arc::default(), opening, _lock: lock })
    }

    fn file(&self, job: JobKey) -> Result<Arc<JobFile>, BusError> {
        let found = lock(&self.jobs).get(&job).cloned();
        found.ok_or(BusError::Lost(job.id))
    }

    fn path(&self, job: JobKey) -> PathBuf {
        self.folder.join(format!("{job}.ndjson"))
    }

    async fn open_file(&self, job: JobKey, start: Start) -> Result<Opened, BusError> {
        if lock(&self.jobs).contains_key(&job) {
            return Ok(Opened::Found);
        }
        let group = usize::try_from(job.id.rem_euclid(i64::from(OPENING_GROUPS))).unwrap_or(0);
        let guard = Arc::clone(&self.opening[group]).lock_owned().await;
        if lock(&self.jobs).contains_key(&job) {
            return Ok(Opened::Found);
        }
        let (path, jobs, note_of) = (self.path(job), Arc::clone(&self.jobs), self.note_of);
        // why: the guard and the entry belong to this work, not to the caller, who may give up while a large file is
        // read: the next one finds the job then, instead of beginning anew.
        blocking(move || {
            let _guard = guard;
            let (file, opened) = JobFile::open(path, start, note_of)?;
            lock(&jobs).insert(job, Arc::new(file));
            Ok(opened)
        })
        .await
    }
}

impl LiveBus for MemoryBus {
    fn ping(&self) -> BusFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn open(&self, job: JobKey, start: Start) -> BusFuture<'_, Opened> {
        Box::pin(self.open_file(job, start))
    }

    fn claim(&self, job: JobKey, host: i64, at: Moment, is_alone: bool, is_canary: bool) -> BusFuture<'_, Claim> {
        Box::pin(async move { Ok(self.file(job)?.claim(host, at, is_alone, is_canary)) })
    }

    fn pace(&self, job: JobKey, pace: LivePace) -> BusFuture<'_, bool> {
        Box::pin(async move { Ok(self.file(job)?.pace(pace)) })
    }

    fn unclaim(&self, job: JobKey, host: i64) -> BusFuture<'_, bool> {
        Box::pin(async move { Ok(self.file(job)?.unclaim(host)) })
    }

    fn answer(&self, job: JobKey, host: i64, line: Bytes, note: Vec<u8>, _: Instant) -> BusFuture<'_, bool> {
        Box::pin(async move { self.file(job)?.answer(host, line, note).await })
    }

    fn close(&self, job: JobKey, note: Vec<u8>) -> BusFuture<'_, bool> {
        Box::pin(async move { Ok(self.file(job)?.close(note)) })
    }

    fn events(&self, job: JobKey, after: EventPosition) -> BusFuture<'_, EventPiece> {
        Box::pin(async move { Ok(self.file(job)?.events(after.number)) })
    }

    fn read(&self, job: JobKey, cursor: u64, max_bytes: usize) -> BusFuture<'_, Piece> {
        Box::pin(async move {
            let file = self.file(job)?;
            blocking(move || file.read(cursor, max_bytes)).await
        })
    }

    fn watch(&self, job: JobKey) -> Option<watch::Receiver<u64>> {
        self.file(job).ok().map(|file| file.watch())
    }

    fn length(&self, job: JobKey) -> u64 {
        self.file(job).map_or(0, |file| file.end())
    }

    fn remove(&self, job: JobKey) -> BusFuture<'_, ()> {
        Box::pin(async move {
            lock(&self.jobs).remove(&job);
            let path = self.path(job);
            blocking(move || match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            })
            .await
        })
    }

    fn held(&self) -> HashSet<JobKey> {
        lock(&self.jobs).keys().copied().collect()
    }

    fn let_go(&self, jobs: &HashSet<JobKey>) {
        lock(&self.jobs).retain(|job, _| !jobs.contains(job));
    }

    fn forget_others(&self, known: HashSet<JobKey>, before: Moment) -> BusFuture<'_, ()> {
        Box::pin(async move {
            let folder = self.folder.clone();
            let before = SystemTime::UNIX_EPOCH + Duration::from_micros(before.0.max(0).cast_unsigned());
            let known = known.iter().map(JobKey::to_string).collect();
            blocking(move || forget_others(&folder, &known, before)).await
        })
    }
}

/// A file of `folder` whose lock this process holds.
fn locked(folder: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(folder.join("lock"))?;
    lock_file(&file, || {
        "another server uses it; give each its own live.dir, and several that share a database Redis".to_owned()
    })?;
    Ok(file)
}

/// Removes files of `folder` that no name in `known` stands for and nobody has written since `before`.
fn forget_others(folder: &Path, known: &HashSet<String>, before: SystemTime) -> io::Result<()> {
    let mut outcome = Ok(());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_results = path.extension().is_some_and(|extension| extension == "ndjson");
        let is_known = path.file_stem().and_then(|name| name.to_str()).is_none_or(|name| known.contains(name));
        if is_results && !is_known {
            // One that cannot be removed does not keep the others.
            outcome = outcome.and(forget_old(&path, before));
        }
    }
    outcome
}

/// Removes a file that nobody has written since `before`; one that is gone already is no error.
fn forget_old(path: &Path, before: SystemTime) -> io::Result<()> {
    let remove = || -> io::Result<()> {
        if path.metadata()?.modified()? < before {
            fs::remove_file(path)?;
            tracing::info!(file = %path.display(), "results of a live query that the database does not know removed");
        }
        Ok(())
    };
    match remove() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, BusError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome.map_err(|error| unavailable(&error)),
        Err(error) => Err(BusError::Unavailable(error.to_string())),
    }
}

fn unavailable(error: &io::Error) -> BusError {
    BusError::Unavailable(format!("the file of a live query's results: {error}"))
}

#[cfg(test)]
mod tests;
