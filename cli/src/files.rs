use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use muster_api::documents::{FolderBounds, Surroundings, files_below, text_of, utf8, within_folder};

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
            read.add(got.and_then(|_| Ok((STDIN.to_owned(), utf8("standard input", bytes)?))));
        } else if path.is_dir() {
            match files_in(path, extensions, &mut read.skipped) {
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
        within_folder(path, within)?;
        text_of(path, &path.display().to_string(), FolderBounds::NONE).map_err(|error| format!("{error:#}"))
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
    let text = text_of(path, &name, FolderBounds::NONE)?;
    Ok((name, text))
}

/// Files with one of the `extensions` below a directory, sorted by name. Gives those that another command reads, too.
fn files_in(dir: &Path, extensions: &[&str], skipped: &mut Vec<PathBuf>) -> anyhow::Result<Vec<PathBuf>> {
    let found = files_below(dir, extensions, FolderBounds::NONE)?;
    let is_known = |path: &PathBuf| path.extension().is_some_and(|ending| KNOWN.iter().any(|known| ending == *known));
    skipped.extend(found.others.into_iter().filter(is_known));
    Ok(found.files)
}

#[cfg(test)]
mod tests {
    use std::fs;

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
