//! One live query.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use muster_api::rest::{LiveCost, LiveCounts, LiveStatus, TargetState};
use roaring::RoaringTreemap;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::cost::QueryCost;
use super::fold::Folding;
use super::notes::{JobEnding, Settlement};
use super::snapshot::Snapshot;
use super::states::States;
use crate::bus::JobKey;
use crate::clock::Moment;
use crate::lock::lock;
use crate::store::entity::live_queries::{LiveStatusWord, Model};

/// Hosts whose agent a query may stop before it is stopped itself.
const MAX_SUSPECTS: u64 = 3;

/// A live query in memory: its query never changes, its progress does.
#[derive(Debug)]
pub struct Job {
    pub id: i64,
    /// Its name on the bus.
    pub(super) key: JobKey,
    pub sql: String,
    pub query_name: String,
    pub discovery: Option<String>,
    pub author_id: Option<i64>,
    pub author_email: String,
    pub created_at: Moment,
    pub deadline: Moment,
    pub(super) folding: Folding,
    progress: Mutex<JobProgress>,
    ended: CancellationToken,
    /// Whether answers from before a restart are still to be read. Until then nobody is sent the query.
    resuming: watch::Sender<bool>,
}

/// The state of a target that is open: pending or sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenTarget {
    /// The host has to fetch the query. `retry_alone`: its answer was lost once, so the query is sent alone.
    Pending { retry_alone: bool },
    /// The host has to answer. `at` is when it was sent the query, `is_alone` whether in a read of its own.
    Sent { at: Moment, is_alone: bool, retry_alone: bool },
}

#[derive(Debug)]
struct JobProgress {
    states: States,
    /// When hosts in the state sent were sent the query, and whether alone.
    sent: BTreeMap<i64, (Moment, bool)>,
    /// Hosts whose answer was lost once.
    retry_alone: RoaringTreemap,
    status: LiveStatus,
    stop_reason: String,
    finished_at: Option<Moment>,
    cost: QueryCost,
    /// Bytes of the answers that are kept.
    bytes: u64,
    /// How often the progress has changed, and how many of these changes are written.
    changes: u64,
    written: u64,
}

impl Job {
    pub(super) fn new(row: Model, key: JobKey, snapshot: Snapshot) -> Self {
        let (status, stop_reason) = ending(row.status, row.stop_reason);
        let ended = CancellationToken::new();
        if status != LiveStatus::Open {
            ended.cancel();
        }
        let progress =
            JobProgress::new(snapshot, row.results_bytes.cast_unsigned(), status, stop_reason, row.finished_at);
        Self {
            ended,
            resuming: watch::Sender::new(false),
            folding: Folding::default(),
            id: row.id,
            key,
            sql: row.query,
            query_name: row.query_name,
            discovery: row.discovery,
            author_id: row.author_id,
            author_email: row.author_email,
            created_at: row.created_at,
            deadline: row.deadline,
            progress: Mutex::new(progress),
        }
    }

    pub fn is_open(&self) -> bool {
        self.lock().status == LiveStatus::Open
    }

    /// Whether nobody is sent the query yet, because answers from before a restart are still to be read.
    pub(super) fn is_resuming(&self) -> bool {
        *self.resuming.borrow()
    }

    pub(super) fn set_resuming(&self, is_resuming: bool) {
        self.resuming.send_replace(is_resuming);
    }

    /// Waits until the answers from before a restart were read.
    pub(super) async fn resumed(&self) {
        // The sender lives as long as the job.
        let _ = self.resuming.subscribe().wait_for(|is_resuming| !is_resuming).await;
    }

