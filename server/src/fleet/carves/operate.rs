//! What operators see of carves, and do with them.

use std::collections::HashMap;

use muster_api::rest::{Carve, CarveStatus};
use serde_json::json;

use super::received::Received;
use super::{Carves, READING};
use crate::fleet::access::{Permission, Principal};
use crate::fleet::{Error, Result};
use crate::lock::lock;
pub use crate::store::carves::CarveListing as CarveFilter;
pub use crate::store::carves::CarveOrder as CarveSort;
use crate::store::entity::carve_requests::Model as CarveRequest;
use crate::store::entity::carves::{CarveStatusWord, Model};
use crate::store::{activities, carve_requests, carves};

/// Most users and carves of which the last reading is remembered.
const MAX_READINGS: usize = 10_000;

/// Carves whose requests are read with one statement.
const MAX_AT_ONCE: usize = 256;

impl Carves {
    /// Carves, in the order of the filter.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without the permission to read carves.
    pub async fn list(&self, principal: &Principal, filter: &CarveFilter) -> Result<Vec<Carve>> {
        principal.may(Permission::ReadCarves)?;
        let rows = carves::list(self.store.reader(), filter).await?;
        let mut requests = HashMap::new();
        for some in rows.chunks(MAX_AT_ONCE) {
            let carve_ids = some.iter().map(|row| row.carve_id.clone()).collect();
            for request in carve_requests::of_carves(self.store.reader(), carve_ids).await? {
                requests.insert((request.host_id, request.carve_id.clone()), request);
            }
        }
        let with_request = |row: Model| {
            let request = requests.remove(&(row.host_id, row.carve_id.clone()));
            view(row, request)
        };
        Ok(rows.into_iter().map(with_request).collect())
    }

    /// A carve.
    ///
    /// # Errors
    /// [`Error::NotFound`], and [`Error::Forbidden`] without the permission to read carves.
    pub async fn by_id(&self, principal: &Principal, id: i64) -> Result<Carve> {
        principal.may(Permission::ReadCarves)?;
        let row = self.existing(id).await?;
        let requests = carve_requests::of_carves(self.store.reader(), vec![row.carve_id.clone()]).await?;
        let request = requests.into_iter().find(|request| request.host_id == row.host_id);
        Ok(view(row, request))
    }

    pub(super) async fn existing(&self, id: i64) -> Result<Model> {
        carves::by_id(self.store.reader(), id).await?.ok_or_else(|| Error::no_such("Carve", id))
    }

    /// Deletes a carve and its contents. An agent that is still sending it is refused.
    ///
    /// # Errors
    /// [`Error::NotFound`], and [`Error::Forbidden`] without the permission to take carves.
    pub async fn delete(&self, principal: &Principal, id: i64) -> Result<()> {
        principal.may_change(Permission::TakeCarves)?;
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
        if let Some(storage) = &self.storage
            && let Err(error) = storage.remove(&carve.content_key).await
        {
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

fn view(row: Model, request: Option<CarveRequest>) -> Carve {
    let (live_query_id, query_name) =
        request.map_or((None, String::new()), |asked| (asked.live_query_id, asked.query_name));
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
        live_query_id,
        query_name,
        error: Some(row.error).filter(|error| !error.is_empty()),
    }
}
