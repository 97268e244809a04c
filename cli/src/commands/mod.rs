//! One file per command.

pub mod apply;
pub mod completion;
pub mod config;
pub mod convert;
mod costs;
pub mod debug;
pub mod delete;
pub mod export;
pub mod get;
mod labels;
pub mod login;
pub mod logout;
pub mod manual;
pub mod preview;
pub mod profile;
pub mod query;
pub mod send;
mod session;
pub mod setup;
mod stop_signal;
pub mod top;
pub mod user;

pub use session::ClientSession;
