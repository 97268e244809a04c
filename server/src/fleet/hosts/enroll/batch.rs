//! Enrollments that share a transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};

use super::rows::{EnrollOutcome, EnrollVerdict, EnrolledHost, EnrollingHost, Enrollment};
use crate::bus::{ChangeEvent, Notifier};
use crate::clock::Moment;
use crate::fleet::batches::Unanswered;
use crate::fleet::hosts::details;
use crate::fleet::hosts::identity::HostIdentity;
use crate::fleet::{Error, Result, within};
use crate::store::entity::hosts::{Column, Model};
use crate::store::feed::{self, HostChangeKind};
use crate::store::hosts::KnownHost;
use crate::store::{self, Store, case, enrollments};

/// Most enrollments in one transaction, so that none holds rows, or the one writer of SQLite, for long.
const BATCH: usize = 256;

/// Longest work on the transaction of a batch. After that each enrollment is tried alone, so that those whose rows
/// somebody holds do not keep the others waiting.
const PATIENCE: Duration = Duration::from_millis(1_000);

/// Enrollments that are tried at one time, each alone.
const ALONE: usize = 8;

/// What an enrollment is answered.
pub(super) type EnrollmentAnswer = Result<EnrollOutcome>;

type WaitingEnrollment = Unanswered<Enrollment, EnrollmentAnswer>;

/// Writes enrollments.
#[derive(Debug)]
pub(super) struct Enroller {
    store: Store,
    cooldown: Duration,
    notifier: Arc<dyn Notifier>,
}

impl Enroller {
    pub fn new(store: Store, cooldown: Duration, notifier: Arc<dyn Notifier>) -> Self {
        Self { store, cooldown, notifier }
    }

    /// Writes all enrollments that wait, those of known hosts first.
    pub async fn write(&self, mut waiting: Vec<WaitingEnrollment>) {
        if waiting.len() > BATCH {
            waiting = self.known_first(waiting).await;
        }
        while !waiting.is_empty() {
            let rest = waiting.split_off(waiting.len().min(BATCH));
            // Who has stopped waiting tries again.
            waiting.retain(|(_, sender)| !sender.is_closed());
            self.write_together(std::mem::replace(&mut waiting, rest)).await;
        }
    }

    /// Moves hosts that have a row to the front: a flood of new ones does not keep them from coming back.
    pub async fn known_first(&self, waiting: Vec<WaitingEnrollment>) -> Vec<WaitingEnrollment> {
        let folded = waiting.iter().map(|(enrollment, _)| case::fold(&enrollment.identity.identifier)).collect();
        let found = within(PATIENCE, async { Ok(enrollments::known_identifiers(self.store.reader(), &folded).await?) });
        // A reading that lags behind or fails makes some hosts wait for longer.
        let known = found.await.unwrap_or_default();
        let is_known =
            |(enrollment, _): &WaitingEnrollment| known.contains(&case::fold(&enrollment.identity.identifier));
        let (mut first, others): (Vec<WaitingEnrollment>, Vec<WaitingEnrollment>) =
            waiting.into_iter().partition(is_known);
        first.extend(others);
        first
    }

    async fn write_together(&self, mut batch: Vec<WaitingEnrollment>) {
        if batch.len() > 1 {
            let all: Vec<&Enrollment> = batch.iter().map(|(enrollment, _)| enrollment).collect();
            let written = tokio::time::timeout(PATIENCE, self.transaction(&all)).await;
            match written {
                Ok(Ok(outcomes)) => {
                    // Who has stopped waiting enrolls again.
                    let answered = batch.drain(..).zip(outcomes);
                    return answered.for_each(|((_, sender), outcome)| drop(sender.send(Ok(outcome))));
                }
                Ok(Err(store::Error::Unavailable(reason))) => {
                    let refused = || Err(store::Error::Unavailable(reason.clone()).into());
                    return batch.drain(..).for_each(|(_, sender)| drop(sender.send(refused())));
                }
                Ok(Err(error)) => {
                    tracing::debug!(%error, hosts = batch.len(), "enrollments not written together; each is tried alone");
                }
                Err(_) => tracing::debug!(hosts = batch.len(), "enrollments wait for long; each is tried alone"),
            }
        }
        stream::iter(batch).for_each_concurrent(ALONE, |waiting| self.write_alone(waiting)).await;
    }

    async fn write_alone(&self, (enrollment, mut sender): WaitingEnrollment) {
        let alone = [&enrollment];
        let answer = tokio::select! {
            biased;
            () = sender.closed() => return,
            outcomes = self.transaction(&alone) => match outcomes.map(|mut outcomes| outcomes.pop()) {
                Ok(Some(outcome)) => Ok(outcome),
                Ok(None) => Err(Error::Unavailable("the enrollment was not written".to_owned())),
                Err(error) => Err(error.into()),
            },
        };
        drop(sender.send(answer));
    }

    async fn transaction(&self, all: &[&Enrollment]) -> store::Result<Vec<EnrollOutcome>> {
        let Written { outcomes, is_for_others } =
            self.store.write(async |tx| write(tx, all, self.cooldown).await).await?;
        if is_for_others {
            self.notifier.publish(ChangeEvent::Hosts);
        }
        Ok(outcomes)
    }
}

