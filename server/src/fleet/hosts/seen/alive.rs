//! Which nodes there are: each tells the database that it is alive, whatever else fails.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::hosts::Hosts;
use crate::fleet::hosts::follow::GONE_AFTER;
use crate::lock::lock;
use crate::store::entity::nodes::Model;
use crate::store::nodes;

/// A node tells the database this often that it is alive, unless a report of key uses has.
const ALIVE_EVERY: Duration = Duration::from_secs(20);

/// How old what was read of other nodes may be. Following them reads it more often.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(5);

/// A node that has not said for this long that it is alive is not waited for.
const ALIVE_FOR: Duration = Duration::from_secs(75);

impl Hosts {
    /// Tells the database that this node is alive, when it is time to.
    pub(super) async fn show_alive(&self) -> Result<()> {
        let now = self.clock.now();
        if now.since(Moment(self.seen_sharing.alive_at.load(Ordering::Relaxed))) < ALIVE_EVERY {
            return Ok(());
        }
        let reported = Moment(self.reported_at.load(Ordering::Relaxed));
        self.store.write(async |tx| nodes::is_alive(tx, self.node.id(), reported, now).await).await?;
        self.was_shown_alive(now);
        Ok(())
    }

    /// Notes that the database was told that this node is alive.
    pub(in crate::fleet::hosts) fn was_shown_alive(&self, now: Moment) {
        self.seen_sharing.alive_at.store(now.0, Ordering::Relaxed);
    }

    /// Finds out which other nodes there are, unless that was read a moment ago.
    pub(super) async fn look_at_nodes(&self) -> Result<()> {
        let now = self.clock.now();
        if now.since(Moment(self.seen_sharing.looked_at.load(Ordering::Relaxed))) >= LOOKED_AT_EVERY {
            self.take_nodes(nodes::since(self.store.reader(), now.minus(GONE_AFTER)).await?, now);
        }
        Ok(())
    }

    /// Takes over which nodes there are, unless a reading that began later has been.
    pub(in crate::fleet) fn take_nodes(&self, known: Vec<Model>, read_at: Moment) {
        let now = self.clock.now();
        if self.seen_sharing.looked_at.fetch_max(read_at.0, Ordering::Relaxed) > read_at.0 {
            return;
        }
        let others: Vec<_> = known.into_iter().filter(|node| node.id != self.node.id()).collect();
        let has_older_node = others.iter().any(|node| node.alive_at.is_none());
        if lock(&self.seen_sharing.older).set(has_older_node) {
            tracing::info!(has_older_node, "nodes of a version before this one keep last-seen times in rows of hosts");
        }
        let is_alive = |node: &Model| node.alive_at.is_some_and(|at| now.since(at) < ALIVE_FOR);
        let may_live = |node: &Model| node.alive_at.is_none() || is_alive(node);
        let all_know_leases = others.iter().all(|node| node.knows_leases == Some(true) || !may_live(node));
        self.seen_sharing.all_know_leases.store(all_know_leases, Ordering::Relaxed);
        let alive = others.into_iter().filter(is_alive).map(|node| node.id);
        lock(&self.seen_sharing.peers).set_alive(alive.collect(), now);
    }

    /// Whether a node of a version lives that decides by last-seen times and key uses in rows, and reads no pages. While
    /// that is unknown, there may be one.
    pub(in crate::fleet::hosts) fn has_older_node(&self) -> bool {
        lock(&self.seen_sharing.older).may_be_there()
    }

    /// Whether all nodes that live are of versions that know leases on log batches. Not while that is unknown.
    pub(in crate::fleet) fn all_know_leases(&self) -> bool {
        self.seen_sharing.all_know_leases.load(Ordering::Relaxed)
    }
}
