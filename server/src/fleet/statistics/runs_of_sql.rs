//! What runs of some SQL have cost lately, under whatever name it was scheduled.

use std::collections::{BTreeSet, HashMap};

use super::Statistics;
use super::cost::{Cost, Measure};
use super::query_costs::QueryCosts;
use super::read::{DAY_SECS, start_of};
use super::sample::sql_hash;
use super::stored_costs::CostsByVersion;
use super::versions::QueryName;
use crate::clock::Moment;
use crate::fleet::Result;

/// Days before today that are looked at.
const DAYS: i64 = 7;

/// Most versions of queries whose costs are read for one request: each has a row for each day.
const MAX_VERSIONS: usize = 1_000;

/// Most versions of queries with the same SQL, or with SQL that is alike. The latest are taken.
const MAX_VERSIONS_OF_ONE: usize = 20;

/// Runs of SQL, as hosts have reported them.
#[derive(Debug, Clone, Default)]
pub(in crate::fleet) struct KnownRuns {
    costs: QueryCosts,
    /// The scheduled queries that they are of.
    pub queries: BTreeSet<QueryName>,
}

/// What a run costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::fleet) struct RunOfSql {
    /// Hosts on which it ran, in the hour with most of them.
    pub hosts: u64,
    pub runs: u64,
    /// CPU time, in microseconds: the mean.
    pub cpu_us: u64,
    pub cpu_us_p50: u64,
    pub cpu_us_p95: u64,
    /// Growth of the worker, in bytes.
    pub memory_p50: u64,
    pub memory_p95: u64,
    /// Bytes of its rows, the mean; `None` if no agent has told it.
    pub output_bytes: Option<u64>,
}

impl KnownRuns {
    /// The cost of a run on hosts of these platforms; on all if none of these has run it.
    pub fn on<'a>(&self, platforms: impl Iterator<Item = &'a String>) -> RunOfSql {
        let platforms: BTreeSet<&str> = platforms.map(String::as_str).collect();
        let here = self.costs.total_of(|platform| platforms.contains(platform));
        RunOfSql::of(&if here.runs > 0 { here } else { self.costs.total() })
    }
}

impl RunOfSql {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sketches hold 0 to 10^15")]
    fn of(cost: &Cost) -> Self {
        let quantile = |measure, part, factor: f64| {
            cost.quantile(measure, part).map_or(0, |value| (value * factor).round() as u64)
        };
        Self {
            hosts: cost.hosts,
            runs: cost.runs,
            cpu_us: cost.cpu_ms().saturating_mul(1000) / cost.runs.max(1),
            cpu_us_p50: quantile(Measure::Cpu, 0.5, 1000.0),
            cpu_us_p95: quantile(Measure::Cpu, 0.95, 1000.0),
            memory_p50: quantile(Measure::Memory, 0.5, 1.0),
            memory_p95: quantile(Measure::Memory, 0.95, 1.0),
            output_bytes: cost.output_of_run(),
        }
    }
}

impl Statistics {
    /// The beginning of the time from which runs are taken.
    pub(in crate::fleet) fn runs_known_since(&self) -> Moment {
        start_of(self.clock.now().seconds().div_euclid(DAY_SECS) - DAYS, DAY_SECS)
    }

    /// What runs have cost of each of these sets of texts, whose members count as the same. `None` where nobody has run any.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(in crate::fleet) async fn runs_of_sql(&self, wanted: &[Vec<String>]) -> Result<Vec<Option<KnownRuns>>> {
        let hashes: Vec<Vec<i64>> =
            wanted.iter().map(|texts| texts.iter().map(|sql| sql_hash(sql)).collect()).collect();
        let distinct: Vec<i64> = hashes.iter().flatten().copied().collect::<BTreeSet<i64>>().into_iter().collect();
        if distinct.is_empty() {
            return Ok(vec![None; wanted.len()]);
        }
        let limit = 4 * MAX_VERSIONS as u64;
        let versions = self.versions.with_hashes(self.store.reader(), &distinct, limit).await?;
        let most = (MAX_VERSIONS / wanted.len()).clamp(1, MAX_VERSIONS_OF_ONE);
        let ids: Vec<Vec<i64>> = hashes.iter().map(|hashes| latest(&versions, hashes, most)).collect();
        let all: BTreeSet<i64> = ids.iter().flatten().copied().take(MAX_VERSIONS).collect();
        let costs = self.of_days(DAYS, Some(&all)).await?;
        Ok(ids.iter().map(|ids| self.known_runs(ids, &costs)).collect())
    }

    fn known_runs(&self, version_ids: &[i64], costs: &CostsByVersion) -> Option<KnownRuns> {
        let versions = self.versions.known();
        let mut known = KnownRuns::default();
        for (id, costs) in version_ids.iter().filter_map(|id| Some((id, costs.get(id)?))) {
            if costs.total().runs > 0 {
                known.costs.merge_other_hour(costs);
                known.queries.extend(versions.name(*id).map(|name| QueryName::clone(name)));
            }
        }
        (known.costs.total().runs > 0).then_some(known)
    }
}

/// The latest versions with any of these hashes.
fn latest(versions: &HashMap<i64, Vec<i64>>, hashes: &[i64], most: usize) -> Vec<i64> {
    let mut ids: Vec<i64> = hashes.iter().filter_map(|hash| versions.get(hash)).flatten().copied().collect();
    ids.sort_unstable_by_key(|id| std::cmp::Reverse(*id));
    ids.dedup();
    ids.truncate(most);
    ids
}
