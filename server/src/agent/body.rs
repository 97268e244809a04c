//! Reads bodies with a cap on each and a budget for all.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::web::Payload;
use futures_util::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::Refusal;
use crate::telemetry::Metrics;

/// Bodies up to this size need no room in the budget, so that large ones never keep small ones out.
const SMALL: usize = 64 * 1024;

/// Room is taken in pieces of this size as bytes arrive, so that a promise of many bytes takes none.
const PIECE: usize = 256 * 1024;

/// How long a request waits for room.
const ROOM_WAIT: Duration = Duration::from_secs(3);

/// What is read and thrown away of a body that is too large, so that the refusal reaches a client that is still sending.
const DRAIN_BYTES: usize = 64 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(4);

/// Bytes that large bodies may take up at one time.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<Semaphore>);

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / PIECE).clamp(1, Semaphore::MAX_PERMITS))))
    }

    /// Room for one more piece.
    async fn piece(&self, metrics: &Metrics) -> Result<OwnedSemaphorePermit, Refusal> {
        match tokio::time::timeout(ROOM_WAIT, Arc::clone(&self.0).acquire_owned()).await {
            Ok(Ok(piece)) => Ok(piece),
            _ => {
                metrics.limit_hit("max_bodies_in_flight");
                Err(Refusal::Error(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "too many large requests at one time; try again".to_owned(),
                ))
            }
        }
    }
}

/// Bytes and the room they take.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub bytes: Vec<u8>,
    room: Option<OwnedSemaphorePermit>,
}

impl Body {
    /// Takes room for `more` bytes.
    pub(super) async fn grow(&mut self, more: usize, budget: &Budget, metrics: &Metrics) -> Result<(), Refusal> {
        let needed = self.bytes.len() + more;
        while needed > SMALL && needed > self.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits) * PIECE {
            let piece = budget.piece(metrics).await?;
            match &mut self.room {
                Some(room) => room.merge(piece),
                None => self.room = Some(piece),
            }
        }
        Ok(())
    }
}

/// Reads a body of at most `cap` bytes.
pub(super) async fn read(
    request: &HttpRequest,
    payload: &mut Payload,
    cap: usize,
    limit: &'static str,
    budget: &Budget,
    metrics: &Metrics,
) -> Result<Body, Refusal> {
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > cap) {
        return Err(too_large(payload, cap, limit, metrics).await);
    }
    let mut body = Body { bytes: Vec::with_capacity(announced.unwrap_or(0).min(SMALL)), room: None };
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Refusal::Error(StatusCode::BAD_REQUEST, "the body was cut off".to_owned()))?;
        if body.bytes.len() + chunk.len() > cap {
            drop(body);
            return Err(too_large(payload, cap, limit, metrics).await);
        }
        body.grow(chunk.len(), budget, metrics).await?;
        body.bytes.extend_from_slice(&chunk);
    }
    Ok(body)
}

async fn too_large(payload: &mut Payload, cap: usize, limit: &'static str, metrics: &Metrics) -> Refusal {
    metrics.limit_hit(limit);
    let drain = async {
        let mut drained = 0;
        while let Some(Ok(chunk)) = payload.next().await {
            drained += chunk.len();
            if drained > DRAIN_BYTES {
                break;
            }
        }
    };
    // However much of it came: the refusal is the same.
    let _ = tokio::time::timeout(DRAIN_TIME, drain).await;
    Refusal::Error(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the body is larger than osquery.{limit} allows ({cap} bytes)"),
    )
}
