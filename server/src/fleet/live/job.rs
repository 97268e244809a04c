//! One live query.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard};

use muster_api::rest::{LiveBudget, LiveCanaries, LiveCost, LiveCounts, LiveStatus, TargetState};
use roaring::RoaringTreemap;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::fold::Folding;
use super::notes::JobEnding;
use super::progress::{Applied, JobProgress, OpenTarget};
use super::snapshot::Snapshot;
use super::verdict::{CanaryRules, LiveVerdict};
use crate::bus::{JobChange, JobKey, LivePace};
use crate::clock::Moment;
use crate::fleet::guard::ResultLimits;
use crate::lock::lock;
use crate::store::entity::live_queries::Model;

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
    /// How much is kept of the answer of a host, by the table guard.
    pub(super) limits: ResultLimits,
    /// What the table guard has said of it.
    pub warnings: Vec<String>,
    /// The hosts that are given the query first; none if all are given it at one time.
    pub(super) canaries: RoaringTreemap,
    pub(super) folding: Folding,
    view: Mutex<JobView>,
    ended: CancellationToken,
    /// Whether answers from before a restart are still to be read. Until then nobody is sent the query.
    resuming: watch::Sender<bool>,
    /// The moment in microseconds until which the pace has no room, as the bus said last. So that hosts that wait for it
    /// do not ask the bus.
    held_until: AtomicI64,
}

#[derive(Debug)]
struct JobView {
    progress: JobProgress,
    /// How often the progress has changed, and how many of these changes are written.
    changes: u64,
    written: u64,
    /// Whether answers were removed, or found to be gone, after the job was over.
    were_removed: bool,
}

impl Job {
    pub(super) fn new(row: Model, key: JobKey, snapshot: Snapshot, canaries: RoaringTreemap) -> Self {
        let progress = JobProgress::of(&row, snapshot);
        let ended = CancellationToken::new();
        if !progress.is_open() {
            ended.cancel();
        }
        Self {
            ended,
            resuming: watch::Sender::new(false),
            held_until: AtomicI64::new(0),
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
            canaries,
            limits: ResultLimits { rows: limit(row.row_limit), bytes: limit(row.byte_limit) },
            // What another version may have written there is left out.
            warnings: row.guard_warnings.and_then(|texts| serde_json::from_str(&texts).ok()).unwrap_or_default(),
            view: Mutex::new(JobView { progress, changes: 0, written: 0, were_removed: false }),
        }
    }

    pub fn is_open(&self) -> bool {
        self.lock().progress.is_open()
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
        self.lock().progress.bytes
    }

