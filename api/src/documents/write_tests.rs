use proptest::prelude::*;
use serde_json::{Value, json};

use super::{document, to_yaml};
use crate::documents::Documents;

fn read_back(yaml: &str) -> Vec<Value> {
    let mut documents = Documents::default();
    if let Err(problems) = documents.add("written.yml", yaml.to_owned()) {
        panic!("{}\nin\n{yaml}", problems[0]);
    }
    documents.to_json()
}

#[test]
fn documents_have_sorted_keys() {
    let yaml = document("query", &json!({"query": "select 1;", "name": "a", "description": ""})).unwrap();
    assert_eq!(yaml, "---\napiVersion: v1\nkind: query\nspec:\n  description: \"\"\n  name: a\n  query: select 1;\n");
}

#[test]
fn text_that_looks_like_something_else_is_quoted() {
    for text in [
        "on", "0123", "null", "~", "", "yes", "tRuE", "1e3", "0x1F", ".inf", "1_000", "- a", "a: b", "#x", " a",
        "12:30",
    ] {
        let yaml = to_yaml(&json!({ "a": text })).unwrap();
        assert!(yaml.contains(['"', '\'']), "{yaml}");
        assert_eq!(read_back(&yaml), [json!({ "a": text })]);
        let as_key = json!({ text: {"<<": {"b": 1}} });
        assert_eq!(read_back(&to_yaml(&as_key).unwrap()), [as_key]);
    }
}

#[test]
fn text_of_several_lines_is_a_literal_block() {
    let yaml = to_yaml(&json!({"query": "SELECT *\n  FROM users\nWHERE 1;\n"})).unwrap();
    assert_eq!(yaml, "query: |\n  SELECT *\n    FROM users\n  WHERE 1;\n");
}

#[test]
fn long_text_stays_on_its_line() {
    let sql = format!("SELECT {} FROM t", "a, ".repeat(200));
    assert_eq!(to_yaml(&json!({ "q": sql })).unwrap().lines().count(), 1);
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ \\t\\r\\n:#'\"|>&*!%@`\\[\\]{},?.0-9a-z~-]{0,24}",
        "( {0,3}[a-z-]{0,4}\\n{0,2}){0,6}",
        "[\u{0}\u{7}\u{1b}\u{7f}\u{85}\u{a0}\u{2028}\u{2029}\u{feff}\u{fffd}\u{1f600} a\n]{0,12}",
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no other numbers", |n| n.is_finite()).prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    scalar.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(text(), inner, 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_survives(text in text()) {
        let spec = json!({ "query": text, "list": [text] });
        let written = document("query", &spec).unwrap() + &document("label", &spec).unwrap();
        prop_assert_eq!(read_back(&written), [
            json!({ "apiVersion": "v1", "kind": "query", "spec": spec }),
            json!({ "apiVersion": "v1", "kind": "label", "spec": spec }),
        ]);
    }

    #[test]
    fn any_value_survives(spec in value()) {
        let written = document("config", &spec).unwrap();
        prop_assert_eq!(read_back(&written), [json!({ "apiVersion": "v1", "kind": "config", "spec": spec })]);
    }
}
