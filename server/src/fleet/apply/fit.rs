//! Fits a spec to the schema of its kind, so that all of its problems are found at once and not only the first.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use muster_api::spec::DocumentKind;
use serde_json::{Map, Value};

use super::foreign::Skipped;
use crate::fleet::findings::Findings;
use crate::fleet::path;

/// The schemas of the kinds that have a type.
static SCHEMAS: LazyLock<BTreeMap<DocumentKind, Value>> =
    LazyLock::new(|| DocumentKind::ALL.into_iter().filter_map(|kind| Some((kind, kind.schema()?))).collect());

/// A walk over one spec.
pub(super) struct Fit<'a, 'f> {
    pub kind: DocumentKind,
    pub found: &'a mut Findings<'f>,
    pub skipped: &'a mut Skipped,
}

impl Fit<'_, '_> {
    /// Makes `spec` readable as the type of its kind: reports what does not fit and puts a placeholder there, drops what
    /// is null, and skips what only Fleet knows. Specs of kinds without a type stay as they are.
    pub fn fit(mut self, at: &str, spec: &mut Value) {
        if let Some(schema) = SCHEMAS.get(&self.kind) {
            self.value(schema, "", at, spec);
        }
    }

    fn value(&mut self, schema: &Value, part: &str, at: &str, value: &mut Value) {
        let words = words(schema);
        let is_right = match type_of(schema) {
            _ if !words.is_empty() => {
                let is_number =
                    |numbers: &Value| whole_numbers(numbers).contains(&value.as_i64().map_or(i128::MIN, i128::from));
                value.as_str().is_some_and(|text| words.contains(&text)) || number(schema).is_some_and(is_number)
            }
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => whole_numbers(schema).contains(&value.as_i64().map_or(i128::MIN, i128::from)),
            "array" => value.is_array(),
            "object" => value.is_object(),
            _ => true,
        };
        if !is_right {
            let is_quoted =
                type_of(schema) == "integer" && value.as_str().is_some_and(|text| text.parse::<i64>().is_ok());
            let remedy = if is_quoted { "; write it without quotes" } else { "" };
            self.found.problem(at, format!("expects {}, not {}{remedy}", expected(schema), shown(value)));
            *value = placeholder(schema);
        }
        match value {
            Value::Array(items) => {
                for (position, item) in items.iter_mut().enumerate() {
                    self.value(&schema["items"], part, &path::item(at, position), item);
                }
            }
            Value::Object(members) => self.members(schema, part, at, members),
            _ => {}
        }
    }

    fn members(&mut self, schema: &Value, part: &str, at: &str, members: &mut Map<String, Value>) {
        let Some(known) = schema["properties"].as_object() else {
            // Names that operators choose, such as the users of roles.
            for (name, value) in members {
                self.value(&schema["additionalProperties"], part, &path::member(at, name), value);
            }
            return;
        };
        self.skipped.take_from(self.kind, part, at, members);
        members.retain(|key, _| {
            let is_known = known.contains_key(key);
            if !is_known {
                let names: Vec<&str> = known.keys().map(String::as_str).collect();
                self.found.unknown_key(at, key, "known are", &names);
            }
            is_known
        });
        for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !members.contains_key(key) {
                self.found.problem(path::member(at, key), "is missing");
                members.insert(key.to_owned(), placeholder(&known[key]));
            }
        }
        for (key, value) in members {
            let part = if part.is_empty() { key.clone() } else { format!("{part}.{key}") };
            self.value(&known[key.as_str()], &part, &path::member(at, key), value);
        }
    }
}

/// The type that a value has unless it is null; empty if any will do.
fn type_of(schema: &Value) -> &str {
    match &schema["type"] {
        Value::String(name) => name,
        Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or_default(),
        _ => "",
    }
}

/// The words of an enum; empty for other types.
fn words(schema: &Value) -> Vec<&str> {
    let lists = ["oneOf", "anyOf"].into_iter().filter_map(|key| schema[key].as_array()).flatten();
    let own = schema["enum"].as_array().into_iter().flatten().chain(schema.get("const")).filter_map(Value::as_str);
    own.chain(lists.flat_map(words)).collect()
}

/// The numbers that an enum has beside its words.
fn number(schema: &Value) -> Option<&Value> {
    let lists = ["oneOf", "anyOf"].into_iter().filter_map(|key| schema[key].as_array()).flatten();
    if type_of(schema) == "integer" { Some(schema) } else { lists.filter_map(number).next() }
}

/// The whole numbers that fit the type.
fn whole_numbers(schema: &Value) -> std::ops::RangeInclusive<i128> {
    let bound = |key: &str| schema[key].as_i64().map(i128::from);
    let (low, high) = match schema["format"].as_str() {
        Some("uint8") => (0, u8::MAX.into()),
        Some("uint32") => (0, u32::MAX.into()),
        _ => (i64::MIN.into(), i64::MAX.into()),
    };
    bound("minimum").unwrap_or(low)..=bound("maximum").unwrap_or(high)
}

