//! The bus of a single process: claims in memory, answers in one append-only file per job. The cursor is the offset.
//! Events are kept until they were read; after a restart the answers say who is settled.
//!
//! An answer is kept once it is flushed. All who wait for the flush of a file share the next one, and answers can be
//! read only then, so that no cursor ever points at what a loss of power takes away.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use roaring::RoaringTreemap;
use tokio::sync::watch;

use super::{
    BusError, BusFuture, EVENTS_AT_ONCE, EventPiece, EventPosition, JobChange, JobEvent, JobKey, LiveBus, Opened,
    Piece, ResultLine, Start,
};
use crate::clock::Moment;
use crate::lock::lock;

/// Lines are read in steps of this size.
const STEP: usize = 64 * 1024;

/// See the module.
#[derive(Debug)]
pub struct MemoryBus {
    folder: PathBuf,
    jobs: Mutex<HashMap<JobKey, Arc<JobFile>>>,
    /// One file is opened at a time, so that only one caller makes it.
    opening: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct JobFile {
    path: PathBuf,
    inner: Mutex<JobFileState>,
    /// Held by the caller that flushes, for all that was written before.
    flushing: tokio::sync::Mutex<()>,
    /// The end of what is flushed.
    end: watch::Sender<u64>,
}

#[derive(Debug)]
struct JobFileState {
    claimed: RoaringTreemap,
    settled: RoaringTreemap,
    is_closed: bool,
    /// The end of the file.
    written: u64,
    /// Answers that are written and not flushed, in the order of the file.
    unflushed: Vec<Unflushed>,
    /// How many flushes failed; each takes away what was not flushed.
    failures: u64,
    /// Events that nobody has gone beyond yet, and how many were forgotten before them.
    events: VecDeque<JobChange>,
    forgotten: u64,
}

#[derive(Debug)]
struct Unflushed {
    end: u64,
    host: u64,
    was_claimed: bool,
    note: Vec<u8>,
}

/// How far the file must be flushed for an answer to be kept.
#[derive(Debug, Clone, Copy)]
struct Written {
    is_first: bool,
    end: u64,
    failures: u64,
}

impl MemoryBus {
    /// Keeps answers in `folder`, which is made.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(folder: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        Ok(Self { folder: folder.to_owned(), jobs: Mutex::default(), opening: tokio::sync::Mutex::default() })
    }

    fn stream(&self, job: JobKey) -> Result<Arc<JobFile>, BusError> {
        let found = lock(&self.jobs).get(&job).cloned();
        found.ok_or(BusError::Lost(job.id))
    }

    fn path(&self, job: JobKey) -> PathBuf {
        self.folder.join(format!("{job}.ndjson"))
    }
}

