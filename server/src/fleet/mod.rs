//! What the product does, once for all HTTP APIs.
//!
//! Several nodes over one database behave as one. None holds anything that others must ask for; each reads what the
//! others have changed, every two seconds or at once when it is notified ([`Fleet::follow`]). The database is the
//! truth, and memory is a cache with a stated staleness:
//!
//! | state | how stale | how it follows |
//! |---|---|---|
//! | plan: packs, queries, labels, agent options, enroll secrets, retired options | 2 s | generation |
//! | assembled configs; a host's last bytes | as the plan | edition of the plan and the host's assignment, compared at every fetch |
//! | a host's labels, platform, name | 2 s | feed `changed`; own writes at once |
//! | node key → host | 2 s after deletion, retirement, separation | feed `deleted`, `keys`, `enrolled`; then asked in the database |
//! | unknown keys | 10 s | never wrong: keys are random and never come back |
//! | deleted hosts (kept out for 10 min) | never wrong | ids are not used again |
//! | what is due for a host; refetch | 2 s; may ask the row in vain, never a host | feed `refetch`; decided in the row |
//! | open questions, losses, parked questions | not held | the row, in one transaction |
//! | details and label answers not written yet | 1 s; lost by a crash, then asked again | written by the node that got them |
//! | last contact, use of keys | 30 s and 120 s in the database | written by each node, never backwards; lists show the later of database and memory, those of one status what the database has |
//! | config cadence and signs of a restart | each node its own | only a gap shorter than the cadence is a sign; `enrolled` in the feed is one on every node |
//! | users, roles, passwords, sessions | not held | read with every request |
//! | admission of enrollments, log-ins a minute, lists of hosts being read | each node its own | a limit holds per node: N nodes admit N times as many |
//! | addresses that users have logged in from | each node its own; lost at its stop | strangers until the next login |
//! | last accepted log batch of a host | each node its own without Redis | a repeat that comes to another node is written twice |
//! | open live queries and their targets | 2 s; may claim in vain, never twice | events on the bus; decided there |
//! | followers of a live query | each node its own | `live.max_followers` holds per node |

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
mod notified;
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
pub use notified::until_changed_elsewhere;

use self::access::{Access, Principal};
use self::apply::Applier;
use self::changes::Changes;
use self::checkin::Checkin;
use self::hosts::Hosts;
use self::live::Live;
use self::logs::Logs;
use self::schedule::Schedule;
use self::specs::Specs;
use crate::bus::Notifier;

/// Everything the HTTP APIs may call.
#[derive(Debug, Clone)]
pub struct Fleet {
    pub access: Arc<Access>,
    pub applier: Arc<Applier>,
    /// The base of every [`resource::Resource`] that hosts run.
    pub changes: Changes,
    pub notifier: Arc<dyn Notifier>,
    pub checkin: Arc<Checkin>,
    pub hosts: Arc<Hosts>,
    pub live: Arc<Live>,
    pub logs: Arc<Logs>,
    pub node: Arc<Node>,
    pub schedule: Arc<Schedule>,
    pub specs: Specs,
}

impl Fleet {
    /// Deletes hosts in one transaction and returns how many of them existed. Live queries stop waiting for them.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without the permission to change hosts.
    pub async fn delete_hosts(&self, principal: &Principal, ids: &[i64]) -> Result<u64> {
        let deleted = self.hosts.delete_many(principal, ids).await?;
        for id in ids {
            self.live.forget_host(*id).await;
        }
        Ok(deleted)
    }

    /// Reads what other nodes have changed: what hosts run, and what happened to single hosts.
    ///
    /// # Errors
    /// When the database does not answer; the next call reads it.
    pub async fn follow(&self) -> Result<()> {
        let labels = self.schedule.refresh().await?;
        self.hosts.drop_labels(&labels);
        for host_id in self.hosts.follow().await? {
            self.live.forget_host(host_id).await;
        }
        Ok(())
    }
}
