//! The steps of a rollout: each is one transaction.

use std::sync::Arc;
use std::time::Duration;

use muster_api::rest::{GateReading, RolloutHosts};
use muster_api::spec::RolloutSpec;
use serde_json::{Value, json};

use super::gates::{GateSide, readings, sides, why_halt};
use super::stages::{Stage, reports};
use super::{KEPT, Rollouts};
use crate::clock::Moment;
use crate::fleet::access::Principal;
use crate::fleet::apply::make_change;
use crate::fleet::changes::Draft;
use crate::fleet::schedule::{KEEP_DAYS, Plan, RolloutChange};
use crate::fleet::specs::to_value;
use crate::fleet::{Error, Result};
use crate::store;
use crate::store::entity::rollout_decisions::DecisionWord;
use crate::store::entity::rollouts::{Model, RolloutStateWord};
use crate::store::rollouts::NewRolloutDecision;

/// As whom the server takes steps.
const SERVER: &str = "rollouts";

/// A rollout that is read from its row.
#[derive(Debug)]
pub(super) struct OpenRollout {
    pub row: Model,
    pub spec: RolloutSpec,
    pub stages: Vec<Stage>,
    pub change: RolloutChange,
}

/// What is to become of a rollout, and what that is decided by.
#[derive(Debug)]
pub(super) struct RolloutVerdict {
    pub step: RolloutStep,
    /// Why, or what the next stage waits for.
    pub reason: String,
    pub figures: Figures,
}

/// What a decision is made by.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    pub hosts: RolloutHosts,
    pub gates: Vec<GateReading>,
}

/// What a rollout depends on besides its hosts.
#[derive(Debug, Default)]
struct Seen {
    /// What it changes and somebody else has changed.
    disturbed: Option<String>,
    /// What is waited for before anything is changed.
    waits_for: Option<String>,
}

/// A step of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RolloutStep {
    Wait,
    /// To the next stage, or to the end.
    Advance,
    /// By a gate, or because the rollout can no longer be made.
    Halt,
    /// By somebody.
    Abort,
    Pause,
    Resume,
}

impl OpenRollout {
    /// # Errors
    /// [`Error::Internal`] for one that this version cannot read.
    pub fn read(row: Model) -> Result<Self> {
        let unreadable = |error: serde_json::Error| Error::Internal(Box::new(error));
        let spec = serde_json::from_str(&row.document).map_err(unreadable)?;
        let stages = serde_json::from_str(&row.stages).map_err(unreadable)?;
        let change = serde_json::from_str(&row.change).map_err(unreadable)?;
        Ok(Self { row, spec, stages, change })
    }

    fn position(&self) -> usize {
        usize::try_from(self.row.stage).unwrap_or_default()
    }

    fn bake(&self) -> Duration {
        self.stages.get(self.position()).map_or(Duration::ZERO, Stage::bake)
    }

    /// What is to become of it by itself.
    fn verdict(&self, sides: &[GateSide; 2], seen: Seen, now: Moment) -> RolloutVerdict {
        let (gates, [outside, inside]) = (readings(&self.spec.gates, sides), sides);
        let hosts = RolloutHosts {
            cohort: inside.hosts.hosts,
            cohort_online: inside.hosts.online,
            // The first sample of a host in a stage tells of time before it, too. What is judged by totals waits for the next one.
            reported: inside.counts.heard.min(inside.counts.samples),
            others: outside.hosts.hosts,
        };
        let (step, reason) = match why_halt(&gates) {
            Some(reason) => (RolloutStep::Halt, reason),
            None => match seen.disturbed {
                Some(what) => {
                    (RolloutStep::Halt, format!("{what} was changed meanwhile, by a server of an older version"))
                }
                None => match (self.wait_or_advance(&hosts, now), seen.waits_for) {
                    // A freeze keeps hosts from changes, not from what takes them back.
                    ((RolloutStep::Advance, _), Some(end)) => (RolloutStep::Wait, format!("waits for {end}")),
                    (step, _) => step,
                },
            },
        };
        RolloutVerdict { step, reason, figures: Figures { hosts, gates } }
    }

    fn wait_or_advance(&self, hosts: &RolloutHosts, now: Moment) -> (RolloutStep, String) {
        // At least one: a cohort of which nobody is online says nothing.
        let share = hosts.cohort_online.saturating_mul(reports(&self.spec).cast_signed());
        let wanted = (share.saturating_add(99) / 100).max(1);
        let baked = now.since(self.row.stage_began_at);
        if self.row.state == RolloutStateWord::Paused {
            (RolloutStep::Wait, "is paused".to_owned())
        } else if baked < self.bake() {
            let left = (self.bake() - baked).as_secs();
            (RolloutStep::Wait, format!("this stage lasts {left} more seconds"))
        } else if hosts.cohort == 0 {
            // Nobody could report. Not at once: hosts may be about to come into the cohort, or its label.
            (RolloutStep::Advance, "no host of the cohort is touched".to_owned())
        } else if hosts.reported < wanted {
            let reason = format!("waits for {wanted} of its online hosts to report; {} have", hosts.reported);
            (RolloutStep::Wait, reason)
        } else {
            (RolloutStep::Advance, "no gate has tripped".to_owned())
        }
    }
}

