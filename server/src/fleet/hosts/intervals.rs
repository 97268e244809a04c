//! The intervals at which hosts call, which are noted when configs are served and written in batches.

use std::collections::BTreeMap;

use super::{Host, Hosts};
use crate::bus::ChangeEvent;
use crate::fleet::Result;
use crate::store::hosts::AgentIntervals;
use crate::store::{self, feed};

/// Hosts written in one transaction, so that none holds locks for long.
const HOSTS_AT_ONCE: usize = 500;

/// Hosts written at most each time, every few seconds. When a config names other intervals, all hosts change within
/// minutes, and every node reads what was written.
const MOST_HOSTS: usize = 2_000;

impl Hosts {
    /// Writes intervals that the database does not have yet, of [`MOST_HOSTS`] at most.
    ///
    /// # Errors
    /// When the database does not answer; the next call writes them then.
    pub async fn write_intervals(&self) -> Result<()> {
        let mut changed: BTreeMap<(i64, i64, i64), (AgentIntervals, Vec<i64>)> = BTreeMap::new();
        let unwritten = |host: &Host| Some((host.intervals.unwritten()?, host.id));
        for (reported, host_id) in self.index.hosts.each(unwritten) {
            changed
                .entry((reported.distributed, reported.config_refresh, reported.logger))
                .or_insert_with(|| (reported, Vec::new()))
                .1
                .push(host_id);
        }
        let mut left = MOST_HOSTS;
        for (intervals, mut host_ids) in changed.into_values() {
            host_ids.sort_unstable();
            host_ids.truncate(left);
            left -= host_ids.len();
            for batch in host_ids.chunks(HOSTS_AT_ONCE) {
                self.write_intervals_of(batch, intervals).await?;
            }
        }
        Ok(())
    }

    async fn write_intervals_of(&self, host_ids: &[i64], intervals: AgentIntervals) -> Result<()> {
        let now = self.clock.now();
        self.store
            .write(async |tx| {
                store::hosts::set_intervals(tx, intervals, host_ids).await?;
                feed::append(tx, feed::HostChangeKind::Changed, host_ids.iter().copied(), now).await
            })
            .await?;
        for host in host_ids.iter().filter_map(|id| self.index.get(*id)) {
            host.intervals.are_written(intervals);
        }
        self.mark_stale(host_ids.iter().copied());
        self.notifier.publish(ChangeEvent::Hosts);
        Ok(())
    }
}
