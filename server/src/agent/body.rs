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

/// Reads a body of at most `cap` bytes.
pub(super) async fn read(
    request: &HttpRequest,
    payload: &mut Payload,
    cap: usize,
    limit: &'static str,
    budget: &Budget,
    metrics: &Metrics,
) -> Result<AgentBody, Refusal> {
    match read_within(request, payload, cap, budget, metrics).await? {
        Ok(body) => Ok(body),
        // Boxed, because every request would otherwise carry room for it.
        Err(_) => Err(Box::pin(too_large(payload, cap, limit, metrics)).await),
    }
}

/// Reads a body of at most `cap` bytes. One that is larger is given back as far as it was read, the rest unread.
pub(super) async fn read_within(
    request: &HttpRequest,
    payload: &mut Payload,
    cap: usize,
    budget: &Budget,
    metrics: &Metrics,
) -> Result<Result<AgentBody, BodyEnds>, Refusal> {
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > cap) {
        return Ok(Err(BodyEnds::default()));
    }
    let mut body = AgentBody { bytes: Vec::with_capacity(announced.unwrap_or(0).min(SMALL)), room: None };
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| cut_off())?;
        if body.bytes.len() + chunk.len() > cap {
            let mut ends = BodyEnds::default();
            ends.take(&body.bytes);
            ends.take(&chunk);
            return Ok(Err(ends));
        }
        body.grow(chunk.len(), budget, metrics).await?;
        body.bytes.extend_from_slice(&chunk);
    }
    Ok(Ok(body))
}

/// The first and the last bytes of a body, among which agents write their node key.
#[derive(Debug, Default)]
pub(super) struct BodyEnds {
    first: Vec<u8>,
    last: Vec<u8>,
}

/// Longer than a node key with all that stands around it.
const END: usize = 1024;

impl BodyEnds {
    fn take(&mut self, bytes: &[u8]) {
        let missing = END.saturating_sub(self.first.len()).min(bytes.len());
        self.first.extend_from_slice(&bytes[..missing]);
        self.last.extend_from_slice(&bytes[bytes.len().saturating_sub(END)..]);
        let surplus = self.last.len().saturating_sub(END);
        self.last.drain(..surplus);
    }

    /// Reads the rest of the body and throws it away, but for the last bytes.
    pub(super) async fn drain(&mut self, payload: &mut Payload) -> Result<(), Refusal> {
        while let Some(chunk) = payload.next().await {
            self.take(&chunk.map_err(|_| cut_off())?);
        }
        Ok(())
    }

    /// The node key of an object whose first or last member it is. Inside a string these quotes would be escaped, and an
    /// inner object neither begins nor ends the body.
    pub(super) fn node_key(&self) -> Option<&str> {
        // The bytes end anywhere, also inside a character.
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

/// The key of a member at the beginning of a text, and what follows it.
fn key_behind(text: &str) -> Option<(&str, &str)> {
    let value = text.trim_start().strip_prefix(NODE_KEY)?.trim_start().strip_prefix(':')?.trim_start();
    let (key, rest) = value.strip_prefix('"')?.split_once('"')?;
    (!key.is_empty() && !key.contains('\\')).then_some((key, rest))
}

fn cut_off() -> Refusal {
    Refusal::Error(StatusCode::BAD_REQUEST, "the body was cut off".to_owned())
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
    is_too_large(cap, limit)
}

/// What is said of a body that is too large.
pub(super) fn is_too_large(cap: usize, limit: &str) -> Refusal {
    Refusal::Error(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the body is larger than osquery.{limit} allows ({cap} bytes)"),
    )
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
