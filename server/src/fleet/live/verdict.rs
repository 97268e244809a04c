//! What is to be done about a live query that goes on, by what its hosts have reported: whether it is stopped because it
//! harms them, and whether its canaries have spoken, so that the others follow.
//!
//! No single host decides. Agents before 5.8 report no cost: they count for nothing here, and are counted as unknown.

use std::fmt;

use muster_api::rest::{LiveBudget, LiveCanaries, TargetState};
use roaring::RoaringTreemap;

use super::cost::HostOver;
use super::progress::JobProgress;
use crate::clock::Moment;

/// Hosts whose agent a query may stop before it is stopped itself.
const MAX_SUSPECTS: u64 = 3;

/// Hosts that may take more CPU time than one may, before the query is stopped...
const MAX_OVER: u64 = 3;

/// ...if they are one in so many of those that report theirs: some hosts of a large fleet are always slow.
const OVER_SHARE: u64 = 100;

/// Hosts that are named in a reason.
const NAMED: usize = 10;

/// When a live query is stopped at its canaries.
#[derive(Debug, Clone, Copy)]
pub(super) struct CanaryRules {
    /// Canaries that suffice for it: suspects and those that denylist it, those over the budget, or silent ones.
    pub suspects: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LiveVerdict {
    GoOn,
    /// The canaries have spoken, or were waited for long enough.
    LetOthersFollow(CanaryTally),
    /// It harms hosts, for this reason.
    Stop(String),
}

/// Canaries by what has become of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CanaryTally {
    pub all: u64,
    pub settled: u64,
    pub answered: u64,
    pub failed: u64,
    /// Those whose agent the query probably stopped, and those that denylist it.
    pub suspect: u64,
    /// Those that were given the query and have not answered, or are given up.
    pub silent: u64,
    /// The silent ones that still may answer.
    open: u64,
}

impl CanaryTally {
    fn of(progress: &JobProgress, canaries: &RoaringTreemap) -> Self {
        let states = &progress.states;
        let count = |state| states.count_among(state, canaries);
        let is_asked_again = |host: u64| states.has(host.cast_signed(), TargetState::Pending);
        let again = (&progress.retry_alone & canaries).iter().filter(|host| is_asked_again(*host)).count() as u64;
        let open = count(TargetState::Sent) + again;
        Self {
            all: canaries.len(),
            settled: canaries.len() - count(TargetState::Sent) - count(TargetState::Pending),
            answered: count(TargetState::Answered) + count(TargetState::Skipped),
            failed: count(TargetState::Failed),
            suspect: count(TargetState::Suspect) + count(TargetState::Denylisted),
            silent: open + count(TargetState::Lost),
            open,
        }
    }

    /// Whether those that were given the query have answered, and not many are still to be given it.
    fn have_spoken(self) -> bool {
        self.open == 0 && self.settled * 4 >= self.all * 3
    }
}

impl JobProgress {
    pub(super) fn judge(&self, canaries: &RoaringTreemap, rules: CanaryRules, now: Moment) -> LiveVerdict {
        if !self.is_open() {
            return LiveVerdict::GoOn;
        }
        if let Some(harm) = self.harm() {
            return LiveVerdict::Stop(format!("stopped, because {harm}"));
        }
        let Some(until) = self.pace.canaries_until else { return LiveVerdict::GoOn };
        let tally = CanaryTally::of(self, canaries);
        let is_over = tally.have_spoken() || now >= until;
        if let Some(harm) = self.harm_to_canaries(tally, rules, is_over) {
            let others = self.waiting_for(canaries);
            return LiveVerdict::Stop(format!("stopped at its canaries, because {harm}; {others} were not given it"));
        }
        // An operator who has paused it decides when it goes on.
        if is_over && !self.pace.is_paused { LiveVerdict::LetOthersFollow(tally) } else { LiveVerdict::GoOn }
    }

