//! Looking for jobs that other nodes have started or ended.
//!
//! A plain reading of MySQL may lag behind (`Store::shows_every_commit`): it may not show a job yet that another node has
//! just started. So before an answer to an unknown job is dropped, or a job is taken for removed, a locking reading has the
//! last word.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster_api::rest::{LiveStatus, TargetState};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::notes::JobEnding;
use super::snapshot::Snapshot;
use super::{Job, Live};
use crate::fleet::{Error, Result, within};
use crate::lock::lock;
use crate::store;
use crate::store::entity::live_queries::LiveStatusWord;
use crate::store::live_queries::OpenRow;

/// Shortest time between two looks for jobs that only agents know of.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Most ids of one host in one look; a host that names more waits for the next ones. An agent has answers to a few reads at
/// one time.
const MAX_IDS_OF_A_HOST: usize = 256;

/// Most states of jobs that are read at one time; those of a large fleet take some 100 KB each.
const STATES_AT_ONCE: usize = 100;

/// Most ids of one look: those of many hosts that make them up.
const MAX_IDS: usize = 64 * MAX_IDS_OF_A_HOST;

/// Looks for jobs that only agents know of. A task makes them, one after the other, each for all who wait.
#[derive(Debug, Default)]
pub(super) struct Looks {
    wanted: Mutex<WantedLook>,
    must_look: Notify,
    done: watch::Sender<DoneLook>,
}

#[derive(Debug, Default)]
struct WantedLook {
    /// How many looks were asked for.
    asked: u64,
    /// Ids that agents have named since the last look.
    ids: BTreeSet<i64>,
    /// How many of them each host was the first to name.
    by_host: BTreeMap<i64, usize>,
}

/// Why a look says nothing of the ids that it was asked for.
#[derive(Debug)]
pub(super) enum Unheard {
    /// The ids of other hosts leave no room for those of this one.
    Full,
    Failed(Error),
}

impl WantedLook {
    /// Takes ids of a host as far as it may have more in this look, and leaves the others.
    fn take(&mut self, host: i64, unknown: &mut Vec<i64>) -> std::result::Result<(), Unheard> {
        let named = self.by_host.entry(host).or_default();
        while let Some(id) = unknown.pop() {
            if self.ids.contains(&id) {
                continue;
            }
            let is_full = self.ids.len() >= MAX_IDS;
            if is_full || *named >= MAX_IDS_OF_A_HOST {
                unknown.push(id);
                return if is_full { Err(Unheard::Full) } else { Ok(()) };
            }
            self.ids.insert(id);
            *named += 1;
        }
        Ok(())
    }
}

/// The last look that ended.
#[derive(Debug, Clone)]
struct DoneLook {
    /// How many had been asked for when it began. It is the look of all of these.
    asked: u64,
    outcome: std::result::Result<(), String>,
}

impl Default for DoneLook {
    fn default() -> Self {
        Self { asked: 0, outcome: Ok(()) }
    }
}

impl Live {
    /// Hears of jobs that other nodes have started: when one of `ids` is not in memory, the open rows are read. Whoever
    /// comes before that read begins shares it, so that many answers, and ids that agents make up, cost one. A host that
    /// names many waits for several.
    ///
    /// # Errors
    /// When the database does not answer, or other hosts name too many unknown ids.
    pub(super) async fn hear_of(&self, host: i64, ids: &BTreeSet<i64>) -> std::result::Result<(), Unheard> {
        if !self.node.is_clustered() {
            return Ok(());
        }
        let mut unknown: Vec<i64> =
            ids.iter().copied().filter(|id| *id > 0 && !self.jobs.pin().contains_key(id)).collect();
        let mut done = self.looks.done.subscribe();
        while !unknown.is_empty() {
            let number = {
                let mut wanted = lock(&self.looks.wanted);
                wanted.take(host, &mut unknown)?;
                wanted.asked += 1;
                wanted.asked
            };
            self.looks.must_look.notify_one();
            // why: a job is in the database before any host is sent it, so a look that began after the answer came finds
            // it. A failure is shared as well: otherwise each of those who wait would wait for a timeout.
            match done.wait_for(|done| done.asked >= number).await {
                Ok(done) => done.outcome.clone().map_err(|error| Unheard::Failed(Error::Unavailable(error)))?,
                Err(_) => {
                    return Err(Unheard::Failed(Error::Unavailable("the server is stopping".to_owned())));
                }
            }
        }
        Ok(())
    }

    /// Looks for jobs whenever an answer names one that this node has not heard of. Runs until it is dropped.
    pub async fn look_when_asked(&self) {
        loop {
            self.looks.must_look.notified().await;
            let again_at = Instant::now() + LOOK_AGAIN;
            let (asked, ids) = {
                let mut wanted = lock(&self.looks.wanted);
                wanted.by_host.clear();
                (wanted.asked, std::mem::take(&mut wanted.ids))
            };
            let outcome = within(self.store_timeout, self.look_for(ids)).await.map_err(|error| error.to_string());
            self.looks.done.send_replace(DoneLook { asked, outcome });
            sleep_until(again_at).await;
        }
    }

