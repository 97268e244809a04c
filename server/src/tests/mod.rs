//! REST operations on a server's real services and a real database, without a network between.

mod away;
mod delete;
mod directory;
mod flipping;
mod following;
mod hosts;
mod keys;
mod labels;
mod log_histories;
mod log_leases;
#[path = "../../tests/it/support/mariadb.rs"]
mod mariadb;
mod names;
mod other_versions;
mod packs;
mod queries;
mod rollout_webhook;
mod schedules;
mod secrets;
#[path = "../../tests/it/support/size.rs"]
pub mod size;
mod user_roles;
mod users;
#[path = "../../tests/it/support/wait.rs"]
pub mod wait;
pub mod world;
