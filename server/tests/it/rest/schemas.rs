//! Compares JSON with the schemas of the server's description, as far as these use JSON Schema.

use serde_json::{Map, Value};

/// Where and how `value` differs from `schema`.
pub fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    compare(document, schema, value, "", &mut faults);
    faults
}

fn compare(document: &Value, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    let Some(keywords) = schema.as_object() else {
        assert_eq!(schema, &Value::Bool(true), "{at}: the description has no schema here");
        return;
    };
    for (keyword, wanted) in keywords {
        match (keyword.as_str(), wanted) {
            ("$ref", Value::String(name)) => {
                let schema = document.pointer(name.trim_start_matches('#'));
                compare(document, schema.unwrap_or_else(|| panic!("no {name}")), value, at, faults);
            }
            ("type", Value::String(name)) if !is_of_type(value, name) => faults.push(format!("{at} is no {name}")),
            ("type", Value::Array(names)) if !names.iter().any(|name| is_of_type(value, name.as_str().unwrap())) => {
                faults.push(format!("{at} is none of {names:?}"));
            }
            ("enum", Value::Array(values)) if !values.contains(value) => {
                faults.push(format!("{at} is not in the enum"))
            }
            ("const", other) if other != value => faults.push(format!("{at} is not {other}")),
            ("anyOf" | "oneOf", Value::Array(schemas))
                if !schemas.iter().any(|schema| self::faults(document, schema, value).is_empty()) =>
            {
                faults.push(format!("{at} matches no alternative"));
            }
            ("allOf", Value::Array(schemas)) => {
                schemas.iter().for_each(|schema| compare(document, schema, value, at, faults));
            }
            ("items", schema) => {
                for (position, item) in value.as_array().into_iter().flatten().enumerate() {
                    compare(document, schema, item, &format!("{at}[{position}]"), faults);
                }
            }
            _ => {}
        }
    }
    if let Some(members) = value.as_object() {
        compare_members(document, keywords, members, at, faults);
    }
}

fn compare_members(
    document: &Value,
    keywords: &Map<String, Value>,
    members: &Map<String, Value>,
    at: &str,
    faults: &mut Vec<String>,
) {
    let required = keywords.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let missing = required.filter(|name| !members.contains_key(*name));
    faults.extend(missing.map(|name| format!("{at}.{name} is missing")));
    let properties = keywords.get("properties").and_then(Value::as_object);
    for (name, member) in members {
        let at = format!("{at}.{name}");
        match (properties.and_then(|properties| properties.get(name)), keywords.get("additionalProperties")) {
            (Some(schema), _) => compare(document, schema, member, &at, faults),
            (None, Some(Value::Bool(false))) => faults.push(format!("{at} is unknown")),
            (None, Some(schema)) => compare(document, schema, member, &at, faults),
            // What is sent without being described would be no part of the API.
            (None, None) if properties.is_some() && !keywords.contains_key("$ref") => {
                faults.push(format!("{at} is not described"));
            }
            (None, None) => {}
        }
    }
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("unknown type {other}"),
    }
}
