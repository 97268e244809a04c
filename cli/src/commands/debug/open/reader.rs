//! Reads an archive into memory, within limits: it may come from anybody, be cut off, or be made to fill the memory.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Context as _, bail};
use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};
use tar::{Archive, EntryType};

use crate::commands::debug::archive::{MANIFEST, Manifest, hex};
use crate::output;

/// Limits of what is read.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Entries that are read.
    pub entries: usize,
    /// Bytes of an entry that are held; of a longer one only its size and checksum are known.
    pub entry_bytes: u64,
    /// Bytes of all entries that are held.
    pub held_bytes: u64,
    /// Bytes that the archive may unpack to. What is behind them is not read.
    pub unpacked_bytes: u64,
}

/// An archive of 32 nodes has a thousand entries of at most 32 MiB, most of them some KiB, and 512 MiB in all.
pub const LIMITS: Limits =
    Limits { entries: 4_096, entry_bytes: 32 << 20, held_bytes: 256 << 20, unpacked_bytes: 1 << 30 };

/// Bytes of an extended header, which has a long name.
const MAX_HEADER: u64 = 64 << 10;

/// Faults that are listed.
const MAX_FAULTS: usize = 50;

/// What an archive contains.
#[derive(Debug, Default)]
pub struct Contents {
    /// By the path below the folder of the archive.
    pub entries: BTreeMap<String, ReadEntry>,
    /// `None` if another program made the archive, or its end is missing.
    pub manifest: Option<Manifest>,
    /// What is wrong with the archive.
    pub faults: Vec<String>,
}

/// An entry of an archive.
#[derive(Debug)]
pub struct ReadEntry {
    pub size: u64,
    pub sha256: String,
    /// Empty if it is too long to be held.
    pub bytes: Vec<u8>,
}

/// Reads an archive. A fault ends the reading; what was read before it is given.
///
/// # Errors
/// When the file is no archive at all.
pub fn read(path: &Path, limits: Limits) -> anyhow::Result<Contents> {
    let cannot = || format!("cannot read {}", path.display());
    let mut file = BufReader::new(File::open(path).with_context(cannot)?);
    let start = std::io::BufRead::fill_buf(&mut file).with_context(cannot)?;
    if !start.starts_with(&[0x1f, 0x8b]) {
        bail!("{} is not an archive of fleetctl debug archive: it is not compressed with gzip", path.display());
    }
    let mut contents = Contents::default();
    let unpacked = Bounded { inner: MultiGzDecoder::new(file), left: limits.unpacked_bytes, limits };
    if let Err(error) = contents.add_entries(path, unpacked, limits) {
        let read = contents.entries.len();
        contents.faults.push(if is_cut_off(&error) {
            cut_off(path, read)
        } else {
            format!("it can be read no further than {read} entries: {error}")
        });
    }
    if contents.entries.is_empty() {
        let why = contents.faults.pop().unwrap_or_else(|| "it contains nothing".to_owned());
        bail!("{} is not an archive of fleetctl debug archive: {why}", path.display());
    }
    contents.verify();
    Ok(contents)
}

impl Contents {
    fn add_entries(&mut self, path_of_archive: &Path, unpacked: impl Read, limits: Limits) -> std::io::Result<()> {
        let mut archive = Archive::new(unpacked);
        let mut held = 0;
        let mut long_name = None;
        // Extended headers are read here: the library holds them in memory, however long they are.
        for (count, entry) in archive.entries()?.raw(true).enumerate() {
            let mut entry = entry?;
            if count >= limits.entries {
                self.faults.push(format!("only the first {} entries are read", limits.entries));
                return Ok(());
            }
            match entry.header().entry_type() {
                EntryType::GNULongName => {
                    long_name = gnu_name(&mut entry)?;
                    continue;
                }
                EntryType::XHeader => {
                    long_name = pax_name(&mut entry)?;
                    continue;
                }
                EntryType::Regular | EntryType::Continuous => {}
                _ => continue,
            }
            let path = match long_name.take() {
                Some(path) => path,
                None => String::from_utf8_lossy(&entry.path_bytes()).into_owned(),
            };
            let size = entry.size();
            let may_hold = size <= limits.entry_bytes && held + size <= limits.held_bytes;
            let read = ReadEntry::read(&mut entry, may_hold)?;
            if read.size < size {
                self.faults.push(format!(
                    "{}; it ends within {}",
                    cut_off(path_of_archive, self.entries.len()),
                    output::printable(&path)
                ));
                return Ok(());
            }
            if !may_hold {
                self.faults.push(format!("{} has {size} bytes and is not looked into", output::printable(&path)));
            }
            held += read.bytes.len() as u64;
            self.entries.insert(below_root(&path), read);
        }
        Ok(())
    }

