//! What has been collected, as operators see it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;

use muster_api::rest::{CostPercentiles, Impact, QueryStats, RunCost};
use sea_orm::ConnectionTrait;

use super::cost::{Cost, Measure};
use super::query_costs::QueryCosts;
use super::sample::sql_hash;
use super::stored_costs::{CostsByVersion, PARTS, decode, decode_several, part_of};
use super::versions::{QueryName, VersionName};
use super::{Statistics, is_broken};
use crate::clock::Moment;
use crate::fleet::Result;
use crate::store::entity::query_costs::Model;
use crate::store::packs::ScheduledDetail;
use crate::store::statistics::costs::{self, DAY};
use crate::store::statistics::events;

/// Seconds in an hour and in a day.
pub(super) const HOUR_SECS: i64 = 3600;
pub(super) const DAY_SECS: i64 = 24 * HOUR_SECS;

/// Most rows of a part that are read: those of the hours that are not closed yet, of all nodes.
const MAX_PARTS: u64 = 200;

/// Most queries of which is told on how many hosts they are denylisted.
const MAX_DENYLISTED: u64 = 10_000;

/// The version of a query that a schedule runs now.
pub(in crate::fleet) fn wanted(detail: &ScheduledDetail) -> VersionName {
    let name = QueryName { pack: detail.pack.clone(), name: detail.scheduled.name.clone() };
    (name, sql_hash(&detail.sql))
}

impl Statistics {
    /// The cost of queries since yesterday. Each is made of several schedules; `None` if none of them has run, or if nobody
    /// knows: what is shown beside it was read, or changed, all the same.
    pub(in crate::fleet) async fn stats_of(&self, wanted: &[Vec<VersionName>]) -> Vec<Option<QueryStats>> {
        self.try_stats_of(wanted).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "what queries cost cannot be read and is left out");
            vec![None; wanted.len()]
        })
    }

    async fn try_stats_of(&self, wanted: &[Vec<VersionName>]) -> Result<Vec<Option<QueryStats>>> {
        if wanted.iter().all(Vec::is_empty) {
            return Ok(vec![None; wanted.len()]);
        }
        self.versions.find(self.store.reader(), wanted.iter().flatten()).await?;
        let versions = self.versions.known();
        let ids: Vec<Vec<i64>> = wanted
            .iter()
            .map(|schedules| schedules.iter().filter_map(|(name, sql_hash)| versions.find(name, *sql_hash)).collect())
            .collect();
        let all: BTreeSet<i64> = ids.iter().flatten().copied().collect();
        let recent = self.recent(Some(&all)).await?;
        let denylisted = self.denylisted_hosts().await?;
        let show = |(schedules, ids): (&Vec<VersionName>, &Vec<i64>)| {
            let mut total = Cost::default();
            for cost in ids.iter().filter_map(|id| recent.get(id)).map(QueryCosts::total) {
                total.hosts = total.hosts.max(cost.hosts);
                total.merge_runs(&cost);
            }
            let denylisted = schedules.iter().filter_map(|(name, _)| denylisted.get(name)).sum();
            (total.runs > 0 || denylisted > 0).then(|| query_stats(&total, denylisted))
        };
        Ok(wanted.iter().zip(&ids).map(show).collect())
    }

    /// What these versions have cost today and yesterday, or all.
    pub(super) async fn recent(&self, version_ids: Option<&BTreeSet<i64>>) -> Result<CostsByVersion> {
        self.of_days(1, version_ids).await
    }

    /// What these versions have cost today and on the days before it, or all.
    pub(super) async fn of_days(&self, before: i64, version_ids: Option<&BTreeSet<i64>>) -> Result<CostsByVersion> {
        if version_ids.is_some_and(BTreeSet::is_empty) {
            return Ok(CostsByVersion::new());
        }
        let today = self.clock.now().seconds().div_euclid(DAY_SECS);
        // A part that is closed in between must count once.
        let snapshot = self.store.snapshot().await?;
        let days = match version_ids {
            Some(ids) => {
                let ids: Vec<i64> = ids.iter().copied().collect();
                costs::of_versions(&snapshot, &ids, DAY, today - before..=today).await?
            }
            None => costs::of_all(&snapshot, DAY, today - before..=today, 2 * MAX_DENYLISTED).await?,
        };
        let mut all = CostsByVersion::new();
        for row in days {
            if let Some(costs) = decoded(&row) {
                all.entry(row.query_version_id).or_default().merge_other_hour(&costs);
            }
        }
        let hours = (today - before) * 24..=(today + 1) * 24;
        for counted in open_hours(&snapshot, hours, version_ids).await?.into_values() {
            for (version_id, costs) in counted {
                all.entry(version_id).or_default().merge_other_hour(&costs);
            }
        }
        Ok(all)
    }

    /// On how many hosts queries are denylisted.
    pub(super) async fn denylisted_hosts(&self) -> Result<HashMap<QueryName, u64>> {
        let counts = events::denylisted_hosts(self.store.reader(), MAX_DENYLISTED).await?;
        let count = |(pack, name, hosts): (String, String, i64)| (QueryName { pack, name }, hosts.cast_unsigned());
        Ok(counts.into_iter().map(count).collect())
    }
}

