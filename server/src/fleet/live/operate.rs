//! The operators' side: starting, watching and ending live queries.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use muster_api::rest::{LiveGroup, LiveHost, LiveQuery, LiveStatus, NewLiveQuery, TargetState};
use muster_sql::SqlKind;
use roaring::RoaringTreemap;
use serde_json::json;
use uuid::Uuid;

use super::canaries::{AskedCare, Care};
use super::jobs::{from_row, not_found};
use super::notes::JobEnding;
use super::states::States;
use super::{ALL_HOSTS, Job, Live};
use crate::bus::ChangeEvent;
use crate::clock::Moment;
use crate::fleet::access::{Permission, Principal};
use crate::fleet::guard::{GuardSaid, GuardedSql, views_of};
use crate::fleet::hosts::TargetGroups;
use crate::fleet::{Error, Problem, Result, sql};
use crate::store::{self, activities, entity, entity::live_queries};

/// How many polls look for a row whose insert was given up.
const LOOKS: u32 = 3;

/// Most live queries of a list.
const LISTED: u64 = 100;

/// The query of an operator: SQL of their own, or a saved query by name or id.
#[derive(Debug, Clone, Copy)]
pub enum Ask<'a> {
    Sql(&'a str),
    Named(&'a str),
    Numbered(i64),
}

impl fmt::Display for Ask<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sql(text) | Self::Named(text) => write!(f, "{text:?}"),
            Self::Numbered(id) => write!(f, "with id {id}"),
        }
    }
}

/// A query that was checked, with the permission of the operator.
#[derive(Debug)]
pub(super) struct SavedOrOwnQuery {
    sql: String,
    /// Where the request names it.
    path: &'static str,
    query_name: String,
    discovery: Option<String>,
}

/// The options of a job that is begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct BeginOptions {
    pub deadline: Duration,
    /// Most hosts a second that are given the query; 0 is no limit.
    pub rate: u32,
    /// Campaigns only.
    pub watched_until: Option<Moment>,
    pub care: Care,
}

/// A row that is being written and has not taken effect yet. Dropped before it has, it has the next polls look at the open
/// rows: more than one, because the database may commit it after it was given up.
pub(super) struct UnfinishedRow<'a>(&'a AtomicU32);

impl UnfinishedRow<'_> {
    pub fn finish(self) {
        std::mem::forget(self);
    }
}

impl Drop for UnfinishedRow<'_> {
    fn drop(&mut self) {
        self.0.store(LOOKS, Ordering::Relaxed);
    }
}

impl Live {
    /// Starts a job. Its targets are fixed now: hosts that enroll later are not asked.
    ///
    /// # Errors
    /// [`Error::Invalid`] for SQL that cannot be parsed and targets nobody knows; [`Error::Forbidden`] to observers,
    /// except for saved queries they may run; [`Error::Unavailable`] when too many are open.
    pub async fn start(self: &Arc<Self>, principal: &Principal, request: &NewLiveQuery) -> Result<LiveQuery> {
        Ok(self.start_in_groups(principal, request).await?.0)
    }

    /// As [`Live::start`]; tells also which hosts of which platform and version are asked, of a request for some of each.
    ///
    /// # Errors
    /// As there.
    pub async fn start_in_groups(
        self: &Arc<Self>,
        principal: &Principal,
        request: &NewLiveQuery,
    ) -> Result<(LiveQuery, Vec<LiveGroup>)> {
        let ask = match (&request.query, &request.query_name) {
            (Some(_), Some(_)) => {
                return Err(Error::invalid("query", "query and query_name must not be given together"));
            }
            (Some(sql), None) => Ask::Sql(sql),
            (None, Some(name)) => Ask::Named(name),
            (None, None) => return Err(Error::invalid("query", "cannot be empty; give query or query_name")),
        };
        let mut question = self.question(principal, ask).await?;
        if let Some(text) = &request.discovery {
            // It is SQL of their own, also beside a saved query.
            principal.may(Permission::RunLiveQueries)?;
            sql::check(text).map_err(|reason| Error::invalid("discovery", reason))?;
            question.discovery = Some(text.clone());
        }
        let deadline = match request.deadline_seconds.map(Duration::from_secs) {
            Some(deadline) if deadline.is_zero() || deadline > self.config.max_deadline => {
                let reason = format!("expects 1 to {} seconds (live.max_deadline)", self.config.max_deadline.as_secs());
                return Err(Error::invalid("deadline_seconds", reason));
            }
            Some(deadline) => deadline,
            None => self.config.deadline,
        };
        let rate = self.rate(request.rate)?;
        let NewLiveQuery { canaries, host_cpu_ms, fleet_cpu_ms, .. } = *request;
        let care = self.care(principal, AskedCare { canaries, host_cpu_ms, fleet_cpu_ms })?;
        self.check_room()?;
        let (hosts, groups) = self.resolve(request).await?;
        let job =
            self.begin(principal, question, &hosts, BeginOptions { deadline, rate, watched_until: None, care }).await?;
        Ok((self.show(&job).await?, groups))
    }

