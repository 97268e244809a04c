//! Reads bodies with a cap on each and a budget for all.
//!
//! A body counts against the budget only above 64 KiB: small requests are never refused because of large ones. Once that
//! much has come, room for the whole announced body is taken at once, so that no body is refused when most of it is here;
//! from then on it must come as fast as it takes to be here in time, so that a client that announces much and sends little
//! does not hold the room. A body without a length takes room as it comes.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::web::Payload;
use futures_util::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::AgentApi;
use super::answer::Refusal;
use crate::telemetry::Metrics;

/// Bodies up to this size take no room in the budget, so that large ones never keep small ones out.
const SMALL: usize = 64 * 1024;

/// Room is counted in pieces of this size.
const PIECE: usize = 256 * 1024;

/// How long a request waits for room.
const ROOM_WAIT: Duration = Duration::from_secs(3);

/// How far a body may fall behind its pace.
const PACE_SLACK: Duration = Duration::from_secs(2);

/// Bytes that all large bodies together may hold.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    free: Arc<Semaphore>,
    pieces: usize,
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        let pieces = (bytes / PIECE).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Self { free: Arc::new(Semaphore::new(pieces)), pieces }
    }

    async fn take(&self, pieces: usize, metrics: &Metrics) -> Result<OwnedSemaphorePermit, Refusal> {
        let taken = Arc::clone(&self.free).acquire_many_owned(u32::try_from(pieces).unwrap_or(u32::MAX));
        match tokio::time::timeout(ROOM_WAIT, taken).await {
            Ok(Ok(room)) => Ok(room),
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
    /// Takes the room that a body of so many bytes lacks. One that is larger than the budget takes all of it.
    pub(super) async fn make_room(&mut self, bytes: usize, budget: &Budget, metrics: &Metrics) -> Result<(), Refusal> {
        let held = self.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = bytes.div_ceil(PIECE).min(budget.pieces).saturating_sub(held);
        if bytes <= SMALL || missing == 0 {
            return Ok(());
        }
        let room = budget.take(missing, metrics).await?;
        match &mut self.room {
            Some(held) => held.merge(room),
            None => self.room = Some(room),
        }
        Ok(())
    }

    /// The bytes, and the room that they hold as long as the second value lives.
    pub(super) fn into_parts(self) -> (Vec<u8>, Option<OwnedSemaphorePermit>) {
        (self.bytes, self.room)
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
    BodyReader::new(api, request, payload, cap).read().await
}

/// Reads a body of at most `cap` bytes. Of a larger one it returns both ends of what was read and leaves the rest unread.
pub(super) async fn read_within(
    api: &AgentApi,
    request: &HttpRequest,
    payload: &mut Payload,
    cap: Cap,
) -> Result<Result<AgentBody, BodyEnds>, Refusal> {
    let mut reader = BodyReader::new(api, request, payload, cap);
    Ok(reader.read_to(usize::MAX).await?.map(|()| reader.body))
}

/// Reads a body bit by bit, so that its beginning can tell whether the rest is worth reading.
pub(super) struct BodyReader<'a> {
    api: &'a AgentApi,
    payload: &'a mut Payload,
    cap: Cap,
    announced: Option<usize>,
    body: AgentBody,
    pace: Option<Pace>,
}

impl<'a> BodyReader<'a> {
    pub(super) fn new(api: &'a AgentApi, request: &HttpRequest, payload: &'a mut Payload, cap: Cap) -> Self {
        let length = request.headers().get(CONTENT_LENGTH);
        let announced = length.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        let body = AgentBody { bytes: Vec::with_capacity(announced.unwrap_or(0).min(SMALL)), room: None };
        Self { api, payload, cap, announced, body, pace: None }
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
            let Some(chunk) = self.next().await? else { break };
            let length = self.body.bytes.len() + chunk.len();
            if length > self.cap.bytes {
                let mut ends = BodyEnds::default();
                ends.take(&self.body.bytes);
                ends.take(&chunk);
                return Ok(Err(ends));
            }
            if length > SMALL {
                let whole = self.announced.unwrap_or(0).max(length);
                self.body.make_room(whole, &self.api.budget, &self.api.metrics).await?;
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
        chunk.transpose().map_err(|_| cut_off())
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

/// The first and the last bytes of a body. Agents write the node key as the first or the last member, so a body that is
/// too large to be held still shows whose it is.
#[derive(Debug, Default)]
pub(super) struct BodyEnds {
    first: Vec<u8>,
    last: Vec<u8>,
}

/// Longer than the member `node_key` with the braces and spaces around it.
pub(super) const END: usize = 1024;

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
        node_key_in_front(&self.first).or_else(|| {
            let start = self.last.windows(NODE_KEY.len()).rposition(|bytes| bytes == NODE_KEY.as_bytes())?;
            let (key, rest) = key_behind(std::str::from_utf8(&self.last[start..]).ok()?)?;
            (rest.trim() == "}").then_some(key)
        })
    }
}

/// The node key of a whole body, if it is the first or last member of its object.
pub(super) fn node_key_at_an_end(body: &[u8]) -> Option<String> {
    let mut ends = BodyEnds::default();
    ends.take(body);
    ends.node_key().map(str::to_owned)
}

/// The node key, if it is the first member of the object that these bytes begin.
pub(super) fn node_key_in_front(first: &[u8]) -> Option<&str> {
    // They may end inside a character.
    let first = first.utf8_chunks().next()?.valid();
    let (key, _) = first.trim_start().strip_prefix('{').and_then(key_behind)?;
    Some(key)
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
        assert_eq!(node_key_at_an_end(br#"{"data":[],"node_key":"k1"}"#).as_deref(), Some("k1"));
        assert_eq!(node_key_in_front(b"{\"node_key\":\"k1\",\"data\":[\"\xc3"), Some("k1"));
        assert_eq!(key(b"{\"node_key\":\"k\xff\"", 3), None);
    }

    #[test]
    fn a_body_must_come_as_fast_as_it_takes_to_be_here_in_time() {
        let since = Instant::now();
        let pace = Pace { since, bytes: 1_000, within: Duration::from_secs(10) };
        assert_eq!(pace.deadline(0), since + PACE_SLACK);
        assert_eq!(pace.deadline(500), since + PACE_SLACK + Duration::from_secs(5));
    }
}
