//! The open targets of one host, as the open jobs have them at one moment. Nothing here is kept: every check-in that
//! may have something to do reads the jobs anew.

use std::sync::Arc;

use super::Job;
use super::host_state::{HostLiveState, ThrownAway};
use super::progress::OpenTarget;
use crate::clock::Moment;
use crate::fleet::checkin::RETRY_WINDOW;

/// Most queries of one read: all their answers come together, after the slowest.
const MAX_PER_READ: usize = 8;

/// The jobs a host has to fetch or to answer.
#[derive(Debug, Default)]
pub(super) struct OpenTargets {
    /// The oldest pending jobs that can be sent together, as many as fit in one read.
    together: Vec<Arc<Job>>,
    /// The oldest pending job that must be sent alone.
    alone: Option<Arc<Job>>,
    sent: Vec<SentTarget>,
    /// Whether there are pending jobs whose pace has no room now.
    is_held: bool,
}

/// A query a host has fetched and not answered.
#[derive(Debug, Clone)]
pub(super) struct SentTarget {
    pub job: Arc<Job>,
    pub at: Moment,
    is_alone: bool,
    retry_alone: bool,
}

/// The decision about an answer that will not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OverdueVerdict {
    /// The query probably stopped the agent's worker.
    Suspect,
    /// Send the query once more, alone.
    RetryAlone,
    /// Sent twice, without an answer or a sign of a restart.
    Lost,
    /// The answer came alone, and was larger than the server takes.
    TooLarge,
}

impl OpenTargets {
    /// Reads the open targets of a host from jobs, which are in the order of their ids. A job whose answers from before
    /// a restart are still to be read has none yet, and one that holds back its hosts has none that is pending; they are
    /// announced once they have.
    pub fn of(host: i64, jobs: &[Arc<Job>], now: Moment) -> Self {
        let mut open = Self::default();
        for job in jobs.iter().filter(|job| !job.is_resuming()) {
            match job.open_target(host) {
                Some(OpenTarget::Pending { .. }) if job.holds_back(host) => {}
                Some(OpenTarget::Pending { .. }) if job.is_held(now) => open.is_held = true,
                // why: a discovery query that cannot run voids the whole read, so such a job never goes with others.
                Some(OpenTarget::Pending { retry_alone }) if retry_alone || job.discovery.is_some() => {
                    open.alone.get_or_insert_with(|| Arc::clone(job));
                }
                Some(OpenTarget::Pending { .. }) if open.together.len() < MAX_PER_READ => {
                    open.together.push(Arc::clone(job));
                }
                Some(OpenTarget::Sent { at, is_alone, retry_alone }) => {
                    open.sent.push(SentTarget { job: Arc::clone(job), at, is_alone, retry_alone });
                }
                Some(OpenTarget::Pending { .. }) | None => {}
            }
        }
        open
    }

    pub fn is_empty(&self) -> bool {
        !self.is_held && self.together.is_empty() && self.alone.is_none() && self.sent.is_empty()
    }

    /// Whether the pace of any job that is open for the host has no room now.
    pub fn has_held(&self) -> bool {
        self.is_held
    }

    pub fn sent(&self) -> &[SentTarget] {
        &self.sent
    }

    /// Answers that will not come, each with what to do about it. `restarted_since` gives whether the agent shows a
    /// sign of a restart since a moment.
    pub fn overdue(
        &self,
        now: Moment,
        host: &HostLiveState,
        restarted_since: impl Fn(Moment) -> bool,
    ) -> Vec<(SentTarget, OverdueVerdict)> {
        let verdict = |sent: &SentTarget| sent.verdict(now, host.thrown_away(sent.job.id, sent.at), &restarted_since);
        self.sent.iter().filter_map(|sent| Some((sent.clone(), verdict(sent)?))).collect()
    }

    /// Jobs to send in this read.
    pub fn candidates(self, now: Moment) -> Vec<Arc<Job>> {
        if !self.together.is_empty() {
            return self.together;
        }
        // why: when an answer is lost, a query that was sent alone is known to be the cause. So a job is sent alone
        // only after every answer has come or is overdue.
        let is_free = self.sent.iter().all(|sent| sent.is_overdue(now));
        self.alone.filter(|_| is_free).into_iter().collect()
    }
}

impl SentTarget {
    /// Whether its job still has this very claim; another request or node may have moved the target on.
    pub fn is_current(&self, host: i64) -> bool {
        matches!(self.job.open_target(host), Some(OpenTarget::Sent { at, .. }) if at == self.at)
    }

    /// Whether the agent would have repeated its answer by now.
    fn is_overdue(&self, now: Moment) -> bool {
        now > self.at.plus(RETRY_WINDOW)
    }

    fn verdict(
        &self,
        now: Moment,
        thrown_away: Option<ThrownAway>,
        restarted_since: impl Fn(Moment) -> bool,
    ) -> Option<OverdueVerdict> {
        match thrown_away {
            Some(ThrownAway { is_only: true, .. }) => Some(OverdueVerdict::TooLarge),
            // Which answer it was shows when each query is sent alone.
            Some(ThrownAway { is_only: false, .. }) => Some(OverdueVerdict::RetryAlone),
            None if !self.is_overdue(now) => None,
            None if self.is_alone && restarted_since(self.at) => Some(OverdueVerdict::Suspect),
            None if self.retry_alone => Some(OverdueVerdict::Lost),
            None => Some(OverdueVerdict::RetryAlone),
        }
    }
}

#[cfg(test)]
#[path = "open_targets_tests.rs"]
mod tests;
