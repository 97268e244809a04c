use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::Rotation;
use crate::lock::lock_file;

/// An open log file and the end of its last good line.
pub(super) struct LogFile {
    path: PathBuf,
    rotation: Option<Rotation>,
    /// `None` after a failure, or when the file is to be opened again.
    open: Option<File>,
    /// Where the last good line ends, if a write after it failed and the rest could not be cut off yet.
    cut_at: Option<u64>,
}

impl LogFile {
    pub(super) fn open(path: &Path, rotation: Option<Rotation>) -> io::Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let mut file = Self { path: path.to_owned(), rotation, open: None, cut_at: None };
        file.ensure_open()?;
        Ok(file)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn reopen_at_next_append(&mut self) {
        self.open = None;
    }

    /// Writes and flushes. On an error nothing of `lines` stays in the file; if they cannot be cut off at once, nothing
    /// more is written until they can.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.follow_moved_file();
        let cut_at = self.cut_at;
        let file = self.ensure_open()?;
        if let Some(good_end) = cut_at {
            cut(file, good_end)?;
        }
        self.cut_at = None;
        let file = self.ensure_open()?;
        let good_end = file.metadata()?.len();
        if let Err(error) = write_and_flush(file, lines) {
            if cut(file, good_end).is_err() {
                self.cut_at = Some(good_end);
            }
            // After a failed fsync the kernel may drop the dirty pages, and the next fsync on this descriptor succeeds
            // without them. Only a new descriptor can be trusted.
            self.open = None;
            return Err(error);
        }
        if let Some(rotation) = self.rotation
            && good_end + lines.len() as u64 >= rotation.size_bytes
            && let Err(error) = self.rotate(rotation)
        {
            tracing::warn!(path = %self.path.display(), %error, "log file not rotated; it keeps growing");
        }
        Ok(())
    }

    fn ensure_open(&mut self) -> io::Result<&mut File> {
        if self.open.is_none() {
            let mut file = OpenOptions::new().create(true).append(true).read(true).mode(0o640).open(&self.path)?;
            lock_file(&file, || {
                format!("another process writes to {}; give each server its own log files", self.path.display())
            })?;
            let metadata = file.metadata()?;
            if !metadata.is_file() {
                return Err(io::Error::other(format!(
                    "{} is not a regular file; to write to a pipe set the log plugin to stdout",
                    self.path.display()
                )));
            }
            if metadata.len() == 0 {
                sync_folder(&self.path)?;
            } else if self.cut_at.is_none() {
                remove_cut_line(&mut file)?;
            }
            self.open = Some(file);
        }
        self.open.as_mut().ok_or_else(|| io::Error::other("the log file is not open"))
    }

    /// Closes the file if its path now names another file or none, as after logrotate.
    fn follow_moved_file(&mut self) {
        let Some(file) = &self.open else { return };
        let is_same = match (file.metadata(), fs::metadata(&self.path)) {
            (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
            _ => false,
        };
        if !is_same {
            self.open = None;
            self.cut_at = None;
        }
    }

    fn rotate(&mut self, rotation: Rotation) -> io::Result<()> {
        let numbered = |n: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{n}"));
            PathBuf::from(name)
        };
        if rotation.keep == 0 {
            return Err(io::Error::other(
                "filesystem.rotate_keep is 0, which would delete every line; set it to 1 or more",
            ));
        }
        for n in (1..rotation.keep).rev() {
            if numbered(n).exists() {
                fs::rename(numbered(n), numbered(n + 1))?;
            }
        }
        fs::rename(&self.path, numbered(1))?;
        self.open = None;
        self.ensure_open()?;
        Ok(())
    }
}

fn write_and_flush(file: &mut File, lines: &[u8]) -> io::Result<()> {
    file.write_all(lines)?;
    file.sync_data()
}

fn cut(file: &mut File, good_end: u64) -> io::Result<()> {
    if file.metadata()?.len() > good_end {
        file.set_len(good_end)?;
        file.sync_data()?;
    }
    Ok(())
}

/// Makes the name of a new file survive a power loss.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Cuts the file after its last newline.
fn remove_cut_line(file: &mut File) -> io::Result<()> {
    const STEP: u64 = 64 * 1024;
    let length = file.metadata()?.len();
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(STEP);
        let mut piece = vec![0; usize::try_from(end - start).map_err(io::Error::other)?];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut piece)?;
        if let Some(newline) = piece.iter().rposition(|byte| *byte == b'\n') {
            return cut(file, start + newline as u64 + 1);
        }
        end = start;
    }
    cut(file, 0)
}
