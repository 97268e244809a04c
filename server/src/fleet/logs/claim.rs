//! The claim of a node: its right to keep the next batch of a host's log, by a lease, by the batch lock, or alone because
//! Redis does not answer. Whoever calls this holds the host's log.

use super::batch_lock::BatchLock;
use super::host_log::{HostLog, Lease};
use super::replay::LastBatch;
use super::{LogStream, Logs};
use crate::bus::AfterBatch;
use crate::fleet::{Error, Result};

/// Why a node may keep a batch.
#[derive(Debug)]
pub(super) enum BatchClaim {
    /// There are no other nodes, or Redis does not answer.
    Alone,
    /// It has a lease.
    Leased,
    /// It holds the lock. `last` is the batch that Redis has.
    Locked { last: Option<LastBatch> },
}

/// What became of a batch.
#[derive(Debug)]
pub(super) enum BatchFate {
    Refused,
    /// The log remembers it as its last one.
    Kept,
    /// There was no room to remember it.
    KeptUnremembered(LastBatch),
}

impl BatchClaim {
    /// The batch that Redis has, if that is known.
    pub fn shared(&self) -> Option<&LastBatch> {
        match self {
            Self::Locked { last } => last.as_ref(),
            Self::Alone | Self::Leased => None,
        }
    }
}

impl Logs {
    /// Waits until this node may keep a batch. `is_given_up` says whether the agent has gone.
    pub(super) async fn claim(
        &self,
        host: i64,
        stream: LogStream,
        log: &mut HostLog,
        is_given_up: impl Fn() -> bool,
    ) -> Result<BatchClaim> {
        let Some(sharing) = &self.sharing else { return Ok(BatchClaim::Alone) };
        let gone = || {
            self.metrics_of(stream).refused("agent_gone");
            Err(Error::Unavailable("the agent has gone".to_owned()))
        };
        // why of a lease, too: the repeat may have come to this node and passed by.
        if is_given_up() {
            return gone();
        }
        if self.leases.is_good(log.lease()) {
            return Ok(BatchClaim::Leased);
        }
        if log.lease().is_there() {
            self.leases.has_ended(log, (host, stream), &self.metrics);
        }
        // why not of a lease alone: one may have been taken by a step whose answer was lost.
        let unshared = log.is_unshared.then_some(&log.last);
        match sharing.begin(host, stream, unshared, &is_given_up).await {
            BatchLock::Held { last } => {
                log.has_seen(last.as_ref(), self.clock.now());
                let claim = BatchClaim::Locked { last };
                if is_given_up() {
                    self.end_claim(host, stream, claim, BatchFate::Refused, log).await;
                    return gone();
                }
                Ok(claim)
            }
            BatchLock::Unavailable if !is_given_up() => Ok(BatchClaim::Alone),
            BatchLock::Unavailable | BatchLock::GivenUp => gone(),
            BatchLock::Busy => {
                self.metrics.limit_hit("log_batch_lock");
                self.metrics_of(stream).refused("log_batch_lock");
                Err(Error::Unavailable("another server is keeping lines of this host".to_owned()))
            }
        }
    }

    /// Ends the claim, for which the agent does not wait. The log remembers a kept batch as unshared until Redis has it, so
    /// that nothing is wrong when this is broken off.
    pub(super) async fn end_claim(
        &self,
        host: i64,
        stream: LogStream,
        claim: BatchClaim,
        fate: BatchFate,
        log: &mut HostLog,
    ) {
        let Some(sharing) = &self.sharing else { return };
        match (claim, fate) {
            (BatchClaim::Alone, _) | (BatchClaim::Leased, BatchFate::Refused | BatchFate::Kept) => {}
            (BatchClaim::Leased, BatchFate::KeptUnremembered(batch)) => {
                // Nobody could give that to Redis when another node asks for the lease.
                log.set_lease(Lease::default());
                self.leases.forget((host, stream), &self.metrics);
                if sharing.end(host, stream, Some(&batch), AfterBatch::Free).await {
                    log.was_shared(&batch);
                }
            }
            (BatchClaim::Locked { last }, BatchFate::Refused) => {
                let kept = log.unshared(last.as_ref());
                let is_kept = kept.is_some();
                if sharing.end(host, stream, kept, AfterBatch::Free).await && is_kept {
                    log.last_was_shared();
                }
            }
            (BatchClaim::Locked { last }, BatchFate::KeptUnremembered(batch)) => {
                log.is_behind(last.as_ref());
                if sharing.end(host, stream, Some(&batch), AfterBatch::Free).await {
                    log.was_shared(&batch);
                }
            }
            (BatchClaim::Locked { last }, BatchFate::Kept) => {
                log.is_behind(last.as_ref());
                let lease = if log.is_sticky() && !log.last.is_empty() { self.leases.next() } else { None };
                let after = lease.map_or(AfterBatch::Free, |lease| AfterBatch::Leased { term: lease.term });
                if sharing.end(host, stream, Some(&log.last), after).await {
                    log.last_was_shared();
                    if let Some(lease) = lease {
                        self.leases.was_taken(log, (host, stream), lease, &self.metrics);
                    }
                }
            }
        }
    }
}
