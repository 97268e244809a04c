//! How carves end that do not become complete, and how old ones go.

use sea_orm::{Set, Unchanged};

use super::received::Received;
use super::{Carves, unavailable};
use crate::fleet::{Error, Result};
use crate::lock::lock;
use crate::store::entity::carves::{ActiveModel, CarveStatusWord, Model};
use crate::store::{carve_requests, carves};

/// Most carves of each kind that one run of the task ends. The next run goes on.
const AT_ONCE: u64 = 200;

/// Most contents that one run looks at.
const MAX_LOOKED_AT: usize = 10_000;

impl Carves {
    /// Fails carves whose blocks do not come, removes the contents of old ones and of those whose rows are gone, and the
    /// rows of those that have long expired. For the leader.
    ///
    /// # Errors
    /// When the database or the files do not answer; the next call goes on.
    pub async fn end_old(&self) -> Result<()> {
        let (config, now) = (&self.config, self.clock.now());
        for id in carves::stalled(self.store.reader(), now.minus(config.stalled_after), AT_ONCE).await? {
            self.fail(id).await?;
        }
        for id in carves::outlived(self.store.reader(), now.minus(config.expiry), AT_ONCE).await? {
            self.expire(id).await?;
        }
        let gone = now.minus(config.expiry.saturating_add(config.retention));
        self.store.write(async |tx| carves::prune(tx, gone, AT_ONCE).await).await?;
        let asked = now.minus(config.expiry.saturating_add(config.retention));
        self.store.write(async |tx| carve_requests::prune(tx, asked, AT_ONCE).await).await?;
        let held = carves::totals(self.store.reader(), None).await?.held_bytes;
        self.metrics.carves_held_bytes.set(held);
        self.remove_left_over().await
    }

    async fn fail(&self, id: i64) -> Result<()> {
        let before = self.clock.now().minus(self.config.stalled_after);
        let failed = self.store.write_with(async |tx| {
            let Some(carve) = carves::locked(tx, id).await? else { return Ok::<_, Error>(None) };
            // A block may have come meanwhile.
            if carve.status != CarveStatusWord::Receiving || carve.last_block_at >= before {
                return Ok(None);
            }
            let row = ActiveModel {
                id: Unchanged(id),
                status: Set(CarveStatusWord::Failed),
                held_bytes: Set(carve.received_bytes),
                error: Set(missing(&carve, self.config.stalled_after.as_secs() / 60)),
                ..Default::default()
            };
            carves::update(tx, row).await?;
            Ok(Some(carve))
        });
        if let Some(carve) = failed.await? {
            self.metrics.carves("failed", 1);
            tracing::warn!(
                carve_id = id,
                host_id = carve.host_id,
                "a carve has failed: its blocks have stopped coming"
            );
        }
        Ok(())
    }

    async fn expire(&self, id: i64) -> Result<()> {
        let expired = self.store.write_with(async |tx| {
            let Some(carve) = carves::locked(tx, id).await? else { return Ok::<_, Error>(None) };
            if carve.status == CarveStatusWord::Expired {
                return Ok(None);
            }
            let row = ActiveModel {
                id: Unchanged(id),
                status: Set(CarveStatusWord::Expired),
                held_bytes: Set(0),
                ..Default::default()
            };
            carves::update(tx, row).await?;
            Ok(Some(carve))
        });
        if let Some(carve) = expired.await? {
            self.metrics.carves("expired", 1);
            if let Some(storage) = &self.storage {
                storage.remove(&carve.content_key).await.map_err(unavailable)?;
            }
        }
        Ok(())
    }

    /// Removes contents that no row holds: of carves that were deleted or began anew, and of those whose removal failed
    /// before. A row is there before the first block of its carve, so whatever is listed before the rows are read can go.
    async fn remove_left_over(&self) -> Result<()> {
        let Some(storage) = &self.storage else { return Ok(()) };
        let after = lock(&self.looked_at).clone();
        let keys = storage.keys(&after, MAX_LOOKED_AT).await.map_err(unavailable)?;
        // The next run goes on, or begins anew behind the last.
        *lock(&self.looked_at) = keys.get(MAX_LOOKED_AT - 1).cloned().unwrap_or_default();
        for keys in keys.chunks(256) {
            let held = self.store.write(async |tx| carves::held_keys(tx, keys).await).await?;
            for key in keys.iter().filter(|key| !held.contains(*key)) {
                storage.remove(key).await.map_err(unavailable)?;
            }
        }
        Ok(())
    }
}

/// Why a carve has failed whose blocks do not come.
fn missing(carve: &Model, minutes: u64) -> String {
    let received = Received::of(&carve.received);
    let (count, came) = (carve.block_count, received.count());
    let first = received.in_front();
    format!("no block has come for {minutes} minutes: {came} of {count} are here, the first that is missing is {first}")
}
