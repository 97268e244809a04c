//! Nodes of the version before read last-seen times in the rows of hosts, and no pages. While one of them lives, every
//! node writes the times of its hosts there, too.

use super::times;
use crate::fleet::Result;
use crate::fleet::hosts::Hosts;
use crate::lock::lock;
use crate::store::hosts::{self, LastSeen};

/// A time is written when the one written last is older than this.
const STALENESS_SECS: u32 = 30;

/// Hosts written in one transaction, so that none holds locks for long.
const HOSTS_AT_ONCE: usize = 500;

impl Hosts {
    /// Writes last-seen times to rows of hosts, if there is a node that reads them there.
    pub(super) async fn write_seen_for_older(&self, everything: bool) -> Result<()> {
        if !self.has_older_node() {
            *lock(&self.seen_sharing.written_for_older) = Default::default();
            return Ok(());
        }
        let staleness = if everything { 0 } else { STALENESS_SECS };
        let due: Vec<LastSeen> = {
            let written = lock(&self.seen_sharing.written_for_older);
            let seen = self.index.all().into_iter().map(|host| LastSeen { host_id: host.id, at: host.seen() });
            let is_due = |seen: &LastSeen| {
                let written = written.get(&seen.host_id);
                written.is_none_or(|written| times::seconds(seen.at) > written.saturating_add(staleness))
            };
            seen.filter(is_due).collect()
        };
        for batch in due.chunks(HOSTS_AT_ONCE) {
            self.store.write(async |tx| hosts::mark_seen(tx, batch.to_vec()).await).await?;
            let written = batch.iter().map(|seen| (seen.host_id, times::seconds(seen.at)));
            lock(&self.seen_sharing.written_for_older).extend(written);
        }
        Ok(())
    }
}
