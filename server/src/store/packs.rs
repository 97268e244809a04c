//! Packs with their targets and scheduled queries.

use std::collections::{BTreeSet, HashMap};

use sea_orm::sea_query::IntoCondition as _;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, FromQueryResult, JoinType, QueryFilter, QueryOrder,
    QuerySelect, Set,
};
use serde::{Deserialize, Serialize};

use super::entity::pack_label_conditions::LabelConditionWord;
use super::entity::{pack_label_conditions, pack_labels, packs, queries, scheduled_queries};
use super::{MAX_PARAMETERS, Result, bulk};

/// The labels that decide which hosts run a pack, each list sorted. A host must be in any of the first, if there are some, in all of
/// the second and in none of the third. A pack without any is run by nobody.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TargetLabels {
    pub any: Vec<i64>,
    pub all: Vec<i64>,
    pub excluded: Vec<i64>,
    /// A later version has set a condition that this one does not know, so nobody runs the pack.
    pub has_unknown: bool,
}

impl TargetLabels {
    /// Hosts in any of these.
    pub fn any(label_ids: Vec<i64>) -> Self {
        Self { any: label_ids, ..Self::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.any.is_empty() && self.all.is_empty() && self.excluded.is_empty()
    }

    /// All of its labels.
    pub fn label_ids(&self) -> impl Iterator<Item = i64> + '_ {
        [&self.any, &self.all, &self.excluded].into_iter().flatten().copied()
    }

    fn add(&mut self, label_id: i64, condition: &LabelConditionWord) {
        match condition {
            LabelConditionWord::All => self.all.push(label_id),
            LabelConditionWord::Exclude => self.excluded.push(label_id),
            LabelConditionWord::Unknown(_) => self.has_unknown = true,
        }
    }
}

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

/// Names of the packs whose hosts a label decides about, sorted.
pub async fn targeting(db: &impl ConnectionTrait, label_id: i64) -> Result<Vec<String>> {
    let mut pack_ids: Vec<i64> = pack_labels::Entity::find()
        .filter(pack_labels::Column::LabelId.eq(label_id))
        .select_only()
        .column(pack_labels::Column::PackId)
        .into_tuple()
        .all(db)
        .await?;
    let conditions = pack_label_conditions::Entity::find()
        .filter(pack_label_conditions::Column::LabelId.eq(label_id))
        .select_only()
        .column(pack_label_conditions::Column::PackId);
    pack_ids.extend(conditions.into_tuple::<i64>().all(db).await?);
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

/// The targets of every pack that has any, by its id.
pub async fn all_targets(db: &impl ConnectionTrait) -> Result<HashMap<i64, TargetLabels>> {
    targets(db, Condition::all(), Condition::all()).await
}

/// The targets of one pack.
pub async fn targets_of(db: &impl ConnectionTrait, pack_id: i64) -> Result<TargetLabels> {
    let any = pack_labels::Column::PackId.eq(pack_id).into_condition();
    let conditions = pack_label_conditions::Column::PackId.eq(pack_id).into_condition();
    Ok(targets(db, any, conditions).await?.remove(&pack_id).unwrap_or_default())
}

async fn targets(
    db: &impl ConnectionTrait,
    any: Condition,
    conditions: Condition,
) -> Result<HashMap<i64, TargetLabels>> {
    let mut targets: HashMap<i64, TargetLabels> = HashMap::new();
    let any = pack_labels::Entity::find().filter(any).order_by_asc(pack_labels::Column::LabelId);
    for row in any.all(db).await? {
        targets.entry(row.pack_id).or_default().any.push(row.label_id);
    }
    let conditions = pack_label_conditions::Entity::find().filter(conditions);
    for row in conditions.order_by_asc(pack_label_conditions::Column::LabelId).all(db).await? {
        targets.entry(row.pack_id).or_default().add(row.label_id, &row.condition_word);
    }
    Ok(targets)
}

/// Every scheduled query of every pack, in the order the operator wrote them.
pub async fn all_scheduled(db: &impl ConnectionTrait) -> Result<Vec<scheduled_queries::Model>> {
    Ok(scheduled_queries::Entity::find()
        .order_by_asc(scheduled_queries::Column::PackId)
        .order_by_asc(scheduled_queries::Column::Id)
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

/// Replaces the targets of a pack.
pub async fn set_targets(db: &impl ConnectionTrait, pack_id: i64, targets: &TargetLabels) -> Result<()> {
    delete_targets(db, pack_id).await?;
    if !targets.any.is_empty() {
        let row = |label_id: &i64| pack_labels::ActiveModel { pack_id: Set(pack_id), label_id: Set(*label_id) };
        pack_labels::Entity::insert_many(targets.any.iter().map(row)).exec_without_returning(db).await?;
    }
    let conditions = [(&targets.all, LabelConditionWord::All), (&targets.excluded, LabelConditionWord::Exclude)];
    for (label_ids, word) in conditions.into_iter().filter(|(label_ids, _)| !label_ids.is_empty()) {
        let row = |label_id: &i64| pack_label_conditions::ActiveModel {
            pack_id: Set(pack_id),
            label_id: Set(*label_id),
            condition_word: Set(word.clone()),
        };
        pack_label_conditions::Entity::insert_many(label_ids.iter().map(row)).exec_without_returning(db).await?;
    }
    Ok(())
}

async fn delete_targets(db: &impl ConnectionTrait, pack_id: i64) -> Result<()> {
    pack_labels::Entity::delete_many().filter(pack_labels::Column::PackId.eq(pack_id)).exec(db).await?;
    let conditions = pack_label_conditions::Entity::delete_many();
    conditions.filter(pack_label_conditions::Column::PackId.eq(pack_id)).exec(db).await?;
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
    delete_targets(db, id).await?;
    packs::Entity::delete_by_id(id).exec(db).await?;
    Ok(())
}
