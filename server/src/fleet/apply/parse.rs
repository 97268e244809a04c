//! From JSON to typed documents with their paths.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use muster_api::spec::{API_VERSION, Document, DocumentKind, SpecDocument};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::fleet::{Error, Problem, Result, path};
use crate::store::case;

/// A document and its position in the request.
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

/// Reads all documents, or gives all problems. Repeats of the same document are dropped.
pub(super) fn documents(values: Vec<Value>) -> Result<Vec<Located>> {
    let document = |(index, value)| {
        let (kind, spec) = of_known_kind(index, value)?;
        Ok(Located { index, spec: of_kind(index, kind, spec)? })
    };
    without_repeats(values.into_iter().enumerate().map(document))
}

/// Reads specs of one kind, as [`documents`] reads documents.
pub(super) fn specs(kind: DocumentKind, specs: Vec<Value>) -> Result<Vec<Located>> {
    let spec = |(index, spec)| {
        check_present(index, kind, &spec)?;
        Ok(Located { index, spec: of_kind(index, kind, spec)? })
    };
    without_repeats(specs.into_iter().enumerate().map(spec))
}

fn of_kind(index: usize, kind: DocumentKind, spec: Value) -> std::result::Result<SpecDocument, Problem> {
    let path = format!("{}.spec", path::item("documents", index));
    Ok(match kind {
        DocumentKind::Query => SpecDocument::Query(typed(&path, spec)?),
        DocumentKind::Pack => SpecDocument::Pack(typed(&path, spec)?),
        DocumentKind::Label => SpecDocument::Label(typed(&path, spec)?),
        DocumentKind::Config => SpecDocument::Config(spec),
        DocumentKind::Options => SpecDocument::Options(spec),
        DocumentKind::EnrollSecret => SpecDocument::EnrollSecret(typed(&path, spec)?),
        DocumentKind::UserRoles => SpecDocument::UserRoles(typed(&path, spec)?),
    })
}

/// The kind of a document and its spec, unparsed.
pub(super) fn of_known_kind(index: usize, value: Value) -> std::result::Result<(DocumentKind, Value), Problem> {
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
    check_present(index, kind, &document.spec)?;
    Ok((kind, document.spec))
}

fn check_present(index: usize, kind: DocumentKind, spec: &Value) -> std::result::Result<(), Problem> {
    if spec.is_null() {
        let reason = format!("Missing required fields (\"spec\") on provided \"{}\" configuration.", kind.as_str());
        return Err(Problem::new(path::item("documents", index), reason));
    }
    Ok(())
}

/// Reads a typed value; an error has the path of the wrong key or value.
fn typed<T: DeserializeOwned>(path: &str, value: Value) -> std::result::Result<T, Problem> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = path::of_error(path, error.path());
        Problem::new(path, error.into_inner().to_string())
    })
}

/// Collects documents without their repeats, or gives all problems. A name may be given twice, but not with different
/// contents.
fn without_repeats(documents: impl Iterator<Item = std::result::Result<Located, Problem>>) -> Result<Vec<Located>> {
    let mut problems = Vec::new();
    let mut located: Vec<Located> = Vec::new();
    for document in documents {
        match document {
            Ok(document) => located.push(document),
            Err(problem) => problems.push(problem),
        }
    }
    // Where the first document of each name stands in `kept`.
    let mut first: HashMap<(DocumentKind, String), usize> = HashMap::new();
    let mut kept: Vec<Located> = Vec::with_capacity(located.len());
    for document in located {
        let (kind, name) = key(&document.spec);
        match first.entry((kind, name)) {
            Entry::Vacant(vacant) => {
                vacant.insert(kept.len());
                kept.push(document);
            }
            Entry::Occupied(_) if kind.is_singleton() => {
                let reason = format!("{} defined twice; merge the two documents into one", kind.as_str());
                problems.push(Problem::new(format!("{}.kind", path::item("documents", document.index)), reason));
            }
            Entry::Occupied(earlier) if kept[*earlier.get()].spec == document.spec => {}
            Entry::Occupied(earlier) => {
                let (_, name) = earlier.key();
                let reason =
                    format!("another {} document gives {name:?} different contents; keep one of them", kind.as_str());
                problems.push(Problem::new(document.path("name"), reason));
            }
        }
    }
    if problems.is_empty() { Ok(kept) } else { Err(Error::Invalid(problems)) }
}

fn key(spec: &SpecDocument) -> (DocumentKind, String) {
    match spec {
        SpecDocument::Query(query) => (DocumentKind::Query, query.name.clone()),
        SpecDocument::Pack(pack) => (DocumentKind::Pack, pack.name.clone()),
        SpecDocument::Label(label) => (DocumentKind::Label, case::fold(&label.name)),
        // Options are a part of the configuration.
        SpecDocument::Config(config) if config.get("agent_options").is_none() => (DocumentKind::Config, String::new()),
        SpecDocument::Config(_) | SpecDocument::Options(_) => (DocumentKind::Options, String::new()),
        SpecDocument::EnrollSecret(_) => (DocumentKind::EnrollSecret, String::new()),
        SpecDocument::UserRoles(_) => (DocumentKind::UserRoles, String::new()),
    }
}
