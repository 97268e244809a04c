//! How fast hosts are given a live query, and whether any are.
//!
//! The row has the pace, and how often it was set. What counts at a claim is the copy on the bus, which all nodes share: so
//! the rate is that of the cluster, and once a pause has returned no node gives the query to one more host. A pace on the bus
//! gives way only to one that was set later, so that whoever finds it behind the row may set it: the node that changes it,
//! the one that makes the job anew, and every node that compares the rows.
//!
//! A host that is held back by the rate asks the bus at most once in the time that the bus gave its node. A paused job has
//! no pending targets for check-ins, and is announced to its hosts when it goes on.
//!
//! While canaries are waited for, hosts are held back as by a pause (`canaries.rs`): the row says until when, and nodes of the
//! version before take it for a pause.
//!
//! A node of a version that knows no pace gives the query to every host that checks in with it, paused or not. It skips the event, and
//! writes no column of the pace.

use std::sync::Arc;

use muster_api::rest::{LiveQuery, LiveStatus};
use serde_json::json;

use super::progress::PaceColumns;
use super::{Job, Live};
use crate::bus::{BusError, LivePace};
use crate::config::MAX_LIVE_RATE;
use crate::fleet::access::{Permission, Principal};
use crate::fleet::{Error, Result};
use crate::store::live_queries::{OpenRow, PaceStep};
use crate::store::{self, activities};

/// A change of the pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaceChange {
    Pause,
    Resume,
    /// Hosts a second; 0 is no limit.
    Rate(u32),
    /// Hosts that wait for the canaries wait no longer.
    Promote,
}

impl PaceChange {
    fn activity(self) -> &'static str {
        match self {
            Self::Pause => "paused_live_query",
            Self::Resume => "resumed_live_query",
            Self::Rate(_) => "changed_live_query_rate",
            Self::Promote => "promoted_live_query",
        }
    }
}

impl Live {
    /// The rate of a new job: the one that was asked for, or the default.
    pub(super) fn rate(&self, asked: Option<u32>) -> Result<u32> {
        checked(asked.unwrap_or(self.config.rate))
    }

    /// Pauses or resumes a job, changes its rate, or lets the others follow its canaries. Doing it twice does no harm.
    ///
    /// # Errors
    /// As for [`Live::job`]; [`Error::Invalid`] for a job that is over; [`Error::Unavailable`] when the bus does not answer.
    pub async fn change_pace(
        self: &Arc<Self>,
        principal: &Principal,
        id: i64,
        change: PaceChange,
    ) -> Result<LiveQuery> {
        if change == PaceChange::Promote {
            principal.may(Permission::RunLiveQueries)?;
        }
        let job = self.job(principal, id).await?;
        if !job.is_open() {
            return Err(is_over(&job));
        }
        match change {
            PaceChange::Pause => {}
            PaceChange::Resume => principal.passes(Permission::RunLiveQueries)?,
            PaceChange::Rate(rate) => {
                checked(rate)?;
                principal.passes(Permission::RunLiveQueries)?;
            }
            PaceChange::Promote => {
                principal.passes(Permission::RunLiveQueries)?;
                // Nobody waits.
                if job.canaries.is_empty() {
                    return self.show(&job).await;
                }
            }
        }
        // Before anything is written. What fails later takes effect when the rows are compared.
        self.bus.ping().await?;
        let step = match change {
            PaceChange::Pause => PaceStep::Pause,
            PaceChange::Resume => PaceStep::Resume { canaries_until: self.canaries_until(job.deadline) },
            PaceChange::Rate(rate) => PaceStep::Rate(rate),
            PaceChange::Promote => PaceStep::LetOthersFollow,
        };
        let (now, actor) = (self.clock.now(), principal.actor());
        // why: the request may be given up between here and the end.
        let unfinished = self.unfinished();
        let row = self
            .store
            .write(async |tx| {
                let row = store::live_queries::set_pace(tx, id, step).await?;
                if let Some(row) = &row {
                    let LivePace { rate, is_paused, .. } = pace(row);
                    let details = json!({ "live_query_id": id, "rate": rate, "paused": is_paused });
                    activities::add(tx, now, &actor, change.activity(), &details).await?;
                }
                Ok(row)
            })
            .await?;
        let Some(row) = row else {
            unfinished.finish();
            self.fold(&job).await?;
            // The others were let follow before.
            return if job.is_open() { self.show(&job).await } else { Err(is_over(&job)) };
        };
        if change == PaceChange::Promote {
            self.metrics.canary_verdict("promoted");
        }
        self.set_pace(&job, pace(&row)).await.map_err(|error| match error {
            Error::Unavailable(reason) => {
                Error::Unavailable(format!("noted, and takes effect within seconds: {reason}"))
            }
            other => other,
        })?;
        unfinished.finish();
        self.show(&job).await
    }

    /// Sets the pace of a job on the bus, and brings the view up to date.
    pub(super) async fn set_pace(self: &Arc<Self>, job: &Arc<Job>, pace: LivePace) -> Result<()> {
        if let Err(error) = self.bus.pace(job.key, pace).await {
            let BusError::Lost(_) = error else { return Err(error.into()) };
            self.fold(job).await?;
            self.bus.pace(job.key, pace).await?;
        }
        Ok(self.fold(job).await?)
    }

    /// Sets the pace of this view on the bus, unless that has one that was set later. To be called whenever a job was opened.
    pub(super) async fn tell_pace(&self, job: &Job) -> std::result::Result<(), BusError> {
        let pace = job.pace();
        if pace.changes > 0 && job.is_open() {
            self.bus.pace(job.key, pace).await?;
        }
        Ok(())
    }

    /// Sets the pace on the bus as the row has it, if this view is behind that. The next fold brings it here.
    pub(super) async fn compare_pace(&self, job: &Job, row: &OpenRow) {
        let pace = pace(row);
        if pace.changes > job.pace().changes
            && job.is_open()
            && let Err(error) = self.bus.pace(job.key, pace).await
        {
            tracing::debug!(%error, live_query = job.id, "pace of a live query not set; will retry at the next poll");
        }
    }
}

pub(super) fn pace(row: &OpenRow) -> LivePace {
    PaceColumns::from(row).pace()
}

fn checked(rate: u32) -> Result<u32> {
    if rate <= MAX_LIVE_RATE {
        return Ok(rate);
    }
    Err(Error::invalid("rate", format!("expects 1 to {MAX_LIVE_RATE} hosts a second, or 0 for no limit")))
}

fn is_over(job: &Job) -> Error {
    let how = match job.status().0 {
        LiveStatus::Complete => "complete",
        LiveStatus::Cancelled => "cancelled",
        LiveStatus::Stopped => "stopped",
        LiveStatus::Expired => "expired",
        LiveStatus::Open => "over",
    };
    Error::invalid("id", format!("live query {} is {how}; only an open one can be changed", job.id))
}
