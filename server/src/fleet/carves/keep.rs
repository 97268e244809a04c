use bytes::Bytes;
use sea_orm::{Set, Unchanged};

use super::received::{Added, Received};
use super::session::CarveSession;
use super::{Carves, unavailable};
use crate::fleet::{Error, Result, within};
use crate::sinks::Put;
use crate::store::carves;
use crate::store::entity::carves::{ActiveModel, CarveStatusWord, Model};
use crate::under_way::{WaitsFor, waiting_for};

/// A block as it came.
#[derive(Debug, Clone)]
pub struct CarvedBlock {
    pub block_id: u64,
    pub request_id: String,
    pub data: Bytes,
}

/// Bytes that a block of a carve must have; `None` if there is no such block.
pub(super) fn size_of(carve: &Model, block: u64) -> Option<u64> {
    let [count, size, whole] = [carve.block_count, carve.block_size, carve.carve_size].map(|n| n.max(0).unsigned_abs());
    (block < count).then(|| if block + 1 < count { size } else { whole.saturating_sub(size * (count - 1)) })
}

impl Carves {
    /// Keeps a block: it is durable when this returns. A block that is there already is kept as it is; that is no error if
    /// the bytes are the same. Blocks may come in any order.
    ///
    /// # Errors
    /// [`Error::Invalid`] and [`Error::Forbidden`] for what is not kept, [`Error::Unavailable`] for what may be kept later.
    pub async fn keep(&self, session: &CarveSession, block: CarvedBlock) -> Result<()> {
        let CarveSession(carve) = session;
        let bytes = block.data.len() as u64;
        check(carve, &block)?;
        let _room = self.keeping.acquire().await.map_err(|error| Error::Internal(Box::new(error)))?;
        let put = self.storage()?.put(&carve.content_key, block.block_id, block.data);
        match waiting_for(WaitsFor::CarveStorage, put).await.map_err(unavailable)? {
            Put::Kept => {}
            Put::Differs => return Err(Error::invalid("block_id", "this block is there already, with other bytes")),
        }
        let ended = within(self.store_timeout, Box::pin(self.note(carve.id, block.block_id, bytes))).await?;
        if let Some(carve) = ended {
            self.metrics.carves("complete", 1);
            tracing::info!(
                carve_id = carve.id,
                host_id = carve.host_id,
                bytes = carve.carve_size,
                "a carve is complete"
            );
        }
        Ok(())
    }

    /// Notes a block that is durable. Gives the carve if it is complete now.
    async fn note(&self, id: i64, block: u64, bytes: u64) -> Result<Option<Model>> {
        let now = self.clock.now();
        let noted = self.store.write_with(async |tx| {
            let carve = carves::locked(tx, id).await?.ok_or(Error::Forbidden)?;
            let mut received = Received::of(&carve.received);
            match received.add(block) {
                Added::Repeated => return Ok((false, None)),
                Added::TooScattered => return Err(Error::invalid("block_id", "too many blocks are missing before it")),
                Added::New => {}
            }
            check_open(&carve)?;
            let is_complete = received.count() == carve.block_count.unsigned_abs();
            let mut row = ActiveModel {
                id: Unchanged(id),
                received: Set(received.to_string()),
                received_bytes: Set(carve.received_bytes + i64::try_from(bytes).unwrap_or(0)),
                last_block_at: Set(now),
                ..Default::default()
            };
            if is_complete {
                row.status = Set(CarveStatusWord::Complete);
                row.completed_at = Set(Some(now));
            }
            carves::update(tx, row).await?;
            Ok((true, is_complete.then_some(carve)))
        });
        let (is_new, complete) = noted.await?;
        if is_new {
            self.metrics.carve_bytes.inc_by(bytes);
        }
        Ok(complete)
    }
}

/// Checks what can be known of a block before it is kept.
fn check(carve: &Model, block: &CarvedBlock) -> Result<()> {
    if carve.request_id != block.request_id {
        return Err(Error::invalid("request_id", "this is not the request of the session"));
    }
    let Some(size) = size_of(carve, block.block_id) else {
        let reason = format!("the carve has {} blocks, counted from 0", carve.block_count);
        return Err(Error::invalid("block_id", reason));
    };
    if size != block.data.len() as u64 {
        let reason = format!("block {} must have {size} bytes and has {}", block.block_id, block.data.len());
        return Err(Error::invalid("data", reason));
    }
    if Received::of(&carve.received).has(block.block_id) {
        // Compared below with what is there, whatever has become of the carve, unless that is gone.
        return if carve.status == CarveStatusWord::Expired { check_open(carve) } else { Ok(()) };
    }
    check_open(carve)
}

/// Checks that the carve takes blocks.
fn check_open(carve: &Model) -> Result<()> {
    match &carve.status {
        CarveStatusWord::Receiving => Ok(()),
        other => Err(Error::invalid("session_id", format!("the carve takes no more blocks: it is {other}"))),
    }
}
