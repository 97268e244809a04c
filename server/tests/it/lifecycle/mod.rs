//! How the server's process starts, listens to signals, and ends.

mod agent_ca;
pub mod certificate;
mod files;
mod service_manager;
mod start;
mod stop;
