use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Formats a value as YAML: keys in the given order, strings that look like another type quoted, multi-line strings as
/// literal blocks.
pub fn to_yaml<T: Serialize>(value: &T) -> anyhow::Result<String> {
    let options = serde_yaml::ser_options! { folded_wrap_chars: usize::MAX };
    serde_yaml::to_string_with_options(value, options).context("cannot write YAML")
}

/// Formats a document for `apply`: starts with `---`, keys are sorted.
pub fn document(kind: &str, spec: &Value) -> anyhow::Result<String> {
    let document = json!({ "apiVersion": crate::spec::API_VERSION, "kind": kind, "spec": spec });
    Ok(format!("---\n{}", to_yaml(&sorted(&document))?))
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            let sorted = entries.into_iter().map(|(key, value)| (key.clone(), sorted(value)));
            Value::Object(sorted.collect::<Map<_, _>>())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        scalar => scalar.clone(),
    }
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