    /// Compares the entries with what the archive says of itself.
    fn verify(&mut self) {
        let Some(read) = self.entries.get(MANIFEST) else { return };
        let manifest = match serde_json::from_slice::<Manifest>(&read.bytes) {
            Ok(manifest) => manifest,
            Err(error) => return self.faults.push(format!("{MANIFEST} cannot be read: {error}")),
        };
        for listed in &manifest.entries {
            let name = output::printable(&listed.name);
            match self.entries.get(&listed.name) {
                None => self.faults.push(format!("{name} is missing")),
                Some(read) if read.sha256 != listed.sha256 => {
                    self.faults.push(format!("{name} was changed: its checksum differs from that in {MANIFEST}"));
                }
                Some(_) => {}
            }
        }
        let listed: HashSet<&str> = manifest.entries.iter().map(|listed| listed.name.as_str()).collect();
        let added = self.entries.keys().filter(|name| *name != MANIFEST && !listed.contains(name.as_str()));
        self.faults.extend(added.map(|name| format!("{} is not in {MANIFEST}", output::printable(name))));
        let more = self.faults.len().saturating_sub(MAX_FAULTS);
        if more > 0 {
            self.faults.truncate(MAX_FAULTS);
            self.faults.push(format!("{more} more faults"));
        }
        self.manifest = Some(manifest);
    }
}

impl ReadEntry {
    /// Reads an entry to its end, or to the end of what can be read.
    fn read(entry: &mut impl Read, holds: bool) -> std::io::Result<Self> {
        let (mut digest, mut size, mut bytes) = (Sha256::new(), 0, Vec::new());
        let mut part = [0; 16 << 10];
        loop {
            let count = entry.read(&mut part)?;
            if count == 0 {
                return Ok(Self { size, sha256: hex(&digest.finalize()), bytes });
            }
            digest.update(&part[..count]);
            size += count as u64;
            if holds {
                bytes.extend_from_slice(&part[..count]);
            }
        }
    }
}

/// A reader that fails where a limit is reached.
struct Bounded<R> {
    inner: R,
    left: u64,
    limits: Limits,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(into)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            let mib = self.limits.unpacked_bytes >> 20;
            std::io::Error::other(format!("it unpacks to more than {mib} MiB; what is behind them is not read"))
        })?;
        Ok(count)
    }
}

/// Whether reading has failed because there is no more.
fn is_cut_off(error: &std::io::Error) -> bool {
    // The library for tar gives this failure no kind.
    error.kind() == std::io::ErrorKind::UnexpectedEof || error.to_string().contains("failed to read entire block")
}

fn cut_off(path: &Path, read: usize) -> String {
    format!("{} is cut off: only the first {} can be read", path.display(), count(read))
}

fn count(entries: usize) -> String {
    if entries == 1 { "entry".to_owned() } else { format!("{entries} entries") }
}

/// The path without the folder that all entries have.
fn below_root(path: &str) -> String {
    path.split_once('/').map_or(path, |(_, below)| below).to_owned()
}

/// The name of the next entry, in the format of GNU.
fn gnu_name(entry: &mut impl Read) -> std::io::Result<Option<String>> {
    let bytes = header_bytes(entry)?;
    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(Some(String::from_utf8_lossy(name).into_owned()).filter(|name| !name.is_empty()))
}

/// The name of the next entry, in the format of POSIX: lines such as `20 path=folder/name`.
fn pax_name(entry: &mut impl Read) -> std::io::Result<Option<String>> {
    let bytes = header_bytes(entry)?;
    let text = String::from_utf8_lossy(&bytes);
    let path = text.lines().find_map(|line| line.split_once(' ')?.1.strip_prefix("path="));
    Ok(path.map(str::to_owned))
}

fn header_bytes(entry: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    entry.take(MAX_HEADER).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
