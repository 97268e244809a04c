//! What a change that is not made would do to hosts.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_api::rest::{PlatformHosts, TouchedHosts};

use super::Changes;
use crate::fleet::hosts::{AlikeHosts, LabelMoves};
use crate::fleet::schedule::{ChangedQuery, Plan, PlanDifference, changed_queries};
use crate::fleet::{Error, Result};

/// Hosts that a change touches, and the scheduled queries that they run otherwise.
#[derive(Debug)]
pub struct Touched {
    pub hosts: TouchedHosts,
    pub queries: Vec<ChangedQuery>,
}

impl Changes {
    /// Compares what hosts get by a plan with what they get by the current one.
    pub(super) async fn touched(&self, plan: Plan, label_moves: LabelMoves) -> Result<Touched> {
        let current = self.schedule.plan();
        let mut hosts = self.hosts.current_directory().await?.alike(label_moves).await?;
        // A rollout that begins counts as done: that is what it is to touch.
        let cohorts = plan.cohorts_beyond(&current);
        hosts.iter_mut().for_each(|alike| alike.after.cohorts = cohorts);
        // Not on a thread that answers: there may be many packs and many kinds of hosts.
        let compare = move || Touched {
            hosts: count(&current, &plan, &hosts),
            queries: changed_queries(&current, &plan, &hosts),
        };
        tokio::task::spawn_blocking(compare).await.map_err(|error| Error::Internal(Box::new(error)))
    }
}

/// Counts the hosts that get another config.
fn count(current: &Arc<Plan>, plan: &Plan, hosts: &[AlikeHosts]) -> TouchedHosts {
    let mut difference = PlanDifference::between(current, plan);
    let mut touched = TouchedHosts::default();
    let mut platforms: BTreeMap<String, u64> = BTreeMap::new();
    for alike in hosts {
        touched.total += alike.count;
        if difference.changes(&alike.before, &alike.after) {
            touched.changed += alike.count;
            *platforms.entry(alike.before.platform.to_string()).or_default() += alike.count;
        }
    }
    let by_platform = |(platform, hosts_count)| PlatformHosts { platform, hosts_count };
    touched.platforms = platforms.into_iter().map(by_platform).collect();
    touched
}
