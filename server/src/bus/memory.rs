//! The bus of a single process: turns in memory, answers in one append-only file per job. The cursor is the offset. It
//! has no events to tell: the one process there is has caused them all, and after a restart the answers say who is settled.

use crate::lock::lock;
use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use roaring::RoaringTreemap;
use tokio::sync::watch;

use super::{BusError, BusFuture, Event, Line, LiveBus, Opened, Piece, Start};
use crate::clock::Moment;

/// Lines are read in steps of this size.
const STEP: usize = 64 * 1024;

/// See the module.
#[derive(Debug)]
pub struct MemoryBus {
    folder: PathBuf,
    jobs: Mutex<HashMap<i64, Arc<Stream>>>,
    /// One file is opened at a time, so that only one caller makes it.
    opening: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Stream {
    path: PathBuf,
    inner: Mutex<Inner>,
    end: watch::Sender<u64>,
}

#[derive(Debug)]
struct Inner {
    claimed: RoaringTreemap,
    settled: RoaringTreemap,
    is_closed: bool,
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

    fn stream(&self, job: i64) -> Result<Arc<Stream>, BusError> {
        let found = lock(&self.jobs).get(&job).cloned();
        found.ok_or(BusError::Lost(job))
    }

    fn path(&self, job: i64) -> PathBuf {
        self.folder.join(format!("{job}.ndjson"))
    }
}

impl Stream {
    /// Opens the file, cuts off a line that a crash left unfinished, and notes who has answered. Says whether it made it.
    fn open(path: PathBuf, start: Start) -> io::Result<(Self, Opened)> {
        let opened = if path.exists() { Opened::Found } else { Opened::Made };
        let mut file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(&path)?;
        // What the checkpoint says is no less true when the file is there: it may be of before a loss of power.
        let mut settled = match start {
            Start::New => RoaringTreemap::new(),
            Start::Checkpoint { settled } => settled,
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
        let inner = Inner { claimed: RoaringTreemap::new(), settled, is_closed: false };
        Ok((Self { path, inner: Mutex::new(inner), end: watch::Sender::new(end) }, opened))
    }

    fn answer(&self, host: u64, mut line: Vec<u8>) -> io::Result<bool> {
        let mut inner = lock(&self.inner);
        if inner.is_closed || inner.settled.contains(host) {
            return Ok(false);
        }
        line.push(b'\n');
        let end = *self.end.borrow();
        // Opened for each answer: thousands of live queries may be kept, and open files are few.
        let mut file = OpenOptions::new().append(true).open(&self.path)?;
        if let Err(error) = file.write_all(&line) {
            file.set_len(end)?;
            return Err(error);
        }
        inner.claimed.remove(host);
        inner.settled.insert(host);
        self.end.send_replace(end + line.len() as u64);
        Ok(true)
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
            piece.lines.push(Line { cursor: piece.next, text });
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
            let _turn = self.opening.lock().await;
            if lock(&self.jobs).contains_key(&job) {
                return Ok(Opened::Found);
            }
            let path = self.path(job);
            let (stream, opened) = blocking(move || Stream::open(path, start)).await?;
            lock(&self.jobs).insert(job, Arc::new(stream));
            Ok(opened)
        })
    }

    fn claim(&self, job: i64, host: i64, _at: Moment, _is_alone: bool) -> BusFuture<'_, bool> {
        Box::pin(async move {
            let stream = self.stream(job)?;
            let mut inner = lock(&stream.inner);
            let host = host.cast_unsigned();
            Ok(!inner.is_closed && !inner.settled.contains(host) && inner.claimed.insert(host))
        })
    }

    fn unclaim(&self, job: i64, host: i64) -> BusFuture<'_, bool> {
        Box::pin(async move {
            let stream = self.stream(job)?;
            let mut inner = lock(&stream.inner);
            Ok(!inner.is_closed && inner.claimed.remove(host.cast_unsigned()))
        })
    }

    fn answer(&self, job: i64, host: i64, line: Vec<u8>, _note: Vec<u8>) -> BusFuture<'_, bool> {
        Box::pin(async move {
            let stream = self.stream(job)?;
            blocking(move || stream.answer(host.cast_unsigned(), line)).await
        })
    }

    fn close(&self, job: i64, _note: Vec<u8>) -> BusFuture<'_, bool> {
        Box::pin(async move {
            let stream = self.stream(job)?;
            Ok(!std::mem::replace(&mut lock(&stream.inner).is_closed, true))
        })
    }

    fn events(&self, job: i64, _after: u64) -> BusFuture<'_, Vec<Event>> {
        Box::pin(async move { self.stream(job).map(|_| Vec::new()) })
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
