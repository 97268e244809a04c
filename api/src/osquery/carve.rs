use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use super::error::ReadError;
use super::key_text;
use super::scan::{self, JsonValue, ValueKind};

/// The beginning of a carve: what the agent is about to send.
#[derive(Clone, PartialEq, Eq)]
pub struct CarveBegin<'a> {
    /// As [`node_key`](super::node_key()) gives it.
    pub node_key: Option<Cow<'a, str>>,
    /// The agent's name for the carve, the `carve_guid` of its table `carves`.
    pub carve_id: Cow<'a, str>,
    /// A random UUID from 4.7 on, and the id of some distributed query before.
    pub request_id: Cow<'a, str>,
    pub block_count: u64,
    /// Bytes of each block but the last.
    pub block_size: u64,
    /// Bytes of all blocks together.
    pub carve_size: u64,
}

/// A block of a carve. It has no node key: the session tells whose it is.
#[derive(Clone, PartialEq, Eq)]
pub struct CarveBlock<'a> {
    /// Counted from 0.
    pub block_id: u64,
    pub session_id: Cow<'a, str>,
    pub request_id: Cow<'a, str>,
    /// Where the text of `data` stands in the body, without its quotes: base64 with padding, in which `/` may be escaped.
    pub data: Range<usize>,
}

impl<'a> CarveBegin<'a> {
    /// Scans the body once. Absent texts are empty, absent numbers are 0.
    pub fn read(body: &'a [u8]) -> Result<Self, ReadError> {
        let mut key = None;
        let [mut carve_id, mut request_id] = [Cow::Borrowed(""), Cow::Borrowed("")];
        let [mut block_count, mut block_size, mut carve_size] = [0; 3];
        for member in scan::members(body) {
            let scan::Member { key: name, value } = member?;
            match name.text().as_deref() {
                Some("node_key") => key = Some(value),
                Some("carve_id") => carve_id = text("carve_id", value)?,
                Some("request_id") => request_id = text("request_id", value)?,
                Some("block_count") => block_count = number("block_count", value)?,
                Some("block_size") => block_size = number("block_size", value)?,
                Some("carve_size") => carve_size = number("carve_size", value)?,
                _ => {}
            }
        }
        Ok(Self { node_key: key_text(key)?, carve_id, request_id, block_count, block_size, carve_size })
    }
}

impl<'a> CarveBlock<'a> {
    /// Scans the body once and copies none of its data.
    pub fn read(body: &'a [u8]) -> Result<Self, ReadError> {
        let [mut session_id, mut request_id] = [Cow::Borrowed(""), Cow::Borrowed("")];
        let (mut block_id, mut data) = (None, 0..0);
        for member in scan::members(body) {
            let scan::Member { key, value } = member?;
            match key.text().as_deref() {
                Some("block_id") => block_id = Some(number("block_id", value)?),
                Some("session_id") => session_id = text("session_id", value)?,
                Some("request_id") => request_id = text("request_id", value)?,
                Some("data") if value.kind() == ValueKind::String => {
                    let Range { start, end } = value.range();
                    data = start + 1..end - 1;
                }
                Some("data") => return Err(value.wrong_type("data", "a string")),
                _ => {}
            }
        }
        let no_id = ReadError {
            offset: 0,
            problem: super::BodyProblem::WrongType { member: "block_id", expected: "a whole number" },
        };
        Ok(Self { block_id: block_id.ok_or(no_id)?, session_id, request_id, data })
    }

    /// The session of a block whose body begins with these bytes, if it stands in them.
    pub fn session_in_front(first: &'a [u8]) -> Option<Cow<'a, str>> {
        let known = scan::members(first).map_while(Result::ok);
        known.filter(|member| member.key.is("session_id")).find_map(|member| text("session_id", member.value).ok())
    }
}

/// Shows neither key nor names.
impl fmt::Debug for CarveBegin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CarveBegin")
            .field("block_count", &self.block_count)
            .field("block_size", &self.block_size)
            .field("carve_size", &self.carve_size)
            .finish_non_exhaustive()
    }
}

/// Shows neither session nor data.
impl fmt::Debug for CarveBlock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CarveBlock").field("block_id", &self.block_id).field("data", &self.data).finish_non_exhaustive()
    }
}

/// Text, or a number as it is written: agents before 4.7 name requests by numbers.
fn text<'a>(member: &'static str, value: JsonValue<'a>) -> Result<Cow<'a, str>, ReadError> {
    value.text().ok_or_else(|| value.wrong_type(member, "text"))
}

/// A whole number, which old agents write as text.
fn number(member: &'static str, value: JsonValue<'_>) -> Result<u64, ReadError> {
    let text = value.text().unwrap_or_default();
    text.parse().map_err(|_| value.wrong_type(member, "a whole number"))
}