impl Rollouts {
    /// Takes the steps that are due. The leader calls it.
    ///
    /// # Errors
    /// When the directory is not loaded yet, or the database does not answer; the next call goes on.
    pub async fn keep(&self) -> Result<()> {
        let rows = store::rollouts::open(self.changes.reader()).await?;
        self.metrics.rollouts_open.set(i64::try_from(rows.len()).unwrap_or(i64::MAX));
        if rows.is_empty() {
            return Ok(());
        }
        // One that fails does not keep the others from their steps.
        let mut failed = Ok(());
        for (rollout, verdict) in self.verdicts(rows).await? {
            let (id, name) = (rollout.row.id, rollout.row.name.clone());
            let step = verdict.step;
            if step == RolloutStep::Wait {
                continue;
            }
            match self.take(&Principal::program(SERVER, self.changes.now()), rollout, verdict).await {
                Ok(()) => {}
                // Somebody has taken another step meanwhile: the next call looks again.
                Err(Error::ChangedMeanwhile(_)) => {}
                // The change cannot be made: somebody has to look at it.
                Err(Error::Invalid(problems)) if step == RolloutStep::Advance => {
                    let problem = problems.first().map_or_else(String::new, ToString::to_string);
                    tracing::error!(
                        rollout = name,
                        problem,
                        "a rollout cannot go on and is paused; mend it, or abort it"
                    );
                    self.pause_broken(id, problem).await?;
                }
                Err(error) => failed = Err(error),
            }
        }
        failed
    }

