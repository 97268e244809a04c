//! Giving up leases: when other nodes want them, before a stop, and while a node lives that does not know them. Redis gets
//! the last batch first.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream;

use super::batch_lock::{BatchLock, Sharing};
use super::claim::{BatchClaim, BatchFate};
use super::host_log::{HostLog, Lease};
use super::leases::LEASES_RENEWED_EVERY;
use super::{LogStream, Logs};
use crate::bus::AfterBatch;
use crate::clock::Moment;
use crate::fleet::hosts::{Host, Hosts};

/// How often deleted hosts that have a lease are looked for.
const GONE_LOOKED_FOR_EVERY: Duration = Duration::from_secs(2);

/// Leases that are given up in one round when there may be none: about 30,000 a second.
const MOST_IN_A_ROUND: usize = 8_192;

/// How many of them are on their way to Redis at one time. They share one connection, which sends them together.
const AT_ONCE: usize = 256;

/// How long a round may give up leases; the term must be renewed. Who wants the others asks again.
const ROUND_TAKES: Duration = Duration::from_secs(1);

impl Logs {
    /// Renews the leases of this node, and gives up those that others want, or all when there may be none.
    pub async fn keep_leases(&self, hosts: &Hosts) {
        let Some(sharing) = &self.sharing else { return };
        let mut round = self.leases.round.lock().await;
        self.leases.allow(hosts.all_know_leases());
        let asked_at = Instant::now();
        let mut due = Vec::new();
        if let Some(renewed) = sharing.0.leases.renew(self.leases.term()).await {
            self.leases.was_renewed(renewed.term, asked_at, &self.metrics);
            let wanted = renewed.wanted.iter().filter_map(|(host, log)| Some((*host, LogStream::of(log)?)));
            due.extend(wanted.map(|log| (log, ReleaseCause::Revoked)));
        }
        let mut unwanted = Vec::new();
        if !self.leases.may_take() {
            unwanted = self.leases.some_held(&mut round, MOST_IN_A_ROUND);
        } else if round.looked_at.elapsed() >= GONE_LOOKED_FOR_EVERY {
            round.looked_at = Instant::now();
            unwanted = self.leases.held_of(hosts.index.gone());
        }
        due.extend(unwanted.into_iter().map(|log| (log, ReleaseCause::NoneAllowed)));
        let released = stream::iter(due).for_each_concurrent(AT_ONCE, |((id, stream), cause)| {
            let host = hosts.index.get(id);
            self.release_if_idle(sharing, (id, stream), host, cause)
        });
        let _ = tokio::time::timeout(ROUND_TAKES, released).await;
    }

    /// Gives up a lease, or a lock that was left behind, unless a batch is under way: that may wait for the disk, and
    /// who wants the lease asks again. A host that is gone has no last batch.
    async fn release_if_idle(
        &self,
        sharing: &Sharing,
        (id, stream): (i64, LogStream),
        host: Option<Arc<Host>>,
        cause: ReleaseCause,
    ) {
        if let Some(host) = host {
            if let Ok(mut log) = host.log(stream).try_lock() {
                self.release(sharing, (id, stream), &mut log, cause).await;
            }
        } else {
            self.leases.forget((id, stream), &self.metrics);
            sharing.end(id, stream, None, AfterBatch::Free).await;
        }
    }

    async fn release(&self, sharing: &Sharing, (id, stream): (i64, LogStream), log: &mut HostLog, cause: ReleaseCause) {
        let had_lease = log.lease().is_there();
        log.set_lease(Lease::default());
        log.is_contested();
        if cause == ReleaseCause::Revoked && self.leases.forget((id, stream), &self.metrics) {
            self.metrics.batch_leases_ended.with_label_values(&["revoked"]).inc();
        }
        if had_lease {
            // why also without hashes: of a batch that has too many, none is remembered, and what Redis has is older.
            if !sharing.end(id, stream, Some(&log.last), AfterBatch::Free).await {
                return;
            }
            log.last_was_shared();
        } else {
            // why the lock first: behind what was left there, another node may have accepted a batch.
            match sharing.try_begin(id, stream, log.is_unshared.then_some(&log.last)).await {
                Ok(BatchLock::Held { last }) => {
                    log.has_seen(last.as_ref(), self.clock.now());
                    let claim = BatchClaim::Locked { last };
                    self.end_claim(id, stream, claim, BatchFate::Refused, log).await;
                    log.is_contested();
                }
                Ok(_) => return,
                Err(_) => {}
            }
        }
        // why not before: a node that knows no leases does not ask for one that Redis still has.
        self.leases.forget((id, stream), &self.metrics);
    }

    /// Gives up the leases of these hosts, those with the newest batches first and as many as the time suffices for. What
    /// other nodes could not be told of stays unshared. For a node that keeps no lines any more.
    pub async fn release_all(&self, hosts: &[Arc<Host>], within: Duration) {
        let Some(sharing) = &self.sharing else { return };
        self.leases.end();
        let released = async {
            let released =
                stream::iter(self.to_release(hosts)).for_each_concurrent(AT_ONCE, async |(_, host, stream)| {
                    let mut log = host.log(stream).lock().await;
                    self.release(sharing, (host.id, stream), &mut log, ReleaseCause::NoneAllowed).await;
                });
            released.await;
        };
        let renewed = async {
            let mut rounds = tokio::time::interval(LEASES_RENEWED_EVERY);
            loop {
                rounds.tick().await;
                let _ = sharing.0.leases.renew(self.leases.term()).await;
            }
        };
        tokio::select! {
            () = released => {}
            () = renewed => {}
            () = tokio::time::sleep(within) => tracing::warn!(
                "not all leases on log batches were given up; lines that agents send again may appear twice"
            ),
        }
        // The others need not wait until the term is over.
        sharing.0.leases.end().await;
    }

    /// The logs with a lease or an unshared batch, the newest batches first.
    fn to_release(&self, hosts: &[Arc<Host>]) -> Vec<(Moment, Arc<Host>, LogStream)> {
        let mut found = Vec::new();
        for host in hosts {
            for stream in LogStream::ALL {
                let Some(log) = host.known_log(stream) else { continue };
                match log.try_lock() {
                    Ok(log) if !log.lease().is_there() && !log.is_unshared => {}
                    Ok(log) => found.push((log.last.accepted_at(), Arc::clone(host), stream)),
                    // A batch is just being broken off.
                    Err(_) => found.push((Moment::NEVER, Arc::clone(host), stream)),
                }
            }
        }
        found.sort_unstable_by_key(|(accepted_at, ..)| Reverse(*accepted_at));
        found
    }
}

/// Why a lease is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReleaseCause {
    /// Another node has a batch of the host.
    Revoked,
    /// This node is to have no leases, or none on this host.
    NoneAllowed,
}
