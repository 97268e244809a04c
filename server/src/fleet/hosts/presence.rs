//! Which hosts are online, and when they were seen.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use roaring::RoaringTreemap;

use super::directory::{Directory, OnlineTally, TargetGroups};
use super::{Hosts, means_platform};
use crate::clock::Moment;
use crate::fleet::Result;
use crate::store;

/// How long the set of online hosts of a large fleet is taken for right.
const ONLINE_FOR: Duration = Duration::from_secs(1);

/// Fleets up to this size are counted each time, on the thread that asks.
const FEW: usize = 10_000;

/// Hosts that were online at a moment.
#[derive(Debug)]
pub(super) struct OnlineHosts {
    counted: Instant,
    at: Moment,
    hosts: Arc<RoaringTreemap>,
}

impl Hosts {
    /// The directory, with every change of this node in it.
    ///
    /// # Errors
    /// When the directory is not loaded yet, or the database does not answer.
    pub(in crate::fleet) async fn current_directory(&self) -> Result<&Directory> {
        self.directory.loaded().await?;
        self.refresh_stale().await?;
        Ok(&self.directory)
    }

    /// When a host was last seen by any node.
    pub(super) fn seen(&self, id: i64) -> Moment {
        self.seen_by_any(id, Moment::NEVER)
    }

    /// The hosts of groups, as they are now.
    ///
    /// # Errors
    /// As for [`Hosts::current_directory`].
    pub(in crate::fleet) async fn members(&self, groups: &TargetGroups) -> Result<RoaringTreemap> {
        Ok(self.current_directory().await?.members(groups, means_platform))
    }

    /// Counts hosts by whether they are there.
    pub async fn tally(self: &Arc<Self>, ids: RoaringTreemap) -> OnlineTally {
        let (hosts, now) = (Arc::clone(self), self.clock.now());
        let is_small = ids.len() <= FEW as u64;
        let count = move || hosts.directory.tally(ids.iter().map(u64::cast_signed), now, |id| hosts.seen(id));
        off_thread(is_small, count).await
    }

    /// The hosts that are online; of a large fleet, as of a second ago at most.
    pub async fn online(self: &Arc<Self>) -> Arc<RoaringTreemap> {
        let now = self.clock.now();
        let is_small = self.directory.len() <= FEW;
        let mut online = self.online.lock().await;
        if let Some(known) = &*online
            && !is_small
            && known.counted.elapsed() < ONLINE_FOR
            && now.since(known.at) < ONLINE_FOR
        {
            return Arc::clone(&known.hosts);
        }
        let this = Arc::clone(self);
        let hosts = off_thread(is_small, move || Arc::new(this.directory.online(now, |id| this.seen(id)))).await;
        *online = Some(OnlineHosts { counted: Instant::now(), at: now, hosts: Arc::clone(&hosts) });
        hosts
    }

    /// What hosts are called where people look: the computer's name, for those that have one.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn computer_names(&self, ids: &[i64]) -> Result<HashMap<i64, String>> {
        let mut names = store::hosts::computer_names(self.store.reader(), ids).await?;
        names.retain(|_, name| !name.is_empty());
        Ok(names)
    }
}

/// Runs work whose cost grows with the fleet away from the threads that answer agents, unless the fleet is small.
async fn off_thread<T: Send + Default + 'static>(is_small: bool, work: impl FnOnce() -> T + Send + 'static) -> T {
    if is_small {
        return work();
    }
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        tracing::error!(%error, "hosts were not counted");
        T::default()
    })
}
