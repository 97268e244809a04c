//! What one host says of its queries, and what agents have stopped.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use muster_api::rest::{
    Denylist, Denylisted, HostQueryCost, HostStatistics, Impact, PackStats, ScheduledQueryStats, StalledHost,
    StalledHosts, Suspect, WorkerRestart, WorkerRestarts,
};

use super::Statistics;
use super::batch::read_last;
use super::known::{KnownQuery, KnownSchedule};
use super::restarts::suspects_of;
use super::sample::Counters;
use super::versions::QueryName;
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::access::{Permission, Principal};
use crate::fleet::packs::GLOBAL;
use crate::store::entity::{denylisted_queries, worker_restarts};
use crate::store::packs::ScheduledDetail;
use crate::store::statistics::events::{self, DenylistFilter};
use crate::store::statistics::samples;

/// Most hosts in the list of those whose schedule stands still.
const MAX_STALLED: u64 = 1_000;

/// Intervals without a sample after which a host is not in it any more.
const SILENT: u32 = 3;

/// Most events that are told of one host.
const MAX_OF_HOST: u64 = 100;

/// When a query was last run that never ran, as Fleet's clients expect it: in the year 2000.
const NEVER_RAN: i64 = 946_684_800;

impl Statistics {
    /// What a host's agent has counted of the scheduled queries of packs.
    pub(in crate::fleet) async fn pack_stats(
        &self,
        host_id: i64,
        scheduled: Vec<ScheduledDetail>,
    ) -> Result<Vec<PackStats>> {
        let known = self.known(host_id).await?;
        let mut packs: Vec<PackStats> = Vec::new();
        for detail in scheduled {
            let name = QueryName { pack: detail.pack.clone(), name: detail.scheduled.name.clone() };
            let counters = known.get(&name).copied().unwrap_or_default();
            let pack_id = detail.scheduled.pack_id;
            if packs.last().is_none_or(|pack| pack.pack_id != pack_id) {
                let kind = if detail.pack == GLOBAL { "global" } else { "pack" };
                let (pack_name, kind) = (detail.pack.clone(), kind.to_owned());
                packs.push(PackStats { pack_id, pack_name, kind, query_stats: Vec::new() });
            }
            if let Some(pack) = packs.last_mut() {
                pack.query_stats.push(scheduled_stats(detail, &counters));
            }
        }
        Ok(packs)
    }

    /// The counters of a host's last sample, by query.
    async fn known(&self, host_id: i64) -> Result<HashMap<QueryName, Counters>> {
        let Some(row) = samples::of_host(self.store.reader(), host_id).await? else { return Ok(HashMap::new()) };
        let known = read_last(&row).map(|last| last.known).unwrap_or_default();
        Ok(self.named(known).await?.into_iter().map(|(name, query)| (name, query.counters)).collect())
    }

    async fn named(&self, known: KnownSchedule) -> Result<Vec<(QueryName, KnownQuery)>> {
        self.versions.read(self.store.reader(), known.queries.iter().map(|query| query.version_id)).await?;
        let versions = self.versions.known();
        let named = known.queries.into_iter().filter(|query| query.gone == 0);
        Ok(named.filter_map(|query| Some((QueryName::clone(versions.name(query.version_id)?), query))).collect())
    }

