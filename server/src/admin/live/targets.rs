//! Finding whom to ask, for those who type and pick.

use std::collections::HashSet;

use actix_web::web::Data;
use muster_api::rest::{FoundTargets, Label, Selected, TargetCounts, TargetSearch, Targets};

use super::campaigns::check_selected;
use crate::admin::AdminApi;
use crate::admin::answer::done;
use crate::admin::auth::Caller;
use crate::admin::body::JsonBody;
use crate::admin::error::AdminAnswer;
use crate::admin::hosts::first_hosts;
use crate::fleet::access::Principal;
use crate::fleet::labels::Labels;
use crate::fleet::listing::Listing;
use crate::fleet::live::{ALL_HOSTS, Selection};
use crate::fleet::names::has_part;
use crate::fleet::resource::Resource as _;
use crate::fleet::{Fleet, Result};

pub(super) async fn search(api: Data<AdminApi>, caller: Caller, request: JsonBody<TargetSearch>) -> AdminAnswer {
    let TargetSearch { query, selected } = request.into_inner();
    let (text, selected) = (query.unwrap_or_default(), selected.unwrap_or_default());
    check_selected(&selected)?;
    api.read(&caller, move |fleet, principal| async move {
        let chosen_labels: HashSet<i64> = selected.labels.iter().copied().collect();
        let chosen_hosts: HashSet<i64> = selected.hosts.iter().copied().collect();
        let counts = counts(&fleet, &principal, selected).await?;
        let hosts = first_hosts(&fleet, &principal, text.clone(), &chosen_hosts).await?;
        let labels = labels(&fleet, &principal, &text, &chosen_labels).await?;
        Ok(FoundTargets { targets: Targets { hosts, labels, teams: Vec::new() }, counts })
    })
    .await
}

pub(super) async fn count(api: Data<AdminApi>, caller: Caller, request: JsonBody<TargetSearch>) -> AdminAnswer {
    let selected = request.into_inner().selected.unwrap_or_default();
    check_selected(&selected)?;
    api.read(&caller, move |fleet, principal| async move { counts(&fleet, &principal, selected).await }).await
}

/// Live queries are never switched off, and what keeps their results is part of the server.
pub(super) async fn status(_caller: Caller) -> AdminAnswer {
    Ok(done())
}

async fn counts(fleet: &Fleet, principal: &Principal, selected: Selected<i64>) -> Result<TargetCounts> {
    let selection = Selection::Ids { hosts: selected.hosts, labels: selected.labels };
    let tally = fleet.live.would_ask(principal, &selection).await?;
    Ok(TargetCounts {
        targets_count: tally.total,
        targets_online: tally.online,
        targets_offline: tally.offline,
        targets_missing_in_action: tally.missing,
    })
}

/// Labels of such names, and the one with all hosts in any case.
async fn labels(fleet: &Fleet, principal: &Principal, text: &str, chosen: &HashSet<i64>) -> Result<Vec<Label>> {
    let mut found = Labels::of(fleet).list(principal, &Listing::default()).await?;
    found.retain(|label| {
        let is_meant = label.name == ALL_HOSTS || has_part(&label.name, text);
        is_meant && !chosen.contains(&label.id)
    });
    Ok(found)
}
