//! The file with the answers to one job, and the state of the job's hosts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use roaring::RoaringTreemap;
use tokio::sync::{oneshot, watch};

use super::{NoteOf, unavailable};
use crate::bus::{
    BusError, Claim, EVENTS_AT_ONCE, EventPiece, EventPosition, JobChange, JobEvent, LivePace, Opened, Piece,
    ResultLine, Start, host_of,
};
use crate::clock::Moment;
use crate::lock::lock;

/// Lines are read and written in steps of this size.
const STEP: usize = 64 * 1024;

/// A job on the bus of one process.
#[derive(Debug)]
pub(super) struct JobFile {
    path: PathBuf,
    /// Never locked while a disk is waited for.
    state: Mutex<JobState>,
    /// The end of what is flushed. Only the writer moves it.
    end: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct JobState {
    claimed: RoaringTreemap,
    /// Hosts whose answer is flushed, or that are settled without one.
    settled: RoaringTreemap,
    is_closed: bool,
    pace: LivePace,
    /// For [`LivePace::take`].
    due: i64,
    /// Answers that nobody writes yet, by ticket. Each belongs to a request under way, which takes it away when it is
    /// given up; so the bound of these requests is the bound of this.
    waiting: BTreeMap<u64, WaitingAnswer>,
    next_ticket: u64,
    /// Whether a writer takes what waits. There is one at a time.
    is_writing: bool,
    /// Events that nobody has gone beyond yet, and how many were forgotten before them.
    events: VecDeque<JobChange>,
    forgotten: u64,
}

/// Where the outcome of an answer goes.
type Reply = oneshot::Sender<Result<bool, BusError>>;

#[derive(Debug)]
struct WaitingAnswer {
    host: u64,
    /// Without its newline.
    line: Bytes,
    note: Vec<u8>,
    done: Reply,
}

/// Answers that are written and flushed together.
#[derive(Debug, Default)]
pub(super) struct AnswerBatch {
    answers: Vec<WaitingAnswer>,
    /// Further answers of the same hosts, which wait for the outcome of the first.
    repeats: Vec<Reply>,
}

/// An answer that waits to be written. Dropping it takes the answer away, unless it is being written.
#[derive(Debug)]
pub(super) struct Ticket<'a> {
    file: &'a JobFile,
    number: u64,
    done: oneshot::Receiver<Result<bool, BusError>>,
}