impl JobFile {
    /// Opens the file, cuts off a line that a crash left unfinished, and reads who has answered.
    fn open(path: PathBuf, start: Start) -> io::Result<(Self, Opened)> {
        let opened = if path.exists() { Opened::Found } else { Opened::Made };
        let mut file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(&path)?;
        // why: the checkpoint counts also when the file is there. After a loss of power the database may be ahead of
        // the file.
        let (mut settled, restored) = match start {
            Start::New => (RoaringTreemap::new(), None),
            Start::Checkpoint { settled, note } => (settled, Some(JobChange::Restored { note })),
        };
        let mut end = 0;
        let mut reader = BufReader::new(&mut file);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
            end += line.len() as u64;
            settled.extend(super::host_of(&line));
            line.clear();
        }
        file.set_len(end)?;
        file.sync_all()?;
        if let (0, Some(folder)) = (end, path.parent()) {
            File::open(folder)?.sync_all()?;
        }
        let inner = JobFileState {
            claimed: RoaringTreemap::new(),
            settled,
            is_closed: false,
            written: end,
            unflushed: Vec::new(),
            failures: 0,
            events: restored.filter(|_| opened == Opened::Made).into_iter().collect(),
            forgotten: 0,
        };
        let flushing = tokio::sync::Mutex::default();
        Ok((Self { path, inner: Mutex::new(inner), flushing, end: watch::Sender::new(end) }, opened))
    }

    fn write(&self, host: u64, mut line: Vec<u8>, note: Vec<u8>) -> io::Result<Written> {
        let mut inner = lock(&self.inner);
        if inner.is_closed || inner.settled.contains(host) {
            return Ok(Written { is_first: false, end: inner.written, failures: inner.failures });
        }
        if line.is_empty() {
            inner.claimed.remove(host);
            inner.settled.insert(host);
            inner.events.push_back(JobChange::Settled { host: host.cast_signed(), note });
            return Ok(Written { is_first: true, end: 0, failures: inner.failures });
        }
        line.push(b'\n');
        let end = inner.written;
        // why: opened for each answer, because thousands of live queries may be kept, and open files are few.
        let mut file = OpenOptions::new().append(true).open(&self.path)?;
        // A failed write or flush may have left bytes that could not be cut off at the time.
        if file.metadata()?.len() > end {
            file.set_len(end)?;
        }
        if let Err(error) = file.write_all(&line) {
            file.set_len(end)?;
            return Err(error);
        }
        let was_claimed = inner.claimed.remove(host);
        inner.settled.insert(host);
        inner.written = end + line.len() as u64;
        let end = inner.written;
        inner.unflushed.push(Unflushed { end, host, was_claimed, note });
        Ok(Written { is_first: true, end: inner.written, failures: inner.failures })
    }

    /// Waits until what was written is flushed, with all that others have written meanwhile.
    async fn flush(self: &Arc<Self>, written: Written) -> Result<bool, BusError> {
        let _guard = self.flushing.lock().await;
        if lock(&self.inner).failures != written.failures {
            return Err(BusError::Unavailable("the file of a live query's results could not be flushed".to_owned()));
        }
        if *self.end.borrow() < written.end {
            let stream = Arc::clone(self);
            blocking(move || stream.flush_now(File::sync_data)).await?;
        }
        Ok(written.is_first)
    }

    /// Flushes what is written. When that fails the answers are taken back, because a system may report a failed flush
    /// once and then succeed without having kept the data.
    fn flush_now(&self, sync: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
        let file = OpenOptions::new().append(true).open(&self.path)?;
        let (written, failures) = {
            let inner = lock(&self.inner);
            (inner.written, inner.failures)
        };
        let outcome = sync(&file);
        let mut inner = lock(&self.inner);
        // why: a flush goes on when its caller is gone, so that two may overlap. What the other one took back is not
        // flushed.
        if inner.failures != failures {
            return Err(io::Error::other("another flush has failed"));
        }
        if let Err(error) = outcome {
            let end = *self.end.borrow();
            for Unflushed { host, was_claimed, .. } in std::mem::take(&mut inner.unflushed) {
                inner.settled.remove(host);
                if was_claimed {
                    inner.claimed.insert(host);
                }
            }
            inner.failures += 1;
            inner.written = end;
            file.set_len(end)?;
            return Err(error);
        }
        let rest = inner.unflushed.partition_point(|unflushed| unflushed.end <= written);
        let kept: Vec<_> = inner.unflushed.drain(..rest).collect();
        inner.events.extend(
            kept.into_iter().map(|Unflushed { host, note, .. }| JobChange::Settled { host: host.cast_signed(), note }),
        );
        self.end.send_if_modified(|end| {
            let is_news = *end < written;
            *end = (*end).max(written);
            is_news
        });
        Ok(())
    }

    fn events(&self, after: u64) -> EventPiece {
        let mut inner = lock(&self.inner);
        let seen = usize::try_from(after.saturating_sub(inner.forgotten)).unwrap_or(usize::MAX);
        let seen = seen.min(inner.events.len());
        inner.events.drain(..seen);
        inner.forgotten += seen as u64;
        let first = inner.forgotten + 1;
        let changes = inner.events.iter().take(EVENTS_AT_ONCE).cloned();
        let position = |number| EventPosition { number, tag: 0 };
        let events = (first..).zip(changes).map(|(number, change)| JobEvent { position: position(number), change });
        EventPiece { events: events.collect(), is_from_start: false }
    }

    fn read(&self, cursor: u64, max_bytes: usize) -> io::Result<Piece> {
        let end = *self.end.borrow();
        let mut file = File::open(&self.path)?;
        // From the newline before: a cursor that was never given out must still give whole lines.
        let start = cursor.min(end).saturating_sub(1);
        file.seek(SeekFrom::Start(start))?;
        let mut reader = BufReader::with_capacity(STEP, file.take(end.saturating_sub(start)));
        let mut piece = Piece { lines: Vec::new(), next: start };
        if cursor > 0 {
            piece.next += reader.skip_until(b'\n')? as u64;
        }
        let mut bytes = 0;
        while bytes < max_bytes {
            let mut text = Vec::new();
            let read = reader.read_until(b'\n', &mut text)?;
            if read == 0 {
                break;
            }
            text.pop();
            bytes += read;
            piece.next += read as u64;
            piece.lines.push(ResultLine { cursor: piece.next, text });
        }
        Ok(piece)
    }
}

