use std::time::Duration;

use super::section::section;

section! {
    /// What scheduled queries cost the hosts.
    "statistics" Statistics {
        /// Interval at which each host is asked what its scheduled queries have cost; 0 asks no host.
        interval: Duration = Duration::from_secs(3600),
        /// Longest time that collected statistics wait in memory before they are written.
        write_interval: Duration = Duration::from_secs(60),
        /// Time for which costs are kept by hour.
        keep_hours: Duration = Duration::from_secs(3 * 24 * 3600),
        /// Time for which costs by day, restarts of workers and lifted denylistings are kept.
        keep_days: Duration = Duration::from_secs(90 * 24 * 3600),
    }
}

/// Shortest time for which costs are kept by hour: those of the day before are shown by hour.
const LEAST_HOURS: Duration = Duration::from_secs(24 * 3600);

/// Shortest interval at which hosts are asked, if at all.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);

impl Statistics {
    pub(super) fn contradictions(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.interval.is_zero() && self.interval < LEAST_INTERVAL {
            problems.push("statistics.interval: must be 0 or at least 1s".to_owned());
        }
        if self.write_interval > Duration::from_secs(600) {
            problems
                .push("statistics.write_interval: must be 10m at most; a crash loses what was not written".to_owned());
        }
        if self.keep_hours < LEAST_HOURS {
            problems.push("statistics.keep_hours: must be at least 24h".to_owned());
        }
        if self.keep_days < self.keep_hours {
            problems.push("statistics.keep_days: must be at least statistics.keep_hours".to_owned());
        }
        problems
    }
}
