//! Appends lines to a file. All requests that arrive while the disk is busy, or within [`SPACING`], share the next write and
//! the next flush (group commit): one thread per file takes commands from a queue, and a batch is acknowledged only after the
//! flush.
//!
//! A write that fails halfway leaves bytes of lines that are refused, and agents send those again. They are cut off at
//! once, or before the next append: until then nothing is written behind them. The end of a line that a crash cut off is
//! removed when the file is opened. One process holds the lock of a file, because two would cut off each other's lines.

mod log_file;

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use self::log_file::LogFile;
use super::{LogLines, Sink, SinkError};
use crate::spacing::Spacing;

/// Bytes that share one flush at most, so that one slow flush does not hold everybody.
const GROUP_BYTES: usize = 16 << 20;

/// Time from one flush to the next, as long as others come in between. A flush costs more than the lines of most batches, and
/// an agent waits for it once in several seconds.
const SPACING: Duration = Duration::from_millis(20);

/// When a file is rotated.
#[derive(Debug, Clone, Copy)]
pub struct Rotation {
    pub size_bytes: u64,
    /// Old files that are kept, as `NAME.1` (newest) to `NAME.N`.
    pub keep: u32,
}

enum Command {
    Append(LogLines, oneshot::Sender<Result<(), SinkError>>),
    Reopen,
}

/// A file that lines are appended to. `Ok` means written and flushed to the disk.
#[derive(Debug)]
pub struct FileSink {
    path: PathBuf,
    commands: mpsc::UnboundedSender<Command>,
}

impl FileSink {
    /// Opens the file, creates it and its folder if they are missing, and locks it for this process. The end of a line that
    /// a crash cut off is removed: it was never acknowledged, and the agent sends the line again.
    ///
    /// # Errors
    /// When the file cannot be opened or another process holds it.
    pub fn open(path: &Path, rotation: Option<Rotation>) -> io::Result<Self> {
        let mut file = LogFile::open(path, rotation)?;
        let (commands, mut queue) = mpsc::unbounded_channel();
        thread::Builder::new().name("log-file".to_owned()).spawn(move || {
            let mut refused = 0;
            let mut spacing = Spacing::new(SPACING);
            while let Some(command) = queue.blocking_recv() {
                let until = spacing.until();
                if let Some(until) = until {
                    #[expect(
                        clippy::disallowed_methods,
                        reason = "a thread of its own, which others wait for by the queue"
                    )]
                    thread::sleep(until.saturating_duration_since(Instant::now()));
                }
                spacing.begin(1 + queue.len(), until.is_some());
                serve(&mut file, command, &mut queue, &mut refused);
            }
        })?;
        Ok(Self { path: path.to_owned(), commands })
    }

    fn has_no_writer(&self) -> SinkError {
        SinkError(format!("{}: the thread that writes has ended; restart the server", self.path.display()))
    }
}

/// Handles one command and every append that is waiting behind it. `refused` counts requests since writing began to fail.
fn serve(file: &mut LogFile, first: Command, queue: &mut mpsc::UnboundedReceiver<Command>, refused: &mut usize) {
    let mut group = Vec::new();
    let mut waiting = Vec::new();
    let mut is_reopen_asked = false;
    let mut next = Some(first);
    while let Some(command) = next {
        match command {
            Command::Append(lines, answer) => {
                if group.is_empty() {
                    // A batch that is alone is written without a copy.
                    group = lines.into_bytes();
                } else {
                    group.extend_from_slice(lines.as_bytes());
                }
                waiting.push(answer);
            }
            Command::Reopen => is_reopen_asked = true,
        }
        next = if group.len() < GROUP_BYTES { queue.try_recv().ok() } else { None };
    }
    if !waiting.is_empty() {
        let outcome = file.append(&group).map_err(|error| SinkError(format!("{}: {error}", file.path().display())));
        match &outcome {
            Err(error) => {
                *refused += waiting.len();
                tracing::error!(%error, requests = waiting.len(), "log lines not written; agents will send them again");
            }
            Ok(()) if *refused > 0 => {
                tracing::info!(path = %file.path().display(), refused = *refused, "log lines are written again");
                *refused = 0;
            }
            Ok(()) => {}
        }
        for answer in waiting {
            // The request may have ended; the lines are kept all the same.
            let _ = answer.send(outcome.clone());
        }
    }
    if is_reopen_asked {
        file.reopen_at_next_append();
    }
}

