//! The one way to change what hosts run.
//!
//! A change is one transaction. It moves the generation on first, which makes changes on all nodes wait for each other,
//! then writes, then reads the plan as it will be and refuses what agents could not load, and then adds the activity.
//! Once it is committed, that plan becomes the current one of this node; other nodes are notified and load theirs. A
//! dry run does the same and rolls back; it publishes nothing, and neither does an attempt that is rolled back and
//! retried.

mod fields;
mod objects;
mod rollouts;
mod sizes;

pub use fields::{ChangedFields, FieldChange, content_mark};
pub use objects::{ObjectChange, ObjectChanges, ObjectKind};

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_api::rest::TouchedHosts;
use serde_json::Value;

use super::access::Principal;
use super::hosts::{Hosts, LabelMoves};
use super::schedule::{BuiltInOptions, Plan, PlanDifference, Schedule};
use super::statistics::Statistics;
use super::{Error, Result};
use crate::bus::{ChangeEvent, Notifier};
use crate::clock::{Clock, Moment};
use crate::store::{self, Store, WriteError, activities, feed, generations, object_changes};

/// Makes changes: each in one transaction with its activity and the next generation. The memory of this node has the
/// change when it returns.
#[derive(Debug, Clone)]
pub struct Changes {
    store: Store,
    clock: Clock,
    schedule: Arc<Schedule>,
    hosts: Arc<Hosts>,
    notifier: Arc<dyn Notifier>,
    statistics: Arc<Statistics>,
}

/// A change under way, inside its transaction.
pub struct Draft<'a> {
    pub tx: &'a store::Tx,
    pub now: Moment,
    /// Hosts whose labels change.
    pub touched_hosts: BTreeSet<i64>,
    /// How they change, as far as it is to be counted whose config that changes.
    pub label_moves: LabelMoves,
    /// Labels that are deleted.
    pub dropped_labels: BTreeSet<i64>,
    /// What the activity changes in objects, field by field.
    pub objects: ObjectChanges,
    /// Whether it takes hosts back to what they were served before, which no check may stand in the way of.
    pub is_undoing: bool,
    activity: Option<(&'static str, Value)>,
}

impl Draft<'_> {
    /// Records the activity. A draft without one is rolled back.
    pub fn record(&mut self, kind: &'static str, details: Value) {
        self.activity = Some((kind, details));
    }
}

/// Why the transaction is not committed.
enum Stop<T> {
    Failed(Error),
    /// There was nothing to change, or it was a dry run of something.
    Undone(T, Option<Box<DryRun>>),
}

/// What a dry run would have changed.
struct DryRun {
    plan: Plan,
    label_moves: LabelMoves,
}

