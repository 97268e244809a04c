//! When hosts were last seen: in memory, shared between nodes, and stored.
//!
//! A check-in marks its host in memory ([`SeenTimes`]) and writes nothing. Every five seconds each node sends the others
//! who has checked in with it ([`message`]), so that every node knows of every host. For durability the leader stores
//! times by pages of 32,768 hosts once a minute ([`pages`]), a few rows for any fleet. When messages do not reach every
//! node ([`peers`]), each node stores what it knows every 20 seconds and reads what others have stored.
//!
//! No time is ever ahead of the truth. It is 15 s behind at most while messages arrive, and 45 s while they do not. A
//! crash of all nodes loses 75 s at most.

mod alive;
mod message;
mod older;
mod pages;
mod peers;
mod stored;
#[cfg(test)]
mod tests;
mod times;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64};

use roaring::RoaringTreemap;

use self::message::SeenMessage;
use self::older::OlderNodes;
use self::pages::KeptPages;
use self::peers::{Hearing, Peers};
pub use self::times::{SeenPage, SeenReader, SeenTimes, moment, seconds};
use super::Hosts;
use crate::clock::Moment;
use crate::fleet::Result;
use crate::lock::lock;

/// How this node shares last-seen times with others.
#[derive(Debug)]
pub(super) struct SeenSharing {
    peers: Mutex<Peers>,
    /// Which check-ins the next message is about: those since then.
    since: Mutex<Moment>,
    /// The number of the next message.
    sequence: Mutex<u64>,
    pages: tokio::sync::Mutex<KeptPages>,
    /// When the database was last told that this node is alive.
    alive_at: AtomicI64,
    /// When this node last looked which others there are.
    looked_at: AtomicI64,
    older: Mutex<OlderNodes>,
    all_know_leases: AtomicBool,
}

impl SeenSharing {
    pub fn new(node: &str, now: Moment) -> Self {
        Self {
            peers: Mutex::new(Peers::new(node)),
            since: Mutex::new(now),
            sequence: Mutex::default(),
            pages: tokio::sync::Mutex::default(),
            alive_at: AtomicI64::default(),
            looked_at: AtomicI64::default(),
            older: Mutex::default(),
            all_know_leases: AtomicBool::default(),
        }
    }
}

impl Hosts {
    /// When a host was last seen by any node.
    pub(super) fn seen_by_any(&self, host_id: i64, row_seen_at: Moment) -> Moment {
        self.index.seen.reader(self.clock.now()).seen(host_id, row_seen_at)
    }

    /// Says that this node is alive, looks which others there are, and stores and reads last-seen times when it is time to.
    /// With `everything`, as on shutdown, it stores them in any case.
    ///
    /// # Errors
    /// When the database does not answer; the next call does what has failed.
    pub async fn keep_seen(&self, everything: bool) -> Result<()> {
        // Each is done whatever became of those before.
        let outcomes = [
            if everything { Ok(()) } else { self.show_alive().await },
            self.look_at_nodes().await,
            self.read_seen_of_older().await,
            self.write_seen_for_older(everything).await,
            self.keep_pages(everything).await,
        ];
        outcomes.into_iter().collect()
    }

    /// Tells other nodes who has checked in with this one since the last call. Without other nodes, or a way to them, it
    /// tells nobody.
    pub async fn share_seen(&self) {
        if !self.node.is_clustered() {
            return;
        }
        let now = self.clock.now();
        let taken = self.index.seen.take_here();
        let since = std::mem::replace(&mut *lock(&self.seen_sharing.since), now);
        let asks_for_pages = {
            let peers = lock(&self.seen_sharing.peers);
            if !peers.has_others(now) {
                return;
            }
            peers.is_deaf(now)
        };
        let since = times::seconds(since);
        let mut pieces = message::pieces(taken, since);
        if pieces.is_empty() {
            // Others are to know that nobody has checked in here.
            pieces.push((since, RoaringTreemap::new()));
        }
        // The others miss the numbers of messages that are not sent, and ask for pages.
        let first = {
            let mut sequence = lock(&self.seen_sharing.sequence);
            let first = *sequence;
            *sequence = first.saturating_add(pieces.len() as u64);
            first
        };
        let mut is_sent = true;
        for (sequence, (since, host_ids)) in (first..).zip(pieces) {
            let message = SeenMessage { node: self.node.id().to_owned(), sequence, asks_for_pages, since, host_ids };
            let sent = self.notifier.send(message.encode()).await;
            self.metrics.seen_message(if sent.is_ok() { "sent" } else { "failed" });
            if sent.is_err() {
                is_sent = false;
                break;
            }
        }
        lock(&self.seen_sharing.peers).sent(is_sent, now);
    }

    /// Takes over what other nodes tell of their check-ins. Runs until it is dropped.
    pub async fn hear_seen(&self) {
        let mut messages = self.notifier.messages();
        loop {
            self.take_over_seen(&messages.next().await);
        }
    }

    fn take_over_seen(&self, message: &[u8]) {
        let now = self.clock.now();
        let Some(message) = SeenMessage::decode(message) else {
            self.metrics.seen_message("unknown");
            return;
        };
        match lock(&self.seen_sharing.peers).hear(&message, now) {
            Hearing::Own => return,
            Hearing::New => self.metrics.seen_message("heard"),
            Hearing::Missed => {
                self.metrics.seen_message("heard");
                self.metrics.seen_message("missed");
            }
        }
        // The clock of the other node may be ahead.
        let since = message.since.min(times::seconds(now));
        self.merge_seen(message.host_ids.iter().filter_map(|id| i64::try_from(id).ok()).map(|id| (id, since)));
    }

    /// Takes over when hosts were seen, in seconds.
    fn merge_seen(&self, seen: impl IntoIterator<Item = (i64, u32)>) {
        if self.index.seen.merge(seen) > 0 {
            self.metrics.limit_hit("seen_pages");
        }
    }
}
