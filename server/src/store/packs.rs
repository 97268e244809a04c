//! Packs with their targets and scheduled queries.

use std::collections::BTreeSet;

use sea_orm::sea_query::IntoCondition as _;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, FromQueryResult, JoinType, QueryFilter, QueryOrder,
    QuerySelect, Set,
};

use super::entity::{labels, pack_labels, packs, queries, scheduled_queries};
use super::{MAX_PARAMETERS, Result, bulk};

/// Names of the packs that schedule a query, sorted.
pub async fn scheduling(db: &impl ConnectionTrait, query_id: i64) -> Result<Vec<String>> {
    let pack_ids: Vec<i64> = scheduled_queries::Entity::find()
        .filter(scheduled_queries::Column::QueryId.eq(query_id))
        .select_only()
        .column(scheduled_queries::Column::PackId)
        .distinct()
        .into_tuple()
        .all(db)
        .await?;
    names(db, pack_ids).await
}

/// Those of a few queries that a pack schedules.
pub async fn scheduled_of(db: &impl ConnectionTrait, query_ids: Vec<i64>) -> Result<BTreeSet<i64>> {
    if query_ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let scheduled: Vec<i64> = scheduled_queries::Entity::find()
        .filter(scheduled_queries::Column::QueryId.is_in(bulk::padded(query_ids)))
        .select_only()
        .column(scheduled_queries::Column::QueryId)
        .distinct()
        .into_tuple()
        .all(db)
        .await?;
    Ok(scheduled.into_iter().collect())
}

/// Names of the packs that are targeted at a label, sorted.
pub async fn targeting(db: &impl ConnectionTrait, label_id: i64) -> Result<Vec<String>> {
    let pack_ids: Vec<i64> = pack_labels::Entity::find()
        .filter(pack_labels::Column::LabelId.eq(label_id))
        .select_only()
        .column(pack_labels::Column::PackId)
        .into_tuple()
        .all(db)
        .await?;
    names(db, pack_ids).await
}

async fn names(db: &impl ConnectionTrait, mut pack_ids: Vec<i64>) -> Result<Vec<String>> {
    pack_ids.sort_unstable();
    let mut names = Vec::new();
    for batch in pack_ids.chunks(MAX_PARAMETERS) {
        let found: Vec<String> = packs::Entity::find()
            .filter(packs::Column::Id.is_in(batch.iter().copied()))
            .select_only()
            .column(packs::Column::Name)
            .into_tuple()
            .all(db)
            .await?;
        names.extend(found);
    }
    names.sort_unstable();
    Ok(names)
}

/// Every target of every pack.
pub async fn all_targets(db: &impl ConnectionTrait) -> Result<Vec<pack_labels::Model>> {
    Ok(pack_labels::Entity::find()
        .order_by_asc(pack_labels::Column::PackId)
        .order_by_asc(pack_labels::Column::LabelId)
        .all(db)
        .await?)
}

/// Every scheduled query of every pack, in the order the operator wrote them.
pub async fn all_scheduled(db: &impl ConnectionTrait) -> Result<Vec<scheduled_queries::Model>> {
    Ok(scheduled_queries::Entity::find()
        .order_by_asc(scheduled_queries::Column::PackId)
        .order_by_asc(scheduled_queries::Column::Id)
        .all(db)
        .await?)
}

/// Names of the labels that a pack is targeted at, sorted.
pub async fn target_names(db: &impl ConnectionTrait, pack_id: i64) -> Result<Vec<String>> {
    Ok(pack_labels::Entity::find()
        .join(
            JoinType::InnerJoin,
            pack_labels::Entity::belongs_to(labels::Entity)
                .from(pack_labels::Column::LabelId)
                .to(labels::Column::Id)
                .into(),
        )
        .filter(pack_labels::Column::PackId.eq(pack_id))
        .select_only()
        .column(labels::Column::Name)
        .order_by_asc(labels::Column::Name)
        .into_tuple()
        .all(db)
        .await?)
}

/// A scheduled query and the name of the saved query that it runs.
#[derive(Debug, FromQueryResult)]
pub struct ScheduledName {
    #[sea_orm(nested)]
    pub scheduled: scheduled_queries::Model,
    pub query: String,
}

/// The scheduled queries of a pack, in the order the operator wrote them.
pub async fn scheduled_names(db: &impl ConnectionTrait, pack_id: i64) -> Result<Vec<ScheduledName>> {
    Ok(scheduled_queries::Entity::find()
        .join(
            JoinType::InnerJoin,
            scheduled_queries::Entity::belongs_to(queries::Entity)
                .from(scheduled_queries::Column::QueryId)
                .to(queries::Column::Id)
                .into(),
        )
        .column_as(queries::Column::Name, "query")
        .filter(scheduled_queries::Column::PackId.eq(pack_id))
        .order_by_asc(scheduled_queries::Column::Id)
        .into_model()
        .all(db)
        .await?)
}

