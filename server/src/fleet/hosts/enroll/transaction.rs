//! The transaction that writes a batch of enrollments.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::quotas::SecretQuotas;
use super::rows::{EnrollOutcome, EnrollVerdict, EnrolledHost, EnrollingHost, Enrollment};
use crate::clock::Moment;
use crate::fleet::hosts::details;
use crate::store::entity::hosts::{Column, Model};
use crate::store::feed::{self, HostChangeKind};
use crate::store::hosts::KnownHost;
use crate::store::{self, case, enrollments};

/// The outcome of a transaction.
pub(super) struct Written {
    /// In the order of the enrollments; `None` where somebody else holds the row of the host.
    pub outcomes: Vec<Option<EnrollOutcome>>,
    /// The feed has news for other nodes.
    pub is_for_others: bool,
}

/// Hosts that enroll, by what they are called but for capitals. Several only where an older version left them.
type ByIdentifier = BTreeMap<String, Vec<EnrollingHost>>;

/// Enrolls hosts, in the order given.
pub(super) async fn write(tx: &store::Tx, all: &[&Enrollment], cooldown: Duration) -> store::Result<Written> {
    let (mut hosts, identifiers) = locked_hosts(tx, all).await?;
    read_labels_and_keys(tx, &mut hosts, all, &identifiers).await?;
    let mut quotas = SecretQuotas::lock(tx, with_places(&hosts, all, &identifiers)).await?;
    let mut verdicts = Vec::with_capacity(all.len());
    for (enrollment, identifier) in all.iter().zip(&identifiers) {
        let Some(identifier) = identifier else {
            verdicts.push(None);
            continue;
        };
        let folded = case::fold(identifier);
        let same = hosts.entry(folded.clone()).or_default();
        let at = position(same, identifier).unwrap_or_else(|| {
            same.push(EnrollingHost::new(identifier.clone(), enrollment));
            same.len() - 1
        });
        verdicts.push(Some((folded, at, same[at].enroll(enrollment, cooldown, &mut quotas))));
    }
    let now = all.iter().map(|enrollment| enrollment.now).max().unwrap_or(Moment::NEVER);
    let is_for_others = write_hosts(tx, &mut hosts, now).await?;
    quotas.write(tx).await?;

    let mut known: BTreeMap<i64, Arc<KnownHost>> = BTreeMap::new();
    let mut outcome = |enrollment: &Enrollment, host: &EnrollingHost, verdict| match verdict {
        EnrollVerdict::TooSoon => EnrollOutcome::TooSoon,
        EnrollVerdict::NoPlace => EnrollOutcome::NoPlace,
        EnrollVerdict::Enrolled { dropped } => {
            let label_ids = || host.labels.iter().copied().collect();
            let known = known
                .entry(host.row.id)
                .or_insert_with(|| Arc::new(KnownHost { host: host.row.clone(), label_ids: label_ids() }));
            EnrollOutcome::Enrolled(EnrolledHost {
                known: Arc::clone(known),
                at: enrollment.now,
                dropped,
                keeps_key: host.has(enrollment),
            })
        }
    };
    let outcomes = all.iter().zip(verdicts).map(|(enrollment, verdict)| {
        let (folded, at, verdict) = verdict?;
        Some(outcome(enrollment, hosts.get(&folded)?.get(at)?, verdict))
    });
    Ok(Written { outcomes: outcomes.collect(), is_for_others })
}

/// The secrets under whose quotas hosts may have to take a place.
fn with_places(hosts: &ByIdentifier, all: &[&Enrollment], identifiers: &[Option<String>]) -> BTreeSet<i64> {
    let mut secret_ids = BTreeSet::new();
    for (enrollment, identifier) in all.iter().zip(identifiers) {
        let Some(identifier) = identifier else { continue };
        let folded = case::fold(identifier);
        let same = hosts.get(&folded).map_or(&[][..], Vec::as_slice);
        let before = position(same, identifier).and_then(|at| same[at].row.enroll_secret_id);
        // A host that enrolls several times at once may have another secret before each of them.
        let is_alone = || identifiers.iter().flatten().filter(|other| case::fold(other) == folded).count() == 1;
        if enrollment.takes_place(before) || (enrollment.takes_place(None) && !is_alone()) {
            secret_ids.insert(enrollment.secret_id);
        }
    }
    secret_ids
}

/// Which of the hosts that differ in capitals alone goes by an identifier.
fn position(same: &[EnrollingHost], identifier: &str) -> Option<usize> {
    case::position(same.iter().map(|host| host.row.identifier.as_str()), identifier)
}

