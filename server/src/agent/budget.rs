//! Memory for large bodies: a budget for all, of which those of unknown senders may take a part.
//!
//! A body counts only above 64 KiB: small requests are never refused because of large ones. Once that much has come, room
//! for all of it is taken at once, so that no body is refused when most of it is here. But anybody can announce much and
//! send little; so bodies that are still coming, and whose sender is not known, may take a quarter of the room together.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::Refusal;
use crate::telemetry::Metrics;

/// Bodies up to this size take no room.
pub(super) const SMALL: usize = 64 * 1024;

/// Room is counted in pieces of this size.
const PIECE: usize = 256 * 1024;

/// Bodies of unknown senders that are still coming may take this part of the room; one that is larger takes all of it.
const UNKNOWN_PART: usize = 4;

/// How long a request waits for room: half of the default of `osquery.answer_timeout`, so that as much is left for the work.
const ROOM_WAIT: Duration = Duration::from_secs(5);

/// Bytes that all large bodies together may hold.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    all: Pieces,
    unknown: Pieces,
}

/// Pieces that can be taken.
#[derive(Debug, Clone)]
struct Pieces {
    free: Arc<Semaphore>,
    count: usize,
    /// The limit in metrics.
    limit: &'static str,
}

impl Pieces {
    fn new(count: usize, limit: &'static str) -> Self {
        let count = count.clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Self { free: Arc::new(Semaphore::new(count)), count, limit }
    }

    /// Takes the pieces that somebody lacks who is to hold so many. Who wants more than there are gets all.
    async fn fill(
        &self,
        held: &mut Option<OwnedSemaphorePermit>,
        pieces: usize,
        metrics: &Metrics,
    ) -> Result<(), Refusal> {
        let had = held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = pieces.min(self.count).saturating_sub(had);
        if missing == 0 {
            return Ok(());
        }
        let taken = Arc::clone(&self.free).acquire_many_owned(u32::try_from(missing).unwrap_or(u32::MAX));
        let Ok(Ok(room)) = tokio::time::timeout(ROOM_WAIT, taken).await else {
            metrics.limit_hit(self.limit);
            return Err(Refusal::Error(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many large requests at one time; try again".to_owned(),
            ));
        };
        match held {
            Some(held) => held.merge(room),
            None => *held = Some(room),
        }
        Ok(())
    }
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        let pieces = bytes / PIECE;
        Self {
            all: Pieces::new(pieces, "max_bodies_in_flight"),
            unknown: Pieces::new(pieces / UNKNOWN_PART, "unknown_bodies"),
        }
    }
}

/// The bytes of a body and the room they hold in the budget.
#[derive(Debug, Default)]
pub(super) struct AgentBody {
    pub bytes: Vec<u8>,
    room: Option<OwnedSemaphorePermit>,
    unknown: Option<OwnedSemaphorePermit>,
}

impl AgentBody {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Takes the room that a body of so many bytes lacks. One that is larger than the budget takes all of it.
    pub(super) async fn make_room(&mut self, bytes: usize, budget: &Budget, metrics: &Metrics) -> Result<(), Refusal> {
        if bytes <= SMALL {
            return Ok(());
        }
        budget.all.fill(&mut self.room, bytes.div_ceil(PIECE), metrics).await
    }

    /// As [`AgentBody::make_room`], for a body that is still coming from an unknown sender.
    pub(super) async fn make_room_for_unknown(
        &mut self,
        bytes: usize,
        budget: &Budget,
        metrics: &Metrics,
    ) -> Result<(), Refusal> {
        if bytes > SMALL {
            budget.unknown.fill(&mut self.unknown, bytes.div_ceil(PIECE), metrics).await?;
        }
        self.make_room(bytes, budget, metrics).await
    }

    /// The body is here, or its sender is known: other bodies may take its part of the room for unknown senders.
    pub(super) fn has_come(&mut self) {
        self.unknown = None;
    }

    /// The bytes, and the room that they hold as long as the second value lives.
    pub(super) fn into_parts(self) -> (Vec<u8>, Option<OwnedSemaphorePermit>) {
        (self.bytes, self.room)
    }
}
