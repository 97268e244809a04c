//! This server's view of the jobs, made of what all servers tell: who was asked, who is asked again, who is settled, and how
//! a job ended. All changes of a view come by here, own ones too, in the one order the bus has put them in.

use std::sync::atomic::{AtomicU64, Ordering};

use muster_api::rest::TargetState;

use super::job::OpenTarget;
use super::notes::{JobEnding, Settlement};
use super::{Job, Live, answers};
use crate::bus::{BusError, EVENTS_AT_ONCE, JobChange, JobEvent, Opened, Start};
use crate::fleet::Result;
use crate::fleet::hosts::Host;

/// How far a view is. One caller at a time brings it on, and for all who wait.
#[derive(Debug, Default)]
pub(super) struct Folding {
    position: tokio::sync::Mutex<FoldPosition>,
    asked: AtomicU64,
    done: AtomicU64,
}

#[derive(Debug, Default)]
struct FoldPosition {
    /// Whether this server has opened the job on the bus.
    is_open: bool,
    position: u64,
    /// Whether hosts in memory are still to be told of the job.
    must_notify: bool,
}

impl Live {
    /// Opens a job nobody has asked anything of yet.
    pub(super) async fn open_new(&self, job: &Job) -> Result<()> {
        let mut at = job.folding.position.lock().await;
        self.bus.open(job.id, Start::New).await?;
        at.is_open = true;
        Ok(())
    }

    /// Brings the view of a job up to all that had happened when this was called. A job that the bus does not have goes
    /// on from this view.
    ///
    /// # Errors
    /// When the bus does not answer; the view stays as it is.
    pub(super) async fn fold(&self, job: &Job) -> Result<()> {
        let folding = &job.folding;
        let wanted = folding.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut at = folding.position.lock().await;
        if folding.done.load(Ordering::SeqCst) >= wanted {
            return Ok(());
        }
        let all = folding.asked.load(Ordering::SeqCst);
        if !at.is_open {
            at.must_notify = true;
            self.open(job, &mut at).await?;
        }
        let mut was_lost = false;
        loop {
            match self.bus.events(job.id, at.position).await {
                Ok(events) => {
                    let Some(last) = events.last() else { break };
                    let (position, is_last) = (last.position, events.len() < EVENTS_AT_ONCE);
                    at.must_notify |= self.apply(job, events);
                    at.position = position;
                    if is_last {
                        break;
                    }
                }
                Err(BusError::Lost(_)) if !was_lost => {
                    was_lost = true;
                    at.must_notify = true;
                    self.open(job, &mut at).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        // Kept until it is done: a fold may be given up half-way.
        if std::mem::take(&mut at.must_notify) {
            self.tell_hosts(job);
        }
        folding.done.store(all, Ordering::SeqCst);
        Ok(())
    }

    /// Opens a job that is over, for its answers.
    pub(super) async fn open_for_reading(&self, job: &Job) -> Result<()> {
        let mut at = job.folding.position.lock().await;
        self.open(job, &mut at).await
    }

    async fn open(&self, job: &Job, at: &mut FoldPosition) -> Result<()> {
        at.is_open = false;
        let start = Start::Checkpoint { settled: job.settled_hosts(), note: job.restored().to_bytes() };
        match self.bus.open(job.id, start).await? {
            Opened::Made if job.has_answers() => {
                tracing::error!(live_query = job.id, "the answers to a live query that were there are lost");
                if !job.is_open() {
                    job.lose_answers();
                    self.write_lost_answers(job).await?;
                }
            }
            Opened::Made => {}
            Opened::Found if job.is_open() => self.catch_up(job).await?,
            Opened::Found => {}
        }
        at.is_open = true;
        Ok(())
    }

    /// After a restart of a bus that tells no events of before, its answers say who is settled, and nobody is claimed.
    async fn catch_up(&self, job: &Job) -> Result<()> {
        if !self.bus.events(job.id, 0).await?.is_empty() {
            return Ok(());
        }
        let mut cursor = 0;
        loop {
            let piece = self.bus.read(job.id, cursor, answers::READ_BYTES).await?;
            if piece.lines.is_empty() {
                break;
            }
            cursor = piece.next;
            for line in &piece.lines {
                if let Ok(answer) = answers::parse(line) {
                    job.settled(answer.host_id, &Settlement::of(&answer));
                }
            }
        }
        for host in job.hosts(TargetState::Sent) {
            job.again(host);
        }
        Ok(())
    }

    /// Takes over what has happened. Says whether it is another job now than it was.
    fn apply(&self, job: &Job, events: Vec<JobEvent>) -> bool {
        let now = self.clock.now();
        let mut touched = Vec::new();
        let mut is_restored = false;
        for event in events {
            match event.change {
                JobChange::Sent { host, at, is_alone } => {
                    if job.sent(host, at, is_alone) {
                        touched.push(host);
                    }
                }
                JobChange::Again { host } => {
                    if job.again(host) {
                        touched.push(host);
                    }
                }
                JobChange::Settled { host, note } => {
                    if job.settled(host, &Settlement::from_bytes(&note, now)) {
                        touched.push(host);
                    }
                }
                JobChange::Closed { note } => job.end(&JobEnding::from_bytes(&note, now)),
                JobChange::Restored { note } => is_restored |= job.restore(&note, now),
            }
        }
        for host in touched {
            if let Some(host) = self.hosts.index.get(host).filter(|host| host.open_targets.is_attached()) {
                sync_open_target(&host, job);
            }
        }
        is_restored
    }

    /// Lets the hosts in memory know of a job.
    pub(super) fn tell_hosts(&self, job: &Job) {
        if !job.is_open() {
            return;
        }
        for host in job.waiting().iter().filter_map(|id| self.hosts.index.get(id.cast_signed())) {
            if host.open_targets.is_attached() {
                sync_open_target(&host, job);
            }
        }
    }
}

/// Brings a host's open targets up to the view of a job.
pub(super) fn sync_open_target(host: &Host, job: &Job) {
    match job.open_target(host.id) {
        Some(OpenTarget::Pending { retry_alone: false }) => host.open_targets.add(job.id, job.discovery.is_some()),
        Some(OpenTarget::Pending { retry_alone: true }) => host.open_targets.again(job.id, job.discovery.is_some()),
        Some(OpenTarget::Sent { at, is_alone, retry_alone }) => {
            host.open_targets.taken(job.id, at, is_alone);
            if retry_alone {
                host.open_targets.was_asked_again(job.id);
            }
        }
        None => host.open_targets.dropped(job.id),
    }
}
