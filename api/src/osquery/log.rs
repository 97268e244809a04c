use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use super::error::ReadError;
use super::key_text;
use super::scan::{self, JsonValue, ValueKind};

/// How much of an unknown log type is kept.
pub const MAX_LOG_TYPE_BYTES: usize = 64;

/// A batch of log lines, all of one type. Reading it copies no line.
#[derive(Clone)]
pub struct Log<'a> {
    /// As [`node_key`](super::node_key()) gives it.
    pub node_key: Option<Cow<'a, str>>,
    pub log_type: LogType,
    /// The member `data`, which stands before or after the key. Absent, null and `""` mean no
    /// lines; anything else that is not a list is an error.
    pub elements: Elements<'a>,
}

/// What the lines of a batch are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogType {
    /// Rows of scheduled queries, differential and snapshot.
    Result,
    /// What the agent says about itself.
    Status,
    /// Something no known version sends, cut to [`MAX_LOG_TYPE_BYTES`]; empty if the member is
    /// missing or not text.
    Unknown(String),
}

/// Lines whose ranges the first scan keeps (1 MiB of ranges), because it runs before the sender is
/// known. Stock agents send at most 1,024 lines.
const MAX_INDEXED: usize = 64 * 1024;

/// The lines of a batch as they stand in the body. A batch of a million tiny lines costs no more
/// memory than its body.
#[derive(Debug, Clone, Default)]
pub struct Elements<'a> {
    body: &'a [u8],
    data: Option<JsonValue<'a>>,
    /// The range of each line; not all of them if there are more than [`MAX_INDEXED`], or if the lines
    /// are so short that the index would take more memory than the body. Then the list is scanned again.
    index: Vec<Range<usize>>,
}

impl<'a> Log<'a> {
    /// Scans the body once, lines included.
    pub fn read(body: &'a [u8]) -> Result<Self, ReadError> {
        let (mut key, mut log_type, mut data) = (None, None, None);
        let mut index = Vec::new();
        let limit = (body.len() / size_of::<Range<usize>>()).min(MAX_INDEXED);
        let mut members = scan::members(body);
        while let Some(member) = members.next_indexed("data", &mut index, limit) {
            let member = member?;
            if member.key.is("data") {
                data = Some(member.value);
            } else if member.key.is("log_type") {
                log_type = Some(member.value);
            } else if member.key.is("node_key") {
                key = Some(member.value);
            }
        }
        let elements = Elements { body, data: Elements::list(data)?, index };
        Ok(Self { node_key: key_text(key)?, log_type: LogType::of(log_type), elements })
    }
}

/// Shows neither key nor lines.
impl fmt::Debug for Log<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("log_type", &self.log_type)
            .field("elements", &self.elements.len())
            .finish_non_exhaustive()
    }
}

impl LogType {
    fn of(value: Option<JsonValue<'_>>) -> Self {
        let text = value.and_then(|value| value.text()).unwrap_or_default();
        match text.as_ref() {
            "result" => Self::Result,
            "status" => Self::Status,
            other => {
                let fits = |&(start, character): &(usize, char)| start + character.len_utf8() <= MAX_LOG_TYPE_BYTES;
                Self::Unknown(other.char_indices().take_while(fits).map(|(_, character)| character).collect())
            }
        }
    }
}

impl<'a> Elements<'a> {
    /// The member `data`, if it is a list.
    fn list(data: Option<JsonValue<'a>>) -> Result<Option<JsonValue<'a>>, ReadError> {
        match data {
            Some(value) if value.kind() == ValueKind::Array => Ok(data),
            Some(value) if !value.is_empty() || value.kind() == ValueKind::Object => {
                Err(value.wrong_type("data", "a list"))
            }
            _ => Ok(None),
        }
    }

    /// How many lines there are; known without counting.
    pub fn len(&self) -> usize {
        self.data.map_or(0, |value| value.children())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The JSON text of each line, byte for byte as the agent sent it, in the agent's order. It is
    /// well-formed JSON except for the bytes inside its strings, and usually but not
    /// necessarily an object.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        let body = self.body;
        self.ranges().map(move |range| body.get(range).unwrap_or_default())
    }

    /// Where each line stands in the body, in the agent's order.
    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> + use<'_, 'a> {
        let is_complete = self.index.len() == self.len();
        let index = if is_complete { self.index.as_slice() } else { &[] };
        let scanned = self.data.filter(|_| !is_complete).into_iter().flat_map(|value| value.elements());
        index.iter().cloned().chain(scanned.map(|element| element.range()))
    }

    /// As [`ranges`](Self::ranges), without the body.
    pub fn into_ranges(self) -> Vec<Range<usize>> {
        if self.index.len() == self.len() { self.index } else { self.ranges().collect() }
    }
}

/// Appends an element as one line, with a line feed at its end and no other line feed or carriage
/// return in it, whatever the element contains.
///
/// Otherwise the bytes stay as they are. A raw line feed or carriage return becomes a space between
/// tokens, where it means nothing, and the escape `\n` or `\r` inside a string, where it should
/// have been one. At most doubles the length.
pub fn write_line(element: &[u8], out: &mut Vec<u8>) {
    if element.contains(&b'\n') || element.contains(&b'\r') {
        write_without_breaks(element, out);
    } else {
        out.extend_from_slice(element);
    }
    out.push(b'\n');
}

fn write_without_breaks(element: &[u8], out: &mut Vec<u8>) {
    let mut in_string = false;
    let mut escaped = false;
    out.reserve(element.len() + 1);
    for &byte in element {
        match byte {
            b'\n' if in_string => out.extend_from_slice(b"\\n"),
            b'\r' if in_string => out.extend_from_slice(b"\\r"),
            b'\n' | b'\r' => out.push(b' '),
            _ => out.push(byte),
        }
        in_string ^= byte == b'"' && !escaped;
        escaped = in_string && byte == b'\\' && !escaped;
    }
}
