//! Reads bodies with a cap on each and a budget for all.
//!
//! A body counts against the budget only above 64 KiB, and only as its bytes arrive, 256 KiB at a time: small requests
//! are never refused because of large ones, and a client that announces much and sends little takes no room. A body over
//! its cap is read on for some seconds before the refusal is sent, because agents that still send do not read.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::web::Payload;
use futures_util::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::AgentApi;
use super::answer::Refusal;
use crate::telemetry::Metrics;

/// Bodies up to this size take no room in the budget, so that large ones never keep small ones out.
const SMALL: usize = 64 * 1024;

/// Room is taken in pieces of this size as bytes arrive, so that a large `Content-Length` alone takes none.
const PIECE: usize = 256 * 1024;

/// How long a request waits for room.
const ROOM_WAIT: Duration = Duration::from_secs(3);

/// How much of a body over its cap is read and dropped, so that the refusal reaches a client that is still sending.
const DRAIN_BYTES: usize = 64 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(4);

/// Bytes that all large bodies together may hold.
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

/// The bytes of a body and the room they hold in the budget.
#[derive(Debug, Default)]
pub(super) struct AgentBody {
    pub bytes: Vec<u8>,
    room: Option<OwnedSemaphorePermit>,
}

impl AgentBody {
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

/// Largest size of a body, and the key of the section `osquery` that sets it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cap {
    pub key: &'static str,
    pub bytes: usize,
}

impl Cap {
    /// The refusal of a body over the cap; `what` names the body.
    pub(super) fn refusal(self, what: &str) -> Refusal {
        let Self { key, bytes } = self;
        let reason = format!("{what} is larger than osquery.{key} allows ({bytes} bytes)");
        Refusal::Error(StatusCode::PAYLOAD_TOO_LARGE, reason)
    }
}

/// Reads a body of at most `cap` bytes.
pub(super) async fn read(
    api: &AgentApi,
    request: &HttpRequest,
    payload: &mut Payload,
    cap: Cap,
) -> Result<AgentBody, Refusal> {
    match read_within(api, request, payload, cap).await? {
        Ok(body) => Ok(body),
        // Boxed: otherwise the future of every request would have the size of this one.
        Err(_) => Err(Box::pin(too_large(payload, cap, &api.metrics)).await),
    }
}

/// Reads a body of at most `cap` bytes. Of a larger one it returns both ends of what was read and leaves the rest unread.
pub(super) async fn read_within(
    api: &AgentApi,
    request: &HttpRequest,
    payload: &mut Payload,
    cap: Cap,
) -> Result<Result<AgentBody, BodyEnds>, Refusal> {
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > cap.bytes) {
        return Ok(Err(BodyEnds::default()));
    }
    let mut body = AgentBody { bytes: Vec::with_capacity(announced.unwrap_or(0).min(SMALL)), room: None };
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| cut_off())?;
        if body.bytes.len() + chunk.len() > cap.bytes {
            let mut ends = BodyEnds::default();
            ends.take(&body.bytes);
            ends.take(&chunk);
            return Ok(Err(ends));
        }
        body.grow(chunk.len(), &api.budget, &api.metrics).await?;
        body.bytes.extend_from_slice(&chunk);
    }
    Ok(Ok(body))
}

/// The first and the last bytes of a body. Agents write the node key as the first or the last member, so a body that is
/// too large to be held still shows whose it is.
#[derive(Debug, Default)]
pub(super) struct BodyEnds {
    first: Vec<u8>,
    last: Vec<u8>,
}

/// Longer than the member `node_key` with the braces and spaces around it.
const END: usize = 1024;

impl BodyEnds {
    fn take(&mut self, bytes: &[u8]) {
        let missing = END.saturating_sub(self.first.len()).min(bytes.len());
        self.first.extend_from_slice(&bytes[..missing]);
        self.last.extend_from_slice(&bytes[bytes.len().saturating_sub(END)..]);
        let surplus = self.last.len().saturating_sub(END);
        self.last.drain(..surplus);
    }

