//! The cost of one query over time, and of all queries together.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use muster_api::rest::{BucketCost, FleetCosts, FleetQueryCost, GroupCost, QueryCostReport, WorstHost};

use super::Statistics;
use super::cost::Cost;
use super::query_costs::QueryCosts;
use super::read::{DAY_SECS, HOUR_SECS, decoded, impact, open_hours, run_cost, start_of};
use super::versions::QueryName;
use crate::clock::Moment;
use crate::fleet::access::{Permission, Principal};
use crate::fleet::schedule::Plan;
use crate::fleet::{Error, Result};
use crate::store;
use crate::store::statistics::costs::{self, DAY, HOUR};

/// Longest span that is told by hour, in seconds.
const BY_HOUR: i64 = 2 * DAY_SECS;

const SECS_OF_DAY: f64 = 86_400.0;

/// Most days that are read.
const MAX_DAYS: i64 = 400;

/// Most versions of a query that are read, the latest: each day has a row for each.
pub(super) const MAX_VERSIONS: u64 = 50;

/// Most queries in the list of the fleet.
const MAX_QUERIES: usize = 2_000;

/// A query and a span of time.
#[derive(Debug, Clone)]
pub struct QuerySpan {
    /// Empty for the top-level schedule of the agent options.
    pub pack: String,
    pub name: String,
    /// A day ago if absent.
    pub from: Option<Moment>,
    /// Now if absent.
    pub to: Option<Moment>,
    /// A label on whose hosts the cost is told apart.
    pub label_id: Option<i64>,
}

impl Statistics {
    /// The cost of a query over a span of time, by hour for two days at most, otherwise by day. Whole hours and days are
    /// told, those that the span touches.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a span that ends before it begins. Of a query that no host has ever run nothing is told.
    pub async fn query_report(&self, principal: &Principal, wanted: &QuerySpan) -> Result<QueryCostReport> {
        principal.may(Permission::ReadPacks)?;
        let now = self.clock.now();
        let to = wanted.to.unwrap_or(now).min(now);
        let from = wanted.from.unwrap_or(to.plus_seconds(-DAY_SECS)).max(to.plus_seconds(-MAX_DAYS * DAY_SECS));
        if from > to {
            return Err(Error::invalid("from", "must not be after to"));
        }
        let name = QueryName { pack: wanted.pack.clone(), name: wanted.name.clone() };
        let versions = self.versions.of_name(self.store.reader(), &name, MAX_VERSIONS).await?;
        let by_hour = to.since(from).as_secs() <= BY_HOUR.unsigned_abs() && now.since(from) <= self.config.keep_hours;
        let (span, seconds) = if by_hour { (HOUR, HOUR_SECS) } else { (DAY, DAY_SECS) };
        let buckets = from.seconds().div_euclid(seconds)..=to.seconds().div_euclid(seconds);
        self.versions.read(self.store.reader(), versions.iter().copied()).await?;
        let known = self.versions.known();
        let met_at = versions.iter().filter_map(|id| known.key(*id)).map(|key| key.added_at).min();
        let mut counted: BTreeMap<i64, QueryCosts> = BTreeMap::new();
        // A part that is closed in between must count once.
        let snapshot = self.store.snapshot().await?;
        for row in costs::of_versions(&snapshot, &versions, span, buckets.clone()).await? {
            if let Some(costs) = decoded(&row) {
                counted.entry(row.bucket).or_default().merge_same_hour(&costs);
            }
        }
        let hours_in_bucket = seconds / HOUR_SECS;
        let hours = buckets.start() * hours_in_bucket..=(buckets.end() + 1) * hours_in_bucket - 1;
        for (hour, all) in open_hours(&snapshot, hours, Some(&versions.iter().copied().collect())).await? {
            let bucket = counted.entry(hour.div_euclid(hours_in_bucket)).or_default();
            let mut of_hour = QueryCosts::default();
            all.values().for_each(|costs| of_hour.merge_same_hour(costs));
            match by_hour {
                true => bucket.merge_same_hour(&of_hour),
                false => bucket.merge_other_hour(&of_hour),
            }
        }
        drop(snapshot);
        let days = days_counted(from, to, met_at, self.config.interval);
        self.report(name, (from, to, days), seconds, counted).await
    }

    async fn report(
        &self,
        name: QueryName,
        (from, to, days): (Moment, Moment, f64),
        seconds: i64,
        counted: BTreeMap<i64, QueryCosts>,
    ) -> Result<QueryCostReport> {
        let mut all = QueryCosts::default();
        counted.values().for_each(|costs| all.merge_other_hour(costs));
        let shown = |(bucket, costs): (&i64, &QueryCosts)| {
            let cost = costs.total();
            (cost.runs > 0).then(|| BucketCost { start: start_of(*bucket, seconds).to_utc(), cost: run_cost(&cost) })
        };
        let groups = all.groups.iter().map(|(group, cost)| GroupCost {
            platform: group.platform.clone(),
            osquery_version: group.version.to_string(),
            cost: run_cost(cost),
        });
        let total = all.total();
        let denylisted = store::statistics::events::denylisted_hosts_of(self.store.reader(), &name.pack, &name.name);
        Ok(QueryCostReport {
            from: from.to_utc(),
            to: to.to_utc(),
            impact: impact(&total),
            denylisted_hosts: denylisted.await?,
            cpu_seconds_per_day: cpu_seconds(&total) / days,
            total: run_cost(&total),
            groups: groups.collect(),
            buckets: counted.iter().filter_map(shown).collect(),
            worst_hosts: self.worst_hosts(&all).await?,
            label: None,
            pack: name.pack,
            name: name.name,
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "below 2^52")]
    async fn worst_hosts(&self, costs: &QueryCosts) -> Result<Vec<WorstHost>> {
        let names = self.hostnames(costs.worst.iter().map(|host| host.host_id)).await?;
        let show = |host: &super::query_costs::WorstHost| WorstHost {
            host_id: host.host_id,
            hostname: names.get(&host.host_id).cloned().unwrap_or_default(),
            cpu_time: host.cpu_micros as f64 / 1000.0,
            executions: host.runs,
        };
        Ok(costs.worst.iter().map(show).collect())
    }

    pub(super) async fn hostnames(&self, ids: impl Iterator<Item = i64>) -> Result<HashMap<i64, String>> {
        let ids: BTreeSet<i64> = ids.collect();
        Ok(store::hosts::hostnames(self.store.reader(), &ids.into_iter().collect::<Vec<_>>()).await?)
    }

    /// What all queries have cost since yesterday.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn fleet_costs(&self, principal: &Principal) -> Result<FleetCosts> {
        principal.may(Permission::ReadPacks)?;
        let queries = self.costs_of_all().await?;
        Ok(FleetCosts { from: self.yesterday().to_utc(), to: self.clock.now().to_utc(), queries })
    }

