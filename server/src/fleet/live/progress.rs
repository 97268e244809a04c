//! How far a live query is, as one view has it: the states of its targets, and how it ended.

use std::collections::BTreeMap;

use muster_api::rest::{LiveStatus, TargetState};
use roaring::RoaringTreemap;

use super::cost::{CpuBudget, QueryCost};
use super::notes::{JobEnding, Settlement};
use super::snapshot::Snapshot;
use super::states::States;
use crate::bus::{JobChange, LivePace};
use crate::clock::Moment;
use crate::store::entity::live_queries::{LiveStatusWord, Model};
use crate::store::live_queries::OpenRow;

/// States of targets that are open.
const OPEN: [TargetState; 2] = [TargetState::Pending, TargetState::Sent];

/// The state of a target that is open: pending or sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenTarget {
    /// The host has to fetch the query. `retry_alone`: its answer was lost once, so the query is sent alone.
    Pending { retry_alone: bool },
    /// The host has to answer. `at` is when it was sent the query, `is_alone` whether in a read of its own.
    Sent { at: Moment, is_alone: bool, retry_alone: bool },
}

#[derive(Debug)]
pub(super) struct JobProgress {
    pub states: States,
    /// When hosts in the state sent were sent the query, and whether alone.
    pub sent: BTreeMap<i64, (Moment, bool)>,
    /// Hosts whose answer was lost once.
    pub retry_alone: RoaringTreemap,
    pub status: LiveStatus,
    pub stop_reason: String,
    pub finished_at: Option<Moment>,
    pub cost: QueryCost,
    /// Bytes of the answers that are kept.
    pub bytes: u64,
    pub pace: LivePace,
    /// Set when the job was started.
    pub budget: CpuBudget,
}

/// What an event has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Applied {
    pub is_changed: bool,
    /// The job was made anew, so that hosts may be open targets again.
    pub is_restored: bool,
    /// Hosts may be given the query that were held back before.
    pub is_let_go: bool,
}

impl JobProgress {
    /// As the row of a job says, which has this snapshot.
    pub fn of(row: &Model, snapshot: Snapshot) -> Self {
        let (status, stop_reason) = ending(&row.status, row.stop_reason.clone());
        let Snapshot { states, cost, retry_alone } = snapshot;
        Self {
            states,
            sent: BTreeMap::new(),
            retry_alone,
            status,
            stop_reason,
            finished_at: row.finished_at,
            cost,
            bytes: row.results_bytes.max(0).cast_unsigned(),
            pace: PaceColumns::from(row).pace(),
            budget: CpuBudget {
                host_ms: row.host_cpu_ms.max(0).cast_unsigned(),
                fleet_ms: row.fleet_cpu_ms.max(0).cast_unsigned(),
            },
        }
    }

    /// As it was when the job was started, to apply all of its events to.
    pub fn begun(&self) -> Self {
        Self {
            states: States::pending(self.states.targets()),
            sent: BTreeMap::new(),
            retry_alone: RoaringTreemap::new(),
            status: LiveStatus::Open,
            stop_reason: String::new(),
            finished_at: None,
            cost: QueryCost::default(),
            bytes: 0,
            pace: LivePace::default(),
            budget: self.budget,
        }
    }

    pub fn is_open(&self) -> bool {
        self.status == LiveStatus::Open
    }

    /// Targets that have been given the query: those that were sent it, have answered or were found not to, and those that
    /// are to be given it once more.
    pub fn given(&self) -> u64 {
        let counts = self.states.counts();
        let never = counts.pending + counts.gone + counts.expired + counts.cancelled;
        counts.targets - never + self.states.count_among(TargetState::Pending, &self.retry_alone)
    }

    pub fn snapshot(&self) -> Snapshot {
        let retry_alone = &self.retry_alone & self.states.open();
        Snapshot { states: self.states.clone(), cost: self.cost.clone(), retry_alone }
    }

