use serde::de::DeserializeOwned;
use serde_json::Value;

use super::gitops::{self, Gathered, Surroundings};
use super::node::{YamlData, YamlNode};
use super::path::{self, PathSegment};
use super::problem::{DocumentProblem, SourceText};

/// The documents of one or more files, in the order in which they were added.
#[derive(Debug, Default)]
pub struct Documents {
    sources: Vec<SourceText>,
    documents: Vec<ParsedDocument>,
}

#[derive(Debug)]
pub(super) struct ParsedDocument {
    /// Position among the sources.
    pub source: usize,
    pub root: YamlNode,
}

impl Documents {
    /// Adds the documents of a file. Skips empty documents; a file with problems adds nothing.
    pub fn add(&mut self, name: &str, text: String) -> Result<(), Vec<DocumentProblem>> {
        let (source, roots) = self.parse(name, text)?;
        let refused = self.refused(source, &roots);
        if !refused.is_empty() {
            return Err(refused);
        }
        let written = roots.into_iter().filter(|root| !root.is_null());
        self.documents.extend(written.map(|root| ParsedDocument { source, root }));
        Ok(())
    }

    /// Adds the documents of files, of which some may be those of Fleet's GitOps with files that these refer to.
    pub fn add_all(&mut self, files: Vec<(String, String)>, surroundings: &dyn Surroundings) -> Gathered {
        gitops::gather(self, files, surroundings)
    }

