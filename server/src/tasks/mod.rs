//! Periodic work: no input, safe to repeat, reads the state anew each time. Every node does most of it for itself; the
//! leader does the rest for all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::fleet::logs::LEASES_RENEWED_EVERY;
use crate::fleet::{self, Fleet, RENEW_EVERY, Result};
use crate::lifecycle::Lifecycle;
use crate::telemetry::{self, Metrics};
use crate::under_way::{Ongoing, WorkKind};

/// Shortest time from one reading of what other nodes have changed to the next: a node that tells of many changes one by
/// one, as when hosts enroll, does not have the others read for each.
const FOLLOW_SPACING: Duration = Duration::from_millis(250);

/// Name and pace of a task. All of them are listed here.
#[derive(Debug, Clone, Copy)]
enum Task {
    RenewLease,
    Follow,
    CompareDirectory,
    KeepSeen,
    ShareSeen,
    KeepBatchLeases,
    WriteKeyUses,
    WriteSecretUses,
    WriteIntervals,
    WriteReports,
    WriteStatistics,
    LookAtLiveQueries,
    SweepLiveQueries,
    ForgetLiveQueries,
    RetireKeys,
    SeparateClones,
    SweepSessions,
    PruneFeed,
    PruneActivities,
    ExpireHosts,
    EndCarves,
    WriteCarveRequests,
    CloseStatistics,
    ShowStatistics,
    PruneStatistics,
    PickForSchema,
    FollowSchema,
    PruneSchema,
    PruneApprovals,
    TakeCensus,
    RestoreLogLevel,
    WriteRefusedChanges,
    KeepRollouts,
    TellOfRollouts,
    PruneRollouts,
    ApplyDocuments,
}

impl Task {
    const ALL: [Self; 36] = [
        Self::RenewLease,
        Self::Follow,
        Self::CompareDirectory,
        Self::KeepSeen,
        Self::ShareSeen,
        Self::KeepBatchLeases,
        Self::WriteKeyUses,
        Self::WriteSecretUses,
        Self::WriteIntervals,
        Self::WriteReports,
        Self::WriteStatistics,
        Self::LookAtLiveQueries,
        Self::SweepLiveQueries,
        Self::ForgetLiveQueries,
        Self::RetireKeys,
        Self::SeparateClones,
        Self::SweepSessions,
        Self::PruneFeed,
        Self::PruneActivities,
        Self::ExpireHosts,
        Self::EndCarves,
        Self::WriteCarveRequests,
        Self::CloseStatistics,
        Self::ShowStatistics,
        Self::PruneStatistics,
        Self::PickForSchema,
        Self::FollowSchema,
        Self::PruneSchema,
        Self::PruneApprovals,
        Self::TakeCensus,
        Self::RestoreLogLevel,
        Self::WriteRefusedChanges,
        Self::KeepRollouts,
        Self::TellOfRollouts,
        Self::PruneRollouts,
        Self::ApplyDocuments,
    ];

