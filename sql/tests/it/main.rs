//! What the crate says of SQL, compared with what SQLite does.

#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]

mod authorizer;
mod chosen_rows;
mod evasions;
