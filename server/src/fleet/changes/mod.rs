//! The one way to change what hosts run.

mod signal;
mod sizes;

pub use signal::ChangeSignal;

use std::collections::BTreeSet;
use std::sync::Arc;

use sea_orm::DatabaseConnection;
use serde_json::Value;

use super::access::Principal;
use super::hosts::Hosts;
use super::schedule::Schedule;
use super::{Error, Result};
use crate::clock::{Clock, Moment};
use crate::store::{self, Store, WriteError, activities, feed, generations};

/// Makes changes. Each is one transaction with its activity and the next generation, and memory follows at once.
#[derive(Debug, Clone)]
pub struct Changes {
    store: Store,
    clock: Clock,
    schedule: Arc<Schedule>,
    hosts: Arc<Hosts>,
    signal: ChangeSignal,
}

/// A change under way, inside its transaction.
pub struct Draft<'a> {
    pub tx: &'a store::Tx,
    pub now: Moment,
    /// Hosts whose labels change.
    pub touched_hosts: BTreeSet<i64>,
    /// Labels that go.
    pub dropped_labels: BTreeSet<i64>,
    activity: Option<(&'static str, Value)>,
}

impl Draft<'_> {
    /// Records the activity. A draft without one changes nothing.
    pub fn record(&mut self, kind: &'static str, details: Value) {
        self.activity = Some((kind, details));
    }
}

/// Why the transaction is not committed.
enum Stop<T> {
    Failed(Error),
    /// Nothing was to be changed, or it was only a trial.
    Undone(T),
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
    pub fn new(store: Store, clock: Clock, schedule: Arc<Schedule>, hosts: Arc<Hosts>, signal: ChangeSignal) -> Self {
        Self { store, clock, schedule, hosts, signal }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// For reading what is there.
    pub(super) fn reader(&self) -> &DatabaseConnection {
        self.store.reader()
    }

    /// Makes a change for `principal`, whose right to it the caller has checked; or tries it and takes it back.
    ///
    /// # Errors
    /// What `change` says, and [`Error::Invalid`] when the config of some host would be too large for agents; then
    /// nothing has changed.
    pub(super) async fn make<T, F>(&self, principal: &Principal, dry_run: bool, change: F) -> Result<T>
    where
        F: AsyncFn(&mut Draft<'_>) -> Result<T>,
    {
        let now = self.clock.now();
        let assignments = self.hosts.assignments();
        let outcome = self
            .store
            .write_with(async |tx| -> std::result::Result<_, Stop<T>> {
                // First, because it makes changes on all servers wait for each other: each looks before it writes.
                generations::bump(tx, generations::SCHEDULE).await?;
                let mut draft =
                    Draft { tx, now, touched_hosts: BTreeSet::new(), dropped_labels: BTreeSet::new(), activity: None };
                let value = change(&mut draft).await?;
                let Some((kind, details)) = &draft.activity else { return Err(Stop::Undone(value)) };
                sizes::check(tx, &assignments, now).await?;
                activities::add(tx, now, &principal.actor(), kind, details).await?;
                if dry_run {
                    return Err(Stop::Undone(value));
                }
                feed::append(tx, feed::HostChangeKind::Changed, draft.touched_hosts.iter().copied(), now).await?;
                Ok((value, draft.touched_hosts, draft.dropped_labels))
            })
            .await;
        match outcome {
            Ok((value, touched_hosts, dropped_labels)) => {
                self.signal.raise();
                self.hosts.drop_labels(&dropped_labels);
                self.hosts.mark_stale(touched_hosts);
                // The change is made; a memory that cannot follow now does so at the next round of the tasks.
                if let Err(error) = self.catch_up().await {
                    tracing::warn!(%error, "a change takes effect once the database answers again");
                }
                Ok(value)
            }
            Err(Stop::Undone(value)) => Ok(value),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    async fn catch_up(&self) -> Result<()> {
        self.schedule.refresh().await?;
        self.hosts.refresh_stale().await
    }
}
