//! From JSON to typed documents, each knowing its path.

use std::collections::HashMap;

use muster_api::spec::{API_VERSION, Document, DocumentKind, SpecDocument};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::fleet::{Error, Problem, Result, path};

/// A document and where it stood among those that were sent.
#[derive(Debug)]
pub(super) struct Located {
    pub index: usize,
    pub spec: SpecDocument,
}

impl Located {
    /// The path of the spec.
    pub fn root(&self) -> String {
        format!("{}.spec", path::item("documents", self.index))
    }

    /// The path of a part of the spec.
    pub fn path(&self, path: &str) -> String {
        format!("{}.{path}", self.root())
    }
}

/// Reads all documents, or says everything that is wrong with them. Repeats of the same document are dropped.
pub(super) fn documents(values: &[Value]) -> Result<Vec<Located>> {
    let mut problems = Vec::new();
    let mut located: Vec<Located> = Vec::new();
    for (index, value) in values.iter().enumerate() {
        match document(index, value) {
            Ok(spec) => located.push(Located { index, spec }),
            Err(problem) => problems.push(problem),
        }
    }
    drop_repeats(&mut located, &mut problems);
    if problems.is_empty() { Ok(located) } else { Err(Error::Invalid(problems)) }
}

fn document(index: usize, value: &Value) -> std::result::Result<SpecDocument, Problem> {
    let (kind, spec) = of_known_kind(index, value)?;
    let path = format!("{}.spec", path::item("documents", index));
    Ok(match kind {
        DocumentKind::Query => SpecDocument::Query(typed(&path, &spec)?),
        DocumentKind::Pack => SpecDocument::Pack(typed(&path, &spec)?),
        DocumentKind::Label => SpecDocument::Label(typed(&path, &spec)?),
        DocumentKind::Config => SpecDocument::Config(spec),
        DocumentKind::Options => SpecDocument::Options(spec),
        DocumentKind::EnrollSecret => SpecDocument::EnrollSecret(typed(&path, &spec)?),
        DocumentKind::UserRoles => SpecDocument::UserRoles(typed(&path, &spec)?),
    })
}

/// The kind of a document and its spec, not yet looked into.
pub(super) fn of_known_kind(index: usize, value: &Value) -> std::result::Result<(DocumentKind, Value), Problem> {
    let path = path::item("documents", index);
    let document: Document = typed(&path, value)?;
    if document.api_version != API_VERSION {
        return Err(Problem::new(format!("{path}.apiVersion"), format!("expects {API_VERSION}")));
    }
    let Some(kind) = DocumentKind::parse(&document.kind) else {
        let known: Vec<&str> = DocumentKind::ALL.iter().map(|kind| kind.as_str()).collect();
        return Err(Problem::new(
            format!("{path}.kind"),
            format!("unknown kind {:?}; known are {}", document.kind, known.join(", ")),
        ));
    };
    if document.spec.is_null() {
        let reason = format!("Missing required fields (\"spec\") on provided \"{}\" configuration.", kind.as_str());
        return Err(Problem::new(path, reason));
    }
    Ok((kind, document.spec))
}

/// Reads a typed value; an error names the path of the key or value that is wrong.
fn typed<T: DeserializeOwned>(path: &str, value: &Value) -> std::result::Result<T, Problem> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = path::of_error(path, error.path());
        Problem::new(path, error.into_inner().to_string())
    })
}

/// The same thing may be said twice, but not two different things under one name.
fn drop_repeats(located: &mut Vec<Located>, problems: &mut Vec<Problem>) {
    let mut first: HashMap<(DocumentKind, String), SpecDocument> = HashMap::new();
    located.retain(|document| {
        let (kind, name) = key(&document.spec);
        match first.get(&(kind, name.clone())) {
            None => {
                first.insert((kind, name), document.spec.clone());
                true
            }
            Some(earlier) if *earlier == document.spec && !kind.is_singleton() => false,
            Some(_) if kind.is_singleton() => {
                let reason = format!("{} defined twice; merge the two documents into one", kind.as_str());
                problems.push(Problem::new(format!("{}.kind", path::item("documents", document.index)), reason));
                false
            }
            Some(_) => {
                let reason =
                    format!("another {} document gives {name:?} different contents; keep one of them", kind.as_str());
                problems.push(Problem::new(document.path("name"), reason));
                false
            }
        }
    });
}

fn key(spec: &SpecDocument) -> (DocumentKind, String) {
    match spec {
        SpecDocument::Query(query) => (DocumentKind::Query, query.name.clone()),
        SpecDocument::Pack(pack) => (DocumentKind::Pack, pack.name.clone()),
        SpecDocument::Label(label) => (DocumentKind::Label, label.name.clone()),
        // Options are a part of the configuration.
        SpecDocument::Config(config) if config.get("agent_options").is_none() => (DocumentKind::Config, String::new()),
        SpecDocument::Config(_) | SpecDocument::Options(_) => (DocumentKind::Options, String::new()),
        SpecDocument::EnrollSecret(_) => (DocumentKind::EnrollSecret, String::new()),
        SpecDocument::UserRoles(_) => (DocumentKind::UserRoles, String::new()),
    }
}