    /// The statistics of a host of this name.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn of_host(&self, principal: &Principal, host_id: i64, hostname: &str) -> Result<HostStatistics> {
        principal.may(Permission::ReadPacks)?;
        let names = HashMap::from([(host_id, hostname.to_owned())]);
        let row = samples::of_host(self.store.reader(), host_id).await?;
        let known = row.as_ref().and_then(read_last).map(|last| last.known).unwrap_or_default();
        let mut queries: Vec<HostQueryCost> =
            self.named(known).await?.into_iter().map(|(name, query)| host_cost(name, &query.counters)).collect();
        queries.sort_by(|a, b| b.cpu_seconds.total_cmp(&a.cpu_seconds));
        let filter = DenylistFilter { host_id: Some(host_id), with_released: true, ..DenylistFilter::default() };
        let denylist = events::denylist_page(self.store.reader(), &filter, 0, MAX_OF_HOST).await?;
        let restarts = events::restarts_page(self.store.reader(), Some(host_id), 0, MAX_OF_HOST).await?;
        Ok(HostStatistics {
            host_id,
            sampled_at: row.as_ref().map(|row| row.received_at.to_utc()),
            stalled_since: row.and_then(|row| row.stalled_since).map(Moment::to_utc),
            queries,
            denylist: show_denylist(denylist, &names),
            restarts: show_restarts(restarts, &names),
        })
    }

    /// Denylisted queries of all hosts, or those of a filter, the latest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn denylist(
        &self,
        principal: &Principal,
        filter: &DenylistFilter,
        offset: u64,
        limit: u64,
    ) -> Result<Denylist> {
        principal.may(Permission::ReadPacks)?;
        let rows = events::denylist_page(self.store.reader(), filter, offset, limit).await?;
        let names = self.hostnames(rows.iter().map(|row| row.host_id)).await?;
        Ok(Denylist { denylist: show_denylist(rows, &names) })
    }

    /// Workers that were replaced, the latest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn restarts(&self, principal: &Principal, offset: u64, limit: u64) -> Result<WorkerRestarts> {
        principal.may(Permission::ReadPacks)?;
        let rows = events::restarts_page(self.store.reader(), None, offset, limit).await?;
        let names = self.hostnames(rows.iter().map(|row| row.host_id)).await?;
        Ok(WorkerRestarts { restarts: show_restarts(rows, &names) })
    }

    /// Workers that were replaced since a moment, the latest first, so many at most. Upgrades of agents are left out.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lately_restarted(
        &self,
        principal: &Principal,
        since: Moment,
        limit: u64,
    ) -> Result<Vec<WorkerRestart>> {
        principal.may(Permission::ReadPacks)?;
        let rows = events::lately_restarted(self.store.reader(), since, limit).await?;
        let names = self.hostnames(rows.iter().map(|row| row.host_id)).await?;
        Ok(show_restarts(rows, &names))
    }

    /// The moment since which the schedule of a host stands still; `None` if it runs.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn stalled_since(&self, principal: &Principal, host_id: i64) -> Result<Option<DateTime<Utc>>> {
        principal.may(Permission::ReadHosts)?;
        let row = samples::of_host(self.store.reader(), host_id).await?;
        Ok(row.and_then(|row| row.stalled_since).map(Moment::to_utc))
    }

    /// Whether hosts have reported a query, or have denylisted it once.
    pub(in crate::fleet) async fn has_met(&self, pack: &str, name: &str) -> Result<bool> {
        let (db, query) = (self.store.reader(), QueryName { pack: pack.to_owned(), name: name.to_owned() });
        if !self.versions.of_name(db, &query, 1).await?.is_empty() {
            return Ok(true);
        }
        let query = Some((query.pack, query.name));
        let filter = DenylistFilter { query, with_released: true, ..DenylistFilter::default() };
        Ok(!events::denylist_page(db, &filter, 0, 1).await?.is_empty())
    }

    /// Hosts whose schedule stands still.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn stalled(&self, principal: &Principal) -> Result<StalledHosts> {
        principal.may(Permission::ReadHosts)?;
        // One that has gone offline has nothing to run. While no host is asked, nobody knows which have.
        let interval = self.config.interval;
        let oldest = if interval.is_zero() { Moment::NEVER } else { self.clock.now().minus(interval * SILENT) };
        let stalled = samples::stalled(self.store.reader(), oldest, MAX_STALLED).await?;
        let names = self.hostnames(stalled.iter().map(|(id, _)| *id)).await?;
        // A host that is deleted meanwhile has no name.
        let show = |(host_id, since): (i64, Moment)| {
            let hostname = names.get(&host_id)?.clone();
            Some(StalledHost { host_id, hostname, since: since.to_utc() })
        };
        Ok(StalledHosts { hosts: stalled.into_iter().filter_map(show).collect() })
    }
}

