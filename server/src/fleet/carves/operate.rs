//! What operators see of carves, and do with them.

use muster_api::rest::{Carve, CarveStatus};
use serde_json::json;

use super::received::Received;
use super::{Carves, READING};
use crate::fleet::access::{Permission, Principal};
use crate::fleet::{Error, Result};
use crate::lock::lock;
pub use crate::store::carves::CarveListing as CarveFilter;
pub use crate::store::carves::CarveOrder as CarveSort;
use crate::store::entity::carves::{CarveStatusWord, Model};
use crate::store::{activities, carves};

/// Most users and carves of which the last reading is remembered.
const MAX_READINGS: usize = 10_000;

impl Carves {
    /// Carves, in the order of the filter.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without the permission to read carves.
    pub async fn list(&self, principal: &Principal, filter: &CarveFilter) -> Result<Vec<Carve>> {
        principal.may(Permission::ReadCarves)?;
        let rows = carves::list(self.store.reader(), filter).await?;
        Ok(rows.into_iter().map(view).collect())
    }

    /// A carve.
    ///
    /// # Errors
    /// [`Error::NotFound`], and [`Error::Forbidden`] without the permission to read carves.
    pub async fn by_id(&self, principal: &Principal, id: i64) -> Result<Carve> {
        principal.may(Permission::ReadCarves)?;
        Ok(view(self.existing(id).await?))
    }

    pub(super) async fn existing(&self, id: i64) -> Result<Model> {
        carves::by_id(self.store.reader(), id).await?.ok_or_else(|| Error::no_such("Carve", id))
    }

    /// Deletes a carve and its contents. An agent that is still sending it is refused.
    ///
    /// # Errors
    /// [`Error::NotFound`], and [`Error::Forbidden`] without the permission to take carves.
    pub async fn delete(&self, principal: &Principal, id: i64) -> Result<()> {
        principal.may(Permission::TakeCarves)?;
        let now = self.clock.now();
        let deleted = self.store.write_with(async |tx| {
            let carve = carves::locked(tx, id).await?.ok_or_else(|| Error::no_such("Carve", id))?;
            carves::delete(tx, id).await?;
            let details = json!({ "carve_id": id, "carve_name": carve.name, "host_id": carve.host_id });
            activities::add(tx, now, &principal.actor(), "deleted_carve", &details).await?;
            Ok::<_, Error>(carve)
        });
        let carve = deleted.await?;
        // What cannot be removed now goes with the next look at what is left over.
        if let Err(error) = self.storage.remove(&carve.content_key).await {
            tracing::warn!(%error, carve_id = id, "the contents of a deleted carve could not be removed; will retry");
        }
        Ok(())
    }

    /// Notes that somebody takes the contents of a carve, before they do; once an hour for each user and carve.
    pub(super) async fn note_reading(&self, principal: &Principal, carve: &Model) -> Result<()> {
        let (now, reading) = (self.clock.now(), (principal.user.id, carve.id));
        if lock(&self.readings).get(&reading).is_some_and(|at| now.since(*at) < READING) {
            return Ok(());
        }
        let details = json!({ "carve_id": carve.id, "carve_name": carve.name, "host_id": carve.host_id });
        self.store
            .write(async |tx| {
                activities::add(tx, now, &principal.actor(), "downloaded_carve", &details).await.map(drop)
            })
            .await?;
        let mut readings = lock(&self.readings);
        if readings.len() >= MAX_READINGS {
            // Some are then told a second time.
            readings.clear();
        }
        readings.insert(reading, now);
        Ok(())
    }
}

pub(super) fn view(row: Model) -> Carve {
    let received = Received::of(&row.received);
    let status = match row.status {
        CarveStatusWord::Receiving | CarveStatusWord::Unknown(_) => CarveStatus::Receiving,
        CarveStatusWord::Complete => CarveStatus::Complete,
        CarveStatusWord::Failed => CarveStatus::Failed,
        CarveStatusWord::Expired => CarveStatus::Expired,
    };
    Carve {
        id: row.id,
        created_at: row.created_at.to_utc(),
        host_id: row.host_id,
        name: row.name,
        block_count: row.block_count,
        block_size: row.block_size,
        carve_size: row.carve_size,
        carve_id: row.carve_id,
        request_id: row.request_id,
        session_id: String::new(),
        expired: status == CarveStatus::Expired,
        max_block: i64::try_from(received.in_front()).unwrap_or(i64::MAX) - 1,
        status,
        received_blocks: i64::try_from(received.count()).unwrap_or(i64::MAX),
        received_bytes: row.received_bytes,
        completed_at: row.completed_at.map(|at| at.to_utc()),
        error: Some(row.error).filter(|error| !error.is_empty()),
    }
}
