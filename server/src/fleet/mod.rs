//! What the product does, once, behind all HTTP APIs.

pub mod access;
pub mod apply;
pub mod changes;
pub mod checkin;
mod deadline;
mod error;
mod explain;
pub mod hosts;
pub mod labels;
pub mod listing;
pub mod live;
pub mod logs;
mod names;
mod node;
pub mod packs;
mod path;
pub mod queries;
pub mod resource;
pub mod schedule;
pub mod scheduled;
pub mod specs;
mod sql;

use std::sync::Arc;

pub use deadline::within;
pub use error::{Error, Problem, Result};
pub use node::{Node, RENEW_EVERY};

use self::access::{Access, Principal};
use self::apply::Applier;
use self::changes::{ChangeSignal, Changes};
use self::checkin::Checkin;
use self::hosts::Hosts;
use self::live::Live;
use self::logs::Logs;
use self::schedule::Schedule;
use self::specs::Specs;

/// Everything the HTTP APIs may call.
#[derive(Debug, Clone)]
pub struct Fleet {
    pub access: Arc<Access>,
    pub applier: Arc<Applier>,
    /// The base of every [`resource::Resource`] that hosts run.
    pub changes: Changes,
    pub signal: ChangeSignal,
    pub checkin: Arc<Checkin>,
    pub hosts: Arc<Hosts>,
    pub live: Arc<Live>,
    pub logs: Arc<Logs>,
    pub node: Arc<Node>,
    pub schedule: Arc<Schedule>,
    pub specs: Specs,
}

impl Fleet {
    /// Deletes those of these hosts that there are, all or none, and tells how many. No live query waits for them any more.
    ///
    /// # Errors
    /// [`Error::Forbidden`] to who may not change hosts.
    pub async fn delete_hosts(&self, principal: &Principal, ids: &[i64]) -> Result<u64> {
        let deleted = self.hosts.delete_many(principal, ids).await?;
        for id in ids {
            self.live.forget_host(*id).await;
        }
        Ok(deleted)
    }

    /// Takes over what other servers have changed: what hosts run, and what happened to single hosts.
    ///
    /// # Errors
    /// When the database does not answer; the next call takes it over.
    pub async fn follow(&self) -> Result<()> {
        let labels = self.schedule.refresh().await?;
        self.hosts.drop_labels(&labels);
        for host_id in self.hosts.follow().await? {
            self.live.forget_host(host_id).await;
        }
        Ok(())
    }
}
