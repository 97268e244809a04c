//! Lists of hosts. Their filters, orders and pages are the database's; rows are read some at a time.

use std::sync::Arc;

use muster_api::rest::HostView;

use super::Hosts;
use super::presence::MISSING_AFTER;
use super::view::{NEW_FOR, ONLINE_BUFFER};
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

/// What hosts can be picked by. It is decided by what the database has: a contact is there within 30 seconds.
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
}

/// The hosts of a list, in its order.
#[derive(Debug)]
pub struct HostListing {
    hosts: Arc<Hosts>,
    ids: Vec<i64>,
    read: usize,
    /// Shows the contacts that the database has, because the hosts were picked by these.
    is_as_written: bool,
}

impl HostListing {
    /// Whether there is nothing more to read.
    pub fn is_finished(&self) -> bool {
        self.read == self.ids.len()
    }

    /// The next hosts. Those that were deleted since the list was begun are left out.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn read(&mut self) -> Result<Vec<HostView>> {
        let end = self.ids.len().min(self.read + ROWS_AT_ONCE);
        let ids = &self.ids[self.read..end];
        let rows = self.hosts.store.read_lagging(async |db| host_lists::rows(db, ids).await).await?;
        self.read = end;
        let show = |row: &Model| match self.is_as_written {
            true => self.hosts.show_as_seen(row, row.seen_at),
            false => self.hosts.show(row),
        };
        Ok(rows.iter().map(show).collect())
    }

    /// All hosts of a list that has a small limit.
    ///
    /// # Errors
    /// As for [`HostListing::read`].
    pub async fn all(mut self) -> Result<Vec<HostView>> {
        let mut hosts = Vec::new();
        while !self.is_finished() {
            hosts.extend(self.read().await?);
        }
        Ok(hosts)
    }
}

impl Hosts {
    /// Begins a list of hosts.
    ///
    /// # Errors
    /// [`Error::Forbidden`](crate::fleet::Error::Forbidden) without the permission to read hosts.
    pub async fn list(self: &Arc<Self>, principal: &Principal, query: &HostQuery) -> Result<HostListing> {
        principal.may(Permission::ReadHosts)?;
        let filter = self.filter(query);
        let ids = self.store.read_lagging(async |db| host_lists::ids(db, &filter).await).await?;
        let is_as_written = query.state.is_some();
        Ok(HostListing { hosts: Arc::clone(self), ids, read: 0, is_as_written })
    }

    /// Counts what [`Hosts::list`] would list without a page.
    ///
    /// # Errors
    /// As for listing.
    pub async fn count(&self, principal: &Principal, query: &HostQuery) -> Result<u64> {
        principal.may(Permission::ReadHosts)?;
        let filter = self.filter(query);
        Ok(self.store.read_lagging(async |db| host_lists::count(db, &filter).await).await?)
    }

    fn filter(&self, query: &HostQuery) -> HostFilter {
        let state = query.state.map(|state| state.filter(self.clock.now()));
        HostFilter { state, ..query.filter.clone() }
    }
}
