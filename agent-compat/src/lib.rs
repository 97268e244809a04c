//! A model of a stock osquery agent.
//!
//! - [`agent`] is the model itself: it decides what to send and when, judges answers the way osqueryd does, and
//!   performs no input or output. Time is always an argument.
//! - [`tables`] answers the SQL that the server sends: [`tables::SqliteHost`] runs it for real on small tables.
//! - [`transport`] carries requests: [`transport::Direct`] opens a connection per request, as stock agents do.
//! - [`live`] runs one agent in real time.
//! - [`Carver`] sends files as an agent does that carves.
//! - [`TestAgent`] drives one agent step by step, for tests.

pub mod agent;
mod carver;
pub mod live;
pub mod tables;
mod test_agent;
pub mod transport;

pub use agent::{Agent, Flags, Identity, Platform, Verdict};
pub use carver::{CarveOutcome, Carver, accepted};
pub use tables::{SqliteHost, Tables};
pub use test_agent::{Exchange, LiveRound, TestAgent};
