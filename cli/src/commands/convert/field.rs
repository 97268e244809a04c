//! Reads values as agents do: numbers and booleans may be strings.

use std::collections::HashSet;

use serde_json::Value;

use super::file::PackFile;
use super::tree::{JsonData, JsonNode, Span};
use crate::documents::DocumentProblem;

/// Intervals that agents accept, in seconds: up to a week.
const INTERVALS: std::ops::RangeInclusive<u64> = 1..=604_800;

/// Reads the values of one file and collects problems and warnings.
pub struct PackReader<'a> {
    pub file: &'a PackFile,
    pub problems: Vec<DocumentProblem>,
    pub warnings: Vec<DocumentProblem>,
}

impl<'a> PackReader<'a> {
    pub fn new(file: &'a PackFile) -> Self {
        Self { file, problems: Vec::new(), warnings: file.warnings.clone() }
    }

    pub fn refuse(&mut self, at: Span, reason: impl Into<String>) {
        self.problems.push(self.file.problem(at, reason));
    }

    pub fn warn(&mut self, at: Span, reason: impl Into<String>) {
        self.warnings.push(self.file.problem(at, reason).into_warning());
    }

    /// The members of an object without those that are null.
    pub fn object(&mut self, node: &'a JsonNode, what: &str) -> Vec<(&'a str, &'a JsonNode)> {
        let JsonData::Object(members) = &node.data else {
            self.refuse(node.at, format!("{what} must be an object"));
            return Vec::new();
        };
        let mut seen = HashSet::new();
        for (key, value) in members {
            if !seen.insert(key) {
                self.refuse(value.at, format!("the key {key:?} is a duplicate; remove one of the two"));
            }
        }
        let written = members.iter().filter(|(_, value)| !matches!(value.data, JsonData::Scalar(Value::Null)));
        written.map(|(key, value)| (key.as_str(), value)).collect()
    }

    pub fn text(&mut self, node: &JsonNode) -> Option<String> {
        match &node.data {
            JsonData::Scalar(Value::String(text)) => Some(text.clone()),
            _ => {
                self.refuse(node.at, "expects a string");
                None
            }
        }
    }

    /// Descriptive text; numbers and booleans are accepted.
    pub fn words(&mut self, node: &JsonNode) -> Option<String> {
        match &node.data {
            JsonData::Scalar(Value::String(text)) => Some(text.trim().to_owned()),
            JsonData::Scalar(other) => Some(other.to_string()),
            _ => {
                self.refuse(node.at, "expects a string");
                None
            }
        }
    }

    pub fn sql(&mut self, node: &JsonNode) -> Option<String> {
        let sql = self.text(node)?;
        if sql.trim().is_empty() {
            self.refuse(node.at, "SQL is empty");
            return None;
        }
        Some(sql)
    }

    pub fn sql_list(&mut self, node: &JsonNode) -> Vec<String> {
        let JsonData::Array(items) = &node.data else {
            self.refuse(node.at, "expects a list of SQL strings");
            return Vec::new();
        };
        items.iter().filter_map(|item| self.sql(item)).collect()
    }

    pub fn boolean(&mut self, node: &JsonNode) -> Option<bool> {
        let found = match &node.data {
            JsonData::Scalar(Value::Bool(value)) => Some(*value),
            JsonData::Scalar(Value::Number(number)) => number.as_i64().map(|number| number != 0),
            JsonData::Scalar(Value::String(text)) => match text.to_ascii_lowercase().as_str() {
                "true" | "t" => Some(true),
                "false" | "f" => Some(false),
                _ => None,
            },
            _ => None,
        };
        if found.is_none() {
            self.refuse(node.at, "expects true or false; agents read any other string as false");
        }
        found
    }

    /// An interval in seconds.
    pub fn interval(&mut self, node: &JsonNode) -> Option<u32> {
        let found = whole(node).filter(|seconds| INTERVALS.contains(seconds)).and_then(|found| found.try_into().ok());
        if found.is_none() {
            let (least, most) = INTERVALS.into_inner();
            let reason = format!("expects a whole number of seconds from {least} to {most}; agents skip anything else");
            self.refuse(node.at, reason);
        }
        found
    }

    /// A percentage. In a pack file 0 means all hosts, in a document none.
    pub fn shard(&mut self, node: &JsonNode) -> Option<u8> {
        match whole(node) {
            Some(0) => {
                self.warn(node.at, "shard 0 is left out: agents read it as all hosts, but in a document it means none");
                None
            }
            Some(percent) if percent <= 100 => percent.try_into().ok(),
            _ => {
                self.refuse(node.at, "expects a whole number from 1 to 100");
                None
            }
        }
    }
}

/// A whole number or a string of digits.
fn whole(node: &JsonNode) -> Option<u64> {
    match &node.data {
        JsonData::Scalar(Value::Number(number)) => number.as_u64(),
        JsonData::Scalar(Value::String(text)) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    }
}
