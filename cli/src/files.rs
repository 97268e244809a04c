use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// Name that stands for standard input in messages.
pub const STDIN: &str = "<stdin>";

/// Reads files as (name, text). Directories are read recursively for files with one of the `extensions`.
pub fn read(named: &[PathBuf], extensions: &[&str]) -> anyhow::Result<Vec<(String, String)>> {
    let mut read = Vec::new();
    for path in named {
        if path.as_os_str() == "-" {
            let mut bytes = Vec::new();
            std::io::stdin().lock().read_to_end(&mut bytes).context("cannot read standard input")?;
            read.push((STDIN.to_owned(), text("standard input", bytes)?));
        } else if path.is_dir() {
            let files = files_below(path, extensions)?;
            if files.is_empty() {
                bail!("{} contains no .{} file", path.display(), extensions.join(" or ."));
            }
            for file in &files {
                read.push(file_text(file)?);
            }
        } else {
            read.push(file_text(path)?);
        }
    }
    Ok(read)
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

/// Files with one of the `extensions` below a directory, sorted by name. Skips hidden entries and linked directories.
fn files_below(dir: &Path, extensions: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
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
            files.extend(files_below(&path, extensions)?);
        } else if path.extension().is_some_and(|ext| extensions.iter().any(|known| ext == *known)) && path.is_file() {
            files.push(path);
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
        for name in ["b.yml", "a/z.yaml", "a/b.yml", "c.txt", ".hidden.yml", "a/.git/x.yml"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        std::os::unix::fs::symlink(dir.path(), dir.path().join("loop")).unwrap();
        let read = read(&[dir.path().to_path_buf()], &YAML).unwrap();
        let texts: Vec<_> = read.iter().map(|(_, text)| text.as_str()).collect();
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