    /// The state of a host that is an open target of an open job. `long_ago` is for a host that a checkpoint says was sent
    /// the query, and not when.
    pub fn open_target(&self, host: i64, long_ago: Moment) -> Option<OpenTarget> {
        if !self.is_open() {
            return None;
        }
        let retry_alone = || self.retry_alone.contains(host.cast_unsigned());
        if self.states.has(host, TargetState::Pending) {
            return Some(OpenTarget::Pending { retry_alone: retry_alone() });
        }
        if !self.states.has(host, TargetState::Sent) {
            return None;
        }
        let (at, is_alone) = self.sent.get(&host).copied().unwrap_or((long_ago, false));
        Some(OpenTarget::Sent { at, is_alone, retry_alone: retry_alone() })
    }

    /// Applies an event. One that does not fit, as a repeat, changes nothing.
    pub fn apply(&mut self, change: JobChange, now: Moment) -> Applied {
        let (mut is_restored, mut is_let_go) = (false, false);
        let is_changed = match change {
            JobChange::Sent { host, at, is_alone } => self.sent(host, at, is_alone),
            JobChange::Pending { host } => self.pending_again(host),
            JobChange::Settled { host, note } => self.settled(host, &Settlement::from_bytes(&note, now)),
            JobChange::Paced(pace) => {
                let is_news = pace.changes > self.pace.changes;
                if is_news {
                    is_let_go = self.pace.is_paused && !pace.is_paused
                        || self.pace.canaries_until.is_some() && pace.canaries_until.is_none();
                    self.pace = pace;
                }
                is_news
            }
            JobChange::Closed { note } => self.end(&JobEnding::from_bytes(&note, now)),
            JobChange::Restored { note } => {
                is_restored = self.restore(&note, now);
                is_restored
            }
        };
        Applied { is_changed, is_restored, is_let_go }
    }

    fn sent(&mut self, host: i64, at: Moment, is_alone: bool) -> bool {
        let is_sent = self.states.advance(host, &OPEN, TargetState::Sent);
        if is_sent {
            self.sent.insert(host, (at, is_alone));
        }
        is_sent
    }

    /// The answer of a host that was sent the query is lost: the host is pending once more, to be sent it alone. False
    /// when it was not sent.
    pub fn pending_again(&mut self, host: i64) -> bool {
        self.sent.remove(&host);
        let is_pending = self.states.advance(host, &[TargetState::Sent], TargetState::Pending);
        if is_pending {
            self.retry_alone.insert(host.cast_unsigned());
        }
        is_pending
    }

    fn settled(&mut self, host: i64, settlement: &Settlement) -> bool {
        if !self.states.advance(host, &OPEN, settlement.state) {
            return false;
        }
        self.sent.remove(&host);
        if settlement.truncated {
            self.states.mark_truncated(host);
        }
        if settlement.unkept {
            self.states.mark_unkept(host);
        }
        if let Some(stats) = settlement.stats {
            self.cost.add(host, stats, self.budget);
        }
        self.bytes += settlement.bytes;
        self.finish_if_settled(Moment(settlement.at));
        true
    }

    /// Goes on from the snapshot that some node has made the job anew with.
    fn restore(&mut self, note: &[u8], now: Moment) -> bool {
        let Some(snapshot) = Snapshot::from_bytes(note) else {
            tracing::error!("restored states of a live query cannot be read");
            return false;
        };
        if !self.is_open() {
            return false;
        }
        (self.states, self.cost, self.bytes) = (snapshot.states, snapshot.cost, 0);
        // Whoever has made it anew sets it again, or the first node that finds it in the row.
        self.pace = LivePace::default();
        self.retry_alone = snapshot.retry_alone;
        self.sent.clear();
        self.finish_if_settled(now);
        true
    }

    /// Ends the job. False when it is over.
    pub fn end(&mut self, ending: &JobEnding) -> bool {
        if !self.is_open() {
            return false;
        }
        self.states.advance_all(&OPEN, ending.rest);
        self.sent.clear();
        self.status = ending.status;
        self.stop_reason.clone_from(&ending.reason);
        self.finished_at = Some(Moment(ending.at));
        true
    }

