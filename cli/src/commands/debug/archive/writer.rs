//! The file: a compressed tar that only its owner may read.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};
use tempfile::NamedTempFile;

/// An archive that gets its name when it is whole. Deleted if it is dropped before.
pub struct ArchiveWriter {
    tar: Builder<GzEncoder<NamedTempFile>>,
    /// The folder in the archive that has all entries.
    root: String,
}

impl ArchiveWriter {
    /// Begins a file beside the path it will have. Its entries stand in a folder with the name of the file, as in Fleet.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let file = tempfile::Builder::new().prefix(".fleetctl-archive-").tempfile_in(folder);
        let file = file.with_context(|| format!("cannot write in {}", folder.display()))?;
        let root = path.file_name().context("--outfile names no file")?.to_string_lossy().into_owned();
        Ok(Self { tar: Builder::new(GzEncoder::new(file, Compression::default())), root })
    }

    pub fn add(&mut self, name: &str, bytes: &[u8], at: DateTime<Utc>) -> anyhow::Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o600);
        header.set_size(bytes.len() as u64);
        header.set_mtime(at.timestamp().try_into().unwrap_or(0));
        let path = format!("{}/{name}", self.root);
        self.tar.append_data(&mut header, path, bytes).with_context(|| format!("cannot write the entry {name}"))
    }

    /// Makes the file durable and gives it its name.
    pub fn finish(self, path: &Path) -> anyhow::Result<()> {
        let cannot = || format!("cannot write {}", path.display());
        let mut file = self.tar.into_inner().and_then(GzEncoder::finish).with_context(cannot)?;
        file.flush().and_then(|()| file.as_file().sync_all()).with_context(cannot)?;
        file.persist_noclobber(path).with_context(cannot)?;
        Ok(())
    }
}

/// The SHA-256 of bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
