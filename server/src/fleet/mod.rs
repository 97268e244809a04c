//! The product, once for all HTTP APIs.
//!
//! Several nodes over one database behave as one. None holds anything that others must ask for; each reads what the
//! others have changed, every two seconds or at once when it is notified ([`Fleet::follow`]). The database is the
//! truth, and memory is a cache with a stated staleness (`docs/consistency.md`).

mod about;
pub mod access;
pub mod activities;
pub mod apply;
mod batches;
pub mod carves;
pub mod changes;
pub mod checkin;
mod deadline;
pub mod diagnostics;
pub mod documents;
pub mod enroll_secrets;
mod error;
mod explain;
mod figures;
mod findings;
pub mod guard;
mod halves;
mod host_detail;
pub mod hosts;
pub mod import;
pub mod labels;
pub mod listing;
pub mod live;
pub mod logs;
pub mod names;
mod node;
mod notified;
pub mod packs;
mod path;
pub mod queries;
mod query_cost;
pub mod resource;
pub mod rollouts;
pub mod schedule;
pub mod scheduled;
pub mod schema;
pub mod specs;
pub mod statistics;
mod task_runs;
mod translate;

use std::sync::Arc;

use muster_sql as sql;

pub use about::ServerParts;
pub use activities::ActivityEntry;
pub use deadline::within;
pub use error::{Error, Problem, Result};
pub use node::{Node, RENEW_EVERY};
pub use notified::until_changed_elsewhere;
pub use task_runs::{TaskRun, TaskRuns};

use self::access::{Access, Principal};
use self::apply::Applier;
use self::carves::Carves;
use self::changes::Changes;
use self::checkin::Checkin;
use self::diagnostics::Diagnostics;
use self::documents::DocumentsFolder;
use self::guard::TableGuard;
use self::hosts::{Hosts, StillSo};
use self::live::Live;
use self::logs::Logs;
use self::rollouts::Rollouts;
use self::schedule::Schedule;
use self::schema::AgentSchemas;
use self::specs::Specs;
use self::statistics::Statistics;
use crate::bus::Notifier;
use crate::clock::Clock;
use crate::store::pulse::{self, Pulse};
use crate::telemetry::LogLimit;

/// Everything the HTTP APIs may call.
#[derive(Debug, Clone)]
pub struct Fleet {
    pub access: Arc<Access>,
    pub applier: Arc<Applier>,
    /// The base of every [`resource::Resource`] that hosts run.
    pub changes: Changes,
    pub carves: Arc<Carves>,
    pub notifier: Arc<dyn Notifier>,
    pub checkin: Arc<Checkin>,
    pub hosts: Arc<Hosts>,
    pub live: Arc<Live>,
    pub logs: Arc<Logs>,
    pub node: Arc<Node>,
    pub clock: Clock,
    pub diagnostics: Arc<Diagnostics>,
    /// `None` where operators change documents.
    pub documents: Option<Arc<DocumentsFolder>>,
    pub guard: Arc<TableGuard>,
    /// Log lines about refused requests of agents, by endpoint and status.
    pub refusals: Arc<LogLimit<(&'static str, u16)>>,
    pub rollouts: Arc<Rollouts>,
    pub schedule: Arc<Schedule>,
    pub schemas: Arc<AgentSchemas>,
    pub specs: Specs,
    pub statistics: Arc<Statistics>,
    /// How the periodic tasks of this node went.
    pub task_runs: Arc<TaskRuns>,
}

impl Fleet {
    /// Deletes hosts and returns how many of them existed. Live queries stop waiting for them.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without the permission to change hosts.
    pub async fn delete_hosts(&self, principal: &Principal, ids: &[i64]) -> Result<u64> {
        self.delete_hosts_still(principal, ids, StillSo::default()).await
    }

    /// As [`Fleet::delete_hosts`], without hosts of which something is not so any more.
    ///
    /// # Errors
    /// As there.
    pub async fn delete_hosts_still(&self, principal: &Principal, ids: &[i64], still: StillSo) -> Result<u64> {
        let deleted = self.hosts.delete_many(principal, ids, still).await?;
        let count = deleted.len() as u64;
        self.live.forget_hosts(deleted).await;
        Ok(count)
    }

    /// Logs how many refusals of agents were left out of the log since the last line about them.
    pub fn log_refusals_left_out(&self) {
        for (kind, left_out) in self.refusals.overdue(self.clock.now()) {
            let (handler, status) = kind.unwrap_or(("others", 0));
            tracing::warn!(handler, status, left_out, "more requests of agents were refused");
        }
    }

    /// Reads what other nodes have changed: what hosts run, what happened to single hosts, and which live queries there
    /// are. Takes one statement if nothing has changed.
    ///
    /// # Errors
    /// When the database does not answer; the next call reads it.
    pub async fn follow(&self) -> Result<()> {
        let (range, read_at) = (self.hosts.pulse_range().await, self.clock.now());
        let pulse = pulse::read(self.changes.reader(), range).await?;
        let Pulse { generation, changes, open_live_queries, nodes, leader } = pulse;
        self.node.saw_leader(leader, read_at);
        self.hosts.take_nodes(nodes, read_at);
        let hosts = async {
            let labels = self.schedule.refresh_to(generation).await?;
            self.hosts.drop_labels(&labels);
            self.live.follow_hosts(Some(changes)).await
        };
        // Side by side: neither keeps the other from being followed.
        let (hosts, live) = tokio::join!(hosts, self.live.follow_others(open_live_queries));
        hosts.and(live)
    }
}
