//! One file per command.

pub mod apply;
pub mod completion;
pub mod config;
pub mod get;
pub mod login;
pub mod logout;
pub mod preview;
pub mod query;
mod session;
pub mod setup;
mod stop_signal;

pub use session::Session;
