//! Queries that were running when a worker ended, as agents say in their status log.
//!
//! A new worker that finds a query marked as running says so in one line. The line comes minutes after the worker has ended,
//! where a sample shows it up to an hour later, and it names the query although the agent may not denylist it. Names wait in
//! memory for the next write of statistics; a crash loses them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use memchr::memmem;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::Statistics;
use super::restarts::{NotedRestarts, suspects};
use super::versions::QueryName;
use crate::clock::Moment;
use crate::fleet::Error;
use crate::fleet::halves::in_halves;
use crate::fleet::hosts::Host;
use crate::fleet::logs::LogLines;
use crate::lock::lock;
use crate::store::entity::worker_restarts::Model;
use crate::store::statistics::samples;
use crate::store::{self, Tx};

/// What agents write in front of the name (`config.cpp`).
const SAID: &str = "Scheduled query may have failed: ";

/// Longest name that is taken, in bytes.
const MAX_NAME: usize = 1024;

/// Lines of one batch that are read because they may name a query. A worker says one.
const MAX_OF_BATCH: usize = 16;

/// Names that wait: of all hosts, and of one.
const MAX_WAITING: usize = 1_000;
const MAX_WAITING_OF_HOST: usize = 8;

/// Longest time for which a name is tried to be written.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// Restarts of one host that are noted in [`OFTEN`] because its agent says so.
const MAX_OF_HOST: usize = 8;
const OFTEN: Duration = Duration::from_secs(3600);

/// A query that an agent says was running when its worker ended, by the agent's name for it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StoppedQuery {
    #[serde(rename = "message")]
    full_name: String,
    /// When the agent said so, in seconds by the clock of the host.
    #[serde(rename = "unixTime", deserialize_with = "seconds")]
    said_at: i64,
}

/// Agents before 5.10 write numbers as texts.
fn seconds<'de, D: Deserializer<'de>>(time: D) -> Result<i64, D::Error> {
    match Value::deserialize(time)? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
    .ok_or_else(|| D::Error::custom("no time in seconds"))
}

/// The queries that lines of a status log name.
pub fn stopped_queries(lines: &LogLines) -> Vec<StoppedQuery> {
    // Nearly every batch ends here.
    if memmem::find(lines.as_bytes(), SAID.as_bytes()).is_none() {
        return Vec::new();
    }
    let finder = memmem::Finder::new(SAID);
    let said = lines.iter().filter(|line| finder.find(line).is_some());
    said.take(MAX_OF_BATCH).filter_map(stopped_query).collect()
}

fn stopped_query(line: &[u8]) -> Option<StoppedQuery> {
    let line: StoppedQuery = serde_json::from_slice(line).ok()?;
    let full_name = line.full_name.strip_prefix(SAID).filter(|name| name.len() <= MAX_NAME)?.to_owned();
    Some(StoppedQuery { full_name, ..line })
}

#[derive(Debug, Clone)]
struct WaitingName {
    host: Arc<Host>,
    query: StoppedQuery,
    received: Moment,
}

/// Names that wait to be written.
#[derive(Debug, Default)]
pub(super) struct StoppedQueries(Mutex<Vec<WaitingName>>);

/// A worker that has ended while a query of its host's config ran.
#[derive(Debug, Clone)]
struct StoppedWorker {
    query: QueryName,
    said: WaitingName,
}

type ByHost = BTreeMap<i64, Vec<StoppedWorker>>;

impl Statistics {
    /// Takes what [`stopped_queries`] has found in lines of a host.
    pub fn note_stopped(&self, host: &Arc<Host>, stopped: Vec<StoppedQuery>) {
        if stopped.is_empty() || self.config.interval.is_zero() {
            return;
        }
        let received = self.clock.now();
        for query in stopped {
            self.add_stopped(WaitingName { host: Arc::clone(host), query, received });
        }
    }

    fn add_stopped(&self, name: WaitingName) {
        let mut waiting = lock(&self.stopped.0);
        let of_host = || waiting.iter().filter(|other| other.host.id == name.host.id);
        if of_host().any(|other| other.query == name.query) {
            // The agent has sent the line again.
        } else if waiting.len() < MAX_WAITING && of_host().count() < MAX_WAITING_OF_HOST {
            waiting.push(name);
        } else {
            self.metrics.limit_hit("stopped_queries");
        }
    }

