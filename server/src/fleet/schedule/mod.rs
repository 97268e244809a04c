//! What hosts run: the plan of packs, labels and options held in memory, and the configs assembled from it.
//!
//! The plan ([`Plan`]) is everything that decides what hosts run, as of one generation: a counter in the database that
//! every change moves on inside its transaction. A reader notes the generation before it reads the data, so a change in
//! the meantime makes the plan look old, never new; it is loaded again when the generation has moved.
//!
//! A config depends on the option variant (platform override or not) and on the set of packs whose labels the host is
//! in. It is assembled once per distinct set, in sorted order, and served as the same bytes to every host with that
//! set. Agents keep options that were removed until they restart, so `retired` serves the defaults of those for 30
//! days; the day is UTC's, so that all nodes change over together.
//!
//! A config that agents could not load is refused when it is applied. If label membership later makes a host's config
//! too large, the host is served the last good one while that is in the cache, and an error afterwards: its agent goes on with
//! the config it has.

mod assemble;
mod cache;
mod difference;
mod etag;
mod options;
mod pack;
mod plan;
mod retired;
mod rollout;
mod runs;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;

pub use assemble::{Assembled, MAX_CONFIG_BYTES};
pub use difference::PlanDifference;
pub use options::{
    BuiltInOptions, check as check_agent_options, check_endpoints, default_of, is_too_deep,
    normal as normal_agent_options,
};
pub use pack::{LeftOut, PlannedPack, ScheduledQuery};
pub use plan::{Edition, Plan, load_retired};
#[cfg(test)]
pub use retired::Retired;
pub use retired::{KEEP_DAYS, RemovedFlag};
pub use rollout::{Cohort, Cohorts, PlannedRollout, RolloutChange};
pub use runs::{ChangedQuery, QuerySql, ScheduledRuns, changed_queries};

use self::cache::ConfigCache;
use super::hosts::{Assignment, Host};
use super::{Error, Result};
use crate::clock::Clock;
use crate::store::{Store, generations};
use crate::telemetry::Metrics;

/// The current plan. Readers never wait and never see half a change.
#[derive(Debug)]
pub struct Schedule {
    store: Store,
    clock: Clock,
    built_in: BuiltInOptions,
    plan: ArcSwap<Plan>,
    configs: ConfigCache,
    metrics: Arc<Metrics>,
}

impl Schedule {
    /// Loads the plan.
    ///
    /// # Errors
    /// When the database does not answer or holds what cannot be read.
    pub async fn load(
        store: Store,
        clock: Clock,
        built_in: BuiltInOptions,
        max_cache_bytes: usize,
        metrics: Arc<Metrics>,
    ) -> Result<Self> {
        let plan = Plan::load(&store.snapshot().await?, clock.now(), &built_in).await?;
        let configs = ConfigCache::new(max_cache_bytes);
        Ok(Self { store, clock, built_in, plan: ArcSwap::from_pointee(plan), configs, metrics })
    }

    /// The agent options in force until an operator chooses others.
    pub fn built_in(&self) -> &BuiltInOptions {
        &self.built_in
    }

    /// Bytes of assembled configs that are kept, and the most they may be.
    pub(super) fn cached_bytes(&self) -> (usize, usize) {
        self.configs.size()
    }

    pub fn plan(&self) -> Arc<Plan> {
        self.plan.load_full()
    }

    /// Loads the plan again if the database has a later generation, or if time has made the plan outdated. Returns the
    /// labels that are gone.
    ///
    /// # Errors
    /// When the database does not answer; the plan stays as it was.
    pub async fn refresh(&self) -> Result<BTreeSet<i64>> {
        self.refresh_to(generations::current(self.store.reader(), generations::SCHEDULE).await?).await
    }

    /// As [`Schedule::refresh`], for whoever has read the generation.
    ///
    /// # Errors
    /// When the database does not answer; the plan stays as it was.
    pub(super) async fn refresh_to(&self, generation: i64) -> Result<BTreeSet<i64>> {
        let now = self.clock.now();
        let plan = self.plan.load();
        if generation != plan.generation || plan.edition().outdated_at <= now {
            return Ok(self.publish(Plan::load(&self.store.snapshot().await?, now, &self.built_in).await?));
        }
        Ok(BTreeSet::new())
    }

