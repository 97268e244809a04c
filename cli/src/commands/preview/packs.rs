use muster_api::rest::{Action, Applied, SpecList};
use muster_api::spec::{DocumentKind, PackSpec};

use crate::commands::send::{self, SendWish, SpecOperation};
use crate::documents::Documents;
use crate::rest::RestClient;

/// The starter packs of docs/packs, as (name, text).
const STARTER_PACKS: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/starter_packs.rs"));
/// Frequent queries, so that results arrive within seconds.
const HEARTBEAT: (&str, &str) = ("heartbeat.yml", include_str!("heartbeat.yml"));

/// Applies the starter packs unless the server already has packs. Returns a message.
pub async fn apply_starter_packs(server: &RestClient) -> anyhow::Result<String> {
    let found: SpecList<PackSpec> = server.get("spec/packs").await?;
    if !found.specs.is_empty() {
        return Ok(format!("kept {} existing packs", found.specs.len()));
    }
    let applied = send::send(server, SpecOperation::Apply, &documents()?, SendWish::default()).await?;
    let count = |kind| count(&applied, kind);
    Ok(format!("applied {} starter packs with {} queries", count(DocumentKind::Pack), count(DocumentKind::Query)))
}

fn documents() -> anyhow::Result<Documents> {
    let mut documents = Documents::default();
    for (name, text) in STARTER_PACKS.iter().chain([&HEARTBEAT]) {
        if let Err(problems) = documents.add(name, (*text).to_owned()) {
            return Err(send::refused(&problems, SpecOperation::Apply.done()));
        }
    }
    Ok(documents)
}

fn count(applied: &Applied, kind: DocumentKind) -> usize {
    let of_kind = applied.changes.iter().filter(|change| change.kind == kind.as_str());
    of_kind.filter(|change| change.action != Action::Unchanged).count()
}

#[cfg(test)]
mod tests {
    use muster_api::spec::{Document, DocumentKind, PackSpec, QuerySpec};

    use super::*;

    #[test]
    fn starter_packs_read_and_schedule_what_is_there() {
        let mut queries = Vec::new();
        let mut scheduled = Vec::new();
        for value in documents().unwrap().to_json() {
            let document: Document = serde_json::from_value(value).unwrap();
            match DocumentKind::parse(&document.kind).unwrap() {
                DocumentKind::Query => queries.push(serde_json::from_value::<QuerySpec>(document.spec).unwrap().name),
                DocumentKind::Pack => {
                    let pack: PackSpec = serde_json::from_value(document.spec).unwrap();
                    scheduled.extend(pack.queries.into_iter().map(|query| query.query));
                }
                _ => {}
            }
        }
        assert!(!scheduled.is_empty());
        for name in scheduled {
            assert!(queries.contains(&name), "{name} is scheduled and not there");
        }
    }
}