fn expected(schema: &Value) -> String {
    let words = words(schema);
    match type_of(schema) {
        _ if !words.is_empty() => {
            let numbers = number(schema).map(expected).into_iter();
            numbers.chain(words.into_iter().map(str::to_owned)).collect::<Vec<_>>().join(" or ")
        }
        "string" => "a string".to_owned(),
        "boolean" => "a boolean".to_owned(),
        "integer" => {
            let range = whole_numbers(schema);
            format!("a whole number from {} to {}", range.start(), range.end())
        }
        "array" => "a list".to_owned(),
        _ => "an object".to_owned(),
    }
}

/// The value as it is named in a problem.
fn shown(value: &Value) -> String {
    /// Longest text that is repeated in a problem, in characters.
    const LONGEST: usize = 40;
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) if text.chars().count() > LONGEST => "that text".to_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

/// What stands in for a value that is wrong or missing: whatever is said of it later is a consequence of that.
fn placeholder(schema: &Value) -> Value {
    if let Some(word) = words(schema).first() {
        return Value::from(*word);
    }
    match type_of(schema) {
        "string" => Value::from(""),
        "boolean" => Value::from(false),
        // Zero, or what comes nearest to it.
        "integer" => Value::from(i64::try_from(*whole_numbers(schema).start()).unwrap_or_default().max(0)),
        "array" => Value::Array(Vec::new()),
        "object" => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            Value::Object(required.map(|key| (key.to_owned(), placeholder(&schema["properties"][key]))).collect())
        }
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fleet::Problem;

    /// The spec as it was fitted, and the paths of problems and of warnings.
    fn fitted(kind: DocumentKind, mut spec: Value) -> (Value, Vec<String>, Vec<String>) {
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        let mut skipped = Skipped::default();
        let found = &mut Findings { problems: &mut problems, warnings: &mut warnings };
        Fit { kind, found, skipped: &mut skipped }.fit("s", &mut spec);
        let paths = |found: Vec<Problem>| found.into_iter().map(|found| found.path).collect();
        (spec, paths(problems), paths(skipped.into_warnings().collect()))
    }

    #[test]
    fn all_problems_of_a_spec_are_found_at_once() {
        let spec = json!({
            "name": 7, "descriptoin": "", "disabled": "no", "targets": { "labels": ["a", 7] },
            "queries": [{ "query": "q" }, { "interval": 1.5, "query": "r", "snapshot": 1 }, "s"], "shard": 300,
        });
        let (spec, problems, warnings) = fitted(DocumentKind::Pack, spec);
        assert_eq!(
            problems,
            [
                "s.descriptoin",
                "s.name",
                "s.disabled",
                "s.targets.labels[1]",
                "s.queries[0].interval",
                "s.queries[1].interval",
                "s.queries[1].snapshot",
                "s.queries[2]",
                "s.shard"
            ]
        );
        assert_eq!(warnings, [""; 0]);
        let typed: muster_api::spec::PackSpec = serde_json::from_value(spec).unwrap();
        assert_eq!(typed.queries.len(), 3);
    }

    #[test]
    fn null_is_as_if_absent_in_every_kind() {
        for (kind, spec, left) in [
            (
                DocumentKind::Query,
                json!({ "name": "q", "query": "x", "description": null }),
                json!({ "name": "q", "query": "x" }),
            ),
            (
                DocumentKind::Pack,
                json!({ "name": "p", "queries": null, "shard": null, "targets": { "labels": null, "teams": null } }),
                json!({ "name": "p", "targets": {} }),
            ),
            (
                DocumentKind::Label,
                json!({ "name": "l", "hosts": null, "label_type": null, "label_membership_type": null }),
                json!({ "name": "l" }),
            ),
            (
                DocumentKind::UserRoles,
                json!({ "roles": { "a@b.c": { "global_role": "admin", "teams": null } } }),
                json!({ "roles": { "a@b.c": { "global_role": "admin" } } }),
            ),
        ] {
            assert_eq!(fitted(kind, spec), (left, vec![], vec![]));
        }
        assert_eq!(fitted(DocumentKind::Pack, json!({ "name": null })).1, ["s.name"]);
    }

    #[test]
    fn keys_of_fleet_are_skipped_with_one_warning_for_each() {
        let spec = json!({
            "name": "p", "type": "global", "display_text": null,
            "queries": [{ "id": 1, "query": "a", "interval": 1 }, { "id": 2, "query": "b", "interval": 1, "ident": 3 }],
        });
        let (spec, problems, warnings) = fitted(DocumentKind::Pack, spec);
        assert_eq!(problems, ["s.queries[1].ident"]);
        assert_eq!(warnings, ["s.type", "s.queries[0].id"]);
        assert_eq!(spec["queries"][0], json!({ "query": "a", "interval": 1 }));
    }

    #[test]
    fn words_of_an_enum_are_named() {
        let spec = json!({ "roles": { "a@b.c": { "global_role": "root" }, "d@e.f": 7 } });
        let (_, problems, _) = fitted(DocumentKind::UserRoles, spec);
        assert_eq!(problems, [r#"s.roles["a@b.c"].global_role"#, r#"s.roles["d@e.f"]"#]);
        let schema = DocumentKind::Label.schema().unwrap();
        assert_eq!(expected(&schema["properties"]["label_type"]), "regular or builtin");
    }
}
