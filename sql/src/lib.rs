//! What SQL for agents does.
//!
//! [`check`] says whether a text is one statement that SQLite can parse and that only reads. It is bounded for whatever text.

mod check;
mod size;
mod tokens;

pub use check::{MAX_SQL_BYTES, check, doubt};