impl Sink for FileSink {
    fn name(&self) -> &'static str {
        "filesystem"
    }

    fn append(&self, lines: LogLines) -> Pin<Box<dyn Future<Output = Result<(), SinkError>> + Send + '_>> {
        Box::pin(async move {
            let (answer, outcome) = oneshot::channel();
            self.commands.send(Command::Append(lines, answer)).map_err(|_| self.has_no_writer())?;
            outcome.await.map_err(|_| self.has_no_writer())?
        })
    }

    fn check(&self) -> Result<(), SinkError> {
        if self.commands.is_closed() { Err(self.has_no_writer()) } else { Ok(()) }
    }

    fn reopen(&self) {
        // If the writer has stopped, the next append fails.
        let _ = self.commands.send(Command::Reopen);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn line(text: &str) -> LogLines {
        std::iter::once(text.as_bytes()).collect()
    }

    #[tokio::test]
    async fn lines_are_there_when_it_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/result");
        let sink = FileSink::open(&path, None).unwrap();
        let appends = (0..50).map(|n| sink.append(line(&format!("line {n}\n"))));
        for outcome in futures_util::future::join_all(appends).await {
            outcome.unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 50);
    }

    #[tokio::test]
    async fn a_writer_that_has_ended_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = FileSink::open(&folder.path().join("result"), None).unwrap();
        sink.check().unwrap();
        // The end of a thread drops its end of the queue.
        sink.commands = mpsc::unbounded_channel().0;
        assert!(sink.check().unwrap_err().to_string().contains("restart the server"));
        assert!(sink.append(line("lost\n")).await.is_err());
    }

    #[tokio::test]
    async fn a_file_has_one_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result");
        let _first = FileSink::open(&path, None).unwrap();
        let error = FileSink::open(&path, None).unwrap_err();
        assert!(error.to_string().contains("another process"), "{error}");
    }

    #[tokio::test]
    async fn a_cut_line_is_removed_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result");
        fs::write(&path, "whole\nhal").unwrap();
        let sink = FileSink::open(&path, None).unwrap();
        sink.append(line("next\n")).await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole\nnext\n");
    }

    #[tokio::test]
    async fn reopen_follows_a_file_that_was_moved() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result");
        let sink = FileSink::open(&path, None).unwrap();
        sink.append(line("one\n")).await.unwrap();
        fs::rename(&path, folder.path().join("moved")).unwrap();
        sink.reopen();
        sink.append(line("two\n")).await.unwrap();
        sink.append(line("three\n")).await.unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("moved")).unwrap(), "one\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\nthree\n");
    }

    #[tokio::test]
    async fn a_removed_file_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result");
        let sink = FileSink::open(&path, None).unwrap();
        sink.append(line("one\n")).await.unwrap();
        fs::remove_file(&path).unwrap();
        sink.append(line("two\n")).await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
    }

    #[tokio::test]
    async fn rotation_keeps_every_line_of_the_files_it_keeps() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result");
        let sink = FileSink::open(&path, Some(Rotation { size_bytes: 20, keep: 2 })).unwrap();
        for n in 0..8 {
            sink.append(line(&format!("line number {n}\n"))).await.unwrap();
        }
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_default();
        assert_eq!(read("result.2"), "line number 4\nline number 5\n");
        assert_eq!(read("result.1"), "line number 6\nline number 7\n");
        assert_eq!(read("result"), "");
        assert!(!folder.path().join("result.3").exists());
    }
}
