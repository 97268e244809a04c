use std::sync::Arc;
use std::time::Duration;

use super::batch_leases::{BatchLease, BatchLeases};
use super::link::{Link, Purpose};
use super::script::{Call, ScriptStep};
use crate::clock::Moment;

/// How long a batch lock lasts unless it is renewed, and so how long other nodes refuse a host whose node has died.
const LOCK_LIFETIME: Duration = Duration::from_secs(4);

/// How often the holder renews a batch lock.
pub const BATCH_LOCK_RENEWED_EVERY: Duration = Duration::from_secs(1);

/// The hashes of the last log batch of each host, shared by all nodes. One node at a time keeps a batch of a host, and the
/// next node that gets one knows the hashes of the last. Without Redis each node knows only the batches it has kept itself.
#[derive(Debug)]
pub struct SharedBatches {
    /// The leases of this node, and how it asks others for theirs.
    pub leases: BatchLeases,
    link: Arc<Link>,
    node: String,
    begin: ScriptStep,
    end: ScriptStep,
}

/// The hashes of a batch, and when it was accepted.
pub type HashedBatch<'a> = (&'a [u64], Moment);

/// The answer to a node that wants to keep a batch.
#[derive(Debug, PartialEq, Eq)]
pub enum BatchLockReply {
    /// This node holds the lock; `end` must follow. `last` has the hashes of the last batch and when it was accepted.
    Held { last: Option<(Vec<u64>, Moment)> },
    /// Another node holds the lock.
    Busy,
    /// Another node has a lease.
    Leased(BatchLease),
    /// Redis does not answer.
    Unknown,
}

/// The state that follows the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterBatch {
    /// The batches of the host are free for every node.
    Free,
    /// This node has a lease on them, taken in this term ([`BatchLeases::renew`]).
    Leased { term: i64 },
}

impl SharedBatches {
    pub(super) fn new(link: Arc<Link>, node: &str) -> Self {
        Self {
            leases: BatchLeases::new(Arc::clone(&link), node),
            link,
            node: node.to_owned(),
            begin: ScriptStep::new(include_str!("scripts/begin_batch.lua")),
            end: ScriptStep::new(include_str!("scripts/end_batch.lua")),
        }
    }

    /// Locks the batches of a host's log for this node, or renews the lock. A lease of another node that has ended becomes the
    /// lock, and so does one of this node: then `unshared` is stored for so long, the last batch if other nodes do not know it.
    pub async fn begin(
        &self,
        host: i64,
        log: &str,
        unshared: Option<HashedBatch<'_>>,
        lifetime: Duration,
    ) -> BatchLockReply {
        let (locked_ms, lifetime_ms) = (LOCK_LIFETIME.as_millis().to_string(), lifetime.as_millis().to_string());
        let (unshared, ended) = (bytes_of(unshared), self.leases.ended());
        let mut arguments = vec![self.node.as_bytes(), locked_ms.as_bytes(), &unshared, lifetime_ms.as_bytes()];
        arguments.extend(ended.iter().map(|lease| lease.text().as_bytes()));
        let call = Call::Script { step: &self.begin, keys: &keys(host, log), arguments: &arguments };
        let begun: Result<(i64, Vec<u8>), _> = self.link.call(Purpose::Logs, "logs_begin", host, call).await;
        match begun {
            Ok((1, bytes)) => {
                let mut numbers = bytes.as_chunks().0.iter().map(|chunk| u64::from_le_bytes(*chunk));
                let accepted_at = numbers.next().map(|moment| Moment(moment.cast_signed()));
                BatchLockReply::Held { last: accepted_at.map(|accepted_at| (numbers.collect(), accepted_at)) }
            }
            Ok((_, lease)) => BatchLease::read(lease).map_or(BatchLockReply::Busy, BatchLockReply::Leased),
            Err(_) => BatchLockReply::Unknown,
        }
    }

    /// Gives up the lock, or a lease of this node, or turns it into a lease. If a batch was kept, stores its hashes (none if
    /// there are too many to store) and when it was accepted for so long. True when Redis has done all of that, so that
    /// other nodes know the batch.
    pub async fn end(
        &self,
        host: i64,
        log: &str,
        kept: Option<HashedBatch<'_>>,
        lifetime: Duration,
        after: AfterBatch,
    ) -> bool {
        let is_kept = if kept.is_some() { b"1" } else { b"0" };
        let (bytes, lifetime) = (bytes_of(kept), lifetime.as_millis().to_string());
        let lease = match after {
            AfterBatch::Free => String::new(),
            AfterBatch::Leased { term } => BatchLease::text_of(&self.node, term),
        };
        let lease_lasts = BatchLease::LASTS.as_millis().to_string();
        let arguments =
            [self.node.as_bytes(), is_kept, &bytes, lifetime.as_bytes(), lease.as_bytes(), lease_lasts.as_bytes()];
        let call = Call::Script { step: &self.end, keys: &keys(host, log), arguments: &arguments };
        let ended: Result<i64, _> = self.link.call(Purpose::Logs, "logs_end", host, call).await;
        matches!(ended, Ok(1))
    }
}

/// A batch as Redis has it; none when it has no hashes.
fn bytes_of(batch: Option<HashedBatch<'_>>) -> Vec<u8> {
    let numbers = batch.filter(|(hashes, _)| !hashes.is_empty()).into_iter();
    let numbers = numbers.flat_map(|(hashes, at)| std::iter::once(at.0.cast_unsigned()).chain(hashes.iter().copied()));
    numbers.flat_map(u64::to_le_bytes).collect()
}

fn keys(host: i64, log: &str) -> [String; 2] {
    [format!("{{muster:logs:{host}:{log}}}:turn"), format!("{{muster:logs:{host}:{log}}}:batch")]
}
