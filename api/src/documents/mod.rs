//! Reads YAML documents with the location of every value, checks them, and writes documents.

mod gitops;
mod node;
mod path;
mod problem;
mod read;
mod variables;
mod write;

pub use gitops::{Gathered, Surroundings};
pub use problem::{DocumentProblem, SourceText};
pub use read::{Documents, parse};
pub use write::{document, to_yaml};
