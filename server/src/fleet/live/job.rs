//! One live query.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use muster_api::rest::{LiveCost, LiveCounts, LiveStats, LiveStatus, Percentiles, TargetState};
use roaring::RoaringTreemap;
use sketches_ddsketch::{Config, DDSketch};
use tokio_util::sync::CancellationToken;

use super::fold::Folding;
use super::notes::{JobEnding, Settlement};
use super::states::States;
use crate::clock::Moment;
use crate::lock::lock;
use crate::store::entity::live_queries::{LiveStatusWord, Model};

/// Hosts whose agent a query may stop before it is stopped itself.
const MAX_SUSPECTS: u64 = 3;

/// A live query in memory: what it asks never changes, how far it is does.
#[derive(Debug)]
pub struct Job {
    pub id: i64,
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
}

/// What a host that is waited for has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenTarget {
    /// To fetch it; if it was lost once, alone.
    Pending { retry_alone: bool },
    /// To answer.
    Sent { at: Moment, is_alone: bool, retry_alone: bool },
}

#[derive(Debug)]
struct JobProgress {
    states: States,
    /// When hosts that owe an answer were asked, and whether that was all they were asked.
    sent: BTreeMap<i64, (Moment, bool)>,
    /// Hosts that were asked again.
    retry_alone: RoaringTreemap,
    status: LiveStatus,
    stop_reason: String,
    finished_at: Option<Moment>,
    cost: QueryCost,
    /// How often it has changed, and how many of these changes are written.
    changes: u64,
    written: u64,
}

impl Job {
    pub(super) fn new(row: Model, states: States) -> Self {
        let (status, stop_reason) = ending(row.status, row.stop_reason);
        let ended = CancellationToken::new();
        if status != LiveStatus::Open {
            ended.cancel();
        }
        Self {
            ended,
            folding: Folding::default(),
            id: row.id,
            sql: row.query,
            query_name: row.query_name,
            discovery: row.discovery,
            author_id: row.author_id,
            author_email: row.author_email,
            created_at: row.created_at,
            deadline: row.deadline,
            progress: Mutex::new(JobProgress {
                states,
                sent: BTreeMap::new(),
                retry_alone: RoaringTreemap::new(),
                status,
                stop_reason,
                finished_at: row.finished_at,
                cost: QueryCost::default(),
                changes: 0,
                written: 0,
            }),
        }
    }

    pub fn is_open(&self) -> bool {
        self.lock().status == LiveStatus::Open
    }

    /// Waits until nobody is asked any more.
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

    /// Targets that have still to fetch it or to answer.
    pub fn waiting(&self) -> RoaringTreemap {
        self.lock().states.waiting()
    }

    pub fn targets(&self) -> Vec<i64> {
        self.lock().states.targets().collect()
    }

    /// Hosts in a final state.
    pub(super) fn settled_hosts(&self) -> RoaringTreemap {
        self.lock().states.settled()
    }

    /// What a host has to do, if it is waited for.
    pub(super) fn open_target(&self, host: i64) -> Option<OpenTarget> {
        let progress = self.lock();
        if progress.status != LiveStatus::Open {
            return None;
        }
        let retry_alone = progress.retry_alone.contains(host.cast_unsigned());
        match progress.states.of(host)? {
            TargetState::Pending => Some(OpenTarget::Pending { retry_alone }),
            TargetState::Sent => {
                let (at, is_alone) = progress.sent.get(&host).copied().unwrap_or((self.created_at, false));
                Some(OpenTarget::Sent { at, is_alone, retry_alone })
            }
            _ => None,
        }
    }

    /// A host has fetched the query. False when the host was not pending.
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

    /// A host is to fetch it once more.
    pub(super) fn again(&self, host: i64) -> bool {
        self.change(|progress| {
            progress.sent.remove(&host);
            let is_again = progress.states.advance(host, &[TargetState::Sent], TargetState::Pending);
            if is_again {
                progress.retry_alone.insert(host.cast_unsigned());
            }
            is_again
        })
    }

