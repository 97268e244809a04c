//! This server among those that share a database: what it is called, and whether it leads.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::Result;
use crate::clock::{Clock, Moment};
use crate::store::{Store, nodes};

/// Work that one server does for all.
const LEASE: &str = "leader";

/// For so long the lease is good. A leader that falls silent is followed after this and twice the margin.
const LEASE_FOR: Duration = Duration::from_secs(30);

/// How often it is renewed, or asked for.
pub const RENEW_EVERY: Duration = Duration::from_secs(10);

/// A leader stops so long before its lease ends, and nobody takes it until so long after: the clocks of two servers may
/// differ by twice this before both lead at one time. Should it happen, no harm is done: all of that work may be repeated.
const MARGIN: Duration = Duration::from_secs(5);

/// One server among several.
#[derive(Debug)]
pub struct Node {
    id: String,
    store: Store,
    clock: Clock,
    leader_until: AtomicI64,
}

impl Node {
    pub fn new(store: Store, clock: Clock) -> Self {
        let id = format!("{}-{:08x}", std::process::id(), rand::random::<u32>());
        Self { id, store, clock, leader_until: AtomicI64::new(0) }
    }

    /// Differs from that of every other server, and from its own before a restart.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether this server does the work of all now.
    pub fn is_leader(&self) -> bool {
        self.clock.now().0 < self.leader_until.load(Ordering::Relaxed)
    }

    /// Renews the lease, or takes it when nobody has it.
    ///
    /// # Errors
    /// When the database does not answer; a lease that was held stays good until it ends.
    pub async fn renew_lease(&self) -> Result<()> {
        let now = self.clock.now();
        let (free_before, expires_at) = (now.minus(MARGIN), now.plus(LEASE_FOR));
        let is_leader =
            self.store.write(async |tx| nodes::take_lease(tx, LEASE, &self.id, free_before, expires_at).await).await?;
        let was_leader = self.is_leader();
        self.leader_until
            .store(if is_leader { expires_at.minus(MARGIN).0 } else { Moment::NEVER.0 }, Ordering::Relaxed);
        if is_leader != was_leader {
            tracing::info!(node = self.id, is_leader, "leadership changed");
        }
        Ok(())
    }

    /// Says that this server stops: the lead is free at once, and nobody waits for what it knows of keys.
    ///
    /// # Errors
    /// When the database does not answer; then others wait until they know by themselves.
    pub async fn leave(&self) -> Result<()> {
        self.leader_until.store(Moment::NEVER.0, Ordering::Relaxed);
        self.store
            .write(async |tx| {
                nodes::release_lease(tx, LEASE, &self.id).await?;
                nodes::leave(tx, &self.id).await
            })
            .await?;
        Ok(())
    }
}
