//! Deletes the objects that documents name: all in one transaction, or none.

use std::collections::HashSet;

use muster_api::rest::{Action, Applied, Change};
use muster_api::spec::DocumentKind;
use serde_json::{Value, json};

use super::parse::{self, KindWord};
use super::plans::check_deletes;
use super::{Applier, ApplyWish, applied};
use crate::fleet::access::{Permission, Principal};
use crate::fleet::changes::Draft;
use crate::fleet::error::none_of;
use crate::fleet::{Problem, Result, labels, packs, path, queries};
use crate::store::{self, case, entity};

/// Kinds that can be deleted, in an order that lets a file with a pack, its queries and its labels go as a whole.
const ORDER: [DocumentKind; 3] = [DocumentKind::Pack, DocumentKind::Query, DocumentKind::Label];

/// An object that a document names.
#[derive(Debug)]
struct NamedDocument {
    index: usize,
    kind: KindWord,
    /// Empty for kinds that cannot be deleted.
    name: String,
}

impl Applier {
    /// Deletes the queries, packs and labels that `documents` name, or reports what would be deleted. Of a spec only the
    /// name is read; documents of other kinds are reported as ignored.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::fleet::Error::Invalid) with every problem, each under its path; then nothing is
    /// deleted.
    pub async fn delete(&self, principal: &Principal, documents: Vec<Value>, wish: ApplyWish) -> Result<Applied> {
        let ApplyWish { dry_run, max_deletes, .. } = wish;
        principal.may_write(Permission::WriteSchedule, dry_run)?;
        super::check_count(&documents)?;
        let named = read(documents)?;
        if !named.iter().any(NamedDocument::can_be_deleted) {
            let ignored = named.iter().map(|document| document.change(Action::Ignored)).collect();
            return Ok(applied(ignored, Vec::new(), dry_run));
        }
        let change = async |draft: &mut Draft<'_>| {
            let mut problems = Vec::new();
            let mut changes = Vec::new();
            for kind in ORDER {
                for document in named.iter().filter(|document| document.kind == KindWord::Ours(kind)) {
                    let has_existed = delete(draft, document, &mut problems).await?;
                    changes.push(document.change(if has_existed { Action::Deleted } else { Action::Absent }));
                }
            }
            none_of(problems)?;
            check_deletes(&changes, max_deletes)?;
            let deleted: Vec<&Change> =
                changes.iter().map(|(_, change)| change).filter(|change| change.action == Action::Deleted).collect();
            if !deleted.is_empty() {
                draft.record("deleted_documents", json!({ "changes": deleted }));
            }
            let ignored = named.iter().filter(|document| !document.can_be_deleted());
            changes.extend(ignored.map(|document| document.change(Action::Ignored)));
            Ok(applied(changes, Vec::new(), dry_run))
        };
        let (applied, touched, _) = self.changes.make_and_count(principal, dry_run, change).await?;
        Ok(Applied { hosts: touched.map(|touched| touched.hosts), ..applied })
    }
}

impl NamedDocument {
    fn can_be_deleted(&self) -> bool {
        matches!(&self.kind, KindWord::Ours(kind) if ORDER.contains(kind))
    }

    fn change(&self, action: Action) -> (usize, Change) {
        let kind = self.kind.as_str().to_owned();
        (self.index, Change { kind, name: self.name.clone(), action, ..Change::default() })
    }
}

/// Reads the names in the documents, or gives all problems. Repeats are dropped.
fn read(documents: Vec<Value>) -> Result<Vec<NamedDocument>> {
    let mut problems = Vec::new();
    let mut seen = HashSet::new();
    let mut named = Vec::new();
    for (index, value) in documents.into_iter().enumerate() {
        let Some((kind, spec)) = parse::envelope(index, value, &mut problems) else { continue };
        let name = spec.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        match kind {
            KindWord::Ours(known) if ORDER.contains(&known) => {
                if name.is_empty() {
                    problems.push(Problem::new(path(index), "cannot be empty"));
                } else if seen.insert((known, case::fold(&name))) {
                    named.push(NamedDocument { index, kind, name });
                }
            }
            _ => named.push(NamedDocument { index, kind, name: String::new() }),
        }
    }
    none_of(problems)?;
    Ok(named)
}

fn path(index: usize) -> String {
    format!("{}.spec.name", path::item("documents", index))
}

/// Gives whether the object existed.
async fn delete(draft: &mut Draft<'_>, document: &NamedDocument, problems: &mut Vec<Problem>) -> Result<bool> {
    let path = || path(document.index);
    let name = &document.name;
    let KindWord::Ours(kind) = &document.kind else { return Ok(false) };
    match kind {
        DocumentKind::Pack => {
            let Some(pack) = packs::named(draft.tx, name).await? else { return Ok(false) };
            packs::delete(draft, &pack).await?;
        }
        DocumentKind::Query => {
            let Some(query) = store::named::by_name::<entity::queries::Entity>(draft.tx, name).await? else {
                return Ok(false);
            };
            queries::delete(draft, path, &query, problems).await?;
        }
        DocumentKind::Label => {
            let Some(label) = store::named::by_name::<entity::labels::Entity>(draft.tx, name).await? else {
                return Ok(false);
            };
            labels::delete(draft, path, &label, problems).await?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}
