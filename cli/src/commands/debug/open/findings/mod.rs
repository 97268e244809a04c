//! What an archive shows, in plain words: what is slow, blocked, failing or full.

mod activity;
mod database;
mod innodb_status;
mod process;
mod redis;
mod thresholds;

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::reader::ReadEntry;
use crate::commands::debug::archive::{MANIFEST, Manifest};
use crate::commands::query::shown_seconds;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Gravity {
    /// Something fails, or stands still.
    Problem,
    /// Something is near its end, or slower than it should be.
    Warning,
    /// Worth knowing.
    Note,
}

/// Something that an archive shows.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub gravity: Gravity,
    /// Empty if the archive does not say.
    pub node: String,
    /// The entry that shows it.
    pub entry: String,
    pub text: String,
}

/// The entries of a node, and what was found in them.
pub struct NodeEntries<'a> {
    entries: &'a BTreeMap<String, ReadEntry>,
    folder: &'a str,
    node: &'a str,
    found: Vec<Finding>,
}

/// What the entries of a node show, the most important first.
pub fn of_node(entries: &BTreeMap<String, ReadEntry>, folder: &str, node: &str) -> Vec<Finding> {
    let mut entries = NodeEntries { entries, folder, node, found: Vec::new() };
    activity::find(&mut entries);
    database::find(&mut entries);
    redis::find(&mut entries);
    process::find(&mut entries);
    entries.found.sort_by_key(|finding| finding.gravity);
    entries.found
}

impl<'a> NodeEntries<'a> {
    pub fn new(entries: &'a BTreeMap<String, ReadEntry>, folder: &'a str) -> Self {
        Self { entries, folder, node: "", found: Vec::new() }
    }

    /// An entry that was collected and is held.
    pub fn bytes(&self, name: &str) -> Option<&'a [u8]> {
        let entry = self.entries.get(&format!("{}{name}", self.folder))?;
        (!entry.bytes.is_empty()).then_some(entry.bytes.as_slice())
    }

    pub fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.bytes(name).map(String::from_utf8_lossy)
    }

    /// An entry in JSON. One that cannot be read is a finding.
    pub fn json<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        match serde_json::from_slice(self.bytes(name)?) {
            Ok(read) => Some(read),
            Err(error) => {
                self.note(name, format!("is not what a server of this version sends: {error}"));
                None
            }
        }
    }

    /// When the collection began, if the archive says so.
    fn started_at(&self) -> Option<DateTime<Utc>> {
        let manifest = self.entries.get(MANIFEST)?;
        Some(serde_json::from_slice::<Manifest>(&manifest.bytes).ok()?.started_at)
    }

    fn problem(&mut self, name: &str, text: String) {
        self.add(Gravity::Problem, name, text);
    }

    fn warning(&mut self, name: &str, text: String) {
        self.add(Gravity::Warning, name, text);
    }

    fn note(&mut self, name: &str, text: String) {
        self.add(Gravity::Note, name, text);
    }

    fn add(&mut self, gravity: Gravity, name: &str, text: String) {
        let entry = format!("{}{name}", self.folder);
        self.found.push(Finding { gravity, node: self.node.to_owned(), entry, text });
    }
}

/// A statement or message on one line, cut where it gets long.
fn short(text: &str) -> String {
    const LONGEST: usize = 160;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// A number of things: `1 request`, `2 requests`.
fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// A duration: `43 s`, or `7m43s` from a minute on.
fn duration(seconds: f64) -> String {
    if seconds < 60.0 { format!("{seconds:.0} s") } else { shown_seconds(seconds as i64) }
}

/// The value of a metric, by the labels as they are written (`status="online"`).
pub fn metric<'a>(text: &'a str, name: &str) -> Vec<(&'a str, f64)> {
    let of_line = |line: &'a str| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.split_once('}')?,
            None => ("", rest),
        };
        Some((labels, value.strip_prefix(' ')?.trim().parse().ok()?))
    };
    text.lines().filter_map(of_line).collect()
}

#[cfg(test)]
mod tests;
