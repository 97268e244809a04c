//! How carves end that do not become complete, and how old ones go.

use std::time::Duration;

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

/// Most carves that are being received whose pace one run looks at; `carves.max_receiving` is usually far below.
const MAX_PACED: u64 = 1_000;

/// Why a carve fails.
#[derive(Debug, Clone, Copy)]
enum CarveFailure {
    /// No block has come for `carves.stalled_after`.
    Stalled,
    /// It would hold the room for all of it, and not be there before half of the time that contents are kept is over.
    Slow,
}

impl Carves {
    /// Fails carves whose blocks do not come, or too slowly, removes the contents of old ones and of those whose rows are gone, and the
    /// rows of those that have long expired. For the leader.
    ///
    /// # Errors
    /// When the database or the files do not answer; the next call goes on.
    pub async fn end_old(&self) -> Result<()> {
        let (config, now) = (&self.config, self.clock.now());
        for id in carves::stalled(self.store.reader(), now.minus(config.stalled_after), AT_ONCE).await? {
            self.fail(id).await?;
        }
        // Not in the first minutes: agents may be slow to begin.
        for carve in carves::receiving(self.store.reader(), now.minus(config.stalled_after), MAX_PACED).await? {
            if self.failure(&carve).is_some() {
                self.fail(carve.id).await?;
            }
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

    /// Why a carve fails that is being received, if it does.
    fn failure(&self, carve: &Model) -> Option<CarveFailure> {
        let (config, now) = (&self.config, self.clock.now());
        let since = now.minus(config.stalled_after);
        if carve.last_block_at < since {
            return Some(CarveFailure::Stalled);
        }
        // Products of bytes and microseconds, as the parts of the whole that have come and that have passed.
        let micros = |time: Duration| i128::try_from(time.as_micros()).unwrap_or(i128::MAX / (1 << 64));
        let came = i128::from(carve.received_bytes) * micros(self.received_within());
        let passed = i128::from(carve.carve_size) * micros(now.since(carve.created_at));
        (carve.created_at < since && came < passed).then_some(CarveFailure::Slow)
    }

    /// Within this time a carve has to be complete, so that there is as much time to download it.
    fn received_within(&self) -> Duration {
        self.config.expiry / 2
    }

    async fn fail(&self, id: i64) -> Result<()> {
        let failed = self.store.write_with(async |tx| {
            let Some(carve) = carves::locked(tx, id).await? else { return Ok::<_, Error>(None) };
            // A block may have come meanwhile.
            let failure = self.failure(&carve).filter(|_| carve.status == CarveStatusWord::Receiving);
            let Some(failure) = failure else { return Ok(None) };
            let row = ActiveModel {
                id: Unchanged(id),
                status: Set(CarveStatusWord::Failed),
                held_bytes: Set(carve.received_bytes),
                error: Set(self.missing(&carve, failure)),
                ..Default::default()
            };
            carves::update(tx, row).await?;
            Ok(Some((carve, failure)))
        });
        if let Some((carve, failure)) = failed.await? {
            self.metrics.carves("failed", 1);
            let why = match failure {
                CarveFailure::Stalled => "its blocks have stopped coming",
                CarveFailure::Slow => "its blocks come too slowly",
            };
            tracing::warn!(carve_id = id, host_id = carve.host_id, "a carve has failed: {why}");
        }
        Ok(())
    }

    /// What is missing of a carve that fails, and why it will not come.
    fn missing(&self, carve: &Model, failure: CarveFailure) -> String {
        let received = Received::of(&carve.received);
        let (count, came) = (carve.block_count, received.count());
        let first = received.in_front();
        let why = match failure {
            CarveFailure::Stalled => {
                format!("no block has come for {} minutes", self.config.stalled_after.as_secs() / 60)
            }
            CarveFailure::Slow => format!(
                "blocks come too slowly to be complete within {} minutes, half of carves.expiry",
                self.received_within().as_secs() / 60
            ),
        };
        format!("{why}: {came} of {count} are here, the first that is missing is {first}")
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
