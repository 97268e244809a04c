//! What differs between two versions of an object, field by field, as it is kept and shown.

use std::collections::BTreeSet;

use muster_api::rest::FieldDifference;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::fleet::path;

/// Most fields of one object that are told apart.
const MAX_FIELDS: usize = 200;

/// Most bytes of a value that are kept.
const MAX_VALUE: usize = 16 * 1024;

/// Most bytes of the values of one object that are kept.
const MAX_OBJECT: usize = 40 * 1024;

/// Deepest level at which members are told apart; what is below counts as one value.
const MAX_DEPTH: usize = 12;

/// Parts of the names of members whose values are nobody's to read.
const SECRET_WORDS: [&str; 6] = ["secret", "password", "passwd", "token", "access_key", "private_key"];

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Path in the object, such as `queries.processes.interval`.
    pub field: String,
    /// Text of the value; of a list one element on a line. `None` where the field is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Whether only the starts of the values are there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_cut: bool,
    /// Whether the values are left out because they may be secret.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_secret: bool,
    /// Whether the values, of which no part is told apart, may hold a secret.
    #[serde(skip)]
    holds_secret: bool,
}

impl FieldChange {
    /// A field whose values are told whole.
    pub fn new(field: &str, before: Option<&Value>, after: Option<&Value>) -> Self {
        let text = |value: Option<&Value>| value.filter(|value| !is_nothing(value)).map(text_of);
        let holds_secret = [before, after].into_iter().flatten().any(holds_secret);
        let (before, after) = (text(before), text(after));
        Self { field: field.to_owned(), before, after, is_cut: false, is_secret: false, holds_secret }
    }

    fn bytes(&self) -> usize {
        self.field.len() + [&self.before, &self.after].into_iter().flatten().map(String::len).sum::<usize>()
    }

    fn cut(&mut self, most: usize) {
        for text in [&mut self.before, &mut self.after].into_iter().flatten() {
            if text.len() > most {
                let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
                text.truncate(end);
                self.is_cut = true;
            }
        }
    }

    /// As it may be kept for long: without a value that may be a secret.
    fn hide(&mut self) {
        if std::mem::take(&mut self.holds_secret) || is_secret_name(&self.field) {
            (self.before, self.after, self.is_secret) = (None, None, true);
        }
    }
}

impl From<FieldChange> for FieldDifference {
    fn from(change: FieldChange) -> Self {
        let FieldChange { field, before, after, is_cut, is_secret, .. } = change;
        // A key of the object itself that is no plain word, such as an e-mail address, is shown without brackets.
        let field = serde_json::from_str(&field).map_or(field, |[key]: [String; 1]| key);
        Self { field, before, after, is_cut, is_secret }
    }
}

/// What differs in one object.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ChangedFields {
    #[serde(default)]
    pub fields: Vec<FieldChange>,
    /// Number of fields that differ and are left out.
    #[serde(default)]
    pub left_out: usize,
}

impl ChangedFields {
    /// Compares two versions of an object, of which one may be absent. Ids are left out, and so is what is empty on one side
    /// and absent on the other.
    pub fn between(before: Option<&Value>, after: Option<&Value>) -> Self {
        let mut found = Self::default();
        found.walk("", before, after, 0);
        found
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.left_out == 0
    }

    /// As it is kept: bounded. `room` is what the whole activity may still take. Where there may be secrets, values that look
    /// like some are left out.
    pub(super) fn kept(mut self, may_have_secrets: bool, room: &mut usize) -> Self {
        let mut of_object = MAX_OBJECT.min(*room);
        let mut kept = Vec::new();
        for mut field in self.fields {
            if may_have_secrets {
                field.hide();
            }
            field.cut(MAX_VALUE);
            let bytes = field.bytes();
            if bytes > of_object {
                self.left_out += 1;
                continue;
            }
            of_object -= bytes;
            *room -= bytes;
            kept.push(field);
        }
        Self { fields: kept, left_out: self.left_out }
    }

