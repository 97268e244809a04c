//! Names of objects, as the server of the context knows them.

use std::ffi::OsStr;

use clap_complete::CompletionCandidate;
use muster_api::rest::{HostList, HostView, LabelSummaries, LiveQueries, PackList, QueryList, UserList};
use serde::de::DeserializeOwned;

use super::server::{self, MOST};
use crate::commands::costs;
use crate::output::printable;
use crate::rest::{RestClient, segment};

/// Names of saved queries that begin as a word does, in any case.
pub fn queries(current: &OsStr) -> Vec<CompletionCandidate> {
    beginning(current, async |server, begun| {
        let found: QueryList = page(server, "queries", begun).await?;
        Some(found.queries.into_iter().map(|query| query.name).collect())
    })
}

/// Names of packs.
pub fn packs(current: &OsStr) -> Vec<CompletionCandidate> {
    beginning(current, async |server, begun| {
        let found: PackList = page(server, "packs", begun).await?;
        Some(found.packs.into_iter().map(|pack| pack.name).collect())
    })
}

/// Names of labels.
pub fn labels(current: &OsStr) -> Vec<CompletionCandidate> {
    beginning(current, async |server, _| {
        let found: LabelSummaries = server.get("labels/summary").await.ok()?;
        Some(found.labels.into_iter().map(|label| label.name).collect())
    })
}

/// Names of hosts; of one whose UUID is begun, the UUID.
pub fn hosts(current: &OsStr) -> Vec<CompletionCandidate> {
    beginning(current, async |server, begun| {
        let found: HostList = page(server, "hosts", begun).await?;
        let begins = |name: &String| name.to_lowercase().starts_with(&begun.to_lowercase());
        let name = |host: HostView| [host.hostname, host.uuid].into_iter().find(begins);
        Some(found.hosts.into_iter().filter_map(name).collect())
    })
}

/// Scheduled queries with their packs, as `get stats` names them.
pub fn scheduled_queries(current: &OsStr) -> Vec<CompletionCandidate> {
    beginning(current, async |server, _| {
        let fleet = costs::of_fleet(server).await.ok()?;
        Some(fleet.queries.iter().map(|query| costs::full_name(&query.pack, &query.name)).collect())
    })
}

/// E-mail addresses of users.
pub fn users(current: &OsStr) -> Vec<CompletionCandidate> {
    beginning(current, async |server, begun| {
        let found: UserList = page(server, "users", begun).await?;
        Some(found.users.into_iter().map(|user| user.email).collect())
    })
}

/// Ids of open live queries.
pub fn open_live_queries(current: &OsStr) -> Vec<CompletionCandidate> {
    beginning(current, async |server, _| {
        let found: LiveQueries = server.get("live_queries?status=open").await.ok()?;
        Some(found.live_queries.into_iter().map(|job| job.id.to_string()).collect())
    })
}

/// Names of contexts; no server is asked.
pub fn contexts(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(begun) = current.to_str() else { return Vec::new() };
    let words: Vec<String> = std::env::args().collect();
    let names = server::contexts(&words).map(|contexts| contexts.names()).unwrap_or_default();
    chosen(names, begun)
}

/// The first objects with a name like this one.
async fn page<T: DeserializeOwned>(server: &RestClient, plural: &str, begun: &str) -> Option<T> {
    let query = if begun.is_empty() { String::new() } else { format!("&query={}", segment(begun)) };
    server.get(&format!("{plural}?per_page={MOST}{query}")).await.ok()
}

fn beginning(
    current: &OsStr,
    list: impl AsyncFnOnce(&RestClient, &str) -> Option<Vec<String>>,
) -> Vec<CompletionCandidate> {
    let Some(begun) = current.to_str() else { return Vec::new() };
    chosen(server::ask(async |server, _| list(server, begun).await), begun)
}

/// Names that begin so, sorted. Those that a terminal could not show are left out: hosts choose their names.
fn chosen(mut names: Vec<String>, begun: &str) -> Vec<CompletionCandidate> {
    let begun = begun.to_lowercase();
    names.retain(|name| {
        !name.is_empty() && !name.contains('\n') && printable(name) == *name && name.to_lowercase().starts_with(&begun)
    });
    names.sort_unstable();
    names.dedup();
    names.truncate(MOST);
    names.into_iter().map(CompletionCandidate::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_proposed_that_begin_so_in_any_case() {
        let names = ["web-2", "Web-1", "db", "", "web\n3", "web\u{1b}[2J", "web-2"].map(str::to_owned).to_vec();
        let found: Vec<_> = chosen(names, "we").iter().map(|one| one.get_value().to_owned()).collect();
        assert_eq!(found, ["Web-1", "web-2"]);
        assert_eq!(chosen((0..500).map(|number| format!("a{number}")).collect(), "a").len(), MOST);
    }
}
