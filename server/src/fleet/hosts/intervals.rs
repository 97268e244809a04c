//! The intervals at which hosts call, which are noted when configs are served and written in batches.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Hosts;
use crate::fleet::Result;
use crate::store;
use crate::store::hosts::AgentIntervals;

impl Hosts {
    /// Writes intervals that the database does not have yet.
    ///
    /// # Errors
    /// When the database does not answer; the next call writes them then.
    pub async fn write_intervals(&self) -> Result<()> {
        let mut changed: BTreeMap<(i64, i64, i64), (AgentIntervals, Vec<i64>)> = BTreeMap::new();
        for host in self.index.all() {
            let (reported, written) = **host.intervals.load();
            if reported != written {
                changed
                    .entry((reported.distributed, reported.config_refresh, reported.logger))
                    .or_insert_with(|| (reported, Vec::new()))
                    .1
                    .push(host.id);
            }
        }
        for (intervals, host_ids) in changed.into_values() {
            self.store.write(async |tx| store::hosts::set_intervals(tx, intervals, host_ids.clone()).await).await?;
            self.directory.set_intervals(host_ids.iter().copied(), intervals);
            for host in host_ids.iter().filter_map(|id| self.index.get(*id)) {
                let (reported, _) = **host.intervals.load();
                host.intervals.store(Arc::new((reported, intervals)));
            }
        }
        Ok(())
    }
}
