use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use arc_swap::ArcSwap;

use super::assignment::{Assignment, Assignments, SharedAssignment};
use super::host_intervals::HostIntervals;
use super::restarts::Restarts;
use super::seen::SeenPage;
use super::served_config::ServedConfig;
use crate::clock::Moment;
use crate::fleet::checkin::RefreshState;
use crate::fleet::live::HostLiveState;
use crate::fleet::logs::{HostLog, LogStream};
use crate::lock::lock;
use crate::store::entity;
use crate::store::hosts::{AgentIntervals, KnownHost};
use crate::store::reports::RefreshRecord;

/// A host as check-ins need it: everything in memory, shared by all its keys.
#[derive(Debug)]
pub struct Host {
    pub id: i64,
    pub assignment: ArcSwap<SharedAssignment>,
    /// When the host was asked about the labels in `assignment`, or before.
    labels_asked_at: AtomicI64,
    pub config: ServedConfig,
    pub intervals: HostIntervals,
    /// What this node keeps of its live queries beside the jobs.
    pub live: HostLiveState,
    hostname: Mutex<Box<str>>,
    restarts: Restarts,
    /// When the host was asked about itself.
    pub refresh_state: RefreshState,
    seen: Arc<SeenPage>,
    /// Whether this node is sure that the host has one node key.
    pub has_one_key: AtomicBool,
    /// Of hosts that have sent lines.
    logs: OnceLock<Box<HostLogs>>,
}

/// A log as this node knows it. It is locked while new lines are being kept.
type LockedLog = tokio::sync::Mutex<HostLog>;

#[derive(Debug, Default)]
struct HostLogs {
    results: LockedLog,
    statuses: LockedLog,
}

impl HostLogs {
    fn of(&self, stream: LogStream) -> &LockedLog {
        match stream {
            LogStream::Result => &self.results,
            LogStream::Status => &self.statuses,
        }
    }
}

impl Host {
    /// `seen` is where the host's last-seen time is kept.
    pub fn new(known: &KnownHost, assignments: &Assignments, seen: Arc<SeenPage>) -> Self {
        let row = &known.host;
        let assignment = assignments.share(Self::assignment_of(known));
        let host = Self::with(row.id, assignment, intervals_in(row), &asked(row), seen);
        *lock(&host.hostname) = row.hostname.as_str().into();
        host
    }

    pub(in crate::fleet) fn with(
        id: i64,
        assignment: Arc<SharedAssignment>,
        intervals: AgentIntervals,
        asked: &RefreshRecord,
        seen: Arc<SeenPage>,
    ) -> Self {
        Self {
            id,
            assignment: ArcSwap::new(assignment),
            labels_asked_at: AtomicI64::new(asked.label_updated_at.0),
            config: ServedConfig::default(),
            intervals: HostIntervals::new(intervals),
            live: HostLiveState::default(),
            hostname: Mutex::default(),
            restarts: Restarts::default(),
            refresh_state: RefreshState::new(asked),
            seen,
            has_one_key: AtomicBool::default(),
            logs: OnceLock::new(),
        }
    }

    fn assignment_of(known: &KnownHost) -> Assignment {
        Assignment {
            platform: known.host.platform.as_str().into(),
            label_ids: known.label_ids.clone().into(),
            ..Assignment::default()
        }
    }

    /// Takes over the row and the labels from the database.
    pub fn refresh(&self, known: &KnownHost, assignments: &Assignments) {
        let mut hostname = lock(&self.hostname);
        if **hostname != *known.host.hostname {
            *hostname = known.host.hostname.as_str().into();
        }
        drop(hostname);
        let fresh = Self::assignment_of(known);
        let before = self.assignment.load();
        if before.assignment.platform != fresh.platform {
            // Another system, which is asked anew: what memory knows may be later than that.
            self.labels_asked_at.store(known.host.label_updated_at.0, Ordering::Release);
            self.refresh_state.restart(&asked(&known.host));
        }
        if *before.assignment != fresh {
            self.assignment.store(assignments.share(fresh));
        }
        self.labels_are_as_of(known.host.label_updated_at);
        self.intervals.take_over(intervals_in(&known.host));
        self.refresh_state.take_over(&asked(&known.host));
    }

    /// Notes that the labels in the assignment are those that the host was asked about at this moment.
    pub(super) fn labels_are_as_of(&self, asked_at: Moment) {
        self.labels_asked_at.fetch_max(asked_at.0, Ordering::Release);
    }

    /// When the host was asked about the labels that its assignment has, or before.
    pub fn labels_asked_at(&self) -> Moment {
        Moment(self.labels_asked_at.load(Ordering::Acquire))
    }

    pub fn log(&self, stream: LogStream) -> &LockedLog {
        self.logs.get_or_init(Box::default).of(stream)
    }

    /// A log of which this node knows anything.
    pub fn known_log(&self, stream: LogStream) -> Option<&LockedLog> {
        self.logs.get().map(|logs| logs.of(stream))
    }

    pub fn hostname(&self) -> String {
        lock(&self.hostname).to_string()
    }

    /// Notes a fetch of the config.
    pub fn config_fetched(&self, now: Moment) {
        let reported = self.intervals.reported().config_refresh;
        self.restarts.config_fetched(now, reported);
    }

    /// Notes an enrollment: agents enroll again when they have lost their database or were restarted.
    pub fn enrolled(&self, now: Moment) {
        self.restarts.seen(now);
    }

    /// Whether there has been a sign of a restart since a moment.
    pub fn has_restarted_since(&self, moment: Moment) -> bool {
        self.restarts.since(moment)
    }

    /// Notes a check-in with this node.
    pub fn mark_seen(&self, now: Moment) {
        self.seen.mark(self.id, now);
    }

    /// When it was last seen by any node, in whole seconds.
    pub fn seen(&self) -> Moment {
        self.seen.seen(self.id)
    }
}

fn intervals_in(row: &entity::hosts::Model) -> AgentIntervals {
    AgentIntervals {
        distributed: row.distributed_interval,
        config_refresh: row.config_refresh,
        logger: row.logger_tls_period,
    }
}

fn asked(row: &entity::hosts::Model) -> RefreshRecord {
    RefreshRecord {
        id: row.id,
        detail_updated_at: row.detail_updated_at,
        label_updated_at: row.label_updated_at,
        statistics_updated_at: row.statistics_updated_at,
        refetch_requested: row.refetch_requested,
        open_round: row.open_round.clone(),
    }
}

#[cfg(test)]
impl Host {
    /// A host that was never asked and never seen.
    pub(in crate::fleet) fn unasked(id: i64, platform: &str) -> Self {
        let assignment = Assignment { platform: platform.into(), ..Assignment::default() };
        let asked = RefreshRecord {
            id,
            detail_updated_at: Moment::NEVER,
            label_updated_at: Moment::NEVER,
            statistics_updated_at: Moment::NEVER,
            refetch_requested: false,
            open_round: None,
        };
        let seen = super::SeenTimes::default().page_of(id);
        Self::with(id, assignment.into(), AgentIntervals::default(), &asked, seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_takes_little_memory() {
        // Two counts of an `Arc` stand before it.
        assert!(size_of::<Host>() + 16 <= 224, "{}", size_of::<Host>());
    }
}
