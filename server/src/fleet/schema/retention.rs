use std::time::Duration;

use super::AgentSchemas;
use crate::fleet::Result;
use crate::store;

/// Most rows that are removed in one transaction, and in one go as often.
const REMOVED_AT_ONCE: u64 = 200;
const TRANSACTIONS: usize = 20;

/// Time for which a set of tables is kept although nothing refers to it: another node may be about to.
const UNUSED_FOR: Duration = Duration::from_secs(3600);

impl AgentSchemas {
    /// Removes reports that are older than two intervals, and sets of tables that none refers to. With an interval of zero,
    /// all of them.
    ///
    /// # Errors
    /// When the database does not answer; the next call goes on.
    pub async fn forget_old(&self) -> Result<()> {
        let now = self.clock.now();
        let (before, unused) = (now.minus(self.kept_for()), now.minus(UNUSED_FOR));
        for _ in 0..TRANSACTIONS {
            let removed = self
                .store
                .write(async |tx| {
                    Ok(store::schema::forget(tx, before, REMOVED_AT_ONCE).await?
                        + store::schema::forget_unused_sets(tx, unused, REMOVED_AT_ONCE).await?)
                })
                .await?;
            if removed == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Time for which a report counts.
    pub(super) fn kept_for(&self) -> Duration {
        self.interval * 2
    }
}