    /// Bytes of the answers that are kept.
    pub(super) fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    /// Waits until the job is over.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    pub fn status(&self) -> (LiveStatus, String) {
        let progress = self.lock();
        (progress.status, progress.stop_reason.clone())
    }

    pub fn counts(&self) -> LiveCounts {
        self.lock().states.counts()
    }

    pub fn cost(&self) -> Option<LiveCost> {
        self.lock().cost.show()
    }

    pub fn hosts(&self, state: TargetState) -> Vec<i64> {
        self.lock().states.hosts(state).collect()
    }

    /// Hosts that are pending or sent.
    pub fn open_hosts(&self) -> RoaringTreemap {
        self.lock().states.open()
    }

    pub fn targets(&self) -> Vec<i64> {
        self.lock().states.targets().collect()
    }

    /// Hosts in a final state.
    pub(super) fn settled_hosts(&self) -> RoaringTreemap {
        self.lock().states.settled()
    }

    /// The state of a host that is an open target of an open job.
    pub(super) fn open_target(&self, host: i64) -> Option<OpenTarget> {
        let progress = self.lock();
        if progress.status != LiveStatus::Open {
            return None;
        }
        let retry_alone = || progress.retry_alone.contains(host.cast_unsigned());
        if progress.states.has(host, TargetState::Pending) {
            return Some(OpenTarget::Pending { retry_alone: retry_alone() });
        }
        if !progress.states.has(host, TargetState::Sent) {
            return None;
        }
        // why: a checkpoint says who was sent the query, not when. Long ago is right: nobody here has heard of it
        // since.
        let (at, is_alone) = progress.sent.get(&host).copied().unwrap_or((self.created_at, false));
        Some(OpenTarget::Sent { at, is_alone, retry_alone: retry_alone() })
    }

    /// A host was sent the query. False when it is no open target.
    pub(super) fn sent(&self, host: i64, at: Moment, is_alone: bool) -> bool {
        self.change(|progress| {
            let open = [TargetState::Pending, TargetState::Sent];
            let is_sent = progress.states.advance(host, &open, TargetState::Sent);
            if is_sent {
                progress.sent.insert(host, (at, is_alone));
            }
            is_sent
        })
    }

    /// The answer of a host that was sent the query is lost: the host is pending once more, to be sent it alone. False
    /// when it was not sent.
    pub(super) fn pending_again(&self, host: i64) -> bool {
        self.change(|progress| {
            progress.sent.remove(&host);
            let is_pending = progress.states.advance(host, &[TargetState::Sent], TargetState::Pending);
            if is_pending {
                progress.retry_alone.insert(host.cast_unsigned());
            }
            is_pending
        })
    }

    /// Gives a host its final state. False when it is no open target.
    pub(super) fn settled(&self, host: i64, settlement: &Settlement) -> bool {
        self.change(|progress| {
            let open = [TargetState::Pending, TargetState::Sent];
            if !progress.states.advance(host, &open, settlement.state) {
                return false;
            }
            progress.sent.remove(&host);
            if settlement.truncated {
                progress.states.mark_truncated(host);
            }
            if settlement.unkept {
                progress.states.mark_unkept(host);
            }
            if let Some(stats) = settlement.stats {
                progress.cost.add(stats);
            }
            progress.bytes += settlement.bytes;
            progress.finish_if_settled(Moment(settlement.at));
            true
        })
    }

    /// The states to make the job anew with when the bus has lost it: hosts that were sent the query are pending again,
    /// and the answers so far are lost.
    pub(super) fn restored(&self) -> Snapshot {
        let mut snapshot = self.lock().snapshot();
        snapshot.states.advance_all(&[TargetState::Sent], TargetState::Pending);
        snapshot.states.lose_answers();
        snapshot
    }

    /// Goes on from the snapshot this node or another has made the job anew with. False when the job is over.
    pub(super) fn restore(&self, note: &[u8], now: Moment) -> bool {
        let Some(snapshot) = Snapshot::from_bytes(note) else {
            tracing::error!(live_query = self.id, "restored states of a live query cannot be read");
            return false;
        };
        self.change(|progress| {
            if progress.status != LiveStatus::Open {
                return false;
            }
            (progress.states, progress.cost, progress.bytes) = (snapshot.states, snapshot.cost, 0);
            progress.sent.clear();
            progress.retry_alone.clear();
            progress.finish_if_settled(now);
            true
        })
    }

    /// The same job as it was when it was started, to fold all of its events into.
    pub(super) fn with_all_pending(&self) -> Self {
        let snapshot = Snapshot { states: States::pending(self.targets()), ..Snapshot::default() };
        Self {
            ended: CancellationToken::new(),
            resuming: watch::Sender::new(false),
            folding: Folding::default(),
            id: self.id,
            key: self.key,
            sql: self.sql.clone(),
            query_name: self.query_name.clone(),
            discovery: self.discovery.clone(),
            author_id: self.author_id,
            author_email: self.author_email.clone(),
            created_at: self.created_at,
            deadline: self.deadline,
            progress: Mutex::new(JobProgress::new(snapshot, 0, LiveStatus::Open, String::new(), None)),
        }
    }

    /// Takes over what all events of the job add up to, unless it is over.
    pub(super) fn take_over(&self, whole: &Self) {
        let fresh = whole.lock();
        self.change(|progress| {
            if progress.status != LiveStatus::Open {
                return false;
            }
            let is_news = progress.states != fresh.states || fresh.status != LiveStatus::Open;
            progress.states = fresh.states.clone();
            progress.sent.clone_from(&fresh.sent);
            progress.retry_alone = fresh.retry_alone.clone();
            (progress.cost, progress.bytes) = (fresh.cost.clone(), fresh.bytes);
            (progress.status, progress.finished_at) = (fresh.status, fresh.finished_at);
            progress.stop_reason.clone_from(&fresh.stop_reason);
            is_news
        });
    }

    /// Whether there are answers that can be read.
    pub(super) fn has_answers(&self) -> bool {
        self.lock().states.has_answers()
    }

    /// The answers of a job that is over are gone.
    pub(super) fn lose_answers(&self) {
        self.change(|progress| {
            progress.states.lose_answers();
            progress.bytes = 0;
            true
        });
    }

    /// Takes over how another node has ended the job, as the database has it.
    pub(super) fn adopt(&self, row: Model) {
        let Some(Snapshot { states, cost }) = Snapshot::from_bytes(&row.states) else { return };
        self.change(|progress| {
            (progress.states, progress.cost) = (states, cost);
            progress.bytes = row.results_bytes.cast_unsigned();
            (progress.status, progress.stop_reason) = ending(row.status, row.stop_reason);
            progress.finished_at = row.finished_at;
            true
        });
    }

    /// Whether the job has stopped so many agents that no other host may be sent it.
    pub(super) fn is_dangerous(&self) -> bool {
        self.counts().suspect >= MAX_SUSPECTS
    }

    /// Ends it, unless it is over.
    pub(super) fn end(&self, ending: &JobEnding) {
        self.change(|progress| {
            if progress.status != LiveStatus::Open {
                return false;
            }
            progress.states.advance_all(&[TargetState::Pending, TargetState::Sent], ending.rest);
            progress.sent.clear();
            progress.status = ending.status;
            progress.stop_reason.clone_from(&ending.reason);
            progress.finished_at = Some(Moment(ending.at));
            true
        });
    }

    pub(super) fn snapshot_bytes(&self) -> Vec<u8> {
        self.lock().snapshot().to_bytes()
    }

    pub(super) fn finished_at(&self) -> Option<Moment> {
        self.lock().finished_at
    }

    /// The checkpoint to write, if anything has changed since the last one.
    pub(super) fn checkpoint(&self) -> Option<Checkpoint> {
        let progress = self.lock();
        (progress.changes > progress.written).then(|| Checkpoint {
            changes: progress.changes,
            states: progress.snapshot().to_bytes(),
            results_bytes: progress.bytes,
            status: progress.status,
            stop_reason: progress.stop_reason.clone(),
            finished_at: progress.finished_at,
        })
    }

    /// A checkpoint is in the database.
    pub(super) fn was_written(&self, checkpoint: &Checkpoint) {
        let mut progress = self.lock();
        progress.written = progress.written.max(checkpoint.changes);
    }

    fn change(&self, change: impl FnOnce(&mut JobProgress) -> bool) -> bool {
        let mut progress = self.lock();
        let changed = change(&mut progress);
        progress.changes += u64::from(changed);
        if progress.status != LiveStatus::Open {
            self.ended.cancel();
        }
        changed
    }

    fn lock(&self) -> MutexGuard<'_, JobProgress> {
        lock(&self.progress)
    }
}

