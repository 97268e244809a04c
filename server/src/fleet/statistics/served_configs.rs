use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::Sample;
use super::fold::{ResolvedQuery, ResolvedSample};
use super::sample::Counters;
use super::served_names::{ServedNames, ServedQuery};
use super::versions::{KnownVersions, QueryName, VersionName};
use super::waiting::WaitingSample;
use crate::fleet::hosts::Host;
use crate::fleet::schedule::Schedule;
use crate::lock::lock;

/// Most configs whose names are remembered: a fleet has few, as hosts with the same packs get the same bytes.
const KEPT: usize = 32;

/// The names in configs that were served, for the bytes of each. The latest used is the first.
#[derive(Debug, Default)]
pub(super) struct ServedConfigs(Mutex<VecDeque<(Bytes, Arc<ServedNames>)>>);

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
    /// As the host says it.
    interval: u64,
    counters: Counters,
}

impl ServedConfigs {
    /// Looks the names of samples up in the configs of their hosts. Samples of hosts that have none are left out. This takes
    /// long, so it is not for a thread that has other work.
    pub fn name(&self, schedule: &Schedule, samples: Vec<WaitingSample>) -> Vec<NamedSample> {
        let plan = schedule.plan();
        let look_up = |waiting: WaitingSample| {
            let config = schedule.look_up_of(&plan, &waiting.host).ok()?;
            Some((config, waiting))
        };
        let mut samples: Vec<(Bytes, WaitingSample)> = samples.into_iter().filter_map(look_up).collect();
        // Those of one config together, so that each is read once, however many there are.
        samples.sort_by_key(|(config, _)| config.as_ptr());
        let name = |(config, waiting)| NamedSample::of(waiting, &self.names(&config));
        samples.into_iter().map(name).collect()
    }

    /// The query in the config of a host that its agent calls so. This takes long, too.
    pub fn find(&self, schedule: &Schedule, host: &Host, full_name: &str) -> Option<QueryName> {
        let config = schedule.look_up_of(&schedule.plan(), host).ok()?;
        let names = self.names(&config);
        ["", "_", "/"].iter().find_map(|delimiter| names.find(full_name, None, delimiter)).map(QueryName::of)
    }

    fn names(&self, config: &Bytes) -> Arc<ServedNames> {
        let mut kept = lock(&self.0);
        let is_it = |(known, _): &(Bytes, _)| known.as_ptr() == config.as_ptr() && known.len() == config.len();
        let found = kept.iter().position(is_it).and_then(|at| kept.remove(at));
        let (config, names) = found.unwrap_or_else(|| (config.clone(), Arc::new(ServedNames::of(config))));
        kept.truncate(KEPT - 1);
        kept.push_front((config, Arc::clone(&names)));
        names
    }
}

impl NamedSample {
    fn of(waiting: WaitingSample, names: &ServedNames) -> Self {
        let (mut queries, mut unknown) = (Vec::new(), 0);
        let Sample { delimiter, queries: sampled, .. } = &*waiting.sample;
        for query in sampled {
            match names.find(&query.full_name, query.sql_hash, delimiter) {
                Some(served) => queries.push(NamedQuery {
                    served: served.clone(),
                    sql_hash: query.sql_hash.unwrap_or(served.sql_hash),
                    interval: query.interval,
                    counters: query.counters,
                }),
                None => unknown += 1,
            }
        }
        Self { waiting, queries, unknown }
    }

    /// Versions that the host runs and that are not known, each with whether it is served now. Only such SQL makes a new
    /// one: what agents say does not fill the database.
    pub fn unknown_versions(&self, known: &KnownVersions) -> Vec<(VersionName, bool)> {
        let all = self.queries.iter().map(|query| {
            let is_served = query.sql_hash == query.served.sql_hash;
            ((QueryName::of(&query.served), query.sql_hash), is_served)
        });
        all.filter(|((name, sql_hash), _)| known.find(name, *sql_hash).is_none()).collect()
    }

    /// The sample by versions of queries. Those with SQL that was never served are left out and counted.
    pub fn resolve(&mut self, known: &KnownVersions) -> ResolvedSample {
        let Sample { worker, unix_time, uptime_secs, version, .. } = *self.waiting.sample;
        let received = u64::try_from(self.waiting.received.seconds()).unwrap_or(0);
        let mut queries = Vec::with_capacity(self.queries.len());
        for NamedQuery { served, sql_hash, interval, counters } in &self.queries {
            let version_id = known.find(&QueryName::of(served), *sql_hash);
            let Some((version_id, key)) = version_id.and_then(|id| Some((id, known.key(id)?))) else {
                self.unknown += 1;
                continue;
            };
            queries.push(ResolvedQuery {
                version_id,
                name_id: key.name_id,
                added_at: u64::try_from(key.added_at.seconds()).unwrap_or(0),
                interval: served.interval,
                said_interval: *interval,
                counters: *counters,
            });
        }
        ResolvedSample { worker, unix_time, uptime_secs, version, received, queries }
    }
}

impl QueryName {
    fn of(served: &ServedQuery) -> Self {
        Self { pack: served.pack.clone(), name: served.name.clone() }
    }
}
