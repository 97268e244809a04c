//! How the cost of a run of each query has moved within a day, as of a moment ago: for pages, which many people look at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Statistics;
use super::cost::Measure;
use super::query_costs::QueryCosts;
use super::read::{HOUR_SECS, decoded, open_hours};
use super::versions::QueryName;
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::access::{Permission, Principal};
use crate::store::statistics::costs::{self, HOUR};

/// Hours that are told.
const HOURS: i64 = 24;

/// Hours that are compared with those before them.
const LATELY: usize = 3;

/// Fewest hours with runs before, so that they say how it usually is.
const LEAST_BEFORE: usize = 2;

/// What counts as worse: so many times as much CPU time of a run, and so many milliseconds more.
const WORSE_TIMES: f64 = 1.5;
const WORSE_MS: f64 = 50.0;

/// How long trends are taken for right.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// Most rows that are read: those of 400 queries.
const MAX_ROWS: u64 = 10_000;

/// The cost of runs of each query by hour.
#[derive(Debug, Default)]
pub struct QueryTrends(BTreeMap<QueryName, Trend>);

/// CPU time of a run (percentile 95) in milliseconds, by hour, the oldest first. `None` where nothing has run.
pub type Trend = Vec<Option<f64>>;

/// A query whose runs cost more lately.
#[derive(Debug, Clone, PartialEq)]
pub struct WorseQuery {
    pub pack: String,
    pub name: String,
    /// CPU time of a run in milliseconds (percentile 95): usually before, and lately.
    pub before: f64,
    pub lately: f64,
}

/// Trends, and when they were read.
#[derive(Debug, Default)]
pub(super) struct RecentTrends(tokio::sync::Mutex<Option<(Moment, Arc<QueryTrends>)>>);

impl QueryTrends {
    /// The trend of a scheduled query; `None` if it has not run.
    pub fn of(&self, pack: &str, name: &str) -> Option<&Trend> {
        self.0.get(&QueryName { pack: pack.to_owned(), name: name.to_owned() })
    }

    /// Queries whose runs cost more in the last hours than usually before, what has grown most first.
    pub fn worse(&self, limit: usize) -> Vec<WorseQuery> {
        let worse = self.0.iter().filter_map(|(QueryName { pack, name }, trend)| {
            let (before, lately) = grown(trend)?;
            Some(WorseQuery { pack: pack.clone(), name: name.clone(), before, lately })
        });
        let mut worse: Vec<WorseQuery> = worse.collect();
        worse.sort_by(|one, other| (other.lately - other.before).total_cmp(&(one.lately - one.before)));
        worse.truncate(limit);
        worse
    }
}

/// What runs cost usually before, and lately, if that is more.
fn grown(trend: &[Option<f64>]) -> Option<(f64, f64)> {
    let (before, lately) = trend.split_at(trend.len().saturating_sub(LATELY));
    let mut before: Vec<f64> = before.iter().copied().flatten().collect();
    let lately = lately.iter().copied().flatten().next_back()?;
    if before.len() < LEAST_BEFORE {
        return None;
    }
    before.sort_by(f64::total_cmp);
    let usual = before[before.len() / 2];
    (lately >= usual * WORSE_TIMES && lately >= usual + WORSE_MS).then_some((usual, lately))
}

impl Statistics {
    /// How the cost of a run of each query has moved in the last 24 hours, as this node has read it a minute ago at most.
    ///
    /// # Errors
    /// [`Error::Forbidden`](crate::fleet::Error::Forbidden) to users who may not read packs; or the database does not answer.
    pub async fn recent_trends(&self, principal: &Principal) -> Result<Arc<QueryTrends>> {
        principal.may(Permission::ReadPacks)?;
        let mut recent = self.recent_trends.0.lock().await;
        let now = self.clock.now();
        if let Some((at, trends)) = &*recent
            && *at <= now
            && now.since(*at) < KEPT_FOR
        {
            return Ok(Arc::clone(trends));
        }
        let trends = Arc::new(self.trends().await?);
        *recent = Some((now, Arc::clone(&trends)));
        Ok(trends)
    }

    async fn trends(&self) -> Result<QueryTrends> {
        let last = self.clock.now().seconds().div_euclid(HOUR_SECS);
        let hours = last - HOURS + 1..=last;
        // A part that is closed in between must count once.
        let snapshot = self.store.snapshot().await?;
        let mut counted: BTreeMap<(i64, i64), QueryCosts> = BTreeMap::new();
        for row in costs::of_all(&snapshot, HOUR, hours.clone(), MAX_ROWS).await? {
            if let Some(costs) = decoded(&row) {
                counted.entry((row.query_version_id, row.bucket)).or_default().merge_same_hour(&costs);
            }
        }
        for (hour, all) in open_hours(&snapshot, hours.clone(), None).await? {
            for (version_id, costs) in all {
                counted.entry((version_id, hour)).or_default().merge_same_hour(&costs);
            }
        }
        drop(snapshot);
        self.versions.read(self.store.reader(), counted.keys().map(|(version_id, _)| *version_id)).await?;
        let versions = self.versions.known();
        let mut by_name: BTreeMap<(QueryName, i64), QueryCosts> = BTreeMap::new();
        for ((version_id, hour), costs) in counted {
            if let Some(name) = versions.name(version_id) {
                by_name.entry((QueryName::clone(name), hour)).or_default().merge_same_hour(&costs);
            }
        }
        let mut trends = QueryTrends::default();
        for ((name, hour), costs) in by_name {
            let trend = trends.0.entry(name).or_insert_with(|| hours.clone().map(|_| None).collect());
            let slot = usize::try_from(hour - hours.start()).ok().and_then(|position| trend.get_mut(position));
            if let Some(slot) = slot {
                *slot = costs.total().quantile(Measure::Cpu, 0.95);
            }
        }
        Ok(trends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_worse_if_its_last_runs_cost_clearly_more() {
        let some = |costs: &[f64]| costs.iter().map(|cost| (*cost >= 0.0).then_some(*cost)).collect::<Vec<_>>();
        assert_eq!(grown(&some(&[100.0, 90.0, 110.0, 100.0, 100.0, 400.0])), Some((100.0, 400.0)));
        for calm in [
            &[100.0, 100.0, 100.0, 100.0, 100.0, 120.0][..],
            // Little is little.
            &[1.0, 1.0, 1.0, 1.0, 1.0, 9.0],
            // Nobody knows how it was before, or how it is now.
            &[-1.0, -1.0, 100.0, 100.0, 100.0, 900.0],
            &[100.0, 100.0, 100.0, -1.0, -1.0, -1.0],
            &[100.0, 900.0],
            &[],
        ] {
            assert_eq!(grown(&some(calm)), None, "{calm:?}");
        }
    }

    #[test]
    fn what_has_grown_most_comes_first() {
        let trend = |lately: f64| vec![Some(100.0), Some(100.0), Some(100.0), None, None, Some(lately)];
        let name = |name: &str| QueryName { pack: "pack".to_owned(), name: name.to_owned() };
        let trends = QueryTrends(
            [(name("calm"), trend(100.0)), (name("bad"), trend(900.0)), (name("less bad"), trend(300.0))].into(),
        );
        let worse = trends.worse(5);
        assert_eq!(worse.iter().map(|query| query.name.as_str()).collect::<Vec<_>>(), ["bad", "less bad"]);
        assert_eq!(trends.worse(1).len(), 1);
        assert_eq!(trends.of("pack", "bad"), Some(&trend(900.0)));
        assert_eq!(trends.of("", "bad"), None);
    }
}
