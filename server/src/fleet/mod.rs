//! What the product does, once, behind all doors.

pub mod access;
pub mod apply;
pub mod changes;
pub mod checkin;
mod deadline;
mod error;
mod explain;
pub mod hosts;
mod labels;
pub mod logs;
mod names;
mod packs;
mod place;
mod queries;
pub mod schedule;
mod scheduled;
pub mod specs;

use std::sync::Arc;

pub use deadline::within;
pub use error::{Error, Problem, Result};

use self::access::Access;
use self::apply::Applier;
use self::checkin::Checkin;
use self::hosts::Hosts;
use self::logs::Logs;
use self::schedule::Schedule;
use self::specs::Specs;

/// All that the doors may ask for.
#[derive(Debug, Clone)]
pub struct Fleet {
    pub access: Arc<Access>,
    pub applier: Arc<Applier>,
    pub checkin: Arc<Checkin>,
    pub hosts: Arc<Hosts>,
    pub logs: Arc<Logs>,
    pub schedule: Arc<Schedule>,
    pub specs: Specs,
}
