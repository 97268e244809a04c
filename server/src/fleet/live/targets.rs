//! The targets of a job. The set is fixed when the job starts.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use muster_api::rest::{LiveGroup, LiveTargets, NewLiveQuery};
use roaring::RoaringTreemap;
use sea_orm::ConnectionTrait;

use super::Live;
use crate::fleet::access::{Permission, Principal};
use crate::fleet::hosts::{OnlineTally, TargetGroups, means_platform};
use crate::fleet::schedule::Plan;
use crate::fleet::{Error, Problem, Result};
use crate::store::{self, hosts::NamedHost};

/// The reason when all targets are known and hold no host.
pub const NO_HOSTS: &str = "no hosts targeted";

/// How long the start of a live query waits until this node knows what has changed of hosts elsewhere.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(10);

/// The number of platforms of hosts that an error names.
const MAX_NAMED: usize = 20;

/// Most hosts of each platform and version.
const MAX_PER_VERSION: u32 = 100;

/// Most platforms and versions that are asked one by one, those of most hosts first.
const MAX_GROUPS: usize = 50;

impl Live {
    /// Finds the targets of a new job.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming every host, label or platform nobody knows, and when no host is left.
    pub(super) async fn resolve(self: &Arc<Self>, request: &NewLiveQuery) -> Result<(RoaringTreemap, Vec<LiveGroup>)> {
        let mut request = request.clone();
        if request.per_version.is_some() {
            self.take_consenting(&mut request.targets)?;
        }
        let (request, targets) = (&request, &request.targets);
        let mut problems = Vec::new();
        check(request, &mut problems);
        let excluded =
            named_hosts(self.store.reader(), "targets.exclude_hosts", &targets.exclude_hosts, &mut problems).await?;
        let groups = self.groups(targets, problems).await?;
        let mut chosen = self.members(groups).await?;
        for host in excluded {
            chosen.remove(host.cast_unsigned());
        }
        let sampled = sample(chosen, request.percent, request.max_hosts);
        if sampled.is_empty() {
            return Err(self.nobody(&targets.platforms).await?);
        }
        match request.per_version {
            None => Ok((sampled, Vec::new())),
            Some(most) => self.of_each_version(sampled, most).await,
        }
    }

    /// Targets without any hosts become those that consent to be tried on.
    fn take_consenting(&self, targets: &mut LiveTargets) -> Result<()> {
        let has_any =
            targets.all || !targets.labels.is_empty() || !targets.hosts.is_empty() || !targets.host_ids.is_empty();
        if has_any {
            return Ok(());
        }
        if self.config.try_label.is_empty() {
            let remedy = "no host has consented to have queries tried on it: name the label of those that do in the setting \
                          live.try_label of the server, or in targets.labels";
            return Err(Error::invalid("targets.labels", remedy));
        }
        targets.labels.push(self.config.try_label.clone());
        Ok(())
    }

    /// Online ones of these hosts: so many of each platform and version of osquery.
    async fn of_each_version(&self, hosts: RoaringTreemap, most: u32) -> Result<(RoaringTreemap, Vec<LiveGroup>)> {
        let groups: Vec<LiveGroup> = self
            .hosts
            .spread(hosts, most as usize)
            .await?
            .into_iter()
            .map(|group| LiveGroup {
                platform: group.platform,
                osquery_version: group.version,
                size: group.size,
                host_ids: group.hosts.iter().filter(|host| host.is_online).map(|host| host.id).collect(),
            })
            .filter(|group| !group.host_ids.is_empty())
            .take(MAX_GROUPS)
            .collect();
        let asked: RoaringTreemap =
            groups.iter().flat_map(|group| &group.host_ids).map(|id| id.cast_unsigned()).collect();
        if asked.is_empty() {
            return Err(Error::invalid("targets", "none of these hosts is online"));
        }
        Ok((asked, groups))
    }

    /// Counts the hosts that a live query with these targets would ask now, those to be left out by name among them.
    ///
    /// # Errors
    /// [`Error::Forbidden`] to users who may not read hosts; [`Error::Invalid`] naming every host and label nobody knows.
    pub async fn count_targets(&self, principal: &Principal, targets: &LiveTargets) -> Result<OnlineTally> {
        principal.may(Permission::ReadHosts)?;
        let groups = self.groups(targets, Vec::new()).await?;
        self.hosts.tally_members(groups).await
    }

    /// What targets have in common.
    ///
    /// # Errors
    /// As for [`Live::count_targets`].
    pub async fn target_groups(&self, principal: &Principal, targets: &LiveTargets) -> Result<TargetGroups> {
        principal.may(Permission::ReadHosts)?;
        self.groups(targets, Vec::new()).await
    }

    /// What targets have in common, unless there are problems.
    async fn groups(&self, targets: &LiveTargets, mut problems: Vec<Problem>) -> Result<TargetGroups> {
        let plan = self.schedule.plan();
        let mut hosts = named_hosts(self.store.reader(), "targets.hosts", &targets.hosts, &mut problems).await?;
        hosts.extend(self.numbered_hosts("targets.host_ids", &targets.host_ids, &mut problems).await?);
        let labels = named_labels(&plan, "targets.labels", &targets.labels, &mut problems);
        let excluded_labels = named_labels(&plan, "targets.exclude_labels", &targets.exclude_labels, &mut problems);
        if !problems.is_empty() {
            return Err(Error::Invalid(problems));
        }
        let label_lists = if labels.is_empty() { Vec::new() } else { vec![labels] };
        let platforms = targets.platforms.clone();
        Ok(TargetGroups { all: targets.all, label_lists, platforms, hosts, excluded_labels })
    }

