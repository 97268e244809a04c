//! One file per command.

/// What `--help` shows as the one example of a command.
macro_rules! example {
    ($about:literal, $command:literal) => {
        concat!("Examples:\n  # ", $about, "\n  ", $command)
    };
}
pub(crate) use example;

pub mod api;
pub mod apply;
pub mod approve;
pub mod completion;
pub mod config;
pub mod convert;
mod costs;
pub mod debug;
pub mod delete;
pub mod export;
pub mod get;
mod host_filters;
pub mod hosts;
mod labels;
pub mod login;
pub mod logout;
pub mod manual;
pub mod plan;
pub mod preview;
pub mod profile;
pub mod query;
pub mod rollout;
pub mod run;
pub mod send;
mod session;
pub mod setup;
mod stop_signal;
pub mod top;
mod try_out;
pub mod user;

pub use session::ClientSession;
