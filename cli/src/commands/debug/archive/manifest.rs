//! What an archive says of itself, so that a reader knows what is missing and what was changed.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The name of the entry.
pub const MANIFEST: &str = "manifest.json";

/// The number of this format.
pub const FORMAT: u32 = 1;

/// The last entry of an archive.
#[derive(Debug, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// The version of `fleetctl`.
    pub client_version: String,
    /// The address that was asked, without a name and password.
    pub address: String,
    pub started_at: DateTime<Utc>,
    pub ended_at: DateTime<Utc>,
    pub profile_seconds: u16,
    /// Whether the collection was stopped before its end.
    pub interrupted: bool,
    pub nodes: Vec<ManifestNode>,
    pub entries: Vec<ManifestEntry>,
    pub failures: Vec<ManifestFailure>,
}

/// A node that was asked, or should have been.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ManifestNode {
    /// Empty if the server does not say.
    pub id: String,
    pub version: String,
    /// The folder with its entries; empty for the first node.
    pub folder: String,
    /// Why it was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// An entry that was collected.
#[derive(Debug, Serialize, Deserialize)]
pub struct ManifestEntry {
    /// The path below the name of the archive.
    pub name: String,
    pub node: String,
    pub started_at: DateTime<Utc>,
    pub ended_at: DateTime<Utc>,
    pub bytes: u64,
    /// In hexadecimal.
    pub sha256: String,
}

/// An entry that could not be collected.
#[derive(Debug, Serialize, Deserialize)]
pub struct ManifestFailure {
    pub name: String,
    pub node: String,
    pub started_at: DateTime<Utc>,
    pub ended_at: DateTime<Utc>,
    pub reason: String,
    /// Whether the server has nothing of the kind, such as row locks with SQLite. Else it has failed.
    #[serde(default)]
    pub is_absent: bool,
}
