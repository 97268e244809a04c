//! Lists of hosts. Their filters, orders and pages are the database's; rows are read some at a time.

use std::collections::HashSet;
use std::sync::Arc;

use muster_api::rest::HostView;

use super::Hosts;
use super::presence::MISSING_AFTER;
use super::view::{NEW_FOR, is_online};
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::access::{Permission, Principal};
use crate::store::entity::hosts::Model;
use crate::store::host_lists::{self, HostFilter, HostOrder, OrderValue};
use crate::store::hosts::Contact;

/// Rows that are read at one time.
const ROWS_AT_ONCE: usize = 200;

/// Which hosts an operator asks for.
#[derive(Debug, Clone, Default)]
pub struct HostQuery {
    pub filter: HostFilter,
    pub state: Option<HostState>,
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

impl HostState {
    /// Whether a host that was last seen at `seen` was in the state at a moment.
    fn has(self, host: &Contact, seen: Moment, at: Moment) -> bool {
        let is_online = || is_online(host.distributed_interval, host.config_refresh, seen, at);
        match self {
            Self::Online => is_online(),
            Self::Offline => !is_online(),
            Self::Missing => seen <= at.minus(MISSING_AFTER),
            Self::New => host.created_at >= at.minus(NEW_FOR),
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
    /// they were picked by. Picked hosts are shown as of the moment of picking.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn read(&mut self) -> Result<Vec<HostView>> {
        let end = self.ids.len().min(self.read + ROWS_AT_ONCE);
        let ids = &self.ids[self.read..end];
        let rows = self.hosts.store.read_lagging(async |db| host_lists::rows(db, ids).await).await?;
        self.read = end;
        let show = |row: &Model| match self.picked {
            Some((state, at)) => {
                let seen = self.hosts.seen_by_any(row.id, row.seen_at);
                state.has(&contact(row), seen, at).then(|| self.hosts.show_as_seen(row, seen, at))
            }
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
        let ids = match query.needs_times() {
            true => self.pick(query, now).await?,
            false => {
                let filter = filter(query, now);
                self.store.read_lagging(async |db| host_lists::ids(db, &filter).await).await?
            }
        };
        Ok(HostListing { hosts: Arc::clone(self), ids, read: 0, picked: query.state.map(|state| (state, now)) })
    }

    /// Counts what [`Hosts::list`] would list without a page.
    ///
    /// # Errors
    /// As for listing.
    pub async fn count(&self, principal: &Principal, query: &HostQuery) -> Result<u64> {
        principal.may(Permission::ReadHosts)?;
        let now = self.clock.now();
        if query.needs_times() {
            let without_page = HostFilter { limit: None, offset: 0, ..query.filter.clone() };
            return Ok(self.pick(&HostQuery { filter: without_page, ..query.clone() }, now).await?.len() as u64);
        }
        let filter = filter(query, now);
        Ok(self.store.read_lagging(async |db| host_lists::count(db, &filter).await).await?)
    }

    /// The hosts of a list that depends on when they were seen. Rows do not say that, so this goes through all that the
    /// rest of the query allows.
    async fn pick(&self, query: &HostQuery, now: Moment) -> Result<Vec<i64>> {
        let is_by_time = query.filter.order == HostOrder::SeenTime;
        let mut filter = HostFilter { limit: None, offset: 0, ..filter(query, now) };
        let after = if is_by_time { filter.after.take() } else { None };
        let is_behind = |seen: Moment| match after {
            Some(OrderValue::Time(after)) if filter.is_descending => seen < after,
            Some(OrderValue::Time(after)) => seen > after,
            _ => true,
        };
        let pick = |host: &Contact| {
            let seen = self.seen_by_any(host.id, host.seen_at);
            let is_meant = query.state.is_none_or(|state| state.has(host, seen, now)) && is_behind(seen);
            is_meant.then_some((seen, host.id))
        };
        let mut found = self.store.read_lagging(async |db| host_lists::picked(db, &filter, pick).await).await?;
        if is_by_time {
            found.sort_unstable_by(|(a, a_id), (b, b_id)| {
                let by_time = if filter.is_descending { b.cmp(a) } else { a.cmp(b) };
                by_time.then(a_id.cmp(b_id))
            });
        }
        let page = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let rest = found.into_iter().skip(page(query.filter.offset)).map(|(_, id)| id);
        Ok(rest.take(page(query.filter.limit.unwrap_or(u64::MAX))).collect())
    }
}

impl HostQuery {
    /// Whether it depends on when hosts were last seen.
    fn needs_times(&self) -> bool {
        let is_by_state = matches!(self.state, Some(HostState::Online | HostState::Offline | HostState::Missing));
        is_by_state || self.filter.order == HostOrder::SeenTime
    }
}

fn filter(query: &HostQuery, now: Moment) -> HostFilter {
    let created_since = (query.state == Some(HostState::New)).then(|| now.minus(NEW_FOR));
    HostFilter { created_since, ..query.filter.clone() }
}

fn contact(row: &Model) -> Contact {
    Contact {
        id: row.id,
        created_at: row.created_at,
        seen_at: row.seen_at,
        distributed_interval: row.distributed_interval,
        config_refresh: row.config_refresh,
    }
}