/// The rows of hosts that enroll, locked, so that a separation of clones comes before or after all of the enrollments; and
/// the identifier of each one's row: its own, unless that was found to be shared and this is not the machine that kept it.
/// `None` if somebody else holds the row.
async fn locked_hosts(tx: &store::Tx, all: &[&Enrollment]) -> store::Result<(ByIdentifier, Vec<Option<String>>)> {
    let (mut hosts, mut held) = (ByIdentifier::new(), BTreeSet::new());
    let folded = all.iter().map(|enrollment| case::fold(&enrollment.identity.identifier)).collect();
    add_locked(tx, &mut hosts, &mut held, folded).await?;
    let mut separated = BTreeSet::new();
    let mut identifiers = Vec::with_capacity(all.len());
    for Enrollment { identity, .. } in all {
        let folded = case::fold(&identity.identifier);
        let same = hosts.get(&folded).map_or(&[][..], Vec::as_slice);
        let is_elsewhere = position(same, &identity.identifier).is_some_and(|at| {
            let row = &same[at].row;
            row.cloned_at.is_some() && !identity.instance_id.is_empty() && row.instance_id != identity.instance_id
        });
        let identifier = if is_elsewhere { identity.separated() } else { identity.identifier.clone() };
        if is_elsewhere && !hosts.contains_key(&case::fold(&identifier)) {
            separated.insert(case::fold(&identifier));
        }
        identifiers.push((!held.contains(&folded)).then_some(identifier));
    }
    add_locked(tx, &mut hosts, &mut held, separated).await?;
    let is_free = |identifier: &String| !held.contains(&case::fold(identifier));
    Ok((hosts, identifiers.into_iter().map(|identifier| identifier.filter(is_free)).collect()))
}

async fn add_locked(
    tx: &store::Tx,
    hosts: &mut ByIdentifier,
    held: &mut BTreeSet<String>,
    folded: BTreeSet<String>,
) -> store::Result<()> {
    if folded.is_empty() {
        return Ok(());
    }
    let locked = enrollments::locked_by_identifiers(tx, &folded).await?;
    for row in locked.rows {
        hosts.entry(case::fold(&row.identifier)).or_default().push(EnrollingHost::of(row));
    }
    held.extend(locked.held);
    Ok(())
}

async fn read_labels_and_keys(
    tx: &store::Tx,
    hosts: &mut ByIdentifier,
    all: &[&Enrollment],
    identifiers: &[Option<String>],
) -> store::Result<()> {
    let mut instances = BTreeSet::new();
    for (enrollment, identifier) in all.iter().zip(identifiers) {
        let Some(identifier) = identifier else { continue };
        let same = hosts.get(&case::fold(identifier)).map_or(&[][..], Vec::as_slice);
        if let Some(at) = position(same, identifier) {
            instances.insert((same[at].row.id, enrollment.identity.instance_id.clone()));
        }
    }
    let host_ids: BTreeSet<i64> = instances.iter().map(|(host_id, _)| *host_id).collect();
    let labels = enrollments::labels_of(tx, &host_ids).await?;
    let keys = enrollments::keys_of(tx, &instances).await?;
    let mut by_id: BTreeMap<i64, &mut EnrollingHost> =
        hosts.values_mut().flatten().map(|host| (host.row.id, host)).collect();
    for (host_id, label_ids) in labels {
        if let Some(host) = by_id.get_mut(&host_id) {
            host.has_labels(label_ids);
        }
    }
    for key in keys {
        if let Some(host) = by_id.get_mut(&key.host_id) {
            host.has_key(key);
        }
    }
    Ok(())
}

/// Writes what has changed. Says whether the feed has news.
async fn write_hosts(tx: &store::Tx, hosts: &mut ByIdentifier, now: Moment) -> store::Result<bool> {
    let columns: Vec<Column> = (details::COLUMNS.iter().copied())
        .chain([Column::InstanceId, Column::EnrolledAt, Column::UpdatedAt, Column::EnrollSecretId])
        .chain([Column::LabelUpdatedAt, Column::DetailUpdatedAt])
        .collect();
    let changed = || hosts.values().flatten().filter(|host| host.is_changed);
    // Sorted by id, as all who lock several rows do.
    let there: BTreeMap<i64, Model> =
        changed().filter(|host| host.was_there).map(|host| (host.row.id, host.row.clone())).collect();
    enrollments::update_hosts(tx, &columns, there.into_values().collect()).await?;
    let new = changed().filter(|host| !host.was_there).map(|host| host.row.clone()).collect();
    let ids = enrollments::insert_hosts(tx, new).await?;
    for host in hosts.values_mut().flatten().filter(|host| !host.was_there) {
        host.row.id = ids.get(&host.row.identifier).copied().unwrap_or_default();
    }

    let changed = || hosts.values().flatten().filter(|host| host.is_changed);
    let added = changed()
        .flat_map(|host| host.labels.difference(&host.labels_before).map(move |label_id| (*label_id, host.row.id)));
    store::labels::add_members(tx, added).await?;
    let mut removed: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for host in changed() {
        for label_id in host.labels_before.difference(&host.labels) {
            removed.entry(*label_id).or_default().push(host.row.id);
        }
    }
    for (label_id, host_ids) in removed {
        store::labels::remove_members(tx, label_id, host_ids).await?;
    }
    let deleted: Vec<Vec<u8>> = changed().flat_map(|host| &host.deleted).map(|hash| hash.to_vec()).collect();
    store::node_keys::delete(tx, deleted).await?;
    enrollments::insert_keys(tx, changed().flat_map(EnrollingHost::new_keys).collect()).await?;
    let news: Vec<(HostChangeKind, i64)> = changed()
        .flat_map(|host| {
            let is_enrolled = host.has_enrolled_again || !host.was_there;
            let enrolled = is_enrolled.then_some((HostChangeKind::Enrolled, host.row.id));
            let keys = host.has_dropped_keys.then_some((HostChangeKind::Keys, host.row.id));
            enrolled.into_iter().chain(keys)
        })
        .collect();
    let is_for_others = !news.is_empty();
    feed::append_all(tx, news, now).await?;
    Ok(is_for_others)
}
