//! Lists of hosts. Their filters, orders and pages are the database's; rows are read some at a time.

use std::collections::HashSet;
use std::sync::Arc;

use muster_api::rest::{HostStatus, HostView};

use super::Hosts;
use super::presence::MISSING_AFTER;
use super::view::{NEW_FOR, ONLINE_BUFFER, status};
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::access::{Permission, Principal};
use crate::store::entity::hosts::Model;
use crate::store::host_lists::{self, HostFilter, StateFilter};

/// Rows that are read at one time.
const ROWS_AT_ONCE: usize = 200;

/// Which hosts an operator asks for.
#[derive(Debug, Clone, Default)]
pub struct HostQuery {
    pub filter: HostFilter,
    pub state: Option<HostState>,
}

/// What hosts can be picked by. It is decided by what the database has, where a contact is within 30 seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostState {
    Online,
    Offline,
    /// Not seen for 30 days; these are offline, too.
    Missing,
    /// Enrolled within a day.
    New,
}

impl HostState {
    fn filter(self, now: Moment) -> StateFilter {
        let before = now.minus(ONLINE_BUFFER);
        match self {
            Self::Online => StateFilter::SeenWithinInterval { before },
            Self::Offline => StateFilter::NotSeenWithinInterval { before },
            Self::Missing => StateFilter::SeenUntil(now.minus(MISSING_AFTER)),
            Self::New => StateFilter::CreatedSince(now.minus(NEW_FOR)),
        }
    }

    /// Whether a host was in the state at a moment, as far as its row knows.
    fn has(self, row: &Model, at: Moment) -> bool {
        match self {
            Self::Online => status(row, row.seen_at, at) == HostStatus::Online,
            Self::Offline => status(row, row.seen_at, at) == HostStatus::Offline,
            Self::Missing => row.seen_at <= at.minus(MISSING_AFTER),
            Self::New => row.created_at >= at.minus(NEW_FOR),
        }
    }
}

/// The hosts of a list, in its order.
#[derive(Debug)]
pub struct HostListing {
    hosts: Arc<Hosts>,
    ids: Vec<i64>,
    read: usize,
    /// What the hosts were picked by, and when.
    picked: Option<(HostState, Moment)>,
}

impl HostListing {
    /// Whether there is nothing more to read.
    pub fn is_finished(&self) -> bool {
        self.read == self.ids.len()
    }

    /// The next hosts. Those are left out that were deleted since the list was begun, or are no longer in the state that
    /// they were picked by. Picked hosts are shown as the database knows them, at the moment of picking.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn read(&mut self) -> Result<Vec<HostView>> {
        let end = self.ids.len().min(self.read + ROWS_AT_ONCE);
        let ids = &self.ids[self.read..end];
        let rows = self.hosts.store.read_lagging(async |db| host_lists::rows(db, ids).await).await?;
        self.read = end;
        let show = |row: &Model| match self.picked {
            Some((state, at)) => state.has(row, at).then(|| self.hosts.show_as_seen(row, row.seen_at, at)),
            None => Some(self.hosts.show(row)),
        };
        Ok(rows.iter().filter_map(show).collect())
    }

    /// The first hosts of the list, `count` at most, without some of them.
    ///
    /// # Errors
    /// As for [`HostListing::read`].
    pub async fn first_without(mut self, without: &HashSet<i64>, count: usize) -> Result<Vec<HostView>> {
        self.ids.retain(|id| !without.contains(id));
        self.ids.truncate(count.min(ROWS_AT_ONCE));
        self.read().await
    }
}

impl Hosts {
    /// Begins a list of hosts.
    ///
    /// # Errors
    /// [`Error::Forbidden`](crate::fleet::Error::Forbidden) without the permission to read hosts.
    pub async fn list(self: &Arc<Self>, principal: &Principal, query: &HostQuery) -> Result<HostListing> {
        principal.may(Permission::ReadHosts)?;
        let now = self.clock.now();
        let filter = filter(query, now);
        let ids = self.store.read_lagging(async |db| host_lists::ids(db, &filter).await).await?;
        Ok(HostListing { hosts: Arc::clone(self), ids, read: 0, picked: query.state.map(|state| (state, now)) })
    }

    /// Counts what [`Hosts::list`] would list without a page.
    ///
    /// # Errors
    /// As for listing.
    pub async fn count(&self, principal: &Principal, query: &HostQuery) -> Result<u64> {
        principal.may(Permission::ReadHosts)?;
        let filter = filter(query, self.clock.now());
        Ok(self.store.read_lagging(async |db| host_lists::count(db, &filter).await).await?)
    }
}

fn filter(query: &HostQuery, now: Moment) -> HostFilter {
    HostFilter { state: query.state.map(|state| state.filter(now)), ..query.filter.clone() }
}
