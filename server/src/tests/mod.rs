//! REST operations on a server's real services and a real database, without a network between.

mod away;
mod delete;
mod hosts;
mod labels;
mod packs;
mod queries;
mod schedules;
mod user_roles;
mod users;
pub mod world;