    /// A host's final state, from its answer or from what is known of it.
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
            progress.finish_if_settled(Moment(settlement.at));
            true
        })
    }

    /// What it goes on from when the bus has lost it: who owed an answer is asked again, and the answers that were there
    /// are gone.
    pub(super) fn restored(&self) -> States {
        let mut states = self.lock().states.clone();
        if states.is_settled() {
            states.lose_answers();
            return states;
        }
        states.advance_all(&[TargetState::Sent], TargetState::Pending);
        states.lose_answers();
        states
    }

    /// Goes on from what another server, or this one, has made it anew with.
    pub(super) fn restore(&self, note: &[u8], now: Moment) -> bool {
        let Some(states) = States::from_bytes(note) else {
            tracing::error!(live_query = self.id, "what a live query goes on from cannot be read");
            return false;
        };
        self.change(|progress| {
            if progress.status != LiveStatus::Open {
                return false;
            }
            progress.states = states;
            progress.sent.clear();
            progress.retry_alone.clear();
            progress.finish_if_settled(now);
            true
        })
    }

    /// Whether there are answers that can be read.
    pub(super) fn has_answers(&self) -> bool {
        self.lock().states.has_answers()
    }

    /// The answers of a job that is over are gone.
    pub(super) fn lose_answers(&self) {
        self.change(|progress| {
            progress.states.lose_answers();
            true
        });
    }

    /// As the database has it: somebody else has ended it.
    pub(super) fn adopt(&self, row: Model) {
        let Some(states) = States::from_bytes(&row.states) else { return };
        self.change(|progress| {
            progress.states = states;
            (progress.status, progress.stop_reason) = ending(row.status, row.stop_reason);
            progress.finished_at = row.finished_at;
            true
        });
    }

    /// Whether so many agents have died of it that it must not be asked any more.
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

    pub(super) fn states_bytes(&self) -> Vec<u8> {
        self.lock().states.to_bytes()
    }

    pub(super) fn finished_at(&self) -> Option<Moment> {
        self.lock().finished_at
    }

    /// What is to be written, if anything has changed since the last time.
    pub(super) fn checkpoint(&self) -> Option<Checkpoint> {
        let progress = self.lock();
        (progress.changes > progress.written).then(|| Checkpoint {
            changes: progress.changes,
            states: progress.states.to_bytes(),
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

/// What the query cost, over the hosts that said so. Percentiles are within one percent.
struct QueryCost {
    hosts: u64,
    wall: DDSketch,
    cpu: DDSketch,
    memory: DDSketch,
}

impl std::fmt::Debug for QueryCost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryCost").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl Default for QueryCost {
    fn default() -> Self {
        let sketch = || DDSketch::new(Config::new(0.01, 2048, 1.0e-9));
        Self { hosts: 0, wall: sketch(), cpu: sketch(), memory: sketch() }
    }
}

impl QueryCost {
    #[expect(clippy::cast_precision_loss, reason = "costs are far below 2^52")]
    fn add(&mut self, stats: LiveStats) {
        self.hosts += 1;
        self.wall.add(stats.wall_time_ms as f64);
        self.cpu.add(stats.user_time_ms.saturating_add(stats.system_time_ms) as f64);
        self.memory.add(stats.memory_bytes as f64);
    }

    fn show(&self) -> Option<LiveCost> {
        let percentiles = |sketch: &DDSketch| {
            let quantile = |q| sketch.quantile(q).ok().flatten().unwrap_or(0.0);
            Percentiles { p50: quantile(0.5), p95: quantile(0.95), max: sketch.max().unwrap_or(0.0) }
        };
        (self.hosts > 0).then(|| LiveCost {
            hosts: self.hosts,
            wall_time_ms: percentiles(&self.wall),
            cpu_time_ms: percentiles(&self.cpu),
            memory_bytes: percentiles(&self.memory),
        })
    }
}