    /// The beginning of what [`Statistics::recent`] tells.
    fn yesterday(&self) -> Moment {
        start_of(self.clock.now().seconds().div_euclid(DAY_SECS) - 1, DAY_SECS)
    }

    /// What all queries have cost since yesterday, those that cost most first.
    #[expect(clippy::cast_precision_loss, reason = "below 2^52")]
    pub(super) async fn costs_of_all(&self) -> Result<Vec<FleetQueryCost>> {
        let recent = self.recent(None).await?;
        self.versions.read(self.store.reader(), recent.keys().copied()).await?;
        let mut denylisted = self.denylisted_hosts().await?;
        let mut by_name: BTreeMap<QueryName, QueryCosts> = BTreeMap::new();
        let mut met_at: BTreeMap<QueryName, Moment> = BTreeMap::new();
        let versions = self.versions.known();
        for (version_id, costs) in recent {
            if let (Some(name), Some(key)) = (versions.name(version_id), versions.key(version_id)) {
                by_name.entry(QueryName::clone(name)).or_default().merge_other_hour(&costs);
                let met = met_at.entry(QueryName::clone(name)).or_insert(key.added_at);
                *met = key.added_at.min(*met);
            }
        }
        for name in denylisted.keys() {
            by_name.entry(name.clone()).or_default();
        }
        let totals: Vec<_> = by_name.into_iter().map(|(name, costs)| (name, costs.total())).collect();
        let all_ms: u64 = totals.iter().map(|(_, cost)| cost.cpu_ms()).fold(0, u64::saturating_add);
        let (plan, now) = (self.schedule.plan(), self.clock.now());
        let mut queries: Vec<FleetQueryCost> = totals
            .into_iter()
            .map(|(name, cost)| {
                let days = days_counted(self.yesterday(), now, met_at.get(&name).copied(), self.config.interval);
                let per_day = cpu_seconds(&cost) / days;
                FleetQueryCost {
                    impact: impact(&cost),
                    denylisted_hosts: denylisted.remove(&name).unwrap_or(0),
                    share: cost.cpu_ms() as f64 / all_ms.max(1) as f64,
                    cpu_seconds_per_day: per_day,
                    cpu_seconds_per_day_at_shard_100: shard_of(&plan, &name).map(|shard| per_day / shard),
                    cost: run_cost(&cost),
                    pack: name.pack,
                    name: name.name,
                }
            })
            .collect();
        queries.sort_by(|a, b| b.share.total_cmp(&a.share));
        queries.truncate(MAX_QUERIES);
        Ok(queries)
    }
}

/// The days of a span in which a query was counted that a sample first named at `met_at`: what that sample counts may be as old
/// as samples are `apart`. Never nothing.
fn days_counted(from: Moment, to: Moment, met_at: Option<Moment>, apart: Duration) -> f64 {
    let counted = met_at.map_or(from, |met_at| met_at.minus(apart)).max(from);
    to.since(counted).as_secs_f64().max(1.0) / SECS_OF_DAY
}

#[expect(clippy::cast_precision_loss, reason = "below 2^52")]
fn cpu_seconds(cost: &Cost) -> f64 {
    cost.cpu_ms() as f64 / 1000.0
}

/// The part of its hosts that a query runs on, by the shards of its pack and its own. `None` if it runs on none.
fn shard_of(plan: &Plan, name: &QueryName) -> Option<f64> {
    let pack = plan.pack_named(&name.pack);
    let query = pack.and_then(|pack| pack.query(&name.name));
    let part = |shard: Option<i64>| f64::from(i32::try_from(shard.unwrap_or(100)).unwrap_or(100)) / 100.0;
    let shard = part(pack.and_then(|pack| pack.shard)) * part(query.and_then(|query| query.shard));
    (shard > 0.0).then_some(shard)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A query of which three minutes are known costs in a day what these tell, not what little they were of two days.
    #[test]
    fn a_new_query_is_not_counted_as_if_it_had_run_for_days() {
        let at = |seconds| Moment::NEVER.plus_seconds(seconds);
        let days = |met_at: Option<i64>| {
            let days = days_counted(at(0), at(2 * DAY_SECS), met_at.map(at), Duration::from_secs(3600));
            format!("{:.0}", days * SECS_OF_DAY)
        };
        assert_eq!(days(Some(2 * DAY_SECS - 180)), "3780", "an hour more than it is known for");
        assert_eq!(
            [days(None), days(Some(-9)), days(Some(60))],
            ["172800"; 3],
            "what is older counts from the beginning"
        );
        assert!(days_counted(at(5), at(5), None, Duration::ZERO) > 0.0);
    }
}