pub(super) fn decoded(row: &Model) -> Option<QueryCosts> {
    let costs = decode(&row.costs);
    if costs.is_none() {
        is_broken("query_costs", row.query_version_id);
    }
    costs
}

/// What all nodes have counted of these versions, or of all, in hours that are not closed yet, by hour. One part is read at a
/// time, so that no more than that is in memory for nothing.
pub(super) async fn open_hours(
    db: &impl ConnectionTrait,
    hours: RangeInclusive<i64>,
    version_ids: Option<&BTreeSet<i64>>,
) -> Result<BTreeMap<i64, CostsByVersion>> {
    let mut open: BTreeMap<i64, CostsByVersion> = BTreeMap::new();
    let parts: BTreeSet<i64> = match version_ids {
        Some(ids) => ids.iter().map(|id| part_of(*id)).collect(),
        None => (0..PARTS).collect(),
    };
    for part in parts {
        for row in costs::open_parts(db, hours.clone(), part, MAX_PARTS).await? {
            let Some(counted) = decode_several(&row.costs) else {
                is_broken("cost_parts", row.id);
                continue;
            };
            let hour = open.entry(row.hour).or_default();
            let wanted = counted.into_iter().filter(|(id, _)| version_ids.is_none_or(|ids| ids.contains(id)));
            wanted.for_each(|(id, costs)| hour.entry(id).or_default().merge_same_hour(&costs));
        }
    }
    Ok(open)
}

fn query_stats(cost: &Cost, denylisted_hosts: u64) -> QueryStats {
    let quantile = |measure, part| cost.quantile(measure, part);
    QueryStats {
        system_time_p50: quantile(Measure::System, 0.5),
        system_time_p95: quantile(Measure::System, 0.95),
        user_time_p50: quantile(Measure::User, 0.5),
        user_time_p95: quantile(Measure::User, 0.95),
        total_executions: cost.runs,
        cpu_time_p50: quantile(Measure::Cpu, 0.5),
        cpu_time_p95: quantile(Measure::Cpu, 0.95),
        wall_time_p50: quantile(Measure::Wall, 0.5),
        wall_time_p95: quantile(Measure::Wall, 0.95),
        hosts: cost.hosts,
        denylisted_hosts,
        impact: impact(cost),
    }
}

/// The impact as Fleet works it out: by the sum of two medians.
pub(super) fn impact(cost: &Cost) -> Impact {
    let user = cost.quantile(Measure::User, 0.5);
    Impact::of(user.zip(cost.quantile(Measure::System, 0.5)).map(|(user, system)| user + system))
}

#[expect(clippy::cast_precision_loss, reason = "below 2^52")]
pub(super) fn run_cost(cost: &Cost) -> RunCost {
    let percentiles = |measure| {
        let quantile = |part| cost.quantile(measure, part);
        Some(CostPercentiles { p50: quantile(0.5)?, p95: quantile(0.95)?, p99: quantile(0.99)? })
    };
    RunCost {
        hosts: cost.hosts,
        executions: cost.runs,
        cpu_seconds: cost.cpu_ms() as f64 / 1000.0,
        user_time: percentiles(Measure::User),
        system_time: percentiles(Measure::System),
        cpu_time: percentiles(Measure::Cpu),
        wall_time: percentiles(Measure::Wall),
        memory: percentiles(Measure::Memory),
        output_size: percentiles(Measure::Output),
    }
}

/// The beginning of an hour or day.
pub(super) fn start_of(bucket: i64, seconds: i64) -> Moment {
    Moment::NEVER.plus_seconds(bucket.saturating_mul(seconds))
}
