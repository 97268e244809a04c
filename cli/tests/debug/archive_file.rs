//! An archive, read without the program.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::Value;

pub struct ArchiveFile {
    /// The paths of the entries, in their order.
    pub paths: Vec<String>,
    /// The contents, by the path below the folder.
    pub entries: BTreeMap<String, Vec<u8>>,
    pub modes: Vec<u32>,
    /// The whole tar.
    pub tar: Vec<u8>,
}

impl ArchiveFile {
    pub fn read(path: &Path) -> Self {
        let mut tar = Vec::new();
        GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut tar).unwrap();
        let (mut paths, mut entries, mut modes) = (Vec::new(), BTreeMap::new(), Vec::new());
        for entry in tar::Archive::new(tar.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            modes.push(entry.header().mode().unwrap());
            entries.insert(path.split_once('/').unwrap().1.to_owned(), bytes);
            paths.push(path);
        }
        Self { paths, entries, modes, tar }
    }

    pub fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.entries[name]).unwrap()
    }
}
