//! Deleting many hosts: those of a list of ids, or all that filters find.

use std::collections::BTreeSet;

use actix_web::HttpResponse;
use actix_web::web::Data;
use muster_api::rest::{HostCount, HostFilters, HostsToDelete};

use super::AdminApi;
use super::answer::{done, ok};
use super::auth::Caller;
use super::body::JsonBody;
use super::error::{Failed, bad_parameter};
use super::hosts::host_filter;
use super::params::Params;
use super::work::internal;
use crate::fleet::access::{Permission, Principal};
use crate::fleet::hosts::{DELETED_AT_ONCE, HostFilter, StillSo};
use crate::fleet::{Error, Result};

/// What is to be deleted.
enum ChosenHosts {
    Ids(BTreeSet<i64>),
    Found(Box<HostFilter>),
}

impl ChosenHosts {
    /// What must still be so of them when they are deleted.
    fn still(&self) -> StillSo {
        match self {
            Self::Ids(_) => StillSo::default(),
            Self::Found(filter) => StillSo { state: filter.state, silent_since: None },
        }
    }
}

/// Deletes hosts by batches, each in the queue of changes by itself, so that other changes come between. Goes on when the client
/// goes: what was begun is done, unless the server stops.
pub(super) async fn delete_many(
    api: Data<AdminApi>,
    caller: Caller,
    request: JsonBody<HostsToDelete>,
) -> std::result::Result<HttpResponse, actix_web::Error> {
    let HostsToDelete { ids, filters, all, dry_run } = request.into_inner();
    caller.0.may_write(Permission::WriteHosts, dry_run).map_err(Failed)?;
    let wanted = wanted(ids, filters, all)?;
    let still = wanted.still();
    let ids = pick(&api, &caller.0, wanted).await.map_err(Failed)?;
    if dry_run {
        return Ok(ok(&HostCount { count: ids.len() as u64 }));
    }
    let deleting = actix_web::rt::spawn(delete(api, caller.0, ids, still));
    deleting.await.map_err(|error| Failed(internal(error)))?.map_err(Failed)?;
    Ok(done())
}

fn wanted(
    ids: Option<Vec<i64>>,
    filters: Option<HostFilters>,
    all: bool,
) -> std::result::Result<ChosenHosts, actix_web::Error> {
    match (ids, filters) {
        (Some(ids), Some(_)) if !ids.is_empty() => Err(bad_parameter("give either ids or filters, not both")),
        (_, Some(filters)) => {
            if filters.team_id.is_some_and(|id| id != 0) {
                return Err(bad_parameter("there are no teams here, so no host is of a team"));
            }
            let filter = host_filter(parameters(filters))?;
            if !all && filter == HostFilter::default() {
                return Err(bad_parameter(
                    "the filters narrow nothing, so all hosts would be deleted; add \"all\": true",
                ));
            }
            Ok(ChosenHosts::Found(Box::new(filter)))
        }
        (Some(ids), None) => Ok(ChosenHosts::Ids(ids.into_iter().collect())),
        (None, None) => Err(bad_parameter("give ids or filters")),
    }
}

/// The same as parameters of a list, which are read in one place.
fn parameters(filters: HostFilters) -> Params {
    let HostFilters { query, status, label_id, platform, osquery_version, os_name, os_version, low_disk_space, .. } =
        filters;
    let number = |number: Option<i64>| number.map(|number| number.to_string());
    Params::from_pairs([
        ("query", query),
        ("status", status),
        ("label_id", number(label_id)),
        ("platform", platform),
        ("osquery_version", osquery_version),
        ("os_name", os_name),
        ("os_version", os_version),
        ("low_disk_space", number(low_disk_space.map(i64::from))),
    ])
}

/// The ids of the hosts that there are now.
async fn pick(api: &AdminApi, by: &Principal, wanted: ChosenHosts) -> Result<Vec<i64>> {
    let (fleet, principal) = (api.fleet.clone(), by.clone());
    let pick = move || async move {
        match wanted {
            ChosenHosts::Ids(ids) => Ok(fleet.hosts.existing(&principal, ids).await?.into_iter().collect()),
            ChosenHosts::Found(filter) => Ok(fleet.hosts.list(&principal, &filter).await?.ids()),
        }
    };
    api.lists.read(by, pick).await
}

async fn delete(api: Data<AdminApi>, by: Principal, ids: Vec<i64>, still: StillSo) -> Result<()> {
    let (all, mut deleted) = (ids.len(), 0);
    for batch in ids.chunks(DELETED_AT_ONCE) {
        let (fleet, by, batch) = (api.fleet.clone(), by.clone(), batch.to_vec());
        let change = move || async move { fleet.delete_hosts_still(&by, &batch, still).await };
        deleted += api.work.change(change).await.map_err(|error| after(error, deleted, all))?;
    }
    Ok(())
}

/// The error, which also says what was deleted before.
fn after(error: Error, deleted: u64, all: usize) -> Error {
    match error {
        Error::Unavailable(reason) if deleted > 0 => {
            Error::Unavailable(format!("{deleted} of {all} hosts were deleted, then: {reason}"))
        }
        error => error,
    }
}
