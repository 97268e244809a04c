//! Reads the folder that documents come from: within bounds, nothing outside of it, and only what stands still.

mod git;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use muster_api::documents::{
    DocumentProblem, Documents, FolderBounds, Gathered, Surroundings, YAML_ENDINGS, files_below, text_of, within_folder,
};
use sha2::{Digest as _, Sha256};

use self::git::Checkout;
use crate::clock::Moment;

/// Most files and folders, and most bytes of one file.
const BOUNDS: FolderBounds = FolderBounds { entries: 20_000, file_bytes: 16 << 20 };

/// Most bytes of all files together.
const MAX_BYTES: usize = 64 << 20;

/// The file that allows more deletions than `documents.max_deletes`.
pub const DELETIONS: &str = ".deletions";

/// Most bytes of that file.
const DELETIONS_BOUNDS: FolderBounds = FolderBounds { entries: 0, file_bytes: 64 << 10 };

/// What variables of the environment begin with that files may name: others of the server are no business of files.
const VARIABLES: &str = "DOCUMENTS_";

/// Why there is nothing to apply.
#[derive(Debug, PartialEq, Eq)]
pub enum Unread {
    /// The files are being changed; they are read later.
    Busy(String),
    /// Somebody has to do something.
    Unusable(String),
}

/// What a folder holds.
#[derive(Debug)]
pub struct FolderContents {
    pub documents: Documents,
    /// What cannot be read in its files.
    pub problems: Vec<DocumentProblem>,
    /// Files that are no documents and that no file of GitOps refers to.
    pub unused: Vec<String>,
    pub seen: SeenContents,
    /// The words in [`DELETIONS`].
    pub allowed_deletions: Vec<String>,
}

/// Which contents a folder holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenContents {
    /// Hash of all that is read.
    pub digest: String,
    pub commit: Option<String>,
    /// When the file system last noted a change of a file or folder.
    pub changed_at: Moment,
}

/// The texts of files by their names below the folder.
type FileTexts = BTreeMap<String, String>;

/// Reads a folder twice, and gives what it holds if that is the same both times.
///
/// # Errors
/// When it changes meanwhile, cannot be read, or holds no document.
pub fn read(folder: &Path) -> Result<FolderContents, Unread> {
    let root = real(folder)?;
    let checkout = Checkout::of(&root);
    let at_work = || checkout.as_ref().and_then(Checkout::at_work).map_or(Ok(()), |work| Err(Unread::Busy(work)));
    let commit = || checkout.as_ref().and_then(Checkout::commit);
    at_work()?;
    let before = commit();
    let (first, _) = texts(&root)?;
    let (texts, changed_at) = texts(&root)?;
    at_work()?;
    let commit = commit();
    if texts != first || commit != before || real(folder)? != root {
        return Err(Unread::Busy("files change while they are read".to_owned()));
    }
    drop(first);
    let deletions = deletions(&root)?;
    let mut hash = Sha256::new();
    let mut add = |name: &str, text: &str| {
        for part in [name, text] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    };
    texts.iter().for_each(|(name, text)| add(name, text));
    add(DELETIONS, &deletions);
    let around = Around { root, read: RefCell::default() };
    let mut documents = Documents::default();
    let Gathered { problems, unused } = documents.add_all(texts.into_iter().collect(), &around);
    // Files with other endings that files of GitOps refer to.
    around.read.borrow().iter().for_each(|(path, text)| add(&path.to_string_lossy(), text));
    if documents.is_empty() && problems.is_empty() {
        return Err(Unread::Unusable(format!(
            "{} holds no document (.yml, .yaml); nothing is deleted: is the folder mounted, and is it the right one?",
            folder.display()
        )));
    }
    let digest = hash.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    let words = deletions.lines().map(|line| line.split('#').next().unwrap_or_default());
    let allowed_deletions = words.flat_map(str::split_whitespace).map(str::to_owned).collect();
    Ok(FolderContents {
        documents,
        problems,
        unused,
        seen: SeenContents { digest, commit, changed_at },
        allowed_deletions,
    })
}

