//! Reads YAML documents with the location of every value, checks them, and writes documents.

mod folder;
mod gitops;
mod node;
mod path;
mod problem;
mod read;
mod variables;
mod write;

pub use folder::{FolderBounds, FolderFiles, YAML_ENDINGS, files_below, text_of, utf8, within_folder};
pub use gitops::{Gathered, Surroundings};
pub use problem::{DocumentProblem, SourceText};
pub use read::{Documents, parse};
pub use write::{document, to_yaml};
