//! The leader's part: hours that are over become one row for each query, which also goes into the row of the day; and what
//! is old is removed.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::batch::beside;
use super::query_costs::QueryCosts;
use super::read::decoded;
use super::stored_costs::{CostsByVersion, decode_several, encode};
use super::{Statistics, is_broken};
use crate::fleet::Result;
use crate::store::entity::cost_parts;
use crate::store::entity::query_costs::Model;
use crate::store::statistics::costs::{self, DAY, HOUR};
use crate::store::statistics::{events, samples};
use crate::store::{self, Tx};

/// Seconds in an hour.
const HOUR_SECS: i64 = 3600;

const HOURS_OF_DAY: i64 = 24;

/// Seconds after the end of an hour during which nodes may still write what came in it.
const GRACE_SECS: i64 = 120;

/// Most parts that are closed in one go. What is left is closed by the next one.
const PARTS_AT_ONCE: usize = 64;

/// Most rows that are removed in one transaction.
const REMOVED_AT_ONCE: u64 = 500;

/// Longest time for which rows are removed in one go.
const LONGEST_REMOVAL: Duration = Duration::from_secs(60);

impl Statistics {
    /// Closes hours that are over. What is written late is added by the next call.
    ///
    /// # Errors
    /// When the database does not answer; the next call goes on.
    pub async fn close(&self) -> Result<()> {
        let before = (self.clock.now().seconds() - GRACE_SECS).div_euclid(HOUR_SECS);
        for _ in 0..PARTS_AT_ONCE {
            let Some((hour, part)) = costs::oldest_part(self.store.reader(), before).await? else { break };
            self.store.write(async |tx| close_part(tx, hour, part).await).await?;
        }
        Ok(())
    }

    /// Removes what is older than it is to be kept.
    ///
    /// # Errors
    /// When the database does not answer; the next call goes on.
    pub async fn forget_old(&self) -> Result<()> {
        let now = self.clock.now();
        let oldest_hour = now.minus(self.config.keep_hours).seconds().div_euclid(HOUR_SECS);
        let oldest_day = now.minus(self.config.keep_days).seconds().div_euclid(HOUR_SECS * HOURS_OF_DAY);
        let before = now.minus(self.config.keep_days);
        let deadline = Instant::now() + LONGEST_REMOVAL;
        while Instant::now() < deadline {
            let removed = self
                .store
                .write(async |tx| {
                    Ok(costs::forget(tx, HOUR, oldest_hour, REMOVED_AT_ONCE).await?
                        + costs::forget(tx, DAY, oldest_day, REMOVED_AT_ONCE).await?
                        + samples::forget(tx, before, REMOVED_AT_ONCE).await?
                        + events::forget(tx, before, REMOVED_AT_ONCE).await?
                        + events::forget_unheld(tx, REMOVED_AT_ONCE).await?)
                })
                .await?;
            if removed == 0 {
                break;
            }
        }
        Ok(())
    }
}

/// Puts what all nodes have counted in a part of an hour into the rows of its queries.
async fn close_part(tx: &Tx, hour: i64, part: i64) -> store::Result<()> {
    let parts = costs::of_all_nodes(tx, hour, part).await?;
    let ids = parts.iter().map(|row| row.id).collect();
    let counted = beside(move || merged(&parts)).await?;
    let version_ids: Vec<i64> = counted.keys().copied().collect();
    let day = hour.div_euclid(HOURS_OF_DAY);
    let hours = costs::of_versions(tx, &version_ids, HOUR, hour..=hour).await?;
    let days = costs::of_versions(tx, &version_ids, DAY, day..=day).await?;
    let rows = beside(move || {
        let (mut hours, mut days) = (read(&hours), read(&days));
        let mut rows = Vec::new();
        for (version_id, counted) in counted {
            let mut of_hour = hours.remove(&version_id).unwrap_or_default();
            of_hour.merge_same_hour(&counted);
            let mut of_day = days.remove(&version_id).unwrap_or_default();
            of_day.merge_other_hour(&counted);
            of_day.raise_hosts(&of_hour);
            for (span, bucket, costs) in [(HOUR, hour, &of_hour), (DAY, day, &of_day)] {
                rows.push(Model { query_version_id: version_id, span, bucket, costs: encode(costs) });
            }
        }
        rows
    })
    .await?;
    costs::put(tx, rows).await?;
    costs::remove_parts(tx, ids).await
}

fn merged(parts: &[cost_parts::Model]) -> CostsByVersion {
    let mut counted = CostsByVersion::new();
    for row in parts {
        let Some(all) = decode_several(&row.costs) else {
            is_broken("cost_parts", row.id);
            continue;
        };
        for (version_id, costs) in all {
            counted.entry(version_id).or_default().merge_same_hour(&costs);
        }
    }
    counted
}

fn read(rows: &[Model]) -> BTreeMap<i64, QueryCosts> {
    rows.iter().filter_map(|row| Some((row.query_version_id, decoded(row)?))).collect()
}