    /// Parses a file and keeps its text. Gives its position among the sources and its documents.
    pub(super) fn parse(&mut self, name: &str, text: String) -> Result<(usize, Vec<YamlNode>), Vec<DocumentProblem>> {
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        let source = SourceText { name: name.to_owned(), text };
        let mut roots: Vec<YamlNode> = serde_yaml::from_multiple_with_options(&source.text, options())
            .map_err(|error| vec![DocumentProblem::yaml(&source, &error)])?;
        let mut problems = Vec::new();
        for root in &mut roots {
            check(root, &source, &mut problems);
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        self.sources.push(source);
        Ok((self.sources.len() - 1, roots))
    }

    /// Problems of a file that is something else than documents, although it looks like them.
    pub(super) fn refused(&self, source: usize, roots: &[YamlNode]) -> Vec<DocumentProblem> {
        let Some(source) = self.sources.get(source) else { return Vec::new() };
        let reason = "looks like an osquery pack or configuration; convert it first with: fleetctl convert -f FILE";
        roots
            .iter()
            .filter(|root| is_pack_file(root))
            .map(|root| DocumentProblem::at(source, root.at, reason))
            .collect()
    }

    pub(super) fn source(&self, position: usize) -> Option<&SourceText> {
        self.sources.get(position)
    }

    pub(super) fn append(&mut self, documents: Vec<ParsedDocument>) {
        self.documents.extend(documents);
    }

    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// The documents in the form in which they are sent.
    pub fn to_json(&self) -> Vec<Value> {
        self.documents.iter().map(|document| document.root.to_json()).collect()
    }

    /// Locates each (path, reason) of an error response. Paths look like `documents[2].spec.name`. Sorted by file and
    /// position; problems without a location come last.
    pub fn problems(&self, errors: &[(&str, &str)]) -> Vec<DocumentProblem> {
        let mut placed: Vec<_> = errors.iter().map(|(path, reason)| self.problem(path, reason)).collect();
        placed.sort_by_key(|(source, problem)| (*source, problem.position()));
        // Two paths can lead to the same location, for example through an alias.
        placed.dedup();
        placed.into_iter().map(|(_, problem)| problem).collect()
    }

    fn problem(&self, path: &str, reason: &str) -> (usize, DocumentProblem) {
        let segments = path::segments(path);
        let (document, inner) = match segments.as_slice() {
            [PathSegment::Key(first), PathSegment::Index(index), inner @ ..] if first == "documents" => {
                (self.documents.get(*index), inner)
            }
            _ => (None, [].as_slice()),
        };
        let Some(document) = document else {
            let prefix = if path.is_empty() || path == "base" { String::new() } else { format!("{path}: ") };
            return (usize::MAX, DocumentProblem::general(format!("{prefix}{reason}")));
        };
        let source = &self.sources[document.source];
        let found = path::find(&document.root, inner);
        let reason = match found.missing {
            Some(missing) if !reason.contains(&missing) => format!("{missing}: {reason}"),
            Some(_) => reason.to_owned(),
            None => format!("{reason}{}", remedy(found.node, source, reason)),
        };
        (document.source, DocumentProblem::at(source, found.at, reason))
    }
}

/// Whether a document is what agents read, and no document at all.
fn is_pack_file(root: &YamlNode) -> bool {
    let YamlData::Mapping(entries) = &root.data else { return false };
    let has = |names: &[&str]| entries.iter().any(|entry| names.contains(&entry.key.as_str()));
    has(&["queries", "schedule", "packs"]) && !has(&["kind", "spec", "apiVersion"])
}

/// The remedy for two common surprises of YAML: numbers meant as strings, and words meant as booleans.
fn remedy(node: &YamlNode, source: &SourceText, reason: &str) -> String {
    match &node.data {
        YamlData::Scalar(Value::Number(_)) if reason.contains("string") => {
            format!("; quote it to make it a string: \"{}\"", written(node.at, source))
        }
        YamlData::Scalar(Value::String(text))
            if reason.contains("bool") && ["yes", "no", "on", "off"].contains(&text.to_lowercase().as_str()) =>
        {
            "; write true or false".to_owned()
        }
        _ => String::new(),
    }
}

/// Reads one document of a known type; `None` if the text is empty.
pub fn parse<T: DeserializeOwned>(name: &str, text: &str) -> Result<Option<T>, DocumentProblem> {
    let read = serde_yaml::from_multiple_with_options::<T>(text, options());
    let source = || SourceText { name: name.to_owned(), text: text.to_owned() };
    let mut documents = read.map_err(|error| DocumentProblem::yaml(&source(), &error))?;
    if documents.len() > 1 {
        return Err(DocumentProblem::general(format!("{name}: expects one document, not {}", documents.len())));
    }
    Ok(documents.pop())
}

fn options() -> serde_yaml::Options {
    // One stream can contain the configuration of a whole fleet; the limits of depth and aliases stay at their defaults.
    let budget = serde_yaml::budget! {
        max_documents: 1_000_000,
        max_events: 50_000_000,
        max_nodes: 20_000_000,
        max_total_scalar_bytes: 1 << 30,
    };
    // Booleans are `true` and `false`: `on` and `yes` are text since YAML 1.2.
    serde_yaml::options! { strict_booleans: true, with_snippet: false, budget: budget }
}

/// Finds values that are valid YAML but cannot be sent unchanged as JSON.
fn check(node: &mut YamlNode, source: &SourceText, problems: &mut Vec<DocumentProblem>) {
    match &mut node.data {
        YamlData::Scalar(value @ Value::Number(_)) => match whole_number(value, written(node.at, source)) {
            Ok(Some(exact)) => *value = exact,
            Ok(None) => {}
            Err(reason) => problems.push(DocumentProblem::at(source, node.at, reason)),
        },
        YamlData::Scalar(_) => {}
        YamlData::Sequence(items) => {
            for item in items {
                check(item, source, problems);
            }
        }
        YamlData::Mapping(entries) => {
            let mut seen = std::collections::HashSet::new();
            for entry in entries {
                // Keys of different types, such as 1 and "1", become the same JSON key.
                if !seen.insert(entry.key.clone()) {
                    let reason = format!("the key {:?} is a duplicate; remove one of the two", entry.key);
                    problems.push(DocumentProblem::at(source, entry.key_at, reason));
                }
                check(&mut entry.value, source, problems);
            }
        }
    }
}

pub(super) fn written(at: serde_yaml::Location, source: &SourceText) -> &str {
    let slice = || {
        let start = usize::try_from(at.span().byte_offset()?).ok()?;
        let length = usize::try_from(at.span().byte_len()?).ok()?;
        source.text.get(start..start.checked_add(length)?)
    };
    slice().unwrap_or_default()
}

/// The parser turns whole numbers with leading zeros or more than 64 bits into floats. Restores the former and refuses
/// the latter.
fn whole_number(value: &Value, written: &str) -> Result<Option<Value>, String> {
    let digits = written.strip_prefix(['-', '+']).unwrap_or(written);
    if !value.is_f64() || digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit() || b == b'_') {
        return Ok(None);
    }
    let plain = written.replace('_', "");
    let exact = plain.parse::<i64>().map(Value::from).or_else(|_| plain.parse::<u64>().map(Value::from));
    match exact {
        Ok(exact) => Ok(Some(exact)),
        Err(_) => Err(format!("{written} does not fit in 64 bits; quote it to make it a string")),
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