    /// Why no further host may be given the query.
    fn harm(&self) -> Option<String> {
        if self.states.count(TargetState::Suspect) >= MAX_SUSPECTS {
            return Some(format!("it probably stopped the agents of hosts {}", self.named(&[TargetState::Suspect])));
        }
        let (budget, spent) = (self.budget, self.cost.spent());
        if budget.fleet_ms > 0 && spent.fleet_ms > budget.fleet_ms {
            let (took, may) = (Seconds(spent.fleet_ms), Seconds(budget.fleet_ms));
            return Some(format!("it took {took} of CPU time on all hosts together and may take {may}"));
        }
        (spent.over >= MAX_OVER && spent.over.saturating_mul(OVER_SHARE) >= self.cost.hosts()).then(|| self.over())
    }

    fn harm_to_canaries(&self, tally: CanaryTally, rules: CanaryRules, is_over: bool) -> Option<String> {
        if tally.suspect >= rules.suspects {
            let hosts = self.named(&[TargetState::Suspect, TargetState::Denylisted]);
            return Some(format!("it probably stopped the agents of hosts {hosts}, or they refuse it (denylisted)"));
        }
        if self.cost.spent().over >= rules.suspects {
            return Some(self.over());
        }
        let given = self.given();
        let are_silent = is_over && tally.silent >= rules.suspects && tally.silent * 2 > given;
        are_silent.then(|| format!("{} of {given} canaries that were given it have not answered", tally.silent))
    }

    fn over(&self) -> String {
        let spent = self.cost.spent();
        let show = |HostOver { host, cpu_ms }: &HostOver| format!("{host} ({})", Seconds(*cpu_ms));
        let first: Vec<String> = spent.first_over.iter().map(show).collect();
        let more = spent.over.saturating_sub(first.len() as u64);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let may = Seconds(self.budget.host_ms);
        format!("it took more than {may} of CPU time on each of the hosts {}{more}", first.join(", "))
    }

    fn named(&self, states: &[TargetState]) -> String {
        let all: u64 = states.iter().map(|state| self.states.count(*state)).sum();
        let hosts = states.iter().flat_map(|state| self.states.hosts(*state)).take(NAMED);
        let hosts: Vec<String> = hosts.map(|host| host.to_string()).collect();
        let more = all.saturating_sub(hosts.len() as u64);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        format!("{}{more}", hosts.join(", "))
    }

    /// Hosts that wait for the canaries, in words.
    fn waiting_for(&self, canaries: &RoaringTreemap) -> String {
        match self.waiting(canaries) {
            1 => "1 host".to_owned(),
            others => format!("{others} hosts"),
        }
    }

    fn waiting(&self, canaries: &RoaringTreemap) -> u64 {
        self.states.count(TargetState::Pending) - self.states.count_among(TargetState::Pending, canaries)
    }

    pub(super) fn show_canaries(&self, canaries: &RoaringTreemap) -> LiveCanaries {
        let tally = CanaryTally::of(self, canaries);
        let until = self.pace.canaries_until.filter(|_| self.is_open());
        LiveCanaries {
            hosts: tally.all,
            settled: tally.settled,
            waiting: if until.is_some() { self.waiting(canaries) } else { 0 },
            until: until.map(Moment::to_utc),
        }
    }

    pub(super) fn show_budget(&self) -> Option<LiveBudget> {
        let spent = self.cost.spent();
        (self.budget.host_ms > 0 || self.budget.fleet_ms > 0).then_some(LiveBudget {
            host_cpu_ms: self.budget.host_ms,
            fleet_cpu_ms: self.budget.fleet_ms,
            spent_cpu_ms: spent.fleet_ms,
            hosts_over: spent.over,
        })
    }
}

/// Milliseconds, shown as seconds.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(milliseconds) = self;
        match milliseconds % 1000 {
            0 => write!(f, "{} s", milliseconds / 1000),
            rest => write!(f, "{}.{:03} s", milliseconds / 1000, rest),
        }
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
