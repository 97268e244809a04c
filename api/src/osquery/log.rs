use std::borrow::Cow;
use std::fmt;

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

/// The lines of a batch as they stand in the body. A batch of a million tiny lines costs no more
/// memory than its body.
#[derive(Debug, Clone, Copy, Default)]
pub struct Elements<'a>(Option<JsonValue<'a>>);

impl<'a> Log<'a> {
    pub fn read(body: &'a [u8]) -> Result<Self, ReadError> {
        let (mut key, mut log_type, mut data) = (None, None, None);
        for member in scan::members(body) {
            let member = member?;
            if member.key.is("data") {
                data = Some(member.value);
            } else if member.key.is("log_type") {
                log_type = Some(member.value);
            } else if member.key.is("node_key") {
                key = Some(member.value);
            }
        }
        Ok(Self { node_key: key_text(key)?, log_type: LogType::of(log_type), elements: Elements::of(data)? })
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
    fn of(data: Option<JsonValue<'a>>) -> Result<Self, ReadError> {
        match data {
            Some(value) if value.kind() == ValueKind::Array => Ok(Self(data)),
            Some(value) if !value.is_empty() || value.kind() == ValueKind::Object => {
                Err(value.wrong_type("data", "a list"))
            }
            _ => Ok(Self(None)),
        }
    }

    /// How many lines there are; known without counting.
    pub fn len(&self) -> usize {
        self.0.map_or(0, |value| value.children())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The JSON text of each line, byte for byte as the agent sent it, in the agent's order. It is
    /// well-formed JSON except for the bytes inside its strings, and usually but not
    /// necessarily an object. Each call scans the batch once.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.0.into_iter().flat_map(|value| value.elements()).map(|element| element.raw())
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
