//! Finding whom to ask, for those who type and pick.

use actix_web::web::Data;
use muster_api::rest::{FoundTargets, HostView, Label, Selected, TargetCounts, TargetSearch, Targets};

use super::campaigns::check_teams;
use crate::admin::AdminApi;
use crate::admin::answer::{done, ok};
use crate::admin::auth::Caller;
use crate::admin::body::JsonBody;
use crate::admin::error::AdminAnswer;
use crate::fleet;
use crate::fleet::access::Principal;
use crate::fleet::hosts::{HostFilter, HostQuery};
use crate::fleet::labels::Labels;
use crate::fleet::listing::Listing;
use crate::fleet::live::{ALL_HOSTS, Selection};
use crate::fleet::resource::Resource as _;

/// Hosts that are shown.
const SHOWN: usize = 10;

pub(super) async fn search(api: Data<AdminApi>, caller: Caller, request: JsonBody<TargetSearch>) -> AdminAnswer {
    let TargetSearch { query, selected } = request.into_inner();
    let (text, selected) = (query.unwrap_or_default(), selected.unwrap_or_default());
    let counts = counts(&api, &caller.0, &selected).await?;
    let hosts = hosts(&api, &caller.0, text.clone(), &selected.hosts).await?;
    let labels = labels(&api, &caller.0, &text, &selected.labels).await?;
    Ok(ok(&FoundTargets { targets: Targets { hosts, labels, teams: Vec::new() }, counts }))
}

pub(super) async fn count(api: Data<AdminApi>, caller: Caller, request: JsonBody<TargetSearch>) -> AdminAnswer {
    let selected = request.into_inner().selected.unwrap_or_default();
    Ok(ok(&counts(&api, &caller.0, &selected).await?))
}

/// Live queries are never switched off, and what keeps their results is part of the server.
pub(super) async fn status(_caller: Caller) -> AdminAnswer {
    Ok(done())
}

async fn counts(api: &AdminApi, principal: &Principal, selected: &Selected<i64>) -> fleet::Result<TargetCounts> {
    check_teams(selected)?;
    let selection = Selection::Ids { hosts: selected.hosts.clone(), labels: selected.labels.clone() };
    let tally = api.fleet.hosts.tally(&api.fleet.live.would_ask(principal, &selection).await?);
    Ok(TargetCounts {
        targets_count: tally.total,
        targets_online: tally.online,
        targets_offline: tally.offline,
        targets_missing_in_action: tally.missing,
    })
}

async fn hosts(api: &AdminApi, principal: &Principal, text: String, chosen: &[i64]) -> fleet::Result<Vec<HostView>> {
    let filter = HostFilter { text, limit: Some((SHOWN + chosen.len()) as u64), ..HostFilter::default() };
    let found = api.fleet.hosts.list(principal, &HostQuery { filter, state: None }).await?.all().await?;
    Ok(found.into_iter().filter(|host| !chosen.contains(&host.id)).take(SHOWN).collect())
}

/// Labels of such names, and the one with all hosts in any case.
async fn labels(api: &AdminApi, principal: &Principal, text: &str, chosen: &[i64]) -> fleet::Result<Vec<Label>> {
    let mut found = Labels::of(&api.fleet).list(principal, &Listing::default()).await?;
    let text = text.to_lowercase();
    found.retain(|label| {
        let is_meant = label.name == ALL_HOSTS || label.name.to_lowercase().contains(&text);
        is_meant && !chosen.contains(&label.id)
    });
    Ok(found)
}
