//! The bus of a single process: claims in memory, answers in one append-only file per job. The cursor is the offset. Events
//! are kept until they were looked at; after a restart the answers say who is settled.
//!
//! An answer is kept when it is flushed. Whoever waits for the flush of a file shares the next one, and answers can be
//! read only then, so that no cursor ever points at what a loss of power takes away.

use crate::lock::lock;
use std::collections::{HashMap, VecDeque};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use roaring::RoaringTreemap;
use tokio::sync::watch;

use super::{BusError, BusFuture, EVENTS_AT_ONCE, JobChange, JobEvent, LiveBus, Opened, Piece, ResultLine, Start};
use crate::clock::Moment;

/// Lines are read in steps of this size.
const STEP: usize = 64 * 1024;

/// See the module.
#[derive(Debug)]
pub struct MemoryBus {
    folder: PathBuf,
    jobs: Mutex<HashMap<i64, Arc<JobFile>>>,
    /// One file is opened at a time, so that only one caller makes it.
    opening: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct JobFile {
    path: PathBuf,
    inner: Mutex<Inner>,
    /// Held by whoever flushes, for all that was written before.
    flushing: tokio::sync::Mutex<()>,
    /// What is flushed.
    end: watch::Sender<u64>,
}

#[derive(Debug)]
struct Inner {
    claimed: RoaringTreemap,
    settled: RoaringTreemap,
    is_closed: bool,
    /// Where the file ends, and who has answered behind what is flushed, each with the end of the answer.
    written: u64,
    unflushed: Vec<Unflushed>,
    /// Flushes that failed; each takes away what was not flushed.
    failures: u64,
    /// What nobody has asked to go beyond yet, and how many there were before.
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

/// What must be flushed for an answer to be kept.
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

    fn stream(&self, job: i64) -> Result<Arc<JobFile>, BusError> {
        let found = lock(&self.jobs).get(&job).cloned();
        found.ok_or(BusError::Lost(job))
    }

