//! Takes out of documents what this server refuses, so that the rest of them comes.

use std::collections::{BTreeMap, BTreeSet};

use muster_api::spec::DocumentKind;
use serde_json::Value;

use super::report::LeftReport;
use crate::fleet::Problem;

/// Takes out the parts that problems name, and says what. `None` if a problem belongs to no document.
pub(super) fn prune(documents: &mut Vec<Value>, problems: &[Problem]) -> Option<Vec<LeftReport>> {
    let mut left = Vec::new();
    let mut whole = BTreeSet::new();
    // By document, list and position, so that each is taken out once and from the end.
    let mut items: BTreeMap<(usize, &'static str), BTreeSet<usize>> = BTreeMap::new();
    for problem in problems {
        let (index, rest) = document_of(&problem.path)?;
        let document = documents.get(index)?;
        let kind = document["kind"].as_str().and_then(DocumentKind::parse)?;
        let spec = &document["spec"];
        let name = spec["name"].as_str().unwrap_or_default().to_owned();
        let of = |part: &str| match name.as_str() {
            "" => format!("{}: {part}", kind.as_str()),
            name => format!("{} {name:?}: {part}", kind.as_str()),
        };
        let found = match kind {
            DocumentKind::Pack | DocumentKind::GlobalSchedule => item_of(rest, "queries")
                .map(|at| ("queries", at, of(&format!("query {}", spec["queries"][at]["query"]))))
                .or(item_of(rest, "targets.labels")
                    .map(|at| ("targets/labels", at, of(&format!("target {}", spec["targets"]["labels"][at]))))),
            DocumentKind::EnrollSecret => {
                item_of(rest, "secrets").map(|at| ("secrets", at, format!("enroll secret number {}", at + 1)))
            }
            _ => None,
        };
        match found {
            Some((list, at, what)) => {
                if items.entry((index, list)).or_default().insert(at) {
                    left.push(LeftReport::one(what, &problem.reason));
                }
            }
            None if kind == DocumentKind::Options && take(&mut documents[index]["spec"], rest) => {
                left.push(LeftReport::one(format!("agent options: {rest}"), &problem.reason));
            }
            None => {
                if whole.insert(index) {
                    let what =
                        if name.is_empty() { kind.as_str().to_owned() } else { format!("{} {name:?}", kind.as_str()) };
                    left.push(LeftReport::one(what, format!("{rest}: {}", problem.reason)));
                }
            }
        }
    }
    for ((index, list), positions) in items {
        let list = documents[index]["spec"].pointer_mut(&format!("/{list}")).and_then(Value::as_array_mut)?;
        let mut position = 0;
        list.retain(|_| {
            position += 1;
            !positions.contains(&(position - 1))
        });
    }
    let mut index = 0;
    documents.retain(|_| {
        index += 1;
        !whole.contains(&(index - 1))
    });
    Some(left)
}

/// What is said of a part of a document, under the name of the document instead of its position.
pub(super) fn named(documents: &[Value], path: &str, reason: &str) -> String {
    let found = document_of(path).and_then(|(index, rest)| Some((documents.get(index)?, rest)));
    let Some((document, rest)) = found else { return format!("{path}: {reason}") };
    let kind = document["kind"].as_str().unwrap_or_default();
    match document["spec"]["name"].as_str() {
        Some(name) => format!("{kind} {name:?}, {rest}: {reason}"),
        None => format!("{kind}, {rest}: {reason}"),
    }
}

/// The position of the document that a path is in, and the rest of the path inside its spec.
fn document_of(path: &str) -> Option<(usize, &str)> {
    let (index, rest) = path.strip_prefix("documents[")?.split_once(']')?;
    let rest = rest.strip_prefix(".spec")?;
    Some((index.parse().ok()?, rest.strip_prefix('.').unwrap_or(rest)))
}

/// The position in a list that a path goes through.
fn item_of(path: &str, list: &str) -> Option<usize> {
    let (at, _) = path.strip_prefix(list)?.strip_prefix('[')?.split_once(']')?;
    at.parse().ok()
}

/// Takes out the value at a path; `false` if there is none.
fn take(value: &mut Value, path: &str) -> bool {
    let Some(parts) = parts(path) else { return false };
    let Some((last, above)) = parts.split_last() else { return false };
    let mut at = value;
    for part in above {
        let next = match at {
            Value::Object(members) => members.get_mut(part.as_str()),
            Value::Array(items) => part.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
            _ => None,
        };
        let Some(next) = next else { return false };
        at = next;
    }
    match at {
        Value::Object(members) => members.remove(last.as_str()).is_some(),
        // Positions of others in the list would move: the whole list goes.
        Value::Array(items) => {
            let had_some = !items.is_empty();
            items.clear();
            had_some
        }
        _ => false,
    }
}

/// The keys and positions of a path, as `fleet::path` writes it.
fn parts(path: &str) -> Option<Vec<String>> {
    let (mut parts, mut rest) = (Vec::new(), path);
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix("[\"") {
            // The end is the first quote with a bracket that closes the text as JSON.
            let end = (0..quoted.len()).filter(|at| quoted[*at..].starts_with("\"]")).find_map(|at| {
                let text = serde_json::from_str::<String>(&rest[1..at + 3]).ok()?;
                Some((text, at + 2))
            });
            let (key, end) = end?;
            parts.push(key);
            rest = &quoted[end..];
        } else if let Some(position) = rest.strip_prefix('[') {
            let (position, after) = position.split_once(']')?;
            parts.push(position.to_owned());
            rest = after;
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            parts.push(rest[..end].to_owned());
            rest = &rest[end..];
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problem(path: &str) -> Problem {
        Problem::new(path, "is wrong")
    }

    #[test]
    fn what_is_refused_goes_and_the_rest_stays() {
        let mut documents = vec![
            json!({ "kind": "query", "spec": { "name": "a", "query": "" } }),
            json!({ "kind": "pack", "spec": {
                "name": "p", "targets": { "labels": ["x", "y"] }, "queries": [{ "query": "a" }, { "query": "b" }, { "query": "c" }],
            } }),
            json!({ "kind": "options", "spec": {
                "config": { "options": { "good": 1, "bad": 2 }, "views": { "a.b \"c\"]": 7, "d": "x" } },
            } }),
            json!({ "kind": "label", "spec": { "name": "l" } }),
        ];
        let problems = [
            problem("documents[0].spec.query"),
            problem("documents[1].spec.queries[0].query"),
            problem("documents[1].spec.queries[2].interval"),
            problem("documents[1].spec.queries[2].name"),
            problem("documents[1].spec.targets.labels[1]"),
            problem("documents[2].spec.config.options.bad"),
            problem(r#"documents[2].spec.config.views["a.b \"c\"]"]"#),
        ];
        let left = prune(&mut documents, &problems).unwrap();
        assert_eq!(
            documents,
            [
                json!({ "kind": "pack", "spec": {
                    "name": "p", "targets": { "labels": ["x"] }, "queries": [{ "query": "b" }],
                } }),
                json!({ "kind": "options", "spec": { "config": { "options": { "good": 1 }, "views": { "d": "x" } } } }),
                json!({ "kind": "label", "spec": { "name": "l" } }),
            ]
        );
        let what: Vec<&str> = left.iter().map(|left| left.what.as_str()).collect();
        assert_eq!(
            what,
            [
                "query \"a\"",
                "pack \"p\": query \"a\"",
                "pack \"p\": query \"c\"",
                "pack \"p\": target \"y\"",
                "agent options: config.options.bad",
                "agent options: config.views[\"a.b \\\"c\\\"]\"]",
            ]
        );
    }

    #[test]
    fn a_problem_of_no_document_is_nobodys() {
        let mut documents = vec![json!({ "kind": "label", "spec": { "name": "l" } })];
        assert_eq!(prune(&mut documents, &[problem("base")]), None);
        assert_eq!(documents.len(), 1);
    }
}
