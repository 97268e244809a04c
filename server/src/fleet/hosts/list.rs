//! Lists of hosts. The directory picks, orders and pages; rows are read some at a time.

use std::collections::HashSet;
use std::sync::Arc;

use muster_api::rest::HostView;

use super::Hosts;
use super::directory::{HostPick, PickedHost};
use super::view::display_name;
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::access::{Permission, Principal};
use crate::store::entity::hosts;
use crate::store::host_lists::{self, HostOrder, OrderValue};

/// Rows that are read at one time.
const ROWS_AT_ONCE: usize = 200;

/// What a list of hosts is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct HostFilter {
    /// Part of a host name, UUID, serial number or address; capitals (A to Z) do not matter.
    pub text: String,
    /// Only hosts in this label.
    pub label_id: Option<i64>,
    pub state: Option<HostState>,
    /// Only hosts of this platform, as they say it.
    pub platform: Option<String>,
    /// Only hosts whose agent has this version.
    pub osquery_version: Option<String>,
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
    /// [`Error::Forbidden`](crate::fleet::Error::Forbidden) without the permission to read hosts.
    pub async fn list(self: &Arc<Self>, principal: &Principal, filter: &HostFilter) -> Result<HostListing> {
        principal.may(Permission::ReadHosts)?;
        let directory = self.current_directory().await?;
        let now = self.clock.now();
        let values = match filter.order.column_of_its_own() {
            Some(column) => Some(self.store.read_lagging(async |db| host_lists::values(db, column).await).await?),
            None => None,
        };
        let picked = directory.pick(HostPick { filter: filter.clone(), now, values: values.map(Arc::new) }).await?;
        Ok(HostListing { hosts: Arc::clone(self), picked, read: 0, picked_at: now })
    }

    /// Ids and names of these hosts, a few hundred at most, without those that are gone.
    ///
    /// # Errors
    /// [`Error::Forbidden`](crate::fleet::Error::Forbidden) without the permission to read hosts.
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
        principal.may(Permission::ReadHosts)?;
        let directory = self.current_directory().await?;
        directory.count(HostPick { filter: filter.clone(), now: self.clock.now(), values: None }).await
    }
}
