use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::Mutex;

use super::restarts::Restarts;
use super::seen::SeenSlot;
use crate::clock::Moment;
use crate::fleet::checkin::RefreshState;
use crate::fleet::live::HostLiveState;
use crate::fleet::logs::{HostLog, LogStream};
use crate::fleet::schedule::{Assembled, Edition};
use crate::store::entity;
use crate::store::hosts::{AgentIntervals, KnownHost};
use crate::store::reports::RefreshRecord;

/// What decides about a host's config. Replaced as a whole when any of it changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Assignment {
    /// `os_version.platform`, which picks the override of the agent options.
    pub platform: Box<str>,
    /// Sorted.
    pub label_ids: Box<[i64]>,
}

/// A config that was served, and what it was made for.
#[derive(Debug)]
pub struct Served {
    pub edition: Edition,
    pub assignment: Arc<Assignment>,
    pub config: ServedConfig,
}

/// Where a config is that was served.
#[derive(Debug)]
pub enum ServedConfig {
    /// In the cache, unless it had to go: then it is assembled again.
    Cached(Weak<Assembled>),
    /// Here: the last one that agents can load, of a host whose present one is too large for any.
    Last(Arc<Assembled>),
}

impl ServedConfig {
    pub fn get(&self) -> Option<Arc<Assembled>> {
        match self {
            Self::Cached(config) => config.upgrade(),
            Self::Last(config) => Some(Arc::clone(config)),
        }
    }
}

/// A host as check-ins need it: everything in memory, shared by all its keys.
#[derive(Debug)]
pub struct Host {
    pub id: i64,
    pub assignment: ArcSwap<Assignment>,
    pub served: ArcSwapOption<Served>,
    /// The intervals that its config names or that it reports itself, and those that the database has.
    pub intervals: ArcSwap<(AgentIntervals, AgentIntervals)>,
    /// What this node keeps of its live queries beside the jobs.
    pub live: HostLiveState,
    hostname: ArcSwap<String>,
    restarts: Restarts,
    /// When the host was asked about itself.
    pub refresh_state: RefreshState,
    seen: SeenSlot,
    /// Whether this node is sure that the host has one node key.
    pub has_one_key: AtomicBool,
    results: Mutex<HostLog>,
    statuses: Mutex<HostLog>,
}

impl Host {
    /// `seen` is where the host's last-seen time is kept.
    pub fn new(known: &KnownHost, seen: SeenSlot) -> Self {
        let row = &known.host;
        let intervals = intervals_in(row);
        let host = Self::with(row.id, Self::assignment_of(known), intervals, &asked(row), seen);
        host.hostname.store(Arc::new(row.hostname.clone()));
        host
    }

    pub(in crate::fleet) fn with(
        id: i64,
        assignment: Assignment,
        intervals: AgentIntervals,
        asked: &RefreshRecord,
        seen: SeenSlot,
    ) -> Self {
        Self {
            id,
            assignment: ArcSwap::from_pointee(assignment),
            served: ArcSwapOption::empty(),
            intervals: ArcSwap::from_pointee((intervals, intervals)),
            live: HostLiveState::default(),
            hostname: ArcSwap::default(),
            restarts: Restarts::default(),
            refresh_state: RefreshState::new(asked),
            seen,
            has_one_key: AtomicBool::default(),
            results: Mutex::default(),
            statuses: Mutex::default(),
        }
    }

    fn assignment_of(known: &KnownHost) -> Assignment {
        Assignment { platform: known.host.platform.as_str().into(), label_ids: known.label_ids.clone().into() }
    }

    /// Takes over the row and the labels from the database.
    pub fn refresh(&self, known: &KnownHost) {
        if **self.hostname.load() != known.host.hostname {
            self.hostname.store(Arc::new(known.host.hostname.clone()));
        }
        let fresh = Self::assignment_of(known);
        if **self.assignment.load() != fresh {
            self.assignment.store(Arc::new(fresh));
        }
        self.take_over_intervals(intervals_in(&known.host));
        self.refresh_state.take_over(&asked(&known.host));
    }

    /// Takes over an interval from the row where no config has named another one since.
    fn take_over_intervals(&self, row: AgentIntervals) {
        let (reported, written) = **self.intervals.load();
        if row != written {
            let newer = |reported: i64, written: i64, row: i64| if reported == written { row } else { reported };
            let reported = AgentIntervals {
                distributed: newer(reported.distributed, written.distributed, row.distributed),
                config_refresh: newer(reported.config_refresh, written.config_refresh, row.config_refresh),
                logger: newer(reported.logger, written.logger, row.logger),
            };
            self.intervals.store(Arc::new((reported, row)));
        }
    }

    /// Notes the intervals of a config that is served. 0 stands for an interval that the config does not name; it
    /// stays.
    pub fn told_intervals(&self, named: AgentIntervals) {
        let (reported, written) = **self.intervals.load();
        let or = |named: i64, reported: i64| if named > 0 { named } else { reported };
        let reported = AgentIntervals {
            distributed: or(named.distributed, reported.distributed),
            config_refresh: or(named.config_refresh, reported.config_refresh),
            logger: or(named.logger, reported.logger),
        };
        self.intervals.store(Arc::new((reported, written)));
    }

    /// What this node knows of a log; hold the lock while new lines are being kept.
    pub fn log(&self, stream: LogStream) -> &Mutex<HostLog> {
        match stream {
            LogStream::Result => &self.results,
            LogStream::Status => &self.statuses,
        }
    }

    pub fn hostname(&self) -> String {
        self.hostname.load().to_string()
    }

    /// Notes a fetch of the config.
    pub fn config_fetched(&self, now: Moment) {
        let reported = self.intervals.load().0.config_refresh;
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
        self.seen.mark(now);
    }

    /// When it was last seen by any node, in whole seconds.
    pub fn seen(&self) -> Moment {
        self.seen.seen()
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
        refetch_requested: row.refetch_requested,
        open_round: row.open_round.clone(),
    }
}
