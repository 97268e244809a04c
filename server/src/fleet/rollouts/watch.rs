//! What hosts report while a rollout is under way, counted for the cohort and for all other hosts that the rollout will reach.
//!
//! The transaction that folds a sample of a host also adds what it says to the counts, so each sample counts once, whichever node
//! it comes to and whenever one of them stops.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::fleet::hosts::{Assignment, Host};
use crate::fleet::schedule::Plan;
use crate::store::entity::rollout_counts::Model;

/// Whether hosts are in the cohort: the stored words.
pub(super) const OUTSIDE: i64 = 0;
pub(super) const INSIDE: i64 = 1;

/// What one sample says of the time since the one before it.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::fleet) struct Reported {
    /// When the sample before came, and when this one came: in seconds. The first sample of a host has none before it.
    pub since: Option<u64>,
    pub at: u64,
    /// Memory of the latest runs of all queries together.
    pub memory_bytes: u64,
    /// Another worker without an upgrade.
    pub is_restarted: bool,
    pub is_stalled: bool,
}

/// What a query has done since the sample before.
#[derive(Debug, Clone, Copy)]
pub(in crate::fleet) struct ReportedQuery<'a> {
    pub pack: &'a str,
    pub name: &'a str,
    /// Of the SQL that the host runs.
    pub sql_hash: i64,
    pub runs: u64,
    pub cpu_ms: u64,
    pub output_bytes: u64,
    /// Of a run; 0 if the agent does not say it.
    pub memory_bytes: u64,
    /// Whether the host has denylisted it.
    pub is_denylisted: bool,
}

/// A query that a rollout changes.
type RolledOutQuery = (String, String);

/// A rollout that is watched.
#[derive(Debug)]
struct WatchedRollout {
    position: usize,
    id: i64,
    stage: i64,
    /// In seconds.
    stage_began: u64,
    /// With the hash of the new SQL.
    queries: BTreeMap<RolledOutQuery, i64>,
}

/// Counts what some samples say of the rollouts of a plan.
#[derive(Debug)]
pub(in crate::fleet) struct RolloutWatch {
    plan: Arc<Plan>,
    rollouts: Vec<WatchedRollout>,
    /// By rollout, stage and side.
    counts: BTreeMap<(i64, i64, i64), Model>,
}

impl RolloutWatch {
    /// `None` if no rollout is under way. `hash` is that of SQL.
    pub fn of(plan: Arc<Plan>, hash: impl Fn(&str) -> i64) -> Option<Self> {
        let served = plan.rollouts.iter().enumerate().filter(|(_, rollout)| rollout.is_served());
        let watched = served.map(|(position, rollout)| WatchedRollout {
            position,
            id: rollout.id,
            stage: rollout.stage,
            stage_began: u64::try_from(rollout.stage_began_at.seconds()).unwrap_or(0),
            queries: rollout
                .change
                .queries()
                .map(|(pack, query)| ((pack.to_owned(), query.name.clone()), hash(&query.sql)))
                .collect(),
        });
        let rollouts: Vec<WatchedRollout> = watched.collect();
        (!rollouts.is_empty()).then(|| Self { plan, rollouts, counts: BTreeMap::new() })
    }

    /// Counts a sample of a host, and what it says of queries.
    pub fn note(&mut self, host: &Host, reported: &Reported, queries: &[ReportedQuery<'_>]) {
        let shared = host.assignment.load();
        let assignment: &Assignment = &shared;
        let cohorts = self.plan.cohorts_of(host.id, assignment);
        let of_host = Assignment { cohorts, ..assignment.clone() };
        for rollout in &self.rollouts {
            let WatchedRollout { position, id, stage, stage_began, .. } = *rollout;
            // Moments are known to the second: what came in the second in which the stage began came before it.
            if reported.at <= stage_began || !self.plan.is_touched(position, &of_host) {
                continue;
            }
            let side = if cohorts.has(position) { INSIDE } else { OUTSIDE };
            let counts = self.counts.entry((id, stage, side)).or_default();
            rollout.count(counts, side, reported, queries);
        }
    }

    /// Counts runs of a query that have failed.
    pub fn note_errors(&mut self, host: &Host, pack: &str, name: &str, errors: u64) {
        let query = (pack.to_owned(), name.to_owned());
        let cohorts = self.plan.cohorts_of(host.id, &host.assignment.load());
        for rollout in self.rollouts.iter().filter(|rollout| rollout.queries.contains_key(&query)) {
            let side = if cohorts.has(rollout.position) { INSIDE } else { OUTSIDE };
            let counts = self.counts.entry((rollout.id, rollout.stage, side)).or_default();
            counts.run_errors = counts.run_errors.saturating_add(i64::try_from(errors).unwrap_or(i64::MAX));
        }
    }

    /// What was counted, to be added to what this node has counted before.
    pub fn rows(self, node: &str) -> Vec<Model> {
        let row =
            |((rollout_id, stage, side), counts)| Model { rollout_id, stage, side, node: node.to_owned(), ..counts };
        self.counts.into_iter().map(row).collect()
    }
}

impl WatchedRollout {
    fn count(&self, counts: &mut Model, side: i64, reported: &Reported, queries: &[ReportedQuery<'_>]) {
        let add = |sum: &mut i64, number: u64| *sum = sum.saturating_add(i64::try_from(number).unwrap_or(i64::MAX));
        let since = reported.since.filter(|since| *since > self.stage_began);
        // Each host has one sample that is its first in the stage.
        add(&mut counts.heard, u64::from(since.is_none()));
        add(&mut counts.restarts, u64::from(reported.is_restarted));
        if let Some(since) = since {
            add(&mut counts.samples, 1);
            add(&mut counts.seconds, reported.at.saturating_sub(since));
            add(&mut counts.memory_bytes, reported.memory_bytes);
            add(&mut counts.stalled, u64::from(reported.is_stalled));
        }
        for query in queries {
            if since.is_some() {
                add(&mut counts.cpu_ms, query.cpu_ms);
                add(&mut counts.result_bytes, query.output_bytes);
            }
            let changed = self.queries.get(&(query.pack.to_owned(), query.name.to_owned()));
            // A host that has not loaded the new version yet says nothing about it.
            if changed.is_none_or(|hash| side == INSIDE && *hash != query.sql_hash) {
                continue;
            }
            add(&mut counts.runs, query.runs);
            add(&mut counts.run_cpu_ms, query.cpu_ms);
            if query.runs > 0 && query.memory_bytes > 0 {
                add(&mut counts.run_reports, 1);
                add(&mut counts.run_memory_bytes, query.memory_bytes);
            }
            add(&mut counts.denylisted, u64::from(query.is_denylisted));
        }
    }
}
