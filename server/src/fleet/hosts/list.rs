//! Lists of hosts. The directory picks, orders and pages; rows are read some at a time.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use muster_api::rest::HostView;

use super::Hosts;
use super::directory::{HostPick, HostsSummary, PickedHost};
use super::view::display_name;
use crate::clock::Moment;
use crate::fleet::access::{Permission, Principal};
use crate::fleet::{Error, Result};
use crate::store;
use crate::store::entity::{hosts, labels};
use crate::store::host_lists::{self, HostOrder, OrderValue};

/// Rows that are read at one time.
const ROWS_AT_ONCE: usize = 200;

/// What a list of hosts is narrowed to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostFilter {
    /// Part of a host name, UUID, serial number or address; capitals (A to Z) do not matter.
    pub text: String,
    /// Only hosts in this label.
    pub label_id: Option<i64>,
    pub state: Option<HostState>,
    /// Only hosts in none of these labels.
    pub without_labels: Vec<i64>,
    /// Only hosts of this platform, as they say it, or of those that the word means: `linux` is every distribution.
    pub platform: Option<String>,
    /// Only hosts whose agent has this version.
    pub osquery_version: Option<String>,
    pub system: Option<SystemWanted>,
    /// Only hosts that have said that they have less than so many gigabytes (10⁹ bytes) of disk space left.
    pub disk_below: Option<u32>,
    /// Only hosts that have not called since.
    pub silent_since: Option<Moment>,
    /// Only hosts that have told nothing of themselves: neither name nor serial number nor version of the agent.
    pub is_unnamed: bool,
    /// Only hosts behind this value, in the order of the list.
    pub after: Option<OrderValue>,
    /// Of hosts that have the value of `after`, those with a higher id, too: the list goes on behind one host.
    pub after_id: Option<i64>,
    /// Leaves out the first ones.
    pub offset: u64,
    pub limit: Option<u64>,
    pub order: HostOrder,
    pub is_descending: bool,
}

/// The operating system that hosts are to have, by parts of what they show as `os_version`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SystemWanted {
    /// All that stands before the version, such as `Ubuntu`.
    pub name: Option<String>,
    /// All that stands behind the name; without a name, all of it.
    pub version: Option<String>,
}

impl SystemWanted {
    /// Whether what a host shows is this system.
    pub fn has(&self, shown: &str) -> bool {
        let version = match &self.name {
            None => Some(shown),
            // A system without a version is its name.
            Some(name) => shown.strip_prefix(name.as_str()).filter(|rest| rest.is_empty() || rest.starts_with(' ')),
        };
        let wanted = self.version.as_ref();
        version.is_some_and(|version| wanted.is_none_or(|wanted| version.trim_start() == wanted))
    }
}

/// What hosts can be picked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostState {
    Online,
    Offline,
    /// Not seen for 30 days; these are offline, too.
    Missing,
    /// Enrolled within a day.
    New,
}

/// The hosts of a list, in its order.
#[derive(Debug)]
pub struct HostListing {
    hosts: Arc<Hosts>,
    picked: Vec<PickedHost>,
    read: usize,
    picked_at: Moment,
}

impl HostListing {
    /// Whether there is nothing more to read.
    pub fn is_finished(&self) -> bool {
        self.read == self.picked.len()
    }

    /// The ids of all hosts of the list, in its order.
    pub fn ids(&self) -> Vec<i64> {
        self.picked.iter().map(|host| host.id).collect()
    }

    /// The next hosts, as they were seen when the list was begun. Those that were deleted since are left out.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn read(&mut self) -> Result<Vec<HostView>> {
        let end = self.picked.len().min(self.read + ROWS_AT_ONCE);
        let picked = &self.picked[self.read..end];
        let ids: Vec<i64> = picked.iter().map(|host| host.id).collect();
        let mut rows = self.hosts.store.read_lagging(async |db| host_lists::rows(db, &ids).await).await?;
        let missing: Vec<i64> = ids.into_iter().filter(|id| !rows.contains_key(id)).collect();
        if !missing.is_empty() {
            // A replica may not have the newest hosts yet.
            rows.extend(host_lists::rows(self.hosts.store.reader(), &missing).await?);
        }
        self.read = end;
        let show = |host: &PickedHost| {
            let row = rows.remove(&host.id)?;
            Some(self.hosts.show_as_seen(&row, host.seen, self.picked_at))
        };
        Ok(picked.iter().filter_map(show).collect())
    }

    /// The first hosts of the list, `count` at most, without some of them.
    ///
    /// # Errors
    /// As for [`HostListing::read`].
    pub async fn first_without(mut self, without: &HashSet<i64>, count: usize) -> Result<Vec<HostView>> {
        self.picked.retain(|host| !without.contains(&host.id));
        self.picked.truncate(count.min(ROWS_AT_ONCE));
        self.read().await
    }
}

