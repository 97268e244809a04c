//! The wire types that more than one Muster program speaks: agents' bodies, the REST API and the YAML documents.

mod absent;
pub mod osquery;
pub mod rest;
pub mod spec;
