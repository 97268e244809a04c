//! Rollouts, what was decided about them, and what hosts have reported in them.

use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ActiveModelTrait as _,
    ActiveValue::{NotSet, Unchanged},
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel as _, QueryFilter, QueryOrder, QuerySelect,
    Set,
};

use super::entity::rollout_counts::{Column as Count, Entity as Counts, Model as CountsRow};
use super::entity::rollout_decisions::{
    ActiveModel as NewDecision, Column as Decision, DecisionWord, Entity as Decisions, Model as DecisionRow,
};
use super::entity::rollouts::{ActiveModel, Column, Entity, Model, RolloutStateWord};
use super::{Result, Tx, bulk};
use crate::clock::Moment;

/// The columns that add up.
const SUMS: [Count; 14] = [
    Count::Heard,
    Count::Samples,
    Count::Seconds,
    Count::CpuMs,
    Count::MemoryBytes,
    Count::ResultBytes,
    Count::Runs,
    Count::RunCpuMs,
    Count::RunReports,
    Count::RunMemoryBytes,
    Count::RunErrors,
    Count::Denylisted,
    Count::Restarts,
    Count::Stalled,
];

/// Words of rollouts that are not over.
const OPEN: [RolloutStateWord; 2] = [RolloutStateWord::Running, RolloutStateWord::Paused];

fn is_open() -> Condition {
    Condition::all().add(Column::State.is_in(OPEN.map(|word| word.as_str().to_owned())))
}

/// Rollouts that decide about configs, in the order of their ids: those that are not over, and reverted ones whose options hosts
/// may still have.
pub async fn in_force(db: &impl ConnectionTrait, now: Moment) -> Result<Vec<Model>> {
    let remains =
        Condition::all().add(Column::State.eq(RolloutStateWord::Reverted.as_str())).add(Column::RemainsUntil.gt(now));
    let in_force = Condition::any().add(is_open()).add(remains);
    Ok(Entity::find().filter(in_force).order_by_asc(Column::Id).all(db).await?)
}

/// Rollouts that are not over.
pub async fn open(db: &impl ConnectionTrait) -> Result<Vec<Model>> {
    Ok(Entity::find().filter(is_open()).order_by_asc(Column::Id).all(db).await?)
}

/// The latest rollouts, the newest first.
pub async fn latest(db: &impl ConnectionTrait, limit: u64) -> Result<Vec<Model>> {
    Ok(Entity::find().order_by_desc(Column::Id).limit(limit).all(db).await?)
}

/// A rollout by its id.
pub async fn by_id(db: &impl ConnectionTrait, id: i64) -> Result<Option<Model>> {
    Ok(Entity::find_by_id(id).one(db).await?)
}

/// The latest rollout of this name.
pub async fn by_name(db: &impl ConnectionTrait, name: &str) -> Result<Option<Model>> {
    Ok(Entity::find().filter(Column::Name.eq(name)).order_by_desc(Column::Id).one(db).await?)
}

/// Adds a rollout and gives its id.
pub async fn add(tx: &Tx, row: Model) -> Result<i64> {
    let row = ActiveModel { id: NotSet, ..row.into_active_model().reset_all() };
    Ok(Entity::insert(row).exec(tx).await?.last_insert_id)
}

/// Writes what a step has changed, if nobody has taken a step since the row was read. The revision is moved on.
pub async fn step(tx: &Tx, row: &Model) -> Result<bool> {
    let stepped = Entity::update_many()
        .set(ActiveModel {
            state: Set(row.state.clone()),
            stage: Set(row.stage),
            revision: Set(row.revision + 1),
            stage_began_at: Set(row.stage_began_at),
            ended_at: Set(row.ended_at),
            remains_until: Set(row.remains_until),
            cohort: Set(row.cohort.clone()),
            ..Default::default()
        })
        .filter(Column::Id.eq(row.id))
        .filter(Column::Revision.eq(row.revision))
        .exec(tx)
        .await?;
    Ok(stepped.rows_affected == 1)
}

/// A decision, to be added.
#[derive(Debug, Clone)]
pub struct NewRolloutDecision {
    pub rollout_id: i64,
    pub at: Moment,
    pub stage: i64,
    pub kind: DecisionWord,
    pub actor: String,
    pub reason: String,
    /// JSON.
    pub figures: String,
}

