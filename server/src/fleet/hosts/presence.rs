//! Which hosts are online, and what is asked of all hosts at one time.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use roaring::RoaringTreemap;

use super::Hosts;
use super::directory::{AskableHost, Directory, FEW, OnlineTally, SpreadGroup, TargetGroups, in_turn};
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::schema::AgentGroup;
use crate::store;

/// Seconds after its interval for which a host still counts as online, as in Fleet.
const ONLINE_BUFFER_SECS: u32 = 60;

/// A host that has not called for this long counts as missing, as in Fleet.
pub(super) const MISSING_AFTER_SECS: u32 = 30 * 24 * 3600;

/// How long a host counts as new.
pub(super) const NEW_FOR: Duration = Duration::from_secs(24 * 3600);

/// How long the set of online hosts of a large fleet is taken for right.
const ONLINE_FOR: Duration = Duration::from_secs(1);

/// Seconds after a call for which a host counts as online: its own interval and a minute. Intervals that are not known are 0.
pub(super) fn online_for(distributed_interval: i64, config_refresh: i64) -> u32 {
    let interval = match (distributed_interval.max(0), config_refresh.max(0)) {
        (0, other) | (other, 0) => other,
        (a, b) => a.min(b),
    };
    u32::try_from(interval).unwrap_or(u32::MAX).saturating_add(ONLINE_BUFFER_SECS)
}

/// Whether a host is online.
pub(super) fn is_online(distributed_interval: i64, config_refresh: i64, seen: Moment, now: Moment) -> bool {
    seen.plus_seconds(online_for(distributed_interval, config_refresh).into()) > now
}

/// Hosts that were online at a moment.
#[derive(Debug)]
pub(super) struct OnlineHosts {
    counted: Instant,
    at: Moment,
    hosts: Arc<RoaringTreemap>,
}

impl Hosts {
    /// The directory, with every change in it that an operator has made at this node.
    ///
    /// # Errors
    /// When the directory is not loaded yet, or the database does not answer.
    pub(in crate::fleet) async fn current_directory(&self) -> Result<&Arc<Directory>> {
        self.directory.loaded().await?;
        self.refresh_changed_here().await?;
        Ok(&self.directory)
    }

    /// The hosts of groups, as they are now.
    ///
    /// # Errors
    /// As for [`Hosts::current_directory`].
    pub(in crate::fleet) async fn members(&self, groups: TargetGroups) -> Result<RoaringTreemap> {
        self.bring_in(groups.hosts.clone()).await?;
        self.current_directory().await?.members(groups).await
    }

    /// Counts the hosts of groups by whether they are there.
    ///
    /// # Errors
    /// As for [`Hosts::current_directory`].
    pub(in crate::fleet) async fn tally_members(&self, groups: TargetGroups) -> Result<OnlineTally> {
        self.bring_in(groups.hosts.clone()).await?;
        self.current_directory().await?.tally_members(groups, self.clock.now()).await
    }

    /// How many of the hosts of targets are in each agent group.
    ///
    /// # Errors
    /// As for [`Hosts::current_directory`].
    pub(in crate::fleet) async fn group_sizes(&self, targets: TargetGroups) -> Result<BTreeMap<AgentGroup, u64>> {
        self.bring_in(targets.hosts.clone()).await?;
        self.current_directory().await?.group_sizes(targets).await
    }

    /// Of each platform and version that these hosts have, `most` hosts, other ones each time, online ones first; the largest
    /// groups first.
    ///
    /// # Errors
    /// When the directory is not loaded yet.
    pub(in crate::fleet) async fn spread(&self, hosts: RoaringTreemap, most: usize) -> Result<Vec<SpreadGroup>> {
        self.directory.spread(hosts, most, self.clock.now()).await
    }

    /// So many of these hosts, of all platforms and versions in turn.
    ///
    /// # Errors
    /// As for [`Hosts::spread`].
    pub(in crate::fleet) async fn some_of_each(&self, hosts: RoaringTreemap, count: usize) -> Result<RoaringTreemap> {
        Ok(in_turn(&self.spread(hosts, count).await?, count))
    }

    /// Online hosts of agent groups, `most` of each, other ones each time; without those that are left out of
    /// their group.
    ///
    /// # Errors
    /// When the directory is not loaded yet.
    pub(in crate::fleet) async fn askable(
        &self,
        groups: HashSet<AgentGroup>,
        left_out: HashMap<i64, AgentGroup>,
        most: usize,
    ) -> Result<Vec<AskableHost>> {
        self.directory.askable(groups, left_out, most, self.clock.now()).await
    }

    /// Reads hosts that an operator has named and the directory does not have yet, as they have just enrolled with another
    /// node. Returns those of them that do not exist.
    ///
    /// # Errors
    /// As for [`Hosts::current_directory`].
    pub(in crate::fleet) async fn bring_in(&self, ids: BTreeSet<i64>) -> Result<BTreeSet<i64>> {
        if ids.is_empty() {
            return Ok(ids);
        }
        let here = self.current_directory().await?.here(ids.clone()).await?;
        let mut missing: BTreeSet<i64> = ids.difference(&here).copied().collect();
        let wanted: Vec<i64> = missing.iter().copied().collect();
        let found = store::directory::of(self.store.reader(), &wanted).await?;
        for host in &found {
            missing.remove(&host.row.id);
        }
        let found_ids: Vec<i64> = found.iter().map(|host| host.row.id).collect();
        self.directory.put(found);
        // Something newer may have been put meanwhile.
        self.mark_stale(found_ids);
        Ok(missing)
    }

    /// Counts hosts by whether they are there; those that are gone are left out.
    ///
    /// # Errors
    /// When the directory is not loaded yet.
    pub async fn tally(&self, ids: RoaringTreemap) -> Result<OnlineTally> {
        self.directory.tally(ids, self.clock.now()).await
    }

    /// The hosts that are online, of those that are here; of a large fleet, as of a second ago at most. After the start,
    /// that may not be all.
    ///
    /// # Errors
    /// When the work fails.
    pub async fn online_here(&self) -> Result<Arc<RoaringTreemap>> {
        let now = self.clock.now();
        let is_small = self.directory.len() <= FEW;
        let mut online = self.online.lock().await;
        if let Some(known) = &*online
            && !is_small
            && known.counted.elapsed() < ONLINE_FOR
            && now.since(known.at) < ONLINE_FOR
        {
            return Ok(Arc::clone(&known.hosts));
        }
        let hosts = Arc::new(self.directory.online_here(now).await?);
        *online = Some(OnlineHosts { counted: Instant::now(), at: now, hosts: Arc::clone(&hosts) });
        Ok(hosts)
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