    fn walk(&mut self, at: &str, before: Option<&Value>, after: Option<&Value>, depth: usize) {
        if before == after || (is_absent(before) && is_absent(after)) {
            return;
        }
        let (old, new) = (before.and_then(members), after.and_then(members));
        let is_deep = depth >= MAX_DEPTH;
        match (old, new) {
            (Some(old), Some(new)) if !is_deep => {
                let found = self.count();
                self.walk_members(at, &old, &new, depth);
                // Only the order of a list differs.
                if self.count() == found {
                    self.add(FieldChange::new(at, before, after));
                }
            }
            (Some(old), None) if is_absent(after) && !is_deep => self.walk_members(at, &old, &Map::new(), depth),
            (None, Some(new)) if is_absent(before) && !is_deep => self.walk_members(at, &Map::new(), &new, depth),
            _ => self.add(FieldChange::new(at, before, after)),
        }
    }

    fn walk_members(&mut self, at: &str, old: &Map<String, Value>, new: &Map<String, Value>, depth: usize) {
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            if depth == 0 && name == "id" {
                continue;
            }
            self.walk(&path::member(at, name), old.get(name), new.get(name), depth + 1);
        }
    }

    fn add(&mut self, field: FieldChange) {
        if self.fields.len() < MAX_FIELDS { self.fields.push(field) } else { self.left_out += 1 }
    }

    fn count(&self) -> usize {
        self.fields.len() + self.left_out
    }
}

/// The members of an object that has some, or of a list whose elements have names.
fn members(value: &Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(members) if !members.is_empty() => Some(members.clone()),
        Value::Array(items) if !items.is_empty() => {
            let named: Map<String, Value> =
                items.iter().filter_map(|item| Some((name_of(item)?.to_owned(), item.clone()))).collect();
            (named.len() == items.len()).then_some(named)
        }
        _ => None,
    }
}

