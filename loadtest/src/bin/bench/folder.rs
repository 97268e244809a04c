//! Folders that go away with the bench.

use std::fs;
use std::path::Path;

use anyhow::Result;
use tempfile::TempDir;

const PREFIX: &str = "muster-bench-";

/// A folder of this process.
pub fn new() -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix(&format!("{PREFIX}{}-", std::process::id())).tempdir()?)
}

/// Removes what benches have left that could not clean up after themselves.
pub fn sweep() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            // Another bench may be sweeping too.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
