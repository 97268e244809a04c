//! One live query.

use std::sync::{Mutex, MutexGuard};

use muster_api::osquery::Stats;
use muster_api::rest::{LiveAnswer, LiveCost, LiveCounts, LiveStatus, Percentiles, TargetState};
use roaring::RoaringTreemap;
use sketches_ddsketch::{Config, DDSketch};
use tokio_util::sync::CancellationToken;

use super::states::States;
use crate::clock::Moment;
use crate::lock::lock;
use crate::store::entity::live_queries::Model;

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
    progress: Mutex<Progress>,
    ended: CancellationToken,
}

#[derive(Debug)]
struct Progress {
    states: States,
    status: LiveStatus,
    stop_reason: String,
    finished_at: Option<Moment>,
    cost: Cost,
    /// How often it has changed, and how many of these changes are written.
    changes: u64,
    written: u64,
}

impl Job {
    pub(super) fn new(row: Model, states: States) -> Self {
        let status = status_of(&row.status);
        let ended = CancellationToken::new();
        if status != LiveStatus::Open {
            ended.cancel();
        }
        Self {
            ended,
            id: row.id,
            sql: row.query,
            query_name: row.query_name,
            discovery: row.discovery,
            author_id: row.author_id,
            author_email: row.author_email,
            created_at: row.created_at,
            deadline: row.deadline,
            progress: Mutex::new(Progress {
                states,
                status,
                stop_reason: row.stop_reason,
                finished_at: row.finished_at,
                cost: Cost::default(),
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

    pub fn state_of(&self, host: i64) -> Option<TargetState> {
        self.lock().states.of(host)
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

    /// A host has fetched the query. False when it is not its turn any more.
    pub(super) fn sent(&self, host: i64) -> bool {
        self.change(|progress| progress.states.advance(host, &[TargetState::Pending], TargetState::Sent))
    }

    /// A host is to fetch it once more.
    pub(super) fn again(&self, host: i64) -> bool {
        self.change(|progress| progress.states.advance(host, &[TargetState::Sent], TargetState::Pending))
    }

    /// A host's final state, from its answer or from what is known of it.
    pub(super) fn settled(&self, answer: &LiveAnswer, stats: Option<Stats>, now: Moment) -> bool {
        self.change(|progress| {
            let open = [TargetState::Pending, TargetState::Sent];
            if !progress.states.advance(answer.host_id, &open, answer.state) {
                return false;
            }
            if answer.truncated {
                progress.states.mark_truncated(answer.host_id);
            }
            if let Some(stats) = stats {
                progress.cost.add(stats);
            }
            progress.finish_if_settled(now);
            true
        })
    }

    /// A host was deleted.
    pub(super) fn gone(&self, host: i64, now: Moment) {
        self.change(|progress| {
            let open = [TargetState::Pending, TargetState::Sent];
            let moved = progress.states.advance(host, &open, TargetState::Gone);
            progress.finish_if_settled(now);
            moved
        });
    }

    /// Whether so many agents have died of it that it must not be asked any more.
    pub(super) fn is_dangerous(&self) -> bool {
        self.counts().suspect >= MAX_SUSPECTS
    }

    /// Ends it; whoever has not answered is counted as `rest`.
    pub(super) fn end(&self, status: LiveStatus, reason: String, rest: TargetState, now: Moment) {
        self.change(|progress| {
            if progress.status == LiveStatus::Open {
                progress.states.advance_all(&[TargetState::Pending, TargetState::Sent], rest);
                progress.status = status;
                progress.stop_reason = reason;
                progress.finished_at = Some(now);
            }
            true
        });
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

    fn change(&self, change: impl FnOnce(&mut Progress) -> bool) -> bool {
        let mut progress = self.lock();
        let changed = change(&mut progress);
        progress.changes += u64::from(changed);
        if progress.status != LiveStatus::Open {
            self.ended.cancel();
        }
        changed
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        lock(&self.progress)
    }
}

impl Progress {
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

pub(super) fn status_name(status: LiveStatus) -> &'static str {
    match status {
        LiveStatus::Open => "open",
        LiveStatus::Complete => "complete",
        LiveStatus::Cancelled => "cancelled",
        LiveStatus::Stopped => "stopped",
        LiveStatus::Expired => "expired",
    }
}

fn status_of(name: &str) -> LiveStatus {
    match name {
        "complete" => LiveStatus::Complete,
        "cancelled" => LiveStatus::Cancelled,
        "stopped" => LiveStatus::Stopped,
        "expired" => LiveStatus::Expired,
        _ => LiveStatus::Open,
    }
}

/// What the query cost, over the hosts that said so. Percentiles are within one percent.
struct Cost {
    hosts: u64,
    wall: DDSketch,
    cpu: DDSketch,
    memory: DDSketch,
}

impl std::fmt::Debug for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cost").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl Default for Cost {
    fn default() -> Self {
        let sketch = || DDSketch::new(Config::new(0.01, 2048, 1.0e-9));
        Self { hosts: 0, wall: sketch(), cpu: sketch(), memory: sketch() }
    }
}

impl Cost {
    #[expect(clippy::cast_precision_loss, reason = "costs are far below 2^52")]
    fn add(&mut self, stats: Stats) {
        self.hosts += 1;
        self.wall.add(stats.wall_time_ms as f64);
        self.cpu.add(stats.user_time.saturating_add(stats.system_time) as f64);
        self.memory.add(stats.memory as f64);
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
