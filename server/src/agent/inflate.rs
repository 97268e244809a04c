use std::io::{self, Cursor, Read as _};

use actix_web::http::StatusCode;
use flate2::bufread::MultiGzDecoder;

use super::AgentApi;
use super::answer::Refusal;
use super::body_ends::{self, END};
use super::budget::AgentBody;
use super::heavy::LARGE;

/// Bytes inflated between two checks of the budget.
const STEP: usize = 1 << 20;

/// Compressed bytes that show the first 1 KiB of a body: what does not shrink grows by a few bytes.
pub(super) const FRONT: usize = 2 * 1024;

/// The node key in front of a gzip body, of which these are the first bytes: agents write it as the first member.
pub(super) fn node_key_in_front(compressed: &[u8]) -> Option<String> {
    let mut first = Vec::with_capacity(END);
    // The bytes end anywhere, so an error is no surprise; what came before it counts.
    let _ = MultiGzDecoder::new(compressed).take(END as u64).read_to_end(&mut first);
    body_ends::node_key_in_front(&first).map(str::to_owned)
}

/// A body half inflated.
struct Inflating {
    decoder: MultiGzDecoder<Cursor<Vec<u8>>>,
    inflated: AgentBody,
}

impl Inflating {
    /// Inflates some more bytes, and tells how many there were.
    fn step(mut self, bytes: usize) -> (Self, io::Result<usize>) {
        let read = self.decoder.by_ref().take(bytes as u64).read_to_end(&mut self.inflated.bytes);
        (self, read)
    }
}

/// Inflates a gzip body of at most `osquery.max_log_inflated` bytes; of at most [`LARGE`] when its sender is not known, as
/// agents write the key in front of a body that they compress.
pub(super) async fn inflate(api: &AgentApi, compressed: AgentBody, is_known: bool) -> Result<AgentBody, Refusal> {
    let cap = api.caps.log_inflated;
    let (bytes, _room) = compressed.into_parts();
    let most = if is_known { cap.bytes } else { cap.bytes.min(LARGE) };
    // The room is taken at once, so that no body is refused when most of it is inflated. The end of a body says how
    // large it is; if that is not true, the rest is taken step by step.
    let said = bytes.last_chunk().map_or(0, |length| u32::from_le_bytes(*length) as usize);
    let mut inflating = Inflating { decoder: MultiGzDecoder::new(Cursor::new(bytes)), inflated: AgentBody::default() };
    inflating.inflated.make_room(said.min(most), &api.budget, &api.metrics).await?;
    loop {
        let length = inflating.inflated.bytes.len();
        // One byte too many is enough to refuse.
        let step = STEP.min(most + 1 - length);
        inflating.inflated.make_room(length + step, &api.budget, &api.metrics).await?;
        let (stepped, read) = api.heavy.run(length + step, move || inflating.step(step)).await?;
        inflating = stepped;
        let read = read
            .map_err(|error| Refusal::Error(StatusCode::BAD_REQUEST, format!("the body is not valid gzip: {error}")))?;
        if inflating.inflated.bytes.len() > cap.bytes {
            api.metrics.limit_hit(cap.key);
            return Err(cap.refusal("the inflated body"));
        }
        if inflating.inflated.bytes.len() > most {
            api.metrics.limit_hit("unknown_inflated");
            let reason = format!(
                "the body inflates to more than {most} bytes and does not begin with node_key; put node_key first, as agents do"
            );
            return Err(Refusal::Error(StatusCode::PAYLOAD_TOO_LARGE, reason));
        }
        if read < step {
            return Ok(inflating.inflated);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_first_bytes_of_a_compressed_body_show_whose_it_is() {
        let random: String = (0..500_000).map(|_| char::from(rand::random_range(b'a'..=b'z'))).collect();
        let agents = gzip(format!(r#"{{"node_key":"k_1-Z","log_type":"result","data":["{random}"]}}"#).as_bytes());
        assert_eq!(node_key_in_front(&agents[..FRONT]).as_deref(), Some("k_1-Z"));
        assert_eq!(node_key_in_front(&gzip(br#"{"node_key":"k1"}"#)).as_deref(), Some("k1"));
        let last = gzip(format!(r#"{{"data":["{random}"],"node_key":"k1"}}"#).as_bytes());
        for other in [&last[..FRONT], &last[..5], b"", b"{\"node_key\":\"k1\"}"] {
            assert_eq!(node_key_in_front(other), None);
        }
    }
}
