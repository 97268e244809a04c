//! SQL for agents, checked without the agents' tables: SQLite itself is asked, on an empty database.
//!
//! Every function here is pure, and bounded for whatever text.

mod check;
mod size;
mod tokens;

pub use check::{MAX_SQL_BYTES, check, doubt};
