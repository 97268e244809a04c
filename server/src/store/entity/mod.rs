//! One file per table.

pub mod activities;
pub mod enroll_secrets;
pub mod generations;
pub mod host_changes;
pub mod hosts;
pub mod label_host_names;
pub mod label_members;
pub mod labels;
pub mod leases;
pub mod live_queries;
pub mod log_batches;
pub mod node_keys;
pub mod nodes;
pub mod pack_labels;
pub mod packs;
pub mod parked_queries;
pub mod queries;
pub mod scheduled_queries;
pub mod seen_pages;
pub mod sessions;
pub mod settings;
pub mod user_passwords;
pub mod users;
