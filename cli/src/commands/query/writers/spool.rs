//! Keeps rows until all columns are known.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};

use anyhow::Context as _;
use muster_api::rest::LiveAnswer;
use tempfile::SpooledTempFile;

use super::{HOST_COLUMN, cells};

/// Bytes kept in memory; beyond that, rows go to an unnamed temporary file.
const MEMORY: usize = 8 << 20;

/// The rows exceed the limit of the output format.
#[derive(Debug, thiserror::Error)]
#[error("the results are larger than {limit_mib} MiB, the limit of {format} output")]
pub struct SpoolFull {
    format: &'static str,
    limit_mib: u64,
}

/// Rows of all hosts in the order of arrival, with the union of their columns.
pub struct Spool {
    format: &'static str,
    file: SpooledTempFile,
    written: u64,
    limit: u64,
    columns: Vec<String>,
    indexes: HashMap<String, usize>,
}

impl Spool {
    pub fn new(format: &'static str, limit: u64) -> Self {
        let file = SpooledTempFile::new(MEMORY);
        let columns = vec![HOST_COLUMN.to_owned()];
        Self { format, file, written: 0, limit, columns, indexes: HashMap::new() }
    }

    /// Adds the rows of an answer. Fails with `SpoolFull` if they exceed the limit.
    pub fn add(&mut self, answer: &LiveAnswer) -> anyhow::Result<()> {
        for row in &answer.rows {
            let mut kept = vec![answer.hostname.clone()];
            for (column, cell) in cells(row) {
                let index = self.index(column);
                if kept.len() <= index {
                    kept.resize(index + 1, String::new());
                }
                kept[index] = cell;
            }
            let mut line = serde_json::to_vec(&kept).context("cannot store a row")?;
            line.push(b'\n');
            if self.written + line.len() as u64 > self.limit {
                return Err(SpoolFull { format: self.format, limit_mib: self.limit >> 20 }.into());
            }
            self.written += line.len() as u64;
            self.file.write_all(&line).context("cannot write rows to a temporary file")?;
        }
        Ok(())
    }

    fn index(&mut self, column: &str) -> usize {
        if let Some(index) = self.indexes.get(column) {
            return *index;
        }
        let index = self.columns.len();
        self.columns.push(column.to_owned());
        self.indexes.insert(column.to_owned(), index);
        index
    }

    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    pub fn is_empty(&self) -> bool {
        self.written == 0
    }

    /// All rows; each has a cell for every column.
    pub fn rows(&mut self) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Vec<String>>>> {
        let back = "cannot read rows from a temporary file";
        self.file.seek(SeekFrom::Start(0)).context(back)?;
        let width = self.columns.len();
        Ok(BufReader::new(&mut self.file).lines().map(move |line| {
            let mut row: Vec<String> = serde_json::from_str(&line.context(back)?).context(back)?;
            row.resize(width, String::new());
            Ok(row)
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::commands::query::tally::tests::answer;

    #[test]
    fn a_full_spool_keeps_earlier_rows() {
        let mut spool = Spool::new("csv", 40);
        spool.add(&answer("a", "answered", json!([{"x": "1", "host_hostname": "forged"}]), None)).unwrap();
        let long = answer("b", "answered", json!([{"x": "2".repeat(40)}]), None);
        assert!(spool.add(&long).unwrap_err().is::<SpoolFull>());
        let rows: Vec<_> = spool.rows().unwrap().map(Result::unwrap).collect();
        assert_eq!(rows, [["a", "1"]]);
    }

    #[test]
    fn many_rows_go_through_a_file() {
        let mut spool = Spool::new("csv", u64::MAX);
        let text = "x".repeat(1 << 20);
        for index in 0..10 {
            spool.add(&answer(&index.to_string(), "answered", json!([{"x": text}]), None)).unwrap();
        }
        assert!(spool.file.is_rolled());
        let hosts: Vec<_> = spool.rows().unwrap().map(|row| row.unwrap()[0].clone()).collect();
        assert_eq!(hosts.concat(), "0123456789");
    }
}
