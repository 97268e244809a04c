//! What comes round: deadlines, checkpoints, and forgetting what has been kept long enough.

use muster_api::rest::{LiveStatus, TargetState};
use sea_orm::{Set, Unchanged};

use super::job::status_name;
use super::{Job, Live};
use crate::fleet::Result;
use crate::store::{self, entity::live_queries};

impl Live {
    /// Ends jobs whose deadline has passed and campaigns nobody watches, and writes how far all of them are.
    ///
    /// # Errors
    /// When the database does not answer; the next call writes it.
    pub async fn sweep(&self) -> Result<()> {
        let now = self.clock.now();
        let watched = self.end_unwatched(now).await.and(self.prolong_watched(now).await);
        let jobs: Vec<_> = self.jobs.pin().values().cloned().collect();
        for job in &jobs {
            if job.is_open() && job.deadline <= now {
                job.end(LiveStatus::Expired, String::new(), TargetState::Expired, now);
            }
        }
        let mut outcome = watched;
        for job in &jobs {
            // One that cannot be written keeps none of the others from it.
            outcome = outcome.and(self.write_checkpoint(job).await);
        }
        outcome
    }

    /// Removes jobs that ended longer ago than `live.retention`, with their answers.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn forget_old(&self) -> Result<()> {
        let before = self.clock.now().minus(self.config.retention);
        for id in store::live_queries::finished_before(self.store.reader(), before).await? {
            self.bus.remove(id).await?;
            self.jobs.pin().remove(&id);
            self.store.write(async |tx| store::live_queries::delete(tx, id).await).await?;
        }
        Ok(())
    }

    /// A host was deleted: nobody waits for it any more.
    pub fn forget_host(&self, host_id: i64) {
        let now = self.clock.now();
        for job in self.open_jobs() {
            job.gone(host_id, now);
        }
    }

    pub(super) async fn write_checkpoint(&self, job: &Job) -> Result<()> {
        // One writer at a time, so that an older checkpoint never lands on top of a newer one.
        let _turn = self.checkpointing.lock().await;
        let Some(checkpoint) = job.checkpoint() else { return Ok(()) };
        self.store
            .write(async |tx| {
                let row = live_queries::ActiveModel {
                    id: Unchanged(job.id),
                    status: Set(status_name(checkpoint.status).to_owned()),
                    stop_reason: Set(checkpoint.stop_reason.clone()),
                    finished_at: Set(checkpoint.finished_at),
                    states: Set(checkpoint.states.clone()),
                    ..Default::default()
                };
                store::live_queries::update(tx, row).await
            })
            .await?;
        job.was_written(&checkpoint);
        Ok(())
    }
}
