//! The cost of a version of a query in a span of time, by platform and agent version, and the hosts on which a run costs
//! most.

use std::collections::BTreeMap;

use super::agent_version::AgentVersion;
use super::bytes::{put, put_text, take, take_text};
use super::cost::Cost;
use super::difference::Runs;

/// Most groups that are kept apart. Agents choose what they call themselves; further ones are counted together.
const MAX_GROUPS: usize = 64;

/// Longest platform that is kept, in bytes.
const MAX_PLATFORM: usize = 32;

/// Hosts that are remembered because a run costs most there.
const WORST: usize = 10;

/// Hosts whose costs are counted together.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group {
    pub platform: String,
    pub version: AgentVersion,
}

impl Group {
    pub fn of(platform: &str, version: AgentVersion) -> Self {
        let is_plain = platform.len() <= MAX_PLATFORM;
        Self { platform: if is_plain { platform.to_owned() } else { String::new() }, version }
    }
}

/// A host on which a run of the query costs much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WorstHost {
    pub host_id: i64,
    /// CPU time of a run, in microseconds.
    pub cpu_micros: u64,
    /// Runs of which this is the mean.
    pub runs: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct QueryCosts {
    pub groups: BTreeMap<Group, Cost>,
    /// The dearest first, each host once.
    pub worst: Vec<WorstHost>,
}

impl QueryCosts {
    /// Adds the runs of a host between two samples. `is_new_host` if none of its runs has been counted in this hour.
    pub fn add(&mut self, host_id: i64, group: &Group, runs: &Runs, is_new_host: bool) {
        let has_output = group.version.counts_output();
        let cost = self.group(group);
        cost.hosts += u64::from(is_new_host);
        cost.add(runs, has_output);
        let cpu_micros = runs.user_ms.saturating_add(runs.system_ms).saturating_mul(1000) / runs.runs.max(1);
        if cpu_micros > 0 {
            self.add_worst(WorstHost { host_id, cpu_micros, runs: runs.runs });
        }
    }

    fn group(&mut self, group: &Group) -> &mut Cost {
        let has_room = self.groups.len() < MAX_GROUPS || self.groups.contains_key(group);
        self.groups.entry(if has_room { group.clone() } else { Group::default() }).or_default()
    }

    fn add_worst(&mut self, host: WorstHost) {
        match self.worst.iter_mut().find(|known| known.host_id == host.host_id) {
            // By both numbers, so that it does not matter in which order samples are counted.
            Some(known) if (known.cpu_micros, known.runs) < (host.cpu_micros, host.runs) => *known = host,
            Some(_) => return,
            None => self.worst.push(host),
        }
        self.worst.sort_by_key(|host| (std::cmp::Reverse(host.cpu_micros), host.host_id));
        self.worst.truncate(WORST);
    }

    /// Adds what another node has counted in the same hour.
    pub fn merge_same_hour(&mut self, other: &Self) {
        self.merge(other, |hosts, others| hosts.saturating_add(others));
    }

    /// Adds the runs of another span of time. Of the numbers of hosts the larger one is kept.
    pub fn merge_other_hour(&mut self, other: &Self) {
        self.merge(other, u64::max);
    }

    fn merge(&mut self, other: &Self, hosts: impl Fn(u64, u64) -> u64) {
        for (group, others) in &other.groups {
            let cost = self.group(group);
            cost.hosts = hosts(cost.hosts, others.hosts);
            cost.merge_runs(others);
        }
        other.worst.iter().for_each(|host| self.add_worst(*host));
    }

    /// Raises the numbers of hosts to those of an hour that is in it.
    pub fn raise_hosts(&mut self, hour: &Self) {
        for (group, hour) in &hour.groups {
            let cost = self.group(group);
            cost.hosts = cost.hosts.max(hour.hosts);
        }
    }

    /// All groups together.
    pub fn total(&self) -> Cost {
        self.total_of(|_| true)
    }

    /// The groups of some platforms together.
    pub fn total_of(&self, is_wanted: impl Fn(&str) -> bool) -> Cost {
        let wanted = self.groups.iter().filter(|(group, _)| is_wanted(&group.platform));
        wanted.fold(Cost::default(), |mut total, (_, cost)| {
            total.hosts = total.hosts.saturating_add(cost.hosts);
            total.merge_runs(cost);
            total
        })
    }

    pub fn put_into(&self, bytes: &mut Vec<u8>) {
        put(bytes, self.groups.len() as u64);
        for (group, cost) in &self.groups {
            put_text(bytes, &group.platform);
            put(bytes, group.version.packed());
            cost.put_into(bytes);
        }
        put(bytes, self.worst.len() as u64);
        for host in &self.worst {
            put(bytes, host.host_id.cast_unsigned());
            put(bytes, host.cpu_micros);
            put(bytes, host.runs);
        }
    }

    pub fn take_from(bytes: &mut &[u8]) -> Option<Self> {
        let mut costs = Self::default();
        for _ in 0..take(bytes).filter(|count| *count <= MAX_GROUPS as u64 + 1)? {
            let group = Group { platform: take_text(bytes)?, version: AgentVersion::unpacked(take(bytes)?) };
            costs.groups.insert(group, Cost::take_from(bytes)?);
        }
        for _ in 0..take(bytes).filter(|count| *count <= WORST as u64)? {
            let host_id = take(bytes)?.cast_signed();
            costs.worst.push(WorstHost { host_id, cpu_micros: take(bytes)?, runs: take(bytes)? });
        }
        Some(costs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(runs: u64, user_ms: u64) -> Runs {
        Runs { runs, user_ms, wall_ms: user_ms * 2, ..Runs::default() }
    }

    fn group(platform: &str) -> Group {
        Group::of(platform, AgentVersion::of("5.12.1"))
    }

    #[test]
    fn parts_of_an_hour_add_up_and_hours_do_not_count_a_host_twice() {
        let mut one = QueryCosts::default();
        one.add(1, &group("ubuntu"), &runs(10, 100), true);
        one.add(1, &group("ubuntu"), &runs(10, 100), false);
        let mut other = QueryCosts::default();
        other.add(2, &group("ubuntu"), &runs(5, 500), true);
        other.add(3, &group("windows"), &runs(1, 0), true);
        let mut hour = one.clone();
        hour.merge_same_hour(&other);
        let total = hour.total();
        assert_eq!((total.hosts, total.runs, total.cpu_ms()), (3, 26, 700));
        let mut two_hours = hour.clone();
        two_hours.merge_other_hour(&one);
        assert_eq!((two_hours.total().hosts, two_hours.total().runs), (3, 46));
        let worst: Vec<(i64, u64)> = hour.worst.iter().map(|host| (host.host_id, host.cpu_micros)).collect();
        assert_eq!(worst, [(2, 100_000), (1, 10_000)]);
        let mut bytes = Vec::new();
        hour.put_into(&mut bytes);
        assert_eq!(QueryCosts::take_from(&mut &bytes[..]), Some(hour));
    }

    #[test]
    fn agents_that_call_themselves_something_else_each_time_share_a_group() {
        let mut costs = QueryCosts::default();
        for number in 0..500 {
            costs.add(number, &group(&number.to_string()), &runs(1, 1), true);
        }
        assert_eq!(costs.groups.len(), MAX_GROUPS + 1);
        assert_eq!((costs.total().hosts, costs.worst.len()), (500, WORST));
        assert_eq!(Group::of(&"x".repeat(40), AgentVersion::default()), Group::default());
    }
}