    /// The hosts of groups, those too that have enrolled with another node just now.
    pub(super) async fn members(self: &Arc<Self>, groups: TargetGroups) -> Result<RoaringTreemap> {
        if self.node.is_clustered() {
            let followed = tokio::time::timeout(FOLLOWED_WITHIN, self.follow_hosts(None)).await;
            followed.unwrap_or_else(|_| {
                Err(Error::Unavailable("the server reads what has changed of hosts; try again soon".to_owned()))
            })?;
        }
        self.hosts.members(groups).await
    }

    /// Why there is no target: a platform that no host has, if one is named.
    async fn nobody(&self, platforms: &[String]) -> Result<Error> {
        let here = if platforms.is_empty() { BTreeSet::new() } else { self.hosts.directory.platforms().await? };
        let is_unknown = |word: &str| !here.iter().any(|platform| means_platform(word, platform));
        let known: Vec<&str> =
            here.iter().map(String::as_str).filter(|name| !name.is_empty()).take(MAX_NAMED).collect();
        let known = if known.is_empty() { String::new() } else { format!("; hosts have {}", known.join(", ")) };
        let unknown = platforms.iter().enumerate().filter(|(_, word)| is_unknown(word));
        let problem = |(position, word): (usize, &String)| {
            Problem::new(format!("targets.platforms[{position}]"), format!("no host has the platform {word:?}{known}"))
        };
        let problems: Vec<Problem> = unknown.map(problem).collect();
        Ok(if problems.is_empty() { Error::invalid("targets", NO_HOSTS) } else { Error::Invalid(problems) })
    }
}

fn check(request: &NewLiveQuery, problems: &mut Vec<Problem>) {
    let targets = &request.targets;
    let has_hosts = !targets.hosts.is_empty() || !targets.host_ids.is_empty();
    let is_narrowed = has_hosts || !targets.labels.is_empty() || !targets.platforms.is_empty();
    if targets.all && is_narrowed {
        problems.push(Problem::new("targets.all", "asks every host, so hosts, labels and platforms must be left out"));
    }
    if !targets.all && !is_narrowed {
        problems.push(Problem::new("targets", "no hosts targeted; name hosts, labels or platforms, or set all"));
    }
    if request.percent.is_some_and(|percent| !(1..=100).contains(&percent)) {
        problems.push(Problem::new("percent", "expects 1 to 100"));
    }
    if request.per_version.is_some_and(|most| !(1..=MAX_PER_VERSION).contains(&most)) {
        problems.push(Problem::new("per_version", format!("expects 1 to {MAX_PER_VERSION} hosts")));
    }
    if request.max_hosts == Some(0) {
        problems.push(Problem::new("max_hosts", "expects at least 1"));
    }
}

/// Ids of the hosts of these names; `list` is where they stand in the request.
pub(super) async fn named_hosts(
    db: &impl ConnectionTrait,
    list: &str,
    words: &[String],
    problems: &mut Vec<Problem>,
) -> Result<BTreeSet<i64>> {
    let found = store::hosts::named_many(db, words).await?;
    let mut ids = BTreeSet::new();
    for (position, word) in words.iter().enumerate() {
        let reason = match found.get(word) {
            Some(NamedHost::One { id, .. }) => {
                ids.insert(*id);
                continue;
            }
            Some(NamedHost::Several) => format!("more than one host is called {word:?}; use its identifier or UUID"),
            None => format!("no host is called {word:?}; see `fleetctl get hosts`"),
        };
        problems.push(Problem::new(format!("{list}[{position}]"), reason));
    }
    Ok(ids)
}

/// Ids of the labels of these names; `list` is where they stand in the request.
pub(super) fn named_labels(plan: &Plan, list: &str, names: &[String], problems: &mut Vec<Problem>) -> Vec<i64> {
    let mut ids = Vec::new();
    for (position, name) in names.iter().enumerate() {
        match plan.label_id(name) {
            Some(id) => ids.push(id),
            None => problems.push(Problem::new(
                format!("{list}[{position}]"),
                format!("there is no label {name:?}; see `fleetctl get labels`"),
            )),
        }
    }
    ids
}

/// A fair part of the hosts, another one each time.
fn sample(hosts: RoaringTreemap, percent: Option<u8>, max_hosts: Option<u64>) -> RoaringTreemap {
    if percent.is_none() && max_hosts.is_none() {
        return hosts;
    }
    let salt = RandomState::new();
    let mut ranked: Vec<(u64, u64)> = hosts.into_iter().map(|host| (salt.hash_one(host), host)).collect();
    ranked.sort_unstable();
    let share = percent.map_or(ranked.len(), |percent| (ranked.len() * usize::from(percent)).div_ceil(100));
    let limit = max_hosts.and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX);
    ranked.into_iter().take(share.min(limit)).map(|(_, host)| host).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_the_size_they_should() {
        let hosts: RoaringTreemap = (0..1000).collect();
        assert_eq!(sample(hosts.clone(), Some(10), None).len(), 100);
        assert_eq!(sample(hosts.clone(), Some(10), Some(7)).len(), 7);
        assert_eq!(sample(hosts.clone(), None, Some(5000)).len(), 1000);
        assert_eq!(sample((0..3).collect(), Some(1), None).len(), 1, "never nobody");
        assert_ne!(sample(hosts.clone(), Some(10), None), sample(hosts, Some(10), None));
    }
}