impl JobProgress {
    fn new(
        snapshot: Snapshot,
        bytes: u64,
        status: LiveStatus,
        stop_reason: String,
        finished_at: Option<Moment>,
    ) -> Self {
        Self {
            states: snapshot.states,
            sent: BTreeMap::new(),
            retry_alone: RoaringTreemap::new(),
            status,
            stop_reason,
            finished_at,
            cost: snapshot.cost,
            bytes,
            changes: 0,
            written: 0,
        }
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot { states: self.states.clone(), cost: self.cost.clone() }
    }

    fn finish_if_settled(&mut self, now: Moment) {
        if self.status == LiveStatus::Open && self.states.is_settled() {
            self.status = LiveStatus::Complete;
            self.finished_at = Some(now);
        }
    }
}

/// How far a job is, as it is stored.
#[derive(Debug)]
pub(super) struct Checkpoint {
    changes: u64,
    pub states: Vec<u8>,
    pub results_bytes: u64,
    pub status: LiveStatus,
    pub stop_reason: String,
    pub finished_at: Option<Moment>,
}

/// The word a status is stored as.
pub(super) fn status_word(status: LiveStatus) -> LiveStatusWord {
    match status {
        LiveStatus::Open => LiveStatusWord::Open,
        LiveStatus::Complete => LiveStatusWord::Complete,
        LiveStatus::Cancelled => LiveStatusWord::Cancelled,
        LiveStatus::Stopped => LiveStatusWord::Stopped,
        LiveStatus::Expired => LiveStatusWord::Expired,
    }
}

/// Status and stop reason as they are stored. A status this version does not know reads as stopped: nobody is asked, and
/// the reason says why.
fn ending(word: LiveStatusWord, stop_reason: String) -> (LiveStatus, String) {
    let status = match word {
        LiveStatusWord::Open => LiveStatus::Open,
        LiveStatusWord::Complete => LiveStatus::Complete,
        LiveStatusWord::Cancelled => LiveStatus::Cancelled,
        LiveStatusWord::Stopped => LiveStatus::Stopped,
        LiveStatusWord::Expired => LiveStatus::Expired,
        LiveStatusWord::Unknown(word) => {
            let reason = format!("this version of the server does not know its status {:?}", word.as_str());
            return (LiveStatus::Stopped, reason);
        }
    };
    (status, stop_reason)
}
