//! Reads YAML documents with the location of every value, checks them, and writes documents.

mod node;
mod path;
mod problem;
mod read;
mod write;

pub use problem::{DocumentProblem, SourceText};
pub use read::{Documents, parse};
pub use write::{document, to_yaml};
