//! Work that comes round: no input, safe to repeat, reads the state anew each time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::fleet::{Fleet, Result};
use crate::lifecycle::Lifecycle;
use crate::telemetry::Metrics;

/// Name and pace of a task. All of them are listed here.
#[derive(Debug, Clone, Copy)]
enum Task {
    WriteSeen,
    WriteReports,
    SweepLiveQueries,
    ForgetLiveQueries,
    RefreshSchedule,
    RetireKeys,
    SeparateClones,
    SweepSessions,
}

impl Task {
    const ALL: [Self; 8] = [
        Self::WriteSeen,
        Self::WriteReports,
        Self::SweepLiveQueries,
        Self::ForgetLiveQueries,
        Self::RefreshSchedule,
        Self::RetireKeys,
        Self::SeparateClones,
        Self::SweepSessions,
    ];

    fn every(self) -> Duration {
        Duration::from_secs(match self {
            Self::RefreshSchedule => 2,
            Self::WriteReports | Self::SweepLiveQueries => 1,
            Self::ForgetLiveQueries => 600,
            Self::WriteSeen => 5,
            Self::RetireKeys => 60,
            Self::SeparateClones => 30,
            Self::SweepSessions => 3600,
        })
    }

    async fn attempt(self, fleet: &Fleet, metrics: &Metrics) {
        if let Err(error) = self.run(fleet, metrics).await {
            tracing::warn!(task = ?self, %error, "a task failed and is tried again");
        }
    }

    async fn run(self, fleet: &Fleet, metrics: &Metrics) -> Result<()> {
        match self {
            Self::WriteSeen => {
                metrics.hosts_in_memory.set(i64::try_from(fleet.hosts.index.len()).unwrap_or(i64::MAX));
                fleet.hosts.write_seen(false).await
            }
            Self::SweepLiveQueries => fleet.live.sweep().await,
            Self::ForgetLiveQueries => fleet.live.forget_old().await,
            Self::WriteReports => fleet.checkin.write_reports().await,
            Self::RefreshSchedule => fleet.schedule.refresh().await,
            Self::RetireKeys => fleet.hosts.retire_keys().await,
            Self::SeparateClones => fleet.hosts.separate_clones().await,
            Self::SweepSessions => fleet.access.sweep().await,
        }
    }
}

/// Asks for all tasks to be run at once; answered when they are done.
pub type Nudge = oneshot::Sender<()>;

/// Runs all tasks on the calling thread until the server stops. Returns early only if one of them has crashed.
pub async fn run(fleet: Fleet, metrics: Arc<Metrics>, lifecycle: Lifecycle, nudges: mpsc::UnboundedReceiver<Nudge>) {
    let mut running = JoinSet::new();
    running.spawn_local(follow_nudges(fleet.clone(), Arc::clone(&metrics), lifecycle.clone(), nudges));
    for task in Task::ALL {
        let (fleet, metrics, lifecycle) = (fleet.clone(), metrics.clone(), lifecycle.clone());
        running.spawn_local(async move {
            let mut round = tokio::time::interval(task.every());
            round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = lifecycle.stopped() => return,
                    _ = round.tick() => {}
                }
                task.attempt(&fleet, &metrics).await;
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a task has crashed; the server stops");
            return;
        }
    }
}

async fn follow_nudges(
    fleet: Fleet,
    metrics: Arc<Metrics>,
    lifecycle: Lifecycle,
    mut nudges: mpsc::UnboundedReceiver<Nudge>,
) {
    loop {
        let nudge = tokio::select! {
            () = lifecycle.stopped() => return,
            nudge = nudges.recv() => nudge,
        };
        let Some(done) = nudge else { return lifecycle.stopped().await };
        for task in Task::ALL {
            task.attempt(&fleet, &metrics).await;
        }
        // Whoever asked may have gone.
        let _ = done.send(());
    }
}