    /// The longest deadline of a live query.
    pub fn max_deadline(&self) -> Duration {
        self.config.max_deadline
    }

    pub(super) fn unfinished(&self) -> UnfinishedRow<'_> {
        UnfinishedRow(&self.unheld)
    }

    /// Whether one more job may be open.
    pub(super) fn check_room(&self) -> Result<()> {
        if self.open_jobs().len() < self.config.max_open {
            return Ok(());
        }
        self.metrics.limit_hit("live_max_open");
        Err(Error::Unavailable(format!(
            "{} live queries are open (live.max_open); cancel some first",
            self.config.max_open
        )))
    }

    /// Makes a job of a checked query, and announces it to its hosts.
    pub(super) async fn begin(
        self: &Arc<Self>,
        principal: &Principal,
        question: SavedOrOwnQuery,
        hosts: &RoaringTreemap,
        BeginOptions { deadline, rate, watched_until, care }: BeginOptions,
    ) -> Result<Arc<Job>> {
        let GuardSaid { warnings, limits } = self.judge(principal, &question, hosts).await?;
        // Before anything is written, so that nothing has to be taken back.
        if let Err(error) = self.bus.ping().await {
            return Err(Error::Unavailable(format!(
                "live queries need Redis, which is away now; try again later: {error}"
            )));
        }
        let canaries = self.choose_canaries(care, hosts).await?;
        let now = self.clock.now();
        let canaries_until = (!canaries.is_empty()).then(|| self.canaries_until(now.plus(deadline)));
        let states = States::pending(hosts.iter().map(u64::cast_signed));
        let row = live_queries::Model {
            id: 0,
            query: question.sql,
            discovery: question.discovery,
            query_name: question.query_name,
            author_id: Some(principal.user.id),
            author_email: principal.user.email.clone(),
            created_at: now,
            deadline: now.plus(deadline),
            finished_at: None,
            watched_until,
            status: live_queries::LiveStatusWord::Open,
            stop_reason: String::new(),
            states: states.to_bytes(),
            results_bytes: 0,
            bus_key: Some(Uuid::now_v7().to_string()),
            rate: i64::from(rate),
            is_paused: canaries_until.is_some(),
            pace_changes: i64::from(rate > 0 || canaries_until.is_some()),
            canaries: stored_hosts(&canaries),
            canaries_until,
            is_paused_early: false,
            host_cpu_ms: i64::try_from(care.host_cpu_ms).unwrap_or(i64::MAX),
            fleet_cpu_ms: i64::try_from(care.fleet_cpu_ms).unwrap_or(i64::MAX),
            row_limit: stored_limit(limits.rows),
            byte_limit: stored_limit(limits.bytes),
            guard_warnings: stored_warnings(&warnings)?,
        };
        let mut details = json!({ "targets_count": hosts.len(), "query_sql": row.query, "query_name": row.query_name });
        if rate > 0 {
            details["rate"] = rate.into();
        }
        if !canaries.is_empty() {
            details["canaries"] = canaries.len().into();
        }
        if !warnings.is_empty() {
            details["guard_warnings"] = warnings.iter().map(|warning| warning.reason.as_str()).collect();
        }
        if let Some(discovery) = &row.discovery {
            details["discovery_sql"] = discovery.as_str().into();
        }
        // why: the request may be given up between here and the end; an open row that no node holds would ask nobody.
        let unfinished = self.unfinished();
        let id = self
            .store
            .write(async |tx| {
                let mut job: live_queries::ActiveModel = row.clone().into();
                job = sea_orm::ActiveModelTrait::reset_all(job);
                job.id = sea_orm::ActiveValue::NotSet;
                let id = store::live_queries::insert(tx, job).await?;
                activities::add(tx, now, &principal.actor(), "live_query", &details).await?;
                Ok(id)
            })
            .await?;
        let job = Arc::new(from_row(live_queries::Model { id, ..row })?);
        if let Err(error) = self.open_new(&job).await {
            self.store.write(async |tx| store::live_queries::delete(tx, id).await).await?;
            return Err(error);
        }
        // The poll may have found the row in the database meanwhile.
        let job = Arc::clone(self.jobs.pin().get_or_insert(id, job));
        unfinished.finish();
        self.list_open();
        if let Some(until) = watched_until {
            self.campaigns.took_up(id, until);
        }
        // A task, because its hosts are to be told also when this request is given up.
        let (live, announced) = (Arc::clone(self), Arc::clone(&job));
        let announcing = self.runtime.spawn(async move { live.announce(&announced).await });
        self.notifier.publish(ChangeEvent::Jobs);
        announcing.await.map_err(|error| Error::Unavailable(error.to_string()))?;
        self.room_is_needed();
        Ok(job)
    }

    /// What the table guard says of a query for these hosts.
    async fn judge(
        &self,
        principal: &Principal,
        question: &SavedOrOwnQuery,
        hosts: &RoaringTreemap,
    ) -> Result<GuardSaid> {
        let plan = self.schedule.plan();
        let mut labels = BTreeSet::new();
        for label in self.guard.labels() {
            let Some(id) = plan.label_id(&label) else {
                // A rule for hosts that nobody can tell from others is about all of them.
                labels.insert(label);
                continue;
            };
            let all = plan.label_name(id) == Some(ALL_HOSTS);
            let members = TargetGroups { all, label_lists: vec![vec![id]], ..TargetGroups::default() };
            if !self.hosts.members(members).await?.is_disjoint(hosts) {
                labels.insert(label);
            }
        }
        let asked =
            |kind, sql: &String, path: &str| GuardedSql::of(kind, sql.clone(), Some(labels.clone()), path.to_owned());
        let mut all = vec![asked(SqlKind::Live, &question.sql, question.path)];
        all.extend(question.discovery.as_ref().map(|sql| asked(SqlKind::Discovery, sql, "discovery")));
        let verdict = self.guard.judge(principal, views_of(&plan), all.clone(), false).await?;
        self.guard.ask_for_approval(principal, &verdict.requests).await?;
        let mut said = verdict.into_said()?;
        said.warnings.extend(self.guard.check_schema(views_of(&plan), all, Some(hosts)).await?);
        Ok(said)
    }

    /// Finds the query, and checks that this operator may ask it.
    pub(super) async fn question(&self, principal: &Principal, ask: Ask<'_>) -> Result<SavedOrOwnQuery> {
        principal.passes(Permission::RunLiveQueries)?;
        if let Ask::Sql(text) = ask {
            principal.may(Permission::RunLiveQueries)?;
            sql::check(text).map_err(|reason| Error::invalid("query", reason))?;
            return Ok(SavedOrOwnQuery {
                sql: text.to_owned(),
                path: "query",
                query_name: String::new(),
                discovery: None,
            });
        }
        // Checked before the lookup, so that a refusal does not reveal which queries exist.
        principal.may(Permission::ReadQueries)?;
        let db = self.store.reader();
        let (path, found) = match ask {
            Ask::Numbered(id) => ("query_id", store::named::by_id::<entity::queries::Entity>(db, id).await?),
            Ask::Named(name) | Ask::Sql(name) => {
                ("query_name", store::named::by_name::<entity::queries::Entity>(db, name).await?)
            }
        };
        let saved = found.ok_or_else(|| Error::invalid(path, format!("there is no query {ask}")))?;
        if !saved.observer_can_run {
            principal.may(Permission::RunLiveQueries)?;
        }
        Ok(SavedOrOwnQuery { sql: saved.query, path, query_name: saved.name, discovery: None })
    }

    /// The latest jobs, newest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list(self: &Arc<Self>, principal: &Principal, open_only: bool) -> Result<Vec<LiveQuery>> {
        if !open_only {
            return self.latest(principal, LISTED).await;
        }
        principal.may(Permission::ReadQueries)?;
        let mut shown = Vec::new();
        for row in store::live_queries::open(self.store.reader()).await? {
            let job = self.recall(row).await?;
            if may_see(principal, &job) && job.is_open() {
                shown.push(self.show(&job).await?);
            }
        }
        Ok(shown)
    }

    /// The latest jobs that the caller may see, so many at most, newest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn latest(self: &Arc<Self>, principal: &Principal, limit: u64) -> Result<Vec<LiveQuery>> {
        principal.may(Permission::ReadQueries)?;
        let author_id = principal.may(Permission::RunLiveQueries).is_err().then_some(principal.user.id);
        let mut shown = Vec::new();
        for row in store::live_queries::latest(self.store.reader(), author_id, limit).await? {
            shown.push(self.show(&*self.recall(row).await?).await?);
        }
        Ok(shown)
    }

    /// A job the caller started, or any to maintainers.
    ///
    /// # Errors
    /// [`Error::NotFound`] also when it is not the caller's to see.
    pub async fn job(self: &Arc<Self>, principal: &Principal, id: i64) -> Result<Arc<Job>> {
        let job = self.find(id).await?;
        if may_see(principal, &job) { Ok(job) } else { Err(not_found(id)) }
    }

    /// # Errors
    /// As for [`Live::job`].
    pub async fn get(self: &Arc<Self>, principal: &Principal, id: i64) -> Result<LiveQuery> {
        self.show(&*self.job(principal, id).await?).await
    }

    /// Ends a job; whoever has not answered is counted as cancelled. Doing it twice does no harm.
    ///
    /// # Errors
    /// As for [`Live::job`].
    pub async fn cancel(self: &Arc<Self>, principal: &Principal, id: i64) -> Result<LiveQuery> {
        let job = self.job(principal, id).await?;
        let reason = format!("cancelled by {}", principal.user.email);
        if job.is_open() {
            let (status, rest) = (LiveStatus::Cancelled, TargetState::Cancelled);
            self.close(&job, JobEnding { status, reason, rest, at: self.clock.now().0 }).await?;
        }
        self.show(&job).await
    }

    /// The targets in a state.
    ///
    /// # Errors
    /// As for [`Live::job`].
    pub async fn hosts_in(
        self: &Arc<Self>,
        principal: &Principal,
        id: i64,
        state: TargetState,
    ) -> Result<Vec<LiveHost>> {
        let job = self.job(principal, id).await?;
        self.named(job.hosts(state), state).await
    }

    /// As [`Live::hosts_in`], the first `limit` by id, and how many there are.
    ///
    /// # Errors
    /// As for [`Live::job`].
    pub async fn first_hosts_in(
        self: &Arc<Self>,
        principal: &Principal,
        id: i64,
        state: TargetState,
        limit: usize,
    ) -> Result<(Vec<LiveHost>, u64)> {
        let job = self.job(principal, id).await?;
        let (ids, all) = job.first_hosts(state, limit);
        Ok((self.named(ids, state).await?, all))
    }

    /// Targets with their names, which those that were deleted have no more.
    async fn named(&self, ids: Vec<i64>, state: TargetState) -> Result<Vec<LiveHost>> {
        let names = store::hosts::hostnames(self.store.reader(), &ids).await?;
        let show = |id| LiveHost { id, hostname: names.get(&id).cloned().unwrap_or_default(), state };
        Ok(ids.into_iter().map(show).collect())
    }

    /// A job as operators see it.
    pub(super) async fn show(&self, job: &Job) -> Result<LiveQuery> {
        let (status, stop_reason) = job.status();
        // After the start, of the hosts that are here by then: whoever ends a job is not refused because of a count.
        let online = self.hosts.online_here().await?;
        Ok(LiveQuery {
            id: job.id,
            query: job.sql.clone(),
            query_name: (!job.query_name.is_empty()).then(|| job.query_name.clone()),
            discovery: job.discovery.clone(),
            created_at: job.created_at.to_utc(),
            deadline: job.deadline.to_utc(),
            author_id: job.author_id,
            author_email: job.author_email.clone(),
            status,
            stop_reason: (!stop_reason.is_empty()).then_some(stop_reason),
            counts: job.counts(),
            rate: job.pace().rate,
            paused: job.is_paused(),
            canaries: job.canaries(),
            budget: job.budget(),
            given: job.given(),
            online: online.intersection_len(&job.targets()),
            online_waiting: online.intersection_len(&job.open_hosts()),
            cost: job.cost(),
            warnings: job.warnings.clone(),
        })
    }
}

/// Hosts as they are stored: a compressed bitmap.
fn stored_hosts(hosts: &RoaringTreemap) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    // Writing into memory does not fail.
    let _ = hosts.serialize_into(&mut bytes);
    (!hosts.is_empty()).then_some(bytes)
}

/// A limit as it is stored: 0 for none. A limit of 0 keeps nothing, as one of -1 does.
fn stored_limit(limit: Option<u64>) -> i64 {
    limit.map_or(0, |limit| if limit == 0 { -1 } else { i64::try_from(limit).unwrap_or(i64::MAX) })
}

fn stored_warnings(warnings: &[Problem]) -> Result<Option<String>> {
    if warnings.is_empty() {
        return Ok(None);
    }
    let texts: Vec<&str> = warnings.iter().map(|warning| warning.reason.as_str()).collect();
    serde_json::to_string(&texts).map(Some).map_err(|error| Error::Internal(Box::new(error)))
}

fn may_see(principal: &Principal, job: &Job) -> bool {
    let is_author = job.author_id == Some(principal.user.id) && principal.may(Permission::ReadQueries).is_ok();
    is_author || principal.may(Permission::RunLiveQueries).is_ok()
}
