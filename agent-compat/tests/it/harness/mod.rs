//! Recorded requests of real agents, and a real server to send them to.

mod answers;
mod captured;
mod drive;
mod files;
mod log_body;
mod recorded;
mod server;
mod template;

pub use answers::{Sent, checked};
pub use captured::captured_log;
pub use drive::{Drive, Fate};
pub use log_body::{lines_of, unique_lines};
pub use recorded::{Recorded, RecordedRequest, golden, recording, recordings};
pub use server::{CompatServer, Forgets, until};
pub use template::ENROLL_SECRET;

/// The release all recordings are of.
pub const OSQUERY_VERSION: &str = "5.23.0-38-ga5b14f63d";
