//! Scheduled queries that have failed, as agents say in their status log. They count for rollouts alone, so nobody looks for them
//! while none is under way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use memchr::memmem;
use serde::Deserialize;

use super::Statistics;
use super::sample::sql_hash;
use crate::fleet::Error;
use crate::fleet::hosts::Host;
use crate::fleet::logs::LogLines;
use crate::fleet::rollouts::RolloutWatch;
use crate::lock::lock;
use crate::store;

/// What agents write in front of the name, behind which a colon and the reason follow (`scheduler.cpp`).
const SAID: &str = "Error executing scheduled query ";

/// Longest name that is taken, in bytes.
const MAX_NAME: usize = 1024;

/// Lines of one batch that are read.
const MAX_OF_BATCH: usize = 256;

/// Names of failed queries that wait, of all hosts.
const MAX_WAITING: usize = 20_000;

/// How often queries have failed, by the agent's names for them.
pub type FailedTimes = BTreeMap<String, u64>;

/// How often queries have failed on hosts, until it is written; a crash loses it.
#[derive(Debug, Default)]
pub(super) struct FailedQueries(Mutex<WaitingFailed>);

#[derive(Debug, Default)]
struct WaitingFailed {
    hosts: BTreeMap<i64, FailedOfHost>,
    /// Names of all hosts together.
    names: usize,
}

#[derive(Debug)]
struct FailedOfHost {
    host: Arc<Host>,
    times: FailedTimes,
}

#[derive(Deserialize)]
struct StatusLine {
    message: String,
}

/// How often lines of a status log say that queries have failed.
pub fn failed_queries(lines: &LogLines) -> FailedTimes {
    let mut times = FailedTimes::new();
    if memmem::find(lines.as_bytes(), SAID.as_bytes()).is_none() {
        return times;
    }
    let finder = memmem::Finder::new(SAID);
    let said = lines.iter().filter(|line| finder.find(line).is_some()).take(MAX_OF_BATCH);
    for line in said.filter_map(|line| serde_json::from_slice::<StatusLine>(line).ok()) {
        // No name that a server gives has a colon in it.
        let name = line.message.strip_prefix(SAID).and_then(|rest| Some(rest.split_once(": ")?.0));
        if let Some(name) = name.filter(|name| name.len() <= MAX_NAME) {
            *times.entry(name.to_owned()).or_default() += 1;
        }
    }
    times
}

impl Statistics {
    /// Whether it matters which queries fail.
    pub fn wants_failed(&self) -> bool {
        !self.config.interval.is_zero() && self.schedule.plan().rollouts.iter().any(|rollout| rollout.is_served())
    }

    /// Takes what [`failed_queries`] has found in lines of a host.
    pub fn note_failed(&self, host: &Arc<Host>, failed: FailedTimes) {
        if failed.is_empty() {
            return;
        }
        let mut waiting = lock(&self.failed.0);
        if waiting.names + failed.len() > MAX_WAITING {
            self.metrics.limit_hit("failed_queries");
            return;
        }
        let WaitingFailed { hosts, names } = &mut *waiting;
        let of_host = hosts.entry(host.id);
        let of_host = of_host.or_insert_with(|| FailedOfHost { host: Arc::clone(host), times: FailedTimes::new() });
        let before = of_host.times.len();
        for (name, times) in failed {
            *of_host.times.entry(name).or_default() += times;
        }
        *names += of_host.times.len() - before;
    }

    /// Adds them to what rollouts are judged by.
    pub(super) async fn write_failed(&self) -> crate::fleet::Result<()> {
        let waiting = std::mem::take(&mut *lock(&self.failed.0)).hosts;
        if waiting.is_empty() {
            return Ok(());
        }
        let Some(mut watch) = RolloutWatch::of(self.schedule.plan(), sql_hash) else { return Ok(()) };
        let (configs, schedule) = (Arc::clone(&self.configs), Arc::clone(&self.schedule));
        let watch = tokio::task::spawn_blocking(move || {
            for FailedOfHost { host, times } in waiting.into_values() {
                for (full_name, times) in times {
                    if let Some(query) = configs.find(&schedule, &host, &full_name) {
                        watch.note_errors(&host, &query.pack, &query.name, times);
                    }
                }
            }
            watch
        });
        let watch = watch.await.map_err(|error| Error::Internal(Box::new(error)))?;
        let rows = watch.rows(self.node.id());
        self.store
            .write(async |tx| -> store::Result<()> {
                for row in &rows {
                    store::rollouts::count(tx, row).await?;
                }
                Ok(())
            })
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_found_where_agents_say_them() {
        let line = |message: &str| format!("{{\"severity\":2,\"message\":\"{message}\"}}\n");
        let said = line(&format!("{SAID}pack/base/work: no such table: nothing: at all"));
        let other = line("Executing scheduled query pack/base/work: SELECT 1");
        let (without, broken) = (line(SAID), format!("\"message\":\"{SAID}a: b\"\n"));
        let found = failed_queries(
            &[&said, &other, &without, &broken, &said].map(|line| line.as_bytes()).into_iter().collect(),
        );
        assert_eq!(found, FailedTimes::from([("pack/base/work".to_owned(), 2)]));
    }
}
