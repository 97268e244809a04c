//! The config of a host, and which scheduled queries it runs and why.

mod facts;
mod inline;
mod of_labels;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_api::osquery::config::{compact, config_hash, full_name};
use muster_api::rest::{Explained, ExplainedQuery};
use serde_json::Value;

use self::facts::{HostFacts, Limits};
use super::access::{Permission, Principal};
use super::hosts::Assignment;
use super::schedule::{LeftOut, Plan, PlannedPack, ScheduledQuery};
use super::{Error, Fleet, Result};
use crate::store::entity::hosts::Model;

impl Fleet {
    /// Explains the host of this id.
    ///
    /// # Errors
    /// [`Error::Forbidden`] to users without the permission to read hosts, packs and the configuration,
    /// [`Error::NotFound`],
    /// [`Error::Unavailable`] if the config is too large for agents and there is no earlier one.
    pub async fn explain_by_id(&self, principal: &Principal, id: i64) -> Result<Explained> {
        may_explain(principal)?;
        self.explain(self.hosts.row_by_id(id).await?).await
    }

    /// Explains the host of this identifier, UUID or name.
    ///
    /// # Errors
    /// As for an id, and [`Error::Invalid`] if several hosts have the name.
    pub async fn explain_by_name(&self, principal: &Principal, word: &str) -> Result<Explained> {
        may_explain(principal)?;
        self.explain(self.hosts.row_by_name(word).await?).await
    }

    pub(super) async fn explain(&self, row: Model) -> Result<Explained> {
        let label_ids = self.hosts.label_ids(row.id).await?;
        let plan = self.schedule.plan();
        let assignment = plan.assignment_of(&row, &label_ids);
        let host = self.hosts.index.get(row.id);
        let bytes = self.schedule.look_up(&plan, &assignment, host.as_ref().map(Arc::as_ref))?;
        let config: Value = serde_json::from_slice(&bytes).map_err(|error| Error::Internal(Box::new(error)))?;
        let schedule = explain_plan(&plan, &assignment, &config, &HostFacts::of(&row));
        Ok(Explained { config_hash: config_hash(&compact(&config)), config, schedule })
    }
}

/// The config of a host is made of packs and of the agent options, which are a part of the configuration.
pub(super) fn may_explain(principal: &Principal) -> Result<()> {
    principal.may(Permission::ReadHosts)?;
    principal.may(Permission::ReadPacks)?;
    principal.may(Permission::ReadConfig)
}

/// Whether a host runs something.
#[derive(Debug, PartialEq, Eq)]
struct ScheduleVerdict {
    runs: bool,
    reason: String,
}

impl ScheduleVerdict {
    fn not(reason: impl Into<String>) -> Self {
        Self { runs: false, reason: reason.into() }
    }

    fn runs(has_discovery: bool) -> Self {
        let reason = if has_discovery {
            "runs if each discovery query of the pack returns a row, which is decided on the host"
        } else {
            "runs"
        };
        Self { runs: true, reason: reason.to_owned() }
    }
}

fn explain_plan(plan: &Plan, assignment: &Assignment, config: &Value, facts: &HostFacts<'_>) -> Vec<ExplainedQuery> {
    let delimiter = text_option(config, "pack_delimiter").unwrap_or("_");
    let mut explained = inline::explain(plan, assignment, config, delimiter, facts);
    for pack in plan.packs_in(assignment.cohorts) {
        for query in &pack.queries {
            let verdict = verdict(plan, assignment, facts, pack, query);
            explained.push(ExplainedQuery {
                pack: pack.name.clone(),
                name: query.name.clone(),
                full_name: full_name(&pack.name, &query.name, delimiter),
                query: query.sql.clone(),
                interval: u32::try_from(query.interval_secs).unwrap_or(0),
                runs: verdict.runs,
                reason: verdict.reason,
            });
        }
    }
    explained
}

/// Whether a pack or the agent options schedule a query of this name, on whatever hosts; `pack` is empty for the top-level
/// schedule.
pub(super) fn schedules(plan: &Plan, pack: &str, name: &str) -> bool {
    plan.packs_named(pack).any(|pack| pack.query(name).is_some()) || inline::schedules(plan, pack, name)
}

/// Scheduled queries of packs that a host runs, by the id of the pack and their name, as far as the server can tell.
pub(super) fn runs_on(plan: &Plan, row: &Model, label_ids: &[i64]) -> BTreeSet<(i64, String)> {
    let assignment = plan.assignment_of(row, label_ids);
    let facts = HostFacts::of(row);
    let mut runs = BTreeSet::new();
    for pack in plan.packs_in(assignment.cohorts) {
        let queries = pack.queries.iter().filter(|query| verdict(plan, &assignment, &facts, pack, query).runs);
        runs.extend(queries.map(|query| (pack.id, query.name.clone())));
    }
    runs
}

fn verdict(
    plan: &Plan,
    assignment: &Assignment,
    facts: &HostFacts<'_>,
    pack: &PlannedPack,
    query: &ScheduledQuery,
) -> ScheduleVerdict {
    if pack.is_disabled {
        return ScheduleVerdict::not("the pack is disabled");
    }
    if pack.shard == Some(0) || query.shard == Some(0) {
        return ScheduleVerdict::not("its shard is 0, which is no host");
    }
    if let Some(left_out) = pack.left_out(assignment) {
        return ScheduleVerdict::not(by_labels(plan, pack, &left_out));
    }
    let limits = |platform, version, shard: Option<i64>| Limits {
        platform,
        version,
        shard: shard.and_then(|shard| u64::try_from(shard).ok()).unwrap_or(0),
    };
    facts
        .excluded("pack", &limits(&pack.platform, &pack.version, pack.shard))
        .or_else(|| facts.excluded("query", &limits(&query.platform, &query.version, query.shard)))
        .map_or_else(|| ScheduleVerdict::runs(!pack.discovery.is_empty()), ScheduleVerdict::not)
}

/// Why the labels of a pack leave out the host.
fn by_labels(plan: &Plan, pack: &PlannedPack, left_out: &LeftOut) -> String {
    let names = |ids: &[i64]| ids.iter().filter_map(|id| plan.label_name(*id)).collect::<Vec<_>>().join(", ");
    match left_out {
        LeftOut::NoTargets => "the pack has no target labels".to_owned(),
        LeftOut::OfOtherVersion => "a later version of the server has set what this one does not know".to_owned(),
        LeftOut::InNone => format!("the host is in none of the pack's target labels: {}", names(&pack.targets.any)),
        LeftOut::NotInAll(ids) => {
            format!("the host is not in all labels that the pack asks for; it lacks {}", names(ids))
        }
        LeftOut::InExcluded(ids) => format!("the host is in labels that the pack excludes: {}", names(ids)),
        LeftOut::NotKnown(ids) => format!(
            "the pack excludes labels of which it is not known yet whether the host is in them: {}; it has to answer first",
            names(ids)
        ),
    }
}

/// A flag whose value is text.
fn text_option<'a>(config: &'a Value, flag: &str) -> Option<&'a str> {
    config.get("options")?.get(flag)?.as_str()
}
