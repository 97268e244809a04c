//! What checks share: where they note what they find, and readers of the usual shapes.

use serde_json::{Map, Value};

use super::names::check_sql;
use super::{Problem, path, sql};

/// What a check found: problems stop an apply, warnings do not.
pub(in crate::fleet) struct Findings<'a> {
    pub problems: &'a mut Vec<Problem>,
    pub warnings: &'a mut Vec<Problem>,
}

impl Findings<'_> {
    pub fn problem(&mut self, path: impl Into<String>, reason: impl Into<String>) {
        self.problems.push(Problem::new(path, reason));
    }

    pub fn warn(&mut self, path: impl Into<String>, reason: impl Into<String>) {
        self.warnings.push(Problem::new(path, reason));
    }

    /// Refuses a key nobody reads, and names the one that was probably meant.
    pub fn unknown_key(&mut self, path: &str, key: &str, reader: &str, known: &[&str]) {
        let meant = nearest(key, known.iter().copied());
        let hint = meant.map(|meant| format!("did you mean {meant:?}? ")).unwrap_or_default();
        self.problem(path::member(path, key), format!("unknown key; {hint}{reader} {}", known.join(", ")));
    }

    /// The members of an object, each with its path.
    pub fn members<'v>(&mut self, path: &str, value: &'v Value) -> Vec<(String, &'v String, &'v Value)> {
        let Some(members) = value.as_object() else {
            self.problem(path, "expects an object");
            return Vec::new();
        };
        members.iter().map(|(key, value)| (path::member(path, key), key, value)).collect()
    }

    /// The elements of a list, each with its path.
    pub fn items<'v>(&mut self, path: &str, value: &'v Value) -> Vec<(String, &'v Value)> {
        let Some(items) = value.as_array() else {
            self.problem(path, "expects a list");
            return Vec::new();
        };
        items.iter().enumerate().map(|(position, item)| (path::item(path, position), item)).collect()
    }

    /// Text that is not empty.
    pub fn text<'v>(&mut self, path: &str, value: &'v Value) -> Option<&'v str> {
        let text = value.as_str().filter(|text| !text.trim().is_empty());
        if text.is_none() {
            self.problem(path, "expects text");
        }
        text
    }

    /// The texts of a list, each with its path.
    pub fn texts<'v>(&mut self, path: &str, value: &'v Value) -> Vec<(String, &'v str)> {
        let mut texts = Vec::new();
        for (here, item) in self.items(path, value) {
            if let Some(text) = self.text(&here, item) {
                texts.push((here, text));
            }
        }
        texts
    }

    pub fn sql(&mut self, path: &str, value: &Value) {
        match value.as_str() {
            Some(text) => {
                check_sql(path, text, self.problems);
                self.warnings.extend(sql::doubt(text).map(|reason| Problem::new(path, reason)));
            }
            None => self.problem(path, "expects the text of a query"),
        }
    }

    pub fn list_of_sql(&mut self, path: &str, value: &Value) {
        for (here, item) in self.items(path, value) {
            self.sql(&here, item);
        }
    }

    /// Says when a member that must be there is not.
    pub fn require(&mut self, path: &str, members: &Map<String, Value>, key: &str) {
        if !members.contains_key(key) {
            self.problem(path::member(path, key), "is missing");
        }
    }
}

/// Longer words are no misspelt names.
const MAX_MISSPELT: usize = 100;

/// The known word that was probably meant, if one comes near.
pub(in crate::fleet) fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    if word.len() > MAX_MISSPELT {
        return None;
    }
    // A third of the letters may be wrong: more would suggest words that have nothing to do with it.
    let limit = (word.chars().count() / 3).clamp(1, 4);
    let word = word.to_lowercase();
    let distances = known.map(|other| (strsim::levenshtein(&word, other), other));
    distances.filter(|(distance, _)| *distance <= limit).min().map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_close_or_none() {
        let known = ["decorators", "schedule", "packs"];
        assert_eq!(nearest("decorator", known.into_iter()), Some("decorators"));
        assert_eq!(nearest("Pakcs", known.into_iter()), None);
        assert_eq!(nearest("pack", known.into_iter()), Some("packs"));
        assert_eq!(nearest("teams", known.into_iter()), None);
        assert_eq!(nearest(&"x".repeat(10_000), known.into_iter()), None);
    }
}
