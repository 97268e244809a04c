//! This node among those that share a database: its id, whether there can be others, and whether it leads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::Result;
use crate::clock::{Clock, Moment};
use crate::lock::lock;
use crate::store::Store;
use crate::store::entity::leases;
use crate::store::nodes::{self, LEADER};

/// How long the lease is good. A leader that falls silent is replaced after this, the
/// margin and at most the time to the next look at the lease: 45 s.
const LEASE_FOR: Duration = Duration::from_secs(30);

/// How often the leader renews the lease and the other nodes ask for it.
pub const RENEW_EVERY: Duration = Duration::from_secs(10);

/// A leader stops leading this long before its lease ends, and nobody takes the lease until this long after: the clocks
/// of two nodes may differ by twice this before both lead at one time. That would do no harm: all of the leader's work
/// may be repeated.
const MARGIN: Duration = Duration::from_secs(5);

/// One process among those that share a database.
#[derive(Debug)]
pub struct Node {
    id: String,
    store: Store,
    clock: Clock,
    is_clustered: bool,
    leader_until: AtomicI64,
    seen: Mutex<Option<SeenLease>>,
}

/// The lease of another node, as read a moment ago.
#[derive(Debug, Clone, Copy)]
struct SeenLease {
    expires_at: Moment,
    read_at: Moment,
}

impl Node {
    pub fn new(store: Store, clock: Clock, is_clustered: bool) -> Self {
        let id = format!("{}-{:08x}", std::process::id(), rand::random::<u32>());
        Self { id, store, clock, is_clustered, leader_until: AtomicI64::new(0), seen: Mutex::default() }
    }

    /// Differs from the id of every other node, and from this node's own before a restart.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether there may be other nodes: Redis is configured. A single node asks nobody and does everything itself.
    pub fn is_clustered(&self) -> bool {
        self.is_clustered
    }

    /// Whether this node does now what one node does for all.
    pub fn is_leader(&self) -> bool {
        self.clock.now().0 < self.leader_until.load(Ordering::Relaxed)
    }

    /// Notes who leads, as read at a moment.
    pub fn saw_leader(&self, lease: Option<leases::Model>, read_at: Moment) {
        let others = lease.filter(|lease| lease.holder != self.id);
        *lock(&self.seen) = others.map(|lease| SeenLease { expires_at: lease.expires_at, read_at });
    }

    /// Renews the lease, or takes it if no node has it. Asks the database in any case if `everything`, and otherwise not while
    /// another node was seen to have it.
    ///
    /// # Errors
    /// When the database does not answer; a lease that was held stays good until it ends.
    pub async fn renew_lease(&self, everything: bool) -> Result<()> {
        let now = self.clock.now();
        let (free_before, expires_at) = (now.minus(MARGIN), now.plus(LEASE_FOR));
        let was_leader = self.is_leader();
        let is_seen = |seen: SeenLease| seen.expires_at >= free_before && now.since(seen.read_at) < RENEW_EVERY;
        let is_leader = if !everything && lock(&self.seen).is_some_and(is_seen) {
            false
        } else {
            self.store.write(async |tx| nodes::take_lease(tx, LEADER, &self.id, free_before, expires_at).await).await?
        };
        self.leader_until
            .store(if is_leader { expires_at.minus(MARGIN).0 } else { Moment::NEVER.0 }, Ordering::Relaxed);
        if is_leader != was_leader {
            // A single node leads always.
            if self.is_clustered {
                tracing::info!(node = self.id, is_leader, "leadership changed");
            } else {
                tracing::debug!(node = self.id, is_leader, "leadership changed");
            }
        }
        Ok(())
    }

    /// Announces that this node stops: the lease is free at once, and no node waits for what this one knows of keys.
    ///
    /// # Errors
    /// When the database does not answer; then the other nodes wait until the lease has ended.
    pub async fn leave(&self) -> Result<()> {
        self.leader_until.store(Moment::NEVER.0, Ordering::Relaxed);
        self.store
            .write(async |tx| {
                nodes::release_lease(tx, LEADER, &self.id).await?;
                nodes::leave(tx, &self.id).await
            })
            .await?;
        Ok(())
    }
}
