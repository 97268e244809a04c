use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use muster_api::documents::Surroundings;

use crate::output;

/// Name that stands for standard input in messages.
pub const STDIN: &str = "<stdin>";

/// Endings of files that some command of fleetctl reads.
const KNOWN: [&str; 4] = ["yml", "yaml", "json", "conf"];

/// Contents of the files named on the command line, as far as they could be read.
#[derive(Debug, Default)]
pub struct TextFiles {
    /// Names and texts.
    pub texts: Vec<(String, String)>,
    /// Why others could not be read.
    pub unread: Vec<anyhow::Error>,
    /// Files in directories that have an ending another command reads.
    pub skipped: Vec<PathBuf>,
}

/// Reads files. Directories are read recursively for files with one of the `extensions`.
///
/// # Errors
/// Why nothing could be read, if only one thing was to be.
pub fn read(named: &[PathBuf], extensions: &[&str]) -> anyhow::Result<TextFiles> {
    let mut read = TextFiles::default();
    for path in named {
        if path.as_os_str() == "-" {
            let mut bytes = Vec::new();
            let got = std::io::stdin().lock().read_to_end(&mut bytes).context("cannot read standard input");
            read.add(got.and_then(|_| Ok((STDIN.to_owned(), text("standard input", bytes)?))));
        } else if path.is_dir() {
            match files_below(path, extensions, &mut read.skipped) {
                Ok(files) if files.is_empty() => {
                    read.unread.push(anyhow!("{} contains no .{} file", path.display(), extensions.join(" or .")));
                }
                Ok(files) => files.iter().for_each(|file| read.add(file_text(file))),
                Err(error) => read.unread.push(error),
            }
        } else {
            read.add(file_text(path));
        }
    }
    match read.unread.pop_if(|_| named.len() == 1 && read.texts.is_empty()) {
        Some(error) => Err(error),
        None => Ok(read),
    }
}

/// The files of this machine and the environment of this process.
pub struct Here;

impl Surroundings for Here {
    fn file(&self, path: &Path, within: &Path) -> Result<String, String> {
        let name = path.display().to_string();
        let folder = if within.as_os_str().is_empty() { Path::new(".") } else { within };
        let real = |path: &Path| fs::canonicalize(path).map_err(|error| error.to_string());
        if !real(path)?.starts_with(real(folder)?) {
            return Err("it is a link to a file outside of the folder; put the file itself there".to_owned());
        }
        let bytes = fs::read(path).map_err(|error| error.to_string())?;
        text(&name, bytes).map_err(|error| error.to_string())
    }

    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

impl TextFiles {
    fn add(&mut self, file: anyhow::Result<(String, String)>) {
        match file {
            Ok(file) => self.texts.push(file),
            Err(error) => self.unread.push(error),
        }
    }

    /// Says which files were skipped, at most some by name.
    pub fn note_skipped(&self, extensions: &[&str]) {
        let names: Vec<_> = self.skipped.iter().map(|path| path.display().to_string()).collect();
        note_skipped(&names, &format!("of directories only .{} are read", extensions.join(" and .")));
    }
}

/// Says that files were skipped, and why: at most some by name.
pub fn note_skipped(names: &[String], why: &str) {
    const NAMED: usize = 5;
    if names.is_empty() {
        return;
    }
    let named = names.get(..NAMED).unwrap_or(names);
    let more = names.len() - named.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    output::note(&format!("warning: skipped {}{more}: {why}", named.join(", ")));
}

fn file_text(path: &Path) -> anyhow::Result<(String, String)> {
    let name = path.display().to_string();
    let bytes = fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let text = text(&name, bytes)?;
    Ok((name, text))
}

fn text(name: &str, bytes: Vec<u8>) -> anyhow::Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
        anyhow::anyhow!("{name}:{line}: not UTF-8; convert the file, for example with iconv")
    })
}

/// Files with one of the `extensions` below a directory, sorted by name. Skips hidden entries and linked directories, and
/// gives those that another command reads.
fn files_below(dir: &Path, extensions: &[&str], skipped: &mut Vec<PathBuf>) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries = entries.with_context(|| format!("cannot read {}", dir.display()))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let kind = entry.file_type().with_context(|| format!("cannot read {}", path.display()))?;
        if kind.is_dir() {
            files.extend(files_below(&path, extensions, skipped)?);
            continue;
        }
        let is_one_of =
            |endings: &[&str]| path.extension().is_some_and(|ext| endings.iter().any(|known| ext == *known));
        if !path.is_file() {
            continue;
        }
        if is_one_of(extensions) {
            files.push(path);
        } else if is_one_of(&KNOWN) {
            skipped.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: [&str; 2] = ["yml", "yaml"];

    #[test]
    fn directories_are_read_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.yml", "a/z.yaml", "a/b.yml", "c.txt", "d.json", ".hidden.yml", "a/.git/x.yml"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        std::os::unix::fs::symlink(dir.path(), dir.path().join("loop")).unwrap();
        let read = read(&[dir.path().to_path_buf()], &YAML).unwrap();
        assert_eq!(read.skipped, [dir.path().join("d.json")]);
        let texts: Vec<_> = read.texts.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["a/b.yml", "a/z.yaml", "b.yml"]);
    }

    #[test]
    fn errors_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let error = |path: PathBuf| format!("{:#}", read(&[path], &YAML).unwrap_err());
        assert!(error(dir.path().to_path_buf()).ends_with("contains no .yml or .yaml file"));
        assert!(error(dir.path().join("x.yml")).contains("x.yml: No such file"));
        let latin = dir.path().join("latin.yml");
        fs::write(&latin, b"a: 1\nb: \xe4\n").unwrap();
        assert!(error(latin).contains("latin.yml:2: not UTF-8"));
    }
}