impl JobFile {
    /// Opens the file or makes it. Reads the answers that the checkpoint does not cover, and cuts off a line that a
    /// crash left unfinished.
    pub fn open(path: PathBuf, start: Start, note_of: NoteOf) -> io::Result<(Self, Opened)> {
        let (settled, note, covered) = match start {
            Start::New => (RoaringTreemap::new(), None, Some(0)),
            Start::Checkpoint { settled, note, covered } => (settled, Some(note), Some(covered)),
            Start::Over { settled, note } => (settled, Some(note), None),
        };
        // why: the checkpoint counts also when the file is there. After a loss of power the database may be ahead of
        // the file.
        let mut state = JobState { settled, ..JobState::default() };
        let (end, opened) = match File::open(&path) {
            Ok(file) => (state.take_up(&path, file, covered, note_of)?, Opened::Found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path)?.sync_all()?;
                if let Some(folder) = path.parent() {
                    File::open(folder)?.sync_all()?;
                }
                state.events.extend(note.map(|note| JobChange::Restored { note }));
                (0, Opened::Made)
            }
            Err(error) => return Err(error),
        };
        Ok((Self { path, state: Mutex::new(state), end: watch::Sender::new(end) }, opened))
    }

    pub fn claim(&self, host: i64, at: Moment, is_alone: bool, is_canary: bool) -> Claim {
        let mut state = lock(&self.state);
        let state = &mut *state;
        let id = host.cast_unsigned();
        if state.is_closed || state.settled.contains(id) || state.claimed.contains(id) {
            return Claim::Taken;
        }
        if let Err(held) = state.pace.take(&mut state.due, at, is_canary) {
            return held;
        }
        state.claimed.insert(id);
        state.events.push_back(JobChange::Sent { host, at, is_alone });
        Claim::Won
    }

    pub fn pace(&self, pace: LivePace) -> bool {
        let mut state = lock(&self.state);
        let is_news = !state.is_closed && pace.changes > state.pace.changes;
        if is_news {
            state.pace = pace;
            state.events.push_back(JobChange::Paced(pace));
        }
        is_news
    }

    pub fn unclaim(&self, host: i64) -> bool {
        let mut state = lock(&self.state);
        let was_claimed = !state.is_closed && state.claimed.remove(host.cast_unsigned());
        if was_claimed {
            state.events.push_back(JobChange::Pending { host });
        }
        was_claimed
    }

    pub fn close(&self, note: Vec<u8>) -> bool {
        let mut state = lock(&self.state);
        let is_first = !std::mem::replace(&mut state.is_closed, true);
        if is_first {
            state.events.push_back(JobChange::Closed { note });
        }
        is_first
    }

    pub fn events(&self, after: u64) -> EventPiece {
        let mut state = lock(&self.state);
        let seen = usize::try_from(after.saturating_sub(state.forgotten)).unwrap_or(usize::MAX);
        let seen = seen.min(state.events.len());
        state.events.drain(..seen);
        state.forgotten += seen as u64;
        let first = state.forgotten + 1;
        let changes = state.events.iter().take(EVENTS_AT_ONCE).cloned();
        let position = |number| EventPosition { number, tag: 0 };
        let events = (first..).zip(changes).map(|(number, change)| JobEvent { position: position(number), change });
        let events: Vec<_> = events.collect();
        EventPiece {
            last: position(state.forgotten + events.len() as u64),
            is_last: events.len() == state.events.len(),
            events,
            is_from_start: false,
        }
    }

    pub fn watch(&self) -> watch::Receiver<u64> {
        self.end.subscribe()
    }

    pub fn end(&self) -> u64 {
        *self.end.borrow()
    }

    /// Settles a host. Waits until its line is flushed, together with those of others.
    pub async fn answer(self: &Arc<Self>, host: i64, line: Bytes, note: Vec<u8>) -> Result<bool, BusError> {
        if line.is_empty() {
            return Ok(self.settle_without_line(host, note));
        }
        let (ticket, must_write) = self.queue(host, line, note);
        if must_write {
            let file = Arc::clone(self);
            // A task, because it goes on for the others when this request is given up.
            tokio::task::spawn_blocking(move || file.write());
        }
        ticket.outcome().await
    }

    fn settle_without_line(&self, host: i64, note: Vec<u8>) -> bool {
        let mut state = lock(&self.state);
        !state.is_closed && state.settle(host.cast_unsigned(), note)
    }

    /// Queues an answer. True if the caller has to write what waits, because nobody does.
    pub(super) fn queue(&self, host: i64, line: Bytes, note: Vec<u8>) -> (Ticket<'_>, bool) {
        let (sender, done) = oneshot::channel();
        let mut state = lock(&self.state);
        let number = state.next_ticket;
        state.next_ticket += 1;
        state.waiting.insert(number, WaitingAnswer { host: host.cast_unsigned(), line, note, done: sender });
        let must_write = !std::mem::replace(&mut state.is_writing, true);
        (Ticket { file: self, number, done }, must_write)
    }

    /// Writes and flushes until nothing waits.
    fn write(&self) {
        let _guard = WritingGuard(self);
        while let Some(batch) = self.next_batch() {
            self.write_batch(batch, File::sync_data);
        }
    }

    /// The answers to write next; none when nothing waits, and then this writer is done.
    pub(super) fn next_batch(&self) -> Option<AnswerBatch> {
        let mut state = lock(&self.state);
        if state.waiting.is_empty() {
            state.is_writing = false;
            return None;
        }
        let (mut batch, mut hosts) = (AnswerBatch::default(), BTreeSet::new());
        for answer in std::mem::take(&mut state.waiting).into_values() {
            if state.is_closed || state.settled.contains(answer.host) {
                // The request may have been given up.
                let _ = answer.done.send(Ok(false));
            } else if hosts.insert(answer.host) {
                batch.answers.push(answer);
            } else {
                batch.repeats.push(answer.done);
            }
        }
        Some(batch)
    }

    /// Writes and flushes a batch, and reports to all who wait for it. When that fails no answer of it counts, because
    /// a system may report a failed flush once and then succeed without having kept the data.
    pub(super) fn write_batch(&self, batch: AnswerBatch, sync: impl FnOnce(&File) -> io::Result<()>) {
        let AnswerBatch { answers, repeats } = batch;
        if answers.is_empty() {
            return;
        }
        let start = self.end();
        let outcome = append(&self.path, start, &answers, sync).map_err(|error| unavailable(&error));
        let (counted, is_kept) = match &outcome {
            Ok(()) => self.count(start, answers),
            Err(_) => (answers.into_iter().map(|answer| (answer.done, false)).collect(), false),
        };
        if !is_kept {
            // What cannot be cut off now is cut off before the next write.
            let _ = cut(&self.path, start);
        }
        for (done, is_first) in counted.into_iter().chain(repeats.into_iter().map(|done| (done, false))) {
            // The request may have been given up.
            let _ = done.send(outcome.clone().map(|()| is_first));
        }
    }

    /// Settles the hosts of answers that are flushed from `start` on. Gives for each whether it counts, and whether the
    /// lines are kept.
    fn count(&self, start: u64, answers: Vec<WaitingAnswer>) -> (Vec<(Reply, bool)>, bool) {
        let mut state = lock(&self.state);
        // why: closed while they were written. Nobody counts these answers, so nobody may read them.
        if state.is_closed {
            return (answers.into_iter().map(|answer| (answer.done, false)).collect(), false);
        }
        let mut end = start;
        let counted = answers.into_iter().map(|WaitingAnswer { host, line, note, done }| {
            end += line.len() as u64 + 1;
            (done, state.settle(host, note))
        });
        let counted = counted.collect();
        // With the state locked: whoever hears of this end finds the events.
        self.end.send_replace(end);
        (counted, true)
    }

    pub fn read(&self, cursor: u64, max_bytes: usize) -> io::Result<Piece> {
        let end = self.end();
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

impl JobState {
    /// Settles a host, unless it is settled.
    fn settle(&mut self, host: u64, note: Vec<u8>) -> bool {
        let is_first = self.settled.insert(host);
        if is_first {
            self.claimed.remove(host);
            self.events.push_back(JobChange::Settled { host: host.cast_signed(), note });
        }
        is_first
    }

    /// Takes up the answers in a file, and gives where they end. Those that the checkpoint does not cover become events
    /// again, in their order; without a checkpoint none do.
    fn take_up(&mut self, path: &Path, file: File, covered: Option<u64>, note_of: NoteOf) -> io::Result<u64> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other(format!("{} is not a regular file", path.display())));
        }
        // why: an end that is not the end of a line is that of another file, so everything is read.
        let offset = covered.unwrap_or(metadata.len());
        let mut end = if ends_line(&file, offset, metadata.len())? { offset } else { 0 };
        let mut reader = BufReader::with_capacity(STEP, file);
        reader.seek(SeekFrom::Start(end))?;
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
            end += line.len() as u64;
            if let Some(host) = host_of(&line) {
                self.settled.insert(host);
                if covered.is_some() {
                    self.events.push_back(JobChange::Settled { host: host.cast_signed(), note: note_of(&line) });
                }
            }
            line.clear();
        }
        if end < metadata.len() {
            cut(path, end)?;
        }
        Ok(end)
    }
}