    /// As operators see it in the metrics.
    fn name(self) -> &'static str {
        match self {
            Self::RenewLease => "renew_lease",
            Self::Follow => "follow",
            Self::CompareDirectory => "compare_directory",
            Self::KeepSeen => "keep_seen",
            Self::ShareSeen => "share_seen",
            Self::KeepBatchLeases => "keep_batch_leases",
            Self::WriteKeyUses => "write_key_uses",
            Self::WriteSecretUses => "write_secret_uses",
            Self::WriteIntervals => "write_intervals",
            Self::WriteReports => "write_reports",
            Self::WriteStatistics => "write_statistics",
            Self::LookAtLiveQueries => "look_at_live_queries",
            Self::SweepLiveQueries => "sweep_live_queries",
            Self::ForgetLiveQueries => "forget_live_queries",
            Self::RetireKeys => "retire_keys",
            Self::SeparateClones => "separate_clones",
            Self::SweepSessions => "sweep_sessions",
            Self::PruneFeed => "prune_feed",
            Self::PruneActivities => "prune_activities",
            Self::ExpireHosts => "expire_hosts",
            Self::EndCarves => "end_carves",
            Self::WriteCarveRequests => "write_carve_requests",
            Self::CloseStatistics => "close_statistics",
            Self::ShowStatistics => "show_statistics",
            Self::PruneStatistics => "prune_statistics",
            Self::PickForSchema => "pick_for_schema",
            Self::FollowSchema => "follow_schema",
            Self::PruneSchema => "prune_schema",
            Self::PruneApprovals => "prune_approvals",
            Self::TakeCensus => "take_census",
            Self::RestoreLogLevel => "restore_log_level",
            Self::WriteRefusedChanges => "write_refused_changes",
            Self::KeepRollouts => "keep_rollouts",
            Self::TellOfRollouts => "tell_of_rollouts",
            Self::PruneRollouts => "prune_rollouts",
            Self::ApplyDocuments => "apply_documents",
        }
    }

    /// Whether only the leader does it. What the other nodes know is in the database.
    fn is_for_leader(self) -> bool {
        matches!(
            self,
            Self::RetireKeys
                | Self::SeparateClones
                | Self::SweepSessions
                | Self::PruneFeed
                | Self::PruneActivities
                | Self::ExpireHosts
                | Self::EndCarves
                | Self::CloseStatistics
                | Self::PruneStatistics
                | Self::PickForSchema
                | Self::PruneSchema
                | Self::PruneApprovals
                | Self::KeepRollouts
                | Self::TellOfRollouts
                | Self::PruneRollouts
        )
    }

    /// Whether it waits until all hosts are loaded, which they are no more once the server stops. Giving it up loses nothing.
    fn waits_for_all_hosts(self) -> bool {
        matches!(self, Self::ExpireHosts | Self::PickForSchema | Self::TakeCensus | Self::KeepRollouts)
    }

    fn every(self) -> Duration {
        Duration::from_secs(match self {
            Self::RenewLease => return RENEW_EVERY,
            Self::KeepBatchLeases => return LEASES_RENEWED_EVERY,
            Self::Follow
            | Self::CompareDirectory
            | Self::LookAtLiveQueries
            | Self::WriteReports
            | Self::WriteCarveRequests
            | Self::ApplyDocuments => 2,
            Self::SweepLiveQueries | Self::RestoreLogLevel => 1,
            Self::ForgetLiveQueries | Self::ExpireHosts => 600,
            Self::KeepSeen
            | Self::ShareSeen
            | Self::WriteKeyUses
            | Self::WriteIntervals
            | Self::WriteStatistics
            | Self::WriteRefusedChanges
            | Self::KeepRollouts
            | Self::TellOfRollouts => 5,
            Self::RetireKeys | Self::PruneFeed | Self::EndCarves | Self::CloseStatistics | Self::PickForSchema => 60,
            Self::ShowStatistics | Self::TakeCensus => 120,
            Self::SeparateClones | Self::FollowSchema | Self::WriteSecretUses => 30,
            Self::SweepSessions
            | Self::PruneActivities
            | Self::PruneStatistics
            | Self::PruneSchema
            | Self::PruneApprovals
            | Self::PruneRollouts => 3600,
        })
    }

    /// Runs it. With `everything`, as for a nudge, it puts off nothing that could wait.
    async fn attempt(self, fleet: &Fleet, metrics: &Metrics, everything: bool) {
        if self.is_for_leader() && !fleet.node.is_leader() {
            return;
        }
        let start = Instant::now();
        let under_way = Ongoing::begin(WorkKind::Task, self.name(), start);
        // Boxed: the largest of all tasks would else stand on the stack of each.
        let outcome = under_way.run(Box::pin(self.run(fleet, metrics, everything))).await;
        metrics.task_ran(self.name(), outcome.is_ok(), start.elapsed());
        let failure = outcome.as_ref().err().map(ToString::to_string);
        fleet.task_runs.ran(self.name(), fleet.clock.now(), start.elapsed(), failure);
        if let Err(error) = outcome {
            tracing::warn!(task = self.name(), %error, "task failed; will retry");
        }
    }

    async fn run(self, fleet: &Fleet, metrics: &Metrics, everything: bool) -> Result<()> {
        match self {
            Self::KeepSeen => fleet.hosts.keep_seen(false).await,
            Self::ShareSeen => {
                fleet.hosts.share_seen().await;
                Ok(())
            }
            Self::KeepBatchLeases => {
                fleet.logs.keep_leases(&fleet.hosts).await;
                Ok(())
            }
            Self::WriteIntervals => fleet.hosts.write_intervals().await,
            Self::WriteKeyUses => {
                metrics.directory_hosts.set(i64::try_from(fleet.hosts.directory.len()).unwrap_or(i64::MAX));
                metrics.hosts_in_memory.set(i64::try_from(fleet.hosts.index.len()).unwrap_or(i64::MAX));
                fleet.hosts.index.sweep(fleet.clock.now());
                fleet.log_refusals_left_out();
                fleet.hosts.write_key_uses(false).await
            }
            Self::WriteSecretUses => fleet.hosts.write_secret_uses().await,
            Self::LookAtLiveQueries => fleet.live.keep_up().await,
            Self::SweepLiveQueries => fleet.live.sweep().await,
            Self::ForgetLiveQueries => fleet.live.forget_old().await,
            Self::WriteReports => fleet.checkin.write_reports(everything).await,
            Self::WriteStatistics => fleet.statistics.write(false).await,
            Self::RenewLease => {
                let outcome = fleet.node.renew_lease(everything).await;
                metrics.is_leader.set(i64::from(fleet.node.is_leader()));
                outcome
            }
            Self::Follow => fleet.follow().await,
            Self::CompareDirectory => fleet.hosts.compare_directory().await,
            Self::PruneFeed => fleet.hosts.prune_feed().await,
            Self::RetireKeys => fleet.hosts.retire_keys().await,
            Self::SeparateClones => fleet.hosts.separate_clones().await,
            Self::SweepSessions => fleet.access.sweep().await,
            Self::PruneActivities => {
                fleet.applier.prune_plans().await?;
                fleet.access.prune_activities().await
            }
            Self::WriteRefusedChanges => fleet.access.write_refused_changes().await,
            Self::ApplyDocuments => match &fleet.documents {
                Some(folder) => folder.look(everything).await,
                None => Ok(()),
            },
            Self::ExpireHosts => fleet.hosts.expire().await,
            Self::EndCarves => fleet.carves.end_old().await,
            Self::WriteCarveRequests => fleet.carves.write_requests().await,
            Self::CloseStatistics => fleet.statistics.close().await,
            Self::ShowStatistics => fleet.statistics.show().await,
            Self::PruneStatistics => fleet.statistics.forget_old().await,
            Self::PickForSchema => fleet.schemas.pick().await,
            Self::FollowSchema => fleet.schemas.follow().await,
            Self::PruneSchema => fleet.schemas.forget_old().await,
            Self::PruneApprovals => fleet.guard.forget_old_approvals().await,
            Self::TakeCensus => fleet.hosts.take_census().await,
            Self::KeepRollouts => fleet.rollouts.keep().await,
            Self::TellOfRollouts => fleet.rollouts.report_steps().await,
            Self::PruneRollouts => fleet.rollouts.forget_old().await,
            Self::RestoreLogLevel => {
                telemetry::restore_log_level(fleet.clock.now());
                Ok(())
            }
        }
    }
}

