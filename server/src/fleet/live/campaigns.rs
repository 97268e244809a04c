//! Fleet's campaigns: jobs that end when nobody watches. Each node holds its watchers in memory, and renews a lease in
//! the database while it has any, so that after a restart a campaign ends when nobody has come back to watch.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use muster_api::rest::{LiveStatus, TargetState};

use super::canaries::AskedCare;
use super::notes::JobEnding;
use super::operate::BeginOptions;
use super::{Ask, Job, Live, Selection};
use crate::bus::ChangeEvent;
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::access::Principal;
use crate::lock::lock;
use crate::store;

/// Longest time a campaign is open, even if it is watched.
const DEADLINE: Duration = Duration::from_secs(3600);

/// Length of the lease: a watcher must come within this time, also after a restart.
const WATCH_WITHIN: Duration = Duration::from_secs(60);

/// The lease of a watched campaign is renewed when no more than this is left.
const PROLONG_AT: Duration = Duration::from_secs(30);

/// How long other nodes have to renew the lease when the last watcher at one node goes: a few polls and sweeps.
const OTHERS_WITHIN: Duration = Duration::from_secs(5);

/// Stop reason of a campaign whose last watcher has gone.
const GONE: &str = "nobody watches it any more";

/// The open campaigns.
#[derive(Debug, Default)]
pub(super) struct Campaigns(Mutex<BTreeMap<i64, Audience>>);

#[derive(Debug)]
struct Audience {
    /// End of the lease, as the database has it: the campaign ends then if it is not watched.
    until: Moment,
    watchers: usize,
    /// Whether there was a last watcher who has gone.
    was_left: bool,
    /// Whether the lease was given back since.
    is_done: bool,
}

/// A watcher of a job; dropping it ends the watch. A campaign is cancelled when its last watcher goes, other jobs are
/// not.
#[derive(Debug)]
pub struct Attendance {
    live: Arc<Live>,
    id: i64,
}

impl Live {
    /// Starts a campaign.
    ///
    /// # Errors
    /// As for [`Live::start`].
    pub async fn start_campaign(
        self: &Arc<Self>,
        principal: &Principal,
        ask: Ask<'_>,
        selection: &Selection,
    ) -> Result<Arc<Job>> {
        let question = self.question(principal, ask).await?;
        self.check_room()?;
        let hosts = self.selected(selection).await?;
        let until = self.clock.now().plus(WATCH_WITHIN);
        let deadline = DEADLINE.min(self.config.max_deadline);
        let care = self.care(principal, AskedCare::default())?;
        let options = BeginOptions { deadline, rate: self.rate(None)?, watched_until: Some(until), care };
        self.begin(principal, question, &hosts, options).await
    }

    /// Watches a job until what it returns is dropped.
    pub fn attend(self: &Arc<Self>, id: i64) -> Attendance {
        self.campaigns.joined(id);
        Attendance { live: Arc::clone(self), id }
    }

    /// Waits until a sweep must not wait for its time: the last watcher of a campaign at this node has gone, or room
    /// for results is scarce.
    pub async fn must_sweep(&self) {
        self.must_sweep.notified().await;
    }

    /// Ends campaigns nobody watches.
    pub(super) async fn end_unwatched(self: &Arc<Self>, now: Moment) -> Result<()> {
        for id in self.campaigns.unwatched_at(now) {
            // The campaign may have a watcher at another node.
            match store::live_queries::watched_until(self.store.reader(), id).await? {
                Some(until) if until > now => self.campaigns.took_up(id, until),
                _ => match self.campaigns.unwatched(id) {
                    Some(true) => self.end_campaign(id, GONE.to_owned()).await?,
                    Some(false) => {
                        let reason = format!("nobody came to watch it within {} s", WATCH_WITHIN.as_secs());
                        self.end_campaign(id, reason).await?;
                    }
                    None => {}
                },
            }
        }
        Ok(())
    }

    /// Renews the leases of campaigns that are watched at this node.
    pub(super) async fn prolong_watched(&self, now: Moment) -> Result<()> {
        let until = now.plus(WATCH_WITHIN);
        for id in self.campaigns.watched_ending_by(now.plus(PROLONG_AT)) {
            self.store.write(async |tx| store::live_queries::watch_until(tx, id, until).await).await?;
            self.campaigns.prolonged(id, until);
        }
        Ok(())
    }

    /// Ends campaigns whose last watcher at this node has gone. With several nodes it shortens the lease instead, so
    /// that a node with another watcher can renew it.
    pub(super) async fn give_back_leases(self: &Arc<Self>, now: Moment) -> Result<()> {
        for id in self.campaigns.left_alone() {
            match self.node.is_clustered() {
                true => {
                    let until = now.plus(OTHERS_WITHIN);
                    self.store.write(async |tx| store::live_queries::watch_until(tx, id, until).await).await?;
                    self.campaigns.prolonged(id, until);
                    self.notifier.publish(ChangeEvent::Jobs);
                }
                false => self.end_campaign(id, GONE.to_owned()).await?,
            }
            self.campaigns.gave_back(id);
        }
        Ok(())
    }

