//! Folds the events of the bus into this node's view of a job: which hosts were sent the query, which are pending
//! again, which are settled, and how the job ended. All changes of a view come this way, those of this node too, in the
//! one order of the bus.
//!
//! So a step whose reply was lost, or whose request was given up, counts all the same: its event stands. A target that is
//! sent or pending again is not announced to its host: it is an open target before and after.
//!
//! Redis keeps all events of a job, so that a view is nothing but what they add up to. When a failover of Redis has lost
//! the newest of them, other events stand at their positions: the view then begins anew with the first event, and hosts
//! that were settled by a lost one are asked again. Until all events are folded the old view stays.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use muster_api::rest::TargetState;
use tokio::sync::watch;
use tokio::task::yield_now;

use super::progress::JobProgress;
use super::{Job, Live};
use crate::bus::{BusError, EventPosition, Opened, Start};
use crate::fleet::Result;

/// Events that are applied, and hosts that are looked up, before other work goes on.
const STEP: usize = 2_000;

/// How far a view is. One task at a time folds, for all who wait: it belongs to none of them, so that one which is given
/// up takes nothing from the others, and a long fold goes on.
#[derive(Debug, Default)]
pub(super) struct Folding {
    position: tokio::sync::Mutex<FoldPosition>,
    /// How many folds were asked for.
    asked: AtomicU64,
    is_running: AtomicBool,
    done: watch::Sender<FoldDone>,
    /// How often the bus had lost events that the view had.
    losses: AtomicU64,
}

/// The last fold that ended.
#[derive(Debug, Clone)]
struct FoldDone {
    /// How many had been asked for when it began. It is the fold of all of these.
    asked: u64,
    outcome: std::result::Result<(), BusError>,
}

impl Default for FoldDone {
    fn default() -> Self {
        Self { asked: 0, outcome: Ok(()) }
    }
}

/// Lets another task fold when it is dropped, however the fold ends.
struct RunningFold<'a>(&'a AtomicBool);

