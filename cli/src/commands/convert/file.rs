use serde_json::Value;

use super::clean::CleanText;
use super::tree::{JsonNode, Span};
use crate::documents::{DocumentProblem, SourceText};

/// A pack file, parsed as JSON after the clean-up that agents do.
pub struct PackFile {
    source: SourceText,
    clean: CleanText,
    pub root: JsonNode,
    /// Warnings about settings that are accepted here but not by agents.
    pub warnings: Vec<DocumentProblem>,
}

impl PackFile {
    pub fn read(name: &str, text: String) -> Result<Self, DocumentProblem> {
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        let source = SourceText { name: name.to_owned(), text };
        let clean = CleanText::from(&source.text);
        let problem = |error: &serde_json::Error| {
            let offset = offset(&clean.text, error);
            let is_yaml = [".yml", ".yaml"].iter().any(|ending| source.name.ends_with(ending));
            let hint =
                if is_yaml { "; if the file holds documents, it needs no conversion: use fleetctl apply" } else { "" };
            problem_at(&source, &clean, Span { offset, width: 1 }, format!("{}{hint}", reason(error)))
        };
        // Checks the whole text first; JsonNode then parses parts of valid JSON.
        let root = serde_json::from_str::<Value>(&clean.text).and_then(|_| JsonNode::parse(&clean.text));
        let root = root.map_err(|error| problem(&error))?;
        let broken = clean.crlf_continuation.map(|offset| {
            let (line, column) = position(&source.text, offset);
            let reason = "agents do not accept a backslash before CRLF as a line continuation; it is read as one here";
            DocumentProblem::at_line(&source, line, column, 1, reason).into_warning()
        });
        let warnings = broken.into_iter().collect();
        Ok(Self { source, clean, root, warnings })
    }

    pub fn name(&self) -> &str {
        &self.source.name
    }

    /// A problem at a position of the cleaned text.
    pub fn problem(&self, at: Span, reason: impl Into<String>) -> DocumentProblem {
        problem_at(&self.source, &self.clean, at, reason)
    }
}

fn problem_at(source: &SourceText, clean: &CleanText, at: Span, reason: impl Into<String>) -> DocumentProblem {
    let (line, column) = position(&source.text, clean.origin(at.offset));
    DocumentProblem::at_line(source, line, column, at.width, reason)
}

/// Line and column of a byte offset, both counted from 1.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// Byte offset of an error.
fn offset(text: &str, error: &serde_json::Error) -> usize {
    let before: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let mut offset = (before + error.column()).saturating_sub(1).min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    if error.is_eof() { text.trim_end().len() } else { offset }
}

fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let suffix = format!(" at line {} column {}", error.line(), error.column());
    let text = text.strip_suffix(&suffix).unwrap_or(&text);
    let remedy = match text {
        "trailing comma" => "; remove the comma",
        "control character (\\u0000-\\u001F) found while parsing a string" => {
            "; to continue a string on the next line, end this line with a backslash"
        }
        _ => "",
    };
    format!("invalid JSON: {text}{remedy}")
}
