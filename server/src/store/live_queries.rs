//! Live queries.

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect, Set,
    Unchanged,
};

use super::entity::live_queries::{ActiveModel, Column, Entity, LiveStatusWord, Model};
use super::{MAX_PARAMETERS, Result, Store};
use crate::clock::Moment;

pub async fn insert(db: &impl ConnectionTrait, job: ActiveModel) -> Result<i64> {
    Ok(Entity::insert(job).exec(db).await?.last_insert_id)
}

/// Writes the columns that are set. One that has been deleted meanwhile stays so.
pub async fn update(db: &impl ConnectionTrait, job: ActiveModel) -> Result<()> {
    let id = job.id.clone().into_value().unwrap_or_else(|| 0.into());
    Entity::update_many().set(job).filter(Column::Id.eq(id)).exec(db).await?;
    Ok(())
}

pub async fn by_id(db: &impl ConnectionTrait, id: i64) -> Result<Option<Model>> {
    Ok(Entity::find_by_id(id).one(db).await?)
}

/// Those with these ids, however far behind other readings are.
pub async fn confirmed(store: &Store, ids: &[i64]) -> Result<Vec<Model>> {
    let mut found = Vec::new();
    for ids in ids.chunks(MAX_PARAMETERS) {
        let rows = Entity::find().filter(Column::Id.is_in(ids.iter().copied()));
        found.extend(rows.lock_exclusive().all(store.current()).await?);
    }
    Ok(found)
}

/// Puts off the end of a campaign.
pub async fn watch_until(db: &impl ConnectionTrait, id: i64, until: Moment) -> Result<()> {
    let row = ActiveModel { id: Unchanged(id), watched_until: Set(Some(until)), ..Default::default() };
    update(db, row).await
}

/// Until when a campaign goes on. `None` when there is no such campaign.
pub async fn watched_until(db: &impl ConnectionTrait, id: i64) -> Result<Option<Moment>> {
    let found: Option<Option<Moment>> =
        Entity::find_by_id(id).select_only().column(Column::WatchedUntil).into_tuple().one(db).await?;
    Ok(found.flatten())
}

/// Writes how far a job is, unless the database already knows how it ended.
pub async fn checkpoint(db: &impl ConnectionTrait, id: i64, job: ActiveModel) -> Result<()> {
    Entity::update_many()
        .set(job)
        .filter(Column::Id.eq(id))
        .filter(Column::Status.eq(LiveStatusWord::Open))
        .exec(db)
        .await?;
    Ok(())
}

/// Writes that the results are gone, and what became of the targets.
pub async fn set_results_lost(db: &impl ConnectionTrait, id: i64, states: Vec<u8>) -> Result<()> {
    let row = ActiveModel { id: Unchanged(id), states: Set(states), results_bytes: Set(0), ..Default::default() };
    update(db, row).await
}

/// What is kept of the results of a live query.
#[derive(Debug, FromQueryResult)]
pub struct ResultsOfRow {
    pub id: i64,
    pub bus_key: Option<String>,
    results_bytes: i64,
    pub finished_at: Option<Moment>,
}

impl ResultsOfRow {
    pub fn bytes(&self) -> u64 {
        Ord::max(self.results_bytes, 0).cast_unsigned()
    }
}

/// Those with results, in the order in which they ended.
pub async fn with_results(db: &impl ConnectionTrait) -> Result<Vec<ResultsOfRow>> {
    Ok(Entity::find()
        .filter(Column::ResultsBytes.gt(0))
        .select_only()
        .columns([Column::Id, Column::BusKey, Column::ResultsBytes, Column::FinishedAt])
        .order_by_asc(Column::FinishedAt)
        .order_by_asc(Column::Id)
        .into_model()
        .all(db)
        .await?)
}

/// Of these, at most [`MAX_PARAMETERS`], the ids and states of those that are over and have no results.
pub async fn without_results(db: &impl ConnectionTrait, ids: &[i64]) -> Result<Vec<(i64, Vec<u8>)>> {
    let rows = Entity::find().filter(Column::Id.is_in(ids.iter().copied()));
    let rows = rows.filter(Column::FinishedAt.is_not_null()).filter(Column::ResultsBytes.eq(0));
    Ok(rows.select_only().columns([Column::Id, Column::States]).into_tuple().all(db).await?)
}

/// Columns that may change of a live query that goes on.
#[derive(Debug, FromQueryResult)]
pub struct OpenRow {
    pub id: i64,
    /// Campaigns only.
    pub watched_until: Option<Moment>,
    pub rate: i64,
    /// Whether no further host is given it, or none but canaries.
    pub is_paused: bool,
    pub pace_changes: i64,
    pub canaries_until: Option<Moment>,
    pub is_paused_early: bool,
}

impl OpenRow {
    /// Whether canaries are waited for. A node of the version before that lets hosts have it leaves the moment there.
    fn waits_for_canaries(&self) -> bool {
        self.is_paused && self.canaries_until.is_some()
    }