impl Drop for RunningFold<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
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
        self.tell_pace(job).await?;
        at.is_open = true;
        Ok(())
    }

    /// Brings the view of a job up to all that had happened when this was called. A job that the bus does not have is
    /// made anew from this view.
    ///
    /// # Errors
    /// When the bus does not answer; the view stays as far as it is.
    pub(super) async fn fold(self: &Arc<Self>, job: &Arc<Job>) -> std::result::Result<(), BusError> {
        let folding = &job.folding;
        let mut done = folding.done.subscribe();
        let wanted = folding.asked.fetch_add(1, Ordering::SeqCst) + 1;
        if !folding.is_running.swap(true, Ordering::SeqCst) {
            self.runtime.spawn(Arc::clone(self).run_folds(Arc::clone(job)));
        }
        match done.wait_for(|done| done.asked >= wanted).await {
            Ok(done) => done.outcome.clone(),
            // The job holds the sender.
            Err(_) => Err(BusError::Lost(job.id)),
        }
    }

    /// Folds until no call waits for a fold that has not begun.
    async fn run_folds(self: Arc<Self>, job: Arc<Job>) {
        let folding = &job.folding;
        loop {
            let running = RunningFold(&folding.is_running);
            // why: read before the bus is. A call that comes from here on may be about a later event. A thousand answers
            // at one time so cost a few reads of the events rather than a thousand.
            let asked = folding.asked.load(Ordering::SeqCst);
            let outcome = self.fold_once(&job).await;
            folding.done.send_replace(FoldDone { asked, outcome });
            drop(running);
            if folding.asked.load(Ordering::SeqCst) == asked || folding.is_running.swap(true, Ordering::SeqCst) {
                return;
            }
        }
    }

    async fn fold_once(&self, job: &Job) -> std::result::Result<(), BusError> {
        let mut at = job.folding.position.lock().await;
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
                Err(error) => return Err(error),
            }
        }
        // why: kept in `at` until here, because a fold may fail after it has made the job anew; the next one announces it
        // then.
        if std::mem::take(&mut at.must_announce) {
            if job.is_resuming() {
                tracing::info!(live_query = job.id, "live query resumed");
                job.set_resuming(false);
            }
            self.announce(job).await;
        }
        if self.must_act(job) {
            self.must_sweep.notify_one();
        }
        Ok(())
    }

    /// Applies all events that there are behind the last one.
    async fn read_events(&self, job: &Job, at: &mut FoldPosition) -> std::result::Result<(), BusError> {
        let mut anew: Option<JobProgress> = None;
        let mut last = at.last;
        loop {
            let piece = self.bus.events(job.key, last).await?;
            // why: a job without any event is read from the start each time, and its view has begun anew already.
            if piece.is_from_start && (last != EventPosition::default() || !at.is_whole) {
                anew = Some(job.begun());
            }
            last = piece.last;
            let mut changes = piece.events.into_iter().map(|event| event.change).peekable();
            while changes.peek().is_some() {
                let (now, step) = (self.clock.now(), changes.by_ref().take(STEP));
                match &mut anew {
                    None => {
                        let applied = job.apply(step, now);
                        at.must_announce |= applied.is_restored || applied.is_let_go;
                    }
                    Some(progress) => step.for_each(|change| {
                        progress.apply(change, now);
                    }),
                }
                yield_now().await;
            }
            if anew.is_none() {
                at.last = last;
            }
            if piece.is_last {
                break;
            }
        }
        if let Some(progress) = anew {
            if job.pace().changes > progress.pace.changes {
                // Somebody has made the job anew and not set its pace yet. Before any host is told of it.
                self.tell_pace(job).await?;
            }
            job.take_over(progress);
            if at.is_whole {
                tracing::error!(
                    live_query = job.id,
                    "Redis has lost answers to a live query; their hosts are asked again"
                );
                job.folding.losses.fetch_add(1, Ordering::SeqCst);
            }
            (at.last, at.is_whole, at.must_announce) = (last, true, true);
        }
        Ok(())
    }

    /// Opens a job that is over, so that its answers can be read.
    pub(super) async fn open_for_reading(&self, job: &Job) -> Result<()> {
        let mut at = job.folding.position.lock().await;
        self.open(job, &mut at).await?;
        self.notice_removal(job).await
    }

    /// Notes that the answers of a job that is over are gone, if the bus has none; call this after it was opened or read
    /// there. Another node may have removed them, and one more have made the job anew since.
    pub(super) async fn notice_removal(&self, job: &Job) -> Result<()> {
        // An open job says so by the event `Restored`, which every node folds.
        if job.is_open() || !job.has_answers() || self.bus.length(job.key) > 0 {
            return Ok(());
        }
        job.lose_answers();
        self.write_lost_answers(job).await
    }

    async fn open(&self, job: &Job, at: &mut FoldPosition) -> std::result::Result<Opened, BusError> {
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
        let note = job.restored().to_bytes();
        let start = match job.is_open() {
            true => Start::Checkpoint { settled, note, covered },
            false => Start::Over { settled, note },
        };
        let opened = self.bus.open(job.key, start).await?;
        self.tell_pace(job).await?;
        if opened == Opened::Made && job.has_answers() {
            tracing::error!(live_query = job.id, "the answers to a live query are lost");
        }
        at.is_open = true;
        Ok(opened)
    }

    /// Announces a job to the hosts in memory that it waits for. A host that comes into memory later looks through the
    /// jobs by itself.
    pub(super) async fn announce(&self, job: &Job) {
        if !job.is_open() {
            return;
        }
        let open = job.open_hosts();
        let mut open = open.iter().peekable();
        while open.peek().is_some() {
            for id in open.by_ref().take(STEP) {
                if let Some(host) = self.hosts.index.get(id.cast_signed()) {
                    host.live.announce();
                }
            }
            yield_now().await;
        }
        self.has_announced.notify_waiters();
    }
}