impl LiveBus for MemoryBus {
    fn ping(&self) -> BusFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn open(&self, job: JobKey, start: Start) -> BusFuture<'_, Opened> {
        Box::pin(async move {
            let _guard = self.opening.lock().await;
            if lock(&self.jobs).contains_key(&job) {
                return Ok(Opened::Found);
            }
            let path = self.path(job);
            let (stream, opened) = blocking(move || JobFile::open(path, start)).await?;
            lock(&self.jobs).insert(job, Arc::new(stream));
            Ok(opened)
        })
    }

    fn claim(&self, job: JobKey, host: i64, at: Moment, is_alone: bool) -> BusFuture<'_, bool> {
        Box::pin(async move {
            let stream = self.stream(job)?;
            let mut inner = lock(&stream.inner);
            let id = host.cast_unsigned();
            let is_claimed = !inner.is_closed && !inner.settled.contains(id) && inner.claimed.insert(id);
            if is_claimed {
                inner.events.push_back(JobChange::Sent { host, at, is_alone });
            }
            Ok(is_claimed)
        })
    }

    fn unclaim(&self, job: JobKey, host: i64) -> BusFuture<'_, bool> {
        Box::pin(async move {
            let stream = self.stream(job)?;
            let mut inner = lock(&stream.inner);
            let was_claimed = !inner.is_closed && inner.claimed.remove(host.cast_unsigned());
            if was_claimed {
                inner.events.push_back(JobChange::Pending { host });
            }
            Ok(was_claimed)
        })
    }

    fn answer(&self, job: JobKey, host: i64, line: Vec<u8>, note: Vec<u8>) -> BusFuture<'_, bool> {
        Box::pin(async move {
            let stream = self.stream(job)?;
            let writing = Arc::clone(&stream);
            let written = blocking(move || writing.write(host.cast_unsigned(), line, note)).await?;
            stream.flush(written).await
        })
    }

    fn close(&self, job: JobKey, note: Vec<u8>) -> BusFuture<'_, bool> {
        Box::pin(async move {
            let stream = self.stream(job)?;
            let mut inner = lock(&stream.inner);
            let is_first = !std::mem::replace(&mut inner.is_closed, true);
            if is_first {
                inner.events.push_back(JobChange::Closed { note });
            }
            Ok(is_first)
        })
    }

    fn events(&self, job: JobKey, after: EventPosition) -> BusFuture<'_, EventPiece> {
        Box::pin(async move { Ok(self.stream(job)?.events(after.number)) })
    }

    fn read(&self, job: JobKey, cursor: u64, max_bytes: usize) -> BusFuture<'_, Piece> {
        Box::pin(async move {
            let stream = self.stream(job)?;
            blocking(move || stream.read(cursor, max_bytes)).await
        })
    }

    fn watch(&self, job: JobKey) -> Option<watch::Receiver<u64>> {
        self.stream(job).ok().map(|stream| stream.end.subscribe())
    }

    fn length(&self, job: JobKey) -> u64 {
        self.stream(job).map_or(0, |stream| *stream.end.borrow())
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

    fn forget_others(&self, known: HashSet<JobKey>, before: Moment) -> BusFuture<'_, ()> {
        Box::pin(async move {
            // why: a job that is being opened has a file before anybody else knows of it.
            let _guard = self.opening.lock().await;
            let opened: Vec<JobKey> = lock(&self.jobs).keys().copied().collect();
            let known = known.iter().chain(&opened).map(JobKey::to_string).collect();
            let folder = self.folder.clone();
            let before = SystemTime::UNIX_EPOCH + Duration::from_micros(before.0.max(0).cast_unsigned());
            blocking(move || forget_others(&folder, &known, before)).await
        })
    }
}

/// Removes files of `folder` that no name in `known` stands for and nobody has written since `before`.
fn forget_others(folder: &Path, known: &HashSet<String>, before: SystemTime) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_results = path.extension().is_some_and(|extension| extension == "ndjson");
        let is_known = path.file_stem().and_then(|name| name.to_str()).is_none_or(|name| known.contains(name));
        if is_results && !is_known && path.metadata()?.modified()? < before {
            tracing::info!(file = %path.display(), "results of a live query that the database does not know removed");
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, BusError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => {
            outcome.map_err(|error| BusError::Unavailable(format!("the file of a live query's results: {error}")))
        }
        Err(error) => Err(BusError::Unavailable(error.to_string())),
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