    /// Makes a plan that was read from committed data the current one, unless the current one is as new. Returns the
    /// labels that are gone with the plan it replaces.
    pub(super) fn publish(&self, plan: Plan) -> BTreeSet<i64> {
        let fresh = Arc::new(plan);
        let is_newer = |current: &Plan| current.edition() < fresh.edition();
        // A slower reader must not put an older plan back.
        let before = self.plan.rcu(|current| Arc::clone(if is_newer(current) { &fresh } else { current }));
        if is_newer(&before) { before.labels_gone_in(&fresh) } else { BTreeSet::new() }
    }

    /// Bytes of the largest config that hosts with these assignments would get from a plan. What is assembled for that is kept
    /// as if the hosts had fetched it.
    pub(super) fn largest_config<'a>(&self, plan: &Plan, assignments: impl Iterator<Item = &'a Assignment>) -> usize {
        plan.largest_config(assignments, |assignment| self.configs.config(plan, assignment).bytes.len())
    }

    /// The config of a host, from memory. Assembled if no host with the same options and packs has asked before. An agent
    /// that asks with the `etag` of its config is told that it is unchanged.
    ///
    /// # Errors
    /// [`Error::Unavailable`] for a config no agent could load, when the host has no earlier one to go on with.
    pub fn config_for(&self, host: &Host, etag: Option<&str>) -> Result<Bytes> {
        let config = self.serve(host)?;
        let (Some(known), Some(hash)) = (etag, &config.hash) else { return Ok(config.bytes.clone()) };
        Ok(match etag::next(known, hash, self.clock.now()) {
            Some(etag) => etag::put_into(&config.bytes, &etag),
            None => Bytes::from_static(etag::UNCHANGED),
        })
    }

    fn serve(&self, host: &Host) -> Result<Arc<Assembled>> {
        let plan = self.plan.load();
        // Before the labels themselves, which may be newer then.
        let asked_at = host.labels_asked_at();
        let assignment = host.assignment.load();
        let config = match plan.with_host(&assignment, host.id, asked_at) {
            Cow::Borrowed(_) => assignment.config(plan.edition()).unwrap_or_else(|| {
                let config = self.configs.config(&plan, &assignment);
                assignment.has_config(plan.edition(), &config);
                config
            }),
            Cow::Owned(of_host) => self.configs.config(&plan, &of_host),
        };
        if config.bytes.len() <= MAX_CONFIG_BYTES {
            if host.config.is_served(&config) {
                host.intervals.are_named(config.intervals);
            }
            return Ok(config);
        }
        if let Some(kept) = host.config.kept() {
            return Ok(kept);
        }
        self.metrics.limit_hit("config_too_big");
        tracing::error!(
            host_id = host.id,
            bytes = config.bytes.len(),
            limit = MAX_CONFIG_BYTES,
            "the packs of a host make a config no agent can load; it keeps its last one. Target fewer packs at its labels"
        );
        let last = host.config.get().ok_or_else(too_big)?;
        host.config.keep(Arc::clone(&last));
        Ok(last)
    }

    /// What [`Schedule::config_for`] would answer a host, without answering it.
    ///
    /// # Errors
    /// As there.
    pub fn look_up_of(&self, plan: &Plan, host: &Host) -> Result<Bytes> {
        let asked_at = host.labels_asked_at();
        self.look_up(plan, &plan.with_host(&host.assignment.load(), host.id, asked_at), Some(host))
    }

    /// What [`Schedule::config_for`] would answer a host with this assignment, without answering it.
    ///
    /// # Errors
    /// As there; a host that has not called since the start counts as one without an earlier config.
    pub fn look_up(&self, plan: &Plan, assignment: &Assignment, host: Option<&Host>) -> Result<Bytes> {
        let config = self.configs.config(plan, assignment);
        if config.bytes.len() <= MAX_CONFIG_BYTES {
            return Ok(config.bytes.clone());
        }
        let last = host.and_then(|host| host.config.get());
        last.map(|last| last.bytes.clone()).ok_or_else(too_big)
    }
}

fn too_big() -> Error {
    Error::Unavailable("the config for this host is too big for any agent".to_owned())
}
