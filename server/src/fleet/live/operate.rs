//! The operators' side: starting, watching and ending live queries.

use std::sync::Arc;

use muster_api::rest::{LiveHost, LiveQuery, LiveStatus, NewLiveQuery, TargetState};
use serde_json::json;
use tokio::sync::watch;

use super::job::status_name;
use super::{Job, Live, States, targets};
use crate::bus::Piece;
use crate::fleet::access::{Permission, Principal};
use crate::fleet::{Error, Result, sql};
use crate::store::{self, activities, entity::live_queries};

/// Live queries a list shows.
const LISTED: u64 = 100;

/// What is asked: SQL of the operator's own, or a saved query.
#[derive(Debug)]
struct Question {
    sql: String,
    query_name: String,
}

impl Live {
    /// Starts a job. Its targets are fixed now: hosts that enroll later are not asked.
    ///
    /// # Errors
    /// [`Error::Invalid`] for SQL that cannot be parsed and targets nobody knows; [`Error::Forbidden`] to observers,
    /// except for saved queries they may run; [`Error::Unavailable`] when too many are open.
    pub async fn start(&self, principal: &Principal, request: &NewLiveQuery) -> Result<LiveQuery> {
        let question = self.question(principal, request).await?;
        let plan = self.schedule.plan();
        let deadline = match request.deadline_seconds.map(std::time::Duration::from_secs) {
            Some(deadline) if deadline.is_zero() || deadline > self.config.max_deadline => {
                let reason = format!("expects 1 to {} seconds (live.max_deadline)", self.config.max_deadline.as_secs());
                return Err(Error::invalid("deadline_seconds", reason));
            }
            Some(deadline) => deadline,
            None => self.config.deadline,
        };
        if self.open_jobs().len() >= self.config.max_open {
            self.metrics.limit_hit("live_max_open");
            return Err(Error::Unavailable(format!(
                "{} live queries are open (live.max_open); cancel some first",
                self.config.max_open
            )));
        }
        let hosts = targets::resolve(self.store.reader(), &plan, request).await?;
        let now = self.clock.now();
        let states = States::pending(hosts.iter().copied());
        let row = live_queries::Model {
            id: 0,
            query: question.sql,
            query_name: question.query_name,
            author_id: Some(principal.user.id),
            author_email: principal.user.email.clone(),
            created_at: now,
            deadline: now.plus(deadline),
            finished_at: None,
            status: status_name(LiveStatus::Open).to_owned(),
            stop_reason: String::new(),
            states: states.to_bytes(),
        };
        let details = json!({ "targets_count": hosts.len(), "query_sql": row.query, "query_name": row.query_name });
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
        self.bus.open(id).await?;
        let job = Arc::new(Job::new(live_queries::Model { id, ..row }, states));
        self.jobs.pin().insert(id, Arc::clone(&job));
        for host in hosts.iter().filter_map(|id| self.hosts.index.get(*id)).filter(|host| host.turns.is_attached()) {
            host.turns.add(id);
        }
        Ok(self.show(&job))
    }

    async fn question(&self, principal: &Principal, request: &NewLiveQuery) -> Result<Question> {
        match (&request.query, &request.query_name) {
            (Some(_), Some(_)) => Err(Error::invalid("query", "query and query_name must not be given together")),
            (Some(text), None) => {
                principal.may(Permission::RunLiveQueries)?;
                sql::check(text).map_err(|reason| Error::invalid("query", reason))?;
                Ok(Question { sql: text.clone(), query_name: String::new() })
            }
            (None, Some(name)) => {
                let saved = store::queries::all(self.store.reader()).await?;
                let saved = saved.into_iter().find(|query| query.name == *name);
                let saved = saved.ok_or_else(|| Error::invalid("query_name", format!("there is no query {name:?}")))?;
                let needed = if saved.observer_can_run { Permission::ReadQueries } else { Permission::RunLiveQueries };
                principal.may(needed)?;
                Ok(Question { sql: saved.query, query_name: saved.name })
            }
            (None, None) => Err(Error::invalid("query", "cannot be empty; give query or query_name")),
        }
    }

