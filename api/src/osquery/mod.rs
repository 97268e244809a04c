//! What osqueryd says over its TLS API, and what it must hear back.
//!
//! The readers take a whole request body as bytes and promise:
//!
//! - **Tolerant of content, strict about structure.** Bytes inside JSON strings may be anything:
//!   agents send BLOBs and ill-formed text unescaped. A body that is cut off, or is not one JSON
//!   object, is a [`ReadError`].
//! - **Any member order.** `node_key` may come last. Where a member is given twice, the last one
//!   counts.
//! - **Loose types.** Agents before 3.2 write numbers as strings and empty lists as `""`; both
//!   forms are read.
//! - **Linear time, no recursion, bounded memory.** Large parts (log lines, result rows) stay where
//!   they are in the body and are decoded only when asked for. What is copied has a named limit.
//!
//! Inflating a compressed body and limiting its size are the caller's.

pub mod answer;
mod carve;
pub mod config;
mod cursor;
mod distributed;
mod enroll;
mod error;
pub mod filters;
mod json_text;
mod log;
mod rows;
pub mod scan;
mod text;
mod write_index;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub use carve::{CarveBegin, CarveBlock};
pub use distributed::{DistributedWrite, FAILED, MAX_RESULTS, QueryResult, Stats};
pub use enroll::{Columns, Enroll, HostDetails, MAX_COLUMNS, MAX_NAME_BYTES, MAX_VALUE_BYTES};
pub use error::{BodyProblem, ReadError};
pub use log::{Elements, Log, LogType, MAX_LOG_TYPE_BYTES, write_line};
pub use rows::{ColumnNames, Row, Rows};
pub use scan::MAX_DEPTH;
pub use write_index::WriteIndex;

use scan::{JsonValue, ValueKind};

/// The node key of any body that carries one; all there is to read in a config or a distributed
/// read request.
///
/// `None` if the member is absent or null, `Some("")` from an agent that has no key yet. A key that
/// is not a string is refused: keys are made by the server, and none was ever a number. The whole
/// body is checked, so a truncated one is an error even if its key came through.
pub fn node_key(body: &[u8]) -> Result<Option<Cow<'_, str>>, ReadError> {
    let mut key = None;
    for member in scan::members(body) {
        let member = member?;
        if member.key.is("node_key") {
            key = Some(member.value);
        }
    }
    key_text(key)
}

/// The etag of a config request: `None` from agents that do not know it, `Some("")` from one that has no config yet.
pub fn etag(body: &[u8]) -> Result<Option<Cow<'_, str>>, ReadError> {
    let mut etag = None;
    for member in scan::members(body) {
        let member = member?;
        if member.key.is("etag") {
            etag = Some(member.value);
        }
    }
    // What is no text is no etag: the agent gets its whole config.
    Ok(etag.filter(|value| value.kind() == ValueKind::String).and_then(|value| value.text()))
}

fn key_text(key: Option<JsonValue<'_>>) -> Result<Option<Cow<'_, str>>, ReadError> {
    match key {
        Some(value) => match value.kind() {
            ValueKind::String => Ok(value.text()),
            ValueKind::Null => Ok(None),
            _ => Err(value.wrong_type("node_key", "a string")),
        },
        None => Ok(None),
    }
}
