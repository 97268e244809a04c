//! Work that comes round: no input, safe to repeat, reads the state anew each time.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::fleet::{Fleet, Result};
use crate::lifecycle::Lifecycle;
use crate::telemetry::Metrics;

/// Name and pace of a task. All of them are listed here.
#[derive(Debug, Clone, Copy)]
enum Task {
    WriteSeen,
    RefreshSchedule,
    RetireKeys,
    SeparateClones,
    SweepSessions,
}

impl Task {
    const ALL: [Self; 5] =
        [Self::WriteSeen, Self::RefreshSchedule, Self::RetireKeys, Self::SeparateClones, Self::SweepSessions];

    fn every(self) -> Duration {
        Duration::from_secs(match self {
            Self::RefreshSchedule => 2,
            Self::WriteSeen => 5,
            Self::RetireKeys => 60,
            Self::SeparateClones => 30,
            Self::SweepSessions => 3600,
        })
    }

    async fn run(self, fleet: &Fleet, metrics: &Metrics) -> Result<()> {
        match self {
            Self::WriteSeen => {
                metrics.hosts_in_memory.set(i64::try_from(fleet.hosts.index.len()).unwrap_or(i64::MAX));
                fleet.hosts.write_seen(false).await
            }
            Self::RefreshSchedule => fleet.schedule.refresh().await,
            Self::RetireKeys => fleet.hosts.retire_keys().await,
            Self::SeparateClones => fleet.hosts.separate_clones().await,
            Self::SweepSessions => fleet.access.sweep().await,
        }
    }
}

/// Runs all tasks on the calling thread until the server stops. Returns early only if one of them has crashed.
pub async fn run(fleet: Fleet, metrics: std::sync::Arc<Metrics>, lifecycle: Lifecycle) {
    let mut running = JoinSet::new();
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
                if let Err(error) = task.run(&fleet, &metrics).await {
                    tracing::warn!(?task, %error, "a task failed and is tried again");
                }
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
