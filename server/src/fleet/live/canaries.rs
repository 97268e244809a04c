//! Canaries: a few hosts that are given a live query with many targets first. The others are given it when these have
//! answered, were waited for long enough, or an operator says so; or never, when the query harms the canaries
//! (`verdict.rs`).
//!
//! The canaries stand in the row, and that the others wait is part of the pace (`pace.rs`), which the bus compares at every
//! claim: so no node gives the query to another host. The leader lets the others follow, by a change of the row that counts
//! for one node alone. To a node of the version before such a job is a paused one.
//!
//! Canaries are online, as far as there are enough, and of all platforms and versions of agents in turn, those of most hosts
//! first; which hosts these are is chosen anew each time.

use std::sync::Arc;
use std::time::Duration;

use roaring::RoaringTreemap;
use serde_json::json;

use super::pace::pace;
use super::verdict::{CanaryRules, CanaryTally, LiveVerdict};
use super::{Job, Live};
use crate::clock::Moment;
use crate::config::MAX_CANARIES;
use crate::fleet::access::{Permission, Principal};
use crate::fleet::{Error, Result};
use crate::store::activities::Actor;
use crate::store::live_queries::PaceStep;
use crate::store::{self, activities};

/// The care that a request asks for; the default of the server where it says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct AskedCare {
    pub canaries: Option<u32>,
    pub host_cpu_ms: Option<u64>,
    pub fleet_cpu_ms: Option<u64>,
}

/// The care that a new job is started with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Care {
    /// Hosts that are given the query first; 0 for none.
    canaries: u32,
    /// Least targets beyond which there are canaries.
    above: u64,
    pub host_cpu_ms: u64,
    pub fleet_cpu_ms: u64,
}

impl Live {
    /// The care for a new job. Other canaries than by default, and larger budgets, take the permission to ask anything.
    pub(super) fn care(&self, principal: &Principal, asked: AskedCare) -> Result<Care> {
        let budget_of = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let (host, fleet) = (budget_of(self.config.cpu_budget), budget_of(self.config.fleet_cpu_budget));
        let is_less = |asked: Option<u64>, default: u64| {
            asked.is_some_and(|asked| default > 0 && (asked == 0 || asked > default))
        };
        // Fewer canaries say less, and more are harmed.
        let is_careless = asked.canaries.is_some_and(|canaries| canaries != self.config.canaries)
            || is_less(asked.host_cpu_ms, host)
            || is_less(asked.fleet_cpu_ms, fleet);
        if is_careless {
            principal.may(Permission::RunLiveQueries)?;
        }
        if asked.canaries.is_some_and(|canaries| canaries > MAX_CANARIES) {
            return Err(Error::invalid("canaries", format!("expects 1 to {MAX_CANARIES} hosts, or 0 for no canaries")));
        }
        let (canaries, above) = match (asked.canaries, self.config.canaries_above) {
            // Whoever asks for canaries gets them, however few targets there are.
            (Some(canaries), _) => (canaries, 0),
            (None, 0) => (0, 0),
            (None, above) => (self.config.canaries, above),
        };
        let (host_cpu_ms, fleet_cpu_ms) = (asked.host_cpu_ms.unwrap_or(host), asked.fleet_cpu_ms.unwrap_or(fleet));
        Ok(Care { canaries, above, host_cpu_ms, fleet_cpu_ms })
    }

    /// The canaries of a job with these targets; none if all are given the query at one time.
    pub(super) async fn choose_canaries(&self, care: Care, targets: &RoaringTreemap) -> Result<RoaringTreemap> {
        let few = u64::from(care.canaries);
        if few == 0 || targets.len() <= care.above.max(few) {
            return Ok(RoaringTreemap::new());
        }
        let chosen = self.hosts.some_of_each(targets.clone(), care.canaries as usize).await?;
        // Targets that have enrolled elsewhere just now are not known here yet.
        Ok(if chosen.is_empty() { targets.iter().take(care.canaries as usize).collect() } else { chosen })
    }

    /// Until when canaries are waited for from now on.
    pub(super) fn canaries_until(&self, deadline: Moment) -> Moment {
        let now = self.clock.now();
        // The others need time, too.
        now.plus(self.config.canary_wait.min(deadline.since(now) / 2))
    }

    fn canary_rules(&self) -> CanaryRules {
        CanaryRules { suspects: self.config.canary_suspects }
    }

    /// Whether there is something to do about a job that need not wait for the next sweep.
    pub(super) fn must_act(&self, job: &Job) -> bool {
        match job.judge(self.canary_rules(), self.clock.now()) {
            LiveVerdict::GoOn => false,
            LiveVerdict::LetOthersFollow(_) => self.is_leader(),
            LiveVerdict::Stop(_) => true,
        }
    }

    /// Stops a job that harms hosts, and lets others follow canaries that have spoken.
    pub(super) async fn watch_over(self: &Arc<Self>, job: &Arc<Job>, now: Moment) -> Result<()> {
        match job.judge(self.canary_rules(), now) {
            LiveVerdict::GoOn => Ok(()),
            LiveVerdict::Stop(reason) => {
                let at_canaries = job.pace().canaries_until.is_some();
                if self.stop(job, reason, now).await? && at_canaries {
                    self.metrics.canary_verdict("stopped");
                }
                Ok(())
            }
            LiveVerdict::LetOthersFollow(tally) if self.is_leader() => self.let_others_follow(job, tally, now).await,
            LiveVerdict::LetOthersFollow(_) => Ok(()),
        }
    }

    async fn let_others_follow(self: &Arc<Self>, job: &Arc<Job>, tally: CanaryTally, now: Moment) -> Result<()> {
        let details = json!({
            "live_query_id": job.id, "canaries": tally.all, "answered": tally.answered, "failed": tally.failed,
            "suspect": tally.suspect, "silent": tally.silent,
        });
        let row = self
            .store
            .write(async |tx| {
                let row = store::live_queries::set_pace(tx, job.id, PaceStep::LetOthersFollow).await?;
                if row.is_some() {
                    activities::add(tx, now, &Actor::default(), "live_query_canaries_passed", &details).await?;
                }
                Ok(row)
            })
            .await?;
        let Some(row) = row else {
            // Somebody else was faster, and this view hears of it.
            return Ok(self.fold(job).await?);
        };
        tracing::info!(live_query = job.id, ?tally, "canaries of a live query have answered; the others follow");
        self.metrics.canary_verdict("passed");
        self.set_pace(job, pace(&row)).await
    }
}
