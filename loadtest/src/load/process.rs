//! CPU time and memory of a process, from `/proc`; on other systems than Linux there are none.

use std::time::Duration;

/// `sysconf(_SC_CLK_TCK)`, which is the same on every Linux.
const TICKS_PER_SECOND: u64 = 100;

/// CPU time and memory of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// User and system time so far.
    pub cpu: Duration,
    /// Resident memory now.
    pub rss_bytes: u64,
    /// The most there ever was.
    pub peak_rss_bytes: u64,
}

impl Usage {
    /// Of this process.
    #[must_use]
    pub fn own() -> Option<Self> {
        Self::read("self")
    }

    /// Of another process.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        Self::read(&pid.to_string())
    }

    fn read(pid: &str) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()
        };
        Some(Self { cpu: cpu_of(&stat)?, rss_bytes: kib("VmRSS:")? * 1024, peak_rss_bytes: kib("VmHWM:")? * 1024 })
    }
}

fn cpu_of(stat: &str) -> Option<Duration> {
    // The name of the program may hold anything, brackets too.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// Limit of open files of this process.
#[must_use]
pub fn max_open_files() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_programs_do_not_confuse() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 5 0 0";
        assert_eq!(cpu_of(stat), Some(Duration::from_secs(3)));
    }
}
