//! What folding some hosts' samples has given.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::batch::ReadySample;
use super::fold::{Folded, LastSample};
use super::restarts::suspects;
use super::stored_costs::{CostsByVersion, part_of};
use super::versions::{KnownVersions, QueryName};
use crate::clock::Moment;
use crate::store::entity::worker_restarts;

#[derive(Debug, Default)]
pub(super) struct BatchChanges {
    pub hosts: BTreeMap<i64, FoldedHost>,
    /// By hour and part.
    pub costs: BTreeMap<(i64, i64), CostsByVersion>,
    pub restarts: Vec<worker_restarts::Model>,
}

/// What has changed of a host.
#[derive(Debug)]
pub(super) struct FoldedHost {
    pub last: LastSample,
    pub received: Moment,
    /// In seconds.
    pub stalled_since: Option<u64>,
    /// Queries that were not denylisted before.
    pub denylisted: BTreeSet<Arc<QueryName>>,
    /// Queries that were.
    released: BTreeSet<Arc<QueryName>>,
    /// There was no sample before, so what the database says of it may be older.
    is_first: bool,
}

impl FoldedHost {
    pub fn touches_denylist(&self) -> bool {
        self.is_first || !self.denylisted.is_empty() || !self.released.is_empty()
    }

    /// Whether a query that was denylisted is so no more.
    pub fn ends(&self, pack: &str, name: &str) -> bool {
        let name = QueryName { pack: pack.to_owned(), name: name.to_owned() };
        match self.is_first {
            true => !self.denylisted.contains(&name),
            false => self.released.contains(&name),
        }
    }
}

impl BatchChanges {
    pub fn note(&mut self, host_id: i64, ready: &ReadySample, folded: Folded, is_first: bool, known: &KnownVersions) {
        let received = ready.waiting.received;
        let hour = folded.last.known.hour.cast_signed();
        for runs in &folded.runs {
            let part = self.costs.entry((hour, part_of(runs.version_id))).or_default();
            part.entry(runs.version_id).or_default().add(host_id, &ready.group, &runs.runs, runs.is_new_host);
        }
        let names = |ids: &[i64]| -> BTreeSet<Arc<QueryName>> {
            ids.iter().filter_map(|id| known.name(*id)).map(Arc::clone).collect()
        };
        let (denylisted, released) = (names(&folded.denylisted), names(&folded.released));
        if let Some(restart) = folded.restart {
            let suspects = suspects(denylisted.iter().map(|query| [query.pack.clone(), query.name.clone()]));
            self.restarts.push(worker_restarts::Model {
                id: 0,
                host_id,
                seen_at: received,
                started_at: restart.started_at.cast_signed(),
                is_upgrade: restart.is_upgrade,
                is_reported: false,
                suspects,
            });
        }
        let (last, stalled_since) = (folded.last, folded.stalled_since);
        self.hosts.insert(host_id, FoldedHost { last, received, stalled_since, denylisted, released, is_first });
    }
}
