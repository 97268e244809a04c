//! Carves: files in blocks. Agents send a block again only if the answer is no JSON, and take any JSON for success; they
//! give a carve up when its beginning is answered by JSON without a session. Before 5.22 they send nothing again, and leave
//! out blocks that fail.

use std::borrow::Cow;
use std::pin::pin;

use actix_web::HttpResponse;
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;
use muster_api::osquery::answer::{BLOCK_KEPT, carve_begun};
use muster_api::osquery::{CarveBegin, CarveBlock, ReadError};
use tokio::sync::OwnedSemaphorePermit;

use super::AgentApi;
use super::answer::{AgentAnswer, Refusal, answer};
use super::body::{self, AgentBody, BodyReader, Cap};
use super::heavy::LARGE;
use super::node_key::{identify, is_header_known};
use super::request::{AgentRequest, Sender};
use crate::config::Carves;
use crate::fleet::Error;
use crate::fleet::carves::{CarveSession, CarvedBlock, NewCarve};

/// The body of a block beside its data: names, ids and a session.
const AROUND_DATA: usize = 4 * 1024;

/// Bytes in which the session of a large body must begin and end, if the header does not tell the sender. Agents write it in
/// front of the data.
const FRONT: usize = 1024;

/// Base64 that is decoded at one time: whole groups of four.
const PIECE: usize = 4096;

/// The largest body of a block: its bytes in base64, and what is around them.
pub(super) fn cap(carves: &Carves) -> Cap {
    let bytes = carves.max_block_size.0.div_ceil(3) * 4 + AROUND_DATA;
    Cap { section: "carves", key: "max_block_size", bytes }
}

/// Begins a carve.
pub(super) async fn begin(api: &AgentApi, request: &AgentRequest, payload: &mut Payload) -> HttpResponse {
    let work = pin!(async {
        let body = body::read(api, request, payload, api.caps.config).await?;
        let begin = CarveBegin::read(&body.bytes)?;
        let host = identify(api, request, begin.node_key.as_deref()).await?;
        let new = NewCarve {
            carve_id: begin.carve_id.into_owned(),
            request_id: begin.request_id.into_owned(),
            block_count: begin.block_count,
            block_size: begin.block_size,
            carve_size: begin.carve_size,
        };
        Ok(carve_begun(&api.fleet.carves.begin(&host, &new).await?).into())
    });
    answer(api, request, &api.endpoints.carve_begin, work).await
}

/// Keeps a block of a carve. Success means that it is durable.
pub(super) async fn block(api: &AgentApi, request: &AgentRequest, payload: &mut Payload) -> HttpResponse {
    answer(api, request, &api.endpoints.carve_block, pin!(keep(api, request, payload))).await
}

/// The sender of a large body is known before the body is read: by the header, or by the session in front of the data. What
/// is left of the memory limit for unknown senders holds the others.
async fn keep(api: &AgentApi, request: &AgentRequest, payload: &mut Payload) -> AgentAnswer {
    let is_known = is_header_known(api, request).await?;
    let mut reader = BodyReader::new(api, request, payload, api.caps.carve_block);
    let mut in_front = None;
    if !is_known {
        let first = reader.first(FRONT).await?;
        if first.len() >= FRONT
            && let Some(session) = CarveBlock::session_in_front(first).map(Cow::into_owned)
        {
            in_front = Some(session_of(api, request, &session).await?);
            reader.sender_is_known();
        }
    }
    let body = reader.read().await?;
    let length = body.bytes.len();
    if !is_known && in_front.is_none() && length > LARGE {
        let reason = format!("a body of more than {LARGE} bytes must have session_id before data");
        return Err(Refusal::Error(StatusCode::BAD_REQUEST, reason));
    }
    let block = api.heavy.run(length, move || ReadBlock::of(body)).await??;
    let session = match in_front.filter(|session| session.is_of(&block.session_id)) {
        Some(session) => session,
        None => session_of(api, request, &block.session_id).await?,
    };
    api.fleet.carves.keep(&session, block.carved).await?;
    Ok(Bytes::from_static(BLOCK_KEPT))
}

