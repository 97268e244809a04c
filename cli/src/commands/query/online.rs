use std::time::{Duration, Instant};

use muster_api::rest::LiveQuery;

use super::progress::accounted;

/// How long a host that took the query is waited for when enough others are done; it may have gone offline since.
const SENT_GRACE: Duration = Duration::from_secs(30);

/// Tells when every target that is online is accounted for.
#[derive(Default)]
pub struct OnlineHosts {
    /// Since when only hosts that took the query are missing.
    waiting: Option<Instant>,
}

impl OnlineHosts {
    pub fn are_done(&mut self, job: &LiveQuery, now: Instant) -> bool {
        if accounted(job) < job.online {
            self.waiting = None;
            return false;
        }
        if job.counts.sent == 0 {
            return true;
        }
        now.duration_since(*self.waiting.get_or_insert(now)) >= SENT_GRACE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::query::progress::tests::job;

    #[test]
    fn online_hosts_are_done_when_they_are_accounted_for() {
        let now = Instant::now();
        let done = |pending, answered, online| OnlineHosts::default().are_done(&job(pending, 0, answered, online), now);
        assert!(!done(6, 0, 1));
        assert!(!done(3, 4, 5));
        assert!(done(1, 5, 5));
        assert!(done(1, 5, 3));
        assert!(done(6, 0, 0));
    }

    #[test]
    fn hosts_that_took_the_query_are_waited_for_a_while() {
        let mut hosts = OnlineHosts::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!hosts.are_done(&job(1, 1, 5, 5), at(0)));
        assert!(!hosts.are_done(&job(1, 1, 5, 5), at(29)));
        assert!(!hosts.are_done(&job(1, 1, 5, 6 + 1), at(30)));
        assert!(!hosts.are_done(&job(1, 1, 5, 5), at(31)));
        assert!(hosts.are_done(&job(1, 1, 5, 5), at(61)));
        assert!(hosts.are_done(&job(1, 0, 6, 5), at(61)));
    }
}
