//! Finds the files of a folder that hold documents, and reads them within bounds.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};

/// Endings of files that hold documents.
pub const YAML_ENDINGS: [&str; 2] = ["yml", "yaml"];

/// Most of what is read of a folder.
#[derive(Debug, Clone, Copy)]
pub struct FolderBounds {
    /// Files and folders, those of other endings included.
    pub entries: usize,
    /// Bytes of one file.
    pub file_bytes: u64,
}

impl FolderBounds {
    /// No bounds, for what somebody reads on the own machine.
    pub const NONE: Self = Self { entries: usize::MAX, file_bytes: u64::MAX };
}

/// Files below a folder, sorted by name.
#[derive(Debug, Default)]
pub struct FolderFiles {
    pub files: Vec<PathBuf>,
    /// Those with other endings.
    pub others: Vec<PathBuf>,
    /// The folders that were looked through.
    pub folders: Vec<PathBuf>,
    entries: usize,
}

/// Finds the files with one of these endings. Skips hidden entries and linked folders.
///
/// # Errors
/// When a folder cannot be read, or holds more than the bounds allow.
pub fn files_below(folder: &Path, endings: &[&str], bounds: FolderBounds) -> anyhow::Result<FolderFiles> {
    let mut found = FolderFiles::default();
    look_through(folder, endings, bounds, &mut found)?;
    Ok(found)
}

fn look_through(dir: &Path, endings: &[&str], bounds: FolderBounds, found: &mut FolderFiles) -> anyhow::Result<()> {
    let listing = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut entries = Vec::new();
    for entry in listing {
        found.entries += 1;
        if found.entries > bounds.entries {
            bail!("{} holds more than {} files and folders", dir.display(), bounds.entries);
        }
        entries.push(entry.with_context(|| format!("cannot read {}", dir.display()))?);
    }
    entries.sort_by_key(fs::DirEntry::file_name);
    found.folders.push(dir.to_owned());
    for entry in entries {
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let kind = entry.file_type().with_context(|| format!("cannot read {}", path.display()))?;
        if kind.is_dir() {
            look_through(&path, endings, bounds, found)?;
            continue;
        }
        let is_wanted = path.extension().is_some_and(|ending| endings.iter().any(|known| ending == *known));
        // A link that leads nowhere is told of: what it names would count as deleted.
        let is_broken_link = is_wanted && kind.is_symlink() && !path.exists();
        if !path.is_file() && !is_broken_link {
            continue;
        }
        if is_wanted { found.files.push(path) } else { found.others.push(path) }
    }
    Ok(())
}

/// The text of a file; `name` stands for it in errors.
///
/// # Errors
/// When it cannot be read, is longer than the bounds allow or is not UTF-8, with the line.
pub fn text_of(path: &Path, name: &str, bounds: FolderBounds) -> anyhow::Result<String> {
    // Opening anything else may wait for ever.
    let kind = fs::metadata(path).with_context(|| format!("cannot read {name}"))?;
    if !kind.is_file() {
        bail!("{name} is not a regular file");
    }
    let file = fs::File::open(path).with_context(|| format!("cannot read {name}"))?;
    let mut bytes = Vec::new();
    let most = bounds.file_bytes;
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).with_context(|| format!("cannot read {name}"))?;
    if bytes.len() as u64 > most {
        bail!("{name} has more than {most} bytes; split it");
    }
    utf8(name, bytes)
}

/// The text of these bytes.
///
/// # Errors
/// When they are not UTF-8, with the line.
pub fn utf8(name: &str, bytes: Vec<u8>) -> anyhow::Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
        anyhow!("{name}:{line}: not UTF-8; convert the file, for example with iconv")
    })
}

/// Refuses a file that links lead out of its folder.
///
/// # Errors
/// When it stands elsewhere, or is not there.
pub fn within_folder(path: &Path, folder: &Path) -> Result<(), String> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let real = |path: &Path| fs::canonicalize(path).map_err(|error| error.to_string());
    if real(path)?.starts_with(real(folder)?) {
        return Ok(());
    }
    Err("it is a link to a file outside of the folder; put the file itself there".to_owned())
}
