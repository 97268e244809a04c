//! Hosts in memory that may differ from the database, and are read again.

use std::collections::BTreeSet;
use std::sync::Mutex;

use super::follow::BATCH;
use super::{Host, Hosts};
use crate::bus::ChangeEvent;
use crate::clock::Moment;
use crate::fleet::Result;
use crate::lock::lock;
use crate::store;

/// Hosts that are to be read again.
#[derive(Debug, Default)]
pub(super) struct StaleHosts {
    waiting: Mutex<WaitingHosts>,
    /// One reading at a time, so that an older one never lands on top of a newer one.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct WaitingHosts {
    /// Hosts that somebody has changed at this node, and waits for. They go first.
    changed_here: BTreeSet<i64>,
    others: BTreeSet<i64>,
}

impl WaitingHosts {
    fn take(&mut self, with_others: bool) -> Vec<i64> {
        let mut taken = take_some(&mut self.changed_here, BATCH);
        if with_others {
            taken.extend(take_some(&mut self.others, BATCH - taken.len()));
        }
        taken
    }
}

/// Hosts that were taken off the list. They go back to it if they are not read, because the database does not answer or
/// the request that reads them is given up.
struct UnreadHosts<'a> {
    hosts: &'a Hosts,
    ids: Vec<i64>,
}

impl Drop for UnreadHosts<'_> {
    fn drop(&mut self) {
        lock(&self.hosts.stale.waiting).changed_here.extend(self.ids.drain(..));
    }
}

impl Hosts {
    /// Notes hosts whose row or labels were changed here, and tells other nodes.
    pub fn have_changed(&self, host_ids: impl IntoIterator<Item = i64>) {
        self.mark_changed_here(host_ids);
        self.notifier.publish(ChangeEvent::Hosts);
    }

    /// Notes hosts that lists have to show as they are now.
    pub(in crate::fleet) fn mark_changed_here(&self, host_ids: impl IntoIterator<Item = i64>) {
        let mut host_ids = host_ids.into_iter().peekable();
        if host_ids.peek().is_some() {
            self.index.hosts_have_changed();
            lock(&self.stale.waiting).changed_here.extend(host_ids);
        }
    }

    /// Notes hosts that may differ from the database.
    pub fn mark_stale(&self, host_ids: impl IntoIterator<Item = i64>) {
        let mut host_ids = host_ids.into_iter().peekable();
        if host_ids.peek().is_some() {
            self.index.hosts_have_changed();
            lock(&self.stale.waiting).others.extend(host_ids);
        }
    }

    /// As [`Hosts::mark_stale`], for a host whose change was noted before.
    pub(super) fn read_again(&self, host_id: i64) {
        lock(&self.stale.waiting).others.insert(host_id);
    }

    /// Notes that a host has answered what it was asked about labels at this moment, and that the answers are written. Labels that have
    /// changed with them are read first.
    pub(in crate::fleet) fn labels_were_asked(&self, host: &Host, at: Moment) {
        if at <= host.labels_asked_at() {
            return;
        }
        // Nobody is reading rows that may be older than the note.
        let guard = self.stale.reading.try_lock();
        let mut waiting = lock(&self.stale.waiting);
        if guard.is_err() {
            waiting.others.insert(host.id);
        } else if !waiting.changed_here.contains(&host.id) && !waiting.others.contains(&host.id) {
            host.labels_are_as_of(at);
        }
    }

    /// Brings the noted hosts up to date with the database.
    ///
    /// # Errors
    /// When the database does not answer; the next call continues.
    pub async fn refresh_stale(&self) -> Result<()> {
        while self.refresh_some(true).await? {}
        Ok(())
    }

    /// Brings hosts up to date that were changed here. Waits for no more than one batch of others.
    ///
    /// # Errors
    /// When the database does not answer; the next call continues.
    pub(super) async fn refresh_changed_here(&self) -> Result<()> {
        while self.refresh_some(false).await? {}
        Ok(())
    }

    /// Reads a batch; says whether there was one.
    async fn refresh_some(&self, with_others: bool) -> Result<bool> {
        let _guard = self.stale.reading.lock().await;
        // Taken off the list before they are read: a host that is noted meanwhile is read once more.
        let ids = lock(&self.stale.waiting).take(with_others);
        if ids.is_empty() {
            return Ok(false);
        }
        let mut unread = UnreadHosts { hosts: self, ids };
        let (held, others): (Vec<i64>, Vec<i64>) = unread.ids.iter().partition(|id| self.index.get(**id).is_some());
        let mut missing: BTreeSet<i64> = unread.ids.iter().copied().collect();
        for id in self.refresh_all(&held).await? {
            missing.remove(&id);
        }
        if !others.is_empty() {
            let found = store::directory::of(self.store.reader(), &others).await?;
            for host in &found {
                missing.remove(&host.row.id);
            }
            self.directory.put(found);
        }
        // Only those that were there: a host that this node has not read yet may be about to appear.
        let missing = self.directory.here(missing).await?;
        self.forget_deleted(self.confirm_deleted(missing).await?, self.clock.now());
        unread.ids.clear();
        Ok(true)
    }
}

/// Takes the first ones out of a set.
fn take_some(set: &mut BTreeSet<i64>, count: usize) -> Vec<i64> {
    let rest = set.iter().nth(count).copied().map(|first| set.split_off(&first)).unwrap_or_default();
    std::mem::replace(set, rest).into_iter().collect()
}