    /// Removes what is no longer needed. The leader calls it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn forget_old(&self) -> Result<()> {
        let now = self.changes.now();
        let store = self.changes.store();
        Ok(store.write(async |tx| store::rollouts::forget_old(tx, now, KEPT).await).await?)
    }

    /// What is to become of each rollout by itself. Those that are not in the plan of this node yet, or not in this stage, are left
    /// out.
    pub(super) async fn verdicts(&self, rows: Vec<Model>) -> Result<Vec<(OpenRollout, RolloutVerdict)>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        self.changes.schedule().refresh().await?;
        let (plan, now) = (self.changes.schedule().plan(), self.changes.now());
        let hosts = self.changes.hosts().directory.rollout_hosts(Arc::clone(&plan), now).await?;
        let mut verdicts = Vec::new();
        for row in rows {
            let is_it = |planned: &crate::fleet::schedule::PlannedRollout| {
                planned.id == row.id && planned.stage == row.stage && planned.stage_began_at == row.stage_began_at
            };
            let Some(position) = plan.rollouts.iter().position(is_it) else { continue };
            let counts = store::rollouts::counts(self.changes.reader(), row.id).await?;
            let sides = sides(&counts, row.stage, hosts.get(position).copied().unwrap_or_default());
            let name = row.name.clone();
            let rollout = match OpenRollout::read(row) {
                Ok(rollout) => rollout,
                // The gates of others are watched all the same.
                Err(error) => {
                    tracing::error!(rollout = name, %error, "a rollout cannot be read by this version, and waits for a newer one");
                    continue;
                }
            };
            let seen = Seen { disturbed: rollout.change.changed_in(&plan), waits_for: self.access.waits_for() };
            let verdict = rollout.verdict(&sides, seen, now);
            verdicts.push((rollout, verdict));
        }
        Ok(verdicts)
    }

    async fn pause_broken(&self, id: i64, problem: String) -> Result<()> {
        let Some(row) = store::rollouts::by_id(self.changes.reader(), id).await? else { return Ok(()) };
        let rollout = OpenRollout::read(row)?;
        let verdict = RolloutVerdict { step: RolloutStep::Pause, reason: problem, figures: Figures::default() };
        match self.take(&Principal::program(SERVER, self.changes.now()), rollout, verdict).await {
            Err(Error::ChangedMeanwhile(_)) => Ok(()),
            other => other,
        }
    }

    /// Takes a step.
    ///
    /// # Errors
    /// [`Error::ChangedMeanwhile`] if somebody has taken one since the rollout was read, and [`Error::Invalid`] if the change can
    /// no longer be made, or the step cannot be taken from where it is.
    pub(super) async fn take(&self, by: &Principal, rollout: OpenRollout, verdict: RolloutVerdict) -> Result<()> {
        let (rollout, verdict) = (&rollout, &verdict);
        let kind = self
            .changes
            .make(by, false, async |draft: &mut Draft<'_>| self.step(draft, by, rollout, verdict).await)
            .await?;
        let (name, stage, reason) = (&rollout.row.name, rollout.row.stage, &verdict.reason);
        match kind {
            DecisionWord::Halted => tracing::warn!(rollout = name, stage, reason, "a rollout was halted and reverted"),
            _ => tracing::info!(rollout = name, stage, reason, kind = kind.as_str(), "a rollout has taken a step"),
        }
        self.metrics.rollout_step(kind.as_str());
        Ok(())
    }

    async fn step(
        &self,
        draft: &mut Draft<'_>,
        by: &Principal,
        rollout: &OpenRollout,
        verdict: &RolloutVerdict,
    ) -> Result<DecisionWord> {
        let (mut row, now) = (rollout.row.clone(), draft.now);
        let kind = match verdict.step {
            RolloutStep::Wait => return Err(Error::invalid("rollout", "there is no step to take")),
            RolloutStep::Pause if row.state == RolloutStateWord::Running => {
                row.state = RolloutStateWord::Paused;
                DecisionWord::Paused
            }
            RolloutStep::Resume if row.state == RolloutStateWord::Paused => {
                row.state = RolloutStateWord::Running;
                DecisionWord::Resumed
            }
            RolloutStep::Pause => return Err(Error::invalid("rollout", "is paused already")),
            RolloutStep::Resume => return Err(Error::invalid("rollout", "is not paused")),
            RolloutStep::Halt | RolloutStep::Abort => {
                row.state = RolloutStateWord::Reverted;
                row.ended_at = Some(now);
                let days = Duration::from_secs((KEEP_DAYS + 1).unsigned_abs() * 24 * 3600);
                row.remains_until = rollout.change.options.as_ref().map(|_| now.plus(days));
                draft.is_undoing = true;
                if verdict.step == RolloutStep::Halt { DecisionWord::Halted } else { DecisionWord::Aborted }
            }
            RolloutStep::Advance => {
                row.state = RolloutStateWord::Running;
                match rollout.stages.get(rollout.position() + 1) {
                    Some(next) => {
                        row.stage += 1;
                        row.stage_began_at = now;
                        row.cohort = to_value(&next.cohort)?.to_string();
                        DecisionWord::Advanced
                    }
                    None => {
                        // When the rollout began: what it applies is what its hosts were served.
                        draft.is_judged = true;
                        row.state = RolloutStateWord::Done;
                        row.ended_at = Some(now);
                        DecisionWord::Done
                    }
                }
            }
        };
        if !store::rollouts::step(draft.tx, &row).await? {
            return Err(Error::ChangedMeanwhile("the rollout"));
        }
        if kind == DecisionWord::Done {
            self.make_change(draft, rollout).await?;
        }
        let Figures { hosts, gates } = &verdict.figures;
        let figures =
            if gates.is_empty() { String::new() } else { json!({ "hosts": hosts, "gates": gates }).to_string() };
        let decision = NewRolloutDecision {
            rollout_id: row.id,
            at: now,
            stage: rollout.row.stage,
            kind: kind.clone(),
            actor: by.actor().id.map_or_else(String::new, |_| by.user.name.clone()),
            reason: verdict.reason.clone(),
            figures,
        };
        store::rollouts::decide(draft.tx, decision).await?;
        draft.record(activity(&kind), json!({ "rollout": row.name, "stage": row.stage, "reason": verdict.reason }));
        Ok(kind)
    }

    /// Applies the documents of a rollout, which must give what its cohort was served.
    async fn make_change(&self, draft: &mut Draft<'_>, rollout: &OpenRollout) -> Result<()> {
        let documents: Vec<Value> = rollout.spec.documents.iter().map(to_value).collect::<Result<_>>()?;
        let built_in = self.changes.built_in_options();
        make_change(draft, built_in, documents).await?;
        if rollout.change.is_made_in(&Plan::load(draft.tx, draft.now, built_in).await?) {
            return Ok(());
        }
        let reason = "its documents no longer give what its hosts were served; abort it, and begin another";
        Err(Error::invalid("rollout", reason))
    }
}

/// What an activity calls a step.
fn activity(kind: &DecisionWord) -> &'static str {
    match kind {
        DecisionWord::Began => "began_rollout",
        DecisionWord::Advanced => "advanced_rollout",
        DecisionWord::Paused => "paused_rollout",
        DecisionWord::Resumed => "resumed_rollout",
        DecisionWord::Halted => "halted_rollout",
        DecisionWord::Aborted => "aborted_rollout",
        DecisionWord::Done | DecisionWord::Unknown(_) => "finished_rollout",
    }
}