/// A request to run all tasks now; answered when they are done.
pub type Nudge = oneshot::Sender<()>;

/// Runs all tasks on the calling thread until the server stops. Returns early only if one of them has crashed.
pub async fn run(fleet: Fleet, metrics: Arc<Metrics>, lifecycle: Lifecycle, nudges: mpsc::UnboundedReceiver<Nudge>) {
    let mut running = JoinSet::new();
    running.spawn_local(follow_nudges(fleet.clone(), Arc::clone(&metrics), lifecycle.clone(), nudges));
    running.spawn_local({
        let (fleet, lifecycle) = (fleet.clone(), lifecycle.clone());
        async move {
            tokio::select! {
                () = lifecycle.ended() => {}
                () = fleet.follow_live_queries() => {}
                () = fleet.live.look_when_asked() => {}
                () = fleet.hosts.hear_seen() => {}
                () = fleet.hosts.directory.apply_changes() => {}
            }
        }
    });
    for task in Task::ALL {
        let (fleet, metrics, lifecycle) = (fleet.clone(), metrics.clone(), lifecycle.clone());
        running.spawn_local(async move {
            let mut events = fleet.notifier.subscribe();
            let mut round = tokio::time::interval(task.every());
            round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = lifecycle.ended() => return,
                    _ = round.tick() => {}
                    () = fleet::until_changed_elsewhere(&mut events), if matches!(task, Task::Follow) => {}
                    () = fleet.hosts.until_comparison_is_due(), if matches!(task, Task::CompareDirectory) => {}
                    () = fleet.live.must_sweep(), if matches!(task, Task::SweepLiveQueries) => {}
                }
                let attempt = task.attempt(&fleet, &metrics, false);
                if task.waits_for_all_hosts() {
                    tokio::select! {
                        () = lifecycle.ended() => return,
                        () = attempt => {}
                    }
                } else {
                    attempt.await;
                }
                if matches!(task, Task::Follow) {
                    tokio::select! {
                        () = lifecycle.ended() => return,
                        () = tokio::time::sleep(FOLLOW_SPACING) => {}
                    }
                }
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "task crashed; the server stops");
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
            () = lifecycle.ended() => return,
            nudge = nudges.recv() => nudge,
        };
        let Some(done) = nudge else { return lifecycle.ended().await };
        for task in Task::ALL {
            task.attempt(&fleet, &metrics, true).await;
        }
        // Whoever asked may have gone.
        let _ = done.send(());
    }
}