    async fn end_campaign(self: &Arc<Self>, id: i64, reason: String) -> Result<()> {
        let job = self.jobs.pin().get(&id).cloned();
        let Some(job) = job.filter(|job| job.is_open()) else {
            self.campaigns.forget(id);
            return Ok(());
        };
        if job.is_resuming() {
            return Ok(());
        }
        let (status, rest) = (LiveStatus::Cancelled, TargetState::Cancelled);
        self.close(&job, JobEnding { status, reason, rest, at: self.clock.now().0 }).await?;
        self.campaigns.forget(id);
        Ok(())
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        if self.live.campaigns.left(self.id) {
            self.live.must_sweep.notify_one();
        }
    }
}

impl Campaigns {
    /// Adds a campaign, or takes over its lease; it may have watchers already.
    pub(super) fn took_up(&self, id: i64, until: Moment) {
        let new = Audience { until, watchers: 0, was_left: false, is_done: false };
        self.lock().entry(id).or_insert(new).until = until;
    }

    fn prolonged(&self, id: i64, until: Moment) {
        if let Some(audience) = self.lock().get_mut(&id) {
            audience.until = until;
        }
    }

    fn joined(&self, id: i64) {
        if let Some(audience) = self.lock().get_mut(&id) {
            audience.watchers += 1;
        }
    }

    /// Whether that was the last watcher of a campaign.
    fn left(&self, id: i64) -> bool {
        let mut campaigns = self.lock();
        let Some(audience) = campaigns.get_mut(&id) else { return false };
        audience.watchers = audience.watchers.saturating_sub(1);
        audience.was_left |= audience.watchers == 0;
        audience.is_done &= audience.watchers > 0;
        audience.watchers == 0
    }

    /// Campaigns whose last watcher at this node has gone and whose lease was not given back.
    fn left_alone(&self) -> Vec<i64> {
        self.find(|audience| audience.was_left && !audience.is_done && audience.watchers == 0)
    }

    fn gave_back(&self, id: i64) {
        if let Some(audience) = self.lock().get_mut(&id) {
            audience.is_done = true;
        }
    }

    fn unwatched_at(&self, now: Moment) -> Vec<i64> {
        self.find(|audience| audience.watchers == 0 && audience.until <= now)
    }

    fn watched_ending_by(&self, moment: Moment) -> Vec<i64> {
        self.find(|audience| audience.watchers > 0 && audience.until <= moment)
    }

    fn find(&self, is_meant: impl Fn(&Audience) -> bool) -> Vec<i64> {
        self.lock().iter().filter(|(_, audience)| is_meant(audience)).map(|(id, _)| *id).collect()
    }

    /// `None` for a campaign that is watched; otherwise whether it ever was.
    fn unwatched(&self, id: i64) -> Option<bool> {
        self.lock().get(&id).filter(|audience| audience.watchers == 0).map(|audience| audience.was_left)
    }

    /// Removes a campaign that is over.
    fn forget(&self, id: i64) {
        self.lock().remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i64, Audience>> {
        lock(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_watcher_ends_a_campaign() {
        let campaigns = Campaigns::default();
        campaigns.took_up(1, Moment(60));
        campaigns.joined(1);
        campaigns.joined(1);
        assert!(!campaigns.left(1));
        assert_eq!(campaigns.left_alone(), [0; 0]);
        assert!(campaigns.left(1));
        assert_eq!(campaigns.left_alone(), [1]);
        campaigns.gave_back(1);
        assert_eq!(campaigns.left_alone(), [0; 0], "once");
        campaigns.joined(1);
        assert!(campaigns.left(1));
        assert_eq!(campaigns.left_alone(), [1], "and each time");
        campaigns.forget(1);
        assert_eq!(campaigns.left_alone(), [0; 0]);
        campaigns.joined(2);
        assert!(!campaigns.left(2), "what is no campaign goes on");
    }

    #[test]
    fn who_watches_puts_off_the_end() {
        let campaigns = Campaigns::default();
        campaigns.took_up(1, Moment(10));
        campaigns.took_up(2, Moment(10));
        campaigns.joined(2);
        assert_eq!(campaigns.unwatched_at(Moment(9)), [0; 0]);
        assert_eq!(campaigns.unwatched_at(Moment(10)), [1]);
        assert_eq!(campaigns.unwatched(1), Some(false), "and nobody did");
        assert_eq!(campaigns.unwatched(2), None, "somebody watches");
        assert_eq!(campaigns.watched_ending_by(Moment(10)), [2]);
        campaigns.prolonged(2, Moment(20));
        assert_eq!(campaigns.watched_ending_by(Moment(10)), [0; 0]);
        assert!(campaigns.left(2), "and is still there");
        assert_eq!(campaigns.unwatched(2), Some(true));
    }
}
