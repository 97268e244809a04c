//! From JSON to typed documents with their paths. What is wrong with one document does not hide what is wrong with others.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use muster_api::rest::{Action, Change};
use muster_api::spec::{API_VERSION, Document, DocumentKind, InlineRollout, SpecDocument};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::doubts::doubts;
use super::fit::Fit;
use super::foreign::{Skipped, kind_name, why_kind, why_spec};
use super::rollouts::{inner_documents, may_roll_out};
use crate::fleet::changes::content_mark;
use crate::fleet::findings::{Findings, nearest};
use crate::fleet::{Problem, path};
use crate::store::case;

/// The keys of a document.
const KEYS: [&str; 3] = ["apiVersion", "kind", "spec"];

/// The key of a document that is to reach hosts in stages.
const INLINE: &str = "rollout";

/// Characters of the mark of contents in the names of their rollouts.
const INLINE_MARK: usize = 8;

/// Characters of the document in the names of their rollouts: a name has 255 at most.
const MAX_WHAT: usize = 200;

/// A document and its position in the request.
#[derive(Debug)]
pub(super) struct Located {
    pub index: usize,
    pub spec: SpecDocument,
    /// Whether it is the rollout of a document that has `rollout:` inside.
    pub is_inline: bool,
}

impl Located {
    /// The path of the spec.
    pub fn root(&self) -> String {
        root(self.index)
    }

    /// The path of a part of the spec.
    pub fn path(&self, path: &str) -> String {
        match self.is_inline {
            true => format!("{}.{INLINE}.{path}", self.root()),
            false => format!("{}.{path}", self.root()),
        }
    }

    /// The path of something in the documents of a rollout, which has the path `inner` there.
    pub fn inner_path(&self, inner: &str) -> String {
        match inner.strip_prefix(&root(0)).filter(|_| self.is_inline) {
            Some(rest) => format!("{}{rest}", self.root()),
            None => format!("{}.{inner}", self.root()),
        }
    }
}

fn root(index: usize) -> String {
    format!("{}.spec", path::item("documents", index))
}

/// What a request holds, and what was found while reading it.
#[derive(Debug, Default)]
pub(super) struct ReadDocuments {
    pub located: Vec<Located>,
    pub problems: Vec<Problem>,
    pub warnings: Vec<Problem>,
    /// The outcome of documents that are skipped, by their positions.
    pub ignored: Vec<(usize, Change)>,
    pub skipped: Skipped,
}

/// The kind of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KindWord {
    Ours(DocumentKind),
    /// One that only Fleet knows.
    Foreign(String),
}

impl KindWord {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Ours(kind) => kind.as_str(),
            Self::Foreign(kind) => kind,
        }
    }
}

/// Reads documents. Repeats of the same document are dropped.
pub(super) fn documents(values: Vec<Value>) -> ReadDocuments {
    let mut read = ReadDocuments::default();
    for (index, value) in values.into_iter().enumerate() {
        match envelope(index, value, &mut read.problems) {
            Some((KindWord::Ours(kind), spec)) => read.add(index, kind, spec),
            Some((KindWord::Foreign(kind), spec)) => {
                let at = path::member(&path::item("documents", index), "kind");
                // One warning for all documents of the kind: there may be one for each host.
                let kind = kind_name(&kind);
                read.skipped.add_document(kind, name_of(&spec), &at, why_kind(kind).unwrap_or_default());
                read.ignore(index, kind, &spec);
            }
            None => {}
        }
    }
    read.finish()
}

/// Reads specs of one kind, as [`documents`] reads documents.
pub(super) fn specs(kind: DocumentKind, specs: Vec<Value>) -> ReadDocuments {
    let mut read = ReadDocuments::default();
    for (index, spec) in specs.into_iter().enumerate() {
        if is_present(index, kind.as_str(), &spec, &mut read.problems) {
            read.add(index, kind, spec);
        }
    }
    read.finish()
}

/// Takes a document apart. `None` when that is not possible; keys that do not belong there are problems, too.
pub(super) fn envelope(index: usize, value: Value, problems: &mut Vec<Problem>) -> Option<(KindWord, Value)> {
    let at = path::item("documents", index);
    let Value::Object(mut members) = value else {
        problems.push(Problem::new(at, "expects a document: an object with apiVersion, kind and spec"));
        return None;
    };
    let mut found = Findings { problems, warnings: &mut Vec::new() };
    for key in members.keys().filter(|key| !KEYS.contains(&key.as_str())) {
        found.unknown_key(&at, key, "a document has", &KEYS);
    }
    match members.get("apiVersion") {
        None | Some(Value::Null) => {}
        Some(version) if version == API_VERSION => {}
        Some(_) => found.problem(path::member(&at, "apiVersion"), format!("expects {API_VERSION}")),
    }
    let kind = match members.get("kind") {
        Some(Value::String(kind)) => kind_word(&at, kind, &mut found)?,
        None | Some(Value::Null) => {
            found.problem(path::member(&at, "kind"), "is missing");
            return None;
        }
        Some(_) => {
            found.problem(path::member(&at, "kind"), "expects a string");
            return None;
        }
    };
    let spec = members.remove("spec").unwrap_or_default();
    match &kind {
        KindWord::Ours(known) if !is_present(index, known.as_str(), &spec, problems) => None,
        _ => Some((kind, spec)),
    }
}