    /// Reads the rest of the body and keeps only its last bytes.
    pub(super) async fn drain(&mut self, payload: &mut Payload) -> Result<(), Refusal> {
        while let Some(chunk) = payload.next().await {
            self.take(&chunk.map_err(|_| cut_off())?);
        }
        Ok(())
    }

    /// The node key, if it is the first or last member of the body's object.
    ///
    // why: this reads without parsing, and still no row can forge a key: inside a string the quotes around `node_key`
    // would be escaped, and an inner object neither begins nor ends the body.
    pub(super) fn node_key(&self) -> Option<&str> {
        // The first bytes may end inside a character.
        let first = self.first.utf8_chunks().next()?.valid();
        let in_front = first.trim_start().strip_prefix('{').and_then(key_behind);
        in_front.map(|(key, _)| key).or_else(|| {
            let start = self.last.windows(NODE_KEY.len()).rposition(|bytes| bytes == NODE_KEY.as_bytes())?;
            let (key, rest) = key_behind(std::str::from_utf8(&self.last[start..]).ok()?)?;
            (rest.trim() == "}").then_some(key)
        })
    }
}

const NODE_KEY: &str = "\"node_key\"";

/// The node key at the beginning of `text`, and the text after it.
fn key_behind(text: &str) -> Option<(&str, &str)> {
    let value = text.trim_start().strip_prefix(NODE_KEY)?.trim_start().strip_prefix(':')?.trim_start();
    let (key, rest) = value.strip_prefix('"')?.split_once('"')?;
    (!key.is_empty() && !key.contains('\\')).then_some((key, rest))
}

fn cut_off() -> Refusal {
    Refusal::Error(StatusCode::BAD_REQUEST, "the body was cut off".to_owned())
}

async fn too_large(payload: &mut Payload, cap: Cap, metrics: &Metrics) -> Refusal {
    metrics.limit_hit(cap.key);
    let drain = async {
        let mut drained = 0;
        while let Some(Ok(chunk)) = payload.next().await {
            drained += chunk.len();
            if drained > DRAIN_BYTES {
                break;
            }
        }
    };
    // The refusal is the same however much was read.
    let _ = tokio::time::timeout(DRAIN_TIME, drain).await;
    cap.refusal("the body")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(body: &[u8], piece: usize) -> Option<String> {
        let mut ends = BodyEnds::default();
        body.chunks(piece).for_each(|chunk| ends.take(chunk));
        ends.node_key().map(str::to_owned)
    }

    #[test]
    fn the_key_is_found_at_either_end_and_nowhere_else() {
        let rows = format!(r#""queries":{{"a":[{{"x":"{}"}}]}}"#, "é\u{1}".repeat(2_000));
        for piece in [1, 7, 1_000, 1 << 20] {
            let written = format!("{{{rows},\"node_key\":\"k_1-Z\"}}");
            assert_eq!(key(written.as_bytes(), piece).as_deref(), Some("k_1-Z"), "as agents write it");
            let written = format!(" {{ \"node_key\" : \"k1\", {rows} }}");
            assert_eq!(key(written.as_bytes(), piece).as_deref(), Some("k1"), "in front");
            for hostile in [
                format!("{{{rows},\"z\":{{\"node_key\":\"k1\"}}}}"),
                format!("{{{rows},\"z\":\"\\\"node_key\\\":\\\"k1\\\"}}\"}}"),
                format!("{{\"z\":{{\"node_key\":\"k1\"}},{rows}}}"),
                format!("{{{rows},\"node_key\":\"\"}}"),
                format!("{{{rows},\"node_key\":\"k1"),
                format!("{{{rows},\"node_key\":7}}"),
            ] {
                assert_eq!(key(hostile.as_bytes(), piece), None, "{hostile}");
            }
        }
        assert_eq!(key(b"", 1), None);
        assert_eq!(key(b"{\"node_key\":\"k\xff\"", 3), None);
    }
}
