//! Folds the events of the bus into this node's view of a job: which hosts were sent the query, which are pending
//! again, which are settled, and how the job ended. All changes of a view come this way, those of this node too, in the
//! one order of the bus.
//!
//! So a step whose reply was lost, or whose request was given up, counts all the same: its event stands.
//!
//! Redis keeps all events of a job, so that a view is nothing but what they add up to. When a failover of Redis has lost
//! the newest of them, other events stand at their positions: the view then begins anew with the first event, and hosts
//! that were settled by a lost one are asked again. Until all events are folded the old view stays.

use std::sync::atomic::{AtomicU64, Ordering};

use muster_api::rest::TargetState;

use super::notes::{JobEnding, Settlement};
use super::{Job, Live};
use crate::bus::{BusError, EVENTS_AT_ONCE, EventPosition, JobChange, JobEvent, Opened, Start};
use crate::fleet::Result;

/// How far a view is. One caller at a time folds, for all who wait.
#[derive(Debug, Default)]
pub(super) struct Folding {
    position: tokio::sync::Mutex<FoldPosition>,
    /// Folds that were asked for, and how many of these are done.
    asked: AtomicU64,
    done: AtomicU64,
    /// How often the bus had lost events that the view had.
    losses: AtomicU64,
}

impl Folding {
    pub(super) fn losses(&self) -> u64 {
        self.losses.load(Ordering::SeqCst)
    }
}

#[derive(Debug, Default)]
struct FoldPosition {
    /// Whether this node has opened the job on the bus.
    is_open: bool,
    /// The last event that was applied.
    last: EventPosition,
    /// Whether the view is what all events from the first on add up to.
    is_whole: bool,
    /// Whether the job is still to be announced to the hosts in memory.
    must_announce: bool,
}

impl Live {
    /// Opens a new job on the bus, with every target pending.
    pub(super) async fn open_new(&self, job: &Job) -> Result<()> {
        let mut at = job.folding.position.lock().await;
        self.bus.open(job.key, Start::New).await?;
        at.is_open = true;
        Ok(())
    }

    /// Brings the view of a job up to all that had happened when this was called. A job that the bus does not have is
    /// made anew from this view.
    ///
    /// # Errors
    /// When the bus does not answer; the view stays as it is.
    pub(super) async fn fold(&self, job: &Job) -> Result<()> {
        let folding = &job.folding;
        let wanted = folding.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut at = folding.position.lock().await;
        // why: whoever held the lock has read the bus after this call began, if it noted a number that is not below
        // ours. A thousand answers at one time so cost a few reads of the events rather than a thousand.
        if folding.done.load(Ordering::SeqCst) >= wanted {
            return Ok(());
        }
        // why: read before the bus is. A call that comes from here on may be about a later event, and folds for itself.
        let all = folding.asked.load(Ordering::SeqCst);
        if !at.is_open {
            at.must_announce = true;
            self.open(job, &mut at).await?;
        }
        let mut was_lost = false;
        loop {
            match self.read_events(job, &mut at).await {
                Ok(()) => break,
                // why: Redis was restarted or emptied. Once only, so that a bus that loses the job each time ends this
                // loop.
                Err(BusError::Lost(_)) if !was_lost => {
                    was_lost = true;
                    at.must_announce = true;
                    self.open(job, &mut at).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        // why: kept in `at` until here, because a fold may fail or be given up after it has made the job anew; the next
        // one announces it then.
        if std::mem::take(&mut at.must_announce) {
            if job.is_resuming() {
                tracing::info!(live_query = job.id, "live query resumed");
                job.set_resuming(false);
            }
            self.announce(job);
        }
        folding.done.store(all, Ordering::SeqCst);
        Ok(())
    }

    /// Applies all events that there are behind the last one.
    async fn read_events(&self, job: &Job, at: &mut FoldPosition) -> std::result::Result<(), BusError> {
        let mut anew: Option<Job> = None;
        let mut last = at.last;
        loop {
            let piece = self.bus.events(job.key, last).await?;
            let is_last = piece.events.len() < EVENTS_AT_ONCE;
            // why: a job without any event is read from the start each time, and its view has begun anew already.
            if piece.is_from_start && (last != EventPosition::default() || !at.is_whole) {
                anew = Some(job.with_all_pending());
            }
            last = piece.events.last().map_or(last, |event| event.position);
            // why: no await from here to the end of the loop, so that a fold that is given up has applied events and
            // counted them, or neither.
            match &anew {
                None => {
                    at.must_announce |= self.apply(job, piece.events);
                    at.last = last;
                }
                Some(view) => {
                    self.apply(view, piece.events);
                    if is_last {
                        job.take_over(view);
                        if at.is_whole {
                            tracing::error!(
                                live_query = job.id,
                                "Redis has lost answers to a live query; their hosts are asked again"
                            );
                            job.folding.losses.fetch_add(1, Ordering::SeqCst);
                        }
                        (at.last, at.is_whole, at.must_announce) = (last, true, true);
                    }
                }
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// Opens a job that is over, so that its answers can be read.
    pub(super) async fn open_for_reading(&self, job: &Job) -> Result<()> {
        let mut at = job.folding.position.lock().await;
        self.open(job, &mut at).await
    }

    async fn open(&self, job: &Job, at: &mut FoldPosition) -> Result<()> {
        // why: first, so that a call that is given up on the way opens the job again.
        (at.is_open, at.is_whole) = (false, false);
        if !self.node.is_clustered() {
            // why: a bus of one process has forgotten its claims. The checkpoint says who was sent the query and may have
            // lost it.
            for host in job.hosts(TargetState::Sent) {
                job.pending_again(host);
            }
        }
        let (settled, covered) = (job.settled_hosts(), job.bytes());
        let start = Start::Checkpoint { settled, note: job.restored().to_bytes(), covered };
        match self.bus.open(job.key, start).await? {
            Opened::Made if job.has_answers() => {
                tracing::error!(live_query = job.id, "the answers to a live query are lost");
                // An open job says so by the event `Restored`, which every node folds.
                if !job.is_open() {
                    job.lose_answers();
                    self.write_lost_answers(job).await?;
                }
            }
            Opened::Made | Opened::Found => {}
        }
        at.is_open = true;
        Ok(())
    }

    /// Applies events to the view of a job. True if the job was made anew, so that hosts may be open targets again.
    fn apply(&self, job: &Job, events: Vec<JobEvent>) -> bool {
        let now = self.clock.now();
        let mut is_restored = false;
        for event in events {
            match event.change {
                JobChange::Sent { host, at, is_alone } => {
                    job.sent(host, at, is_alone);
                }
                // why: neither this nor `Sent` is announced to the host: it is an open target before and after.
                JobChange::Pending { host } => {
                    job.pending_again(host);
                }
                JobChange::Settled { host, note } => {
                    job.settled(host, &Settlement::from_bytes(&note, now));
                }
                JobChange::Closed { note } => job.end(&JobEnding::from_bytes(&note, now)),
                JobChange::Restored { note } => is_restored |= job.restore(&note, now),
            }
        }
        is_restored
    }

    /// Announces a job to the hosts in memory that it waits for. A host that comes into memory later looks through the
    /// jobs by itself.
    pub(super) fn announce(&self, job: &Job) {
        if !job.is_open() {
            return;
        }
        for host in job.open_hosts().iter().filter_map(|id| self.hosts.index.get(id.cast_signed())) {
            host.live.announce();
        }
    }
}