    fn finish_if_settled(&mut self, now: Moment) {
        if self.is_open() && self.states.is_settled() {
            self.status = LiveStatus::Complete;
            self.finished_at = Some(now);
        }
    }
}

/// The columns of a row that say its pace.
pub(super) struct PaceColumns {
    rate: i64,
    is_held: bool,
    changes: i64,
    canaries_until: Option<Moment>,
    is_paused_early: bool,
}

impl From<&Model> for PaceColumns {
    fn from(row: &Model) -> Self {
        Self {
            rate: row.rate,
            is_held: row.is_paused,
            changes: row.pace_changes,
            canaries_until: row.canaries_until,
            is_paused_early: row.is_paused_early,
        }
    }
}

impl From<&OpenRow> for PaceColumns {
    fn from(row: &OpenRow) -> Self {
        Self {
            rate: row.rate,
            is_held: row.is_paused,
            changes: row.pace_changes,
            canaries_until: row.canaries_until,
            is_paused_early: row.is_paused_early,
        }
    }
}

impl PaceColumns {
    pub(super) fn pace(self) -> LivePace {
        // A row that is not held waits for nobody: a node of the version before that goes on with it changes no more.
        let canaries_until = self.canaries_until.filter(|_| self.is_held);
        LivePace {
            rate: u32::try_from(self.rate).unwrap_or(0),
            is_paused: self.is_held && (canaries_until.is_none() || self.is_paused_early),
            canaries_until,
            changes: self.changes.max(0).cast_unsigned(),
        }
    }
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
fn ending(word: &LiveStatusWord, stop_reason: String) -> (LiveStatus, String) {
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn begun() -> JobProgress {
        begun_with(States::pending(1..=3))
    }

    /// A job whose targets are in these states.
    pub fn begun_with(states: States) -> JobProgress {
        let row = Model {
            id: 1,
            query: "SELECT 1".to_owned(),
            discovery: None,
            query_name: String::new(),
            author_id: None,
            author_email: String::new(),
            created_at: Moment(0),
            deadline: Moment(1),
            finished_at: None,
            watched_until: None,
            status: LiveStatusWord::Open,
            stop_reason: String::new(),
            states: Vec::new(),
            results_bytes: 0,
            bus_key: None,
            rate: 0,
            is_paused: false,
            pace_changes: 0,
            canaries: None,
            canaries_until: None,
            is_paused_early: false,
            host_cpu_ms: 0,
            fleet_cpu_ms: 0,
            row_limit: 0,
            byte_limit: 0,
            guard_warnings: None,
        };
        JobProgress::of(&row, Snapshot { states, ..Snapshot::default() })
    }

    #[test]
    fn a_host_that_has_lost_an_answer_is_asked_alone_also_after_a_restart_or_a_loss_of_redis() {
        let mut progress = begun();
        for host in [1, 2] {
            assert!(progress.sent(host, Moment(0), false) && progress.pending_again(host));
        }
        let settlement =
            Settlement { state: TargetState::Answered, truncated: false, unkept: false, stats: None, bytes: 1, at: 0 };
        assert!(progress.settled(2, &settlement));
        let note = progress.snapshot().to_bytes();
        let snapshot = Snapshot::from_bytes(&note).unwrap();
        assert_eq!(snapshot.retry_alone.iter().collect::<Vec<_>>(), [1], "who is settled is asked no more");
        let mut other = begun();
        assert!(other.apply(JobChange::Restored { note }, Moment(0)).is_restored);
        for progress in [progress, other] {
            let of = |host| progress.open_target(host, Moment(0));
            assert_eq!(of(1), Some(OpenTarget::Pending { retry_alone: true }));
            assert_eq!(of(3), Some(OpenTarget::Pending { retry_alone: false }));
        }
    }
}
