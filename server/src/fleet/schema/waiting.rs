//! Reports that wait to be written, one of each host. A crash loses them, and others are picked.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::TableReport;
use crate::lock::lock;

/// Most hosts whose reports wait; further ones are dropped.
const MAX_WAITING: usize = 64;

/// Most of them of hosts of which this node does not know that they were picked: another one may have asked them just now, or
/// they say it unasked.
const MAX_UNKNOWN: usize = 16;

#[derive(Debug, Default)]
pub(super) struct WaitingReports(Mutex<BTreeMap<i64, TableReport>>);

impl WaitingReports {
    /// Whether a report of a host may wait. One that was not picked is heard once.
    pub fn has_room(&self, host_id: i64, is_picked: bool) -> bool {
        let waiting = lock(&self.0);
        waiting.len() < most(is_picked) && (is_picked || !waiting.contains_key(&host_id))
    }

    /// Adds a report, unless too many wait.
    pub fn add(&self, host_id: i64, report: TableReport, is_picked: bool) -> bool {
        let mut waiting = lock(&self.0);
        let has_room = waiting.len() < most(is_picked) || waiting.contains_key(&host_id);
        if has_room {
            waiting.insert(host_id, report);
        }
        has_room
    }

    pub fn take(&self) -> BTreeMap<i64, TableReport> {
        std::mem::take(&mut *lock(&self.0))
    }

    /// Puts back what could not be written. What came in the meantime is newer.
    pub fn put_back(&self, reports: BTreeMap<i64, TableReport>) {
        let mut waiting = lock(&self.0);
        for (host_id, report) in reports {
            waiting.entry(host_id).or_insert(report);
        }
    }
}

fn most(is_picked: bool) -> usize {
    if is_picked { MAX_WAITING } else { MAX_UNKNOWN }
}
