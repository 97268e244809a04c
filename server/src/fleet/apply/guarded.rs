//! The SQL of documents, for the table guard, and where it stands in them.

use std::collections::BTreeSet;

use muster_api::spec::SpecDocument;
use muster_sql::SqlKind;

use super::Located;
use super::rollouts::inner_documents;
use crate::fleet::changes::ObjectKind;
use crate::fleet::guard::{DocumentPaths, GuardedSql};
use crate::fleet::packs::GLOBAL;
use crate::fleet::path;

/// Texts that hosts are to run if nothing is wrong with the documents.
/// `labels` are those that rules name.
pub(super) fn guarded(documents: &[Located], labels: &BTreeSet<String>) -> Vec<GuardedSql> {
    let mut all = Vec::new();
    for document in documents {
        match &document.spec {
            SpecDocument::Query(query) => all.push(GuardedSql::saved(query.query.clone(), document.path("query"))),
            SpecDocument::Label(label) if !label.query.trim().is_empty() => {
                all.push(GuardedSql::of(SqlKind::Label, label.query.clone(), None, document.path("query")));
            }
            SpecDocument::Pack(pack) if !pack.disabled => {
                let at = document.path("discovery");
                let texts = pack.discovery.iter().enumerate();
                all.extend(texts.map(|(position, sql)| {
                    GuardedSql::of(SqlKind::Discovery, sql.clone(), Some(labels.clone()), path::item(&at, position))
                }));
            }
            SpecDocument::Rollout(rollout) => {
                let inner = guarded(&inner_documents(rollout), labels).into_iter();
                all.extend(inner.map(|sql| GuardedSql { path: document.inner_path(&sql.path), ..sql }));
            }
            SpecDocument::Label(_)
            | SpecDocument::Pack(_)
            | SpecDocument::GlobalSchedule(_)
            | SpecDocument::Config(_)
            | SpecDocument::Options(_)
            | SpecDocument::EnrollSecret(_)
            | SpecDocument::UserRoles(_) => {}
        }
    }
    all
}

/// Where the objects of documents stand.
pub(super) fn paths(documents: &[Located]) -> DocumentPaths {
    let mut paths = DocumentPaths::default();
    add_paths(&mut paths, None, documents);
    paths
}

fn add_paths(paths: &mut DocumentPaths, below: Option<&Located>, documents: &[Located]) {
    for document in documents {
        let root = below.map_or_else(|| document.root(), |outer| outer.inner_path(&document.root()));
        match &document.spec {
            SpecDocument::Query(query) => paths.add(ObjectKind::Query, &query.name, root),
            SpecDocument::Label(label) => paths.add(ObjectKind::Label, &label.name, root),
            SpecDocument::Pack(pack) => paths.add(ObjectKind::Pack, &pack.name, root),
            SpecDocument::GlobalSchedule(_) => paths.add(ObjectKind::Pack, GLOBAL, root),
            SpecDocument::Config(config) => {
                let inner = config.get("agent_options").and_then(|options| options.get("spec"));
                paths.add(ObjectKind::Config, "", in_spec(format!("{root}.agent_options"), inner.is_some()));
            }
            SpecDocument::Options(options) => {
                paths.add(ObjectKind::Config, "", in_spec(root, options.get("spec").is_some()));
            }
            SpecDocument::Rollout(rollout) => add_paths(paths, Some(document), &inner_documents(rollout)),
            SpecDocument::EnrollSecret(_) | SpecDocument::UserRoles(_) => {}
        }
    }
}

/// Some documents wrap their options once more.
fn in_spec(root: String, is_wrapped: bool) -> String {
    if is_wrapped { format!("{root}.spec") } else { root }
}