    async fn look_for(&self, ids: BTreeSet<i64>) -> Result<()> {
        self.look_for_jobs().await?;
        let unknown = ids.into_iter().filter(|id| !self.jobs.pin().contains_key(id)).collect();
        for row in self.confirmed(unknown).await?.into_values() {
            if row.status == LiveStatusWord::Open {
                self.hold_readable(row);
            }
        }
        Ok(())
    }

    async fn look_for_jobs(&self) -> Result<()> {
        self.take_over_jobs(store::live_queries::open_rows(self.store.reader()).await?).await
    }

    /// Takes up open jobs, and takes over how others have ended, as the rows say.
    pub(super) async fn take_over_jobs(&self, rows: Vec<OpenRow>) -> Result<()> {
        let db = self.store.reader();
        let open: BTreeMap<_, _> = rows.into_iter().map(|row| (row.id, row)).collect();
        for (id, changing) in &open {
            let job = self.jobs.pin().get(id).cloned();
            let Some(job) = job else {
                if let Some(row) = store::live_queries::by_id(db, *id).await? {
                    self.hold_readable(row);
                }
                continue;
            };
            if let Some(until) = changing.watched_until {
                self.campaigns.took_up(*id, until);
            }
            self.compare_pace(&job, changing).await;
        }
        let mut missing = Vec::new();
        for job in self.open_jobs().into_iter().filter(|job| !open.contains_key(&job.id)) {
            match store::live_queries::by_id(db, job.id).await? {
                Some(row) if row.finished_at.is_some() => job.adopt(&row),
                Some(_) => {}
                None => missing.push(job),
            }
        }
        let confirmed = self.confirmed(missing.iter().map(|job| job.id).collect()).await?;
        for job in missing.iter().filter(|job| !confirmed.contains_key(&job.id)) {
            // Whoever follows it must not wait for what nobody will fold.
            let reason = "the database does not have it any more".to_owned();
            let (status, rest) = (LiveStatus::Stopped, TargetState::Cancelled);
            job.end(&JobEnding { status, reason, rest, at: self.clock.now().0 });
            self.jobs.pin().remove(&job.id);
        }
        self.list_open();
        self.look_for_removed().await
    }

    /// Takes over that other nodes have removed results of jobs that are over.
    async fn look_for_removed(&self) -> Result<()> {
        if !self.node.is_clustered() {
            return Ok(());
        }
        let with_results = |job: &&Arc<Job>| !job.is_open() && job.bytes() > 0;
        let jobs: Vec<Arc<Job>> = self.jobs.pin().values().filter(with_results).map(Arc::clone).collect();
        for jobs in jobs.chunks(STATES_AT_ONCE) {
            let jobs: BTreeMap<i64, &Arc<Job>> = jobs.iter().map(|job| (job.id, job)).collect();
            let ids: Vec<i64> = jobs.keys().copied().collect();
            for (id, states) in store::live_queries::without_results(self.store.reader(), &ids).await? {
                let has_answers = Snapshot::from_bytes(&states).map(|snapshot| snapshot.states.has_answers());
                if let (Some(job), Some(false)) = (jobs.get(&id), has_answers) {
                    job.lose_answers();
                }
            }
        }
        Ok(())
    }

    /// The rows with these ids that a plain reading did not show, but a locking one does.
    async fn confirmed(&self, ids: Vec<i64>) -> Result<BTreeMap<i64, store::entity::live_queries::Model>> {
        if ids.is_empty() || self.store.shows_every_commit() {
            return Ok(BTreeMap::new());
        }
        let rows = store::live_queries::confirmed(&self.store, &ids).await?;
        Ok(rows.into_iter().map(|row| (row.id, row)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_makes_up_ids_leaves_room_for_others_and_waits_for_the_next_looks() {
        let mut wanted = WantedLook::default();
        let mut made_up: Vec<i64> = (1..=1000).collect();
        for _ in 0..3 {
            wanted.take(1, &mut made_up).unwrap();
            assert_eq!(made_up.len(), 1000 - MAX_IDS_OF_A_HOST, "its writes share what it may name");
        }
        let mut honest = vec![1000, 5000, 5001];
        wanted.take(2, &mut honest).unwrap();
        assert!(honest.is_empty() && wanted.ids.contains(&5001));
        let mut looks = 1;
        while !made_up.is_empty() {
            wanted = WantedLook::default();
            wanted.take(1, &mut made_up).unwrap();
            looks += 1;
        }
        assert_eq!(looks, 4);
    }

    #[test]
    fn a_look_that_is_full_of_the_ids_of_others_refuses_what_is_new_to_it() {
        let mut wanted = WantedLook::default();
        for (host, first) in (0..64).zip((1..).step_by(MAX_IDS_OF_A_HOST)) {
            wanted.take(host, &mut (first..first + 256).collect()).unwrap();
        }
        assert_eq!(wanted.ids.len(), MAX_IDS);
        assert!(wanted.take(100, &mut vec![1, 2, 3]).is_ok(), "they are looked for anyway");
        assert!(matches!(wanted.take(100, &mut vec![1_000_000]), Err(Unheard::Full)));
    }
}