/// A scheduled query and the SQL of the saved query it names; `None` if that is missing.
#[derive(Debug, FromQueryResult)]
pub struct ScheduledSql {
    #[sea_orm(nested)]
    pub scheduled: scheduled_queries::Model,
    pub sql: Option<String>,
}

/// A scheduled query with the name of its pack, and the name and SQL of the saved query that it runs.
#[derive(Debug, Clone, FromQueryResult)]
pub struct ScheduledDetail {
    #[sea_orm(nested)]
    pub scheduled: scheduled_queries::Model,
    pub pack: String,
    pub query: String,
    pub sql: String,
}

/// The scheduled queries that fulfil a condition, by pack and in the order the operator wrote them.
async fn details(db: &impl ConnectionTrait, condition: Option<Condition>) -> Result<Vec<ScheduledDetail>> {
    let of_pack = scheduled_queries::Entity::belongs_to(packs::Entity)
        .from(scheduled_queries::Column::PackId)
        .to(packs::Column::Id);
    let of_query = scheduled_queries::Entity::belongs_to(queries::Entity)
        .from(scheduled_queries::Column::QueryId)
        .to(queries::Column::Id);
    Ok(scheduled_queries::Entity::find()
        .join(JoinType::InnerJoin, of_pack.into())
        .join(JoinType::InnerJoin, of_query.into())
        .column_as(packs::Column::Name, "pack")
        .column_as(queries::Column::Name, "query")
        .column_as(queries::Column::Query, "sql")
        .filter(condition.unwrap_or_else(Condition::all))
        .order_by_asc(scheduled_queries::Column::PackId)
        .order_by_asc(scheduled_queries::Column::Id)
        .into_model()
        .all(db)
        .await?)
}

/// All scheduled queries.
pub async fn scheduled_details(db: &impl ConnectionTrait) -> Result<Vec<ScheduledDetail>> {
    details(db, None).await
}

/// Those of these packs.
pub async fn scheduled_details_of_packs(db: &impl ConnectionTrait, ids: &[i64]) -> Result<Vec<ScheduledDetail>> {
    let mut found = Vec::new();
    for batch in ids.chunks(MAX_PARAMETERS) {
        let is_of_these = scheduled_queries::Column::PackId.is_in(batch.iter().copied());
        found.extend(details(db, Some(is_of_these.into_condition())).await?);
    }
    Ok(found)
}

/// Those that run this query.
pub async fn scheduled_details_of_query(db: &impl ConnectionTrait, query_id: i64) -> Result<Vec<ScheduledDetail>> {
    details(db, Some(scheduled_queries::Column::QueryId.eq(query_id).into_condition())).await
}

/// Every scheduled query of every pack with its SQL, in no particular order.
pub async fn all_scheduled_sql(db: &impl ConnectionTrait) -> Result<Vec<ScheduledSql>> {
    Ok(scheduled_queries::Entity::find()
        .join(
            JoinType::LeftJoin,
            scheduled_queries::Entity::belongs_to(queries::Entity)
                .from(scheduled_queries::Column::QueryId)
                .to(queries::Column::Id)
                .into(),
        )
        .column_as(queries::Column::Query, "sql")
        .into_model()
        .all(db)
        .await?)
}

/// Replaces the labels a pack is targeted at.
pub async fn set_targets(db: &impl ConnectionTrait, pack_id: i64, label_ids: &[i64]) -> Result<()> {
    pack_labels::Entity::delete_many().filter(pack_labels::Column::PackId.eq(pack_id)).exec(db).await?;
    if !label_ids.is_empty() {
        let rows = label_ids
            .iter()
            .map(|label_id| pack_labels::ActiveModel { pack_id: Set(pack_id), label_id: Set(*label_id) });
        pack_labels::Entity::insert_many(rows).exec_without_returning(db).await?;
    }
    Ok(())
}

/// Replaces the scheduled queries of a pack.
pub async fn set_scheduled(
    db: &impl ConnectionTrait,
    pack_id: i64,
    scheduled: Vec<scheduled_queries::ActiveModel>,
) -> Result<()> {
    scheduled_queries::Entity::delete_many().filter(scheduled_queries::Column::PackId.eq(pack_id)).exec(db).await?;
    // Few, because their descriptions may be long and MySQL bounds a statement's bytes.
    for batch in scheduled.chunks(200) {
        scheduled_queries::Entity::insert_many(batch.to_vec()).exec_without_returning(db).await?;
    }
    Ok(())
}

/// Deletes a pack with its targets and its schedule.
pub async fn delete(db: &impl ConnectionTrait, id: i64) -> Result<()> {
    scheduled_queries::Entity::delete_many().filter(scheduled_queries::Column::PackId.eq(id)).exec(db).await?;
    pack_labels::Entity::delete_many().filter(pack_labels::Column::PackId.eq(id)).exec(db).await?;
    packs::Entity::delete_by_id(id).exec(db).await?;
    Ok(())
}