fn show_denylist(rows: Vec<denylisted_queries::Model>, names: &HashMap<i64, String>) -> Vec<Denylisted> {
    let show = |row: denylisted_queries::Model| Denylisted {
        host_id: row.host_id,
        hostname: names.get(&row.host_id).cloned().unwrap_or_default(),
        pack: row.pack,
        name: row.name,
        since: row.since.to_utc(),
        until: row.until.map(Moment::to_utc),
    };
    rows.into_iter().map(show).collect()
}

fn show_restarts(rows: Vec<worker_restarts::Model>, names: &HashMap<i64, String>) -> Vec<WorkerRestart> {
    let show = |row: worker_restarts::Model| {
        let suspects = suspects_of(&row);
        WorkerRestart {
            host_id: row.host_id,
            hostname: names.get(&row.host_id).cloned().unwrap_or_default(),
            seen_at: row.seen_at.to_utc(),
            started_at: (row.started_at > 0).then(|| Moment::NEVER.plus_seconds(row.started_at).to_utc()),
            is_upgrade: row.is_upgrade,
            is_reported: row.is_reported,
            suspects: suspects.into_iter().map(|[pack, name]| Suspect { pack, name }).collect(),
        }
    };
    rows.into_iter().map(show).collect()
}

/// The impact of a query on one host.
fn impact(counters: &Counters) -> Impact {
    if counters.is_denylisted { Impact::Denylisted } else { Impact::of(of_run(counters, cpu_ms(counters))) }
}

fn cpu_ms(counters: &Counters) -> u64 {
    counters.user_ms.saturating_add(counters.system_ms)
}

/// The part of a run in what all runs took.
#[expect(clippy::cast_precision_loss, reason = "below 2^52")]
fn of_run(counters: &Counters, all: u64) -> Option<f64> {
    (counters.executions > 0).then(|| all as f64 / counters.executions as f64)
}

fn scheduled_stats(detail: ScheduledDetail, counters: &Counters) -> ScheduledQueryStats {
    let last_executed = match counters.last_executed {
        0 => NEVER_RAN,
        seconds => seconds.cast_signed(),
    };
    ScheduledQueryStats {
        scheduled_query_name: detail.scheduled.name,
        scheduled_query_id: detail.scheduled.id,
        query_name: detail.query,
        description: detail.scheduled.description,
        pack_name: detail.pack,
        pack_id: detail.scheduled.pack_id,
        average_memory: counters.average_memory,
        denylisted: counters.is_denylisted,
        executions: counters.executions,
        interval: u32::try_from(detail.scheduled.interval_secs).unwrap_or(0),
        last_executed: Moment::NEVER.plus_seconds(last_executed).to_utc(),
        output_size: counters.output_bytes,
        system_time: counters.system_ms,
        user_time: counters.user_ms,
        wall_time: counters.wall_ms / 1000,
        impact: impact(counters),
    }
}

#[expect(clippy::cast_precision_loss, reason = "below 2^52")]
fn host_cost(name: QueryName, counters: &Counters) -> HostQueryCost {
    let last_executed = Moment::NEVER.plus_seconds(counters.last_executed.cast_signed()).to_utc();
    HostQueryCost {
        pack: name.pack,
        name: name.name,
        impact: impact(counters),
        executions: counters.executions,
        last_executed: (counters.last_executed > 0).then_some(last_executed),
        cpu_time: of_run(counters, cpu_ms(counters)),
        wall_time: of_run(counters, counters.wall_ms),
        cpu_seconds: cpu_ms(counters) as f64 / 1000.0,
    }
}