pub async fn decide(tx: &Tx, decision: NewRolloutDecision) -> Result<()> {
    let NewRolloutDecision { rollout_id, at, stage, kind, actor, reason, figures } = decision;
    let row = NewDecision {
        id: NotSet,
        rollout_id: Set(rollout_id),
        at: Set(at),
        stage: Set(stage),
        kind: Set(kind),
        actor: Set(actor),
        reason: Set(reason),
        figures: Set(figures),
        told_at: Set(None),
    };
    Decisions::insert(row).exec_without_returning(tx).await?;
    Ok(())
}

/// The latest decisions about a rollout, the oldest first.
pub async fn decisions(db: &impl ConnectionTrait, rollout_id: i64, limit: u64) -> Result<Vec<DecisionRow>> {
    let select = Decisions::find().filter(Decision::RolloutId.eq(rollout_id)).order_by_desc(Decision::Id);
    let mut found = select.limit(limit).all(db).await?;
    found.reverse();
    Ok(found)
}

/// A decision that the webhook has not been reported of.
#[derive(Debug)]
pub struct UnreportedDecision {
    pub rollout: Model,
    pub decision: DecisionRow,
}

/// The oldest decisions since a moment that the webhook has not been reported of.
pub async fn unreported(db: &impl ConnectionTrait, since: Moment, limit: u64) -> Result<Vec<UnreportedDecision>> {
    let select = Decisions::find().filter(Decision::ToldAt.is_null()).filter(Decision::At.gt(since));
    let mut unreported = Vec::new();
    for decision in select.order_by_asc(Decision::Id).limit(limit).all(db).await? {
        if let Some(rollout) = by_id(db, decision.rollout_id).await? {
            unreported.push(UnreportedDecision { rollout, decision });
        }
    }
    Ok(unreported)
}

/// Notes that the webhook was reported of a decision.
pub async fn reported(tx: &Tx, id: i64, now: Moment) -> Result<()> {
    let reported = NewDecision { id: Unchanged(id), told_at: Set(Some(now)), ..Default::default() };
    Decisions::update(reported).exec_without_returning(tx).await?;
    Ok(())
}

/// Adds to what this node has counted.
pub async fn count(tx: &Tx, row: &CountsRow) -> Result<()> {
    let sums = [
        row.heard,
        row.samples,
        row.seconds,
        row.cpu_ms,
        row.memory_bytes,
        row.result_bytes,
        row.runs,
        row.run_cpu_ms,
        row.run_reports,
        row.run_memory_bytes,
        row.run_errors,
        row.denylisted,
        row.restarts,
        row.stalled,
    ];
    let mut update = Counts::update_many();
    for (column, sum) in SUMS.into_iter().zip(sums) {
        update = update.col_expr(column, Expr::col(column).add(sum));
    }
    let of_node = Condition::all()
        .add(Count::RolloutId.eq(row.rollout_id))
        .add(Count::Stage.eq(row.stage))
        .add(Count::Side.eq(row.side))
        .add(Count::Node.eq(row.node.as_str()));
    if update.filter(of_node).exec(tx).await?.rows_affected == 0 {
        let row = row.clone().into_active_model().reset_all();
        Counts::insert(row).exec_without_returning(tx).await?;
    }
    Ok(())
}

/// What all nodes have counted of a rollout.
pub async fn counts(db: &impl ConnectionTrait, rollout_id: i64) -> Result<Vec<CountsRow>> {
    Ok(Counts::find().filter(Count::RolloutId.eq(rollout_id)).all(db).await?)
}

/// Removes what was counted for rollouts that are over, and all of them but the latest `keep` with what was decided. Those that
/// are in force stay.
pub async fn forget_old(tx: &Tx, now: Moment, keep: u64) -> Result<()> {
    let open: Vec<i64> = open(tx).await?.into_iter().map(|row| row.id).collect();
    let mut counts = Counts::delete_many();
    if !open.is_empty() {
        counts = counts.filter(Count::RolloutId.is_not_in(bulk::padded(open)));
    }
    counts.exec(tx).await?;
    let ids = Entity::find().select_only().column(Column::Id).order_by_desc(Column::Id);
    let old: Vec<i64> = ids.offset(keep).limit(100).into_tuple().all(tx).await?;
    let in_force: Vec<i64> = in_force(tx, now).await?.into_iter().map(|row| row.id).collect();
    let old: Vec<i64> = old.into_iter().filter(|id| !in_force.contains(id)).collect();
    if !old.is_empty() {
        let old = bulk::padded(old);
        Decisions::delete_many().filter(Decision::RolloutId.is_in(old.clone())).exec(tx).await?;
        Entity::delete_many().filter(Column::Id.is_in(old)).exec(tx).await?;
    }
    Ok(())
}
