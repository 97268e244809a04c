//! How many hosts there are, by state, platform and version of the agent: now for Prometheus, and by hour and day for operators.
//! The leader counts.

use std::collections::BTreeMap;

use muster_api::rest::{FleetCount, FleetCounts};
use serde::{Deserialize, Serialize};

use super::Hosts;
use super::directory::Census;
use crate::clock::Moment;
use crate::fleet::access::{Permission, Principal};
use crate::fleet::{Error, Result};
use crate::store::entity::host_counts::Model;
use crate::store::statistics::costs::{DAY, HOUR};
use crate::store::statistics::host_counts;

/// Most platforms and versions that are counted apart, those with most hosts; the others are counted under an empty name. Agents
/// choose what they call themselves.
const MAX_NAMES: usize = 50;

/// Longest name that is kept, in bytes.
const MAX_NAME: usize = 64;

const HOUR_SECS: i64 = 3600;
const DAY_SECS: i64 = 24 * HOUR_SECS;

/// Longest span that is told by hour, in seconds.
const BY_HOUR: i64 = 7 * DAY_SECS;

/// Most days that are read.
const MAX_DAYS: i64 = 400;

/// A count as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StoredCount {
    online: u64,
    offline: u64,
    missing: u64,
    platforms: BTreeMap<String, u64>,
    versions: BTreeMap<String, u64>,
}

impl StoredCount {
    fn of(census: Census) -> Self {
        let Census { states, platforms, versions } = census;
        Self {
            online: states.online,
            offline: states.offline,
            missing: states.missing,
            platforms: most_frequent(platforms),
            versions: most_frequent(versions),
        }
    }

    fn show(self, start: Moment) -> FleetCount {
        FleetCount {
            start: start.to_utc(),
            online: self.online,
            offline: self.offline,
            missing: self.missing,
            platforms: self.platforms,
            osquery_versions: self.versions,
        }
    }
}

/// The names with most hosts, and all others together.
fn most_frequent(hosts: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let mut all: Vec<(String, u64)> = hosts.into_iter().collect();
    all.sort_by(|(one, hosts), (other, others)| others.cmp(hosts).then_with(|| one.cmp(other)));
    let mut kept = BTreeMap::new();
    for (number, (name, hosts)) in all.into_iter().enumerate() {
        let name = if number < MAX_NAMES && name.len() <= MAX_NAME { name } else { String::new() };
        *kept.entry(name).or_default() += hosts;
    }
    kept
}

impl Hosts {
    /// Counts all hosts, for the metrics of the leader and for the hour and the day.
    ///
    /// # Errors
    /// When the directory is not loaded yet, or the database does not answer.
    pub async fn take_census(&self) -> Result<()> {
        if !self.node.is_leader() {
            self.metrics.forget_hosts();
            return Ok(());
        }
        let now = self.clock.now();
        let count = StoredCount::of(self.directory.census(now).await?);
        let states = [("online", count.online), ("offline", count.offline), ("missing", count.missing)];
        self.metrics.show_hosts(&states, &count.platforms);
        let counts = serde_json::to_string(&count).map_err(|error| Error::Internal(Box::new(error)))?;
        let row = |span, seconds| Model { span, bucket: now.seconds().div_euclid(seconds), counts: counts.clone() };
        let rows = vec![row(HOUR, HOUR_SECS), row(DAY, DAY_SECS)];
        let oldest = |seconds: i64, kept: i64| (now.seconds() - kept).div_euclid(seconds);
        self.store
            .write(async |tx| {
                host_counts::put(tx, rows.clone()).await?;
                host_counts::forget(tx, HOUR, oldest(HOUR_SECS, BY_HOUR + DAY_SECS)).await?;
                host_counts::forget(tx, DAY, oldest(DAY_SECS, MAX_DAYS * DAY_SECS)).await
            })
            .await?;
        Ok(())
    }

    /// How many hosts there are now, which costs no SQL.
    ///
    /// # Errors
    /// When the directory is not loaded yet.
    pub async fn counts_now(&self, principal: &Principal) -> Result<FleetCount> {
        principal.may(Permission::ReadHosts)?;
        let now = self.clock.now();
        let count = StoredCount::of(self.current_directory().await?.census(now).await?);
        Ok(count.show(now))
    }

    /// How many hosts there were: by hour for a week at most that is not longer ago, otherwise by day.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a span that ends before it begins.
    pub async fn host_counts(
        &self,
        principal: &Principal,
        from: Option<Moment>,
        to: Option<Moment>,
    ) -> Result<FleetCounts> {
        principal.may(Permission::ReadHosts)?;
        let now = self.clock.now();
        let to = to.unwrap_or(now).min(now);
        let from = from.unwrap_or(to.plus_seconds(-DAY_SECS)).max(to.plus_seconds(-MAX_DAYS * DAY_SECS));
        if from > to {
            return Err(Error::invalid("from", "must not be after to"));
        }
        let is_by_hour = now.since(from).as_secs() <= BY_HOUR.unsigned_abs();
        let (span, seconds) = if is_by_hour { (HOUR, HOUR_SECS) } else { (DAY, DAY_SECS) };
        let buckets = from.seconds().div_euclid(seconds)..=to.seconds().div_euclid(seconds);
        let rows = host_counts::between(self.store.reader(), span, buckets).await?;
        let counts = rows.into_iter().filter_map(|row| {
            let Ok(count) = serde_json::from_str::<StoredCount>(&row.counts) else {
                tracing::warn!(span, bucket = row.bucket, "a count of hosts that this version cannot read is left out");
                return None;
            };
            Some(count.show(Moment::NEVER.plus_seconds(row.bucket.saturating_mul(seconds))))
        });
        Ok(FleetCounts { from: from.to_utc(), to: to.to_utc(), counts: counts.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_and_long_names_are_counted_together() {
        let mut hosts: BTreeMap<String, u64> = (0..60).map(|n| (format!("platform {n:02}"), 100 - n)).collect();
        hosts.insert("x".repeat(MAX_NAME + 1), 1_000);
        let all: u64 = hosts.values().sum();
        let kept = most_frequent(hosts);
        assert_eq!((kept.len(), kept.values().sum::<u64>()), (MAX_NAMES, all));
        assert_eq!((kept["platform 00"], kept.get("platform 59")), (100, None));
        assert!(kept[""] > 1_000);
    }
}