    fn path(&self, job: i64) -> PathBuf {
        self.folder.join(format!("{job}.ndjson"))
    }
}

impl JobFile {
    /// Opens the file, cuts off a line that a crash left unfinished, and notes who has answered. Says whether it made it.
    fn open(path: PathBuf, start: Start) -> io::Result<(Self, Opened)> {
        let opened = if path.exists() { Opened::Found } else { Opened::Made };
        let mut file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(&path)?;
        // What the checkpoint says is no less true when the file is there: it may be of before a loss of power.
        let (mut settled, restored) = match start {
            Start::New => (RoaringTreemap::new(), None),
            Start::Checkpoint { settled, note } => (settled, Some(JobChange::Restored { note })),
        };
        let mut end = 0;
        let mut reader = BufReader::new(&mut file);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
            end += line.len() as u64;
            settled.extend(host_of(&line));
            line.clear();
        }
        file.set_len(end)?;
        file.sync_all()?;
        if let (0, Some(folder)) = (end, path.parent()) {
            File::open(folder)?.sync_all()?;
        }
        let inner = Inner {
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
        // Opened for each answer: thousands of live queries may be kept, and open files are few.
        let mut file = OpenOptions::new().append(true).open(&self.path)?;
        // What could not be cut off when it should have been.
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

    /// A flush that failed is not believed when it is repeated: what it was for is taken back.
    fn flush_now(&self, sync: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
        let file = OpenOptions::new().append(true).open(&self.path)?;
        let (written, failures) = {
            let inner = lock(&self.inner);
            (inner.written, inner.failures)
        };
        let outcome = sync(&file);
        let mut inner = lock(&self.inner);
        // A flush goes on when the one who waits for it is gone, so that two may overlap.
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

    fn events(&self, after: u64) -> Vec<JobEvent> {
        let mut inner = lock(&self.inner);
        let seen = usize::try_from(after.saturating_sub(inner.forgotten)).unwrap_or(usize::MAX);
        let seen = seen.min(inner.events.len());
        inner.events.drain(..seen);
        inner.forgotten += seen as u64;
        let first = inner.forgotten + 1;
        let changes = inner.events.iter().take(EVENTS_AT_ONCE).cloned();
        (first..).zip(changes).map(|(position, change)| JobEvent { position, change }).collect()
    }

    fn read(&self, cursor: u64, max_bytes: usize) -> io::Result<Piece> {
        let end = *self.end.borrow();
        let mut file = File::open(&self.path)?;
        // From the newline before: a cursor that is not one of ours must still give whole lines.
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

/// The host a line is from: lines begin with it.
fn host_of(line: &[u8]) -> Option<u64> {
    let digits = line.strip_prefix(b"{\"host_id\":")?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

impl LiveBus for MemoryBus {
    fn open(&self, job: i64, start: Start) -> BusFuture<'_, Opened> {
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

    fn claim(&self, job: i64, host: i64, at: Moment, is_alone: bool) -> BusFuture<'_, bool> {
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

    fn unclaim(&self, job: i64, host: i64) -> BusFuture<'_, bool> {
        Box::pin(async move {
            let stream = self.stream(job)?;
            let mut inner = lock(&stream.inner);
            let was_claimed = !inner.is_closed && inner.claimed.remove(host.cast_unsigned());
            if was_claimed {
                inner.events.push_back(JobChange::Again { host });
            }
            Ok(was_claimed)
        })
    }

    fn answer(&self, job: i64, host: i64, line: Vec<u8>, note: Vec<u8>) -> BusFuture<'_, bool> {
        Box::pin(async move {
            let stream = self.stream(job)?;
            let writing = Arc::clone(&stream);
            let written = blocking(move || writing.write(host.cast_unsigned(), line, note)).await?;
            stream.flush(written).await
        })
    }

    fn close(&self, job: i64, note: Vec<u8>) -> BusFuture<'_, bool> {
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

    fn events(&self, job: i64, after: u64) -> BusFuture<'_, Vec<JobEvent>> {
        Box::pin(async move { Ok(self.stream(job)?.events(after)) })
    }

    fn read(&self, job: i64, cursor: u64, max_bytes: usize) -> BusFuture<'_, Piece> {
        Box::pin(async move {
            let stream = self.stream(job)?;
            blocking(move || stream.read(cursor, max_bytes)).await
        })
    }

    fn watch(&self, job: i64) -> Option<watch::Receiver<u64>> {
        self.stream(job).ok().map(|stream| stream.end.subscribe())
    }

    fn length(&self, job: i64) -> u64 {
        self.stream(job).map_or(0, |stream| *stream.end.borrow())
    }

    fn remove(&self, job: i64) -> BusFuture<'_, ()> {
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
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_keeps_what_a_bus_promises() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        super::super::contract_tests::run(MemoryBus::new(&path).unwrap(), async || MemoryBus::new(&path).unwrap())
            .await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn each_turn_has_one_winner() {
        let folder = tempfile::tempdir().unwrap();
        super::super::contract_tests::races(vec![Arc::new(MemoryBus::new(folder.path()).unwrap())], 1).await;
    }

    #[tokio::test]
    async fn it_tells_what_has_happened_until_that_was_heard() {
        let folder = tempfile::tempdir().unwrap();
        let bus = MemoryBus::new(folder.path()).unwrap();
        let start = Start::Checkpoint { settled: RoaringTreemap::new(), note: b"states".to_vec() };
        bus.open(1, start.clone()).await.unwrap();
        assert!(bus.claim(1, 7, Moment(5), true).await.unwrap());
        assert!(bus.unclaim(1, 7).await.unwrap());
        assert!(bus.answer(1, 7, b"{\"host_id\":7}".to_vec(), b"note".to_vec()).await.unwrap());
        assert!(bus.answer(1, 8, Vec::new(), Vec::new()).await.unwrap());
        assert!(bus.close(1, b"why".to_vec()).await.unwrap());
        let expected = [
            JobChange::Restored { note: b"states".to_vec() },
            JobChange::Sent { host: 7, at: Moment(5), is_alone: true },
            JobChange::Again { host: 7 },
            JobChange::Settled { host: 7, note: b"note".to_vec() },
            JobChange::Settled { host: 8, note: Vec::new() },
            JobChange::Closed { note: b"why".to_vec() },
        ];
        for after in [0, 0, 2, 6] {
            let events = bus.events(1, after).await.unwrap();
            let positions: Vec<u64> = events.iter().map(|event| event.position).collect();
            assert_eq!(positions, (after + 1..=6).collect::<Vec<_>>());
            let heard = usize::try_from(after).unwrap();
            assert!(events.into_iter().map(|event| event.change).eq(expected[heard..].iter().cloned()));
        }
        assert_eq!(bus.read(1, 0, 100).await.unwrap().lines.len(), 1, "an empty answer is no line");
        drop(bus);
        let bus = MemoryBus::new(folder.path()).unwrap();
        assert_eq!(bus.open(1, start).await.unwrap(), Opened::Found);
        assert_eq!(bus.events(1, 0).await.unwrap(), [], "what was there says who is settled");
    }

    #[tokio::test]
    async fn an_answer_is_there_when_it_is_flushed_and_taken_back_when_it_cannot_be() {
        let folder = tempfile::tempdir().unwrap();
        let bus = MemoryBus::new(folder.path()).unwrap();
        bus.open(1, Start::New).await.unwrap();
        assert!(bus.answer(1, 1, b"{\"host_id\":1}".to_vec(), Vec::new()).await.unwrap());
        let kept = bus.read(1, 0, usize::MAX).await.unwrap();
        let stream = bus.stream(1).unwrap();
        let first = stream.write(2, b"{\"host_id\":2}".to_vec(), Vec::new()).unwrap();
        let repeat = stream.write(2, b"{\"host_id\":2}".to_vec(), Vec::new()).unwrap();
        assert!(first.is_first && !repeat.is_first);
        assert_eq!(bus.read(1, 0, usize::MAX).await.unwrap(), kept, "nobody sees what may go away");
        stream.flush_now(|_| Err(io::Error::other("the disk is broken"))).unwrap_err();
        assert!(stream.flush(first).await.is_err() && stream.flush(repeat).await.is_err(), "neither was kept");
        assert!(bus.claim(1, 2, Moment(0), true).await.unwrap(), "the host has not answered");
        assert!(bus.answer(1, 2, b"{\"host_id\":2,\"n\":2}".to_vec(), Vec::new()).await.unwrap());
        let text = fs::read_to_string(folder.path().join("1.ndjson")).unwrap();
        assert_eq!(text, "{\"host_id\":1}\n{\"host_id\":2,\"n\":2}\n");
    }

    #[tokio::test]
    async fn one_flush_is_for_everybody_who_waits() {
        let folder = tempfile::tempdir().unwrap();
        let bus = MemoryBus::new(folder.path()).unwrap();
        bus.open(1, Start::New).await.unwrap();
        let stream = bus.stream(1).unwrap();
        let one = stream.write(1, b"{\"host_id\":1}".to_vec(), Vec::new()).unwrap();
        let two = stream.write(2, b"{\"host_id\":2}".to_vec(), Vec::new()).unwrap();
        stream.flush_now(File::sync_data).unwrap();
        // With the file gone, a flush of their own would fail.
        fs::remove_file(folder.path().join("1.ndjson")).unwrap();
        assert!(stream.flush(one).await.unwrap() && stream.flush(two).await.unwrap());
    }

    #[tokio::test]
    async fn a_line_cut_by_a_crash_is_not_an_answer() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("3.ndjson"), "{\"host_id\":1}\n{\"host_id\":2,\"rows\"").unwrap();
        let bus = MemoryBus::new(folder.path()).unwrap();
        assert_eq!(bus.open(3, Start::New).await.unwrap(), Opened::Found);
        assert_eq!(bus.read(3, 0, usize::MAX).await.unwrap().lines.len(), 1);
        assert!(bus.answer(3, 2, b"{\"host_id\":2}".to_vec(), Vec::new()).await.unwrap());
        assert_eq!(bus.read(3, 0, usize::MAX).await.unwrap().lines.len(), 2);
    }
}
