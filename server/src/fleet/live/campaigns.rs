//! Fleet's campaigns: jobs that go on as long as somebody watches. Who watches is known in memory only; after a restart
//! a campaign ends by its deadline.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use muster_api::rest::{LiveStatus, TargetState};

use super::{Ask, Job, Live, Selection};
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::access::Principal;
use crate::lock::lock;

/// A campaign ends by then whoever watches.
const DEADLINE: Duration = Duration::from_secs(3600);

/// Somebody must come to watch within this time.
const WATCH_WITHIN: Duration = Duration::from_secs(60);

/// The open campaigns.
#[derive(Debug, Default)]
pub(super) struct Campaigns(Mutex<BTreeMap<i64, Audience>>);

#[derive(Debug)]
struct Audience {
    started_at: Moment,
    watchers: usize,
}

/// Somebody watches a job. When the last watcher of a campaign goes, it is cancelled; other jobs do not care.
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
    pub async fn start_campaign(&self, principal: &Principal, ask: Ask<'_>, selection: &Selection) -> Result<Arc<Job>> {
        let question = self.question(principal, ask).await?;
        self.check_room()?;
        let hosts = selection.resolve(self.store.reader(), &self.schedule.plan()).await?;
        let job = self.begin(principal, question, &hosts, DEADLINE.min(self.config.max_deadline)).await?;
        self.campaigns.started(job.id, self.clock.now());
        Ok(job)
    }

    /// Watches a job until what it returns is dropped.
    pub fn attend(self: &Arc<Self>, id: i64) -> Attendance {
        self.campaigns.joined(id);
        Attendance { live: Arc::clone(self), id }
    }

    /// Ends campaigns nobody came to watch.
    pub(super) fn end_unwatched(&self, now: Moment) {
        for id in self.campaigns.unwatched_since(now.minus(WATCH_WITHIN)) {
            self.end_campaign(id, format!("nobody came to watch it within {} s", WATCH_WITHIN.as_secs()));
        }
    }

    /// Ends it in memory; the next sweep writes it.
    fn end_campaign(&self, id: i64, reason: String) {
        if let Some(job) = self.jobs.pin().get(&id) {
            job.end(LiveStatus::Cancelled, reason, TargetState::Cancelled, self.clock.now());
        }
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        if self.live.campaigns.left(self.id) {
            self.live.end_campaign(self.id, "nobody watches it any more".to_owned());
        }
    }
}

impl Campaigns {
    fn started(&self, id: i64, now: Moment) {
        self.lock().insert(id, Audience { started_at: now, watchers: 0 });
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
        audience.watchers == 0 && campaigns.remove(&id).is_some()
    }

    /// Takes out those that began before a moment and have no watchers.
    fn unwatched_since(&self, moment: Moment) -> Vec<i64> {
        let is_unwatched = |audience: &Audience| audience.watchers == 0 && audience.started_at <= moment;
        let mut campaigns = self.lock();
        let ids = campaigns.iter().filter(|(_, audience)| is_unwatched(audience)).map(|(id, _)| *id).collect();
        campaigns.retain(|_, audience| !is_unwatched(audience));
        ids
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
        campaigns.started(1, Moment(0));
        campaigns.joined(1);
        campaigns.joined(1);
        assert!(!campaigns.left(1));
        assert!(campaigns.left(1));
        assert!(!campaigns.left(1), "it ends once");
        campaigns.joined(2);
        assert!(!campaigns.left(2), "what is no campaign goes on");
    }

    #[test]
    fn a_campaign_nobody_comes_to_watch_is_found_once() {
        let campaigns = Campaigns::default();
        campaigns.started(1, Moment(10));
        campaigns.started(2, Moment(10));
        campaigns.joined(2);
        assert_eq!(campaigns.unwatched_since(Moment(9)), [0; 0]);
        assert_eq!(campaigns.unwatched_since(Moment(10)), [1]);
        assert_eq!(campaigns.unwatched_since(Moment(10)), [0; 0]);
        assert!(campaigns.left(2));
    }
}