    /// Writes the restarts that agents have reported.
    pub(super) async fn write_stopped(&self) -> crate::fleet::Result<()> {
        let waiting = std::mem::take(&mut *lock(&self.stopped.0));
        if waiting.is_empty() {
            return Ok(());
        }
        let (configs, schedule) = (Arc::clone(&self.configs), Arc::clone(&self.schedule));
        let by_host = tokio::task::spawn_blocking(move || {
            let mut by_host = ByHost::new();
            for said in waiting {
                // What is no query of the host's config is nothing that operators could look at.
                if let Some(query) = configs.find(&schedule, &said.host, &said.query.full_name) {
                    by_host.entry(said.host.id).or_default().push(StoppedWorker { query, said });
                }
            }
            by_host
        });
        let by_host = by_host.await.map_err(|error| Error::Internal(Box::new(error)))?;
        let (since, mut outcome) = (self.restarts_since(), Ok(()));
        let work = async |part: &ByHost| self.store.write(async |tx| put_stopped(tx, part, since).await).await;
        in_halves(by_host, work, |part, written| match written {
            Ok(PutStopped { new, refused }) => {
                self.metrics.worker_restarts.inc_by(new);
                (0..refused).for_each(|_| self.metrics.limit_hit("stopped_queries"));
            }
            Err(error) => {
                outcome = Err(error.into());
                let names = part.into_values().flatten().map(|worker| worker.said);
                let is_new = |name: &WaitingName| self.clock.now().since(name.received) <= LONGEST_WAIT;
                names.filter(is_new).for_each(|name| self.add_stopped(name));
            }
        })
        .await;
        outcome
    }

    /// Restarts that were seen after this moment may be seen again, in a sample.
    pub(super) fn restarts_since(&self) -> Moment {
        self.clock.now().minus((self.config.interval * 2).max(Duration::from_secs(24 * 3600)))
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct PutStopped {
    /// Restarts that were not known.
    new: u64,
    /// Names beyond what one host may say.
    refused: u64,
}

async fn put_stopped(tx: &Tx, by_host: &ByHost, since: Moment) -> store::Result<PutStopped> {
    let host_ids: Vec<i64> = by_host.keys().copied().collect();
    // Whoever writes samples of these hosts waits, and nobody deletes them.
    samples::hold(tx, &host_ids).await?;
    let there = samples::hosts_held(tx, &host_ids).await?;
    let mut restarts = NotedRestarts::read(tx, &there, since).await?;
    let mut put = PutStopped::default();
    for host_id in there {
        for StoppedWorker { query, said } in by_host.get(&host_id).into_iter().flatten() {
            let WaitingName { received, query: StoppedQuery { said_at, .. }, .. } = said;
            if restarts.seen_after(host_id, received.minus(OFTEN)) >= MAX_OF_HOST {
                put.refused += 1;
                continue;
            }
            let is_new = restarts.add(Model {
                id: 0,
                host_id,
                seen_at: *received,
                started_at: *said_at,
                is_upgrade: false,
                is_reported: true,
                suspects: suspects([[query.pack.clone(), query.name.clone()]]),
            });
            put.new += u64::from(is_new);
        }
    }
    restarts.write(tx).await?;
    Ok(put)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: &str, time: &str) -> String {
        format!("{{\"hostIdentifier\":\"a\",\"unixTime\":{time},\"severity\":1,\"message\":\"{message}\"}}\n")
    }

    #[test]
    fn names_are_found_where_agents_say_them() {
        let said = line(&format!("{SAID}pack/base/say \\\"x\\\""), "1768478400");
        let other = line("Executing scheduled query a", "1768478400");
        let [without_time, broken] = [line(SAID, "null"), format!("\"message\":\"{SAID}a\"\n")];
        let inside = line(&format!("a log of {SAID}b"), "1");
        let old = line(&format!("{SAID}up"), "\"1767226201\"");
        let lines = [&said, &other, &without_time, &broken, &inside, &old].map(|line| line.as_bytes());
        let found = stopped_queries(&lines.into_iter().collect());
        let expected = |full_name: &str, said_at| StoppedQuery { full_name: full_name.to_owned(), said_at };
        assert_eq!(found, [expected("pack/base/say \"x\"", 1_768_478_400), expected("up", 1_767_226_201)]);
        let many = vec![said.as_bytes(); 100];
        assert_eq!(stopped_queries(&many.into_iter().collect()).len(), MAX_OF_BATCH);
    }
}