/// What a transaction has done.
pub(super) struct Written {
    /// In the order of the enrollments.
    pub outcomes: Vec<EnrollOutcome>,
    /// The feed has news for other nodes.
    is_for_others: bool,
}

/// Hosts that enroll, by what they are called but for capitals. Several only where an older version left them.
type ByIdentifier = BTreeMap<String, Vec<EnrollingHost>>;

/// Enrolls hosts, in the order given.
pub(super) async fn write(tx: &store::Tx, all: &[&Enrollment], cooldown: Duration) -> store::Result<Written> {
    let (mut hosts, identifiers) = locked_hosts(tx, all).await?;
    read_labels_and_keys(tx, &mut hosts, all, &identifiers).await?;
    let mut verdicts = Vec::with_capacity(all.len());
    for (enrollment, identifier) in all.iter().zip(&identifiers) {
        let same = hosts.entry(case::fold(identifier)).or_default();
        let at = position(same, identifier).unwrap_or_else(|| {
            same.push(EnrollingHost::new(identifier.clone(), enrollment));
            same.len() - 1
        });
        verdicts.push((at, same[at].enroll(enrollment, cooldown)));
    }
    let now = all.iter().map(|enrollment| enrollment.now).max().unwrap_or(Moment::NEVER);
    let is_for_others = write_hosts(tx, &mut hosts, now).await?;

    let mut known: BTreeMap<i64, Arc<KnownHost>> = BTreeMap::new();
    let mut outcomes = Vec::with_capacity(all.len());
    for ((enrollment, identifier), (at, verdict)) in all.iter().zip(&identifiers).zip(verdicts) {
        let (EnrollVerdict::Enrolled { dropped }, Some(same)) = (verdict, hosts.get(&case::fold(identifier))) else {
            outcomes.push(EnrollOutcome::TooSoon);
            continue;
        };
        let host = &same[at];
        let label_ids = || host.labels.iter().copied().collect();
        let known = known
            .entry(host.row.id)
            .or_insert_with(|| Arc::new(KnownHost { host: host.row.clone(), label_ids: label_ids() }));
        outcomes.push(EnrollOutcome::Enrolled(EnrolledHost {
            known: Arc::clone(known),
            at: enrollment.now,
            dropped,
            keeps_key: host.keeps(&enrollment.key),
        }));
    }
    Ok(Written { outcomes, is_for_others })
}

/// Which of the hosts that differ in capitals alone goes by an identifier: the one with exactly it, or the oldest.
fn position(same: &[EnrollingHost], identifier: &str) -> Option<usize> {
    let exact = same.iter().position(|host| host.row.identifier == identifier);
    exact.or((!same.is_empty()).then_some(0))
}

/// The rows of hosts that enroll, locked, so that a separation of clones comes before or after all of the enrollments; and
/// the identifier of each one's row: its own, unless that was found to be shared and this is not the machine that kept it.
async fn locked_hosts(tx: &store::Tx, all: &[&Enrollment]) -> store::Result<(ByIdentifier, Vec<String>)> {
    let mut hosts = ByIdentifier::new();
    let folded = all.iter().map(|enrollment| case::fold(&enrollment.identity.identifier)).collect();
    add_locked(tx, &mut hosts, folded).await?;
    let is_elsewhere = |identity: &HostIdentity| {
        let same = hosts.get(&case::fold(&identity.identifier)).map_or(&[][..], Vec::as_slice);
        position(same, &identity.identifier).is_some_and(|at| {
            let row = &same[at].row;
            row.cloned_at.is_some() && !identity.instance_id.is_empty() && row.instance_id != identity.instance_id
        })
    };
    let identifier = |enrollment: &&Enrollment| {
        let identity = &enrollment.identity;
        let is_elsewhere = is_elsewhere(identity);
        (if is_elsewhere { identity.separated() } else { identity.identifier.clone() }, is_elsewhere)
    };
    let identifiers: Vec<(String, bool)> = all.iter().map(identifier).collect();
    let separated: BTreeSet<String> =
        identifiers.iter().filter(|(_, is_elsewhere)| *is_elsewhere).map(|(name, _)| case::fold(name)).collect();
    let others = separated.into_iter().filter(|name| !hosts.contains_key(name)).collect();
    add_locked(tx, &mut hosts, others).await?;
    Ok((hosts, identifiers.into_iter().map(|(identifier, _)| identifier).collect()))
}

async fn add_locked(tx: &store::Tx, hosts: &mut ByIdentifier, folded: BTreeSet<String>) -> store::Result<()> {
    for row in enrollments::locked_by_identifiers(tx, &folded).await? {
        hosts.entry(case::fold(&row.identifier)).or_default().push(EnrollingHost::of(row));
    }
    Ok(())
}

async fn read_labels_and_keys(
    tx: &store::Tx,
    hosts: &mut ByIdentifier,
    all: &[&Enrollment],
    identifiers: &[String],
) -> store::Result<()> {
    let mut instances = BTreeSet::new();
    for (enrollment, identifier) in all.iter().zip(identifiers) {
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
    for (host_id, label_id) in labels {
        if let Some(host) = by_id.get_mut(&host_id) {
            host.has_label(label_id);
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
