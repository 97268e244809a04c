use serde_json::json;

use super::*;

fn read(text: &str) -> Documents {
    let mut documents = Documents::default();
    if let Err(problems) = documents.add("test.yml", text.to_owned()) {
        panic!("{}", problems[0]);
    }
    documents
}

fn problem(documents: &Documents, path: &str, reason: &str) -> DocumentProblem {
    documents.problems(&[(path, reason)]).remove(0)
}

fn refused(text: &str) -> String {
    let problems = Documents::default().add("test.yml", text.to_owned()).unwrap_err();
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn scalars_are_what_yaml_1_2_says() {
    let text = "[~, null, '', true, False, yes, on, 0123, 0x1F, 0o17, -5, 1.50, 1e3, 18446744073709551615, 2001-01-01, \
                '7', !!str 8]\n";
    assert_eq!(
        read(text).to_json(),
        [json!([
            null,
            null,
            "",
            true,
            false,
            "yes",
            "on",
            123,
            31,
            15,
            -5,
            1.5,
            1000.0,
            18_446_744_073_709_551_615_u64,
            "2001-01-01",
            "7",
            "8"
        ])]
    );
}

#[test]
fn documents_are_split_and_empty_ones_skipped() {
    let text = "a: 1\n---\n---\n# nothing\n---\nb: |\n  ---\n  x\n...\n---\nc: 3\n";
    assert_eq!(read(text).to_json(), [json!({"a": 1}), json!({"b": "---\nx\n"}), json!({"c": 3})]);
    assert!(read("").is_empty());
    assert!(read("# nothing\n---\n").is_empty());
}

#[test]
fn json_is_read_too() {
    assert_eq!(read(r#"{"a": [1, null, "x\u0041\n"]}"#).to_json(), [json!({"a": [1, null, "xA\n"]})]);
}

#[test]
fn keys_become_text() {
    assert_eq!(read("3600: a\ntrue: b\n1.5: c\n").to_json(), [json!({"3600": "a", "true": "b", "1.5": "c"})]);
}

#[test]
fn nested_keys_and_items_are_found() {
    let documents =
        read("kind: a\n---\nkind: pack\nspec:\n  queries:\n  - query: x\n    interval: 0\n  list: [1, 2]\n");
    assert_eq!(
        problem(&documents, "documents[1].spec.queries[0].interval", "too small").to_string(),
        "test.yml:7:5: too small\n  7 |     interval: 0\n    |     ^^^^^^^^"
    );
    assert_eq!(
        problem(&documents, "documents[1].spec.list[1]", "odd").to_string(),
        "test.yml:8:13: odd\n  8 |   list: [1, 2]\n    |             ^"
    );
}

#[test]
fn odd_keys_are_found() {
    let documents = read("spec:\n  \"odd. key\": 1\n  3600: {a: b}\n");
    assert_eq!(problem(&documents, r#"documents[0].spec["odd. key"]"#, "no").position(), (2, 3));
    assert_eq!(problem(&documents, "documents[0].spec[3600].a", "no").position(), (3, 10));
}

#[test]
fn a_missing_key_is_reported_at_its_parent() {
    let documents = read("kind: pack\nspec:\n  queries:\n  - query: x\n");
    assert_eq!(
        problem(&documents, "documents[0].spec.queries[0].interval", "is required").to_string(),
        "test.yml:4:5: interval: is required\n  4 |   - query: x\n    |     ^"
    );
    assert!(problem(&documents, "documents[0].apiVersion", "is required").to_string().starts_with("test.yml:1:1: "));
}

#[test]
fn aliases_and_merges_point_at_the_text_to_correct() {
    let documents = read("x: &base\n  interval: 0\na: *base\nb:\n  <<: *base\n  name: c\n");
    assert_eq!(problem(&documents, "documents[0].a.interval", "no").position(), (2, 3));
    assert_eq!(problem(&documents, "documents[0].b.interval", "no").position(), (2, 3));
    assert_eq!(problem(&documents, "documents[0].b.name", "no").position(), (6, 3));
}

#[test]
fn problems_without_a_location_keep_their_path() {
    let documents = read("a: 1\n");
    assert_eq!(problem(&documents, "base", "broken").to_string(), "broken");
    assert_eq!(problem(&documents, "documents[7].kind", "broken").to_string(), "documents[7].kind: broken");
}

#[test]
fn syntax_errors_show_the_line() {
    assert_eq!(
        refused("a: 1\n---\nb: 1\nb: 2\n"),
        "test.yml:4:1: the key \"b\" is a duplicate; remove one of the two\n  4 | b: 2\n    | ^"
    );
    assert_eq!(
        refused("a:\n\t- b\n"),
        "test.yml:2:2: tabs disallowed within this context (block indentation)\n  2 | \t- b\n    | \t^"
    );
    assert!(refused("a: b: c\n").starts_with("test.yml:1:5: mapping values are not allowed"));
    assert!(refused("? [a]\n: b\n").starts_with("test.yml:1:3: "));
    assert!(refused("~: b\n").starts_with("test.yml:1:1: a key must not be null"));
    assert!(refused("a: &x [*x]\n").starts_with("test.yml:1:8: the anchor contains itself"));
}

#[test]
fn values_that_json_cannot_hold_are_refused() {
    assert!(refused("a: 99999999999999999999\n").starts_with("test.yml:1:4: 99999999999999999999 does not fit"));
    assert!(refused("a: -9223372036854775809\n").starts_with("test.yml:1:4: "));
    assert!(refused("a: .inf\n").starts_with("test.yml:1:4: .inf is not a finite number"));
    assert!(refused("1: a\n'1': b\n").starts_with("test.yml:2:1: the key \"1\" is a duplicate"));
}

#[test]
fn a_byte_order_mark_is_not_a_column() {
    assert_eq!(
        problem(&read("\u{feff}a: 1\n"), "documents[0].a", "no").to_string(),
        "test.yml:1:1: no\n  1 | a: 1\n    | ^"
    );
}

#[test]
fn more_documents_than_a_fleet_has_are_read() {
    assert_eq!(read(&"---\nkind: query\n".repeat(5000)).to_json().len(), 5000);
}

#[test]
fn problems_come_in_the_order_of_the_files() {
    let mut documents = Documents::default();
    for name in ["z.yml", "a.yml"] {
        documents.add(name, "kind: x\nspec: {a: 1}\n".to_owned()).unwrap();
    }
    let found = documents.problems(&[
        ("base", "general"),
        ("documents[1].kind", "four"),
        ("documents[0].spec.a", "two"),
        ("documents[0].kind", "one"),
        ("documents[0].spec.b", "is missing"),
    ]);
    let reasons: Vec<_> = found.iter().map(|problem| problem.reason.as_str()).collect();
    assert_eq!(reasons, ["one", "b: is missing", "two", "four", "general"]);
}

#[test]
fn numbers_and_booleans_get_a_remedy() {
    let documents = read("version: 5.10\nsnapshot: on\n");
    let reason = |path, reason| problem(&documents, path, reason).reason;
    assert_eq!(
        reason("documents[0].version", "must be a string"),
        "must be a string; quote it to make it a string: \"5.10\""
    );
    assert_eq!(reason("documents[0].snapshot", "must be a boolean"), "must be a boolean; write true or false");
    assert_eq!(reason("documents[0].snapshot", "unknown key"), "unknown key");
}

#[test]
fn duplicate_problems_are_removed() {
    let documents = read("a: 1\nb: 2\n");
    let found = documents.problems(&[("documents[0].a", "x"), ("documents[0].b", "x"), ("documents[0].a", "x")]);
    assert_eq!(found.len(), 2);
}
