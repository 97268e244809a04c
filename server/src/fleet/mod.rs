//! What the product does, once, behind all doors.

pub mod access;
pub mod apply;
pub mod checkin;
mod deadline;
mod error;
pub mod hosts;
pub mod live;
pub mod logs;
pub mod schedule;
pub mod specs;
mod sql;

use std::sync::Arc;

pub use deadline::within;
pub use error::{Error, Problem, Result};

use self::access::Access;
use self::apply::Applier;
use self::checkin::Checkin;
use self::hosts::Hosts;
use self::live::Live;
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
    pub live: Arc<Live>,
    pub logs: Arc<Logs>,
    pub schedule: Arc<Schedule>,
    pub specs: Specs,
}