impl Hosts {
    /// Begins a list of hosts.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without the permission to read hosts, and [`Error::NotFound`] when there is no such label.
    pub async fn list(self: &Arc<Self>, principal: &Principal, filter: &HostFilter) -> Result<HostListing> {
        let mut pick = self.pick_of(principal, filter).await?;
        if let Some(column) = filter.order.column_of_its_own() {
            let values = self.store.read_lagging(async |db| host_lists::values(db, column).await).await?;
            pick.values = Some(Arc::new(values));
        }
        let picked_at = pick.now;
        let picked = self.current_directory().await?.pick(pick).await?;
        Ok(HostListing { hosts: Arc::clone(self), picked, read: 0, picked_at })
    }

    /// What a filter picks now, whatever its order.
    async fn pick_of(&self, principal: &Principal, filter: &HostFilter) -> Result<HostPick> {
        principal.may(Permission::ReadHosts)?;
        if let Some(label_id) = filter.label_id {
            principal.may(Permission::ReadLabels)?;
            let label = store::named::by_id::<labels::Entity>(self.store.reader(), label_id).await?;
            label.ok_or_else(|| Error::no_such("Label", label_id))?;
        }
        let mut pick = HostPick::new(filter.clone(), self.clock.now());
        if let Some(gigabytes) = filter.disk_below {
            let ids = self.store.read_lagging(async |db| host_lists::with_disk_below(db, gigabytes).await).await?;
            pick.among = Some(Arc::new(ids));
        }
        Ok(pick)
    }

    /// Ids and names of these hosts, a few hundred at most, without those that are gone.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without the permission to read hosts.
    pub async fn names(&self, principal: &Principal, ids: &[i64]) -> Result<Vec<(i64, String)>> {
        principal.may(Permission::ReadHosts)?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = host_lists::rows(self.store.reader(), ids).await?;
        // A host that has not said its name yet is called as it enrolled.
        let name_of = |row: &hosts::Model| match display_name(row) {
            name if name.is_empty() => row.identifier.clone(),
            name => name,
        };
        Ok(ids.iter().filter_map(|id| Some((*id, name_of(rows.get(id)?)))).collect())
    }

    /// Counts what [`Hosts::list`] would list without a page.
    ///
    /// # Errors
    /// As for listing.
    pub async fn count(&self, principal: &Principal, filter: &HostFilter) -> Result<u64> {
        let pick = self.pick_of(principal, filter).await?;
        self.current_directory().await?.count(pick).await
    }

    /// Counts the same hosts by whether they are there and by platform.
    ///
    /// # Errors
    /// As for listing.
    pub async fn summary(&self, principal: &Principal, filter: &HostFilter) -> Result<HostsSummary> {
        let pick = self.pick_of(principal, filter).await?;
        self.current_directory().await?.summary(pick).await
    }

    /// Those of these hosts that there are.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without the permission to read hosts.
    pub async fn existing(&self, principal: &Principal, ids: BTreeSet<i64>) -> Result<BTreeSet<i64>> {
        principal.may(Permission::ReadHosts)?;
        let missing = self.bring_in(ids.clone()).await?;
        Ok(ids.difference(&missing).copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_are_found_by_name_by_version_and_by_both() {
        let wanted = |name: &str, version: &str| {
            let part = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
            SystemWanted { name: part(name), version: part(version) }
        };
        for (name, version, shown, is_wanted) in [
            ("Ubuntu", "", "Ubuntu 24.04", true),
            ("Ubuntu", "24.04", "Ubuntu 24.04", true),
            ("Ubuntu", "24", "Ubuntu 24.04", false),
            ("Ubunt", "", "Ubuntu 24.04", false),
            ("macOS", "", "macOS", true),
            ("macOS", "15", "macOS", false),
            ("Windows 11", "10.0.22631", "Windows 11 10.0.22631", true),
            ("", "Debian 12", "Debian 12", true),
            ("", "12", "Debian 12", false),
            ("Debian", "", "", false),
        ] {
            assert_eq!(wanted(name, version).has(shown), is_wanted, "{name:?} {version:?} {shown:?}");
        }
    }
}