    /// Waits until the job is over.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    pub fn status(&self) -> (LiveStatus, String) {
        let view = self.lock();
        (view.progress.status, view.progress.stop_reason.clone())
    }

    pub fn counts(&self) -> LiveCounts {
        self.lock().progress.states.counts()
    }

    /// Targets that have been given the query and are not given up.
    pub fn given(&self) -> u64 {
        self.lock().progress.given()
    }

    pub fn cost(&self) -> Option<LiveCost> {
        self.lock().progress.cost.show()
    }

    pub fn hosts(&self, state: TargetState) -> Vec<i64> {
        self.lock().progress.states.hosts(state).collect()
    }

    /// The first hosts in a state, by id, and how many there are.
    pub fn first_hosts(&self, state: TargetState, limit: usize) -> (Vec<i64>, u64) {
        let states = &self.lock().progress.states;
        (states.hosts(state).take(limit).collect(), states.count(state))
    }

    /// Hosts that are pending or sent.
    pub fn open_hosts(&self) -> RoaringTreemap {
        self.lock().progress.states.open()
    }

    pub fn targets(&self) -> RoaringTreemap {
        self.lock().progress.states.all()
    }

    /// Hosts in a final state.
    pub(super) fn settled_hosts(&self) -> RoaringTreemap {
        self.lock().progress.states.settled()
    }

    /// The state of a host that is an open target of an open job.
    pub(super) fn open_target(&self, host: i64) -> Option<OpenTarget> {
        // why: a checkpoint says who was sent the query, not when. Long ago is right: nobody here has heard of it
        // since.
        self.lock().progress.open_target(host, self.created_at)
    }

    /// How fast hosts are given the query.
    pub(super) fn pace(&self) -> LivePace {
        self.lock().progress.pace
    }

    /// Whether no further host is given the query.
    pub fn is_paused(&self) -> bool {
        let view = self.lock();
        view.progress.pace.is_paused && view.progress.is_open()
    }

    /// Whether a host is not given the query now, however much room the pace has.
    pub(super) fn holds_back(&self, host: i64) -> bool {
        let view = self.lock();
        view.progress.is_open() && view.progress.pace.holds_back(self.is_canary(host))
    }

    pub(super) fn is_canary(&self, host: i64) -> bool {
        self.canaries.contains(host.cast_unsigned())
    }

    /// What there is to do about the job.
    pub(super) fn judge(&self, rules: CanaryRules, now: Moment) -> LiveVerdict {
        self.lock().progress.judge(&self.canaries, rules, now)
    }

    /// The canaries as operators see them.
    pub fn canaries(&self) -> Option<LiveCanaries> {
        (!self.canaries.is_empty()).then(|| self.lock().progress.show_canaries(&self.canaries))
    }

    /// The budget and what was spent of it.
    pub fn budget(&self) -> Option<LiveBudget> {
        self.lock().progress.show_budget()
    }

    /// Whether the pace has no room at `now`, as far as this node knows.
    pub(super) fn is_held(&self, now: Moment) -> bool {
        now.0 < self.held_until.load(Ordering::Relaxed)
    }

    /// Notes until when the pace has no room.
    pub(super) fn hold_until(&self, moment: Moment) {
        self.held_until.store(moment.0, Ordering::Relaxed);
    }

    /// Applies events in their order.
    pub(super) fn apply(&self, changes: impl IntoIterator<Item = JobChange>, now: Moment) -> Applied {
        let mut all = Applied::default();
        self.change(|progress| {
            for change in changes {
                let applied = progress.apply(change, now);
                all.is_changed |= applied.is_changed;
                all.is_restored |= applied.is_restored;
                all.is_let_go |= applied.is_let_go;
            }
            all.is_changed
        });
        all
    }

    /// Makes a host pending again whose claim the bus has forgotten. False when it was not sent.
    pub(super) fn pending_again(&self, host: i64) -> bool {
        self.change(|progress| progress.pending_again(host))
    }

    /// Ends it, unless it is over.
    pub(super) fn end(&self, ending: &JobEnding) {
        self.change(|progress| progress.end(ending));
    }

    /// The states to make the job anew with when the bus has lost it: hosts that were sent the query are pending again,
    /// and the answers so far are lost.
    pub(super) fn restored(&self) -> Snapshot {
        let mut snapshot = self.lock().progress.snapshot();
        snapshot.states.advance_all(&[TargetState::Sent], TargetState::Pending);
        snapshot.states.lose_answers();
        snapshot
    }

    /// The progress of the job when it was started, to apply all of its events to.
    pub(super) fn begun(&self) -> JobProgress {
        self.lock().progress.begun()
    }

    /// Takes over what all events of the job add up to, unless it is over.
    pub(super) fn take_over(&self, whole: JobProgress) {
        self.change(|progress| {
            if !progress.is_open() {
                return false;
            }
            let is_news = progress.states != whole.states || !whole.is_open();
            *progress = whole;
            is_news
        });
    }

    /// Whether there are answers that can be read.
    pub(super) fn has_answers(&self) -> bool {
        self.lock().progress.states.has_answers()
    }

    /// The answers of a job that is over are gone.
    pub(super) fn lose_answers(&self) {
        self.change(|progress| {
            progress.states.lose_answers();
            progress.bytes = 0;
            true
        });
        self.lock().were_removed = true;
    }

    /// Whether answers are gone that were there when the job was over, as far as this node has heard.
    pub(super) fn were_answers_removed(&self) -> bool {
        self.lock().were_removed
    }

    /// Takes over how another node has ended the job, as the database has it.
    pub(super) fn adopt(&self, row: &Model) {
        let Some(snapshot) = Snapshot::from_bytes(&row.states) else { return };
        let had_answers = self.has_answers();
        self.change(|progress| {
            *progress = JobProgress::of(row, snapshot);
            true
        });
        let is_removed = had_answers && !self.has_answers();
        self.lock().were_removed |= is_removed;
    }

    pub(super) fn finished_at(&self) -> Option<Moment> {
        self.lock().progress.finished_at
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.lock().progress.snapshot()
    }

    /// The checkpoint to write, if anything has changed since the last one.
    pub(super) fn checkpoint(&self) -> Option<Checkpoint> {
        let JobView { progress, changes, written, .. } = &*self.lock();
        (changes > written).then(|| Checkpoint {
            changes: *changes,
            snapshot: progress.snapshot(),
            results_bytes: progress.bytes,
            status: progress.status,
            stop_reason: progress.stop_reason.clone(),
            finished_at: progress.finished_at,
        })
    }

    /// A checkpoint is in the database.
    pub(super) fn was_written(&self, checkpoint: &Checkpoint) {
        let mut view = self.lock();
        view.written = view.written.max(checkpoint.changes);
    }

    fn change(&self, change: impl FnOnce(&mut JobProgress) -> bool) -> bool {
        let mut view = self.lock();
        let before = view.progress.pace;
        let changed = change(&mut view.progress);
        if view.progress.pace != before {
            self.hold_until(Moment::NEVER);
        }
        view.changes += u64::from(changed);
        if !view.progress.is_open() {
            self.ended.cancel();
        }
        changed
    }

    fn lock(&self) -> MutexGuard<'_, JobView> {
        lock(&self.view)
    }
}

/// A limit as it is stored.
fn limit(stored: i64) -> Option<u64> {
    (stored != 0).then(|| u64::try_from(stored).unwrap_or(0))
}

/// How far a job is, to be stored. It is put into bytes without the job being locked.
#[derive(Debug)]
pub(super) struct Checkpoint {
    changes: u64,
    pub snapshot: Snapshot,
    pub results_bytes: u64,
    pub status: LiveStatus,
    pub stop_reason: String,
    pub finished_at: Option<Moment>,
}
