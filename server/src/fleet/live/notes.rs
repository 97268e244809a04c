//! The notes of events, which nodes pass to each other.

use chrono::{DateTime, Utc};
use muster_api::rest::{LiveAnswer, LiveStats, LiveStatus, TargetState};
use serde::{Deserialize, Serialize};

use crate::clock::Moment;

/// A host's final state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Settlement {
    pub state: TargetState,
    #[serde(default)]
    pub truncated: bool,
    /// The host is only counted: its answer could not be kept, or was lost.
    #[serde(default)]
    pub unkept: bool,
    #[serde(default)]
    pub stats: Option<LiveStats>,
    /// Bytes of the line that is kept, with its newline; 0 without one, and in a note of an older version.
    #[serde(default)]
    pub bytes: u64,
    pub at: i64,
}

/// The fields of a kept answer that a settlement has.
#[derive(Deserialize)]
struct KeptAnswer {
    state: TargetState,
    #[serde(default)]
    truncated: bool,
    #[serde(default)]
    stats: Option<LiveStats>,
    at: DateTime<Utc>,
}

/// Reads the settlement of a host, as a note, from the line that is kept of its answer. Rows are passed over.
pub fn note_of(line: &[u8]) -> Vec<u8> {
    let Ok(KeptAnswer { state, truncated, stats, at }) = serde_json::from_slice(line) else { return Vec::new() };
    let (bytes, at) = (line.len() as u64, at.timestamp_micros());
    Settlement { state, truncated, unkept: false, stats, bytes, at }.to_bytes()
}

impl Settlement {
    pub fn of(answer: &LiveAnswer) -> Self {
        let at = answer.at.timestamp_micros();
        Self { state: answer.state, truncated: answer.truncated, unkept: false, stats: answer.stats, bytes: 0, at }
    }

    /// The same for an answer whose line is kept; an empty one is none.
    pub fn with_line(&self, line: &[u8]) -> Self {
        let bytes = if line.is_empty() { 0 } else { line.len() as u64 + 1 };
        Self { bytes, ..self.clone() }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a note. One that cannot be read is of a newer version, and settles the host as failed.
    pub fn from_bytes(bytes: &[u8], now: Moment) -> Self {
        serde_json::from_slice(bytes).unwrap_or_else(|error| {
            tracing::error!(%error, "settlement of a host of a live query cannot be read; the host counts as failed");
            Self { state: TargetState::Failed, truncated: false, unkept: false, stats: None, bytes: 0, at: now.0 }
        })
    }
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct JobEnding {
    pub status: LiveStatus,
    pub reason: String,
    /// The final state of hosts that have not answered.
    pub rest: TargetState,
    pub at: i64,
}

impl JobEnding {
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub fn from_bytes(bytes: &[u8], now: Moment) -> Self {
        serde_json::from_slice(bytes).unwrap_or_else(|error| {
            tracing::error!(%error, "end of a live query cannot be read; it counts as stopped");
            let rest = TargetState::Cancelled;
            Self { status: LiveStatus::Stopped, reason: String::new(), rest, at: now.0 }
        })
    }
}