    /// The latest jobs, newest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list(&self, principal: &Principal, open_only: bool) -> Result<Vec<LiveQuery>> {
        principal.may(Permission::ReadQueries)?;
        let mut shown = Vec::new();
        for row in store::live_queries::latest(self.store.reader(), LISTED).await? {
            if open_only && row.status != status_name(LiveStatus::Open) {
                continue;
            }
            let job = match self.jobs.pin().get(&row.id).cloned() {
                Some(job) => job,
                None => self.restore(row).await?,
            };
            if may_see(principal, &job) && (!open_only || job.is_open()) {
                shown.push(self.show(&job));
            }
        }
        Ok(shown)
    }

    /// A job the caller started, or any to maintainers.
    ///
    /// # Errors
    /// [`Error::NotFound`] also when it is not the caller's to see.
    pub async fn job(&self, principal: &Principal, id: i64) -> Result<Arc<Job>> {
        let job = self.find(id).await?;
        if may_see(principal, &job) {
            Ok(job)
        } else {
            Err(Error::NotFound { kind: "Live query", key: format!("with id={id}") })
        }
    }

    /// # Errors
    /// As for [`Live::job`].
    pub async fn get(&self, principal: &Principal, id: i64) -> Result<LiveQuery> {
        Ok(self.show(&*self.job(principal, id).await?))
    }

    /// Ends a job; whoever has not answered is counted as cancelled. Doing it twice does no harm.
    ///
    /// # Errors
    /// As for [`Live::job`].
    pub async fn cancel(&self, principal: &Principal, id: i64) -> Result<LiveQuery> {
        let job = self.job(principal, id).await?;
        let reason = format!("cancelled by {}", principal.user.email);
        job.end(LiveStatus::Cancelled, reason, TargetState::Cancelled, self.clock.now());
        self.write_checkpoint(&job).await?;
        Ok(self.show(&job))
    }

    /// The targets in a state.
    ///
    /// # Errors
    /// As for [`Live::job`].
    pub async fn hosts_in(&self, principal: &Principal, id: i64, state: TargetState) -> Result<Vec<LiveHost>> {
        let job = self.job(principal, id).await?;
        let ids = job.hosts(state);
        let names = store::hosts::hostnames(self.store.reader(), &ids).await?;
        Ok(ids
            .into_iter()
            .map(|id| LiveHost { id, hostname: names.get(&id).cloned().unwrap_or_default(), state })
            .collect())
    }

    /// Answers behind a cursor; [`super::answers::show`] turns a line into what is sent.
    ///
    /// # Errors
    /// As for [`Live::job`], and when the answers cannot be read.
    pub async fn read(&self, principal: &Principal, id: i64, cursor: u64, max_bytes: usize) -> Result<Piece> {
        self.job(principal, id).await?;
        Ok(self.bus.read(id, cursor, max_bytes).await?)
    }

    /// Follows the end of a job's answers.
    pub fn watch(&self, id: i64) -> Option<watch::Receiver<u64>> {
        self.bus.watch(id)
    }

    /// A job as operators see it.
    pub fn show(&self, job: &Job) -> LiveQuery {
        let (status, stop_reason) = job.status();
        LiveQuery {
            id: job.id,
            query: job.sql.clone(),
            query_name: (!job.query_name.is_empty()).then(|| job.query_name.clone()),
            created_at: job.created_at.to_utc(),
            deadline: job.deadline.to_utc(),
            author_id: job.author_id,
            author_email: job.author_email.clone(),
            status,
            stop_reason: (!stop_reason.is_empty()).then_some(stop_reason),
            counts: job.counts(),
            online: self.hosts.online(&job.targets()),
            online_waiting: self.hosts.online(&job.waiting()),
            cost: job.cost(),
        }
    }
}

fn may_see(principal: &Principal, job: &Job) -> bool {
    job.author_id == Some(principal.user.id) || principal.may(Permission::RunLiveQueries).is_ok()
}
