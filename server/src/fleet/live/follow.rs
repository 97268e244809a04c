//! Reading a job's answers while they come, at the reader's own pace: the answers wait in the job's stream, never in
//! memory, so that a slow reader slows nobody.

use std::sync::Arc;

use roaring::RoaringTreemap;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::answers::READ_BYTES;
use super::jobs::not_found;
use super::{Job, Live};
use crate::bus::{BusError, Piece, ResultLine};
use crate::fleet::access::Principal;
use crate::fleet::{Error, Result};

/// Reads the answers of a job from a cursor on, each once, and waits for more.
#[derive(Debug)]
pub struct Follower {
    live: Arc<Live>,
    job: Arc<Job>,
    cursor: u64,
    /// How often the job had lost answers when this began to read, or began anew.
    losses: u64,
    /// Hosts whose answers were given.
    given: RoaringTreemap,
    /// Whether answers had been removed when this began to read.
    were_removed: bool,
    end: watch::Receiver<u64>,
    is_over: bool,
    _permit: OwnedSemaphorePermit,
}

impl Live {
    /// Follows a job from a cursor on; 0 is its beginning.
    ///
    /// # Errors
    /// As for [`Live::job`], and [`Error::Unavailable`] when too many are followed.
    pub async fn follow(self: &Arc<Self>, principal: &Principal, id: i64, cursor: u64) -> Result<Follower> {
        let job = self.job(principal, id).await?;
        self.follow_job(job, cursor).await
    }

    /// Follows a job from its beginning for the user who started it, as Fleet's clients watch a campaign.
    ///
    /// # Errors
    /// As for [`Live::follow`]; [`Error::NotFound`] also for a job the caller may see and has not started.
    pub async fn follow_own(self: &Arc<Self>, principal: &Principal, id: i64) -> Result<Follower> {
        let job = self.job(principal, id).await?;
        if job.author_id != Some(principal.user.id) {
            return Err(not_found(id));
        }
        self.follow_job(job, 0).await
    }

    async fn follow_job(self: &Arc<Self>, job: Arc<Job>, cursor: u64) -> Result<Follower> {
        let Ok(permit) = Arc::clone(&self.followers).try_acquire_owned() else {
            self.metrics.limit_hit("live_max_followers");
            return Err(Error::Unavailable(format!(
                "{} live queries are followed (live.max_followers); end some first",
                self.config.max_followers
            )));
        };
        self.reopen(&job).await?;
        let end = self.bus.watch(job.key).ok_or_else(|| not_found(job.id))?;
        let losses = job.folding.losses();
        Ok(Follower {
            live: Arc::clone(self),
            cursor,
            losses,
            given: RoaringTreemap::new(),
            were_removed: job.were_answers_removed(),
            job,
            end,
            is_over: false,
            _permit: permit,
        })
    }

    async fn reopen(self: &Arc<Self>, job: &Arc<Job>) -> Result<()> {
        if job.is_open() { Ok(self.fold(job).await?) } else { self.open_for_reading(job).await }
    }
}

impl Follower {
    pub fn job(&self) -> &Arc<Job> {
        &self.job
    }

    /// The next answers, about a MiB of them; none when all that are there were read.
    ///
    /// # Errors
    /// When the answers cannot be read.
    pub async fn read(&mut self) -> Result<Vec<ResultLine>> {
        loop {
            // why: before the read. Hosts are settled after their answers are kept, so this read finds all that is there
            // by then.
            let has_ended = !self.job.is_open();
            let losses = self.job.folding.losses();
            if losses != self.losses {
                // why: of the answers that a failover of Redis has left, and those that came since, some may end before
                // this cursor.
                (self.losses, self.cursor) = (losses, 0);
            }
            let piece = self.read_piece().await?;
            let is_last = piece.lines.is_empty();
            self.is_over = has_ended && is_last;
            let is_new = |line: &ResultLine| line.host().is_none_or(|host| self.given.insert(host));
            let lines: Vec<_> = piece.lines.into_iter().filter(is_new).collect();
            // why: a loss of answers that were read and not folded would never be noticed, and the answers that have
            // come instead may end before the cursor.
            self.cursor = if self.are_lost(&lines).await { 0 } else { piece.next };
            if is_last || !lines.is_empty() {
                return Ok(lines);
            }
        }
    }

    async fn read_piece(&mut self) -> Result<Piece> {
        if self.end.has_changed().is_err() {
            // The bus has forgotten the stream.
            self.live.reopen(&self.job).await?;
            self.end = self.live.bus.watch(self.job.key).ok_or_else(|| not_found(self.job.id))?;
        }
        let mut read = self.live.bus.read(self.job.key, self.cursor, READ_BYTES).await;
        if let Err(BusError::Lost(_)) = read {
            // Lines of a job that was made anew have cursors beyond this one.
            self.live.reopen(&self.job).await?;
            read = self.live.bus.read(self.job.key, self.cursor, READ_BYTES).await;
        }
        let piece = read?;
        if piece.lines.is_empty() {
            self.live.notice_removal(&self.job).await?;
        }
        // What was read would otherwise be taken for everything.
        if self.cursor > 0 && !self.were_removed && self.job.were_answers_removed() {
            return Err(Error::Unavailable("its results were removed meanwhile (live.max_all_results)".to_owned()));
        }
        Ok(piece)
    }

    /// Whether the view of the job lacks some of these answers, also after it was brought up to date: then a failover of
    /// Redis has lost them since they were read. To be asked once of each answer.
    async fn are_lost(&self, lines: &[ResultLine]) -> bool {
        let is_missing =
            |line: &ResultLine| line.host().is_some_and(|host| self.job.open_target(host.cast_signed()).is_some());
        if !lines.iter().any(is_missing) {
            return false;
        }
        if let Err(error) = self.live.fold(&self.job).await {
            tracing::debug!(%error, live_query = self.job.id, "answers that were read will be read once more");
        }
        lines.iter().any(is_missing)
    }

    /// Waits until there may be more to read. False when everything was read and no more will come.
    pub async fn more(&mut self) -> bool {
        if self.is_over {
            return false;
        }
        tokio::select! {
            // An error says that the bus has forgotten the stream: the next read finds out what is left.
            _ = self.end.changed() => {}
            () = self.job.ended() => {}
        }
        true
    }
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
