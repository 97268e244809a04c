use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use agent_compat::agent::{LineKind, Observer};

/// KeptLines and how often each is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeptLines(BTreeMap<String, usize>);

impl KeptLines {
    /// The lines of a log file, each of them whole.
    pub fn read(path: &Path) -> Self {
        let text = String::from_utf8(std::fs::read(path).unwrap()).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "{} ends with a cut line", path.display());
        let mut lines = Self::default();
        for line in text.lines() {
            let is_json = serde_json::from_str::<serde_json::Value>(line).is_ok();
            assert!(is_json, "{} has a broken line: {line}", path.display());
            lines.add(line);
        }
        lines
    }

    pub fn add(&mut self, line: &str) {
        *self.0.entry(line.to_owned()).or_default() += 1;
    }

    pub fn add_all(&mut self, others: &Self) {
        for (line, count) in &others.0 {
            *self.0.entry(line.clone()).or_default() += count;
        }
    }

    pub fn count(&self, line: &str) -> usize {
        self.0.get(line).copied().unwrap_or(0)
    }

    /// All lines, equal ones counted.
    pub fn total(&self) -> usize {
        self.0.values().sum()
    }

    /// KeptLines of `self` that `other` lacks, as often as it lacks them.
    pub fn missing_in(&self, other: &Self) -> Vec<&str> {
        let lacks = |(line, count): &(&String, &usize)| other.count(line) < **count;
        self.0.iter().filter(lacks).map(|(line, _)| line.as_str()).collect()
    }

    /// How many lines more than in `other` there are, counting only those `other` has too.
    pub fn doubled_over(&self, other: &Self) -> usize {
        other.0.iter().map(|(line, count)| self.count(line).saturating_sub(*count)).sum()
    }
}

impl<'a> FromIterator<&'a str> for KeptLines {
    fn from_iter<T: IntoIterator<Item = &'a str>>(all: T) -> Self {
        let mut lines = Self::default();
        all.into_iter().for_each(|line| lines.add(line));
        lines
    }
}

#[derive(Debug, Default)]
struct Told {
    results: KeptLines,
    statuses: KeptLines,
}

/// Every line some agents were told is kept. Clones write into the same book.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Mutex<Told>>);

impl Ledger {
    pub fn results(&self) -> KeptLines {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).results.clone()
    }

    pub fn statuses(&self) -> KeptLines {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).statuses.clone()
    }
}

impl Observer for Ledger {
    fn line_acknowledged(&mut self, kind: LineKind, line: &[u8]) {
        let mut acknowledged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = String::from_utf8_lossy(line);
        match kind {
            LineKind::Result => acknowledged.results.add(&line),
            LineKind::Status => acknowledged.statuses.add(&line),
        }
    }
}