fn kind_word(at: &str, word: &str, found: &mut Findings<'_>) -> Option<KindWord> {
    if let Some(kind) = DocumentKind::parse(word) {
        return Some(KindWord::Ours(kind));
    }
    if why_kind(word).is_some() {
        return Some(KindWord::Foreign(word.to_ascii_lowercase()));
    }
    let known: Vec<&str> = DocumentKind::ALL.iter().map(|kind| kind.as_str()).collect();
    let meant = nearest(word, known.iter().copied());
    let hint = meant.map(|meant| format!("did you mean {meant:?}? ")).unwrap_or_default();
    let reason = format!("unknown kind {word:?}; {hint}known are {}", known.join(", "));
    found.problem(path::member(at, "kind"), reason);
    None
}

fn is_present(index: usize, kind: &str, spec: &Value, problems: &mut Vec<Problem>) -> bool {
    if spec.is_null() {
        let reason = format!("Missing required fields (\"spec\") on provided {kind:?} configuration.");
        problems.push(Problem::new(path::item("documents", index), reason));
    }
    !spec.is_null()
}

impl ReadDocuments {
    fn add(&mut self, index: usize, kind: DocumentKind, mut spec: Value) {
        let at = root(index);
        if let Some(rollout) = take_inline(kind, &mut spec) {
            return self.add_inline(index, kind, spec, rollout);
        }
        if let Some((key, why)) = why_spec(kind, &spec) {
            let what = format!("{} with {key}", kind.as_str());
            self.skipped.add_document(&what, name_of(&spec), &path::member(&at, key), why);
            self.ignore(index, kind.as_str(), &spec);
            return;
        }
        put_former_words(kind, &mut spec);
        let found = &mut Findings { problems: &mut self.problems, warnings: &mut self.warnings };
        Fit { kind, found, skipped: &mut self.skipped }.fit(&at, &mut spec);
        match of_kind(&at, kind, spec) {
            Ok(spec) => self.located.push(Located { index, spec, is_inline: false }),
            Err(problem) => self.problems.push(problem),
        }
    }

    /// Adds the rollout of a document that has `rollout:` inside.
    fn add_inline(&mut self, index: usize, kind: DocumentKind, spec: Value, rollout: Value) {
        let terms = match typed::<InlineRollout>(&path::member(&root(index), INLINE), rollout) {
            Ok(terms) => terms,
            Err(problem) => return self.problems.push(problem),
        };
        // Another version of the document is another rollout.
        let mark = content_mark(&json!([kind.as_str(), spec, terms]));
        let what = format!("{} {}", kind.as_str(), name_of(&spec));
        let what: String = what.chars().take(MAX_WHAT).collect();
        let name = format!("{} {}", what.trim_end(), mark.get(..INLINE_MARK).unwrap_or(&mark));
        let document = Document { api_version: API_VERSION.to_owned(), kind: kind.as_str().to_owned(), spec };
        let spec = SpecDocument::Rollout(Box::new(terms.of(name, document)));
        self.located.push(Located { index, spec, is_inline: true });
    }

    /// Notes a document that only Fleet knows what to do with, of which a warning tells.
    fn ignore(&mut self, index: usize, kind: &str, spec: &Value) {
        let (kind, name) = (kind.to_owned(), name_of(spec).to_owned());
        self.ignored.push((index, Change { kind, name, action: Action::Ignored, ..Change::default() }));
    }

    /// Drops repeats, and doubts the SQL of what is left.
    fn finish(mut self) -> Self {
        self.drop_repeats();
        self.warnings.extend(doubts(&self.located));
        self
    }

