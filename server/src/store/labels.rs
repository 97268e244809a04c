//! Labels and who is in them.

use std::collections::BTreeMap;

use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set};

use super::entity::{hosts, label_members, labels};
use super::{MAX_PARAMETERS, Result};

pub async fn all(db: &impl ConnectionTrait) -> Result<Vec<labels::Model>> {
    Ok(labels::Entity::find().order_by_asc(labels::Column::Id).all(db).await?)
}

pub async fn insert(db: &impl ConnectionTrait, label: labels::ActiveModel) -> Result<i64> {
    Ok(labels::Entity::insert(label).exec(db).await?.last_insert_id)
}

pub async fn update(db: &impl ConnectionTrait, label: labels::ActiveModel) -> Result<()> {
    label.update(db).await?;
    Ok(())
}

/// Ids of the members, sorted.
pub async fn members(db: &impl ConnectionTrait, label_id: i64) -> Result<Vec<i64>> {
    Ok(label_members::Entity::find()
        .filter(label_members::Column::LabelId.eq(label_id))
        .select_only()
        .column(label_members::Column::HostId)
        .order_by_asc(label_members::Column::HostId)
        .into_tuple()
        .all(db)
        .await?)
}

/// Identifiers of the members of every manual label, sorted.
pub async fn manual_members(db: &impl ConnectionTrait) -> Result<BTreeMap<i64, Vec<String>>> {
    let rows: Vec<(i64, String)> = label_members::Entity::find()
        .join(
            sea_orm::JoinType::InnerJoin,
            label_members::Entity::belongs_to(hosts::Entity)
                .from(label_members::Column::HostId)
                .to(hosts::Column::Id)
                .into(),
        )
        .join(
            sea_orm::JoinType::InnerJoin,
            label_members::Entity::belongs_to(labels::Entity)
                .from(label_members::Column::LabelId)
                .to(labels::Column::Id)
                .into(),
        )
        .filter(labels::Column::MembershipType.eq("manual"))
        .select_only()
        .column(label_members::Column::LabelId)
        .column(hosts::Column::Identifier)
        .order_by_asc(hosts::Column::Identifier)
        .into_tuple()
        .all(db)
        .await?;
    let mut members: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for (label_id, identifier) in rows {
        members.entry(label_id).or_default().push(identifier);
    }
    Ok(members)
}

/// Adds hosts that are not members yet; the caller has looked inside this transaction.
pub async fn add_members(db: &impl ConnectionTrait, label_id: i64, mut host_ids: Vec<i64>) -> Result<()> {
    host_ids.sort_unstable();
    for batch in host_ids.chunks(MAX_PARAMETERS / 2) {
        let rows =
            batch.iter().map(|host_id| label_members::ActiveModel { label_id: Set(label_id), host_id: Set(*host_id) });
        label_members::Entity::insert_many(rows).exec_without_returning(db).await?;
    }
    Ok(())
}

pub async fn remove_members(db: &impl ConnectionTrait, label_id: i64, mut host_ids: Vec<i64>) -> Result<()> {
    host_ids.sort_unstable();
    for batch in host_ids.chunks(MAX_PARAMETERS / 2) {
        label_members::Entity::delete_many()
            .filter(label_members::Column::LabelId.eq(label_id))
            .filter(label_members::Column::HostId.is_in(batch.iter().copied()))
            .exec(db)
            .await?;
    }
    Ok(())
}

/// Labels a host is in, among `of`.
pub async fn of_host(db: &impl ConnectionTrait, host_id: i64, of: &[i64]) -> Result<Vec<i64>> {
    Ok(label_members::Entity::find()
        .filter(label_members::Column::HostId.eq(host_id))
        .filter(label_members::Column::LabelId.is_in(of.iter().copied()))
        .select_only()
        .column(label_members::Column::LabelId)
        .order_by_asc(label_members::Column::LabelId)
        .into_tuple()
        .all(db)
        .await?)
}
