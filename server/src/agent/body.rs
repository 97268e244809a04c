//! Reads bodies with a cap on each and a budget for all (`budget`).
//!
//! Once a body holds room, it must come as fast as it takes to be here in time, so that a client that announces much and
//! sends little does not hold the room.

use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_LENGTH;
use futures_util::StreamExt as _;
use tokio::time::Instant;

use super::AgentApi;
use super::answer::Refusal;
pub(super) use super::body_ends::{BodyEnds, node_key_at_an_end};
pub(super) use super::budget::AgentBody;
use super::budget::SMALL;
use super::request::AgentRequest;
use crate::under_way::Ongoing;

/// How far a body may fall behind its pace.
const PACE_SLACK: Duration = Duration::from_secs(2);

/// Largest size of a body, and the setting that it comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cap {
    pub section: &'static str,
    pub key: &'static str,
    pub bytes: usize,
}

impl Cap {
    /// The refusal of a body over the cap; `what` names the body.
    pub(super) fn refusal(self, what: &str) -> Refusal {
        let Self { section, key, bytes } = self;
        let reason = format!("{what} is larger than {section}.{key} allows ({bytes} bytes)");
        Refusal::Error(StatusCode::PAYLOAD_TOO_LARGE, reason)
    }
}

/// Reads a body of at most `cap` bytes.
pub(super) async fn read(
    api: &AgentApi,
    request: &AgentRequest,
    payload: &mut Payload,
    cap: Cap,
) -> Result<AgentBody, Refusal> {
    BodyReader::new(api, request, payload, cap).read().await
}

/// Reads a body of at most `cap` bytes. Of a larger one it returns both ends of what was read and leaves the rest unread.
pub(super) async fn read_within(
    api: &AgentApi,
    request: &AgentRequest,
    payload: &mut Payload,
    cap: Cap,
) -> Result<Result<AgentBody, BodyEnds>, Refusal> {
    let mut reader = BodyReader::new(api, request, payload, cap);
    Ok(reader.read_to(usize::MAX).await?.map(|()| reader.body))
}

/// Reads a body bit by bit, so that its beginning can tell whether the rest is worth reading.
pub(super) struct BodyReader<'a> {
    api: &'a AgentApi,
    request: &'a AgentRequest,
    payload: &'a mut Payload,
    cap: Cap,
    announced: Option<usize>,
    body: AgentBody,
    is_known: bool,
    pace: Option<Pace>,
}

impl<'a> BodyReader<'a> {
    pub(super) fn new(api: &'a AgentApi, request: &'a AgentRequest, payload: &'a mut Payload, cap: Cap) -> Self {
        let length = request.headers().get(CONTENT_LENGTH);
        let announced = length.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        let body = AgentBody::with_capacity(announced.unwrap_or(0).min(SMALL));
        Self { api, request, payload, cap, announced, body, is_known: request.is_from_a_host(), pace: None }
    }

    /// The first bytes have told who sends the body.
    pub(super) fn sender_is_known(&mut self) {
        self.is_known = true;
        self.body.has_come();
    }

    /// The first bytes of the body: so many, or more, or all of it.
    pub(super) async fn first(&mut self, bytes: usize) -> Result<&[u8], Refusal> {
        match self.read_to(bytes).await? {
            Ok(()) => Ok(&self.body.bytes),
            Err(_) => Err(self.too_large()),
        }
    }

    /// The whole body.
    pub(super) async fn read(mut self) -> Result<AgentBody, Refusal> {
        match self.read_to(usize::MAX).await? {
            Ok(()) => Ok(self.body),
            Err(_) => Err(self.too_large()),
        }
    }

    fn too_large(&self) -> Refusal {
        self.api.metrics.limit_hit(self.cap.key);
        self.cap.refusal("the body")
    }

    /// Reads on until so many bytes are there or the body ends. Of a body over the cap it returns both ends.
    async fn read_to(&mut self, bytes: usize) -> Result<Result<(), BodyEnds>, Refusal> {
        if self.announced.is_some_and(|length| length > self.cap.bytes) {
            return Ok(Err(BodyEnds::default()));
        }
        while self.body.bytes.len() < bytes {
            let Some(chunk) = self.next().await? else {
                self.body.has_come();
                Ongoing::has_body();
                break;
            };
            let length = self.body.bytes.len() + chunk.len();
            if length > self.cap.bytes {
                let mut ends = BodyEnds::default();
                ends.take(&self.body.bytes);
                ends.take(&chunk);
                return Ok(Err(ends));
            }
            if length > SMALL {
                let whole = self.announced.unwrap_or(0).max(length);
                let AgentApi { budget, metrics, .. } = self.api;
                if self.is_known {
                    self.body.make_room(whole, budget, metrics).await?;
                } else {
                    self.body.make_room_for_unknown(whole, budget, metrics).await?;
                }
                let pace = || Pace { since: Instant::now(), bytes: whole, within: self.api.answer_timeout };
                self.pace = self.pace.take().or_else(|| self.announced.map(|_| pace()));
            }
            self.body.bytes.extend_from_slice(&chunk);
        }
        Ok(Ok(()))
    }

    async fn next(&mut self) -> Result<Option<bytes::Bytes>, Refusal> {
        let chunk = match &self.pace {
            None => self.payload.next().await,
            Some(pace) => {
                let deadline = pace.deadline(self.body.bytes.len());
                tokio::time::timeout_at(deadline, self.payload.next()).await.map_err(|_| {
                    self.api.metrics.limit_hit("body_pace");
                    let reason = "the body comes too slowly to be here in time; lower the agent's logger_tls_max_lines";
                    Refusal::Error(StatusCode::REQUEST_TIMEOUT, reason.to_owned())
                })?
            }
        };
        let chunk = chunk.transpose().map_err(|_| cut_off())?;
        self.request.has_read(chunk.as_ref().map_or(0, bytes::Bytes::len));
        Ok(chunk)
    }
}

/// How fast a body must come once it holds room.
#[derive(Debug)]
struct Pace {
    since: Instant,
    bytes: usize,
    within: Duration,
}

impl Pace {
    /// When there must be more than so many bytes.
    fn deadline(&self, received: usize) -> Instant {
        self.since + PACE_SLACK + self.within.mul_f64(received as f64 / self.bytes.max(1) as f64)
    }
}

pub(super) fn cut_off() -> Refusal {
    Refusal::Error(StatusCode::BAD_REQUEST, "the body was cut off".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_must_come_as_fast_as_it_takes_to_be_here_in_time() {
        let since = Instant::now();
        let pace = Pace { since, bytes: 1_000, within: Duration::from_secs(10) };
        assert_eq!(pace.deadline(0), since + PACE_SLACK);
        assert_eq!(pace.deadline(500), since + PACE_SLACK + Duration::from_secs(5));
    }
}
