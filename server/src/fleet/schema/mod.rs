//! The schema of the fleet: which tables and columns its agents have.
//!
//! Agents know it best: their version, platform, flags, ATC tables and extensions decide. Asking all of them would cost the
//! fleet and tell the same again and again, so Muster asks a few hosts of each *agent group*, which is a platform and a version
//! of osquery. The leader picks them from the directory (`pick`): 5 in `osquery.schema_update_interval` (a week), online and at
//! different addresses, and others if some do not answer, 15 in all. The picks stand in the database; every node reads the
//! open ones every ten seconds (`picks`), so that whichever node a host calls asks it, once and alone (`fleet/checkin`). A host
//! that was not picked costs a look into memory, and only when it is looked at anyway.
//!
//! What a host says is bounded (`report`) and kept as a set of tables under its hash (`table_set`): hosts that have the same
//! tables share it. The reports of two intervals are kept.
//!
//! A host may lie. A table or column counts in an agent group (`agreed`) once 3 hosts at different addresses have reported it,
//! or all hosts of a group that has fewer; and never on the word of one address alone: in a group of one host, what a host of
//! the same platform and another version has reported, too. What some hosts of a group have reported and others have not,
//! such as ATC tables and those of extensions, is marked.

mod agreed;
mod lacks;
mod learnt;
mod pick;
mod picks;
mod read;
mod report;
mod retention;
mod table_set;
mod tables;
#[cfg(test)]
mod tests;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

pub use read::SchemaFilter;
pub(in crate::fleet) use report::{SQL, TableReport};

use self::learnt::LearntCache;
use self::picks::OpenPicks;
use self::tables::KnownTables;
use self::waiting::WaitingReports;
use super::hosts::Hosts;
use super::statistics::AgentVersion;
use crate::clock::Clock;
use crate::config::{self, SchemaCheck};
use crate::store::Store;
use crate::telemetry::Metrics;

/// Longest name of a platform that is looked at, in bytes. Agents choose what they call it.
const MAX_PLATFORM: usize = 64;

/// Most agent groups of which hosts are asked: those with most hosts.
const MAX_GROUPS: usize = 100;

/// Most reports that are read.
const MAX_REPORTS: u64 = 5_000;

/// Hosts with the same platform and version of osquery.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::fleet) struct AgentGroup {
    pub platform: String,
    pub version: AgentVersion,
}

impl AgentGroup {
    /// The group of a host; `None` if it does not say what it is.
    pub fn of(platform: &str, version: &str) -> Option<Self> {
        let version = AgentVersion::of(version);
        let is_plain = (1..=MAX_PLATFORM).contains(&platform.len());
        (is_plain && version.is_known()).then(|| Self { platform: platform.to_owned(), version })
    }
}

/// Learns which tables and columns agents have, and tells it.
#[derive(Debug)]
pub struct AgentSchemas {
    store: Store,
    clock: Clock,
    hosts: Arc<Hosts>,
    /// Time after which hosts are asked anew; zero if none is asked.
    interval: Duration,
    check: SchemaCheck,
    picks: OpenPicks,
    waiting: WaitingReports,
    learnt: LearntCache,
    tables: KnownTables,
    metrics: Arc<Metrics>,
}

impl AgentSchemas {
    pub fn new(store: Store, clock: Clock, hosts: Arc<Hosts>, config: &config::Osquery, metrics: Arc<Metrics>) -> Self {
        let (interval, check) = (config.schema_update_interval, config.schema_check);
        Self {
            store,
            clock,
            hosts,
            interval,
            check,
            picks: OpenPicks::default(),
            waiting: WaitingReports::default(),
            learnt: LearntCache::default(),
            tables: KnownTables::default(),
            metrics,
        }
    }

    /// Whether a host is to be asked, as far as this node knows.
    pub(in crate::fleet) fn asks(&self, host_id: i64) -> bool {
        self.picks.are_unasked(host_id)
    }

    /// Notes that a host was asked, by this node or another one.
    pub(in crate::fleet) fn was_asked(&self, host_id: i64) {
        self.picks.was_asked(host_id);
    }

    /// Whether it is worth reading what a host has to say. Agents may say it unasked.
    pub(in crate::fleet) fn may_take(&self, host_id: i64) -> bool {
        let has_room = self.waiting.has_room(host_id, self.picks.has(host_id));
        if !has_room {
            self.metrics.limit_hit("waiting_schema_reports");
        }
        has_room
    }

    /// Takes what a host has said. It is written later, if the host was picked.
    pub(in crate::fleet) fn take(&self, host_id: i64, report: TableReport) {
        if !self.waiting.add(host_id, report, self.picks.has(host_id)) {
            self.metrics.limit_hit("waiting_schema_reports");
        }
    }
}