/// Lets the next answer have a writer, should this one panic; those that wait fail.
struct WritingGuard<'a>(&'a JobFile);

impl Drop for WritingGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut state = lock(&self.0.state);
            state.is_writing = false;
            state.waiting.clear();
        }
    }
}

impl Ticket<'_> {
    pub(super) async fn outcome(mut self) -> Result<bool, BusError> {
        let lost = |_| Err(BusError::Unavailable("the writer of a live query's results has ended".to_owned()));
        (&mut self.done).await.unwrap_or_else(lost)
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        lock(&self.file.state).waiting.remove(&self.number);
    }
}

/// Appends lines at `start`, where the file ends but for what could not be cut off, and flushes them.
fn append(
    path: &Path,
    start: u64,
    answers: &[WaitingAnswer],
    sync: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    // why: opened for each batch, because thousands of live queries may be kept, and open files are few.
    let file = OpenOptions::new().append(true).open(path)?;
    if file.metadata()?.len() > start {
        file.set_len(start)?;
    }
    let mut writer = BufWriter::with_capacity(STEP, &file);
    let mut write = || -> io::Result<()> {
        for answer in answers {
            writer.write_all(&answer.line)?;
            writer.write_all(b"\n")?;
        }
        writer.flush()
    };
    let written = write();
    // why: dropped like this, it does not try once more to write what failed.
    let _ = writer.into_parts();
    written?;
    sync(&file)
}

/// Cuts off what lies behind `end`.
fn cut(path: &Path, end: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(end)?;
    file.sync_all()
}

/// Whether a line ends at `offset`, as it does at the beginning.
fn ends_line(file: &File, offset: u64, length: u64) -> io::Result<bool> {
    if offset == 0 || offset > length {
        return Ok(offset == 0);
    }
    let mut last = [0];
    file.read_exact_at(&mut last, offset - 1)?;
    Ok(last == *b"\n")
}
