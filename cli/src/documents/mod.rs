//! YAML documents on disk: read with the location of every value, checked, and written back.

mod node;
mod path;
mod problem;
mod read;
mod write;

pub use problem::{DocumentProblem, SourceText};
pub use read::{Documents, parse};
pub use write::{document, to_yaml};
