use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| path.display().to_string())
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes).with_context(|| path.display().to_string())
}

pub(crate) fn lines(path: &Path) -> Result<Vec<Vec<u8>>> {
    let bytes = read(path)?;
    let Some(lines) = bytes.strip_suffix(b"\n") else {
        ensure!(bytes.is_empty(), "the last line has no end");
        return Ok(Vec::new());
    };
    Ok(lines.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect())
}
