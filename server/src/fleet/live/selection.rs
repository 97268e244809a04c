//! The targets of a job, as Fleet's clients pick them.

use std::collections::BTreeSet;
use std::sync::Arc;

use roaring::RoaringTreemap;

use super::Live;
use super::targets::{NO_HOSTS, named_hosts, named_labels};
use crate::fleet::access::{Permission, Principal};
use crate::fleet::hosts::{OnlineTally, TargetGroups};
use crate::fleet::schedule::Plan;
use crate::fleet::{Error, Problem, Result};

/// The built-in label every host is in.
pub const ALL_HOSTS: &str = "All Hosts";

/// Paths of the lists in a request.
pub(super) const HOSTS: &str = "selected.hosts";
const LABELS: &str = "selected.labels";

/// Hosts and labels by id or by name. The hosts come on top of those that are in any of the labels and, where labels of
/// platforms are among them, of any of these platforms.
#[derive(Debug, Clone)]
pub enum Selection {
    Ids { hosts: Vec<i64>, labels: Vec<i64> },
    Names { hosts: Vec<String>, labels: Vec<String> },
}

impl Live {
    /// Counts the hosts a selection has now.
    ///
    /// # Errors
    /// [`Error::Forbidden`] to users who may not read hosts; [`Error::Invalid`] naming every host and label nobody
    /// knows.
    pub async fn would_ask(&self, principal: &Principal, selection: &Selection) -> Result<OnlineTally> {
        principal.may(Permission::ReadHosts)?;
        let groups = self.find_selected(selection).await?;
        self.hosts.tally_members(groups).await
    }

    /// The hosts a selection has now.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming every host and label nobody knows, and with [`NO_HOSTS`] when no host is left.
    pub(super) async fn selected(self: &Arc<Self>, selection: &Selection) -> Result<RoaringTreemap> {
        let chosen = self.members(self.find_selected(selection).await?).await?;
        if chosen.is_empty() { Err(Error::invalid("selected", NO_HOSTS)) } else { Ok(chosen) }
    }

    async fn find_selected(&self, selection: &Selection) -> Result<TargetGroups> {
        let plan = self.schedule.plan();
        let mut problems = Vec::new();
        let (hosts, labels) = match selection {
            Selection::Ids { hosts, labels } => (
                self.numbered_hosts(HOSTS, hosts, &mut problems).await?,
                numbered_labels(&plan, LABELS, labels, &mut problems),
            ),
            Selection::Names { hosts, labels } => (
                named_hosts(self.store.reader(), HOSTS, hosts, &mut problems).await?,
                named_labels(&plan, LABELS, labels, &mut problems),
            ),
        };
        if !problems.is_empty() {
            return Err(Error::Invalid(problems));
        }
        Ok(groups(&plan, hosts, &labels))
    }

    /// Ids of the hosts that there are; `list` is where they stand in the request.
    pub(super) async fn numbered_hosts(
        &self,
        list: &str,
        ids: &[i64],
        problems: &mut Vec<Problem>,
    ) -> Result<BTreeSet<i64>> {
        if ids.is_empty() {
            return Ok(BTreeSet::new());
        }
        let wanted: BTreeSet<i64> = ids.iter().copied().collect();
        let unknown = self.hosts.bring_in(wanted.clone()).await?;
        for (position, id) in ids.iter().enumerate().filter(|(_, id)| unknown.contains(id)) {
            problems.push(Problem::new(format!("{list}[{position}]"), format!("there is no host with id {id}")));
        }
        Ok(wanted)
    }
}

fn numbered_labels(plan: &Plan, list: &str, ids: &[i64], problems: &mut Vec<Problem>) -> Vec<i64> {
    for (position, id) in ids.iter().enumerate().filter(|(_, id)| plan.label_name(**id).is_none()) {
        problems.push(Problem::new(format!("{list}[{position}]"), format!("there is no label with id {id}")));
    }
    ids.to_vec()
}

fn groups(plan: &Plan, hosts: BTreeSet<i64>, labels: &[i64]) -> TargetGroups {
    let is_builtin = |id: &i64| plan.builtin_labels().iter().any(|(builtin, _)| builtin == id);
    let (platforms, others): (Vec<i64>, Vec<i64>) = labels.iter().partition(|id| is_builtin(id));
    TargetGroups {
        all: labels.iter().any(|id| plan.label_name(*id) == Some(ALL_HOSTS)),
        label_lists: [platforms, others].into_iter().filter(|list| !list.is_empty()).collect(),
        platforms: Vec::new(),
        hosts,
        excluded_labels: Vec::new(),
    }
}
