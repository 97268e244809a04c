use actix_web::dev::Payload;
use futures_util::StreamExt as _;

use super::answer::Refusal;
use super::body::cut_off;
use super::request::AgentRequest;

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
    pub(super) fn take(&mut self, bytes: &[u8]) {
        let missing = END.saturating_sub(self.first.len()).min(bytes.len());
        self.first.extend_from_slice(&bytes[..missing]);
        self.last.extend_from_slice(&bytes[bytes.len().saturating_sub(END)..]);
        let surplus = self.last.len().saturating_sub(END);
        self.last.drain(..surplus);
    }

    /// Reads the rest of the body and keeps only its last bytes.
    pub(super) async fn drain(&mut self, request: &AgentRequest, payload: &mut Payload) -> Result<(), Refusal> {
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| cut_off())?;
            request.has_read(chunk.len());
            self.take(&chunk);
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
}