    /// Drops repeats of documents. A name may be given twice, but not with different contents.
    fn drop_repeats(&mut self) {
        // Where the first document of each name stands in `kept`.
        let mut first: HashMap<(DocumentKind, String), usize> = HashMap::new();
        let mut kept: Vec<Located> = Vec::with_capacity(self.located.len());
        for document in std::mem::take(&mut self.located) {
            let (kind, name) = key_of(&document);
            // Names that are missing or wrong are told as such.
            if name.is_empty() && !kind.is_singleton() {
                kept.push(document);
                continue;
            }
            match first.entry((kind, name)) {
                Entry::Vacant(vacant) => {
                    vacant.insert(kept.len());
                    kept.push(document);
                }
                Entry::Occupied(_) if kind.is_singleton() => {
                    let reason = format!("{} defined twice; merge the two documents into one", kind.as_str());
                    let at = path::member(&path::item("documents", document.index), "kind");
                    self.problems.push(Problem::new(at, reason));
                }
                Entry::Occupied(earlier) if kept[*earlier.get()].spec == document.spec => {}
                Entry::Occupied(earlier) => {
                    let (_, name) = earlier.key();
                    let kind = kind.as_str();
                    let reason = format!("another {kind} document gives {name:?} different contents; keep one of them");
                    self.problems.push(Problem::new(document.path("name"), reason));
                }
            }
        }
        self.located = kept;
    }
}

/// Takes `rollout:` out of a document that can have it.
fn take_inline(kind: DocumentKind, spec: &mut Value) -> Option<Value> {
    may_roll_out(kind).then(|| spec.as_object_mut()?.remove(INLINE)).flatten().filter(|rollout| !rollout.is_null())
}

/// Puts today's words where older versions of Fleet have others: labels had a list of platforms.
fn put_former_words(kind: DocumentKind, spec: &mut Value) {
    let (DocumentKind::Label, Some(members)) = (kind, spec.as_object_mut()) else { return };
    if members.get("platform").is_some_and(|platform| !platform.is_null()) {
        return;
    }
    let platforms: Option<Vec<&str>> =
        members.get("platforms").and_then(Value::as_array).and_then(|list| list.iter().map(Value::as_str).collect());
    if let Some(platforms) = platforms {
        let platform = platforms.join(",");
        members.remove("platforms");
        members.insert("platform".to_owned(), platform.into());
    }
}

/// The name of what a document is about; empty if there is none. Teams are wrapped once more.
fn name_of(spec: &Value) -> &str {
    let named = if spec.get("name").is_some() { spec } else { &spec["team"] };
    named["name"].as_str().unwrap_or_default()
}

fn of_kind(at: &str, kind: DocumentKind, spec: Value) -> Result<SpecDocument, Problem> {
    Ok(match kind {
        DocumentKind::Query => SpecDocument::Query(typed(at, spec)?),
        DocumentKind::Pack => SpecDocument::Pack(typed(at, spec)?),
        DocumentKind::Label => SpecDocument::Label(typed(at, spec)?),
        DocumentKind::GlobalSchedule => SpecDocument::GlobalSchedule(typed(at, spec)?),
        DocumentKind::Config => SpecDocument::Config(spec),
        DocumentKind::Options => SpecDocument::Options(spec),
        DocumentKind::EnrollSecret => SpecDocument::EnrollSecret(typed(at, spec)?),
        DocumentKind::UserRoles => SpecDocument::UserRoles(typed(at, spec)?),
        DocumentKind::Rollout => SpecDocument::Rollout(typed(at, spec)?),
    })
}

/// Reads a typed value; an error has the path of the wrong key or value.
fn typed<T: DeserializeOwned>(at: &str, value: Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let at = path::of_error(at, error.path());
        Problem::new(at, error.into_inner().to_string())
    })
}

/// What a document is about; of one with `rollout:` inside, the document itself.
fn key_of(document: &Located) -> (DocumentKind, String) {
    match &document.spec {
        SpecDocument::Rollout(rollout) if document.is_inline => {
            inner_documents(rollout).first().map_or_else(|| key(&document.spec), |inner| key(&inner.spec))
        }
        spec => key(spec),
    }
}

fn key(spec: &SpecDocument) -> (DocumentKind, String) {
    match spec {
        SpecDocument::Query(query) => (DocumentKind::Query, case::fold(&query.name)),
        SpecDocument::Pack(pack) => (DocumentKind::Pack, case::fold(&pack.name)),
        SpecDocument::Label(label) => (DocumentKind::Label, case::fold(&label.name)),
        SpecDocument::GlobalSchedule(_) => (DocumentKind::GlobalSchedule, String::new()),
        // Options are a part of the configuration.
        SpecDocument::Config(config) if config.get("agent_options").is_none_or(Value::is_null) => {
            (DocumentKind::Config, String::new())
        }
        SpecDocument::Config(_) | SpecDocument::Options(_) => (DocumentKind::Options, String::new()),
        SpecDocument::EnrollSecret(_) => (DocumentKind::EnrollSecret, String::new()),
        SpecDocument::UserRoles(_) => (DocumentKind::UserRoles, String::new()),
        SpecDocument::Rollout(rollout) => (DocumentKind::Rollout, case::fold(&rollout.name)),
    }
}
