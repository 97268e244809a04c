//! The wire types that more than one Muster program speaks: agents' bodies, the REST API and the YAML documents.

mod absent;
#[cfg(feature = "documents")]
pub mod documents;
pub mod osquery;
pub mod rest;
pub mod spec;
