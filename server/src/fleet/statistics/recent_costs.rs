//! What queries cost the fleet, as of a moment ago: for pages, which many people look at again and again.

use std::sync::Arc;
use std::time::Duration;

use muster_api::rest::FleetCosts;

use super::Statistics;
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::access::{Permission, Principal};

/// How long costs are taken for right. Hosts tell them once an hour.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// Costs, and when they were read.
#[derive(Debug, Default)]
pub(super) struct RecentCosts(tokio::sync::Mutex<Option<(Moment, Arc<FleetCosts>)>>);

impl Statistics {
    /// What all queries have cost since yesterday, as this node has read it a minute ago at most. One reads for all who ask
    /// meanwhile.
    ///
    /// # Errors
    /// As for [`Statistics::fleet_costs`].
    pub async fn recent_fleet_costs(&self, principal: &Principal) -> Result<Arc<FleetCosts>> {
        principal.may(Permission::ReadPacks)?;
        let mut recent = self.recent_costs.0.lock().await;
        let now = self.clock.now();
        if let Some((at, costs)) = &*recent
            && *at <= now
            && now.since(*at) < KEPT_FOR
        {
            return Ok(Arc::clone(costs));
        }
        let costs = Arc::new(self.fleet_costs(principal).await?);
        *recent = Some((now, Arc::clone(&costs)));
        Ok(costs)
    }
}