/// The name of an element of a list: scheduled queries have one, or that of their query.
fn name_of(item: &Value) -> Option<&str> {
    let text = |key| item.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    text("name").or_else(|| text("query"))
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// Whether a member anywhere in a value is called like a secret, or a text has an address with a password in it.
fn holds_secret(value: &Value) -> bool {
    match value {
        Value::String(text) => text.split("://").skip(1).any(|address| {
            let host = address.split(['/', '?', '#', ' ', '\n']).next().unwrap_or_default();
            host.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
        }),
        Value::Array(items) => items.iter().any(holds_secret),
        Value::Object(members) => members.iter().any(|(name, value)| is_secret_name(name) || holds_secret(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn is_absent(value: Option<&Value>) -> bool {
    value.is_none_or(is_nothing)
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            items.iter().map(text_of).collect::<Vec<_>>().join("\n")
        }
        other => serde_json::to_string_pretty(other).unwrap_or_default(),
    }
}

/// A short text that is the same as long as the contents of an object are: whoever edits it sends back what was seen.
pub fn content_mark(contents: &Value) -> String {
    let mut sorted = contents.clone();
    sorted.sort_all_objects();
    let hash = Sha256::digest(sorted.to_string().as_bytes());
    hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(before: Option<Value>, after: Option<Value>) -> Vec<String> {
        let show = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
        let found = ChangedFields::between(before.as_ref(), after.as_ref());
        found
            .fields
            .iter()
            .map(|field| format!("{}: {} → {}", field.field, show(&field.before), show(&field.after)))
            .collect()
    }

    #[test]
    fn fields_that_differ_are_told_by_their_paths() {
        let old = json!({ "id": 1, "name": "a", "shard": 5, "targets": { "labels": ["x", "y"] }, "description": "" });
        let new = json!({ "id": 2, "name": "a", "shard": null, "targets": { "labels": ["x"] } });
        assert_eq!(lines(Some(old), Some(new)), ["shard: 5 → –", "targets.labels: x\ny → x"]);
        let old = json!({ "config": { "options": { "a": 1, "b.c": true } } });
        let new = json!({ "config": { "options": { "a": "1" } }, "overrides": {} });
        let reported = ["config.options.a: 1 → 1", "config.options[\"b.c\"]: true → –"];
        assert_eq!(lines(Some(old), Some(new)), reported);
    }

    #[test]
    fn queries_of_a_pack_are_told_by_their_names() {
        let old = json!({ "queries": [{ "query": "a", "interval": 60 }, { "query": "b", "interval": 60 }] });
        let new =
            json!({ "queries": [{ "query": "a", "interval": 90 }, { "query": "b", "name": "c", "interval": 60 }] });
        let reported = [
            "queries.a.interval: 60 → 90",
            "queries.b.interval: 60 → –",
            "queries.b.query: b → –",
            "queries.c.interval: – → 60",
            "queries.c.name: – → c",
            "queries.c.query: – → b",
        ];
        assert_eq!(lines(Some(old), Some(new)), reported);
        // An order alone is a difference, too.
        let [one, other] = ["a", "b"].map(|name| json!({ "query": name }));
        let found = lines(Some(json!({ "queries": [one, other] })), Some(json!({ "queries": [other, one] })));
        assert!(matches!(found.as_slice(), [only] if only.starts_with("queries: ")), "{found:?}");
    }

    #[test]
    fn an_object_that_comes_or_goes_is_told_whole() {
        let object = json!({ "name": "a", "query": "SELECT 1", "description": "" });
        assert_eq!(lines(None, Some(object.clone())), ["name: – → a", "query: – → SELECT 1"]);
        assert_eq!(lines(Some(object), None), ["name: a → –", "query: SELECT 1 → –"]);
        assert_eq!(lines(Some(json!({})), None), Vec::<String>::new());
    }

    #[test]
    fn what_is_kept_is_bounded_and_tells_no_secret() {
        let object = json!({
            "config": { "options": { "aws_secret_access_key": "AKIA-not-real", "aws_session_token": "t", "interval": 5 } },
            "long": "é".repeat(20_000),
        });
        let mut room = 1 << 20;
        let kept = ChangedFields::between(None, Some(&object)).kept(true, &mut room);
        let text = serde_json::to_string(&kept).unwrap();
        assert!(!text.contains("AKIA") && text.contains("is_secret"), "{text}");
        assert!(text.len() < 20_000 && kept.fields.iter().any(|field| field.is_cut), "{}", text.len());
        assert_eq!(serde_json::from_str::<ChangedFields>(&text).unwrap(), kept);
        let many: Map<String, Value> =
            (0..1_000).map(|number| (format!("f{number}"), "x".repeat(1_000).into())).collect();
        let mut room = 40_000;
        let first = ChangedFields::between(None, Some(&many.clone().into())).kept(true, &mut room);
        let second = ChangedFields::between(None, Some(&many.into())).kept(true, &mut room);
        assert!(first.fields.len() <= 40 && second.fields.is_empty(), "{} {}", first.fields.len(), second.fields.len());
        assert_eq!(first.fields.len() + first.left_out, 1_000);
        assert_eq!(second.fields.len() + second.left_out, 1_000);
    }

    #[test]
    fn secrets_within_values_are_not_kept() {
        let sinks = |password: &str| json!({ "sinks": [{ "url": "x", "auth": { "Password": password } }] });
        let proxy = |address: &str| json!({ "proxy": address, "list": [address] });
        for (old, new) in [
            (sinks("obvious-fake-1"), sinks("obvious-fake-2")),
            (proxy("http://user:obvious-fake-1@host/a"), proxy("see http://user:obvious-fake-2@host")),
        ] {
            let found = ChangedFields::between(Some(&old), Some(&new)).kept(true, &mut (1 << 20));
            let text = serde_json::to_string(&found).unwrap();
            assert!(found.fields.iter().all(|field| field.is_secret) && !text.contains("obvious-fake"), "{text}");
            let shown = ChangedFields::between(Some(&old), Some(&new));
            assert!(serde_json::to_string(&shown).unwrap().contains("obvious-fake-2"), "whoever edits sees it");
        }
        let harmless = json!({ "a": "http://host:8080/user@host:1", "b": "one@two.example" });
        let found = ChangedFields::between(None, Some(&harmless)).kept(true, &mut (1 << 20));
        assert!(found.fields.iter().all(|field| !field.is_secret), "{found:?}");
    }

    #[test]
    fn a_mark_is_of_the_contents_alone() {
        let (one, other) = (json!({ "a": 1, "b": 2 }), json!({ "b": 2, "a": 1 }));
        assert_eq!(content_mark(&one), content_mark(&other));
        assert_ne!(content_mark(&one), content_mark(&json!({ "a": 1, "b": 3 })));
    }
}