    /// Takes a step, apart from the count of changes.
    fn take(&mut self, step: PaceStep) {
        match step {
            PaceStep::Rate(rate) => self.rate = i64::from(rate),
            PaceStep::Pause => {
                self.is_paused_early = self.waits_for_canaries();
                self.canaries_until = self.canaries_until.filter(|_| self.is_paused_early);
                self.is_paused = true;
            }
            PaceStep::Resume { canaries_until } if self.waits_for_canaries() => {
                self.canaries_until = if self.is_paused_early { Some(canaries_until) } else { self.canaries_until };
                self.is_paused_early = false;
            }
            PaceStep::Resume { .. } => (self.is_paused, self.canaries_until) = (false, None),
            PaceStep::LetOthersFollow => {
                self.is_paused = self.is_paused_early;
                (self.canaries_until, self.is_paused_early) = (None, false);
            }
        }
    }
}

/// A change of the pace of one that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaceStep {
    Rate(u32),
    Pause,
    /// Canaries that an operator held back as well are waited for until a later moment.
    Resume {
        canaries_until: Moment,
    },
    /// Hosts that are no canaries are given it from now on, unless it is paused.
    LetOthersFollow,
}

const CHANGING: [Column; 7] = [
    Column::Id,
    Column::WatchedUntil,
    Column::Rate,
    Column::IsPaused,
    Column::PaceChanges,
    Column::CanariesUntil,
    Column::IsPausedEarly,
];

/// Those still going on, as far as they may change.
pub async fn open_rows(db: &impl ConnectionTrait) -> Result<Vec<OpenRow>> {
    let open = Entity::find().filter(Column::Status.eq(LiveStatusWord::Open)).select_only().columns(CHANGING);
    Ok(open.order_by_asc(Column::Id).into_model().all(db).await?)
}

/// Changes the pace of one that goes on. `None` when it is over, and when others are to follow canaries that nobody waits for.
pub async fn set_pace(tx: &impl ConnectionTrait, id: i64, step: PaceStep) -> Result<Option<OpenRow>> {
    // The count comes first: it locks the row, so that the step is taken from what is there.
    let count = ExprTrait::add(Expr::col(Column::PaceChanges), 1);
    let mut open = Entity::update_many().col_expr(Column::PaceChanges, count).filter(Column::Id.eq(id));
    open = open.filter(Column::Status.eq(LiveStatusWord::Open));
    if step == PaceStep::LetOthersFollow {
        open = open.filter(Column::IsPaused.eq(true)).filter(Column::CanariesUntil.is_not_null());
    }
    if open.exec(tx).await?.rows_affected == 0 {
        return Ok(None);
    }
    let found = Entity::find_by_id(id).select_only().columns(CHANGING).into_model::<OpenRow>().one(tx).await?;
    let Some(mut row) = found else { return Ok(None) };
    row.take(step);
    let changed = ActiveModel {
        id: Unchanged(id),
        rate: Set(row.rate),
        is_paused: Set(row.is_paused),
        canaries_until: Set(row.canaries_until),
        is_paused_early: Set(row.is_paused_early),
        ..Default::default()
    };
    update(tx, changed).await?;
    Ok(Some(row))
}

/// Those still going on.
pub async fn open(db: &impl ConnectionTrait) -> Result<Vec<Model>> {
    Ok(Entity::find().filter(Column::Status.eq(LiveStatusWord::Open)).order_by_asc(Column::Id).all(db).await?)
}

/// The latest, newest first: of one author, or all.
pub async fn latest(db: &impl ConnectionTrait, author_id: Option<i64>, limit: u64) -> Result<Vec<Model>> {
    let of_author = Condition::all().add_option(author_id.map(|id| Column::AuthorId.eq(id)));
    Ok(Entity::find().filter(of_author).order_by_desc(Column::Id).limit(limit).all(db).await?)
}

/// Those that ended before `moment`: their ids, and what they are called outside the database.
pub async fn finished_before(db: &impl ConnectionTrait, moment: Moment) -> Result<Vec<(i64, Option<String>)>> {
    Ok(Entity::find()
        .filter(Column::FinishedAt.lt(moment))
        .select_only()
        .columns([Column::Id, Column::BusKey])
        .order_by_asc(Column::Id)
        .into_tuple()
        .all(db)
        .await?)
}

/// All of them, and what they are called outside the database.
pub async fn bus_keys(db: &impl ConnectionTrait) -> Result<Vec<(i64, Option<String>)>> {
    Ok(Entity::find().select_only().columns([Column::Id, Column::BusKey]).into_tuple().all(db).await?)
}

pub async fn delete(db: &impl ConnectionTrait, id: i64) -> Result<()> {
    Entity::delete_by_id(id).exec(db).await?;
    Ok(())
}