/// What is wrong with a folder, for who looks before a start; `None` if it can be read.
pub fn fault(folder: &Path) -> Option<String> {
    match read(folder) {
        Ok(contents) => contents.problems.first().map(DocumentProblem::in_one_line),
        Err(Unread::Unusable(why)) => Some(why),
        Err(Unread::Busy(_)) => None,
    }
}

fn real(folder: &Path) -> Result<PathBuf, Unread> {
    let unusable = |why: &dyn std::fmt::Display| {
        Unread::Unusable(format!("cannot read {}: {why}; nothing is deleted: is it mounted?", folder.display()))
    };
    let root = folder.canonicalize().map_err(|error| unusable(&error))?;
    if root.is_dir() { Ok(root) } else { Err(unusable(&"it is no folder")) }
}

/// The texts of all files, and when something of the folder was changed last.
fn texts(root: &Path) -> Result<(FileTexts, Moment), Unread> {
    let unusable = |error: anyhow::Error| Unread::Unusable(format!("{error:#}"));
    let found = files_below(root, &YAML_ENDINGS, BOUNDS).map_err(unusable)?;
    let mut changed = Moment::NEVER;
    let mut texts = FileTexts::new();
    let mut bytes = 0;
    for path in found.folders.iter().chain(&found.files) {
        let metadata = path.metadata().map_err(|error| gone(path, &error))?;
        let changed_at = metadata.ctime().saturating_mul(1_000_000).saturating_add(metadata.ctime_nsec() / 1_000);
        changed = changed.max(Moment(changed_at));
    }
    for path in &found.files {
        let name = path.strip_prefix(root).unwrap_or(path).display().to_string();
        if path.is_symlink() {
            within_folder(path, root).map_err(|why| Unread::Unusable(format!("{name}: {why}")))?;
        }
        let text = text_of(path, &name, BOUNDS).map_err(unusable)?;
        bytes += text.len();
        if bytes > MAX_BYTES {
            let most = MAX_BYTES >> 20;
            return Err(Unread::Unusable(format!("the files of {} have more than {most} MiB", root.display())));
        }
        texts.insert(name, text);
    }
    Ok((texts, changed))
}

fn gone(path: &Path, error: &std::io::Error) -> Unread {
    match error.kind() {
        std::io::ErrorKind::NotFound if !path.is_symlink() => {
            Unread::Busy("files change while they are read".to_owned())
        }
        _ => Unread::Unusable(format!("cannot read {}: {error}", path.display())),
    }
}

/// The text of [`DELETIONS`]; empty if there is no such file.
fn deletions(root: &Path) -> Result<String, Unread> {
    let path = root.join(DELETIONS);
    if !path.exists() {
        return Ok(String::new());
    }
    within_folder(&path, root).map_err(|why| Unread::Unusable(format!("{DELETIONS}: {why}")))?;
    text_of(&path, DELETIONS, DELETIONS_BOUNDS).map_err(|error| Unread::Unusable(format!("{error:#}")))
}

/// What files of GitOps may refer to: files of the folder, and variables that are meant for them.
struct Around {
    root: PathBuf,
    /// Files that were read because others refer to them.
    read: RefCell<BTreeMap<PathBuf, String>>,
}

impl Surroundings for Around {
    fn file(&self, path: &Path, _: &Path) -> Result<String, String> {
        let there = self.root.join(path);
        within_folder(&there, &self.root)?;
        let text = text_of(&there, &path.display().to_string(), BOUNDS).map_err(|error| format!("{error:#}"))?;
        let mut read = self.read.borrow_mut();
        let bytes: usize = read.values().map(String::len).sum::<usize>() + text.len();
        if bytes > MAX_BYTES {
            return Err(format!("the files that others refer to have more than {} MiB", MAX_BYTES >> 20));
        }
        read.insert(path.to_owned(), text.clone());
        Ok(text)
    }

    fn variable(&self, name: &str) -> Option<String> {
        name.starts_with(VARIABLES).then(|| std::env::var(name).ok()).flatten()
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