/// The carve of a session, if the sender may be its host.
async fn session_of(api: &AgentApi, request: &AgentRequest, session: &str) -> Result<CarveSession, Refusal> {
    let found = api.fleet.carves.session(session).await.map_err(|error| match error {
        Error::Forbidden => {
            let reason = "there is no carve of this session; it may have been deleted, or begun anew";
            Refusal::Error(StatusCode::FORBIDDEN, reason.to_owned())
        }
        error => error.into(),
    })?;
    match request.sender() {
        Some(Sender::Host(id)) if id != found.host_id() => {
            let reason = "the carve of this session is another host's";
            return Err(Refusal::Error(StatusCode::FORBIDDEN, reason.to_owned()));
        }
        _ => request.is_from(Sender::Host(found.host_id())),
    }
    Ok(found)
}

/// A block, taken out of its body.
struct ReadBlock {
    session_id: String,
    carved: CarvedBlock,
}

/// The bytes of a block, and the room they hold.
struct BlockBytes {
    bytes: Vec<u8>,
    _room: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for BlockBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl ReadBlock {
    fn of(body: AgentBody) -> Result<Self, Refusal> {
        let (mut bytes, room) = body.into_parts();
        let CarveBlock { block_id, session_id, request_id, data } =
            CarveBlock::read(&bytes).map_err(|error: ReadError| Refusal::from(error))?;
        let (session_id, request_id) = (session_id.into_owned(), request_id.into_owned());
        decode(&mut bytes, data).ok_or_else(|| {
            Refusal::Error(StatusCode::BAD_REQUEST, "member data is not base64 with padding".to_owned())
        })?;
        let data = Bytes::from_owner(BlockBytes { bytes, _room: room });
        Ok(Self { session_id, carved: CarvedBlock { block_id, request_id, data } })
    }
}

/// Decodes base64 that stands in a buffer, in its place, so that a block is in memory once. Only the result is left. Of
/// escapes there may be `\/`, which JSON writers of old agents use.
fn decode(buffer: &mut Vec<u8>, data: std::ops::Range<usize>) -> Option<()> {
    let mut text = 0;
    for at in data {
        let byte = *buffer.get(at)?;
        if byte != b'\\' {
            buffer[text] = byte;
            text += 1;
        } else if buffer.get(at + 1) != Some(&b'/') {
            return None;
        }
    }
    let (mut read, mut written) = (0, 0);
    let mut piece = [0_u8; PIECE / 4 * 3];
    while read < text {
        let end = (read + PIECE).min(text);
        // Padding is at the end of all.
        let engine = if end < text { &STANDARD_NO_PAD } else { &STANDARD };
        let count = engine.decode_slice(&buffer[read..end], &mut piece).ok()?;
        buffer[written..written + count].copy_from_slice(&piece[..count]);
        (read, written) = (end, written + count);
    }
    buffer.truncate(written);
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(text: &str) -> Option<Vec<u8>> {
        let mut buffer = format!("{{\"data\":\"{text}\"}}").into_bytes();
        let start = buffer.len() - 2 - text.len();
        decode(&mut buffer, start..start + text.len()).map(|()| buffer)
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_out_as_it_went_in(data in prop::collection::vec(any::<u8>(), 0..20_000)) {
            let text = STANDARD.encode(&data);
            prop_assert_eq!(decoded(&text), Some(data.clone()));
            prop_assert_eq!(decoded(&text.replace('/', "\\/")), Some(data));
        }
    }

    #[test]
    fn what_is_no_base64_is_refused() {
        for text in ["a", "ab", "abc", "ab==ab==", "a b=", "ab=c", "\\u0041aaa", "====", "ab-_"] {
            assert_eq!(decoded(text), None, "{text}");
        }
        let broken = format!("{}ab==", "QUFB".repeat(PIECE / 4 - 1)) + &"QUFB".repeat(9);
        assert_eq!(decoded(&broken), None, "padding in the middle");
        assert_eq!(decoded(""), Some(Vec::new()));
    }
}