impl<T> From<store::Error> for Stop<T> {
    fn from(error: store::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl<T> From<Error> for Stop<T> {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl<T> WriteError for Stop<T> {}

impl Changes {
    pub(super) fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    pub fn new(
        store: Store,
        clock: Clock,
        schedule: Arc<Schedule>,
        hosts: Arc<Hosts>,
        notifier: Arc<dyn Notifier>,
        statistics: Arc<Statistics>,
    ) -> Self {
        Self { store, clock, schedule, hosts, notifier, statistics }
    }

    pub(super) fn built_in_options(&self) -> &BuiltInOptions {
        self.schedule.built_in()
    }

    /// What queries cost, to be shown with them.
    pub(super) fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    pub(super) fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// A connection for reading.
    pub(super) fn reader(&self) -> &store::Connection {
        self.store.reader()
    }

    /// Makes a change for `principal`, whose permission the caller has checked; a dry run is rolled back.
    ///
    /// # Errors
    /// The errors of `change`, and [`Error::Invalid`] when the config of some host would be too large for agents.
    /// Nothing has changed then.
    pub(super) async fn make<T, F>(&self, principal: &Principal, dry_run: bool, change: F) -> Result<T>
    where
        F: AsyncFn(&mut Draft<'_>) -> Result<T>,
    {
        Ok(self.attempt(principal, dry_run, change).await?.0)
    }

    /// As [`Changes::make`]; a dry run also counts the hosts whose config would change. Hosts are looked at after the
    /// transaction. There is no number while hosts are still being read.
    ///
    /// # Errors
    /// As for [`Changes::make`].
    pub(super) async fn make_and_count<T, F>(
        &self,
        principal: &Principal,
        dry_run: bool,
        change: F,
    ) -> Result<(T, Option<TouchedHosts>)>
    where
        F: AsyncFn(&mut Draft<'_>) -> Result<T>,
    {
        let (value, dry) = self.attempt(principal, dry_run, change).await?;
        let touched = match dry {
            Some(dry) if self.hosts.directory.is_loaded() => Some(self.touched(&dry.plan, dry.label_moves).await?),
            _ => None,
        };
        Ok((value, touched))
    }

    /// Counts the hosts that would get another config by a plan than by the current one.
    async fn touched(&self, plan: &Plan, label_moves: LabelMoves) -> Result<TouchedHosts> {
        let current = self.schedule.plan();
        let hosts = self.hosts.current_directory().await?.alike(label_moves).await?;
        let mut difference = PlanDifference::between(&current, plan);
        let mut touched = TouchedHosts::default();
        for alike in hosts {
            touched.total += alike.count;
            if difference.changes(&alike.before, &alike.after) {
                touched.changed += alike.count;
            }
        }
        Ok(touched)
    }

    async fn attempt<T, F>(&self, principal: &Principal, dry_run: bool, change: F) -> Result<(T, Option<Box<DryRun>>)>
    where
        F: AsyncFn(&mut Draft<'_>) -> Result<T>,
    {
        let assignments = self.hosts.assignments();
        let outcome = self
            .store
            .write_with(async |tx| -> std::result::Result<_, Stop<T>> {
                // First, because the row of the generation makes changes on all nodes wait for each other until they
                // are committed: each reads what the one before it has left.
                generations::bump(tx, generations::SCHEDULE).await?;
                // After that wait: what is stamped now is committed soon.
                let now = self.clock.now();
                let mut draft = Draft {
                    tx,
                    now,
                    touched_hosts: BTreeSet::new(),
                    label_moves: LabelMoves::default(),
                    dropped_labels: BTreeSet::new(),
                    objects: ObjectChanges::default(),
                    is_undoing: false,
                    activity: None,
                };
                let value = change(&mut draft).await?;
                let Some((kind, details)) = &draft.activity else { return Err(Stop::Undone(value, None)) };
                // After everything the plan is made of: nothing below changes it. Its generation is the one this
                // transaction has written and alone can commit, so once it has, this is the plan of that generation.
                let plan = Plan::load(tx, now, self.schedule.built_in()).await?;
                if !draft.is_undoing {
                    rollouts::check(&plan)?;
                    sizes::check(&self.schedule, &plan, &assignments)?;
                }
                let activity = activities::add(tx, now, &principal.actor(), kind, details).await?;
                object_changes::add(tx, activity, draft.objects.take()).await?;
                if dry_run {
                    let dry = DryRun { plan, label_moves: draft.label_moves };
                    return Err(Stop::Undone(value, Some(Box::new(dry))));
                }
                feed::append(tx, feed::HostChangeKind::Changed, draft.touched_hosts.iter().copied(), now).await?;
                Ok((value, plan, draft.touched_hosts, draft.dropped_labels))
            })
            .await;
        match outcome {
            Ok((value, plan, touched_hosts, mut dropped_labels)) => {
                // Changes of other nodes that came before this one are in the plan, too.
                dropped_labels.extend(self.schedule.publish(plan));
                self.notifier.publish(ChangeEvent::Schedule);
                self.hosts.drop_labels(&dropped_labels);
                self.hosts.mark_changed_here(touched_hosts);
                // The change is made. Hosts that cannot be read now are read by the next run of the periodic tasks.
                if let Err(error) = self.hosts.refresh_stale().await {
                    tracing::warn!(%error, "change committed; some hosts follow once the database answers again");
                }
                Ok((value, None))
            }
            Err(Stop::Undone(value, dry)) => Ok((value, dry)),
            Err(Stop::Failed(error)) => Err(error),
        }
    }
}
