//! What an archive contains, in its order.

use std::time::Duration;

/// An entry of an archive, and what is asked for it.
#[derive(Debug, PartialEq, Eq)]
pub struct Item {
    /// The name of the entry without its ending.
    pub name: &'static str,
    /// With the dot.
    pub ending: &'static str,
    /// Below `/debug/`.
    pub path: &'static str,
    pub of: Subject,
    pub pace: Pace,
}

/// What an item is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A node: each one is asked.
    Node,
    /// What all nodes share: one node is asked, so that a database in trouble is not asked by all.
    Shared,
}

/// How long an answer takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// What changes from moment to moment is asked for first.
    First,
    /// As `First`, and again if there is nothing: it comes and goes within a second.
    Fleeting,
    Quick,
    /// Names of functions are looked up, which takes the processor: asked for after the profile, so that it does not show
    /// in that, and the answer to the profile need not wait.
    Heavy,
    /// As long as the CPU profile is measured.
    Profile,
    /// As long as the trace is recorded.
    Trace,
}

/// Time for an answer. The server gives the database 5 s.
const QUICK: Duration = Duration::from_secs(8);
pub const HEAVY: Duration = Duration::from_secs(20);

/// Time that the trace may take after it was recorded.
const AFTER_TRACE: Duration = Duration::from_secs(9);

/// Time that the profile may take after it was measured: the names of a large program are looked up for seconds.
pub const AFTER_PROFILE: Duration = Duration::from_secs(25);

/// Seconds of the trace, as in Fleet.
const TRACE_SECONDS: u64 = 1;

/// The entries that Fleet's archives have, then those of Muster.
#[rustfmt::skip]
pub const ITEMS: &[Item] = &[
    item("allocs", ".prof", "pprof/allocs", Subject::Node, Pace::Heavy),
    item("block", ".prof", "pprof/block", Subject::Node, Pace::Quick),
    item("cmdline", ".prof", "pprof/cmdline", Subject::Node, Pace::Quick),
    item("errors", ".json", "errors", Subject::Node, Pace::Quick),
    item("goroutine", ".prof", "pprof/goroutine", Subject::Node, Pace::First),
    item("heap", ".prof", "pprof/heap", Subject::Node, Pace::Heavy),
    item("mutex", ".prof", "pprof/mutex", Subject::Node, Pace::Quick),
    item("profile", ".prof", "pprof/profile", Subject::Node, Pace::Profile),
    item("threadcreate", ".prof", "pprof/threadcreate", Subject::Node, Pace::Quick),
    item("trace", ".prof", "pprof/trace", Subject::Node, Pace::Trace),
    item("db-locks", ".json", "db/locks", Subject::Shared, Pace::Fleeting),
    item("db-innodb-status", ".json", "db/innodb-status", Subject::Shared, Pace::First),
    item("db-process-list", ".json", "db/process-list", Subject::Shared, Pace::First),
    item("requests", ".json", "requests", Subject::Node, Pace::First),
    item("waits", ".json", "waits", Subject::Node, Pace::First),
    item("threads", ".json", "threads", Subject::Node, Pace::First),
    item("runtime", ".json", "runtime", Subject::Node, Pace::Quick),
    item("state", ".json", "state", Subject::Node, Pace::Quick),
    item("metrics", ".txt", "metrics", Subject::Node, Pace::Quick),
    item("logs", ".json", "logs", Subject::Node, Pace::Quick),
    item("log-level", ".json", "log-level", Subject::Node, Pace::Quick),
    item("config", ".json", "config", Subject::Node, Pace::Quick),
    item("nodes", ".json", "nodes", Subject::Shared, Pace::Quick),
    item("migrations", ".json", "migrations", Subject::Shared, Pace::Quick),
    item("db-settings", ".json", "db/settings", Subject::Node, Pace::Quick),
    item("db-statements", ".json", "db/statements", Subject::Shared, Pace::Quick),
    item("db-tables", ".json", "db/tables", Subject::Shared, Pace::Quick),
    item("redis-info", ".txt", "redis/info", Subject::Shared, Pace::Quick),
    item("redis-slowlog", ".json", "redis/slowlog", Subject::Shared, Pace::Quick),
    item("redis-streams", ".json", "redis/streams", Subject::Shared, Pace::Quick),
];

const fn item(name: &'static str, ending: &'static str, path: &'static str, of: Subject, pace: Pace) -> Item {
    Item { name, ending, path, of, pace }
}

impl Item {
    /// What is asked for, below `/debug/`.
    pub fn request(&self, profile_seconds: u16) -> String {
        match self.pace {
            Pace::Profile => format!("{}?seconds={profile_seconds}", self.path),
            Pace::Trace => format!("{}?seconds={TRACE_SECONDS}", self.path),
            Pace::First | Pace::Fleeting | Pace::Quick | Pace::Heavy => self.path.to_owned(),
        }
    }

    /// The time that a node has to answer.
    pub fn time(&self, profile_seconds: u16) -> Duration {
        match self.pace {
            Pace::First | Pace::Fleeting | Pace::Quick => QUICK,
            Pace::Heavy => HEAVY,
            Pace::Profile => Duration::from_secs(profile_seconds.into()) + AFTER_PROFILE,
            Pace::Trace => Duration::from_secs(TRACE_SECONDS) + AFTER_TRACE,
        }
    }

    pub fn file_name(&self) -> String {
        format!("{}{}", self.name, self.ending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fleet_archives_comes_first_and_in_its_order() {
        let fleet = [
            "allocs.prof",
            "block.prof",
            "cmdline.prof",
            "errors.json",
            "goroutine.prof",
            "heap.prof",
            "mutex.prof",
            "profile.prof",
            "threadcreate.prof",
            "trace.prof",
            "db-locks.json",
            "db-innodb-status.json",
            "db-process-list.json",
        ];
        let names: Vec<_> = ITEMS.iter().map(Item::file_name).collect();
        assert_eq!(names[..fleet.len()], fleet);
        let mut unique = names.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), names.len());
    }

    #[test]
    fn only_profiles_take_longer_than_ten_seconds_after_the_measuring() {
        let profiles = |item: &&Item| matches!(item.pace, Pace::Profile | Pace::Heavy);
        assert_eq!(
            ITEMS.iter().filter(profiles).map(|item| item.name).collect::<Vec<_>>(),
            ["allocs", "heap", "profile"]
        );
        let longest = ITEMS.iter().filter(|item| !profiles(item)).map(|item| item.time(30)).max();
        assert!(longest <= Some(Duration::from_secs(10)), "{longest:?}");
    }
}
