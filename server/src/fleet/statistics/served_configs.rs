use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;

use super::Sample;
use super::fold::{ResolvedQuery, ResolvedSample};
use super::sample::Counters;
use super::served_names::{ServedNames, ServedQuery};
use super::versions::{QueryName, Versions};
use super::waiting::WaitingSample;
use crate::fleet::Result;
use crate::fleet::schedule::Schedule;
use crate::lock::lock;

/// Most configs whose names are remembered: a fleet has few, as hosts with the same packs get the same bytes.
const KEPT: usize = 32;

/// The names in configs that were served, for the bytes of each.
#[derive(Debug, Default)]
pub(super) struct ServedConfigs(Mutex<VecDeque<(Bytes, ServedNames)>>);

/// A sample, and the queries that its host was served under the names in it.
#[derive(Debug)]
pub(super) struct NamedSample {
    pub waiting: WaitingSample,
    queries: Vec<NamedQuery>,
    /// Names in the sample that are in no config of the host.
    pub unknown: usize,
}

/// A query in a sample, and the query of the config that it is.
#[derive(Debug)]
struct NamedQuery {
    served: ServedQuery,
    /// Of the SQL that the host runs.
    sql_hash: i64,
    counters: Counters,
}

impl ServedConfigs {
    /// Looks the names of a sample up in the config of its host.
    ///
    /// # Errors
    /// When the host has no config.
    pub fn name(&self, schedule: &Schedule, waiting: WaitingSample) -> Result<NamedSample> {
        let plan = schedule.plan();
        let config = schedule.look_up(&plan, &waiting.host.assignment.load(), Some(&waiting.host))?;
        let mut kept = lock(&self.0);
        let is_it = |known: &Bytes| known.as_ptr() == config.as_ptr() && known.len() == config.len();
        if !kept.iter().any(|(known, _)| is_it(known)) {
            kept.truncate(KEPT - 1);
            kept.push_front((config.clone(), ServedNames::of(&config)));
        }
        let names = kept.iter_mut().find(|(known, _)| is_it(known)).map(|(_, names)| names);
        Ok(NamedSample::of(waiting, names))
    }
}

impl NamedSample {
    fn of(waiting: WaitingSample, names: Option<&mut ServedNames>) -> Self {
        let (mut queries, mut unknown) = (Vec::new(), 0);
        if let Some(names) = names {
            let Sample { delimiter, queries: sampled, .. } = &*waiting.sample;
            for query in sampled {
                match names.find(&query.full_name, query.sql_hash, delimiter) {
                    Some(served) => queries.push(NamedQuery {
                        served: served.clone(),
                        sql_hash: query.sql_hash.unwrap_or(served.sql_hash),
                        counters: query.counters,
                    }),
                    None => unknown += 1,
                }
            }
        }
        Self { waiting, queries, unknown }
    }

    /// Versions that the host runs and nobody has met before. Only the SQL that is served makes a new one: what agents say
    /// does not fill the database.
    pub fn new_versions(&self, versions: &Versions) -> Vec<(QueryName, i64)> {
        let all = self.queries.iter().filter(|query| query.sql_hash == query.served.sql_hash);
        let all = all.map(|query| (QueryName::of(&query.served), query.sql_hash));
        all.filter(|(name, sql_hash)| versions.find(name, *sql_hash).is_none()).collect()
    }

    /// The sample by versions of queries. Those with SQL that was never served are left out and counted.
    pub fn resolve(&mut self, versions: &Versions) -> ResolvedSample {
        let Sample { worker, unix_time, uptime_secs, version, .. } = *self.waiting.sample;
        let received = u64::try_from(self.waiting.received.seconds()).unwrap_or(0);
        let mut queries = Vec::with_capacity(self.queries.len());
        for NamedQuery { served, sql_hash, counters } in &self.queries {
            let Some(version_id) = versions.find(&QueryName::of(served), *sql_hash) else {
                self.unknown += 1;
                continue;
            };
            let name_id = versions.name_id(version_id);
            queries.push(ResolvedQuery { version_id, name_id, interval: served.interval, counters: *counters });
        }
        ResolvedSample { worker, unix_time, uptime_secs, version, received, queries }
    }
}

impl QueryName {
    fn of(served: &ServedQuery) -> Self {
        Self { pack: served.pack.clone(), name: served.name.clone() }
    }
}
