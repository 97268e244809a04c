//! The SQL of a plan that is new.

use muster_api::rest::{Action, Change};
use serde_json::Value;

/// SQL that is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriedSql {
    /// `query` or `label`.
    pub kind: String,
    pub name: String,
    pub sql: String,
    /// The platforms that run it; empty for all.
    pub platforms: Vec<String>,
}

/// The queries and labels that a plan adds, or whose SQL it changes, in the order of the documents, each once.
pub fn tried(documents: &[Value], changes: &[Change]) -> Vec<TriedSql> {
    let mut tried: Vec<TriedSql> = Vec::new();
    for document in documents {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (kind, spec) = (text(&document["kind"]).to_lowercase(), &document["spec"]);
        let (name, sql) = (text(&spec["name"]), text(&spec["query"]));
        let is_known = matches!(kind.as_str(), "query" | "label");
        let is_meant = |change: &&Change| change.kind == kind && change.name == name;
        let is_new = changes.iter().find(is_meant).is_some_and(|change| match change.action {
            Action::Created => true,
            Action::Changed => change.fields.iter().any(|field| field == "query"),
            _ => false,
        });
        if !is_known
            || !is_new
            || sql.trim().is_empty()
            || tried.iter().any(|other| other.kind == kind && other.name == name)
        {
            continue;
        }
        let platforms = text(&spec["platform"]);
        let platforms = platforms.split(',').map(str::trim).filter(|word| !word.is_empty() && *word != "all");
        tried.push(TriedSql { kind, name, sql, platforms: platforms.map(str::to_owned).collect() });
    }
    tried
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_new_or_has_other_sql_is_tried() {
        let query =
            |name: &str| json!({ "kind": "query", "spec": { "name": name, "query": format!("select '{name}'") } });
        let documents = [
            query("new"),
            query("changed"),
            query("described"),
            query("same"),
            query("new"),
            json!({ "kind": "label", "spec": { "name": "new", "query": "select 1", "platform": "darwin, windows" } }),
            json!({ "kind": "label", "spec": { "name": "by hand", "hosts": ["a"] } }),
            json!({ "kind": "pack", "spec": { "name": "new", "query": "no SQL" } }),
        ];
        let change = |kind: &str, name: &str, action, fields: &[&str]| Change {
            kind: kind.to_owned(),
            name: name.to_owned(),
            action,
            fields: fields.iter().map(|field| (*field).to_owned()).collect(),
            ..Change::default()
        };
        let changes = [
            change("query", "new", Action::Created, &[]),
            change("query", "changed", Action::Changed, &["description", "query"]),
            change("query", "described", Action::Changed, &["description"]),
            change("query", "same", Action::Unchanged, &[]),
            change("label", "new", Action::Created, &[]),
            change("label", "by hand", Action::Created, &[]),
            change("pack", "new", Action::Created, &[]),
        ];
        let tried = tried(&documents, &changes);
        let names: Vec<_> = tried.iter().map(|sql| (sql.kind.as_str(), sql.name.as_str())).collect();
        assert_eq!(names, [("query", "new"), ("query", "changed"), ("label", "new")]);
        assert_eq!(tried[2].platforms, ["darwin", "windows"]);
    }
}
